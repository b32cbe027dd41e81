//! Performance counters of a span in bins of 15 minutes: RFC 4805 (DS1/E1 MIB) §3, after ANSI T1.231 and G.826.
//!
//! Fed once a second with what was counted in it. The current bin, the 96 before it, and sums are kept.

use crate::card::{SpanKind, alarm};
use std::collections::VecDeque;

/// What was counted in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Bipolar violations that belong to no code, and excessive zeros.
    pub line_violations: u32,
    /// CRC-6 or CRC-4 errors.
    pub crc_errors: u32,
    /// Errors of framing bits.
    pub framing_errors: u32,
    /// Controlled slips.
    pub slips: u32,
    /// The span was out of frame at some time (severely errored framing).
    pub out_of_frame: bool,
    /// Defects that stood at some time, bits of [`alarm`].
    pub defects: u16,
}

/// One bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Seconds counted: 900 when whole.
    pub seconds: u32,
    /// Errored seconds.
    pub es: u32,
    /// Severely errored seconds.
    pub ses: u32,
    /// Severely errored framing seconds.
    pub sefs: u32,
    /// Unavailable seconds.
    pub uas: u32,
    /// Seconds with a slip.
    pub css: u32,
    /// Line errored seconds.
    pub les: u32,
    /// Path coding violations.
    pub pcv: u32,
    /// Line coding violations.
    pub lcv: u32,
}

impl Bin {
    fn add(&mut self, s: &Judged, sign: i32) {
        let count = |n: &mut u32, yes: bool| *n = n.saturating_add_signed(sign * i32::from(yes));
        count(&mut self.es, s.errored);
        count(&mut self.ses, s.severe);
        count(&mut self.sefs, s.second.out_of_frame);
        count(&mut self.css, s.second.slips > 0);
    }
}

/// Bins kept after the current one: 24 hours.
pub const BINS_MAX: usize = 96;
const BIN_SECONDS: u32 = 900;
/// RFC 4805 §3.4: unavailable after ten severely errored seconds, available after ten that are not.
const TURN_SECONDS: usize = 10;

/// A second and its verdict.
#[derive(Clone, Copy, Debug, Default)]
struct Judged {
    second: Second,
    errored: bool,
    severe: bool,
}

/// Counts one span.
#[derive(Clone, Debug)]
pub struct Counters {
    kind: SpanKind,
    /// Whether there is a CRC (ESF or CRC-4): it decides what is severe.
    crc: bool,
    current: Bin,
    past: VecDeque<Bin>,
    unavailable: bool,
    /// Seconds since the last turn that speak for the next turn.
    turn: [Judged; TURN_SECONDS],
    turning: usize,
}

impl Counters {
    /// For a span; `crc` says whether it runs ESF or CRC-4.
    #[must_use]
    pub fn new(kind: SpanKind, crc: bool) -> Self {
        Self {
            kind,
            crc,
            current: Bin::default(),
            past: VecDeque::with_capacity(BINS_MAX),
            unavailable: false,
            turn: [Judged::default(); TURN_SECONDS],
            turning: 0,
        }
    }

    /// The bin being filled.
    #[must_use]
    pub fn current(&self) -> &Bin {
        &self.current
    }

    /// Whole bins, newest first.
    pub fn past(&self) -> impl Iterator<Item = &Bin> {
        self.past.iter()
    }

    /// True while the span is unavailable.
    #[must_use]
    pub fn unavailable(&self) -> bool {
        self.unavailable
    }

    /// Counts a second.
    pub fn second(&mut self, second: &Second) {
        let judged = self.judge(second);
        self.current.seconds += 1;
        self.current.lcv = self.current.lcv.saturating_add(second.line_violations);
        self.current.pcv = self.current.pcv.saturating_add(self.path_violations(second));
        self.current.les += u32::from(second.line_violations > 0);
        if self.unavailable {
            self.current.uas += 1;
        } else {
            self.current.add(&judged, 1);
        }
        self.turn(judged);
        if self.current.seconds == BIN_SECONDS {
            self.past.truncate(BINS_MAX - 1);
            self.past.push_front(std::mem::take(&mut self.current));
        }
    }

    /// Looks whether ten seconds in a row turn availability; those ten are then counted on the other side.
    fn turn(&mut self, judged: Judged) {
        if judged.severe == self.unavailable {
            self.turning = 0;
            return;
        }
        self.turn[self.turning] = judged;
        self.turning += 1;
        if self.turning < TURN_SECONDS {
            return;
        }
        self.turning = 0;
        self.unavailable = !self.unavailable;
        // Seconds of the turn that fell into the bin before stay where they were counted.
        let sign = if self.unavailable { -1 } else { 1 };
        let here = usize::try_from(self.current.seconds).unwrap_or(TURN_SECONDS).min(TURN_SECONDS);
        let turn = self.turn;
        for judged in &turn[TURN_SECONDS - here..] {
            self.current.add(judged, sign);
            self.current.uas = self.current.uas.saturating_add_signed(-sign);
        }
    }

    /// RFC 4805 §3.3: path coding violations are CRC errors, or errors of framing bits where there is no CRC.
    fn path_violations(&self, s: &Second) -> u32 {
        if self.crc { s.crc_errors } else { s.framing_errors }
    }

    fn judge(&self, s: &Second) -> Judged {
        let broken = s.out_of_frame || s.defects & (alarm::LOS | alarm::LOF | alarm::AIS) != 0;
        let violations = self.path_violations(s);
        let many = match (self.kind, self.crc) {
            // RFC 4805 §3.4, severely errored second.
            (SpanKind::T1, true) => violations >= 320,
            (SpanKind::E1, true) => violations >= 832,
            (SpanKind::T1, false) => violations >= 8 || s.line_violations >= 1544,
            (SpanKind::E1, false) => s.line_violations >= 2048,
        };
        let severe = broken || many;
        // A line violation errs a second only where no CRC says better; a slip always does.
        let errored = severe || violations > 0 || s.slips > 0 || (!self.crc && s.line_violations > 0);
        Judged { second: *s, errored, severe }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Second = Second {
        line_violations: 0,
        crc_errors: 0,
        framing_errors: 0,
        slips: 0,
        out_of_frame: false,
        defects: 0,
    };
    const LOST: Second = Second { defects: alarm::LOS, ..GOOD };

    fn counted(seconds: &[(Second, usize)]) -> Counters {
        let mut c = Counters::new(SpanKind::T1, true);
        for (second, times) in seconds {
            (0..*times).for_each(|_| c.second(second));
        }
        c
    }

    #[test]
    fn rfc4805_3_4_errored_and_severely_errored_seconds() {
        let few = Second { crc_errors: 319, ..GOOD };
        let many = Second { crc_errors: 320, ..GOOD };
        let slip = Second { slips: 1, ..GOOD };
        let b = *counted(&[(GOOD, 10), (few, 2), (many, 3), (slip, 1)]).current();
        assert_eq!((b.seconds, b.es, b.ses, b.uas, b.css, b.pcv), (16, 6, 3, 0, 1, 2 * 319 + 3 * 320));
    }

    #[test]
    fn rfc4805_3_4_ten_severe_seconds_become_unavailable_backwards() {
        let c = counted(&[(GOOD, 5), (LOST, 9)]);
        assert_eq!((c.current().ses, c.current().uas, c.unavailable()), (9, 0, false));
        let c = counted(&[(GOOD, 5), (LOST, 20)]);
        assert_eq!((c.current().ses, c.current().es, c.current().uas, c.unavailable()), (0, 0, 20, true));
        let c = counted(&[(GOOD, 5), (LOST, 20), (GOOD, 9)]);
        assert_eq!((c.current().uas, c.unavailable()), (29, true));
        let c = counted(&[(GOOD, 5), (LOST, 20), (GOOD, 12)]);
        assert_eq!((c.current().uas, c.unavailable()), (20, false));
    }

    #[test]
    fn bins_are_900_seconds_and_96_are_kept() {
        let c = counted(&[(GOOD, 900 * 100 + 7)]);
        assert_eq!((c.past().count(), c.current().seconds), (BINS_MAX, 7));
        assert!(c.past().all(|b| b.seconds == 900));
    }
}
