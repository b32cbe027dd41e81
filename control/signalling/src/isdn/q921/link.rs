//! One LAPD data link in multiple frame operation: Q.921 §5 and the SDL figures B.4 to B.8 (states 4 to 8).
//!
//! In: frames, requests of layer 3 and of layer 1, a passed deadline. Out: [`Output`]. What is sent is kept until it is
//! acknowledged; [`Timers::queue_max`] bounds what waits. Our own receiver is never busy: layer 3 takes all at once.

use super::frame::{Frame, Invalid, Kind, Side};
use std::collections::VecDeque;
use std::time::Duration;
use units::{Mono, Now};

/// Timers and counts of Q.921 §5.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Wait for an acknowledgement, 1 s.
    pub t200: Duration,
    /// Longest time without frames, 10 s (NI-2: 30 s).
    pub t203: Duration,
    /// Most repetitions of a frame, 3.
    pub n200: u8,
    /// Most I frames outstanding, 7 on 64 kbit/s; 1..=127.
    pub k: u8,
    /// Messages of layer 3 waiting before further ones are refused.
    pub queue_max: usize,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t200: Duration::from_secs(1), t203: Duration::from_secs(10), n200: 3, k: 7, queue_max: 256 }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A frame came (without flags and FCS).
    Frame(&'a [u8]),
    /// DL-ESTABLISH request.
    Establish,
    /// DL-RELEASE request.
    Release,
    /// DL-DATA request: send this message.
    Send(&'a [u8]),
    /// Layer 1 failed (MPH-DEACTIVATE indication).
    LineDown,
    /// The deadline passed.
    Timer,
}

/// What is asked, or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this frame.
    Frame(Vec<u8>),
    /// DL-ESTABLISH confirm: as asked.
    Confirmed,
    /// DL-ESTABLISH indication: the peer established or reset it; what was not acknowledged is lost.
    Established,
    /// DL-RELEASE indication or confirm.
    Released,
    /// DL-DATA indication.
    Data(Vec<u8>),
    /// MDL-ERROR indication with its code (Q.921 table II.1), `A` to `O`.
    Error(char),
}

/// Which timer of the standard is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Acknowledgement.
    T200,
    /// Idle.
    T203,
}

/// More than [`Timers::queue_max`] messages wait, or there is no link to send on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The machine.
#[derive(Clone, Debug)]
pub struct Link {
    side: Side,
    timers: Timers,
    state: State,
    t200: Option<Mono>,
    t203: Option<Mono>,
    /// Messages from V(A) onwards: the first `V(S) - V(A)` are sent and not acknowledged, the others wait.
    queue: VecDeque<Vec<u8>>,
    vs: u8,
    va: u8,
    vr: u8,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// 4: TEI assigned.
    Assigned,
    /// 5: awaiting establishment.
    AwaitingEstablishment { rc: u8, by_layer_3: bool },
    /// 6: awaiting release.
    AwaitingRelease { rc: u8 },
    /// 7: multiple frame established.
    Established(Exception),
    /// 8: timer recovery.
    Recovery { rc: u8, exception: Exception },
}

/// The exception conditions of a link (Q.921 §5.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Exception {
    peer_busy: bool,
    rejected: bool,
    ack_due: bool,
}

impl Link {
    /// TEI assigned, nothing established.
    #[must_use]
    pub fn new(side: Side, timers: Timers) -> Self {
        Self {
            side,
            timers,
            state: State::Assigned,
            t200: None,
            t203: None,
            queue: VecDeque::new(),
            vs: 0,
            va: 0,
            vr: 0,
            out: VecDeque::new(),
        }
    }

    /// One input.
    ///
    /// # Errors
    /// [`Refused`] for a message that cannot be taken. What comes from the line is never an error.
    pub fn handle(&mut self, now: Now, input: Input<'_>) -> Result<(), Refused> {
        assert!(self.out.is_empty(), "drain before the next input");
        let now = now.mono;
        match input {
            Input::Frame(octets) => self.received(now, octets),
            Input::Establish => self.establish_request(now),
            Input::Release => self.release_request(now),
            Input::Send(message) => self.send(message)?,
            Input::LineDown => self.line_down(),
            Input::Timer => self.timer(now),
        }
        self.pump(now);
        Ok(())
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back, and why.
    #[must_use]
    pub fn deadline(&self) -> Option<(Mono, Timer)> {
        let t200 = self.t200.map(|at| (at, Timer::T200));
        let t203 = self.t203.map(|at| (at, Timer::T203));
        [t200, t203].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Multiple frame operation (state 7 or 8).
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Established(_) | State::Recovery { .. })
    }

    /// State number of Q.921, 4..=8.
    #[must_use]
    pub fn state_number(&self) -> u8 {
        match self.state {
            State::Assigned => 4,
            State::AwaitingEstablishment { .. } => 5,
            State::AwaitingRelease { .. } => 6,
            State::Established(_) => 7,
            State::Recovery { .. } => 8,
        }
    }

    fn frame(&mut self, command: bool, pf: bool, kind: Kind<'_>) {
        let octets = Frame { command, sapi: 0, tei: 0, pf, kind }.write(self.side);
        self.out.push_back(Output::Frame(octets));
    }

    fn error(&mut self, code: char) {
        self.out.push_back(Output::Error(code));
    }

    fn outstanding(&self) -> u8 {
        distance(self.va, self.vs)
    }

    fn establish_request(&mut self, now: Mono) {
        match &mut self.state {
            State::AwaitingEstablishment { by_layer_3, .. } => {
                *by_layer_3 = true;
                self.queue.clear();
            }
            State::AwaitingRelease { .. } => {}
            State::Assigned | State::Established(_) | State::Recovery { .. } => {
                self.queue.clear();
                self.establish(now, true);
            }
        }
    }

    fn release_request(&mut self, now: Mono) {
        match self.state {
            State::Assigned => self.out.push_back(Output::Released),
            State::AwaitingRelease { .. } => {}
            _ => {
                self.queue.clear();
                self.frame(true, true, Kind::Disc);
                (self.t203, self.t200) = (None, Some(now + self.timers.t200));
                self.state = State::AwaitingRelease { rc: 0 };
            }
        }
    }

    fn send(&mut self, message: &[u8]) -> Result<(), Refused> {
        let waits = matches!(self.state, State::AwaitingEstablishment { by_layer_3: false, .. });
        if !(self.is_up() || waits) || self.queue.len() >= self.timers.queue_max {
            return Err(Refused);
        }
        self.queue.push_back(message.to_vec());
        Ok(())
    }

    fn line_down(&mut self) {
        let was = std::mem::replace(&mut self.state, State::Assigned);
        (self.t200, self.t203) = (None, None);
        self.queue.clear();
        if was != State::Assigned {
            self.out.push_back(Output::Released);
        }
    }

    /// "Establish data link" of figure B.9.
    fn establish(&mut self, now: Mono, by_layer_3: bool) {
        self.frame(true, true, Kind::Sabme);
        (self.t203, self.t200) = (None, Some(now + self.timers.t200));
        self.state = State::AwaitingEstablishment { rc: 0, by_layer_3 };
    }

    fn enter_established(&mut self, now: Mono) {
        (self.vs, self.va, self.vr) = (0, 0, 0);
        (self.t200, self.t203) = (None, Some(now + self.timers.t203));
        self.state = State::Established(Exception::default());
    }

    fn enter_assigned(&mut self) {
        self.queue.clear();
        (self.t200, self.t203) = (None, None);
        self.state = State::Assigned;
        self.out.push_back(Output::Released);
    }

    fn timer(&mut self, now: Mono) {
        if self.t200.is_some_and(|at| at <= now) {
            self.t200 = None;
            self.t200_expired(now);
        } else if self.t203.is_some_and(|at| at <= now) {
            self.t203 = None;
            if let State::Established(exception) = self.state {
                // Q.921 §5.6.8: T203 asks the peer whether it is there.
                self.enquire(now, 0, exception);
            }
        }
    }

    fn t200_expired(&mut self, now: Mono) {
        let last = |rc: u8, n200: u8| rc >= n200;
        match self.state {
            State::AwaitingEstablishment { rc, .. } if last(rc, self.timers.n200) => {
                self.error('G');
                self.enter_assigned();
            }
            State::AwaitingEstablishment { rc, by_layer_3 } => {
                self.frame(true, true, Kind::Sabme);
                self.t200 = Some(now + self.timers.t200);
                self.state = State::AwaitingEstablishment { rc: rc + 1, by_layer_3 };
            }
            State::AwaitingRelease { rc } if last(rc, self.timers.n200) => {
                self.error('H');
                self.enter_assigned();
            }
            State::AwaitingRelease { rc } => {
                self.frame(true, true, Kind::Disc);
                self.t200 = Some(now + self.timers.t200);
                self.state = State::AwaitingRelease { rc: rc + 1 };
            }
            State::Established(exception) => self.enquire(now, 0, exception),
            State::Recovery { rc, .. } if last(rc, self.timers.n200) => {
                self.error('I');
                self.establish(now, false);
            }
            State::Recovery { rc, exception } => self.enquire(now, rc, exception),
            State::Assigned => {}
        }
    }

    /// "Transmit enquiry": RR with the poll bit, and timer recovery (Q.921 §5.6.7 b).
    fn enquire(&mut self, now: Mono, rc: u8, exception: Exception) {
        self.frame(true, true, Kind::Rr(self.vr));
        (self.t203, self.t200) = (None, Some(now + self.timers.t200));
        self.state = State::Recovery { rc: rc + 1, exception: Exception { ack_due: false, ..exception } };
    }

    fn received(&mut self, now: Mono, octets: &[u8]) {
        let frame = match Frame::parse(octets, self.side.other()) {
            Ok(frame) if frame.sapi == 0 && frame.tei == 0 => frame,
            Ok(_) | Err(Invalid::Discard) => return,
            Err(invalid) => return self.invalid(now, octets, invalid),
        };
        match frame.kind {
            Kind::Sabme if frame.command => self.sabme(now, frame.pf),
            Kind::Disc if frame.command => self.disc(frame.pf),
            Kind::Ua if !frame.command => self.ua(now, frame.pf),
            Kind::Dm if !frame.command => self.dm(now, frame.pf),
            Kind::Frmr(_) if !frame.command && self.is_up() => {
                self.error('K');
                self.establish(now, false);
            }
            Kind::I { ns, nr, info } if frame.command && self.is_up() => {
                self.information(now, frame.pf, (ns, nr), info);
            }
            Kind::Rr(nr) | Kind::Rnr(nr) | Kind::Rej(nr) if self.is_up() => {
                self.supervisory(now, frame, nr);
            }
            // Q.921 §5.8.5: commands as responses and the like are frame rejection conditions.
            Kind::I { .. } | Kind::Sabme | Kind::Disc | Kind::Ua | Kind::Dm if self.is_up() => {
                self.error('L');
                self.establish(now, false);
            }
            _ => {}
        }
    }

    /// A frame rejection condition (Q.921 §5.8.5): only a link in use answers it, by establishing anew.
    fn invalid(&mut self, now: Mono, octets: &[u8], invalid: Invalid) {
        let ours = matches!(octets, [high, low, ..] if high >> 2 == 0 && low >> 1 == 0);
        if !ours || !self.is_up() {
            return;
        }
        self.error(match invalid {
            Invalid::Length => 'N',
            Invalid::TooLong => 'O',
            Invalid::Undefined | Invalid::Discard => 'L',
        });
        self.establish(now, false);
    }

    fn sabme(&mut self, now: Mono, pf: bool) {
        match self.state {
            State::AwaitingEstablishment { .. } => self.frame(false, pf, Kind::Ua),
            State::AwaitingRelease { .. } => self.frame(false, pf, Kind::Dm),
            State::Assigned => {
                self.frame(false, pf, Kind::Ua);
                self.enter_established(now);
                self.out.push_back(Output::Established);
            }
            State::Established(_) | State::Recovery { .. } => {
                self.frame(false, pf, Kind::Ua);
                self.error('F');
                // Figure B.7: layer 3 is told when something that was sent may be lost.
                let lost = self.vs != self.va;
                if lost {
                    self.queue.clear();
                }
                self.enter_established(now);
                if lost {
                    self.out.push_back(Output::Established);
                }
            }
        }
    }

    fn disc(&mut self, pf: bool) {
        match self.state {
            State::Assigned | State::AwaitingEstablishment { .. } => self.frame(false, pf, Kind::Dm),
            State::AwaitingRelease { .. } => self.frame(false, pf, Kind::Ua),
            State::Established(_) | State::Recovery { .. } => {
                self.frame(false, pf, Kind::Ua);
                self.enter_assigned();
            }
        }
    }

    fn ua(&mut self, now: Mono, pf: bool) {
        match self.state {
            State::AwaitingEstablishment { by_layer_3, .. } if pf => {
                let lost = self.vs != self.va;
                if lost && !by_layer_3 {
                    self.queue.clear();
                }
                self.enter_established(now);
                if by_layer_3 {
                    self.out.push_back(Output::Confirmed);
                } else if lost {
                    self.out.push_back(Output::Established);
                }
            }
            State::AwaitingRelease { .. } if pf => self.enter_assigned(),
            State::AwaitingEstablishment { .. } | State::AwaitingRelease { .. } => self.error('D'),
            _ => self.error(if pf { 'C' } else { 'D' }),
        }
    }

    fn dm(&mut self, now: Mono, pf: bool) {
        match self.state {
            // Q.921 §5.5.4: an unsolicited DM asks us to establish.
            State::Assigned if !pf => self.establish(now, true),
            State::AwaitingEstablishment { .. } | State::AwaitingRelease { .. } if pf => {
                self.enter_assigned()
            }
            State::Established(_) if pf => self.error('B'),
            State::Established(_) | State::Recovery { .. } => {
                self.error(if pf { 'B' } else { 'E' });
                self.establish(now, false);
            }
            _ => {}
        }
    }

    fn exception(&mut self) -> Option<&mut Exception> {
        match &mut self.state {
            State::Established(exception) | State::Recovery { exception, .. } => Some(exception),
            _ => None,
        }
    }

    fn information(&mut self, now: Mono, poll: bool, (ns, nr): (u8, u8), info: &[u8]) {
        let expected = ns == self.vr;
        let Some(exception) = self.exception() else { return };
        let first_loss = !expected && !exception.rejected;
        exception.rejected = !expected;
        exception.ack_due |= expected && !poll;
        exception.ack_due &= !poll && !first_loss;
        if expected {
            self.vr = (self.vr + 1) & 127;
            self.out.push_back(Output::Data(info.to_vec()));
        }
        if first_loss {
            // Q.921 §5.8.1: one REJ for a gap, until the frame that was missed comes.
            self.frame(false, poll, Kind::Rej(self.vr));
        } else if poll {
            self.frame(false, true, Kind::Rr(self.vr));
        }
        if !self.valid(nr) {
            return self.sequence_error(now);
        }
        match self.state {
            State::Established(e) if !e.peer_busy => self.acknowledged(now, nr),
            _ => self.take(nr),
        }
    }

    fn supervisory(&mut self, now: Mono, frame: Frame<'_>, nr: u8) {
        let busy = matches!(frame.kind, Kind::Rnr(_));
        if let Some(exception) = self.exception() {
            exception.peer_busy = busy;
        }
        if frame.command && frame.pf {
            self.frame(false, true, Kind::Rr(self.vr));
            if let Some(exception) = self.exception() {
                exception.ack_due = false;
            }
        }
        if !self.valid(nr) {
            return self.sequence_error(now);
        }
        match self.state {
            State::Recovery { exception, .. } if !frame.command && frame.pf => {
                // Q.921 §5.6.7: the answer to the enquiry ends recovery; what is missing is sent again.
                self.take(nr);
                self.vs = self.va;
                self.state = State::Established(exception);
                self.rest(now, busy);
            }
            State::Recovery { .. } => self.take(nr),
            _ => {
                if !frame.command && frame.pf {
                    self.error('A');
                }
                match frame.kind {
                    Kind::Rej(_) => {
                        self.take(nr);
                        self.vs = self.va;
                        self.rest(now, false);
                    }
                    Kind::Rnr(_) => {
                        self.take(nr);
                        self.rest(now, true);
                    }
                    _ => self.acknowledged(now, nr),
                }
            }
        }
    }

    /// Timers of a link with nothing outstanding: T203, or T200 while the peer is busy (it is asked then).
    fn rest(&mut self, now: Mono, busy: bool) {
        (self.t200, self.t203) = match busy {
            true => (Some(now + self.timers.t200), None),
            false => (None, Some(now + self.timers.t203)),
        };
    }

    /// Whether V(A) <= N(R) <= V(S), modulo 128.
    fn valid(&self, nr: u8) -> bool {
        distance(self.va, nr) <= self.outstanding()
    }

    /// "N(R) error recovery" of figure B.9.
    fn sequence_error(&mut self, now: Mono) {
        self.error('J');
        self.establish(now, false);
    }

    /// V(A) becomes N(R); what is acknowledged is forgotten.
    fn take(&mut self, nr: u8) {
        for _ in 0..distance(self.va, nr) {
            self.queue.pop_front();
        }
        self.va = nr;
    }

    /// Takes an acknowledgement in state 7 and keeps its timers.
    fn acknowledged(&mut self, now: Mono, nr: u8) {
        let new = nr != self.va;
        self.take(nr);
        if nr == self.vs {
            self.rest(now, false);
        } else if new {
            self.t200 = Some(now + self.timers.t200);
        }
    }

    /// Sends what the window allows, then an acknowledgement if none went along.
    fn pump(&mut self, now: Mono) {
        if let State::Established(mut exception) = self.state {
            while !exception.peer_busy && self.outstanding() < self.timers.k {
                let Some(info) = self.queue.get(usize::from(self.outstanding())) else { break };
                let kind = Kind::I { ns: self.vs, nr: self.vr, info };
                let octets = Frame { command: true, sapi: 0, tei: 0, pf: false, kind }.write(self.side);
                self.out.push_back(Output::Frame(octets));
                self.vs = (self.vs + 1) & 127;
                exception.ack_due = false;
                if self.t200.is_none() {
                    (self.t203, self.t200) = (None, Some(now + self.timers.t200));
                }
            }
            self.state = State::Established(exception);
        }
        if self.exception().is_some_and(|e| std::mem::take(&mut e.ack_due)) {
            self.frame(false, false, Kind::Rr(self.vr));
        }
    }
}

/// Steps from `from` up to `to`, modulo 128.
fn distance(from: u8, to: u8) -> u8 {
    to.wrapping_sub(from) & 127
}

#[cfg(test)]
mod tests;
