//! The choice itself.

use super::{Dispatcher, Scheme};
use units::{Mono, ServerId};

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Priority of an ordered call, 0..=9.
    pub priority: u8,
    /// An inbound call asks.
    pub inbound: bool,
    /// A bound of policy on the share of each server, in thousandths; 0: none.
    pub share_max: u16,
    /// Not these: they have refused this call.
    pub without: &'a [ServerId],
    /// This one and no other: the second call of a transfer stands beside the first.
    pub only: Option<ServerId>,
}

/// No server can take it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoServer {
    /// Channels are free, but set-ups are bounded: try again then. `None`: when a slot comes back or a report comes in.
    pub retry_at: Option<Mono>,
}

/// Exponent of the spare share in [`Scheme::Weighted`]: measured to be the best of 1, 2, 4.
const SPARE_POWER: i32 = 4;

/// So far below the mean utilisation a server is taken for one that has just come back.
const FAR_BELOW: f64 = 0.7;

impl Dispatcher {
    pub(super) fn choose(&mut self, now: Mono, wanted: &Wanted<'_>) -> Result<usize, NoServer> {
        self.rebuild();
        let drawn = match self.scheme {
            Scheme::P2c => self.best_of(2, now, wanted),
            Scheme::P3c => self.best_of(3, now, wanted),
            Scheme::Random => self.best_of(1, now, wanted),
            Scheme::Weighted => self.weighted(now, wanted),
            Scheme::Rr => self.in_turn(now, wanted),
            Scheme::Least => None,
        };
        match drawn {
            Some(place) => Ok(place),
            None => self.scan(now, wanted),
        }
    }

    fn share(&self, wanted: &Wanted<'_>) -> u16 {
        let own = match wanted.inbound {
            true => self.shares.inbound,
            false => self.shares.by_priority[usize::from(wanted.priority.min(9))],
        };
        if wanted.share_max == 0 { own } else { own.min(wanted.share_max) }
    }

    fn usable(&mut self, place: usize, now: Mono, wanted: &Wanted<'_>) -> bool {
        let share = self.share(wanted);
        let server = &mut self.servers[place];
        let fits = wanted.only.is_none_or(|only| only == server.id);
        fits && server.room(share) > 0 && !wanted.without.contains(&server.id) && server.bucket.has(now)
    }

    /// Draws until a usable server comes, which has not been drawn before and whose slow start lets it.
    fn draw(&mut self, now: Mono, wanted: &Wanted<'_>, before: &[usize]) -> Option<usize> {
        for _ in 0..self.limits.draws_max {
            let place = self.alias.draw(&mut self.rng)?;
            if before.contains(&place) || !self.usable(place, now, wanted) {
                continue;
            }
            let ramp = self.servers[place].ramp(now, self.limits.slow_start_ms) * self.held_back(place);
            if ramp >= 1.0 || self.rng.chance(ramp) {
                return Some(place);
            }
        }
        None
    }

    /// A server far below the mean wins every comparison and would get twice its share, in bad seconds more than three
    /// times: it is held back to one and a half, which fills it all the same.
    fn held_back(&self, place: usize) -> f64 {
        let server = &self.servers[place];
        let far_below = f64::from(server.used) < FAR_BELOW * self.mean() * f64::from(server.capacity);
        if far_below && self.servers.len() > 2 { 0.75 } else { 1.0 }
    }

    fn best_of(&mut self, draws: usize, now: Mono, wanted: &Wanted<'_>) -> Option<usize> {
        let mut drawn = [0_usize; 3];
        let mut best: Option<(usize, f64)> = None;
        for i in 0..draws {
            let Some(place) = self.draw(now, wanted, &drawn[..i]) else { break };
            drawn[i] = place;
            let score = if draws == 1 { 0.0 } else { self.score(now, place) };
            best = match best {
                Some((_, least)) if score > least => best,
                Some((_, least)) if score == least && self.rng.chance(0.5) => best,
                _ => Some((place, score)),
            };
        }
        best.map(|(place, _)| place)
    }

    fn weighted(&mut self, now: Mono, wanted: &Wanted<'_>) -> Option<usize> {
        let mut last = None;
        for _ in 0..self.limits.draws_max {
            let place = self.draw(now, wanted, &[])?;
            let spare = (1.0 - self.score(now, place)).clamp(0.0, 1.0);
            if self.rng.chance(spare.powi(SPARE_POWER)) {
                return Some(place);
            }
            last = Some(place);
        }
        last
    }

    fn in_turn(&mut self, now: Mono, wanted: &Wanted<'_>) -> Option<usize> {
        for _ in 0..self.servers.len() {
            self.turn = (self.turn + 1) % self.servers.len();
            if self.usable(self.turn, now, wanted) {
                return Some(self.turn);
            }
        }
        None
    }

    /// Utilisation as believed, worse by the penalty.
    fn score(&self, now: Mono, place: usize) -> f64 {
        let server = &self.servers[place];
        let load = self.estimate(now, server) / f64::from(server.capacity.max(1));
        load + server.penalty_at(now, self.limits.penalty_fade_ms)
    }

    /// The lowest score of all usable ones: when draws find nothing because nearly all are full, and for
    /// [`Scheme::Least`].
    fn scan(&mut self, now: Mono, wanted: &Wanted<'_>) -> Result<usize, NoServer> {
        let share = self.share(wanted);
        let mut best: Option<(usize, f64)> = None;
        let mut retry_at: Option<Mono> = None;
        for place in 0..self.servers.len() {
            let server = &mut self.servers[place];
            let elsewhere = wanted.only.is_some_and(|only| only != server.id);
            if elsewhere || server.room(share) == 0 || wanted.without.contains(&server.id) {
                continue;
            }
            if !server.bucket.has(now) {
                let next = server.bucket.next(now);
                retry_at = Some(retry_at.map_or(next, |at| at.min(next)));
                continue;
            }
            let score = self.score(now, place);
            if best.is_none_or(|(_, least)| score < least) {
                best = Some((place, score));
            }
        }
        best.map(|(place, _)| place).ok_or(NoServer { retry_at })
    }
}
