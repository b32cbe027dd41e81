//! Messages of the peer: to which call they belong (Q.931 §5.8.3), and calls that come in (§5.1.1, §5.2.1 to §5.2.3).

use super::setup::Entry;
use super::{Key, Pri};
use crate::isdn::q921::Side;
use crate::isdn::q931::call::{self, Call};
use crate::isdn::q931::ie::{self, Bearer, ChannelId, Number, Which, id};
use crate::isdn::q931::wire::{CallRef, Kind, Message, discriminator};
use crate::leg::{Incoming, Indication, Media, Redirection, Transport};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use units::{Cause, LegId, Now, Private};

/// Invalid call reference value.
const NO_SUCH_CALL: Cause = Cause(81);
/// Requested channel not available.
const CHANNEL_TAKEN: Cause = Cause(44);

impl Pri {
    pub(super) fn message_came(&mut self, now: Now, link: usize, octets: &[u8]) {
        let Ok(message) = Message::parse(octets) else {
            self.counters.unreadable += 1;
            return;
        };
        if message.discriminator == discriminator::MAINTENANCE {
            return self.service(now, link, &message);
        }
        match message.call_ref {
            // §5.8.3.2 g): no message with the dummy reference is for us.
            CallRef::Dummy => {}
            CallRef::Number { value: 0, to_origin } => self.global(now, &message, to_origin),
            CallRef::Number { value, to_origin } => {
                let key = Key { ours: to_origin, value };
                if self.calls.contains_key(&key) {
                    self.give(now, key, call::Input::Received(&message));
                } else {
                    self.unknown(now, key, &message);
                }
            }
        }
    }

    /// §5.8.3.2: a reference that no call has.
    fn unknown(&mut self, now: Now, key: Key, message: &Message) {
        let cause = |pri: &Self, c| ie::cause(pri.location(), c, &[]);
        match message.kind {
            Kind::SETUP if !key.ours => self.arrival(now, key, message),
            // d) a SETUP with the flag of an answer; c) RELEASE COMPLETE.
            Kind::SETUP | Kind::RELEASE_COMPLETE => self.counters.stray += 1,
            Kind::STATUS_ENQUIRY => {
                let ies = vec![cause(self, Cause(30)), ie::make(id::CALL_STATE, vec![0])];
                self.send(now, key, Kind::STATUS, ies);
            }
            // f) a peer that is idle, too, is left alone.
            Kind::STATUS if message.ie(id::CALL_STATE).and_then(ie::read_call_state) == Some(0) => {}
            Kind::STATUS => {
                let ies = vec![cause(self, Cause(101))];
                self.send(now, key, Kind::RELEASE_COMPLETE, ies);
            }
            _ => {
                self.counters.stray += 1;
                let ies = vec![cause(self, NO_SUCH_CALL)];
                self.send(now, key, Kind::RELEASE_COMPLETE, ies);
            }
        }
    }

    fn arrival(&mut self, now: Now, key: Key, message: &Message) {
        self.counters.offered += 1;
        match self.accept(now, key, message) {
            Ok(()) => {}
            Err((cause, diagnostics)) => {
                // §5.8.6.1, §5.2.3: a SETUP that cannot be served is refused in one message.
                let ies = vec![ie::cause(self.location(), cause, &diagnostics)];
                self.send(now, key, Kind::RELEASE_COMPLETE, ies);
            }
        }
    }

    fn accept(&mut self, now: Now, key: Key, message: &Message) -> Result<(), (Cause, Vec<u8>)> {
        call::check(message)?;
        let law = self.config.switch.law;
        match message.ie(id::BEARER).and_then(|b| ie::read_bearer(b, law)) {
            Some(Bearer::Speech(_) | Bearer::Audio(_)) => {}
            // Data calls: a voice server has no use for them.
            _ => return Err((Cause::BEARER_NOT_IMPLEMENTED, vec![])),
        }
        if self.calls.len() >= self.config.limits.calls_max {
            return Err((Cause::CONGESTION, vec![]));
        }
        let channel = self.channel_for(message)?;
        self.channels.all[channel].call = Some(key);
        let (slot, interface) = (self.channels.all[channel].slot, self.channels.all[channel].interface);
        let called = message.all(id::CALLED).find_map(Number::read);
        let digits = called.as_ref().map_or(0, |n| n.digits.expose().len());
        let complete = message.ie(id::SENDING_COMPLETE).is_some()
            || self.config.overlap_receive.is_none_or(|want| digits >= usize::from(want));
        let ie = ChannelId::one(interface, slot, true).write();
        let call = Call::incoming(now, self.config.side, self.config.timers, Some(ie), !complete);
        let mut entry = Entry::new(call, None, Some(channel));
        let incoming =
            incoming_of(message, called, Media::Timeslot { span: self.channels.all[channel].span, slot });
        entry.waiting = Some((Box::new(incoming), Private::default()));
        self.calls.insert(key, entry);
        self.drain(now, key);
        if complete {
            self.offer(now, key);
        }
        Ok(())
    }

    /// The channel of a call that comes in; one of ours that has not been answered gives way (§5.7).
    fn channel_for(&mut self, message: &Message) -> Result<usize, (Cause, Vec<u8>)> {
        let asked = match message.ie(id::CHANNEL) {
            Some(body) => ChannelId::read(body).ok_or((Cause(100), vec![id::CHANNEL]))?,
            // Table 3-15, note 2: mandatory from the network.
            None if self.config.side == Side::User => return Err((Cause(96), vec![id::CHANNEL])),
            None => ChannelId { interface: None, exclusive: false, d_channel: false, which: Which::Any },
        };
        let home = self.links.get(self.active).map_or(0, |l| l.span);
        if let (Which::These(_), Some(slot)) = (&asked.which, asked.channel()) {
            let Some(named) = self.channels.named(asked.interface, home, slot) else {
                // Identified channel does not exist.
                return Err((Cause(82), vec![slot]));
            };
            if self.take(named) {
                return Ok(named);
            }
            if asked.exclusive || self.config.side == Side::User {
                return Err((CHANNEL_TAKEN, vec![]));
            }
        }
        if asked.which == Which::No {
            return Err((Cause::NO_CIRCUIT, vec![]));
        }
        let alarms = &self.alarms;
        let other = self.channels.hunt(self.config.hunt, |c| !alarms.contains(&c.span));
        other.ok_or((Cause::NO_CIRCUIT, vec![]))
    }

    /// Whether the peer may have this channel. At the user a call of ours in state 1 loses it: the network's call has
    /// priority (§5.7); at the network ours keeps it.
    fn take(&mut self, channel: usize) -> bool {
        let c = &self.channels.all[channel];
        if c.blocked || self.alarms.contains(&c.span) {
            return false;
        }
        // The peer uses it: whatever our RESTART was for is over.
        self.channels.all[channel].restarting = false;
        let Some(holder) = self.channels.all[channel].call else { return true };
        let Some(entry) = self.calls.get_mut(&holder) else { return true };
        if !holder.ours || !entry.call.is_initiated() {
            return false;
        }
        self.counters.glare += 1;
        if self.config.side == Side::Network {
            return false;
        }
        (entry.channel, entry.robbed) = (None, true);
        true
    }

    /// More digits of a number that comes in pieces.
    pub(super) fn digits(&mut self, now: Now, key: Key, digits: Private<String>, complete: bool) {
        let (want, most) = (self.config.overlap_receive, self.config.limits.digits_max);
        let Some((incoming, _)) = self.calls.get_mut(&key).and_then(|e| e.waiting.as_mut()) else { return };
        let mut to = incoming.to.expose().clone();
        to.push_str(digits.expose());
        to.truncate(most);
        let enough = complete || want.is_some_and(|w| to.len() >= usize::from(w));
        incoming.to = Private::new(to);
        if enough {
            self.offer(now, key);
        }
    }

    /// The number is complete: CALL PROCEEDING, and the leg is told of.
    fn offer(&mut self, now: Now, key: Key) {
        let leg = LegId(self.next_leg);
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Some((incoming, _)) = entry.waiting.take() else { return };
        self.next_leg += 1;
        entry.leg = Some(leg);
        entry.call.handle(now, call::Input::Proceed);
        self.legs.insert(leg, key);
        self.tell(leg, Indication::Incoming(incoming));
        self.drain(now, key);
    }
}

/// SETUP in the words of every leg. There is no address: `source` is unspecified, the media a timeslot.
fn incoming_of(message: &Message, called: Option<Number>, media: Media) -> Incoming {
    let calling = message.all(id::CALLING).find_map(Number::read);
    let shown = calling.filter(|n| n.presentation == 0).map(|n| n.text()).unwrap_or_default();
    let redirects = message.all(id::REDIRECTING).filter_map(Number::read).map(|n| redirection(&n)).collect();
    let mut headers = Vec::new();
    if let Some(display) = message.ie(id::DISPLAY) {
        headers.push(("display".to_owned(), ie::read_display(display).into_exposed()));
    }
    Incoming {
        to: Private::new(called.map(|n| n.text()).unwrap_or_default()),
        from: Private::new(shown),
        source: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        transport: Transport::Udp,
        offer: Some(media),
        redirects,
        headers,
        replaces: None,
    }
}

/// A redirecting number in the words of Diversion (RFC 5806): the reasons that VoiceXML documents know.
fn redirection(number: &Number) -> Redirection {
    let reason = match number.reason {
        1 => "user-busy",
        2 => "no-answer",
        4 => "deflection",
        9 => "out-of-service",
        15 => "unconditional",
        _ => "unknown",
    };
    let privacy = if number.presentation == 0 { "off" } else { "full" };
    let screen = if number.screening == 1 || number.screening == 3 { "yes" } else { "no" };
    Redirection {
        uri: Private::new(if number.presentation == 0 { number.text() } else { String::new() }),
        reason: reason.into(),
        privacy: privacy.into(),
        screen: screen.into(),
    }
}
