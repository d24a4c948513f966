// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account of a benchmark: each term from where it was counted, in the device,
//! the driver, the agent and the guest's kernel.

use irqbed_abi::{
    control::{ListenerReport, Mechanism},
    counters::Counters,
};
use irqbed_results::{
    account::{Account, Loss},
    result::Replies,
};

use super::{Bench, Counted};
use crate::measure::Run;

impl Bench {
    /// The account of the events. Every event counts once per listener.
    pub(super) fn account(
        &self,
        run: &Run,
        reports: &[ListenerReport],
        before: &Counted,
        after: &Counted,
    ) -> Account {
        let listeners = u64::from(self.listeners);
        let device = after.device.since(&before.device);
        let driver = |count| counted_by_driver(before, after, count);
        let others = reports.iter().skip(1);
        let intact =
            |report: &ListenerReport| report.received - report.bad_payload - report.out_of_order;
        let delivered = run.delivered() + others.clone().map(intact).sum::<u64>();

        // What the first listener has seen, and no event's slot tells.
        let seen = reports.first().map_or(0, |report| report.received);
        let wrong_slot = seen.saturating_sub(run.judged());

        let mut account = Account::new(device.raised * listeners, delivered);
        account
            .lose(Loss::RingOverflow, device.ring_overflow * listeners)
            .lose(Loss::DmaError, device.dma_errors * listeners)
            .lose(Loss::LeftInRing, after.in_rings * listeners)
            .lose(Loss::BadRecord, driver(|c| c.bad_record) * listeners)
            .lose(
                Loss::MissingRecord,
                driver(|c| c.missing_record) * listeners,
            )
            .lose(Loss::NoListener, driver(|c| c.no_listener) * listeners)
            .lose(
                Loss::BadPayload,
                run.bad_payload() + others.clone().map(|r| r.bad_payload).sum::<u64>(),
            )
            .lose(Loss::WrongSlot, wrong_slot)
            .lose(
                Loss::OutOfOrder,
                run.out_of_order() + others.map(|r| r.out_of_order).sum::<u64>(),
            );
        match self.pair.mechanism {
            // One send serves all, and says only that somebody's buffer was
            // full; whose, the kernel counts at each socket.
            Mechanism::NetlinkBroadcast | Mechanism::GenetlinkMulticast => account
                .lose(Loss::Discarded, device.discarded * listeners)
                .lose(Loss::NoMemory, driver(|c| c.no_memory) * listeners)
                .lose(
                    Loss::SocketOverrun,
                    reports.iter().map(|r| r.kernel_drops).sum(),
                ),
            // The listener does what the driver does otherwise, and with it
            // goes what it had not taken.
            Mechanism::Vfio => account
                .lose(
                    Loss::BadRecord,
                    reports.iter().map(|r| r.malformed).sum::<u64>(),
                )
                .lose(Loss::UnreadByDeadListener, device.discarded),
            _ => account
                .lose(Loss::Discarded, device.discarded * listeners)
                .lose(Loss::ListenerGone, driver(|c| c.listener_gone))
                .lose(Loss::NoMemory, driver(|c| c.no_memory))
                .lose(Loss::SocketFull, driver(|c| c.socket_full))
                .lose(Loss::QueueFull, driver(|c| c.queue_full))
                .lose(
                    Loss::UnreadByDeadListener,
                    unread_by_the_dead(reports, driver(|c| c.sent)),
                ),
        };
        account
    }

    /// The account of the replies: agent, driver, device.
    pub(super) fn replies(
        &self,
        reports: &[ListenerReport],
        before: &Counted,
        after: &Counted,
    ) -> Option<Replies> {
        let (by, report) = (self.reply?, reports.first()?);
        let device = after.device.since(&before.device);
        let refused = counted_by_driver(before, after, |c| c.bad_reply);
        let mut account = Account::new(report.replies, device.replies);
        account
            .lose(Loss::ReplyUnsent, report.replies_unsent)
            .lose(Loss::ReplyRefused, refused)
            .lose(Loss::ReplyUnknown, device.unknown_replies);
        Some(Replies {
            by: by.as_str().to_owned(),
            account,
        })
    }
}

/// What our driver counted between two moments; 0 where another had the device.
fn counted_by_driver(before: &Counted, after: &Counted, count: fn(&Counters) -> u64) -> u64 {
    let of = |counted: &Counted| counted.driver.as_ref().map_or(0, count);
    of(after).saturating_sub(of(before))
}

/// Messages the kernel accepted for listeners that died before reading them.
fn unread_by_the_dead(reports: &[ListenerReport], sent: u64) -> u64 {
    if reports.iter().all(|report| report.alive) {
        return 0;
    }
    sent.saturating_sub(reports.iter().map(|report| report.received).sum())
}
