//! Calls of ours: the SETUP, the channel it asks for, and what the peer says about that (Q.931 §5.1, §5.2.3).

use super::setup::Entry;
use super::{Key, Pri};
use crate::isdn::q921::Side;
use crate::isdn::q931::call::{self, Call};
use crate::isdn::q931::ie::{self, Bearer, ChannelId, Number, id};
use crate::isdn::q931::wire::Ie;
use crate::leg::{Ended, Indication};
use std::time::Duration;
use units::{Cause, LegId, Now, Private};

/// A call to be placed.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Digits called, perhaps with `+`.
    pub to: Private<String>,
    /// Digits of the caller, perhaps with `+`; empty: none are sent.
    pub from: Private<String>,
    /// The caller's number is not to be shown.
    pub withheld: bool,
    /// Caller's name.
    pub display: Option<Private<String>>,
    /// Who redirected the call, and why (Q.952.7 code).
    pub redirecting: Option<(Private<String>, u8)>,
    /// Type of number where there is no `+`: 0 unknown, 1 international, 2 national, 4 subscriber.
    pub ton: u8,
    /// Spans that it may use.
    pub spans: Vec<u16>,
    /// Ring no longer than this, ms.
    pub ring_max_ms: u64,
    /// Tries on other channels after glare.
    pub tries_left: u8,
    /// Channels (span, slot) that the peer refused.
    pub avoid: Vec<(u16, u8)>,
}

impl Ask {
    /// A call with nothing special about it; three tries after glare.
    #[must_use]
    pub fn new(to: &str, from: &str, spans: &[u16], ring_max_ms: u64) -> Self {
        Self {
            to: Private::new(to.to_owned()),
            from: Private::new(from.to_owned()),
            withheld: false,
            display: None,
            redirecting: None,
            ton: 0,
            spans: spans.to_vec(),
            ring_max_ms,
            tries_left: 3,
            avoid: Vec::new(),
        }
    }

    fn number(&self, text: &str) -> Number {
        match text.strip_prefix('+') {
            Some(digits) => Number::new(1, digits),
            None => Number::new(self.ton, text),
        }
    }
}

impl Pri {
    pub(super) fn place(&mut self, now: Now, leg: LegId, ask: Ask) {
        let refuse = |pri: &mut Self, cause| {
            let ended = Ended {
                cause,
                status: None,
                by_peer: false,
                retry_after_s: None,
                alerted: false,
                redress: None,
            };
            pri.legs.remove(&leg);
            pri.tell(leg, Indication::Ended(ended));
        };
        if !self.is_up() {
            return refuse(self, Cause::NETWORK_OUT_OF_ORDER);
        }
        if self.calls.len() >= self.config.limits.calls_max {
            return refuse(self, Cause::CONGESTION);
        }
        let (alarms, defects) = (&self.alarms, &self.defects);
        let usable = |c: &super::channels::Channel| {
            ask.spans.contains(&c.span)
                && !ask.avoid.contains(&(c.span, c.slot))
                && !alarms.contains(&c.span)
                && !defects.contains(&c.span)
        };
        // After glare from the other end, where the peer takes channels last.
        let hunt = if ask.avoid.is_empty() { self.config.hunt } else { self.config.hunt.reversed() };
        let Some(channel) = self.channels.hunt(hunt, usable) else {
            return refuse(self, Cause::NO_CIRCUIT);
        };
        let key = self.new_key();
        self.channels.all[channel].call = Some(key);
        let (setup, digits) = self.setup_of(&ask, channel);
        let call = Call::originate(now, self.config.side, self.config.timers, setup, digits);
        let mut entry = Entry::new(call, Some(leg), Some(channel));
        entry.ring_until = Some(now.mono + Duration::from_millis(ask.ring_max_ms));
        entry.ask = Some(Ask { tries_left: ask.tries_left.saturating_sub(1), ..ask });
        self.calls.insert(key, entry);
        self.legs.insert(leg, key);
        self.counters.placed += 1;
        self.drain(now, key);
    }

    /// A reference that no call of ours has.
    fn new_key(&mut self) -> Key {
        loop {
            self.next_ref = self.next_ref % 0x7FFF + 1;
            let key = Key { ours: true, value: self.next_ref };
            if !self.calls.contains_key(&key) {
                return key;
            }
        }
    }

    /// SETUP (table 3-15), and the digits that follow it in overlap sending.
    fn setup_of(&self, ask: &Ask, channel: usize) -> (Vec<Ie>, Vec<Ie>) {
        let switch = &self.config.switch;
        let bearer = if switch.audio { Bearer::Audio(switch.law) } else { Bearer::Speech(switch.law) };
        let (c, exclusive) = (&self.channels.all[channel], switch.exclusive);
        let mut ies = vec![ie::bearer(bearer), ChannelId::one(c.interface, c.slot, exclusive).write()];
        if let Some(name) = &ask.display {
            let text = name.expose().bytes().filter(|b| (0x20..0x7F).contains(b)).take(80);
            ies.push(ie::make(id::DISPLAY, switch.display_type.into_iter().chain(text).collect()));
        }
        if !ask.from.expose().is_empty() {
            let mut from = ask.number(ask.from.expose());
            from.presentation = u8::from(ask.withheld);
            from.screening = if self.config.side == Side::Network { 3 } else { 0 };
            ies.push(from.write(id::CALLING));
        }
        if let Some((number, reason)) = &ask.redirecting {
            let number = Number { reason: *reason, ..ask.number(number.expose()) };
            ies.push(number.write(id::REDIRECTING));
        }
        let to = ask.number(ask.to.expose());
        let one = |d: char| Number { digits: Private::new(d.to_string()), ..to.clone() }.write(id::CALLED);
        let mut digits = Vec::new();
        if self.config.overlap_dial {
            digits = to.digits.expose().chars().take(self.config.limits.digits_max).map(one).collect();
        } else {
            ies.push(to.write(id::CALLED));
            ies.extend(switch.sending_complete.then(|| ie::make(id::SENDING_COMPLETE, Vec::new())));
        }
        (ies, digits)
    }

    /// The peer's first answer names the channel: ours, or another that it gives us (§5.1.2, §5.2.3.1).
    pub(super) fn channel_told(&mut self, now: Now, key: Key, body: &[u8]) {
        let Some(entry) = self.calls.get(&key) else { return };
        let (ours, ask_spans) =
            (entry.channel, entry.ask.as_ref().map(|a| a.spans.clone()).unwrap_or_default());
        let span = ours.map(|c| self.channels.all[c].span).or(ask_spans.first().copied()).unwrap_or(0);
        let told = ChannelId::read(body);
        let named = told
            .as_ref()
            .and_then(|t| Some((t.interface, t.channel()?)))
            .and_then(|(interface, slot)| self.channels.named(interface, span, slot));
        let Some(named) = named else {
            // A coding that cannot be read, or no channel of ours: it stays the one that was asked for.
            return;
        };
        if ours == Some(named) {
            return;
        }
        if self.channels.all[named].blocked || !self.give_way(named) {
            // §5.1.2: a channel that is not acceptable: RELEASE with cause 6.
            return self.give_nested(now, key, Cause(6));
        }
        self.channels.free(key);
        self.channels.all[named].call = Some(key);
        if let Some(entry) = self.calls.get_mut(&key) {
            (entry.channel, entry.robbed) = (Some(named), false);
        }
    }

    /// Whether the network may give this channel to another call: one of ours that it has not answered loses it, since
    /// the network will give that one another, too (§5.7).
    fn give_way(&mut self, channel: usize) -> bool {
        let Some(holder) = self.channels.all[channel].call else { return true };
        let user = self.config.side == Side::User;
        match self.calls.get_mut(&holder) {
            Some(entry) if user && holder.ours && entry.call.is_initiated() => {
                (entry.channel, entry.robbed) = (None, true);
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    /// Clears a call while its outputs are being drained: what it still says comes after.
    fn give_nested(&mut self, now: Now, key: Key, cause: Cause) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let rest: Vec<_> = std::iter::from_fn(|| entry.call.poll()).collect();
        entry.call.handle(now, call::Input::Clear(cause));
        for output in rest {
            if let call::Output::Send(kind, ies) = output {
                self.send(now, key, kind, ies);
            }
        }
    }
}
