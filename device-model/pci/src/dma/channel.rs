// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of accesses. Whoever ends them holds the map's lock alone, so that
//! none is under way when the end is answered, and whatever began before it ends
//! with [`DmaError::Aborted`], also where the function may access memory again.

use std::sync::{
    Arc, RwLockReadGuard,
    atomic::{AtomicBool, Ordering},
};

use super::{Channel, Dma, DmaError, GuestAddr, Ticket, UnderWay, map::Map};
use crate::bus_hook::site;

impl Ticket {
    /// The access, of that memory.
    pub(super) fn redeem(self, dma: &Dma) -> (Dma, UnderWay) {
        let shared = Arc::clone(&dma.shared);
        let channel = self.channel;
        (Dma { shared, channel }, self.since)
    }
}

impl Dma {
    /// The same memory, for work that can be called off. When
    /// [`Dma::terminate`] returns, when a reset of the function is answered, or
    /// the hypervisor is gone, no access by the channel or a clone of it is under
    /// way, and none is carried out any more. A device opens one where software
    /// starts work, and hands it to the thread that does the work: whatever that
    /// thread has not noticed yet, it cannot do harm.
    ///
    /// A channel of a channel is one of its own.
    ///
    /// # Example
    /// ```
    /// use irqbed_pci::{Dma, DmaError, GuestAddr};
    ///
    /// /// What a write to the register `Start` does.
    /// fn start(dma: &Dma, to: GuestAddr) -> Dma {
    ///     let work = dma.channel();
    ///     let of_thread = work.clone();
    ///     std::thread::spawn(move || {
    ///         let end: DmaError = loop {
    ///             if let Err(error) = of_thread.write(to, &[0x5a; 4096]) {
    ///                 break error;
    ///             }
    ///         };
    ///         eprintln!("the work has ended: {end}");
    ///     });
    ///     work // the register `Stop` terminates it
    /// }
    /// # let dma = Dma::new();
    /// # start(&dma, GuestAddr(0)).terminate();
    /// ```
    #[must_use]
    pub fn channel(&self) -> Self {
        let resets = self.read_map().resets;
        let terminated = AtomicBool::new(false);
        Self {
            shared: Arc::clone(&self.shared),
            channel: Some(Arc::new(Channel { resets, terminated })),
        }
    }

    /// Ends a channel: when this returns, none of its accesses is under way, and
    /// none is carried out any more. Of a [`Dma`] that is no channel, it ends
    /// what is under way, and that alone. Not to be called while the same thread
    /// is within an access.
    pub fn terminate(&self) {
        let mut map = self.write_map();
        match &self.channel {
            Some(channel) => channel.terminated.store(true, Ordering::Relaxed),
            None => map.ends += 1,
        }
    }

    /// Allows or forbids every access, as the command register says. When this
    /// returns, no access that is forbidden is under way.
    pub fn set_bus_master(&self, allowed: bool) {
        if self.is_bus_master() == allowed {
            return;
        }
        let mut map = self.write_map();
        map.ends += u64::from(!allowed);
        map.bus_master = allowed;
    }

    /// Whether accesses are allowed.
    #[must_use]
    pub fn is_bus_master(&self) -> bool {
        self.read_map().bus_master
    }

    /// The function is reset: every access and every channel ends, and accesses
    /// are forbidden.
    pub(crate) fn reset(&self) {
        self.write_map().reset();
    }

    /// Begins an access, or goes on with it: nobody ends it while the map is
    /// held.
    pub(super) fn enter(
        &self,
        since: &mut UnderWay,
        addr: GuestAddr,
    ) -> Result<RwLockReadGuard<'_, Map>, DmaError> {
        let map = self.read_map();
        if self.shared.hook.has(site::REMOVED) {
            return Err(DmaError::Removed { addr });
        }
        if !map.bus_master {
            return Err(DmaError::BusMasterOff { addr });
        }
        let ends = *since.0.get_or_insert(map.ends);
        let channel = self.channel.as_deref();
        if ends != map.ends || channel.is_some_and(|channel| channel.is_ended(map.resets)) {
            return Err(DmaError::Aborted { addr });
        }
        Ok(map)
    }

    /// Begins an access that may be carried out later.
    pub(super) fn ticket(&self, addr: GuestAddr) -> Result<Ticket, DmaError> {
        let mut since = UnderWay::default();
        drop(self.enter(&mut since, addr)?);
        let channel = self.channel.clone();
        Ok(Ticket { since, channel })
    }
}
