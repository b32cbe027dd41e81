//! What roles say to each other: load reports, wake-ups, cancels. Lossy by design: whatever matters is in the store,
//! and who missed a word finds it there a little later.

use crate::dispatch::{Rate, ServerReport};
use crate::policy::pass::Pass;
use crate::store::Lease;
use serde::{Deserialize, Serialize};
use units::{AttemptId, OrderId, ServerId, TenantId, Wall};

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
    /// Suppression lists or campaigns changed: whoever judges by them reads them again.
    Learn,
}

/// What a media server carries, as it says with each beat and each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Channels it can carry.
    pub capacity: u32,
    /// Channels in use and being set up.
    pub used: u32,
    /// Set-ups it accepts.
    pub rate: Rate,
    /// Takes no new call.
    pub draining: bool,
}

impl Load {
    /// As the dispatcher takes it in.
    #[must_use]
    pub fn report(&self, server: ServerId) -> ServerReport {
        let Load { capacity, used, rate, draining } = *self;
        ServerReport { server, capacity, used, rate, draining, seen: None }
    }

    /// As it is said on the bus: the `n`-th word of this life.
    #[must_use]
    pub fn word(&self, server: ServerId, epoch: u64, n: u64) -> Word {
        let Load { capacity, used, rate, draining } = *self;
        Word::Load { server, capacity, used, rate, draining, epoch, n }
    }
}

/// What one process asks of another, by the bus or, where that does not reach, through the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "errand")]
pub enum Errand {
    /// A control node's to a media server: call. Whom, it reads in the store when it takes the claim over.
    Offer {
        /// As it was claimed.
        lease: Lease,
        /// The right to dial under it.
        pass: Pass,
        /// Trunk groups, best first; the server picks the member.
        trunks: Vec<String>,
    },
    /// To a neighbour of a dead media server: end the call that it left, by its journalled dialog.
    HangUp {
        /// Which.
        attempt: AttemptId,
        /// The dialog.
        dialog: Vec<u8>,
    },
}

/// Its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// It was taken on; else it was refused, and may go to another server.
    pub taken: bool,
    /// The server's load with it; an answer through the store has none.
    pub load: Option<Load>,
}

/// The NATS subject under which a server takes errands; apart from the words, so that nobody else hears them.
#[must_use]
pub fn errands_of(server: ServerId) -> String {
    format!("carillon-errand.{}", server.0)
}

/// Where an errand lies in the store when the bus does not reach its server.
#[must_use]
pub fn errand_place(server: ServerId, order: OrderId) -> String {
    format!("{:010}/{order}", server.0)
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
            Word::Learn => "carillon.learn".to_owned(),
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
        for word in [load(1, 2), wake, Word::Cancel { order: OrderId(5) }, Word::Learn] {
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
