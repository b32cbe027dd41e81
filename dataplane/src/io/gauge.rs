//! What a running worker shows: histograms and counters in atomics with one writer, read by anybody at any time.

use crate::net::NetCounts;
use crate::worker::Counts;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of an octave: values are kept to about 3 %.
const STEPS: u64 = 32;
/// Up to 2^37 ns, over two minutes.
const BUCKETS: usize = 33 * 32 + 32;

/// A histogram of nanoseconds with one writer.
#[derive(Debug)]
pub struct Gauge {
    buckets: Box<[AtomicU64]>,
}

impl Default for Gauge {
    fn default() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

fn bucket(value: u64) -> usize {
    if value < STEPS {
        return usize::try_from(value).expect("small");
    }
    let octave = u64::from(value.ilog2()) - 5;
    let step = (value >> octave) - STEPS;
    usize::try_from((octave + 1) * STEPS + step).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).expect("small");
    if bucket < STEPS {
        return bucket;
    }
    let octave = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS) << octave) + ((1_u64 << octave) >> 1)
}

impl Gauge {
    /// Counts one value. Only the owning worker calls this.
    pub fn record(&self, ns: u64) {
        let slot = &self.buckets[bucket(ns)];
        slot.store(slot.load(Relaxed) + 1, Relaxed);
    }

    /// A copy, as a histogram of nanoseconds.
    ///
    /// # Panics
    /// Never: two significant figures are always allowed.
    #[must_use]
    pub fn read(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new(2).expect("two figures are allowed");
        for (i, slot) in self.buckets.iter().enumerate() {
            let n = slot.load(Relaxed);
            if n > 0 {
                histogram.record_n(middle(i), n).expect("an auto-resizing histogram takes any value");
            }
        }
        histogram
    }
}

/// All that a worker shows.
#[derive(Debug, Default)]
pub struct Gauges {
    /// How late ticks begin, ns.
    pub lateness: Gauge,
    /// How long they take, ns.
    pub cost: Gauge,
    busy_ns: AtomicU64,
    counts: [AtomicU64; COUNTS],
}

const COUNTS: usize = 12 + crate::rtp::REFUSED_KINDS;

impl Gauges {
    /// Counts one tick: how late it began and how long it took. Only the owning worker calls this.
    pub fn tick(&self, late_ns: u64, cost_ns: u64) {
        self.lateness.record(late_ns);
        self.cost.record(cost_ns);
        self.busy_ns.store(self.busy_ns.load(Relaxed) + cost_ns, Relaxed);
    }

    /// Nanoseconds spent in ticks so far.
    #[must_use]
    pub fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Relaxed)
    }

    /// Publishes counters. Only the owning worker calls this.
    pub fn publish(&self, c: &Counts, n: &NetCounts) {
        let values = [
            c.ticks,
            c.frames,
            c.skipped_ms,
            c.telemetry_dropped,
            c.edges_lost,
            c.commands_stale,
            u64::from(c.open),
            n.received,
            n.sent,
            n.send_failed,
            n.receive_dropped,
            n.stray,
        ];
        for (slot, value) in self.counts.iter().zip(values.into_iter().chain(c.refused)) {
            slot.store(value, Relaxed);
        }
    }

    /// The counters as published last.
    #[must_use]
    pub fn counts(&self) -> (Counts, NetCounts) {
        let at = |i: usize| self.counts[i].load(Relaxed);
        let mut counts = Counts {
            ticks: at(0),
            frames: at(1),
            skipped_ms: at(2),
            telemetry_dropped: at(3),
            edges_lost: at(4),
            commands_stale: at(5),
            open: u32::try_from(at(6)).unwrap_or(u32::MAX),
            refused: Default::default(),
        };
        counts.refused.iter_mut().enumerate().for_each(|(i, r)| *r = at(12 + i));
        let net = NetCounts {
            received: at(7),
            sent: at(8),
            send_failed: at(9),
            receive_dropped: at(10),
            stray: at(11),
        };
        (counts, net)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_to_three_per_cent() {
        for value in [0, 1, 31, 32, 33, 999, 66_000, 1_000_000, 40_000_000_000] {
            let m = middle(bucket(value));
            assert!(m.abs_diff(value) * 100 <= value * 3 + 50, "{value} became {m}");
        }
        let g = Gauge::default();
        (1..=1000).for_each(|i| g.record(i * 1000));
        let p99 = g.read().value_at_quantile(0.99);
        assert!((950_000..1_030_000).contains(&p99), "{p99}");
    }
}
