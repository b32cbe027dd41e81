//! Digest authentication, as client and as server: MD5 (RFC 2617 §3.2.2) and SHA-256 (RFC 8760, RFC 7616 §3.4).
//!
//! `auth-int` and session algorithms are not spoken. Time and chance come in as arguments: a server's nonce holds its
//! own age under a MAC, so nothing is remembered.

use super::wire::auth::AuthValue;
use super::wire::{HeaderId, Message};
use crate::leg::Credentials;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use units::{Mono, Private};

/// Digest algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// From the parameter; absent means MD5.
    #[must_use]
    pub fn of(name: Option<&str>) -> Option<Self> {
        match name {
            None => Some(Algorithm::Md5),
            Some(n) if n.eq_ignore_ascii_case("MD5") => Some(Algorithm::Md5),
            Some(n) if n.eq_ignore_ascii_case("SHA-256") => Some(Algorithm::Sha256),
            Some(_) => None,
        }
    }

    /// As written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => hex(&Md5::digest(text)),
            Algorithm::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

/// A challenge that we can answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The field that answers it.
    pub answer_in: HeaderId,
    /// Realm.
    pub realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    qop: bool,
    /// The nonce was too old; user and password were right.
    pub stale: bool,
}

impl Challenge {
    /// The first challenge of a 401 or 407 that we can answer: the server lists them by its preference (RFC 8760 §2.4).
    /// `realm`: only one of this realm counts.
    #[must_use]
    pub fn find(m: &Message<'_>, realm: Option<&str>) -> Option<Self> {
        let both = [
            (HeaderId::WwwAuthenticate, HeaderId::Authorization),
            (HeaderId::ProxyAuthenticate, HeaderId::ProxyAuthorization),
        ];
        let all = both.into_iter().flat_map(|(asked, answer)| m.all(asked).map(move |v| (answer, v)));
        all.filter_map(|(answer, value)| Self::read(answer, value))
            .find(|c| realm.is_none_or(|r| r == c.realm))
    }

    fn read(answer_in: HeaderId, value: &[u8]) -> Option<Self> {
        let value = AuthValue::parse(value).filter(AuthValue::is_digest)?;
        let qop = value.get("qop");
        let has_auth =
            qop.as_deref().is_some_and(|q| q.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some() && !has_auth {
            return None;
        }
        Some(Self {
            answer_in,
            realm: value.get("realm")?,
            nonce: value.get("nonce")?,
            opaque: value.get("opaque"),
            algorithm: Algorithm::of(value.get("algorithm").as_deref())?,
            qop: has_auth,
            stale: value.get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    /// The value of [`Challenge::answer_in`] for a request.
    #[must_use]
    pub fn answer(&self, who: &Credentials, method: &str, uri: &str, cnonce: &str) -> String {
        let (user, password) = (who.user.expose(), who.password.expose());
        let parts = Parts {
            user,
            realm: &self.realm,
            nonce: &self.nonce,
            method,
            uri,
            qop: self.qop.then_some((cnonce, "00000001")),
        };
        let response = parts.response(self.algorithm, password);
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quoted(user),
            quoted(&self.realm),
            quoted(&self.nonce),
            quoted(uri),
            self.algorithm.name()
        );
        if let Some(opaque) = &self.opaque {
            let _infallible = write!(value, ", opaque={}", quoted(opaque));
        }
        if self.qop {
            let _infallible = write!(value, ", qop=auth, cnonce=\"{cnonce}\", nc=00000001");
        }
        value
    }
}

/// What the digest is over.
struct Parts<'a> {
    user: &'a str,
    realm: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
    /// cnonce and nc.
    qop: Option<(&'a str, &'a str)>,
}

impl Parts<'_> {
    /// RFC 7616 §3.4.1.
    fn response(&self, algorithm: Algorithm, password: &str) -> String {
        let secret = algorithm.hash(&format!("{}:{}:{password}", self.user, self.realm));
        let request = algorithm.hash(&format!("{}:{}", self.method, self.uri));
        algorithm.hash(&match self.qop {
            Some((cnonce, nc)) => format!("{secret}:{}:{nc}:{cnonce}:auth:{request}", self.nonce),
            None => format!("{secret}:{}:{request}", self.nonce),
        })
    }
}

/// How long a nonce of ours is good.
const NONCE_MS_MAX: u64 = 60_000;

/// The values of WWW-Authenticate that challenge for a realm: SHA-256 first (RFC 8760 §2.4).
#[must_use]
pub fn challenges(realm: &str, secret: &[u8], now: Mono, stale: bool) -> [String; 2] {
    let nonce = nonce(secret, now.as_ms());
    let stale = if stale { ", stale=true" } else { "" };
    [Algorithm::Sha256, Algorithm::Md5].map(|a| {
        format!(
            "Digest realm={}, nonce=\"{nonce}\", qop=\"auth\", algorithm={}{stale}",
            quoted(realm),
            a.name()
        )
    })
}

/// What a request's Authorization proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing, or something wrong: challenge. The same for unknown users and wrong passwords.
    None,
    /// Right, but the nonce is too old: challenge with `stale`.
    Stale,
    /// User and password are right.
    Good,
}

/// Judges the Authorization of a request. All users are tried, so that known and unknown ones cost the same.
#[must_use]
pub fn verify(
    m: &Message<'_>,
    realm: &str,
    users: &[(Private<String>, Private<String>)],
    secret: &[u8],
    now: Mono,
) -> Proof {
    let values = m.all(HeaderId::Authorization).filter_map(AuthValue::parse).filter(AuthValue::is_digest);
    values
        .map(|v| verify_one(m, &v, realm, users, secret, now))
        .find(|p| *p != Proof::None)
        .unwrap_or(Proof::None)
}

fn verify_one(
    m: &Message<'_>,
    value: &AuthValue<'_>,
    realm: &str,
    users: &[(Private<String>, Private<String>)],
    secret: &[u8],
    now: Mono,
) -> Proof {
    let get = |name| value.get(name).unwrap_or_default();
    let (nonce_given, user, uri, cnonce, nc) =
        (get("nonce"), get("username"), get("uri"), get("cnonce"), get("nc"));
    let algorithm = Algorithm::of(value.get("algorithm").as_deref());
    let made_ms =
        nonce_given.split('-').next().and_then(|ms| u64::from_str_radix(ms, 16).ok()).unwrap_or(u64::MAX);
    let genuine = same(&nonce(secret, made_ms), &nonce_given);
    let (Some(algorithm), true) = (algorithm, genuine && get("realm") == realm) else { return Proof::None };
    let method = m.method().map(super::wire::Method::as_str).unwrap_or_default();
    let qop = (!get("qop").is_empty()).then_some((cnonce.as_str(), nc.as_str()));
    let given = get("response").to_ascii_lowercase();
    let good = users.iter().fold(false, |good, (name, password)| {
        let parts = Parts { user: name.expose(), realm, nonce: &nonce_given, method, uri: &uri, qop };
        let right = same(&parts.response(algorithm, password.expose()), &given) & same(name.expose(), &user);
        good | right
    });
    match (good, now.as_ms().saturating_sub(made_ms) <= NONCE_MS_MAX) {
        (true, true) => Proof::Good,
        (true, false) => Proof::Stale,
        (false, _) => Proof::None,
    }
}

/// `time-mac`: made by nobody without the secret.
fn nonce(secret: &[u8], ms: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(secret);
    hash.update(b"nonce");
    hash.update(ms.to_be_bytes());
    format!("{ms:x}-{}", hex(hash.finalize().get(..16).unwrap_or_default()))
}

/// Equal, in a time that depends on the lengths alone.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _infallible = write!(text, "{b:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::wire::Limits;
    use super::*;

    fn who(user: &str, password: &str) -> Credentials {
        Credentials { user: Private::new(user.into()), password: Private::new(password.into()), realm: None }
    }

    fn with<T>(text: &str, f: impl Fn(&Message<'_>) -> T) -> T {
        f(&Message::parse(text.as_bytes(), &Limits::default()).expect("framed"))
    }

    #[test]
    fn rfc7616_3_9_1_the_published_digests() {
        for (algorithm, want) in [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let parts = Parts {
                user: "Mufasa",
                realm: "http-auth@example.org",
                nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                method: "GET",
                uri: "/dir/index.html",
                qop: Some(("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "00000001")),
            };
            assert_eq!(parts.response(algorithm, "Circle of Life"), want);
        }
    }

    #[test]
    fn what_the_client_answers_the_server_believes() {
        let now = Mono::from_ms(5_000);
        let users = [(Private::new("bob".to_owned()), Private::new("zanzibar".to_owned()))];
        for challenge in challenges("x.org", b"key", now, false) {
            let text = format!("SIP/2.0 401 U\r\nWWW-Authenticate: {challenge}\r\n\r\n");
            let found = with(&text, |m| Challenge::find(m, Some("x.org"))).expect("can be answered");
            for (password, late, want) in [
                ("zanzibar", 0, Proof::Good),
                ("zanzibar", NONCE_MS_MAX + 1, Proof::Stale),
                ("wrong", 0, Proof::None),
            ] {
                let answer = found.answer(&who("bob", password), "INVITE", "sip:a@b", "c0");
                let text = format!("INVITE sip:a@b SIP/2.0\r\nAuthorization: {answer}\r\n\r\n");
                let later = Mono::from_ms(now.as_ms() + late);
                assert_eq!(with(&text, |m| verify(m, "x.org", &users, b"key", later)), want);
                assert_eq!(with(&text, |m| verify(m, "x.org", &users, b"other", later)), Proof::None);
            }
        }
    }

    #[test]
    fn only_the_realm_that_is_ours_is_answered() {
        let text = "SIP/2.0 401 U\r\nWWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: Digest realm=\"evil\", nonce=\"n\"\r\n\r\n";
        assert_eq!(with(text, |m| Challenge::find(m, Some("x"))), None);
        assert_eq!(with(text, |m| Challenge::find(m, None)).map(|c| c.realm), Some("evil".to_owned()));
    }

    #[test]
    fn rfc4475_3_3_7_another_scheme_proves_nothing() {
        let text = "REGISTER sip:a SIP/2.0\r\nAuthorization: NoOneKnowsThisScheme opaque-data=here\r\n\r\n";
        assert_eq!(with(text, |m| verify(m, "r", &[], b"k", Mono(0))), Proof::None);
    }
}
