//! Identifiers that we make. Those of a placed call derive from its attempt id and the server's secret, so that after a
//! restart the byte-identical INVITE can be sent again; those of an incoming call are chance.

use crate::sip::wire::{HeaderId, Limits, Message};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::hash::{BuildHasher, DefaultHasher, Hasher};
use units::AttemptId;

/// Derives names from a secret.
#[derive(Clone)]
pub(super) struct Namer {
    secret: [u8; 32],
}

impl Namer {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// 32 hexadecimal digits that nobody without the secret can foretell.
    pub(super) fn name(&self, what: &str, parts: &[&[u8]]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in [what.as_bytes()].iter().chain(parts) {
            // The length goes first, so that two lists of parts never read the same.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hex(hash.finalize().get(..16).unwrap_or_default())
    }

    /// Call-ID of an attempt: shard, then what is derived.
    pub(super) fn call_id(&self, shard: u16, attempt: AttemptId) -> String {
        format!("{shard:x}.{}@carillon", self.name("call-id", &[&attempt.0.to_be_bytes()]))
    }

    /// Branch of a request: RFC 3261 §8.1.1.7 cookie and what is derived from dialog, number and method.
    pub(super) fn branch(&self, call_id: &str, tag: &str, cseq: u32, method: &str) -> String {
        let cseq = cseq.to_be_bytes();
        let parts: [&[u8]; 4] = [call_id.as_bytes(), tag.as_bytes(), &cseq, method.as_bytes()];
        format!("z9hG4bK{}", self.name("branch", &parts))
    }

    /// First 63 bits of a derived name, for `o=`.
    pub(super) fn number(&self, what: &str, part: &[u8]) -> u64 {
        let name = self.name(what, &[part]);
        name.get(..15).and_then(|h| u64::from_str_radix(h, 16).ok()).unwrap_or(1)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _infallible = write!(text, "{b:02x}");
    }
    text
}

/// Which of `shards` a message belongs to: the one that its Call-ID names, if we made it, else one chosen by its hash.
/// `None`: there is no Call-ID, any shard may answer.
#[must_use]
pub fn shard_of(message: &[u8], shards: u16) -> Option<u16> {
    let m = Message::parse(message, &Limits::default()).ok()?;
    let call_id = std::str::from_utf8(m.first(HeaderId::CallId)?).ok()?;
    let ours = call_id.strip_suffix("@carillon").and_then(|c| c.split_once('.'));
    let shard = ours.and_then(|(shard, _)| u16::from_str_radix(shard, 16).ok()).filter(|&s| s < shards);
    let hash = call_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    shard.or_else(|| u16::try_from((hash >> 20) % u64::from(shards.max(1))).ok())
}

/// A hasher whose key is the endpoint's: keys come from outside, and must not be made to collide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed(pub(super) u64, pub(super) u64);

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;
    fn build_hasher(&self) -> DefaultHasher {
        let mut h = DefaultHasher::new();
        h.write_u64(self.0);
        h.write_u64(self.1);
        h
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_attempt_gets_the_same_names() {
        let (a, b) = (Namer::new([1; 32]), Namer::new([2; 32]));
        assert_eq!(a.call_id(3, AttemptId(9)), a.call_id(3, AttemptId(9)));
        assert_ne!(a.call_id(3, AttemptId(9)), b.call_id(3, AttemptId(9)));
        assert_ne!(a.branch("c", "t", 1, "INVITE"), a.branch("c", "t", 2, "INVITE"));
    }

    #[test]
    fn a_call_comes_back_to_its_shard() {
        let id = Namer::new([1; 32]).call_id(0x1f, AttemptId(9));
        let text = |id: &str| format!("BYE sip:a SIP/2.0\r\ni: {id}\r\n\r\n");
        assert_eq!(shard_of(text(&id).as_bytes(), 64), Some(0x1f));
        let foreign = shard_of(text("abc@x").as_bytes(), 4).expect("has a Call-ID");
        assert!(foreign < 4);
        assert_eq!(shard_of(text("abc@x").as_bytes(), 4), Some(foreign));
    }
}
