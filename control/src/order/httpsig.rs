//! Signed HTTP: verifying requests (RFC 9421 message signatures over RFC 9530 digests) and signing webhooks.
//!
//! Of RFC 9421 the part that requests need: derived components `@method`, `@target-uri`, `@authority`, `@path`,
//! `@query` and plain fields; `ed25519` and `hmac-sha256`. Parameters on components (`;sf`, `;bs`, `;key`, `;tr`) are
//! refused, as is a signature that leaves out what an order needs covered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use units::Wall;

/// What must be covered before a request is obeyed.
pub const NEEDED: [&str; 4] = ["@method", "@target-uri", "content-digest", "idempotency-key"];
/// Octets of `Signature-Input`.
const INPUT_BYTES_MAX: usize = 4_096;
/// A signature lives so long without an `expires`, s.
const AGE_S_MAX: i64 = 300;

/// A request as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Method.
    pub method: &'a str,
    /// `https`.
    pub scheme: &'a str,
    /// Host and port as in `Host`.
    pub authority: &'a str,
    /// Path and query as in the request line.
    pub target: &'a str,
    /// Header fields, names in lower case, in order.
    pub fields: &'a [(String, String)],
}

/// Why a signature proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// There is none.
    None,
    /// It cannot be read, or uses what is not taken.
    Malformed,
    /// It leaves out a component that must be covered.
    Uncovered,
    /// Not yet, or no longer.
    Time,
    /// No such key.
    Key,
    /// It is not over this request.
    Signature,
    /// `Content-Digest` is not the body's.
    Digest,
}

/// A key to verify with.
#[derive(Clone, Debug)]
pub enum Key {
    /// Ed25519 public key.
    Ed25519([u8; 32]),
    /// Shared secret.
    Hmac(Vec<u8>),
}

/// A signature that was read, not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Which key.
    pub keyid: String,
    /// A number used once, if there is one.
    pub nonce: Option<String>,
    /// Components in order.
    components: Vec<String>,
    /// The value of `@signature-params`, as it came.
    params: String,
    created: Option<i64>,
    expires: Option<i64>,
    alg: Option<String>,
    signature: Vec<u8>,
}

impl Signed {
    /// Reads `Signature-Input` and `Signature`; of several labels the first is taken.
    ///
    /// # Errors
    /// [`Unsigned::None`] or [`Unsigned::Malformed`].
    pub fn read(request: &Request<'_>) -> Result<Self, Unsigned> {
        let input = field(request, "signature-input").ok_or(Unsigned::None)?;
        let signature = field(request, "signature").ok_or(Unsigned::None)?;
        if input.len() > INPUT_BYTES_MAX || signature.len() > INPUT_BYTES_MAX {
            return Err(Unsigned::Malformed);
        }
        Self::parse(&input, &signature).ok_or(Unsigned::Malformed)
    }

    fn parse(input: &str, signature: &str) -> Option<Self> {
        let (label, rest) = input.trim().split_once('=')?;
        let (list, params) = rest.strip_prefix('(')?.split_once(')')?;
        let components: Vec<String> =
            list.split_whitespace().map(|c| quoted(c).map(str::to_owned)).collect::<Option<_>>()?;
        let params = params.split(", ").next().unwrap_or(params);
        let mut out = Self {
            keyid: String::new(),
            nonce: None,
            components,
            params: format!("({list}){params}"),
            created: None,
            expires: None,
            alg: None,
            signature: Vec::new(),
        };
        for param in params.split(';').skip(1) {
            let (name, value) = param.split_once('=')?;
            match name.trim() {
                "keyid" => out.keyid = quoted(value)?.to_owned(),
                "alg" => out.alg = Some(quoted(value)?.to_owned()),
                "nonce" => out.nonce = Some(quoted(value)?.to_owned()),
                "tag" => drop(quoted(value)?),
                "created" => out.created = Some(value.parse().ok()?),
                "expires" => out.expires = Some(value.parse().ok()?),
                _ => return None,
            }
        }
        let mine =
            signature.split(',').map(str::trim).find_map(|s| s.strip_prefix(label)?.strip_prefix('='))?;
        out.signature = STANDARD.decode(mine.strip_prefix(':')?.strip_suffix(':')?).ok()?;
        let twice = (1..out.components.len()).any(|i| out.components[..i].contains(&out.components[i]));
        (!twice && !out.keyid.is_empty()).then_some(out)
    }

    /// Verifies it over a request, with what must be covered.
    ///
    /// # Errors
    /// [`Unsigned`].
    pub fn verify(
        &self,
        request: &Request<'_>,
        key: &Key,
        needed: &[&str],
        now: Wall,
    ) -> Result<(), Unsigned> {
        if !needed.iter().all(|n| self.components.iter().any(|c| c == n)) {
            return Err(Unsigned::Uncovered);
        }
        let now = now.0.div_euclid(1_000);
        let created = self.created.ok_or(Unsigned::Time)?;
        let expires = self.expires.unwrap_or(created.saturating_add(AGE_S_MAX));
        if created > now + 60 || expires < now {
            return Err(Unsigned::Time);
        }
        self.verify_octets(request, key)
    }

    fn verify_octets(&self, request: &Request<'_>, key: &Key) -> Result<(), Unsigned> {
        let base = self.base(request).ok_or(Unsigned::Uncovered)?;
        match (key, self.alg.as_deref()) {
            (Key::Ed25519(key), None | Some("ed25519")) => {
                let key = VerifyingKey::from_bytes(key).map_err(|_| Unsigned::Key)?;
                let signature = Signature::from_slice(&self.signature).map_err(|_| Unsigned::Malformed)?;
                key.verify_strict(base.as_bytes(), &signature).map_err(|_| Unsigned::Signature)
            }
            (Key::Hmac(key), None | Some("hmac-sha256")) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Unsigned::Key)?;
                mac.update(base.as_bytes());
                mac.verify_slice(&self.signature).map_err(|_| Unsigned::Signature)
            }
            // RFC 9421 §3.3: the key decides the algorithm, not the message.
            _ => Err(Unsigned::Malformed),
        }
    }

    /// RFC 9421 §2.5: the signature base. `None` if a covered component is not there.
    fn base(&self, request: &Request<'_>) -> Option<String> {
        let mut base = String::new();
        for name in &self.components {
            let value = component(request, name)?;
            base.push_str(&format!("\"{name}\": {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {}", self.params));
        Some(base)
    }
}

/// A structured string without escapes; controls and quotes inside are refused.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    (!inner.bytes().any(|b| !(0x20..0x7f).contains(&b) || b == b'"' || b == b'\\')).then_some(inner)
}

/// The combined value of a field: RFC 9421 §2.1.
fn field(request: &Request<'_>, name: &str) -> Option<String> {
    let values: Vec<&str> = request.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| v.trim()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// RFC 9421 §2.2.
fn component(request: &Request<'_>, name: &str) -> Option<String> {
    let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
    let authority = request.authority.to_ascii_lowercase();
    let standard = if request.scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(standard).unwrap_or(&authority);
    match name {
        "@method" => Some(request.method.to_owned()),
        "@authority" => Some(authority.to_owned()),
        "@path" => Some(if path.is_empty() { "/".to_owned() } else { path.to_owned() }),
        "@query" => Some(format!("?{query}")),
        "@scheme" => Some(request.scheme.to_owned()),
        "@request-target" => Some(request.target.to_owned()),
        "@target-uri" => Some(format!("{}://{authority}{}", request.scheme, request.target)),
        _ if name.starts_with('@') || name != name.to_ascii_lowercase() => None,
        _ => field(request, name),
    }
}

/// RFC 9530: is one of the digests the body's, and none another's?
///
/// # Errors
/// [`Unsigned::Digest`], also if no digest is of a kind that is taken (SHA-256, SHA-512).
pub fn content_digest(field: &str, body: &[u8]) -> Result<(), Unsigned> {
    let mut known = 0;
    for item in field.split(',') {
        let (kind, value) = item.trim().split_once('=').ok_or(Unsigned::Digest)?;
        let own: Vec<u8> = match kind {
            "sha-256" => Sha256::digest(body).to_vec(),
            "sha-512" => Sha512::digest(body).to_vec(),
            _ => continue,
        };
        let given =
            value.strip_prefix(':').and_then(|v| v.strip_suffix(':')).and_then(|v| STANDARD.decode(v).ok());
        if !bool::from(given.unwrap_or_default().ct_eq(&own)) {
            return Err(Unsigned::Digest);
        }
        known += 1;
    }
    if known > 0 { Ok(()) } else { Err(Unsigned::Digest) }
}

/// Header fields of a signed webhook, as the Standard Webhooks convention has them: `webhook-id`,
/// `webhook-timestamp` (s), `webhook-signature` (`v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`).
#[must_use]
pub fn webhook(secret: &str, id: &str, at: Wall, body: &str) -> [(&'static str, String); 3] {
    let at = at.0.div_euclid(1_000);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", at.to_string()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    /// RFC 9421 appendix B.2's request.
    fn fields(more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("host", "example.com"),
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("content-type", "application/json"),
            (
                "content-digest",
                "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
            ),
            ("content-length", "18"),
        ];
        own.iter().chain(more).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    fn request(fields: &[(String, String)]) -> Request<'_> {
        Request {
            method: "POST",
            scheme: "https",
            authority: "example.com",
            target: "/foo?param=Value&Pet=dog",
            fields,
        }
    }

    fn check(input: &str, signature: &str, key: &Key, expected: Result<(), Unsigned>) {
        let fields = fields(&[("signature-input", input), ("signature", signature)]);
        let request = request(&fields);
        let read =
            Signed::read(&request).and_then(|s| s.verify(&request, key, &["date"], Wall(1_618_884_480_000)));
        assert_eq!(read, expected, "{input}");
    }

    #[test]
    fn rfc9421_b_2_5_hmac_sha256() {
        let secret = STANDARD
            .decode(
                "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
            )
            .unwrap();
        let input = "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
        let signature = "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:";
        check(input, signature, &Key::Hmac(secret.clone()), Ok(()));
        check(&input.replace("473", "474"), signature, &Key::Hmac(secret.clone()), Err(Unsigned::Signature));
        check(input, signature, &Key::Hmac(b"other".to_vec()), Err(Unsigned::Signature));
        check(input, signature, &Key::Ed25519([0; 32]), Err(Unsigned::Malformed));
        check(
            &input.replace("\"date\" ", ""),
            signature,
            &Key::Hmac(secret.clone()),
            Err(Unsigned::Uncovered),
        );
        check(&input.replace("created=1618884473;", ""), signature, &Key::Hmac(secret), Err(Unsigned::Time));
    }

    #[test]
    fn rfc9421_b_2_6_ed25519() {
        let key =
            STANDARD.decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=").unwrap().try_into().unwrap();
        let input = "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");\
                     created=1618884473;keyid=\"test-key-ed25519\"";
        let signature = "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";
        check(input, signature, &Key::Ed25519(key), Ok(()));
        check(&input.replace("@path", "@query"), signature, &Key::Ed25519(key), Err(Unsigned::Signature));
        check(&input.replace("@path", "@status"), signature, &Key::Ed25519(key), Err(Unsigned::Uncovered));
        check(
            &input.replace("\"@path\"", "\"@path\";req"),
            signature,
            &Key::Ed25519(key),
            Err(Unsigned::Malformed),
        );
        check(&input.replace("@path", "date"), signature, &Key::Ed25519(key), Err(Unsigned::Malformed));
    }

    #[test]
    fn rfc9530_digests() {
        let body = b"{\"hello\": \"world\"}";
        let fields = fields(&[]);
        let given = field(&request(&fields), "content-digest").unwrap();
        assert_eq!(content_digest(&given, body), Ok(()));
        assert_eq!(content_digest(&given, b"other"), Err(Unsigned::Digest));
        assert_eq!(content_digest("md5=:AAAA:", body), Err(Unsigned::Digest));
        let both = format!("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, {given}");
        assert_eq!(content_digest(&both, body), Ok(()));
    }

    #[test]
    fn derived_components() {
        let fields = fields(&[]);
        let r = request(&fields);
        for (name, value) in [
            ("@method", "POST"),
            ("@target-uri", "https://example.com/foo?param=Value&Pet=dog"),
            ("@query", "?param=Value&Pet=dog"),
            ("@path", "/foo"),
        ] {
            assert_eq!(component(&r, name).as_deref(), Some(value));
        }
        let port = Request { authority: "EXAMPLE.com:443", ..r };
        assert_eq!(component(&port, "@authority").as_deref(), Some("example.com"));
        assert_eq!(component(&r, "@query-param"), None);
    }

    #[test]
    fn a_webhook_is_signed_over_id_time_and_body() {
        let h = webhook("secret", "n1", Wall(1_800_000_000_999), "{}");
        assert_eq!((h[0].1.as_str(), h[1].1.as_str()), ("n1", "1800000000"));
        assert_ne!(h[2].1, webhook("secret", "n1", Wall(1_800_000_000_999), "{ }")[2].1);
        assert!(h[2].1.starts_with("v1,"));
    }

    #[test]
    fn mutated_signature_fields_never_panic() {
        let input = "s=(\"date\" \"@method\");created=1;expires=2;keyid=\"k\";alg=\"ed25519\";nonce=\"n\"";
        let mut rng = Seed(8).rng();
        let mut refused = 0;
        for _ in 0..5_000 {
            let mut text: Vec<char> = input.chars().collect();
            for _ in 0..=rng.below(5) {
                let at = usize::try_from(rng.below(text.len() as u64)).unwrap();
                match rng.below(3) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(at, char::from_u32(u32::try_from(rng.below(0x300)).unwrap()).unwrap()),
                    _ => {
                        text[at] =
                            "\"();=:, é"[..].chars().nth(usize::try_from(rng.below(9)).unwrap()).unwrap()
                    }
                }
            }
            let text: String = text.into_iter().collect();
            let fields = fields(&[("signature-input", &text), ("signature", "s=:AAAA:")]);
            refused += usize::from(Signed::read(&request(&fields)).is_err());
        }
        assert!(refused > 1_000);
    }
}
