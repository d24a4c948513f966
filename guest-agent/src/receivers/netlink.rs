// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events over the driver's netlink protocol: by unicast as a
//! subscriber, or by broadcast as a member of the group.

use anyhow::{Context, Result};
use irqbed_abi::{
    control::{ListenerSpec, Mechanism},
    netlink::{MSG_EVENT, MSG_SUBSCRIBE, MSG_UNSUBSCRIBE, SubscribeRequest},
};
use neli::consts::nl::NlmF;
use rustix::{
    fd::AsFd,
    io::{Errno, fcntl_dupfd_cloexec},
    net::{RecvFlags, SendFlags, recv, send, sockopt},
};
use zerocopy::IntoBytes;

use super::{Kind, Receiver};
use crate::{
    events::Sink,
    netlink::{NLMSG_ERROR, Socket, drops, request, unit},
    tsc::{self, GuestTsc},
    wire,
};

/// `netlink_unicast` to each subscriber.
pub const UNICAST: Kind = Kind {
    mechanism: Mechanism::Netlink,
    open: |spec, sink| Ok(Box::new(Netlink::subscribe(spec, sink)?)),
};

/// One `netlink_broadcast` to all members of the group.
pub const BROADCAST: Kind = Kind {
    mechanism: Mechanism::NetlinkBroadcast,
    open: |spec, _| {
        let receiver = Netlink::open(spec)?;
        receiver.socket.join()?;
        Ok(Box::new(receiver))
    },
};

/// Room for a datagram, bytes: several events of the longest payload.
pub const DATAGRAM: usize = 64 << 10;

/// A listener at the driver's socket.
pub struct Netlink {
    socket: Socket,
    unit: u32,
    port_id: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    fn open(spec: &ListenerSpec) -> Result<Self> {
        let unit = unit()?;
        let socket = Socket::open(unit)?;
        if let Some(size) = spec.receive_buffer {
            sockopt::set_socket_recv_buffer_size_force(&socket, usize::try_from(size)?)
                .with_context(|| format!("cannot set a receive buffer of {size} bytes"))?;
        }
        Ok(Self {
            unit,
            port_id: socket.port_id()?,
            socket,
            buffer: vec![0; DATAGRAM],
        })
    }

    /// A subscriber. What comes before the driver's answer is taken at once.
    pub fn subscribe(spec: &ListenerSpec, sink: &mut Sink) -> Result<Self> {
        let mut receiver = Self::open(spec)?;
        let body = SubscribeRequest {
            vectors: spec.vectors,
            reserved: 0,
        };
        let mut early = Vec::new();
        receiver
            .socket
            .ask(MSG_SUBSCRIBE, body.as_bytes(), |datagram| {
                early.push((tsc::now(), datagram.to_vec()));
            })
            .context("cannot subscribe")?;
        for (user, datagram) in early {
            take(sink, user, &datagram);
        }
        Ok(receiver)
    }

    /// What it receives from.
    pub fn socket(&self) -> impl AsFd {
        &self.socket
    }
}

impl Receiver for Netlink {
    fn port_id(&self) -> u32 {
        self.port_id
    }

    fn drops(&self) -> Option<u64> {
        drops(self.unit, self.port_id)
    }

    /// The driver's answer wakes the receiver: it comes through the same
    /// queue, behind the last event.
    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        let socket = fcntl_dupfd_cloexec(&self.socket, 0)?;
        let goodbye = request(MSG_UNSUBSCRIBE, NlmF::REQUEST | NlmF::ACK, u32::MAX, &[])?;
        Ok(Box::new(move || {
            // PID 1 repeats the signal while we are there.
            let _ = send(&socket, &goodbye, SendFlags::DONTWAIT);
        }))
    }

    /// The measured loop. It calls `recv` by itself: `NlSocket::recv` asks the
    /// kernel for the sender's address too, which costs a copy in the kernel
    /// on the very path that is measured. `rustix` makes the system call in
    /// line, so that nothing but the fence is between its return and the stamp.
    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        let socket = self.socket.as_fd();
        loop {
            let received = recv(socket, &mut *self.buffer, RecvFlags::TRUNC);
            let user = tsc::now();
            match received {
                Ok((count, length)) => {
                    // A datagram cut short is never an event.
                    let datagram = self.buffer.get(..count).filter(|_| count == length);
                    if take(sink, user, datagram.unwrap_or_default()) {
                        return Ok(());
                    }
                }
                Err(Errno::NOBUFS) => sink.overrun(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot receive events"),
            }
            sink.woken();
        }
    }
}

/// Takes every event of a datagram; true when it was the driver's goodbye.
#[inline(always)]
pub fn take(sink: &mut Sink, user: GuestTsc, datagram: &[u8]) -> bool {
    let mut rest = datagram;
    loop {
        let Ok((header, body, next)) = wire::split(rest) else {
            sink.malformed();
            return false;
        };
        match header.kind {
            MSG_EVENT => match wire::event(body) {
                Ok((event, payload)) => sink.event(user, &event, payload),
                Err(wire::Malformed) => sink.malformed(),
            },
            NLMSG_ERROR => return true,
            _ => sink.malformed(),
        }
        if next.is_empty() {
            return false;
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use irqbed_abi::netlink::EventMessage;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        stats::{Figure, Stats},
        wire::tests::{event_message, message},
    };

    fn sink() -> (Sink, Stats) {
        let (stats, memory) = Stats::create().expect("shared memory");
        let theirs = Stats::map(&memory).expect("the same memory");
        (Sink::new(theirs, None, false), stats)
    }

    fn event(seq: u64) -> Vec<u8> {
        event_message(
            &EventMessage {
                seq,
                payload_len: 5,
                ..Default::default()
            },
            b"hello",
        )
    }

    #[test]
    fn each_event_of_a_datagram_is_taken() {
        let (mut sink, stats) = sink();
        assert!(!take(
            &mut sink,
            GuestTsc(1),
            &[event(1), event(2), event(3)].concat()
        ));
        let report = stats.report(0, true);
        assert_eq!(
            (report.received, report.last_seq, report.bad_payload),
            (3, 3, 0)
        );
    }

    #[test]
    fn an_answer_of_the_driver_ends_the_listener() {
        let (mut sink, stats) = sink();
        assert!(take(
            &mut sink,
            GuestTsc(1),
            &message(NLMSG_ERROR, &[0; 20])
        ));
        assert_eq!(stats.get(Figure::Received), 0);
    }

    #[test]
    fn what_is_no_event_is_counted_as_malformed() {
        let (mut sink, stats) = sink();
        for datagram in [
            vec![],
            vec![0; 3],
            message(0x99, b"?"),
            message(MSG_EVENT, b"short"),
        ] {
            assert!(!take(&mut sink, GuestTsc(1), &datagram));
        }
        assert_eq!(stats.get(Figure::Malformed), 4);
    }

    proptest! {
        #[test]
        fn any_datagram_is_taken_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            kind in 0_u16..0x20,
        ) {
            let (mut sink, _stats) = sink();
            take(&mut sink, GuestTsc(1), &bytes);
            take(&mut sink, GuestTsc(1), &message(kind, &bytes));
        }
    }
}
