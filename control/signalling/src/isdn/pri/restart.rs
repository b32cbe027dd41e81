//! RESTART (Q.931 §5.5): channels go back to idle on both sides. One RESTART is outstanding at a time; without an answer
//! it is repeated every T316, so that a peer that comes back late finds its channels in order.

use super::{Key, Pri};
use crate::isdn::q931::call;
use crate::isdn::q931::ie::{self, ChannelId, Restart, Which, id};
use crate::isdn::q931::wire::{CallRef, Kind, Message, discriminator};
use std::collections::VecDeque;
use units::{Cause, Mono, Now};

/// What is to be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// One channel, by its place.
    Channel(usize),
    /// All channels of a span.
    Span(u16),
}

/// RESTARTs that wait, and the one that is out.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    waiting: VecDeque<What>,
    out: Option<(What, Mono)>,
}

impl Restarts {
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.out.map(|(_, at)| at)
    }

    pub(super) fn stop(&mut self) {
        self.waiting.clear();
        self.out = None;
    }
}

impl Pri {
    /// The data link is up: every span without calls begins at zero.
    pub(super) fn restart_all(&mut self, now: Now) {
        self.restarts.stop();
        self.channels.all.iter_mut().for_each(|c| c.restarting = false);
        if !self.config.switch.restart {
            return;
        }
        let spans: Vec<u16> = self.config.spans.iter().map(|s| s.number).collect();
        for span in spans {
            let of_span = |c: &&mut super::channels::Channel| c.span == span && c.call.is_none();
            // Calls that T309 kept go on: only then are channels restarted one by one.
            let kept = self.channels.all.iter().any(|c| c.span == span && c.call.is_some());
            self.channels.all.iter_mut().filter(of_span).for_each(|c| c.restarting = true);
            if kept {
                let free =
                    self.channels.all.iter().enumerate().filter(|(_, c)| c.span == span && c.restarting);
                let each: Vec<What> = free.map(|(n, _)| What::Channel(n)).collect();
                self.restarts.waiting.extend(each);
            } else {
                self.restarts.waiting.push_back(What::Span(span));
            }
        }
        self.next_restart(now);
    }

    pub(super) fn restart_channel(&mut self, now: Now, channel: usize) {
        self.channels.all[channel].restarting = true;
        self.restarts.waiting.push_back(What::Channel(channel));
        self.next_restart(now);
    }

    fn next_restart(&mut self, now: Now) {
        if self.restarts.out.is_some() || !self.is_up() {
            return;
        }
        let Some(what) = self.restarts.waiting.pop_front() else { return };
        self.send_restart(now, what);
    }

    fn send_restart(&mut self, now: Now, what: What) {
        let ies = match what {
            What::Channel(n) => {
                let c = &self.channels.all[n];
                vec![ChannelId::one(c.interface, c.slot, true).write(), ie::restart(Restart::Channels)]
            }
            What::Span(span) => {
                let interface = self.config.spans.iter().find(|s| s.number == span).and_then(|s| s.interface);
                let whole = ChannelId { interface, exclusive: true, d_channel: false, which: Which::No };
                let mut ies = vec![ie::restart(Restart::Interface)];
                ies.extend(interface.map(|_| whole.write()));
                ies
            }
        };
        self.restarts.out = Some((what, now.mono + self.config.timers.t316));
        self.global_message(now, Kind::RESTART, false, ies);
    }

    fn global_message(&mut self, now: Now, kind: Kind, to_origin: bool, ies: Vec<crate::isdn::q931::Ie>) {
        let call_ref = CallRef::Number { value: 0, to_origin };
        self.message(now, &Message { discriminator: discriminator::CALL_CONTROL, call_ref, kind, ies });
    }

    pub(super) fn restart_due(&mut self, now: Now) {
        if let Some((what, at)) = self.restarts.out
            && at <= now.mono
            && self.is_up()
        {
            self.send_restart(now, what);
        }
    }

    /// Messages with the global call reference (§5.5, §5.8.3.2 f).
    pub(super) fn global(&mut self, now: Now, message: &Message, to_origin: bool) {
        match (message.kind, to_origin) {
            (Kind::RESTART, false) => self.restarted(now, message),
            (Kind::RESTART_ACK, true) => self.restart_acknowledged(now),
            (Kind::STATUS, _) => {}
            (Kind::STATUS_ENQUIRY, _) => {
                let ies = vec![ie::cause(self.location(), Cause(30), &[]), ie::make(id::CALL_STATE, vec![0])];
                self.global_message(now, Kind::STATUS, !to_origin, ies);
            }
            _ => {
                // §5.8.3.2 f): STATUS with cause 81 and the restart state "null".
                let ies = vec![ie::cause(self.location(), Cause(81), &[]), ie::make(id::CALL_STATE, vec![0])];
                self.global_message(now, Kind::STATUS, !to_origin, ies);
            }
        }
    }

    fn restarted(&mut self, now: Now, message: &Message) {
        if let Err((cause, diagnostics)) = call::check(message) {
            let ies =
                vec![ie::cause(self.location(), cause, &diagnostics), ie::make(id::CALL_STATE, vec![0])];
            return self.global_message(now, Kind::STATUS, true, ies);
        }
        let what = message.ie(id::RESTART).and_then(ie::read_restart);
        let channel = message.ie(id::CHANNEL).and_then(ChannelId::read);
        let home = self.links.get(self.active).map_or(0, |l| l.span);
        let interface = channel.as_ref().and_then(|c| c.interface);
        let span_of = |pri: &Self| match interface {
            Some(_) => pri.config.spans.iter().find(|s| s.interface == interface).map(|s| s.number),
            None => Some(home),
        };
        let these: Vec<usize> = match (what, &channel) {
            (Some(Restart::All), _) => (0..self.channels.all.len()).collect(),
            (Some(Restart::Interface), _) => {
                let span = span_of(self);
                (0..self.channels.all.len()).filter(|&n| Some(self.channels.all[n].span) == span).collect()
            }
            (Some(Restart::Channels), Some(ChannelId { which: Which::These(slots), .. })) => {
                slots.iter().filter_map(|&s| self.channels.named(interface, home, s)).collect()
            }
            _ => {
                // §5.5.2, §5.8.6: the channels are mandatory here.
                let ies = vec![
                    ie::cause(self.location(), Cause(96), &[id::CHANNEL]),
                    ie::make(id::CALL_STATE, vec![0]),
                ];
                return self.global_message(now, Kind::STATUS, true, ies);
            }
        };
        for n in these {
            self.clear_channel(now, n);
            self.channels.all[n].restarting = false;
        }
        let echo = message.ies.iter().filter(|e| e.codeset == 0 && matches!(e.id, id::CHANNEL | id::RESTART));
        let ies = echo.cloned().collect();
        self.global_message(now, Kind::RESTART_ACK, true, ies);
    }

    fn restart_acknowledged(&mut self, now: Now) {
        let Some((what, _)) = self.restarts.out.take() else { return };
        for (n, channel) in self.channels.all.iter_mut().enumerate() {
            let meant = match what {
                What::Channel(c) => c == n,
                What::Span(span) => channel.span == span,
            };
            if meant && channel.restarting {
                channel.restarting = false;
                self.counters.restarts += 1;
            }
        }
        self.next_restart(now);
    }

    fn clear_channel(&mut self, now: Now, n: usize) {
        if let Some(key) = self.channels.all[n].call {
            self.give(now, key, call::Input::Drop(Cause::TEMPORARY));
        }
    }

    /// A span is dead: what used it ends (cause 27, destination out of order, as §5.8.9 has it).
    pub(super) fn clear_span(&mut self, now: Now, span: u16) {
        let on = |c: &&super::channels::Channel| c.span == span;
        let keys: Vec<Key> = self.channels.all.iter().filter(on).filter_map(|c| c.call).collect();
        for key in keys {
            self.give(now, key, call::Input::Drop(Cause::OUT_OF_ORDER));
        }
    }
}
