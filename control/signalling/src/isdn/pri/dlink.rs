//! The D-channel's data link, kept up, and the backup of an NFAS group (Q.931 annex F): both links are established, one
//! carries call control; when it fails the other is proposed by SERVICE and taken when that is acknowledged.

use super::{Output, Pri};
use crate::isdn::q921::{self, Link, Side};
use crate::isdn::q931::call;
use crate::isdn::q931::ie::{self, ChannelId, Which, id};
use crate::isdn::q931::wire::{CallRef, Kind, Message, discriminator};
use units::{Mono, Now};

/// One D-channel.
#[derive(Debug)]
pub(super) struct DLink {
    pub(super) span: u16,
    pub(super) link: Link,
    /// Its span has no alarm.
    line_up: bool,
    /// It was in use before, so that its next establishment is a return.
    was_up: bool,
}

impl DLink {
    pub(super) fn new(span: u16, side: Side, timers: q921::Timers) -> Self {
        Self { span, link: Link::new(side, timers), line_up: true, was_up: false }
    }

    pub(super) fn is_up(&self) -> bool {
        self.link.is_up()
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.link.deadline().map(|(at, _)| at)
    }
}

/// Change status, octet 3: in service (NI-2, class II SERVICE).
const IN_SERVICE: u8 = 0x80 | (1 << 6);
/// Out of service.
const OUT_OF_SERVICE: u8 = 0x80 | (1 << 6) | 2;

impl Pri {
    pub(super) fn link_input(&mut self, now: Now, n: usize, input: q921::Input<'_>) {
        let Some(link) = self.links.get_mut(n) else { return };
        if link.link.handle(now, input).is_err() {
            self.counters.lost += 1;
        }
        // A message handled below may send, and so come here again: the link's outputs are taken out first.
        let outputs: Vec<q921::Output> = std::iter::from_fn(|| link.link.poll()).collect();
        let span = link.span;
        for output in outputs {
            match output {
                q921::Output::Frame(octets) => self.out.push_back(Output::Frame { span, octets }),
                q921::Output::Data(octets) => self.message_came(now, n, &octets),
                q921::Output::Error(_) => self.counters.link_errors += 1,
                q921::Output::Confirmed | q921::Output::Established => self.link_up(now, n),
                q921::Output::Released => self.link_down(now, n),
            }
        }
    }

    fn link_up(&mut self, now: Now, n: usize) {
        let link = &mut self.links[n];
        let (reset, span) = (std::mem::replace(&mut link.was_up, true), link.span);
        if n != self.active {
            self.out.push_back(Output::Link { span, up: true });
            if !self.is_up() {
                self.propose(now, n);
            }
            return;
        }
        if reset {
            self.all_calls(now, || call::Input::LinkReset);
            return;
        }
        self.out.push_back(Output::Link { span, up: true });
        self.restart_all(now);
        self.all_calls(now, || call::Input::LinkUp);
    }

    fn link_down(&mut self, now: Now, n: usize) {
        let link = &mut self.links[n];
        let span = link.span;
        if std::mem::take(&mut link.was_up) {
            self.out.push_back(Output::Link { span, up: false });
        }
        if n == self.active {
            self.restarts.stop();
            self.all_calls(now, || call::Input::LinkDown);
            if let Some(other) = (0..self.links.len()).find(|&o| o != n && self.links[o].is_up()) {
                self.propose(now, other);
            }
        }
        // A primary rate link is to be up always; while the line is dead there is nobody to ask.
        if self.links[n].line_up {
            self.link_input(now, n, q921::Input::Establish);
        }
    }

    fn all_calls(&mut self, now: Now, input: impl Fn() -> call::Input<'static>) {
        let keys: Vec<_> = self.calls.keys().copied().collect();
        for key in keys {
            self.give(now, key, input());
        }
    }

    /// A span failed or works again: its calls are over (their samples are), its D-channel too.
    pub(super) fn line(&mut self, now: Now, span: u16, up: bool) {
        let changed = if up { self.alarms.remove(&span) } else { self.alarms.insert(span) };
        if !changed {
            return;
        }
        if let Some(n) = self.links.iter().position(|l| l.span == span) {
            self.links[n].line_up = up;
            self.link_input(now, n, if up { q921::Input::Establish } else { q921::Input::LineDown });
        }
        if !up {
            self.clear_span(now, span);
        }
    }

    /// Proposes a link for call control.
    fn propose(&mut self, now: Now, n: usize) {
        let message = self.service_message(Kind::SERVICE, false, IN_SERVICE, n);
        self.link_input(now, n, q921::Input::Send(&message.write()));
    }

    fn service_message(&self, kind: Kind, to_origin: bool, status: u8, n: usize) -> Message {
        let span = self.links.get(n).map_or(0, |l| l.span);
        let interface = self.config.spans.iter().find(|s| s.number == span).and_then(|s| s.interface);
        let channel = ChannelId { interface, exclusive: true, d_channel: true, which: Which::These(vec![]) };
        let ies = vec![ie::make(id::CHANGE_STATUS, vec![status]), channel.write()];
        let call_ref = CallRef::Number { value: 0, to_origin };
        Message { discriminator: discriminator::MAINTENANCE, call_ref, kind, ies }
    }

    /// SERVICE and its acknowledgement: of the D-channel (backup), or of a B-channel (NI-2 maintenance).
    pub(super) fn service(&mut self, now: Now, n: usize, message: &Message) {
        let status = message.ie(id::CHANGE_STATUS).and_then(|b| b.first()).copied();
        let channel = message.ie(id::CHANNEL).and_then(ChannelId::read);
        let (Some(status), Some(channel)) = (status, channel) else {
            self.counters.unreadable += 1;
            return;
        };
        if message.kind == Kind::SERVICE {
            let mut answer = message.clone();
            answer.kind = Kind::SERVICE_ACK;
            answer.call_ref = CallRef::Number { value: 0, to_origin: true };
            self.link_input(now, n, q921::Input::Send(&answer.write()));
        } else if message.kind != Kind::SERVICE_ACK {
            return;
        }
        if channel.d_channel {
            if status & 3 == 0 && n != self.active {
                // The peer's word is enough: it may see a failure before we do.
                self.active = n;
                self.restarts.stop();
                self.all_calls(now, || call::Input::LinkUp);
            }
        } else if message.kind == Kind::SERVICE
            && let Which::These(slots) = &channel.which
        {
            let home = self.links[n].span;
            for slot in slots {
                if let Some(c) = self.channels.named(channel.interface, home, *slot) {
                    self.channels.all[c].blocked_far = status & 3 == OUT_OF_SERVICE & 3;
                }
            }
        }
    }
}
