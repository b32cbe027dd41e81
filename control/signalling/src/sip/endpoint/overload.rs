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

/// What comes in of new calls, second by second: how many are let in, how many are told no, and how many fewer peers are
/// asked for.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Thousandths of a call that may come in now.
    tokens: u64,
    /// Tokens were counted until then.
    at: Mono,
    /// This second began.
    second: Mono,
    offered: u64,
    refused: u32,
    /// Percentage of new calls that peers are asked to withhold.
    percent: u8,
}

/// Nobody is asked for silence: who is heard tells that he lives, and when he wants less.
const PERCENT_MAX: u64 = 90;

impl Gate {
    /// A new call asks to be let in, at `rate` a second and a second's worth at once.
    fn take(&mut self, rate: u32, now: Mono) -> bool {
        self.pass(rate, now);
        self.offered += 1;
        let most = (u64::from(rate) * 1_000).max(1_000);
        let ms = now.as_ms().saturating_sub(self.at.as_ms());
        if ms > 0 {
            self.tokens = self.tokens.saturating_add(ms.saturating_mul(u64::from(rate))).min(most);
            self.at = now;
        }
        let has = rate == u32::MAX || self.tokens >= 1_000;
        if has {
            self.tokens = self.tokens.saturating_sub(1_000);
        }
        has
    }

    /// A second is over: peers that withheld `percent` sent what is left of their wish.
    fn pass(&mut self, rate: u32, now: Mono) {
        if now.since(self.second).as_millis() < 1_000 {
            return;
        }
        let kept = 100 - u64::from(self.percent);
        let fits = (kept * u64::from(rate)).checked_div(self.offered).unwrap_or(100).min(100);
        self.percent = u8::try_from((100 - fits).min(PERCENT_MAX)).unwrap_or(0);
        (self.second, self.offered, self.refused) = (now, 0, 0);
    }

    /// As many were refused this second as get an answer.
    fn is_shut(&mut self, limits: &super::Limits, now: Mono) -> bool {
        self.pass(limits.calls_rate, now);
        self.refused >= limits.refusals_rate
    }
}

/// Whether octets look like an INVITE without a To tag: a new call. A glance, no more: what is folded or oddly spaced may
/// be taken for one.
fn is_new_invite(bytes: &[u8]) -> bool {
    bytes.starts_with(b"INVITE ")
        && !bytes.split(|&b| b == b'\n').take_while(|line| line.len() > 1).any(|line| {
            let name = line.iter().position(|&b| b == b':').and_then(|at| line.get(..at)).unwrap_or_default();
            let to = name.eq_ignore_ascii_case(b"to") || name.eq_ignore_ascii_case(b"t");
            to && line.windows(5).any(|w| w.eq_ignore_ascii_case(b";tag="))
        })
}

impl Endpoint {
    /// Whether a datagram is a new call that is not even told no. In a dialog everything is heard.
    pub(super) fn is_dropped(&mut self, now: Now, bytes: &[u8]) -> bool {
        let drop = self.gate.is_shut(&self.config.limits, now.mono) && is_new_invite(bytes);
        if drop {
            self.gate.offered += 1;
            self.counters.dropped_busy += 1;
        }
        drop
    }

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
        let in_time = self.gate.take(limits.calls_rate, now.mono);
        if full || self.load.refuse_new || !in_time {
            self.gate.refused = self.gate.refused.saturating_add(1);
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
        let percent = self.load.reduce_percent.max(self.gate.percent).min(100);
        let ms = now.mono.as_ms();
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
    fn rfc7339_5_3_peers_are_asked_for_what_is_too_much_and_for_no_less_than_fits() {
        // Peers that obey: 3,000 a second wished for, 1,000 fit.
        let (mut gate, mut ms, mut let_in) = (Gate::default(), 0, 0);
        for second in 0..8_u64 {
            let sent = 3_000 * (100 - u64::from(gate.percent)) / 100;
            for n in 0..sent {
                ms = second * 1_000 + n * 1_000 / sent;
                let_in += u32::from(gate.take(1_000, Mono::from_ms(ms)));
            }
        }
        assert!((64..=70).contains(&gate.percent), "{}", gate.percent);
        assert!((7_000..=8_300).contains(&let_in), "{let_in}");
        // The rush is over: nobody is held back any more.
        for n in 0..2_000 {
            gate.take(1_000, Mono::from_ms(ms + 1_000 + n * 10));
        }
        assert_eq!(gate.percent, 0);
    }

    #[test]
    fn a_new_call_is_told_from_one_that_is_up_at_a_glance() {
        let check = |fields: &str, want: bool| {
            let text = format!("INVITE sip:a SIP/2.0\r\n{fields}\r\n\r\nTo: x;tag=1");
            assert_eq!(is_new_invite(text.as_bytes()), want, "{fields}");
        };
        check("From: <sip:b>;tag=2\r\nTo: <sip:a>", true);
        check("From: <sip:b>;tag=2\r\nTo: <sip:a>;tag=7", false);
        check("t: <sip:a>;TAG=7", false);
        assert!(!is_new_invite(b"BYE sip:a SIP/2.0\r\nTo: <sip:a>\r\n\r\n"));
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
