//! Messages by state: Q.931 §5.1 (outgoing), §5.2 (incoming), §5.3 (clearing) and §5.8 (errors).

use super::{Call, State, Timer, Told, digits_of};
use crate::isdn::q921::Side;
use crate::isdn::q931::ie::{self, id};
use crate::isdn::q931::wire::{Kind, Message};
use units::{Cause, Mono};

/// Mandatory element missing (Q.850).
const MISSING: Cause = Cause(96);
/// Message type non-existent.
const NO_SUCH_TYPE: Cause = Cause(97);
/// Element non-existent.
const NO_SUCH_ELEMENT: Cause = Cause(99);
/// Invalid element contents.
const BAD_CONTENTS: Cause = Cause(100);
/// Message not compatible with call state.
const WRONG_STATE: Cause = Cause(101);
/// Response to STATUS ENQUIRY.
const ENQUIRY_ANSWER: Cause = Cause(30);

impl Call {
    pub(super) fn received(&mut self, now: Mono, message: &Message) {
        if !message.kind.is_known() {
            return self.status(NO_SUCH_TYPE, &[message.kind.0]);
        }
        if let Err((cause, diagnostics)) = check(message) {
            return self.faulty(now, message, cause, &diagnostics);
        }
        // Q.932 §6.3.1: a facility element comes in a message of its own, or in those that clear.
        if let Some(facility) = message.ie(id::FACILITY)
            && matches!(message.kind, Kind::FACILITY | Kind::DISCONNECT | Kind::RELEASE)
        {
            self.tell(Told::Facility(facility.to_vec()));
        }
        match message.kind {
            // §5.8.3.2 e): a repeated SETUP is ignored.
            Kind::SETUP | Kind::FACILITY | Kind::NOTIFY => {}
            Kind::SETUP_ACK | Kind::CALL_PROCEEDING | Kind::ALERTING | Kind::CONNECT | Kind::PROGRESS => {
                self.forward(now, message);
            }
            Kind::INFORMATION => self.information(now, message),
            Kind::CONNECT_ACK => self.connect_acknowledged(message.kind),
            Kind::DISCONNECT => match self.state {
                State::Releasing { .. } => {}
                _ => self.disconnected(now, ie::cause_of(message, Cause::NORMAL_UNSPECIFIED)),
            },
            Kind::RELEASE => self.released(ie::cause_of(message, Cause::NORMAL_UNSPECIFIED)),
            Kind::RELEASE_COMPLETE => {
                let cause = ie::cause_of(message, Cause::NORMAL_UNSPECIFIED);
                let ours = matches!(self.state, State::Releasing { .. } | State::Disconnecting(_));
                self.end(if ours { self.own_cause() } else { cause }, !ours, false);
            }
            Kind::STATUS_ENQUIRY => self.status(ENQUIRY_ANSWER, &[]),
            Kind::STATUS => self.status_came(now, message),
            _ => self.status(WRONG_STATE, &[message.kind.0]),
        }
    }

    fn own_cause(&self) -> Cause {
        match self.state {
            State::Releasing { cause, .. } | State::Disconnecting(cause) => cause,
            _ => Cause::NORMAL_UNSPECIFIED,
        }
    }

    /// What moves a call of ours forward: §5.1.2 to §5.1.8 (user), §5.2.4 to §5.2.8 (network).
    fn forward(&mut self, now: Mono, message: &Message) {
        let kind = message.kind;
        let expected = match self.state {
            State::Initiated { .. } => kind != Kind::PROGRESS,
            State::OverlapSending => kind != Kind::SETUP_ACK,
            State::Outgoing => matches!(kind, Kind::ALERTING | Kind::CONNECT | Kind::PROGRESS),
            State::Delivered => matches!(kind, Kind::CONNECT | Kind::PROGRESS),
            State::Active | State::Disconnecting(_) | State::Releasing { .. } if kind == Kind::PROGRESS => {
                return;
            }
            // §5.3.2: what crosses our clearing is ignored.
            State::Disconnecting(_) | State::Releasing { .. } => return,
            _ => false,
        };
        if !expected {
            return self.status(WRONG_STATE, &[kind.0]);
        }
        if !std::mem::replace(&mut self.answered_setup, true)
            && let Some(channel) = message.ie(id::CHANNEL)
        {
            self.tell(Told::Channel(channel.to_vec()));
        }
        let inband = ie::has_inband(message);
        match kind {
            Kind::SETUP_ACK => self.overlap_send(now),
            Kind::CALL_PROCEEDING => {
                self.state = State::Outgoing;
                self.arm(now, Timer::T310);
                self.tell(Told::Proceeding);
                if inband {
                    // §5.1.6: with in-band information T310 does not run.
                    self.timer = None;
                    self.tell(Told::Progress { inband });
                }
            }
            Kind::PROGRESS => {
                if matches!(self.timer, Some((_, Timer::T310 | Timer::T304))) {
                    self.timer = None;
                }
                self.tell(Told::Progress { inband });
            }
            Kind::ALERTING => {
                self.state = State::Delivered;
                self.arm(now, Timer::T301);
                self.tell(Told::Alerting { inband });
            }
            _ => {
                self.state = State::Active;
                self.timer = None;
                self.send(Kind::CONNECT_ACK, Vec::new());
                self.tell(Told::Connected { number: message.ie(id::CONNECTED).map(<[u8]>::to_vec) });
            }
        }
    }

    /// §5.1.3, §5.2.4: the digits that SETUP did not hold, one message each.
    fn overlap_send(&mut self, now: Mono) {
        self.state = State::OverlapSending;
        if self.digits.is_empty() {
            self.send(Kind::INFORMATION, vec![ie::make(id::SENDING_COMPLETE, Vec::new())]);
        }
        while let Some(digit) = self.digits.pop_front() {
            let mut ies = vec![digit];
            if self.digits.is_empty() {
                ies.push(ie::make(id::SENDING_COMPLETE, Vec::new()));
            }
            self.send(Kind::INFORMATION, ies);
        }
        self.arm(now, Timer::T304);
    }

    fn information(&mut self, now: Mono, message: &Message) {
        if self.state == State::OverlapReceiving {
            self.arm(now, Timer::T302);
            let complete = message.all(id::SENDING_COMPLETE).next().is_some();
            self.tell(Told::Digits { digits: digits_of(message), complete });
        }
    }

    fn connect_acknowledged(&mut self, kind: Kind) {
        match self.state {
            State::ConnectRequest => {
                self.state = State::Active;
                self.timer = None;
                self.tell(Told::Connected { number: None });
            }
            // §5.1.8: the user may acknowledge what the network does not wait for.
            State::Active if self.side == Side::Network => {}
            State::Disconnecting(_) | State::Releasing { .. } => {}
            _ => self.status(WRONG_STATE, &[kind.0]),
        }
    }

    /// §5.8.11: the peer tells its state.
    fn status_came(&mut self, now: Mono, message: &Message) {
        self.t322 = None;
        let theirs = message.ie(id::CALL_STATE).and_then(ie::read_call_state);
        match (theirs, &self.state) {
            // A peer that has no such call: ours is over.
            (Some(0), _) => self.end(ie::cause_of(message, Cause::TEMPORARY), true, false),
            (_, State::Releasing { .. }) => {}
            // A peer that clears while we talk: its DISCONNECT or RELEASE was lost.
            (Some(11 | 12 | 19 | 22), State::Active) => self.release(now, WRONG_STATE),
            (Some(10), State::Disconnecting(cause)) => {
                // Our DISCONNECT was lost.
                let told = vec![ie::cause(self.location(), *cause, &[])];
                self.send(Kind::DISCONNECT, told);
            }
            _ => {}
        }
    }

    /// STATUS with our state (§5.8.4, §5.8.10).
    fn status(&mut self, cause: Cause, diagnostics: &[u8]) {
        let state = ie::make(id::CALL_STATE, vec![self.state_number()]);
        self.send(Kind::STATUS, vec![ie::cause(self.location(), cause, diagnostics), state]);
    }

    /// An element is missing or wrong (§5.8.6): clearing goes on all the same, the rest is told and ignored.
    fn faulty(&mut self, now: Mono, message: &Message, cause: Cause, diagnostics: &[u8]) {
        match message.kind {
            Kind::DISCONNECT if !matches!(self.state, State::Releasing { .. }) => {
                let ours = matches!(self.state, State::Disconnecting(_));
                let known = ie::cause_of(message, Cause::NORMAL_UNSPECIFIED);
                // §5.8.6.1: RELEASE names what was wrong.
                self.disconnected(now, if ours { known } else { cause });
            }
            Kind::DISCONNECT => {}
            Kind::RELEASE => self.released(ie::cause_of(message, Cause::NORMAL_UNSPECIFIED)),
            Kind::RELEASE_COMPLETE => {
                self.end(ie::cause_of(message, Cause::NORMAL_UNSPECIFIED), true, false);
            }
            // A STATUS in error must not be answered by STATUS: two stacks would talk for ever.
            Kind::STATUS => {}
            _ => self.status(cause, diagnostics),
        }
    }
}

/// Whether contents can be read.
type Readable = fn(&[u8]) -> bool;

/// Mandatory elements there and readable, and none that must be understood and is not (§5.8.6, §5.8.7).
pub(crate) fn check(message: &Message) -> Result<(), (Cause, Vec<u8>)> {
    let mandatory: &[(u8, Readable)] = match message.kind {
        Kind::SETUP => &[(id::BEARER, |b| ie::read_bearer(b, ie::Law::A).is_some())],
        Kind::DISCONNECT => &[(id::CAUSE, |b| ie::read_cause(b).is_some())],
        Kind::STATUS => &[
            (id::CAUSE, |b| ie::read_cause(b).is_some()),
            (id::CALL_STATE, |b| ie::read_call_state(b).is_some()),
        ],
        Kind::PROGRESS => &[(id::PROGRESS, |b| b.len() >= 2)],
        Kind::RESTART | Kind::RESTART_ACK => &[(id::RESTART, |b| ie::read_restart(b).is_some())],
        _ => &[],
    };
    for (element, readable) in mandatory {
        match message.ie(*element) {
            None => return Err((MISSING, vec![*element])),
            Some(body) if !readable(body) => return Err((BAD_CONTENTS, vec![*element])),
            Some(_) => {}
        }
    }
    match message.ies.iter().find(|ie| ie::must_be_understood(ie)) {
        Some(unknown) => Err((NO_SUCH_ELEMENT, vec![unknown.id])),
        None => Ok(()),
    }
}
