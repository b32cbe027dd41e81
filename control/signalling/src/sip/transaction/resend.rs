//! The pair of timers that three of the four machines share: send again at growing intervals, and give up at last
//! (A and B of RFC 3261 figure 5, E and F of figure 6, G and H of figure 7).

use super::Timers;
use std::time::Duration;
use units::Mono;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resend {
    /// Next retransmission; never over a reliable transport.
    at: Option<Mono>,
    interval: Duration,
    /// Give up then.
    until: Mono,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send again.
    Again,
    /// It has been long enough.
    GiveUp,
}

impl Resend {
    /// The first retransmission after T1, the end after 64*T1.
    pub(super) fn new(now: Mono, reliable: bool, timers: &Timers) -> Self {
        let at = (!reliable).then(|| now + timers.t1);
        Self { at, interval: timers.t1, until: now + timers.t1x64() }
    }

    /// From now on at this interval.
    pub(super) fn every(self, now: Mono, interval: Duration) -> Self {
        Self { at: self.at.map(|_| now + interval), interval, ..self }
    }

    /// The next deadline, and whether it is the last.
    pub(super) fn next(&self) -> (Mono, bool) {
        match self.at {
            Some(at) if at < self.until => (at, false),
            _ => (self.until, true),
        }
    }

    /// What is due now; the next interval is twice this one, up to a ceiling if there is one.
    pub(super) fn due(&mut self, now: Mono, ceiling: Option<Duration>) -> Due {
        if self.until <= now {
            return Due::GiveUp;
        }
        if self.at.is_none_or(|at| at > now) {
            return Due::Nothing;
        }
        let doubled = self.interval * 2;
        self.interval = ceiling.map_or(doubled, |most| doubled.min(most));
        self.at = Some(now + self.interval);
        Due::Again
    }
}
