//! One call by Q.931 §5: both sides of the interface, calls that we set up and calls that come in, en bloc and overlap.
//!
//! The states are those of §2.1 under names; [`Call::state_number`] gives the number that the standard uses on this
//! side. Which channel a call uses is for the owner to say (`super::super::pri`): it hands the channel identification
//! in and is told what the peer wrote. Time is `Now::mono`; every interval comes from [`Timers`].

mod clear;
mod receive;

pub(crate) use receive::check;

use super::ie::{self, Location, id};
use super::wire::{Ie, Kind, Message};
use crate::isdn::q921::Side;
use std::collections::VecDeque;
use std::time::Duration;
use units::{Cause, Mono, Now, Private};

/// Timers of Q.931 §9, tables 9-1 (network) and 9-2 (user).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Alerting, at least 180 s.
    pub t301: Duration,
    /// Overlap receiving: next digits, 15 s.
    pub t302: Duration,
    /// An answer to SETUP, 4 s; once repeated.
    pub t303: Duration,
    /// Overlap sending: an answer to digits, 30 s (network: 20 s).
    pub t304: Duration,
    /// An answer to DISCONNECT, 30 s.
    pub t305: Duration,
    /// An answer to RELEASE, 4 s; once repeated.
    pub t308: Duration,
    /// How long an active call outlives its data link, 90 s.
    pub t309: Duration,
    /// Something after CALL PROCEEDING: 120 s (network: 10 s).
    pub t310: Duration,
    /// An answer to CONNECT (user), 4 s.
    pub t313: Duration,
    /// An answer to RESTART, 120 s.
    pub t316: Duration,
    /// An answer to STATUS ENQUIRY, 4 s.
    pub t322: Duration,
}

impl Timers {
    /// The standard's default values of a side.
    #[must_use]
    pub const fn of(side: Side) -> Self {
        let network = matches!(side, Side::Network);
        Self {
            t301: Duration::from_secs(180),
            t302: Duration::from_secs(15),
            t303: Duration::from_secs(4),
            t304: Duration::from_secs(if network { 20 } else { 30 }),
            t305: Duration::from_secs(30),
            t308: Duration::from_secs(4),
            t309: Duration::from_secs(90),
            t310: Duration::from_secs(if network { 10 } else { 120 }),
            t313: Duration::from_secs(4),
            t316: Duration::from_secs(120),
            t322: Duration::from_secs(4),
        }
    }
}

/// Which timer is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Alerting.
    T301,
    /// Digits.
    T302,
    /// SETUP.
    T303,
    /// Overlap sending.
    T304,
    /// DISCONNECT.
    T305,
    /// RELEASE.
    T308,
    /// No data link.
    T309,
    /// CALL PROCEEDING.
    T310,
    /// CONNECT.
    T313,
    /// STATUS ENQUIRY.
    T322,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A message with this call's reference.
    Received(&'a Message),
    /// Incoming: the number is complete (CALL PROCEEDING).
    Proceed,
    /// Incoming: it rings (ALERTING); with `inband`, there is something to hear.
    Alert {
        /// Progress indicator 8.
        inband: bool,
    },
    /// Incoming: take it (CONNECT).
    Connect,
    /// End it, from whatever state.
    Clear(Cause),
    /// The data link failed.
    LinkDown,
    /// The data link is up again.
    LinkUp,
    /// The data link was reset: messages may be lost (§5.8.8).
    LinkReset,
    /// The channel is gone (RESTART, or the span failed): end without a word.
    Drop(Cause),
    /// The deadline passed.
    Timer,
}

/// What is asked, or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message of this call.
    Send(Kind, Vec<Ie>),
    /// Something for the owner.
    Told(Told),
    /// Over: the call reference is free. With `suspect` the peer never confirmed: the channel wants a RESTART (§5.3.3).
    Gone {
        /// No RELEASE COMPLETE came.
        suspect: bool,
    },
}

/// What a call tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The peer's channel identification, in its first answer.
    Channel(Vec<u8>),
    /// The peer proceeds.
    Proceeding,
    /// Progress, or in-band information.
    Progress {
        /// Something can be heard.
        inband: bool,
    },
    /// It rings.
    Alerting {
        /// Something can be heard.
        inband: bool,
    },
    /// Answered, both ways.
    Connected {
        /// Connected number, contents as they came.
        number: Option<Vec<u8>>,
    },
    /// A facility element came: contents as they are.
    Facility(Vec<u8>),
    /// More digits came (overlap receiving); `complete`: no more will.
    Digits {
        /// Digits, perhaps none.
        digits: Private<String>,
        /// Sending complete, or T302.
        complete: bool,
    },
    /// The call is over for its user; the reference may live on a little.
    Ended {
        /// Why.
        cause: Cause,
        /// The peer ended it.
        by_peer: bool,
    },
}

/// States of a call. Calls of ours take the first column, incoming ones the second.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// SETUP sent (U1 / N6).
    Initiated { again: bool },
    /// SETUP ACKNOWLEDGE came (U2 / N25).
    OverlapSending,
    /// CALL PROCEEDING came (U3 / N9).
    Outgoing,
    /// ALERTING came (U4 / N7).
    Delivered,
    /// SETUP came (U6 / N1).
    Present,
    /// SETUP ACKNOWLEDGE sent (U25 / N2).
    OverlapReceiving,
    /// CALL PROCEEDING sent (U9 / N3).
    Incoming,
    /// ALERTING sent (U7 / N4).
    Received,
    /// CONNECT sent (U8).
    ConnectRequest,
    /// U10 / N10.
    Active,
    /// DISCONNECT sent (U11 / N12).
    Disconnecting(Cause),
    /// RELEASE sent (19).
    Releasing { cause: Cause, again: bool },
    /// 0.
    Null,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Call {
    side: Side,
    timers: Timers,
    state: State,
    timer: Option<(Mono, Timer)>,
    /// T309 runs beside the others; T322 too.
    t309: Option<Mono>,
    t322: Option<(Mono, u8)>,
    /// SETUP, for its repetition; then digits that overlap sending still owes.
    setup: Vec<Ie>,
    digits: VecDeque<Ie>,
    /// Channel identification that our first answer carries.
    channel: Option<Ie>,
    /// The peer has answered SETUP.
    answered_setup: bool,
    told_end: bool,
    out: VecDeque<Output>,
}

/// Repetitions of STATUS ENQUIRY without an answer before the call is cleared (§5.8.10).
const ENQUIRIES_MAX: u8 = 3;

impl Call {
    /// A call of ours: sends SETUP with these elements. `digits` are sent one message each after SETUP ACKNOWLEDGE.
    #[must_use]
    pub fn originate(now: Now, side: Side, timers: Timers, setup: Vec<Ie>, digits: Vec<Ie>) -> Self {
        let mut call = Self::new(side, timers, State::Initiated { again: false });
        call.arm(now.mono, Timer::T303);
        call.send(Kind::SETUP, setup.clone());
        (call.setup, call.digits) = (setup, digits.into());
        call
    }

    /// A call that came in with SETUP; `channel` goes into our first answer. With `overlap` more digits are awaited.
    #[must_use]
    pub fn incoming(now: Now, side: Side, timers: Timers, channel: Option<Ie>, overlap: bool) -> Self {
        let mut call = Self::new(side, timers, State::Present);
        call.channel = channel;
        if overlap {
            call.answer(Kind::SETUP_ACK, Vec::new());
            call.state = State::OverlapReceiving;
            call.arm(now.mono, Timer::T302);
        }
        call
    }

    fn new(side: Side, timers: Timers, state: State) -> Self {
        Self {
            side,
            timers,
            state,
            timer: None,
            t309: None,
            t322: None,
            setup: Vec::new(),
            digits: VecDeque::new(),
            channel: None,
            answered_setup: false,
            told_end: false,
            out: VecDeque::new(),
        }
    }

    /// One input.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        assert!(self.out.is_empty(), "drain before the next input");
        if self.state == State::Null {
            return;
        }
        let now = now.mono;
        match input {
            Input::Received(message) => self.received(now, message),
            Input::Proceed if matches!(self.state, State::Present | State::OverlapReceiving) => {
                self.answer(Kind::CALL_PROCEEDING, Vec::new());
                self.state = State::Incoming;
                self.timer = None;
            }
            Input::Alert { inband } if self.is_offered() && self.state != State::Received => {
                let told = inband.then(|| ie::progress(self.location(), 8));
                self.answer(Kind::ALERTING, told.into_iter().collect());
                self.state = State::Received;
                self.timer = None;
            }
            Input::Alert { inband: true } if self.state == State::Received => {
                self.send(Kind::PROGRESS, vec![ie::progress(self.location(), 8)]);
            }
            Input::Connect if self.is_offered() => self.connect(now),
            Input::Clear(cause) => self.clear(now, cause),
            Input::Drop(cause) => self.dropped(cause),
            Input::LinkDown => self.link_down(now),
            Input::LinkUp => self.link_up(now),
            Input::LinkReset => self.link_reset(now),
            Input::Timer => self.due(now),
            Input::Proceed | Input::Alert { .. } | Input::Connect => {}
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        let t309 = self.t309.map(|at| (at, Timer::T309));
        let t322 = self.t322.map(|(at, _)| (at, Timer::T322));
        [self.timer, t309, t322].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The state's number in Q.931 §2.1 as this side counts.
    #[must_use]
    pub fn state_number(&self) -> u8 {
        let of = |user, network| if self.side == Side::User { user } else { network };
        match self.state {
            State::Initiated { .. } => of(1, 6),
            State::OverlapSending => of(2, 25),
            State::Outgoing => of(3, 9),
            State::Delivered => of(4, 7),
            State::Present => of(6, 1),
            State::OverlapReceiving => of(25, 2),
            State::Incoming => of(9, 3),
            State::Received => of(7, 4),
            State::ConnectRequest => 8,
            State::Active => 10,
            State::Disconnecting(_) => of(11, 12),
            State::Releasing { .. } => 19,
            State::Null => 0,
        }
    }

    /// Incoming, and neither taken nor refused.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        matches!(self.state, State::Present | State::OverlapReceiving | State::Incoming | State::Received)
    }

    /// Answered and not being cleared.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == State::Active
    }

    /// SETUP is out and the peer has not answered it: a channel may still be lost to glare.
    #[must_use]
    pub fn is_initiated(&self) -> bool {
        matches!(self.state, State::Initiated { .. })
    }

    fn location(&self) -> Location {
        match self.side {
            Side::User => Location::USER,
            Side::Network => Location::PUBLIC_LOCAL,
        }
    }

    fn send(&mut self, kind: Kind, ies: Vec<Ie>) {
        self.out.push_back(Output::Send(kind, ies));
    }

    fn tell(&mut self, told: Told) {
        self.out.push_back(Output::Told(told));
    }

    /// Sends an answer to SETUP; the first one names the channel (§5.1.2, §5.2.3.1).
    fn answer(&mut self, kind: Kind, mut ies: Vec<Ie>) {
        ies.extend(self.channel.take());
        self.send(kind, ies);
    }

    fn connect(&mut self, now: Mono) {
        self.answer(Kind::CONNECT, Vec::new());
        if self.side == Side::User {
            self.state = State::ConnectRequest;
            self.arm(now, Timer::T313);
        } else {
            // §5.1.8: the network need not wait for an acknowledgement.
            self.state = State::Active;
            self.timer = None;
            self.tell(Told::Connected { number: None });
        }
    }

    fn arm(&mut self, now: Mono, timer: Timer) {
        let t = &self.timers;
        let after = match timer {
            Timer::T301 => t.t301,
            Timer::T302 => t.t302,
            Timer::T303 => t.t303,
            Timer::T304 => t.t304,
            Timer::T305 => t.t305,
            Timer::T308 => t.t308,
            Timer::T309 => t.t309,
            Timer::T310 => t.t310,
            Timer::T313 => t.t313,
            Timer::T322 => t.t322,
        };
        self.timer = Some((now + after, timer));
    }

    fn due(&mut self, now: Mono) {
        if let Some((_, timer)) = self.timer.filter(|(at, _)| *at <= now) {
            self.timer = None;
            self.expired(now, timer);
        } else if self.t309.is_some_and(|at| at <= now) {
            self.t309 = None;
            // §5.8.9: the data link did not come back in time.
            self.dropped(Cause::OUT_OF_ORDER);
        } else if let Some((_, tries)) = self.t322.filter(|(at, _)| *at <= now) {
            self.t322 = None;
            if tries < ENQUIRIES_MAX {
                self.enquire(now, tries + 1);
            } else {
                self.clear(now, Cause::TEMPORARY);
            }
        }
    }

    fn expired(&mut self, now: Mono, timer: Timer) {
        match (timer, &self.state) {
            (Timer::T303, State::Initiated { again: false }) => {
                // §5.1.1, §5.2.5.4: SETUP is sent once more.
                let setup = self.setup.clone();
                self.send(Kind::SETUP, setup);
                self.state = State::Initiated { again: true };
                self.arm(now, Timer::T303);
            }
            (Timer::T303, _) => {
                let told = vec![ie::cause(self.location(), Cause::TIMER, b"303")];
                self.send(Kind::RELEASE_COMPLETE, told);
                self.end(Cause::NO_RESPONSE, false, true);
            }
            (Timer::T302, _) => self.tell(Told::Digits { digits: Private::default(), complete: true }),
            (Timer::T301, _) => self.clear(now, Cause::NO_ANSWER),
            (Timer::T305, State::Disconnecting(cause)) => {
                let cause = *cause;
                self.release(now, cause);
            }
            (Timer::T308, State::Releasing { cause, again: false }) => {
                let cause = *cause;
                self.send(Kind::RELEASE, vec![ie::cause(self.location(), cause, &[])]);
                self.state = State::Releasing { cause, again: true };
                self.arm(now, Timer::T308);
            }
            (Timer::T308, State::Releasing { cause, .. }) => {
                let cause = *cause;
                self.end(cause, false, true);
            }
            _ => self.clear(now, Cause::TIMER),
        }
    }
}

/// Digits of a message: called party numbers, else keypad (§5.1.3).
fn digits_of(message: &Message) -> Private<String> {
    let called = message.all(id::CALLED).filter_map(ie::Number::read).map(|n| n.digits.into_exposed());
    let mut digits: String = called.collect();
    if digits.is_empty() {
        let keypad = message.all(id::KEYPAD).flatten();
        digits = keypad.take(32).filter(|o| o.is_ascii_graphic()).map(|&o| char::from(o)).collect();
    }
    Private::new(digits)
}

#[cfg(test)]
mod tests;
