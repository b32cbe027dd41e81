//! All E&M channels of one span behind `Leg`'s words: which channel a call takes, which leg it is, what is told of it.

use super::em::{self, Channel, Timing, Told};
use super::{Bits, Pulse, Register, Start};
use crate::isdn::pri::{Ask, ChannelState, Hunt};
use crate::leg::{Action, Ended, Incoming, Indication, Media, Transport};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use units::{Cause, LegId, Mono, Now, Private};

/// What a span is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its number, from 1.
    pub number: u16,
    /// Slots that are trunks.
    pub channels: Vec<u8>,
    /// How a seizure is acknowledged.
    pub start: Start,
    /// How digits are said, both ways.
    pub pulse: Pulse,
    /// Which bits are which hook.
    pub bits: Bits,
    /// Order in which channels are taken.
    pub hunt: Hunt,
    /// Numbers that come in have so many digits; `None`: ST or a pause ends them.
    pub digits: Option<u8>,
    /// Intervals.
    pub timing: Timing,
    /// Legs of incoming calls are numbered from here.
    pub legs_from: u64,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// Signalling bits of a slot came.
    Bits {
        /// From 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// A register heard a digit.
    Signal {
        /// From 1.
        slot: u8,
        /// `0-9 * # A-D K S`.
        signal: char,
    },
    /// A register has said its digits.
    Said {
        /// From 1.
        slot: u8,
    },
    /// The span failed (alarm declared) or works again.
    Line {
        /// It works.
        up: bool,
        /// Something less: no new call of ours.
        defect: bool,
    },
    /// Place a call.
    Place(LegId, Box<Ask>),
    /// Something for a leg; `Action::Place` is not for here.
    Leg(LegId, Action),
    /// An operator takes the span, or one slot, out or puts it back.
    Block {
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
    /// Send these bits in a slot.
    Bits {
        /// From 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// Tones of a slot.
    Register {
        /// From 1.
        slot: u8,
        /// What.
        what: Register,
    },
    /// A leg tells.
    Leg(LegId, Indication),
}

/// A slot and what it does.
pub type SlotView = (u8, ChannelState);

#[derive(Debug)]
struct Slot {
    slot: u8,
    em: Channel,
    leg: Option<LegId>,
    /// The call is ours, and what was asked, for another try after glare.
    ask: Option<Ask>,
    ours: bool,
    blocked: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Span {
    config: Config,
    slots: Vec<Slot>,
    legs: BTreeMap<LegId, usize>,
    last: usize,
    up: bool,
    defect: bool,
    next_leg: u64,
    placed: u64,
    offered: u64,
    glare: u64,
    out: VecDeque<Output>,
}

/// Both sides seized (see [`super::em`]).
const GLARE: Cause = Cause(44);

impl Span {
    /// All trunks on-hook; [`Self::start`] says so to the peer.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let slot = |&slot: &u8| Slot {
            slot,
            em: Channel::new(config.start, config.pulse, config.timing, config.digits),
            leg: None,
            ask: None,
            ours: false,
            blocked: false,
        };
        Self {
            slots: config.channels.iter().map(slot).collect(),
            legs: BTreeMap::new(),
            last: 0,
            up: true,
            defect: false,
            next_leg: config.legs_from,
            placed: 0,
            offered: 0,
            glare: 0,
            out: VecDeque::new(),
            config,
        }
    }

    /// Sends on-hook everywhere.
    pub fn start(&mut self) {
        let abcd = self.config.bits.on_hook;
        self.out.extend(self.slots.iter().map(|s| Output::Bits { slot: s.slot, abcd }));
    }

    /// One input; then drain [`Self::poll`].
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Bits { slot, abcd } => {
                self.give_slot(now, slot, em::Input::Hook { off: Bits::is_off_hook(abcd) });
            }
            Input::Signal { slot, signal } => self.give_slot(now, slot, em::Input::Signal(signal)),
            Input::Said { slot } => self.give_slot(now, slot, em::Input::Said),
            Input::Line { up, defect } => {
                self.defect = defect;
                if std::mem::replace(&mut self.up, up) && !up {
                    (0..self.slots.len())
                        .for_each(|n| self.give(now, n, em::Input::Drop(Cause::OUT_OF_ORDER)));
                }
            }
            Input::Place(leg, ask) => self.place(now, leg, *ask),
            Input::Leg(leg, action) => self.act(now, leg, action),
            Input::Block { slot, on } => {
                let these = self.slots.iter_mut().filter(|s| slot.is_none_or(|n| n == s.slot));
                these.for_each(|s| s.blocked = on);
            }
            Input::Timer => {
                for n in 0..self.slots.len() {
                    if self.slots[n].em.deadline().is_some_and(|at| at <= now.mono) {
                        self.give(now, n, em::Input::Timer);
                    }
                }
            }
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Timer`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.slots.iter().filter_map(|s| s.em.deadline()).min()
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.config.number
    }

    /// Whether it has this leg.
    #[must_use]
    pub fn has(&self, leg: LegId) -> bool {
        self.legs.contains_key(&leg)
    }

    /// Its signalling, as configuration names it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.config.start {
            Start::Immediate => "em",
            Start::Wink => "em_w",
        }
    }

    /// Slots and what they do.
    #[must_use]
    pub fn channels(&self) -> Vec<SlotView> {
        self.slots.iter().map(|s| (s.slot, self.state(s))).collect()
    }

    /// Free channels that a new call of ours may use.
    #[must_use]
    pub fn free(&self) -> usize {
        if self.defect {
            return 0;
        }
        self.slots.iter().filter(|s| self.state(s) == ChannelState::Idle).count()
    }

    /// Calls placed, calls offered, glares.
    #[must_use]
    pub fn counts(&self) -> [u64; 3] {
        [self.placed, self.offered, self.glare]
    }

    fn state(&self, slot: &Slot) -> ChannelState {
        if slot.ours {
            ChannelState::Outgoing
        } else if slot.em.is_incoming() || slot.leg.is_some() {
            ChannelState::Incoming
        } else if slot.blocked {
            ChannelState::Blocked
        } else if !self.up {
            ChannelState::Alarm
        } else if slot.em.is_resting() || !slot.em.is_idle() {
            ChannelState::Resting
        } else {
            ChannelState::Idle
        }
    }

    fn tell(&mut self, leg: LegId, indication: Indication) {
        self.out.push_back(Output::Leg(leg, indication));
    }

    fn end(&mut self, leg: LegId, cause: Cause, by_peer: bool, alerted: bool) {
        self.legs.remove(&leg);
        let ended = Ended { cause, status: None, by_peer, retry_after_s: None, alerted, redress: None };
        self.tell(leg, Indication::Ended(ended));
    }

    fn hunt(&mut self, ask: &Ask) -> Option<usize> {
        if !self.up || self.defect {
            return None;
        }
        let free = |n: &usize| {
            let slot = &self.slots[*n];
            self.state(slot) == ChannelState::Idle && !ask.avoid.contains(&(self.config.number, slot.slot))
        };
        let all = self.slots.len();
        let hunt = if ask.avoid.is_empty() { self.config.hunt } else { self.config.hunt.reversed() };
        let found = match hunt {
            Hunt::Ascending => (0..all).find(free),
            Hunt::Descending => (0..all).rev().find(free),
            Hunt::Cyclic => (1..=all).map(|i| (self.last + i) % all.max(1)).find(free),
        }?;
        self.last = found;
        Some(found)
    }

    fn place(&mut self, now: Now, leg: LegId, ask: Ask) {
        let Some(n) = self.hunt(&ask) else {
            return self.end(leg, Cause::NO_CIRCUIT, false, false);
        };
        let number = ask.to.expose().trim_start_matches('+').to_owned();
        let sayable =
            |c: char| c.is_ascii_digit() || self.config.pulse == Pulse::Dtmf && matches!(c, '*' | '#');
        if number.is_empty() || !number.chars().all(sayable) {
            return self.end(leg, Cause::INVALID_NUMBER, false, false);
        }
        let ring_max = Duration::from_millis(ask.ring_max_ms);
        let slot = &mut self.slots[n];
        (slot.leg, slot.ours) = (Some(leg), true);
        slot.ask = Some(Ask { tries_left: ask.tries_left.saturating_sub(1), ..ask });
        self.legs.insert(leg, n);
        self.placed += 1;
        self.give(now, n, em::Input::Place { number: Private::new(number), ring_max });
    }

    fn act(&mut self, now: Now, leg: LegId, action: Action) {
        let Some(&n) = self.legs.get(&leg) else { return };
        match action {
            Action::Accept { .. } => self.give(now, n, em::Input::Answer),
            Action::Reject { cause, .. } | Action::Clear(cause) => {
                self.slots[n].ask = None;
                self.give(now, n, em::Input::Clear(cause));
            }
            Action::Refer { .. } => self.tell(leg, Indication::ReferProgress { status: 501 }),
            Action::Reoffer(_) => self.tell(leg, Indication::Reanswered(None)),
            // Nothing says that a telephone rings: the caller hears it.
            Action::Ring { .. }
            | Action::Place(_)
            | Action::Info(_)
            | Action::Answer(_)
            | Action::ReferResult { .. } => {}
        }
    }

    fn give_slot(&mut self, now: Now, slot: u8, input: em::Input) {
        if let Some(n) = self.slots.iter().position(|s| s.slot == slot) {
            self.give(now, n, input);
        }
    }

    fn give(&mut self, now: Now, n: usize, input: em::Input) {
        self.slots[n].em.handle(now, input);
        let outputs: Vec<em::Output> = std::iter::from_fn(|| self.slots[n].em.poll()).collect();
        let (slot, bits) = (self.slots[n].slot, self.config.bits);
        for output in outputs {
            match output {
                em::Output::Hook { off } => {
                    let abcd = if off { bits.off_hook } else { bits.on_hook };
                    self.out.push_back(Output::Bits { slot, abcd });
                }
                em::Output::Register(what) => self.out.push_back(Output::Register { slot, what }),
                em::Output::Told(told) => self.told(now, n, told),
            }
        }
    }

    fn told(&mut self, now: Now, n: usize, told: Told) {
        let media = Media::Timeslot { span: self.config.number, slot: self.slots[n].slot };
        match (told, self.slots[n].leg) {
            (Told::Incoming(number), None) => self.offer(now, n, number, media),
            (Told::Dialled, Some(leg)) => {
                self.tell(leg, Indication::Trying);
                // What the network has to say, ringing or busy, is heard.
                self.tell(leg, Indication::Progress { status: 183, media: Some(media) });
            }
            (Told::Answered, Some(leg)) => {
                self.tell(leg, Indication::Answered { media });
                if self.slots[n].ours {
                    self.tell(leg, Indication::AckDue);
                }
            }
            (Told::Ended { cause, by_peer }, Some(leg)) => {
                let slot = &mut self.slots[n];
                let was = (slot.slot, slot.ask.take());
                (slot.leg, slot.ours) = (None, false);
                self.ended(now, leg, cause, by_peer, was);
            }
            (_, _) => {}
        }
    }

    fn ended(&mut self, now: Now, leg: LegId, cause: Cause, by_peer: bool, (slot, ask): (u8, Option<Ask>)) {
        if cause == GLARE {
            self.glare += 1;
            if let Some(mut ask) = ask.filter(|a| a.tries_left > 0) {
                ask.avoid.push((self.config.number, slot));
                self.legs.remove(&leg);
                return self.place(now, leg, ask);
            }
        }
        self.end(leg, cause, by_peer, false);
    }

    fn offer(&mut self, now: Now, n: usize, number: Private<String>, media: Media) {
        let slot = &self.slots[n];
        if slot.blocked || !self.up {
            return self.give(now, n, em::Input::Clear(Cause::CONGESTION));
        }
        let leg = LegId(self.next_leg);
        self.next_leg += 1;
        self.offered += 1;
        self.slots[n].leg = Some(leg);
        self.legs.insert(leg, n);
        let incoming = Incoming {
            to: number,
            from: Private::default(),
            source: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            transport: Transport::Udp,
            offer: Some(media),
            redirects: Vec::new(),
            headers: Vec::new(),
            replaces: None,
        };
        self.tell(leg, Indication::Incoming(Box::new(incoming)));
    }
}
