//! Stop tokens: what a customer shows to be called no more by a tenant, in a link (`/o/TOKEN`) or in a mail address
//! (`stop+TOKEN@host`). A token holds tenant and number, sealed: who has it learns neither, and nobody makes one.
//!
//! The seal is that of a synthetic nonce (as RFC 5297 has it, with other primitives): an HMAC over the text is both the proof
//! and the nonce of a keystream, which is HMAC in counter mode under a second key. So one customer of one tenant has one
//! token, however often it is asked for, and nothing is kept of it. It never expires: neither does the wish.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use units::{Private, TenantId};

/// Octets of the proof in a token: 128 bits are not guessed.
const PROOF: usize = 16;
/// Octets of a token's text: four of the tenant, and a number or an address (at most 256).
const TEXT_MAX: usize = 4 + super::number::SIP_URI_BYTES_MAX;
/// RFC 4648 §6 in lower case: mail addresses and links keep nothing else for sure.
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What tokens are made with. The same on every node of a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct StopKey {
    proof: [u8; 32],
    stream: [u8; 32],
}

impl std::fmt::Debug for StopKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StopKey")
    }
}

impl StopKey {
    /// Keys from a secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |what: &str| mac(secret, &[what.as_bytes()]);
        Self { proof: derive("stop proof"), stream: derive("stop stream") }
    }

    /// The token of a tenant's customer; `number` in its one form.
    #[must_use]
    pub fn token(&self, tenant: TenantId, number: &str) -> String {
        let mut text = tenant.0.to_be_bytes().to_vec();
        text.extend_from_slice(number.as_bytes());
        let proof = self.proof_of(&text);
        self.stream(&proof, &mut text);
        encode(&[&proof[..], &text].concat())
    }

    /// Whose customer a token names; `None`: it is none of ours.
    #[must_use]
    pub fn open(&self, token: &str) -> Option<(TenantId, Private<String>)> {
        let octets = decode(token)?;
        let (proof, sealed) = octets.split_at_checked(PROOF)?;
        let proof: [u8; PROOF] = proof.try_into().ok()?;
        let mut text = sealed.to_vec();
        self.stream(&proof, &mut text);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&self.proof_of(&text)[..], &proof[..])) {
            return None;
        }
        let (tenant, number) = text.split_at_checked(4)?;
        let tenant = u32::from_be_bytes(tenant.try_into().ok()?);
        Some((TenantId(tenant), Private::new(String::from_utf8(number.to_vec()).ok()?)))
    }

    fn proof_of(&self, text: &[u8]) -> [u8; PROOF] {
        let whole = mac(&self.proof, &[text]);
        whole[..PROOF].try_into().expect("half of 32 octets")
    }

    fn stream(&self, nonce: &[u8; PROOF], text: &mut [u8]) {
        for (block, part) in (0_u32..).zip(text.chunks_mut(32)) {
            let key = mac(&self.stream, &[nonce, &block.to_be_bytes()]);
            part.iter_mut().zip(key).for_each(|(octet, k)| *octet ^= k);
        }
    }
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// RFC 4648 §6 without padding.
fn encode(octets: &[u8]) -> String {
    let bit = |n: usize| octets.get(n / 8).map_or(0, |octet| (octet >> (7 - n % 8)) & 1);
    let digit = |n: usize| (0..5).fold(0_u8, |value, i| value << 1 | bit(n * 5 + i));
    let digits = (octets.len() * 8).div_ceil(5);
    (0..digits).map(|n| char::from(DIGITS[usize::from(digit(n))])).collect()
}

/// The one text of each octet string and no other: bits that are left over must be nought.
fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > (PROOF + TEXT_MAX) * 8 / 5 + 1 {
        return None;
    }
    let (mut out, mut held, mut bits) = (Vec::with_capacity(text.len() * 5 / 8), 0_u16, 0_u8);
    for byte in text.bytes() {
        let value = DIGITS.iter().position(|digit| *digit == byte.to_ascii_lowercase())?;
        held = held << 5 | u16::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    (held == 0 && bits < 5).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4648_10_base32_vectors() {
        for (plain, text) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
        for bad in ["m", "mz1", "mz=", "mzxx"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_its_customers_alone_and_says_nothing() {
        let key = StopKey::new(&[7; 32]);
        for number in ["+12125550100", "+123456789012345", "sip:ann@home.example"] {
            let token = key.token(TenantId(9), number);
            assert_eq!(key.open(&token), Some((TenantId(9), Private::new(number.to_owned()))));
            assert_eq!(key.open(&token.to_ascii_uppercase()).map(|o| o.0), Some(TenantId(9)), "{number}");
            assert_eq!(key.token(TenantId(9), number), token, "one customer, one token");
            assert!(token.len() > 30 && !token.contains("2125550100"));
            assert_ne!(key.token(TenantId(8), number), token);
            assert_eq!(StopKey::new(&[8; 32]).open(&token), None);
            for at in 0..token.len() {
                let mut other = token.clone().into_bytes();
                other[at] = if other[at] == b'a' { b'b' } else { b'a' };
                assert_eq!(key.open(&String::from_utf8(other).expect("ASCII")), None, "{at}");
            }
        }
        // RFC 5321 §4.5.3.1.1: a local part has 64 octets, and the longest number must fit.
        assert!("stop+".len() + key.token(TenantId(u32::MAX), "+123456789012345").len() <= 64);
        for bad in ["", "a", "aaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(key.open(bad), None);
        }
    }
}
