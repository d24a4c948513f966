// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Registers straight over the socket: request and reply, from the system call
//! that sends the one to that which has brought the other.

use std::time::{Duration, Instant};

use device_model::vfio_user::{Client, ClientError};
use irqbed_machine::{interrupt, progress::Progress};
use irqbed_results::ratio::Rounds;

use super::{MmioError, Plan, Served, Target, in_turns};

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of a register.
const WIDEST: usize = 8;

/// Measures every register, over one connection to each server.
pub(super) fn measure(
    plan: &Plan,
    served: &[Served],
    progress: &Progress,
    notes: &mut Vec<String>,
) -> Result<Vec<Rounds>, MmioError> {
    let mut registers = Vec::new();
    for (target, served) in plan.targets.iter().zip(served) {
        registers.push(Register::open(plan, target, served, notes)?);
    }
    let mut rounds: Vec<Rounds> = registers.iter().map(|_| Rounds::default()).collect();
    progress.phase_of("over the socket", plan.rounds);
    for round in 0..plan.rounds {
        for turn in in_turns(round, registers.len()) {
            interrupt::check()?;
            if let (Some(register), Some(rounds)) = (registers.get_mut(turn), rounds.get_mut(turn))
            {
                rounds.0.push(register.block(plan.count)?);
            }
        }
        progress.at(round + 1);
    }
    Ok(rounds)
}

/// A register that is connected to.
struct Register {
    name: String,
    client: Client,
    region: u32,
    offset: u64,
    data: [u8; WIDEST],
    width: usize,
    write: bool,
}

impl Register {
    fn open(
        plan: &Plan,
        target: &Target,
        served: &Served,
        notes: &mut Vec<String>,
    ) -> Result<Self, MmioError> {
        let refused = |why| MmioError::NoRegister {
            server: served.name.clone(),
            why,
        };
        let failed = |error: ClientError| refused(error.to_string());
        let mut client = Client::connect(&served.path(), PATIENCE).map_err(failed)?;
        let (index, offset) = (target.region, target.offset);
        let region = client.region(index).map_err(failed)?;
        let end = offset.checked_add(plan.width.into());
        if region.size == 0 {
            return Err(refused(format!("it has no region {index}")));
        }
        let allowed = if plan.write.is_some() {
            (region.write, "written")
        } else {
            (region.read, "read")
        };
        if !allowed.0 {
            return Err(refused(format!("region {index} cannot be {}", allowed.1)));
        }
        if end.is_none_or(|end| end > region.size) {
            return Err(refused(format!(
                "region {index} has {:#x} bytes, and no {} at {offset:#x}",
                region.size, plan.width
            )));
        }
        if region.file.is_some() {
            notes.push(format!(
                "region {index} of {} can be mapped: where it is, the guest accesses memory",
                served.name
            ));
        }
        let mut register = Self {
            name: served.name.clone(),
            client,
            region: index,
            offset,
            data: plan.write.unwrap_or_default().to_le_bytes(),
            width: plan.width as usize,
            write: plan.write.is_some(),
        };
        // Paths and pages are warm, and it works.
        register.access().map_err(failed)?;
        Ok(register)
    }

    /// One access, and how long it took.
    fn access(&mut self) -> Result<Duration, ClientError> {
        let data = self.data.get_mut(..self.width).unwrap_or_default();
        let began = Instant::now();
        if self.write {
            self.client.region_write(self.region, self.offset, data)?;
        } else {
            self.client.region_read(self.region, self.offset, data)?;
        }
        Ok(began.elapsed())
    }

    /// Nanoseconds of each of so many accesses.
    fn block(&mut self, count: u64) -> Result<Vec<f64>, MmioError> {
        let mut times = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        for _ in 0..count {
            let took = self.access().map_err(|error| MmioError::Server {
                server: self.name.clone(),
                error,
            })?;
            times.push(took.as_nanos() as f64);
        }
        Ok(times)
    }
}
