//! From defects to alarms: integration and clearing by timers, as ANSI T1.231 §6.2 (and G.732 §4 for E1) want them.
//!
//! A *defect* is what the framer sees now; a *failure* (what people call an alarm) is declared when the defect has
//! stood for 2.5 s and cleared when it has been gone for 10 s. New calls avoid a span at the first defect, so both are
//! reported. Loss of signal hides what would follow from it: AIS hides loss of frame, loss of signal hides both.

use crate::card::alarm;
use std::time::Duration;
use units::Mono;

/// How long things must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// A defect becomes a failure.
    pub declare: Duration,
    /// A failure ends when the defect has been gone for so long.
    pub clear: Duration,
}

impl Times {
    /// ANSI T1.231 §6.2: 2.5 s +-0.5 s and 10 s +-0.5 s.
    pub const T1: Times =
        Times { declare: Duration::from_millis(2500), clear: Duration::from_millis(10_000) };
    /// ETSI practice (ETS 300 233, G.775): a fault is acted on within 100 ms and ends as fast.
    pub const E1: Times = Times { declare: Duration::from_millis(100), clear: Duration::from_millis(100) };
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The defects in force now, bits of [`alarm`]; 0: the span is whole, though failures may still stand.
    Defects(u16),
    /// The failures in force now.
    Failures(u16),
}

/// One span's integration.
#[derive(Clone, Debug)]
pub struct Integrator {
    times: Times,
    defects: u16,
    failures: u16,
    /// When each kind last changed between defect and none.
    since: [Mono; KINDS.len()],
    reported: (u16, u16),
}

const KINDS: [u16; 5] = [alarm::LOS, alarm::LOF, alarm::AIS, alarm::RAI, alarm::LOMF];

impl Integrator {
    /// For a span without defects.
    #[must_use]
    pub fn new(times: Times) -> Self {
        Self { times, defects: 0, failures: 0, since: [Mono(0); KINDS.len()], reported: (0, 0) }
    }

    /// The framer sees these defects now; call it when they change, and at [`Integrator::deadline`] with the same.
    pub fn handle(&mut self, now: Mono, seen: u16) {
        let seen = masked(seen);
        for (kind, since) in KINDS.iter().zip(&mut self.since) {
            let (is, was) = (seen & kind != 0, self.defects & kind != 0);
            if is != was {
                *since = now;
            }
            let stood = now.since(*since);
            if is && stood >= self.times.declare {
                self.failures |= kind;
            } else if !is && stood >= self.times.clear {
                self.failures &= !kind;
            }
        }
        self.defects = seen;
    }

    /// What changed; drain to `None` after each `handle`.
    pub fn poll(&mut self) -> Option<Output> {
        if self.reported.0 != self.defects {
            self.reported.0 = self.defects;
            return Some(Output::Defects(self.defects));
        }
        if self.reported.1 != self.failures {
            self.reported.1 = self.failures;
            return Some(Output::Failures(self.failures));
        }
        None
    }

    /// When `handle` must be called again, if nothing changes before.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let due = |(kind, since): (&u16, &Mono)| match (self.defects & kind != 0, self.failures & kind != 0) {
            (true, false) => Some(*since + self.times.declare),
            (false, true) => Some(*since + self.times.clear),
            _ => None,
        };
        KINDS.iter().zip(&self.since).filter_map(due).min()
    }

    /// Failures in force.
    #[must_use]
    pub fn failures(&self) -> u16 {
        self.failures
    }
}

/// Takes away what only follows from something worse.
fn masked(seen: u16) -> u16 {
    if seen & alarm::LOS != 0 {
        seen & !(alarm::LOF | alarm::AIS | alarm::RAI | alarm::LOMF)
    } else if seen & alarm::AIS != 0 {
        seen & !(alarm::LOF | alarm::RAI | alarm::LOMF)
    } else if seen & alarm::LOF != 0 {
        seen & !(alarm::RAI | alarm::LOMF)
    } else {
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script of (ms, defects), calling at deadlines too; what came out and when.
    fn run(times: Times, script: &[(u64, u16)]) -> Vec<(u64, Output)> {
        let mut i = Integrator::new(times);
        let mut out = Vec::new();
        let mut seen = 0;
        let mut script = script.iter().peekable();
        loop {
            let due = i.deadline();
            let next = script.peek().map(|s| Mono::from_ms(s.0));
            let now = match (due, next) {
                (None, None) => return out,
                (Some(d), Some(n)) => d.min(n),
                (d, n) => d.or(n).expect("one of them"),
            };
            if next == Some(now) {
                seen = script.next().expect("peeked").1;
            }
            i.handle(now, seen);
            out.extend(std::iter::from_fn(|| i.poll()).map(|o| (now.as_ms(), o)));
        }
    }

    #[test]
    fn t1_231_declares_after_2500_ms_and_clears_after_10_s() {
        let out = run(Times::T1, &[(1000, alarm::LOF), (5000, 0)]);
        assert_eq!(
            out,
            [
                (1000, Output::Defects(alarm::LOF)),
                (3500, Output::Failures(alarm::LOF)),
                (5000, Output::Defects(0)),
                (15_000, Output::Failures(0)),
            ]
        );
    }

    #[test]
    fn short_defects_are_no_failures_and_short_gaps_do_not_clear() {
        let out = run(
            Times::T1,
            &[(0, alarm::LOS), (2400, 0), (3000, alarm::LOS), (6000, 0), (15_900, alarm::LOS), (16_000, 0)],
        );
        let failures: Vec<_> = out.iter().filter(|o| matches!(o.1, Output::Failures(_))).collect();
        assert_eq!(failures, [&(5500, Output::Failures(alarm::LOS)), &(26_000, Output::Failures(0))]);
    }

    #[test]
    fn worse_hides_what_follows_from_it() {
        let all = alarm::LOS | alarm::LOF | alarm::AIS | alarm::RAI | alarm::LOMF;
        let out = run(Times::E1, &[(0, all), (1000, alarm::AIS | alarm::LOF), (2000, alarm::RAI)]);
        let defects: Vec<u16> =
            out.iter().filter_map(|o| if let Output::Defects(d) = o.1 { Some(d) } else { None }).collect();
        assert_eq!(defects, [alarm::LOS, alarm::AIS, alarm::RAI]);
        assert!(out.contains(&(100, Output::Failures(alarm::LOS))));
    }
}
