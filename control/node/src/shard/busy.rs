//! Seconds that channels were busy, counted twice: once as calls in progress over time, once as the sum of what the records
//! say. The two must agree; a biller who finds otherwise has found a bug.
//!
//! `carillon_channel_busy_ms_total` also holds calls that ended before anything was dialled: those have no record, and
//! `carillon_unrecorded_calls_total` counts them.

use control::shard::Finished;
use control::shard::Output;
use control::store::Ask;
use std::collections::BTreeSet;
use units::{AttemptId, Mono};

#[derive(Debug, Default)]
pub(super) struct Busy {
    since: Mono,
    /// Calls whose record is being written: the channel is free already.
    writing: BTreeSet<AttemptId>,
    /// Not yet told, ns.
    rest: u128,
}

impl Busy {
    /// Time has passed with so many calls in progress.
    pub(super) fn pass(&mut self, now: Mono, calls: usize) {
        let busy = u128::try_from(calls.saturating_sub(self.writing.len())).unwrap_or(0);
        self.rest += now.since(self.since).as_nanos() * busy;
        self.since = now;
        let ms = self.rest / 1_000_000;
        if ms > 0 {
            self.rest -= ms * 1_000_000;
            metrics::counter!("carillon_channel_busy_ms_total")
                .increment(u64::try_from(ms).unwrap_or(u64::MAX));
        }
    }

    /// A record is written, or a call is over.
    pub(super) fn see(&mut self, output: &Output) {
        match output {
            Output::Ask(_, Ask::Append(records)) => {
                for record in records {
                    // A record that the store did not take at once comes again.
                    if self.writing.insert(record.attempt) {
                        metrics::counter!("carillon_record_busy_ms_total").increment(record.busy_ms);
                    }
                }
            }
            Output::Finished(finished) => self.over(finished),
            _ => {}
        }
    }

    fn over(&mut self, finished: &Finished) {
        if !self.writing.remove(&finished.attempt) {
            metrics::counter!("carillon_unrecorded_calls_total").increment(1);
        }
    }
}
