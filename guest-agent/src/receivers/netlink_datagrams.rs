// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events that come in netlink datagrams: what the receivers by netlink and by
//! generic netlink share.

use anyhow::{Context, Result};
use irqbed_abi::{control::ListenerSpec, netlink::EventMessage};
use neli::consts::nl::NlmF;
use rustix::{
    fd::AsFd,
    io::{Errno, fcntl_dupfd_cloexec},
    net::{RecvFlags, SendFlags, recv, send, sockopt},
};

use super::receiver::{Receiver, until_last};
use crate::{
    netlink::{NLMSG_ERROR, Socket, drops, request},
    nlmsg::{self, Malformed},
    signal::Action,
    sink::Sink,
    tsc::{self, GuestTsc},
};

/// Room for a datagram, bytes: several events of the longest payload.
pub const DATAGRAM: usize = 64 << 10;

/// Reads the body of an event: its description and its payload.
type ReadEvent = fn(&[u8]) -> Result<(EventMessage, &[u8]), Malformed>;

/// How a protocol puts its messages.
pub struct Protocol {
    /// The netlink protocol.
    pub number: u32,
    /// Message type of an event.
    pub event: u16,
    /// Reads the body of an event.
    pub read: ReadEvent,
    /// Message type and body of the request for no more events.
    pub unsubscribe: (u16, Vec<u8>),
}

/// A socket that events come to.
pub struct Datagrams {
    socket: Socket,
    port_id: u32,
    protocol: Protocol,
}

impl Datagrams {
    /// Makes a receiver of a socket that has asked for nothing yet.
    pub fn new(socket: Socket, protocol: Protocol, spec: &ListenerSpec) -> Result<Self> {
        if let Some(size) = spec.receive_buffer {
            sockopt::set_socket_recv_buffer_size_force(&socket, usize::try_from(size)?)
                .with_context(|| format!("cannot set a receive buffer of {size} bytes"))?;
        }
        Ok(Self {
            port_id: socket.port_id()?,
            socket,
            protocol,
        })
    }

    /// Asks for events by unicast. Those that come before the driver's answer
    /// are taken, too.
    pub fn subscribe(&mut self, kind: u16, body: &[u8], sink: &mut Sink) -> Result<()> {
        let mut early = Vec::new();
        self.socket
            .ask(kind, body, |datagram| {
                early.push((tsc::now(), datagram.to_vec()));
            })
            .context("cannot subscribe")?;
        for (user, datagram) in early {
            self.deliver(sink, user, &datagram);
        }
        Ok(())
    }

    /// What it receives from.
    pub fn socket(&self) -> impl AsFd {
        &self.socket
    }

    /// Takes every event of a datagram; true when it was the driver's acknowledgement of the end.
    #[inline(always)]
    pub fn deliver(&self, sink: &mut Sink, user: GuestTsc, datagram: &[u8]) -> bool {
        deliver(&self.protocol, sink, user, datagram)
    }

    /// Joins a multicast group.
    pub fn join(&self, group: u32) -> Result<()> {
        self.socket.join(group)
    }

    /// The driver's answer wakes the receiver: it comes through the same
    /// queue, behind the last event.
    fn stop(&self) -> Result<Action> {
        let socket = fcntl_dupfd_cloexec(&self.socket, 0)?;
        let (kind, body) = &self.protocol.unsubscribe;
        let request = request(*kind, NlmF::REQUEST | NlmF::ACK, u32::MAX, body)?;
        Ok(Box::new(move || {
            // PID 1 repeats the signal while we are there.
            let _ = send(&socket, &request, SendFlags::DONTWAIT);
        }))
    }

    /// A receiver from the socket.
    pub fn receiver(
        self,
        mut run: impl FnMut(&Self, &mut Sink) -> Result<()> + 'static,
    ) -> Result<Receiver> {
        let (protocol, port_id) = (self.protocol.number, self.port_id);
        Ok(Receiver {
            port_id,
            stop: self.stop()?,
            drops: Box::new(move || drops(protocol, port_id)),
            run: Box::new(move |sink| run(&self, sink)),
        })
    }

    /// One that calls `recv` by itself: `NlSocket::recv` asks the kernel for the
    /// sender's address too, which costs a copy in the kernel on the very path
    /// that is measured. `rustix` makes the system call in line, so that nothing
    /// but the fence is between its return and the stamp.
    pub fn receive(self) -> Result<Receiver> {
        let mut buffer = vec![0; DATAGRAM];
        self.receiver(move |datagrams, sink| {
            until_last(sink, |sink| {
                let received = recv(&datagrams.socket, &mut *buffer, RecvFlags::TRUNC);
                let user = tsc::now();
                match received {
                    Ok((count, length)) => {
                        // A datagram cut short is never an event.
                        let datagram = buffer.get(..count).filter(|_| count == length);
                        return Ok(datagrams.deliver(sink, user, datagram.unwrap_or_default()));
                    }
                    Err(Errno::NOBUFS) => sink.count_overrun(),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error).context("cannot receive events"),
                }
                Ok(false)
            })
        })
    }
}

#[inline(always)]
fn deliver(protocol: &Protocol, sink: &mut Sink, user: GuestTsc, datagram: &[u8]) -> bool {
    let mut rest = datagram;
    loop {
        let Ok((header, body, next)) = nlmsg::split(rest) else {
            sink.count_malformed();
            return false;
        };
        match header.kind {
            kind if kind == protocol.event => match (protocol.read)(body) {
                Ok((event, payload)) => sink.deliver(user, &event, payload),
                Err(Malformed) => sink.count_malformed(),
            },
            NLMSG_ERROR => return true,
            _ => sink.count_malformed(),
        }
        if next.is_empty() {
            return false;
        }
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use irqbed_abi::netlink::MSG_EVENT;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        nlmsg::tests::{event_message, genl_body, message},
        stats::{Figure, Stats},
    };

    const PROTOCOL: Protocol = Protocol {
        number: 31,
        event: MSG_EVENT,
        read: nlmsg::event,
        unsubscribe: (0, Vec::new()),
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
        assert!(!deliver(
            &PROTOCOL,
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
    fn an_event_of_the_generic_family_is_taken_as_one_of_its_number() {
        let (mut sink, stats) = sink();
        let family = Protocol {
            event: 0x1c,
            read: nlmsg::genl_event,
            ..PROTOCOL
        };
        let body = genl_body(&EventMessage::default(), b"");
        assert!(!deliver(
            &family,
            &mut sink,
            GuestTsc(1),
            &message(0x1c, &body)
        ));
        assert_eq!(stats.get(Figure::Received), 1);
        assert!(!deliver(
            &family,
            &mut sink,
            GuestTsc(1),
            &message(0x1d, &body)
        ));
        assert_eq!(stats.get(Figure::Malformed), 1);
    }

    #[test]
    fn an_answer_of_the_driver_ends_the_listener() {
        let (mut sink, stats) = sink();
        assert!(deliver(
            &PROTOCOL,
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
            assert!(!deliver(&PROTOCOL, &mut sink, GuestTsc(1), &datagram));
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
            deliver(&PROTOCOL, &mut sink, GuestTsc(1), &bytes);
            deliver(&PROTOCOL, &mut sink, GuestTsc(1), &message(kind, &bytes));
        }
    }
}
