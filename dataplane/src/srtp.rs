//! SRTP and SRTCP (RFC 3711) with AES-128 in counter mode and HMAC-SHA1, as keyed by SDES (RFC 4568): in place, without
//! allocation. Contexts are made by the lender, so that no key is derived in a tick.

use crate::rtp::{Refused, header_octets};
use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// Octets of a master key with its salt, as SDES carries them.
pub const MASTER: usize = 30;
/// Octets of the SRTCP tag in both suites (RFC 4568 §6.2).
const RTCP_TAG: usize = 10;
/// Octets that protection adds at most: tag, or SRTCP index and tag.
pub const GROWTH: usize = 14;
/// Packets back that are told apart from replays.
const WINDOW: u64 = 64;
/// Synchronisation sources that a context knows; one more is refused, so that none can be replayed by being forgotten.
const STREAMS: usize = 4;

/// The crypto suites of RFC 4568 §6.2 that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`.
    HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32`.
    HmacSha1_32,
}

impl Suite {
    /// As `a=crypto` spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Suite::HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Suite::HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    fn tag(self) -> usize {
        match self {
            Suite::HmacSha1_80 => 10,
            Suite::HmacSha1_32 => 4,
        }
    }
}

/// Session keys of one direction for RTP or RTCP.
#[derive(Clone)]
struct Keys {
    cipher: Aes128Enc,
    salt: [u8; 14],
    mac: Hmac<Sha1>,
}

/// RFC 3711 §4.3.1: `label` tells what the key is for; no re-derivation (rate 0).
fn derive(master: &Aes128Enc, salt: &[u8; 14], label: u8, into: &mut [u8]) {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    iv[7] ^= label;
    into.fill(0);
    keystream(master, &iv, into);
}

fn keystream(cipher: &Aes128Enc, iv: &[u8; 16], data: &mut [u8]) {
    let core = CtrCore::<_, Ctr128BE>::inner_iv_init(cipher, iv.into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(data);
}

impl Keys {
    fn new(master: &[u8; MASTER], first_label: u8) -> Self {
        let (key, salt) = master.split_at(16);
        let salt: [u8; 14] = salt.try_into().expect("30 less 16");
        let prf = Aes128Enc::new_from_slice(key).expect("16 octets");
        let (mut encryption, mut auth, mut session_salt) = ([0; 16], [0; 20], [0; 14]);
        derive(&prf, &salt, first_label, &mut encryption);
        derive(&prf, &salt, first_label + 1, &mut auth);
        derive(&prf, &salt, first_label + 2, &mut session_salt);
        Self {
            cipher: Aes128Enc::new_from_slice(&encryption).expect("16 octets"),
            salt: session_salt,
            mac: <Hmac<Sha1> as Mac>::new_from_slice(&auth).expect("any length is a key"),
        }
    }

    /// RFC 3711 §4.1.1: IV = (salt * 2^16) xor (SSRC * 2^64) xor (index * 2^16).
    fn crypt(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[4..8].iter_mut().zip(ssrc.to_be_bytes()).for_each(|(a, b)| *a ^= b);
        iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(a, b)| *a ^= b);
        keystream(&self.cipher, &iv, data);
    }

    fn tag(&self, parts: [&[u8]; 2]) -> [u8; 20] {
        let mut mac = self.mac.clone();
        parts.iter().for_each(|p| mac.update(p));
        mac.finalize().into_bytes().into()
    }
}

/// What is known of one sender.
#[derive(Clone, Copy, Default)]
struct Stream {
    used: bool,
    ssrc: u32,
    /// Highest index: rollover counter and sequence number.
    highest: u64,
    seen: u64,
}

impl Stream {
    /// RFC 3711 §3.3.1: the index that a sequence number most likely means.
    fn guess(&self, sequence: u16) -> u64 {
        if !self.used {
            return u64::from(sequence);
        }
        let [.., high, low] = self.highest.to_be_bytes();
        let highest = u16::from_be_bytes([high, low]);
        let ahead = sequence.wrapping_sub(highest);
        if ahead < 0x8000 {
            self.highest + u64::from(ahead)
        } else {
            self.highest.saturating_sub(u64::from(ahead.wrapping_neg()))
        }
    }

    fn fresh(&self, index: u64) -> bool {
        if !self.used || index > self.highest {
            return true;
        }
        let back = self.highest - index;
        back < WINDOW && self.seen & (1 << back) == 0
    }

    fn take(&mut self, ssrc: u32, index: u64) {
        if !self.used {
            *self = Stream { used: true, ssrc, highest: index, seen: 1 };
        } else if index > self.highest {
            let ahead = u32::try_from(index - self.highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = index;
        } else {
            self.seen |= 1 << (self.highest - index);
        }
    }
}

/// The streams of one kind.
#[derive(Clone, Default)]
struct Streams([Stream; STREAMS]);

impl Streams {
    fn find(&mut self, ssrc: u32) -> Option<&mut Stream> {
        let at =
            self.0.iter().position(|s| s.used && s.ssrc == ssrc).or(self.0.iter().position(|s| !s.used))?;
        Some(&mut self.0[at])
    }
}

/// Both directions of a bearer.
#[derive(Clone)]
pub struct Srtp {
    suite: Suite,
    masters: [[u8; MASTER]; 2],
    send: Keys,
    send_rtcp: Keys,
    receive: Keys,
    receive_rtcp: Keys,
    sent: Stream,
    sent_rtcp: u32,
    received: Streams,
    received_rtcp: Streams,
}

impl std::fmt::Debug for Srtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Srtp({})", self.suite.name())
    }
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

impl Srtp {
    /// With our master key and salt, and the far side's.
    #[must_use]
    pub fn new(suite: Suite, ours: &[u8; MASTER], theirs: &[u8; MASTER]) -> Self {
        Self {
            suite,
            masters: [*ours, *theirs],
            send: Keys::new(ours, 0),
            send_rtcp: Keys::new(ours, 3),
            receive: Keys::new(theirs, 0),
            receive_rtcp: Keys::new(theirs, 3),
            sent: Stream::default(),
            sent_rtcp: 0,
            received: Streams::default(),
            received_rtcp: Streams::default(),
        }
    }

    /// Takes the place of another context: a direction whose key stays goes on counting, one with a new key begins anew
    /// (RFC 3711 §9.1: a keystream is never used twice; RFC 4568 §7.1.4: either side may change its own key alone).
    pub fn take_over(&mut self, old: &Srtp) {
        if self.masters[0] == old.masters[0] {
            (self.sent, self.sent_rtcp) = (old.sent, old.sent_rtcp);
        }
        if self.masters[1] == old.masters[1] {
            (self.received, self.received_rtcp) = (old.received.clone(), old.received_rtcp.clone());
        }
    }

    /// Encrypts the RTP packet of `len` octets at the beginning of `buffer` and puts the tag behind it; the new length.
    ///
    /// # Panics
    /// If it is no RTP packet or [`GROWTH`] octets of room are missing: both are ours.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> usize {
        let start = header_octets(&buffer[..len]).expect("our own packet");
        let sequence = u16::from_be_bytes([buffer[2], buffer[3]]);
        let ssrc = be32(buffer, 8).expect("our own packet");
        let index = self.sent.guess(sequence);
        self.sent.take(ssrc, index);
        self.send.crypt(ssrc, index, &mut buffer[start..len]);
        let roc = roc(index);
        let tag = self.send.tag([&buffer[..len], &roc]);
        let n = self.suite.tag();
        buffer[len..len + n].copy_from_slice(&tag[..n]);
        len + n
    }

    /// Checks and decrypts an SRTP packet in place; its length without the tag. Nothing changes if it is refused.
    ///
    /// # Errors
    /// [`Refused::Truncated`], [`Refused::Replay`], [`Refused::Authentication`].
    pub fn unprotect(&mut self, bytes: &mut [u8]) -> Result<usize, Refused> {
        let n = self.suite.tag();
        let len = bytes.len().checked_sub(n).filter(|l| *l >= 12).ok_or(Refused::Truncated)?;
        let start = header_octets(&bytes[..len]).ok_or(Refused::Truncated)?;
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let ssrc = be32(bytes, 8).ok_or(Refused::Truncated)?;
        let stream = self.received.find(ssrc).ok_or(Refused::Authentication)?;
        let index = stream.guess(sequence);
        if !stream.fresh(index) {
            return Err(Refused::Replay);
        }
        let tag = self.receive.tag([&bytes[..len], &roc(index)]);
        if !bool::from(tag[..n].ct_eq(&bytes[len..])) {
            return Err(Refused::Authentication);
        }
        stream.take(ssrc, index);
        self.receive.crypt(ssrc, index, &mut bytes[start..len]);
        Ok(len)
    }

    /// Encrypts the RTCP packet of `len` octets at the beginning of `buffer`; the new length (RFC 3711 §3.4).
    ///
    /// # Panics
    /// If [`GROWTH`] octets of room are missing.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> usize {
        let ssrc = be32(buffer, 4).expect("our own packet");
        self.sent_rtcp = (self.sent_rtcp + 1) & 0x7fff_ffff;
        self.send_rtcp.crypt(ssrc, u64::from(self.sent_rtcp), &mut buffer[8..len]);
        buffer[len..len + 4].copy_from_slice(&(self.sent_rtcp | 0x8000_0000).to_be_bytes());
        let tag = self.send_rtcp.tag([&buffer[..len + 4], &[]]);
        buffer[len + 4..len + 4 + RTCP_TAG].copy_from_slice(&tag[..RTCP_TAG]);
        len + 4 + RTCP_TAG
    }

    /// Checks and decrypts an SRTCP packet in place; its length without index and tag.
    ///
    /// # Errors
    /// [`Refused::Truncated`], [`Refused::Replay`], [`Refused::Authentication`].
    pub fn unprotect_rtcp(&mut self, bytes: &mut [u8]) -> Result<usize, Refused> {
        let len = bytes.len().checked_sub(4 + RTCP_TAG).filter(|l| *l >= 8).ok_or(Refused::Truncated)?;
        let ssrc = be32(bytes, 4).ok_or(Refused::Truncated)?;
        let word = be32(bytes, len).ok_or(Refused::Truncated)?;
        let index = u64::from(word & 0x7fff_ffff);
        let stream = self.received_rtcp.find(ssrc).ok_or(Refused::Authentication)?;
        if !stream.fresh(index) {
            return Err(Refused::Replay);
        }
        let tag = self.receive_rtcp.tag([&bytes[..len + 4], &[]]);
        if !bool::from(tag[..RTCP_TAG].ct_eq(&bytes[len + 4..])) {
            return Err(Refused::Authentication);
        }
        stream.take(ssrc, index);
        if word & 0x8000_0000 != 0 {
            self.receive_rtcp.crypt(ssrc, index, &mut bytes[8..len]);
        }
        Ok(len)
    }
}

/// The rollover counter, as it is authenticated.
fn roc(index: u64) -> [u8; 4] {
    let [_, _, a, b, c, d, _, _] = index.to_be_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{Header, write_header};
    use units::Seed;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|c| u8::from_str_radix(std::str::from_utf8(c).expect("ASCII"), 16).expect("hexadecimal"))
            .collect()
    }

    #[test]
    fn rfc3711_b_2_aes_cm_keystream() {
        let cipher = Aes128Enc::new_from_slice(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).expect("16 octets");
        let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().expect("16 octets");
        let mut stream = [0; 48];
        keystream(&cipher, &iv, &mut stream);
        let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
        assert_eq!(stream[..], hex(expected));
    }

    #[test]
    fn rfc3711_b_3_key_derivation() {
        let master = Aes128Enc::new_from_slice(&hex("E1F97A0D3E018BE0D64FA32C06DE4139")).expect("16 octets");
        let salt: [u8; 14] = hex("0EC675AD498AFEEBB6960B3AABE6").try_into().expect("14 octets");
        let check = |label, expected: &str| {
            let expected = hex(expected);
            let mut key = vec![0; expected.len()];
            derive(&master, &salt, label, &mut key);
            assert_eq!(key, expected);
        };
        check(0, "C61E7A93744F39EE10734AFE3FF7A087");
        check(2, "30CBBC08863D8C85D49DB34A9AE1");
        check(1, "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4");
    }

    // The packet that libsrtp validates itself with, protected with the key of the vectors above.
    #[test]
    fn a_known_packet_is_protected_to_the_known_octets() {
        let key: [u8; MASTER] = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6")
            .try_into()
            .expect("30 octets");
        let mut near = Srtp::new(Suite::HmacSha1_80, &key, &key);
        let mut packet = hex("800f1234decafbadcafebabe abababababababababababababababab");
        packet.resize(28 + GROWTH, 0);
        let n = near.protect(&mut packet, 28);
        let expected = "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb";
        assert_eq!(packet[..n], hex(expected));
        let mut rtcp = hex("81c8000bcafebabe abababababababababababababababab");
        rtcp.resize(24 + GROWTH, 0);
        let n = near.protect_rtcp(&mut rtcp, 24);
        let expected = "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798";
        assert_eq!(rtcp[..n], hex(expected));
    }

    fn pair(suite: Suite) -> (Srtp, Srtp) {
        let (a, b) = ([7; MASTER], [9; MASTER]);
        (Srtp::new(suite, &a, &b), Srtp::new(suite, &b, &a))
    }

    fn packet(near: &mut Srtp, sequence: u16) -> Vec<u8> {
        let mut bytes = vec![0x55; 172 + GROWTH];
        let header = Header { marker: false, payload_type: 0, sequence, timestamp: 1, ssrc: 77 };
        write_header(&mut bytes, &header);
        let n = near.protect(&mut bytes, 172);
        bytes.truncate(n);
        bytes
    }

    #[test]
    fn rfc3711_3_3_1_the_rollover_counter_is_followed_through_loss() {
        for suite in [Suite::HmacSha1_80, Suite::HmacSha1_32] {
            let (mut near, mut far) = pair(suite);
            let mut rng = Seed(3711).rng();
            let mut sequence = 30_000_u16;
            for _ in 0..200_000 {
                let mut bytes = packet(&mut near, sequence);
                sequence = sequence.wrapping_add(1);
                if rng.chance(0.3) {
                    continue;
                }
                let n = far.unprotect(&mut bytes).expect("genuine");
                assert!(n == 172 && bytes[12..n].iter().all(|&o| o == 0x55));
            }
        }
    }

    #[test]
    fn rfc3711_3_3_2_replays_and_forgeries_are_refused_and_change_nothing() {
        let (mut near, mut far) = pair(Suite::HmacSha1_80);
        let packets: Vec<_> = (0..200).map(|i| packet(&mut near, i)).collect();
        let mut rng = Seed(1).rng();
        for (i, genuine) in packets.iter().enumerate() {
            let mut forged = genuine.clone();
            let at = usize::try_from(rng.below(182)).expect("small");
            forged[at] ^= 1 << rng.below(8);
            assert!(far.unprotect(&mut forged).is_err());
            assert_eq!(far.unprotect(&mut genuine.clone()), Ok(172));
            assert_eq!(far.unprotect(&mut genuine.clone()), Err(Refused::Replay));
            assert_eq!(far.unprotect(&mut packets[i / 2].clone()), Err(Refused::Replay));
        }
    }

    #[test]
    fn rfc4568_7_1_4_a_key_that_stays_goes_on_counting_and_a_new_one_begins_anew() {
        let (mut near, mut far) = pair(Suite::HmacSha1_80);
        // Once round, so that the rollover counter is not zero.
        for sequence in (0..=u16::MAX).chain(0..100) {
            far.unprotect(&mut packet(&mut near, sequence)).expect("genuine");
        }
        let (stays, new) = ([7; MASTER], [8; MASTER]);
        let mut rekeyed = Srtp::new(Suite::HmacSha1_80, &stays, &new);
        rekeyed.take_over(&near);
        let mut other = Srtp::new(Suite::HmacSha1_80, &new, &stays);
        other.take_over(&far);
        assert_eq!(other.unprotect(&mut packet(&mut rekeyed, 100)), Ok(172), "ours went on");
        assert_eq!(rekeyed.unprotect(&mut packet(&mut other, 5)), Ok(172), "theirs is new");
    }

    #[test]
    fn any_octets_are_survived() {
        let (mut near, mut far) = pair(Suite::HmacSha1_32);
        let mut rng = Seed(2).rng();
        for i in 0..50_000_u32 {
            let len = usize::try_from(rng.below(200)).expect("small");
            let mut bytes: Vec<u8> =
                (0..len).map(|_| u8::try_from(rng.below(256)).expect("an octet")).collect();
            if i % 2 == 0 {
                let mut genuine = packet(&mut near, u16::try_from(i % 65_536).expect("16 bits"));
                let at = usize::try_from(rng.below(160)).expect("small");
                genuine.truncate(at);
                bytes = genuine;
            }
            assert!(far.unprotect(&mut bytes).is_err());
            assert!(far.unprotect_rtcp(&mut bytes).is_err());
        }
    }
}
