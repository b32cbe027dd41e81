//! What roles say to each other: load reports, wake-ups, cancels. Lossy by design: whatever matters is in the store,
//! and who missed a word finds it there a little later.

use crate::dispatch::{Rate, ServerReport};
use serde::{Deserialize, Serialize};
use units::{OrderId, ServerId, TenantId, Wall};

/// A word on the bus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "word")]
pub enum Word {
    /// A media server's load: every 100 ms and on change.
    Load {
        /// Who.
        server: ServerId,
        /// Channels it can carry.
        capacity: u32,
        /// Channels in use.
        used: u32,
        /// Set-ups it accepts.
        rate: Rate,
        /// Takes no new call.
        draining: bool,
        /// Grows with each start of the server's process: a word of a former life is dropped.
        epoch: u64,
        /// Grows with each report: an older one that comes late is dropped.
        n: u64,
    },
    /// Something is due in a line: its owner is to look.
    Wake {
        /// Priority.
        priority: u8,
        /// Whose.
        tenant: TenantId,
        /// Due.
        due: Wall,
    },
    /// A tenant took an order back while it was claimed.
    Cancel {
        /// Which.
        order: OrderId,
    },
}

/// Longest word on the wire, octets; what is longer is not ours.
pub const WORD_BYTES_MAX: usize = 4_096;

impl Word {
    /// On the wire: JSON, for people with a sniffer; a hundred octets ten times a second cost nothing.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a word has text keys only")
    }

    /// From the wire; `None`: not ours.
    #[must_use]
    pub fn decode(octets: &[u8]) -> Option<Self> {
        if octets.len() > WORD_BYTES_MAX {
            return None;
        }
        serde_json::from_slice(octets).ok()
    }

    /// The NATS subject it goes to.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Word::Load { server, .. } => format!("carillon.load.{}", server.0),
            Word::Wake { tenant, .. } => format!("carillon.wake.{}", shard_of(*tenant)),
            Word::Cancel { .. } => "carillon.cancel".to_owned(),
        }
    }
}

/// Shards of tenants; each has one owner among the control nodes.
pub const SHARDS: u8 = 64;

/// The shard a tenant belongs to.
#[must_use]
pub fn shard_of(tenant: TenantId) -> u8 {
    // A multiplicative hash: tenants are numbered in sequence, and neighbours should part.
    let mixed = tenant.0.wrapping_mul(0x9e37_79b9) >> 26;
    u8::try_from(mixed).unwrap_or(0) % SHARDS
}

/// Takes load words in, and lets through only what is new of each server.
#[derive(Debug, Default)]
pub struct Freshest(std::collections::BTreeMap<ServerId, (u64, u64)>);

impl Freshest {
    /// The report in a load word, if it is newer than what was heard of that server before.
    pub fn admit(&mut self, word: &Word) -> Option<ServerReport> {
        let Word::Load { server, capacity, used, rate, draining, epoch, n } = word else { return None };
        let newest = self.0.entry(*server).or_default();
        if (*epoch, *n) <= *newest {
            return None;
        }
        *newest = (*epoch, *n);
        Some(ServerReport {
            server: *server,
            capacity: *capacity,
            used: *used,
            rate: *rate,
            draining: *draining,
            seen: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(epoch: u64, n: u64) -> Word {
        let (server, rate) = (ServerId(3), Rate::UNBOUNDED);
        Word::Load { server, capacity: 10, used: 1, rate, draining: false, epoch, n }
    }

    #[test]
    fn words_survive_the_wire_and_nonsense_does_not() {
        let wake = Word::Wake { priority: 5, tenant: TenantId(9), due: Wall(7) };
        for word in [load(1, 2), wake, Word::Cancel { order: OrderId(5) }] {
            assert_eq!(Word::decode(&word.encode()), Some(word));
        }
        assert_eq!(Word::decode(b"{\"word\":\"else\"}"), None);
        assert_eq!(Word::decode(&vec![b' '; WORD_BYTES_MAX + 1]), None);
    }

    #[test]
    fn old_reports_and_former_lives_are_dropped() {
        let mut freshest = Freshest::default();
        let admitted = [(1, 1), (1, 1), (1, 3), (1, 2), (2, 1), (1, 9)]
            .map(|(e, n)| freshest.admit(&load(e, n)).is_some());
        assert_eq!(admitted, [true, false, true, false, true, false]);
    }

    #[test]
    fn neighbouring_tenants_part() {
        let mut shards = [0_u32; SHARDS as usize];
        (0..6_400).for_each(|t| shards[usize::from(shard_of(TenantId(t)))] += 1);
        assert!(shards.iter().all(|n| (50..=150).contains(n)), "{shards:?}");
    }
}
