//! What is known of one server.

use super::ServerReport;
use super::bucket::Bucket;
use std::time::Duration;
use units::{Mono, ServerId};

#[derive(Debug)]
pub(super) struct Server {
    pub(super) id: ServerId,
    pub(super) capacity: u32,
    /// As it last said.
    pub(super) used: u32,
    pub(super) heard: Mono,
    pub(super) up: bool,
    pub(super) up_since: Mono,
    draining: bool,
    /// Slots given out and not back.
    pub(super) out: u32,
    /// Sent ever, and how many of those `used` tells of.
    sent: u64,
    seen: u64,
    pub(super) bucket: Bucket,
    penalty: f64,
    punished: Mono,
}

impl Server {
    /// One that has just been heard of for the first time. It starts at full share if it carries calls already (then
    /// this dispatcher is the newcomer), else slowly.
    pub(super) fn new(now: Mono, report: &ServerReport) -> Self {
        Self {
            id: report.server,
            capacity: report.capacity,
            used: report.used,
            heard: now,
            up: true,
            up_since: now,
            draining: report.draining,
            out: 0,
            sent: 0,
            seen: 0,
            bucket: Bucket::new(now, report.rate),
            penalty: 0.0,
            punished: now,
        }
    }

    pub(super) fn hear(&mut self, now: Mono, report: &ServerReport) {
        let was_usable = self.weight() > 0;
        self.capacity = report.capacity;
        self.used = report.used;
        self.draining = report.draining;
        self.seen = report.seen.unwrap_or(self.sent).min(self.sent);
        self.heard = now;
        self.up = true;
        self.bucket.set(now, report.rate);
        if !was_usable && self.weight() > 0 {
            self.up_since = now;
        }
    }

    pub(super) fn fall(&mut self) {
        (self.up, self.used, self.seen) = (false, 0, self.sent);
    }

    /// For the draw: usable capacity.
    pub(super) fn weight(&self) -> u32 {
        if self.up && !self.draining { self.capacity } else { 0 }
    }

    /// What it adds to the mean: `(used, capacity)`.
    pub(super) fn share_of_mean(&self) -> (f64, f64) {
        if self.weight() > 0 { (f64::from(self.used), f64::from(self.capacity)) } else { (0.0, 0.0) }
    }

    /// Sends that its last report does not tell of.
    pub(super) fn unseen(&self) -> f64 {
        f64::from(u32::try_from(self.sent - self.seen).unwrap_or(u32::MAX))
    }

    /// Channels left within a share, in thousandths. Never less than one's own slots are in use, whatever the report.
    pub(super) fn room(&self, share: u16) -> u32 {
        let allowed = u64::from(self.weight()) * u64::from(share.min(1_000)) / 1_000;
        let unseen = u32::try_from(self.sent - self.seen).unwrap_or(u32::MAX);
        let used = self.used.saturating_add(unseen).max(self.out);
        u32::try_from(allowed).unwrap_or(u32::MAX).saturating_sub(used)
    }

    pub(super) fn send(&mut self, now: Mono) {
        self.bucket.take(now);
        self.sent += 1;
        self.out += 1;
    }

    pub(super) fn give_back(&mut self) {
        self.out = self.out.saturating_sub(1);
        // Off the report if it tells of any; else the call came and went between two reports.
        match self.used.checked_sub(1) {
            Some(used) => self.used = used,
            None => self.seen = (self.seen + 1).min(self.sent),
        }
    }

    /// Share of its traffic it may get so soon after it came up, 0.05..=1.
    pub(super) fn ramp(&self, now: Mono, slow_start_ms: u64) -> f64 {
        let full = Duration::from_millis(slow_start_ms);
        let up = now.since(self.up_since);
        if up >= full { 1.0 } else { (up.as_secs_f64() / full.as_secs_f64()).max(0.05) }
    }

    pub(super) fn punish(&mut self, now: Mono, step: f64, fade_ms: u64) {
        self.penalty = (self.penalty_at(now, fade_ms) + step).min(1.0);
        self.punished = now;
    }

    pub(super) fn penalty_at(&self, now: Mono, fade_ms: u64) -> f64 {
        if self.penalty == 0.0 {
            return 0.0;
        }
        self.penalty * (-super::ms(now.since(self.punished)) / super::fade(fade_ms)).exp()
    }
}
