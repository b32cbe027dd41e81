//! `Pri`: the calls of one primary rate D-channel (or of an NFAS group with its backup D-channel) and the B-channels
//! they use. Frames of the D-channel and [`Action`]s in; frames and [`Indication`]s out. No socket, no clock.
//!
//! It keeps the data link up by itself, restarts the channels when it comes up (Q.931 §5.5), chooses channels and
//! settles glare (§5.7), and sends each message to its call. Which of its spans a call of ours may use is told with it.

mod arrive;
mod channels;
mod dlink;
mod place;
mod restart;
mod setup;
mod transfer;

pub use channels::{ChannelState, Hunt};
pub use place::Ask;

use super::q921::{self, Side};
use super::q931::call::{self, Output as CallOutput, Timers, Told};
use super::q931::ie::Location;
use super::q931::wire::{CallRef, Ie, Kind, Message, discriminator};
use super::switch::Switch;
use crate::leg::{Action, Ended, Indication, Media};
use channels::Channels;
use dlink::DLink;
use restart::Restarts;
use setup::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use units::{Cause, LegId, Mono, Now};

/// A call reference as a key: ours or theirs, and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    ours: bool,
    value: u16,
}

/// What a `Pri` is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which side of the interface we are.
    pub side: Side,
    /// The dialect.
    pub switch: Switch,
    /// Call timers.
    pub timers: Timers,
    /// Its spans.
    pub spans: Vec<Span>,
    /// Order in which channels are taken.
    pub hunt: Hunt,
    /// Send the number digit by digit after SETUP.
    pub overlap_dial: bool,
    /// Await more digits until so many are there (or the caller's exchange says that they are complete); `None`: numbers
    /// come en bloc.
    pub overlap_receive: Option<u8>,
    /// The exchange joins two calls of ours when asked (call transfer).
    pub transfer: bool,
    /// Legs of incoming calls are numbered from here; the owner keeps ranges apart.
    pub legs_from: u64,
    /// Limits.
    pub limits: Limits,
}

/// One span of a `Pri`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its number, from 1.
    pub number: u16,
    /// Interface identifier, where a D-channel serves several spans.
    pub interface: Option<u8>,
    /// Slots that are B-channels.
    pub channels: Vec<u8>,
    /// It has a D-channel; the first span that has one has the primary, the second the backup.
    pub d_channel: bool,
}

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once, those being cleared too. More than channels, since references outlive their channels a little.
    pub calls_max: usize,
    /// Digits of one number.
    pub digits_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls_max: 2_000, digits_max: 32 }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A D-channel frame, FCS checked and removed.
    Frame {
        /// Of which span.
        span: u16,
        /// Octets.
        octets: &'a [u8],
    },
    /// A span failed (alarm declared) or works again.
    Line {
        /// Which.
        span: u16,
        /// It works.
        up: bool,
    },
    /// A span shows a first defect, no alarm yet: no new call of ours goes there while it lasts.
    Defect {
        /// Which.
        span: u16,
        /// It is there.
        on: bool,
    },
    /// Place a call.
    Place(LegId, Box<Ask>),
    /// Something for a leg; `Action::Place` is not for here.
    Leg(LegId, Action),
    /// An operator takes a span, or one slot of it, out or puts it back.
    Block {
        /// Which span.
        span: u16,
        /// Which slot; `None`: all.
        slot: Option<u8>,
        /// Out.
        on: bool,
    },
    /// A deadline passed.
    Timer,
}

/// What is asked, or told.
#[derive(Debug)]
pub enum Output {
    /// Send this frame on the D-channel of this span.
    Frame {
        /// Which span.
        span: u16,
        /// Octets without flags and FCS.
        octets: Vec<u8>,
    },
    /// A leg tells.
    Leg(LegId, Indication),
    /// A D-channel came up or went down.
    Link {
        /// Of which span.
        span: u16,
        /// Up.
        up: bool,
    },
}

/// What was dropped or went wrong; only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Octets that were no message (§5.8.1 to §5.8.3).
    pub unreadable: u64,
    /// Messages of calls that there are none of.
    pub stray: u64,
    /// Q.921 errors (MDL-ERROR).
    pub link_errors: u64,
    /// Both sides took the same channel.
    pub glare: u64,
    /// Channels restarted.
    pub restarts: u64,
    /// Messages that found the data link's queue full.
    pub lost: u64,
    /// SETUP received.
    pub offered: u64,
    /// SETUP sent.
    pub placed: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Pri {
    config: Config,
    links: Vec<DLink>,
    /// The D-channel that carries call control.
    active: usize,
    channels: Channels,
    /// Spans in alarm, and spans with a first defect.
    alarms: BTreeSet<u16>,
    defects: BTreeSet<u16>,
    calls: BTreeMap<Key, Entry>,
    legs: BTreeMap<LegId, Key>,
    deadlines: BTreeSet<(Mono, Key)>,
    restarts: Restarts,
    /// Transfers that the exchange has not answered.
    moving: Vec<transfer::Moving>,
    next_invoke: u16,
    next_ref: u16,
    next_leg: u64,
    counters: Counters,
    out: VecDeque<Output>,
}

impl Pri {
    /// Nothing is up; [`Self::start`] brings the data links up.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut channels = Channels::default();
        for span in &config.spans {
            span.channels.iter().for_each(|&slot| channels.push(span.number, slot, span.interface));
        }
        let with_d = config.spans.iter().filter(|s| s.d_channel);
        let links = with_d.map(|s| DLink::new(s.number, config.side, config.switch.link())).collect();
        Self {
            links,
            active: 0,
            channels,
            alarms: BTreeSet::new(),
            defects: BTreeSet::new(),
            calls: BTreeMap::new(),
            legs: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            restarts: Restarts::default(),
            moving: Vec::new(),
            next_invoke: 0,
            next_ref: 0,
            next_leg: config.legs_from,
            counters: Counters::default(),
            out: VecDeque::new(),
            config,
        }
    }

    /// Asks for the data links.
    pub fn start(&mut self, now: Now) {
        for n in 0..self.links.len() {
            self.link_input(now, n, q921::Input::Establish);
        }
    }

    /// One input; then drain [`Self::poll`]. What comes from the line, and actions that do not fit, are never errors.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Frame { span, octets } => {
                if let Some(n) = self.links.iter().position(|l| l.span == span) {
                    self.link_input(now, n, q921::Input::Frame(octets));
                }
            }
            Input::Line { span, up } => self.line(now, span, up),
            Input::Defect { span, on: true } => drop(self.defects.insert(span)),
            Input::Defect { span, on: false } => drop(self.defects.remove(&span)),
            Input::Place(leg, ask) => self.place(now, leg, *ask),
            Input::Leg(leg, action) => self.act(now, leg, action),
            Input::Block { span, slot, on } => {
                let these = |c: &&mut channels::Channel| c.span == span && slot.is_none_or(|s| s == c.slot);
                self.channels.all.iter_mut().filter(these).for_each(|c| c.blocked = on);
            }
            Input::Timer => self.due(now),
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Timer`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let links = self.links.iter().filter_map(|l| l.deadline());
        let call = self.deadlines.first().map(|(at, _)| *at);
        links.chain(call).chain(self.restarts.deadline()).chain(self.transfer_deadline()).min()
    }

    /// The dialect it speaks.
    #[must_use]
    pub fn switch(&self) -> &Switch {
        &self.config.switch
    }

    /// Its spans.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.config.spans
    }

    /// Whether it has this leg.
    #[must_use]
    pub fn has(&self, leg: LegId) -> bool {
        self.legs.contains_key(&leg)
    }

    /// What a channel is doing; `None`: it is no channel of this.
    #[must_use]
    pub fn channel(&self, span: u16, slot: u8) -> Option<ChannelState> {
        let c = &self.channels.all[self.channels.find(span, slot)?];
        Some(match c.call {
            Some(key) if key.ours => ChannelState::Outgoing,
            Some(_) => ChannelState::Incoming,
            None if c.blocked => ChannelState::Blocked,
            None if c.blocked_far => ChannelState::BlockedFar,
            None if self.alarms.contains(&span) => ChannelState::Alarm,
            None if !self.is_up() => ChannelState::NoLink,
            None if c.restarting => ChannelState::Restarting,
            None => ChannelState::Idle,
        })
    }

    /// Free channels that a new call of ours may use, of these spans.
    #[must_use]
    pub fn free(&self, spans: &[u16]) -> usize {
        let free = |c: &&channels::Channel| {
            spans.contains(&c.span)
                && !self.defects.contains(&c.span)
                && self.channel(c.span, c.slot) == Some(ChannelState::Idle)
        };
        self.channels.all.iter().filter(free).count()
    }

    /// Call control can be sent.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.links.get(self.active).is_some_and(DLink::is_up)
    }

    /// Data links: span, state number of Q.921, and whether it carries call control.
    pub fn links(&self) -> impl Iterator<Item = (u16, u8, bool)> {
        self.links.iter().enumerate().map(|(n, l)| (l.span, l.link.state_number(), n == self.active))
    }

    /// Call references in use.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// What went wrong so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn location(&self) -> Location {
        match self.config.side {
            Side::User => Location::USER,
            Side::Network => Location::PUBLIC_LOCAL,
        }
    }

    fn tell(&mut self, leg: LegId, indication: Indication) {
        self.out.push_back(Output::Leg(leg, indication));
    }

    fn due(&mut self, now: Now) {
        for n in 0..self.links.len() {
            if self.links[n].deadline().is_some_and(|at| at <= now.mono) {
                self.link_input(now, n, q921::Input::Timer);
            }
        }
        while let Some(&(at, key)) = self.deadlines.first()
            && at <= now.mono
        {
            self.deadlines.pop_first();
            if let Some(entry) = self.calls.get_mut(&key) {
                entry.armed = None;
            }
            self.ring_expired(now, key);
            self.give(now, key, call::Input::Timer);
        }
        self.restart_due(now);
        self.transfers_due(now);
    }

    /// Gives a call one input, and does what it asks.
    fn give(&mut self, now: Now, key: Key, input: call::Input<'_>) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        entry.call.handle(now, input);
        self.drain(now, key);
    }

    fn drain(&mut self, now: Now, key: Key) {
        while let Some(output) = self.calls.get_mut(&key).and_then(|e| e.call.poll()) {
            match output {
                CallOutput::Send(kind, ies) => self.send(now, key, kind, ies),
                CallOutput::Told(told) => self.call_told(now, key, told),
                CallOutput::Gone { suspect } => self.gone(now, key, suspect),
            }
        }
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let due = [entry.call.deadline().map(|d| d.0), entry.ring_until].into_iter().flatten().min();
        if due != entry.armed {
            entry.armed.map(|at| self.deadlines.remove(&(at, key)));
            entry.armed = due;
            self.deadlines.extend(due.map(|at| (at, key)));
        }
    }

    fn gone(&mut self, now: Now, key: Key, suspect: bool) {
        let Some(entry) = self.calls.remove(&key) else { return };
        self.transfer_left(key);
        entry.armed.map(|at| self.deadlines.remove(&(at, key)));
        if let Some(leg) = entry.leg {
            self.legs.remove(&leg);
        }
        let channel = entry.channel.filter(|&c| self.channels.all[c].call == Some(key));
        self.channels.free(key);
        if let Some(channel) = channel.filter(|_| suspect) {
            // §5.3.3: the peer never confirmed the release: the channel is restarted before it is used again.
            self.restart_channel(now, channel);
        }
        if let Some((leg, ask)) = entry.again {
            self.place(now, leg, ask);
        }
    }

    fn send(&mut self, now: Now, key: Key, kind: Kind, ies: Vec<Ie>) {
        // §4.3: the flag is 1 in messages to the side that chose the reference.
        let call_ref = CallRef::Number { value: key.value, to_origin: !key.ours };
        self.message(now, &Message { discriminator: discriminator::CALL_CONTROL, call_ref, kind, ies });
    }

    fn message(&mut self, now: Now, message: &Message) {
        let octets = message.write();
        self.link_input(now, self.active, q921::Input::Send(&octets));
    }

    fn act(&mut self, now: Now, leg: LegId, action: Action) {
        let Some(&key) = self.legs.get(&leg) else { return };
        match action {
            Action::Ring { media } => self.give(now, key, call::Input::Alert { inband: media.is_some() }),
            Action::Accept { .. } => self.give(now, key, call::Input::Connect),
            Action::Reject { cause, .. } | Action::Clear(cause) => {
                if let Some(entry) = self.calls.get_mut(&key) {
                    entry.ring_until = None;
                    if let Some((leg, _)) = entry.again.take() {
                        // It waited to be placed again: there is no call to clear.
                        entry.leg = Some(leg);
                        return self.ended(key, cause, false);
                    }
                }
                self.give(now, key, call::Input::Clear(cause));
            }
            Action::Refer { replaces, .. } => self.transfer(now, leg, replaces),
            // A timeslot is what it is.
            Action::Reoffer(_) => self.tell(leg, Indication::Reanswered(None)),
            Action::Place(_) | Action::Info(_) | Action::Answer(_) | Action::ReferResult { .. } => {}
        }
    }

    fn media(&self, entry: &Entry) -> Option<Media> {
        let channel = &self.channels.all[entry.channel?];
        Some(Media::Timeslot { span: channel.span, slot: channel.slot })
    }

    fn call_told(&mut self, now: Now, key: Key, told: Told) {
        let Some(entry) = self.calls.get(&key) else { return };
        let (leg, media) = (entry.leg, self.media(entry));
        let indication = match told {
            Told::Channel(body) => return self.channel_told(now, key, &body),
            Told::Digits { digits, complete } => return self.digits(now, key, digits, complete),
            Told::Facility(body) => return self.facility(now, key, &body),
            Told::Proceeding => Indication::Trying,
            Told::Progress { inband } => {
                Indication::Progress { status: 183, media: media.filter(|_| inband) }
            }
            Told::Alerting { inband } => {
                self.alerted(key);
                Indication::Progress { status: 180, media: media.filter(|_| inband) }
            }
            Told::Connected { .. } => {
                let Some(media) = media else {
                    // Answered on a channel that was lost to glare: nothing can be heard there.
                    return self.give_later(now, key, Cause(44));
                };
                if let Some(entry) = self.calls.get_mut(&key) {
                    (entry.ring_until, entry.ask) = (None, None);
                }
                Indication::Answered { media }
            }
            Told::Ended { cause, by_peer } => return self.ended(key, cause, by_peer),
        };
        let Some(leg) = leg else { return };
        let answered = key.ours && matches!(indication, Indication::Answered { .. });
        self.tell(leg, indication);
        if answered {
            self.tell(leg, Indication::AckDue);
        }
    }

    /// Clears a call from within its own output.
    fn give_later(&mut self, now: Now, key: Key, cause: Cause) {
        if let Some(entry) = self.calls.get_mut(&key) {
            let rest: Vec<_> = std::iter::from_fn(|| entry.call.poll()).collect();
            debug_assert!(rest.is_empty(), "CONNECT is the last thing that a call tells");
            entry.call.handle(now, call::Input::Clear(cause));
        }
    }

    fn ended(&mut self, key: Key, cause: Cause, by_peer: bool) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        if key.ours && entry.retries_on(cause) {
            // §5.7: the channel went to the other side's call; another one is tried, and the leg never knew.
            entry.again = entry.leg.take().zip(entry.ask.take());
            if let Some((_, ask)) = &mut entry.again {
                // A channel lost to glare is taken by now; it is named all the same, so that the hunt turns round.
                let lost =
                    entry.channel.map_or((0, 0), |c| (self.channels.all[c].span, self.channels.all[c].slot));
                ask.avoid.push(lost);
            }
            return;
        }
        let alerted = entry.alerted;
        if let Some(leg) = entry.leg.take() {
            self.legs.remove(&leg);
            let ended = Ended { cause, status: None, by_peer, retry_after_s: None, alerted, redress: None };
            self.tell(leg, Indication::Ended(ended));
        }
    }
}

#[cfg(test)]
mod tests;
