//! Whether a trunk works: what its probes and its calls say, and when it is tried again.
//!
//! ```text
//! Up ──three failures in a row, half of the last calls, a missed probe──▶ Down ──wait over──▶ one call on trial
//!  ▲───────────────────── it is answered in any way, or a probe is ──────────────────────────────┘ (else Down, twice the wait)
//! ```
//!
//! A callee who is busy, absent or unwilling says nothing against the trunk: only silence, a broken transport and
//! answers that the trunk's own machinery gives count as failures.

use std::time::Duration;
use units::Mono;

/// What a trunk's health is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthLimits {
    /// Failures in a row after which it is down.
    pub failures_max: u32,
    /// Failures among the latest calls after which it is down, percent ...
    pub failures_percent_max: u32,
    /// ... if there were so many calls.
    pub sample_min: u32,
    /// Calls older than this weigh half, ms; those twice as old a quarter.
    pub half_ms: u64,
    /// Down for so long, the first time, ms; each time that a trial fails twice as long.
    pub down_ms: u64,
    /// Never longer than this, ms; also the longest Retry-After that is kept.
    pub down_ms_max: u64,
}

impl Default for HealthLimits {
    fn default() -> Self {
        Self {
            failures_max: 3,
            failures_percent_max: 50,
            sample_min: 10,
            half_ms: 30_000,
            down_ms: 5_000,
            down_ms_max: 120_000,
        }
    }
}

/// How a call used its trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The trunk did its part, whatever the callee said.
    Fine,
    /// The trunk refused or broke; it may have asked for patience, s.
    Failed {
        /// Retry-After (RFC 3261 §21.5.4).
        retry_after_s: Option<u32>,
    },
    /// Nothing was dialled.
    Unused,
}

/// Why a trunk is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its calls failed.
    Calls,
    /// It does not answer OPTIONS.
    Probe,
    /// It asked for patience.
    RetryAfter,
    /// We are not registered there.
    Unregistered,
}

/// Whether a call may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// As many as there is room for.
    Up,
    /// One, to see.
    Trial,
    /// None.
    Down(Why),
}

/// The health of one trunk.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    down: Option<Down>,
    /// It did not answer its last probes.
    unreachable: bool,
    /// It wants us registered, and we are not.
    unregistered: bool,
    /// Failures since the last call that was fine.
    row: u32,
    /// Doublings of the next wait.
    doublings: u32,
    /// Thousandths of calls and of failures, fading.
    calls: u64,
    failures: u64,
    faded: Mono,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    until: Mono,
    why: Why,
    /// A call is out to see whether it works again.
    trial: bool,
}

impl Health {
    pub(super) fn fitness(&self, now: Mono) -> Fitness {
        match self.down {
            _ if self.unregistered => Fitness::Down(Why::Unregistered),
            _ if self.unreachable => Fitness::Down(Why::Probe),
            None => Fitness::Up,
            Some(down) if down.until > now || down.trial => Fitness::Down(down.why),
            Some(_) => Fitness::Trial,
        }
    }

    /// When its fitness changes by itself.
    pub(super) fn deadline(&self, now: Mono) -> Option<Mono> {
        self.down.map(|down| down.until).filter(|until| *until > now)
    }

    /// A call leaves by it. Whether it is on trial.
    pub(super) fn sent(&mut self) -> bool {
        self.down.as_mut().map(|down| down.trial = true).is_some()
    }

    /// The set-up of a call by it is over.
    pub(super) fn ended(&mut self, now: Mono, end: End, on_trial: bool, limits: &HealthLimits) {
        if let Some(down) = self.down.as_mut().filter(|_| on_trial) {
            down.trial = false;
        }
        self.fade(now, limits);
        match end {
            End::Unused => {}
            End::Fine => {
                self.calls += 1_000;
                self.row = 0;
                // A call that left before it went down says nothing about now.
                if on_trial {
                    self.recovered();
                }
            }
            End::Failed { retry_after_s } => {
                self.calls += 1_000;
                self.failures += 1_000;
                self.row += 1;
                self.failed(now, retry_after_s, on_trial, limits);
            }
        }
    }

    /// What its probe says.
    pub(super) fn probed(&mut self, up: bool) {
        self.unreachable = !up;
        if up {
            self.recovered();
        }
    }

    /// Whether a registration that it needs stands.
    pub(super) fn registered(&mut self, registered: bool) {
        self.unregistered = !registered;
    }

    fn recovered(&mut self) {
        self.down = None;
        (self.row, self.doublings, self.calls, self.failures) = (0, 0, 0, 0);
    }

    fn failed(&mut self, now: Mono, retry_after_s: Option<u32>, on_trial: bool, limits: &HealthLimits) {
        let often = self.calls >= u64::from(limits.sample_min) * 1_000
            && self.failures * 100 >= self.calls * u64::from(limits.failures_percent_max);
        let asked = u64::from(retry_after_s.unwrap_or(0)) * 1_000;
        if self.down.is_some() && !on_trial {
            return;
        }
        let why =
            if on_trial || self.row >= limits.failures_max || often { Why::Calls } else { Why::RetryAfter };
        if why == Why::RetryAfter && asked == 0 {
            return;
        }
        let own = if why == Why::Calls { limits.down_ms << self.doublings.min(10) } else { 0 };
        let ms = own.max(asked).min(limits.down_ms_max);
        self.doublings += u32::from(why == Why::Calls);
        self.down = Some(Down { until: now + Duration::from_millis(ms), why, trial: false });
    }

    fn fade(&mut self, now: Mono, limits: &HealthLimits) {
        let half = Duration::from_millis(limits.half_ms.max(1));
        while now.since(self.faded) >= half && (self.calls > 0 || self.failures > 0) {
            (self.calls, self.failures) = (self.calls / 2, self.failures / 2);
            self.faded = self.faded + half;
        }
        if self.calls == 0 {
            self.faded = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: End = End::Failed { retry_after_s: None };
    const LIMITS: HealthLimits = HealthLimits {
        failures_max: 3,
        failures_percent_max: 50,
        sample_min: 10,
        half_ms: 30_000,
        down_ms: 5_000,
        down_ms_max: 120_000,
    };

    fn at(ms: u64) -> Mono {
        Mono::from_ms(ms)
    }

    fn ends(health: &mut Health, ms: u64, ends: &[End]) {
        for end in ends {
            let on_trial = health.sent();
            health.ended(at(ms), *end, on_trial, &LIMITS);
        }
    }

    #[test]
    fn three_failures_in_a_row_and_it_is_down_then_one_call_is_on_trial() {
        let mut health = Health::default();
        ends(&mut health, 1_000, &[FAILED, FAILED]);
        assert_eq!(health.fitness(at(1_000)), Fitness::Up);
        ends(&mut health, 1_000, &[FAILED]);
        assert_eq!(health.fitness(at(5_999)), Fitness::Down(Why::Calls));
        assert_eq!(health.deadline(at(1_000)), Some(at(6_000)));
        assert_eq!(health.fitness(at(6_000)), Fitness::Trial);
        assert!(health.sent());
        assert_eq!(health.fitness(at(6_000)), Fitness::Down(Why::Calls), "one at a time");
        health.ended(at(6_050), End::Fine, false, &LIMITS);
        assert_eq!(
            health.fitness(at(6_050)),
            Fitness::Down(Why::Calls),
            "an old call says nothing about now"
        );
        health.ended(at(6_100), FAILED, true, &LIMITS);
        assert_eq!(health.fitness(at(16_099)), Fitness::Down(Why::Calls), "twice as long");
        ends(&mut health, 16_100, &[End::Fine]);
        assert_eq!(health.fitness(at(16_100)), Fitness::Up);
    }

    #[test]
    fn a_callee_who_is_busy_breaks_the_row_but_half_of_many_is_too_much() {
        let mut health = Health::default();
        for _ in 0..4 {
            ends(&mut health, 1_000, &[FAILED, End::Fine]);
        }
        assert_eq!(health.fitness(at(1_000)), Fitness::Up, "eight are too few to say");
        ends(&mut health, 1_000, &[FAILED, FAILED]);
        assert_eq!(health.fitness(at(1_000)), Fitness::Down(Why::Calls));
    }

    #[test]
    fn old_failures_fade() {
        let mut health = Health::default();
        ends(&mut health, 0, &[FAILED, End::Fine, FAILED, End::Fine, FAILED, End::Fine, FAILED, End::Fine]);
        ends(&mut health, 120_000, &[End::Fine, End::Fine, FAILED, FAILED]);
        assert_eq!(health.fitness(at(120_000)), Fitness::Up);
    }

    #[test]
    fn rfc3261_21_5_4_patience_asked_for_is_kept_within_a_limit() {
        let mut health = Health::default();
        ends(&mut health, 0, &[End::Failed { retry_after_s: Some(7) }]);
        assert_eq!(health.fitness(at(6_999)), Fitness::Down(Why::RetryAfter));
        assert_eq!(health.fitness(at(7_000)), Fitness::Trial);
        ends(&mut health, 7_000, &[End::Failed { retry_after_s: Some(86_400) }]);
        assert_eq!(health.fitness(at(127_000)), Fitness::Trial);
    }

    #[test]
    fn probes_take_it_out_and_bring_it_back_at_once() {
        let mut health = Health::default();
        health.probed(false);
        assert_eq!(health.fitness(at(9_999_999)), Fitness::Down(Why::Probe));
        health.probed(true);
        assert_eq!(health.fitness(at(0)), Fitness::Up);
    }

    #[test]
    fn what_was_never_dialled_says_nothing() {
        let mut health = Health::default();
        ends(&mut health, 0, &[End::Unused; 20]);
        ends(&mut health, 0, &[FAILED, FAILED, FAILED]);
        ends(&mut health, 5_000, &[End::Unused]);
        assert_eq!(health.fitness(at(5_000)), Fitness::Trial, "still to be tried");
    }
}
