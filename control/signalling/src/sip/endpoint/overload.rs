//! Overload: what is refused before it costs anything, and RFC 7339 both ways.

use super::{Endpoint, Hop, Output};
use crate::sip::wire::{Core, Method, Owed};
use std::hash::BuildHasher;
use std::net::IpAddr;
use units::{Mono, Now};

/// How loaded the server is, as whoever drives the endpoint judges it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Refuse every new call with 503.
    pub refuse_new: bool,
    /// Percentage of new calls that peers are asked to withhold (RFC 7339 §5.3, algorithm `loss`); 0: none.
    pub reduce_percent: u8,
}

/// Token buckets of sources, in a table of fixed size: a source hashes to two places, and takes the one of whoever was
/// heard less recently. What a flood of sources costs is then bounded, and a busy source keeps its bucket.
#[derive(Debug)]
pub(super) struct Buckets {
    places: Vec<Option<Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    ip: IpAddr,
    /// Thousandths of a request.
    tokens: u64,
    at: Mono,
}

impl Buckets {
    pub(super) fn new(sources_max: usize) -> Self {
        Self { places: vec![None; sources_max.max(2)] }
    }

    /// Takes one token of a source; `rate` a second, a second's worth at most. Whether there was one.
    pub(super) fn take(&mut self, hasher: &impl BuildHasher, ip: IpAddr, rate: u32, now: Mono) -> bool {
        let place = self.place(hasher, ip);
        let full = u64::from(rate) * 1_000;
        let Some(slot) = self.places.get_mut(place) else { return true };
        let bucket = slot.get_or_insert(Bucket { ip, tokens: full, at: now });
        if bucket.ip != ip {
            *bucket = Bucket { ip, tokens: full, at: now };
        }
        let ms = now.as_ms().saturating_sub(bucket.at.as_ms());
        if ms > 0 {
            bucket.tokens = bucket.tokens.saturating_add(ms.saturating_mul(u64::from(rate))).min(full);
            bucket.at = now;
        }
        let has = bucket.tokens >= 1_000;
        if has {
            bucket.tokens -= 1_000;
        }
        has
    }

    fn place(&self, hasher: &impl BuildHasher, ip: IpAddr) -> usize {
        let n = u64::try_from(self.places.len()).unwrap_or(u64::MAX);
        let hash = hasher.hash_one(ip);
        let two = [hash % n, (hash >> 32) % n].map(|p| usize::try_from(p).unwrap_or(0));
        let of = |p: usize| self.places.get(p).copied().flatten();
        let ours = two.into_iter().find(|&p| of(p).is_some_and(|b| b.ip == ip));
        ours.unwrap_or_else(|| two.into_iter().min_by_key(|&p| of(p).map(|b| b.at)).unwrap_or(0))
    }
}

impl Endpoint {
    /// Whether a request outside of any dialog is let in, judged by its head alone; else what it is owed, or silence.
    pub(super) fn admitted(&mut self, now: Now, hop: Hop, core: &Core<'_>) -> Result<(), Option<Owed>> {
        let busy = Owed::new(503, "Service Unavailable");
        let rate = self.config.limits.source_rate;
        if !self.buckets.take(&self.keyed, hop.to.ip().to_canonical(), rate, now.mono) {
            self.counters.over_rate += 1;
            return Err((core.cseq.method == Method::Invite).then_some(busy));
        }
        if core.cseq.method != Method::Invite {
            return Ok(());
        }
        let limits = self.config.limits;
        let full = self.legs.len() >= limits.legs_max || self.txs.len() >= limits.transactions_max;
        if full || self.load.refuse_new {
            self.counters.refused_busy += 1;
            return Err(Some(busy));
        }
        Ok(())
    }

    /// RFC 7339 §4: a peer whose Via has `oc` hears in it how much to withhold.
    pub(super) fn overload_params(&self, asks: bool, now: Now) -> String {
        if !asks {
            return String::new();
        }
        let (percent, ms) = (self.load.reduce_percent.min(100), now.mono.as_ms());
        format!(";oc={percent};oc-algo=\"loss\";oc-validity=1000;oc-seq={}.{:03}", ms / 1_000, ms % 1_000)
    }

    /// RFC 7339 §5.4: what a response's Via says of its sender's load.
    pub(super) fn hear_overload(&mut self, peer: std::net::SocketAddr, core: &Core<'_>) {
        let number = |name| core.via.params.get(name).and_then(|v| v.parse::<u32>().ok());
        let Some(percent) = number("oc").and_then(|p| u8::try_from(p).ok()).filter(|&p| p <= 100) else {
            return;
        };
        let validity_ms = number("oc-validity").unwrap_or(500);
        if percent > 0 || self.reduced.remove(&peer) {
            if percent > 0 {
                self.reduced.insert(peer);
            }
            self.out.push_back(Output::PeerLoad { peer, reduce_percent: percent, validity_ms });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::Keyed;
    use super::*;

    #[test]
    fn a_source_has_a_seconds_worth_and_gets_it_back_in_a_second() {
        let (mut b, ip) = (Buckets::new(16), IpAddr::from([192, 0, 2, 1]));
        let mut taken =
            |ms, n: u32| (0..n).filter(|_| b.take(&Keyed(1, 2), ip, 10, Mono::from_ms(ms))).count();
        assert_eq!([taken(0, 50), taken(100, 50), taken(1_200, 50)], [10, 1, 10]);
    }

    #[test]
    fn a_flood_of_sources_takes_no_more_than_its_table() {
        let mut b = Buckets::new(64);
        for n in 0..100_000u32 {
            b.take(&Keyed(1, 2), IpAddr::from(n.to_be_bytes()), 10, Mono::from_ms(1));
        }
        assert_eq!(b.places.len(), 64);
    }
}
