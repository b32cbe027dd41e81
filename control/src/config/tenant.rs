//! `[[tenants]]`: a third party, its keys and what it may do. The same words, as JSON, are what the API and the command
//! line provision: a tenant in the store and one in the file are one kind of thing.

use super::{Rate, Span};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;
use units::Private;

/// `[[tenants]]`: a third party.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Name; stands in mail addresses (`call+name@…`).
    pub name: String,
    /// Number in the store; never given to another.
    pub id: u32,
    /// API keys, each with a name.
    #[serde(default)]
    pub keys: BTreeMap<String, Key>,
    /// People who sign in to the pages, by name.
    #[serde(default)]
    pub users: BTreeMap<String, super::User>,
    /// Ed25519 public keys by name: who signs manifests and HTTP messages.
    #[serde(default)]
    pub signers: BTreeMap<String, Signer>,
    /// SHA-256 of client certificates (DER), for mutual TLS.
    #[serde(default)]
    pub certificates: Vec<Fingerprint>,
    /// Sender addresses or domains (`@example.com`) whose mail is taken.
    #[serde(default)]
    pub mail_from: Vec<Private<String>>,
    /// The least authority a mail must show: 0 none (tests), 1 DKIM of the author's domain, 2 a token, 3 AUTH with a key
    /// or a signed manifest.
    #[serde(default = "level_dkim")]
    pub mail_level_min: u8,
    /// Mail by TLS: required, or refused, or as the sender likes.
    #[serde(default)]
    pub mail_tls: MailTls,
    /// DKIM keys that are pinned, for networks without a public name service: `selector._domainkey.domain` and its record.
    #[serde(default)]
    pub dkim_keys: BTreeMap<String, String>,
    /// Beginnings of application URLs it may use; empty: any.
    #[serde(default)]
    pub applications: Vec<String>,
    /// Caller ids it owns.
    #[serde(default)]
    pub caller_ids: Vec<Private<String>>,
    /// Secret that signs its webhooks.
    #[serde(default)]
    pub webhook_secret: Option<Private<String>>,
    /// Trunks its calls may use, best first; empty: all.
    #[serde(default)]
    pub trunks: Vec<String>,
    /// Orders per second.
    #[serde(default = "rate_10")]
    pub orders_rate: Rate,
    /// API requests per second.
    #[serde(default = "rate_100")]
    pub requests_rate: Rate,
    /// Orders waiting.
    #[serde(default = "orders_10k")]
    pub orders_waiting_max: u32,
    /// Calling hours where the callee is: `"08:00-21:00"`; none: any time.
    #[serde(default)]
    pub hours: Option<String>,
    /// What it may call for; empty: anything.
    #[serde(default)]
    pub purposes: Vec<crate::order::Purpose>,
    /// Waits after failed attempts, where they differ from the operator's.
    #[serde(default)]
    pub retries: Retries,
}

fn level_dkim() -> u8 {
    1
}

fn rate_10() -> Rate {
    Rate::per_s(10)
}

fn rate_100() -> Rate {
    Rate::per_s(100)
}

fn orders_10k() -> u32 {
    10_000
}

/// Whether mail for a tenant must come by TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// As the sender likes.
    #[default]
    Optional,
    /// Mail in the clear is refused.
    Required,
    /// Mail by TLS is refused (wires that are watched by law).
    Refused,
}

/// Waits after the first, second, … failure of a kind; after the last the order ends. A row that is left out is the one
/// above it: the operator's, then the program's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retries {
    /// Busy.
    pub busy: Option<Vec<Span>>,
    /// Nobody answered.
    pub no_answer: Option<Vec<Span>>,
    /// A machine answered.
    pub machine: Option<Vec<Span>>,
    /// Trunks or servers were full.
    pub congestion: Option<Vec<Span>>,
    /// Any other failure that may pass.
    pub failed: Option<Vec<Span>>,
    /// Attempts of one order.
    pub attempts_max: Option<u32>,
}

/// An API key: the key itself (a file that only the operator reads), or its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// What is known of it.
    pub secret: Secret,
    /// What it may do; empty: everything a tenant may.
    pub scopes: Vec<Scope>,
    /// From where; empty: from anywhere.
    pub networks: Vec<Network>,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// The key. It can make tokens and HMAC signatures, too.
    Plain(Private<String>),
    /// Its SHA-256: enough to know it again, too little to be it.
    Digest([u8; 32]),
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Order calls, take them back, run campaigns.
    Order,
    /// Read what was ordered, and dry runs.
    Read,
    /// Suppression lists, customers and policies.
    Lists,
}

impl Key {
    /// SHA-256 of the key.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        match &self.secret {
            Secret::Plain(key) => Sha256::digest(key.expose().as_bytes()).into(),
            Secret::Digest(digest) => *digest,
        }
    }

    /// The key itself, if it is known.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match &self.secret {
            Secret::Plain(key) => Some(key.expose()),
            Secret::Digest(_) => None,
        }
    }

    /// May it do this?
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.is_empty() || self.scopes.contains(&scope)
    }

    /// May it come from there? An address that nobody knows fits no list.
    #[must_use]
    pub fn fits(&self, from: Option<IpAddr>) -> bool {
        self.networks.is_empty() || from.is_some_and(|ip| self.networks.iter().any(|n| n.holds(ip)))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        let secret = match text.strip_prefix("sha256:").and_then(octets_32) {
            Some(digest) => Secret::Digest(digest),
            None => Secret::Plain(Private::new(text.to_owned())),
        };
        Self { secret, scopes: Vec::new(), networks: Vec::new() }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Table(Table),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(default)]
            key: Option<String>,
            #[serde(default)]
            sha256: Option<String>,
            #[serde(default)]
            scopes: Vec<Scope>,
            #[serde(default)]
            networks: Vec<Network>,
        }
        let wrong = serde::de::Error::custom;
        match Written::deserialize(d)? {
            Written::Text(text) => Ok(Key::from(text.as_str())),
            Written::Table(Table { key: Some(key), sha256: None, scopes, networks }) => {
                Ok(Key { secret: Secret::Plain(Private::new(key)), scopes, networks })
            }
            Written::Table(Table { key: None, sha256: Some(hex), scopes, networks }) => {
                let digest = octets_32(&hex).ok_or_else(|| wrong("sha256 wants 64 hexadecimal digits"))?;
                Ok(Key { secret: Secret::Digest(digest), scopes, networks })
            }
            Written::Table(_) => Err(wrong("a key wants either `key` or `sha256`")),
        }
    }
}

/// An Ed25519 public key, base64 of its 32 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer(pub [u8; 32]);

impl<'de> Deserialize<'de> for Signer {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = String::deserialize(d)?;
        let octets = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok();
        let key: Option<[u8; 32]> = octets.and_then(|o| o.try_into().ok());
        // A point that is none verifies nothing: better known now.
        key.filter(|k| ed25519_dalek::VerifyingKey::from_bytes(k).is_ok())
            .map(Signer)
            .ok_or_else(|| serde::de::Error::custom("an Ed25519 public key, base64 of 32 octets, is wanted"))
    }
}

/// SHA-256 of a certificate, hexadecimal, colons allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        octets_32(&text.replace(':', "")).map(Fingerprint).ok_or_else(|| {
            serde::de::Error::custom("a SHA-256 fingerprint of 64 hexadecimal digits is wanted")
        })
    }
}

/// 32 octets from 64 hexadecimal digits.
#[must_use]
pub fn octets_32(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    let mut out = [0; 32];
    for (i, octet) in out.iter_mut().enumerate() {
        *octet = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}

/// A network: `10.1.0.0/16`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    bits: u8,
}

impl Network {
    /// Does it hold the address? IPv4 addresses mapped into IPv6 count as IPv4.
    #[must_use]
    pub fn holds(&self, ip: IpAddr) -> bool {
        match (self.addr, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.bits);
                (u64::from(net.to_bits()) >> shift) == (u64::from(ip.to_bits()) >> shift)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.bits);
                net.to_bits().checked_shr(shift).unwrap_or(0) == ip.to_bits().checked_shr(shift).unwrap_or(0)
            }
            _ => false,
        }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.addr, self.bits)
    }
}

impl FromStr for Network {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "a network such as 10.1.0.0/16, or an address, is wanted";
        let (addr, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let addr: IpAddr = addr.trim().parse().map_err(|_| WANTED)?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |b| b.trim().parse().map_err(|_| WANTED))?;
        if bits <= most { Ok(Self { addr, bits }) } else { Err(WANTED) }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_texts_digests_or_tables() {
        let read = |text: &str| toml::from_str::<BTreeMap<String, Key>>(text).map(|m| m["k"].clone());
        let plain = read("k = \"hush-hush\"").unwrap();
        assert_eq!(plain.plain(), Some("hush-hush"));
        let hex = crate::order::canon::hex(&plain.digest());
        let digest = read(&format!("k = \"sha256:{hex}\"")).unwrap();
        assert_eq!((digest.plain(), digest.digest()), (None, plain.digest()));
        let table = format!("k = {{ sha256 = \"{hex}\", scopes = [\"read\"], networks = [\"10.0.0.0/8\"] }}");
        let table = read(&table).unwrap();
        assert!(table.may(Scope::Read) && !table.may(Scope::Order));
        assert!(table.fits(Some("10.9.8.7".parse().unwrap())) && !table.fits(None));
        for bad in [
            "k = { }",
            "k = { sha256 = \"12\" }",
            "k = { key = \"a\", sha256 = \"b\" }",
            "k = { kee = \"a\" }",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_hold_what_they_should() {
        for (net, ip, expected) in [
            ("10.1.0.0/16", "10.1.255.1", true),
            ("10.1.0.0/16", "10.2.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let net: Network = net.parse().unwrap();
            assert_eq!(net.holds(ip.parse().unwrap()), expected, "{net:?} {ip}");
        }
        for bad in ["", "10.0.0.0/33", "::/129", "host", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
