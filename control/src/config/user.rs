//! `users` of a tenant: people who sign in to the pages with a password of their own. Programs have keys instead.

use super::tenant::{Fingerprint, Scope};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What they may do.
    pub role: Role,
    /// What is known of their password; none: they have not chosen one yet.
    #[serde(default)]
    pub password: Option<PasswordHash>,
    /// A link is out by which they choose one.
    #[serde(default)]
    pub invitation: Option<Invitation>,
}

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See what was ordered and what became of it.
    View,
    /// Order and take back, too.
    Order,
}

impl Role {
    /// May they do this?
    #[must_use]
    pub fn may(self, scope: Scope) -> bool {
        match self {
            Self::View => scope == Scope::Read,
            Self::Order => matches!(scope, Scope::Read | Scope::Order),
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "view" => Ok(Self::View),
            "order" => Ok(Self::Order),
            _ => Err("one of view, order"),
        }
    }
}

/// A link that works once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// SHA-256 of the secret in the link.
    pub sha256: Fingerprint,
    /// Good until, ms since 1970.
    pub until_ms: i64,
}

/// What is known of a password: scrypt (RFC 7914) in the PHC string form, `$scrypt$ln=15,r=8,p=3$SALT$HASH`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// Binary logarithm of the cost.
    pub ln: u8,
    /// Block size.
    pub r: u32,
    /// Parallel lanes.
    pub p: u32,
    /// Salt.
    pub salt: Vec<u8>,
    /// What comes out.
    pub hash: [u8; 32],
}

/// Bounds of what a login may cost us, whoever wrote the hash: at most 256 MiB.
const LN: std::ops::RangeInclusive<u8> = 10..=18;
const P_MAX: u32 = 16;

impl FromStr for PasswordHash {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str =
            "a hash such as $scrypt$ln=15,r=8,p=3$SALT$HASH: `carillon tenant user hash` makes one";
        let mut parts = text.split('$');
        let (Some(""), Some("scrypt"), Some(cost), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(WANTED);
        };
        let mut costs = cost.split(',');
        let mut value =
            |name: &str| -> Option<u32> { costs.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok() };
        let (ln, r, p) = (value("ln"), value("r"), value("p"));
        let ln = ln.and_then(|ln| u8::try_from(ln).ok()).filter(|ln| LN.contains(ln)).ok_or(WANTED)?;
        let (Some(8), Some(p @ 1..=P_MAX)) = (r, p) else { return Err(WANTED) };
        let octets = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| WANTED);
        let (salt, hash) = (octets(salt)?, octets(hash)?.try_into().map_err(|_| WANTED)?);
        if (8..=64).contains(&salt.len()) { Ok(Self { ln, r: 8, p, salt, hash }) } else { Err(WANTED) }
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |octets: &[u8]| STANDARD_NO_PAD.encode(octets);
        let (salt, hash) = (text(&self.salt), text(&self.hash));
        write!(f, "$scrypt$ln={},r={},p={}${salt}${hash}", self.ln, self.r, self.p)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_read_as_they_are_written_within_bounds() {
        let text = "$scrypt$ln=15,r=8,p=3$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8";
        let read: PasswordHash = text.parse().expect("good");
        assert_eq!((read.ln, read.r, read.p, read.salt.len()), (15, 8, 3, 16));
        assert_eq!(read.to_string(), text);
        assert!(!format!("{read:?}").contains("AAEC"));
        for bad in [
            "",
            "secret",
            &text.replace("ln=15", "ln=30"),
            &text.replace("r=8", "r=9"),
            &text.replace("p=3", "p=0"),
            &text.replace("p=3", "p=99"),
            &text.replace("scrypt", "argon2id"),
            &text[..text.len() - 4],
            &format!("{text}$"),
        ] {
            assert!(bad.parse::<PasswordHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn roles_nest() {
        let scopes = [Scope::Order, Scope::Read, Scope::Lists];
        let may = |role: Role| scopes.map(|scope| role.may(scope));
        assert_eq!(may(Role::View), [false, true, false]);
        assert_eq!(may(Role::Order), [true, true, false]);
        assert_eq!("order".parse(), Ok(Role::Order));
        assert!("root".parse::<Role>().is_err());
    }
}
