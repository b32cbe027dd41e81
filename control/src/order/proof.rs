//! What a request proves about its sender beside the channel it came through: a signed manifest (Ed25519), which serves
//! mail and HTTP alike, or a token (HMAC-SHA-256) for devices that can sign nothing.
//!
//! The manifest names tenant, action, recipient address and times, the digest of the canonical request, and the digest
//! of each part. It survives our reformatting and a forwarder's re-encoding, since digests are over decoded content.
//! A part it does not name is not trusted less: it is ignored.

use super::canon;
use super::mail::Attachment;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use units::Wall;

/// A manifest lives at most so long, s.
const LIFE_S_MAX: i64 = 7 * 86_400;
/// Clocks differ by at most so much, s.
const SKEW_S: i64 = 300;
/// Octets of a manifest.
const BYTES_MAX: usize = 64 << 10;

/// The manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1.
    pub v: u8,
    /// Name of the tenant.
    pub tenant: String,
    /// Request id; seen once within the manifest's life.
    pub request_id: String,
    /// `call`, `dryrun`, `cancel`, `status`.
    pub action: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub expires: i64,
    /// The address or URL it was sent to.
    pub rcpt: String,
    /// The canonical request.
    pub request: RequestDigest,
    /// Parts that are covered.
    #[serde(default)]
    pub parts: Vec<Part>,
}

/// Digest of the canonical request, hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestDigest {
    /// SHA-256.
    #[serde(rename = "sha-256")]
    pub sha256: String,
}

/// A part that is covered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Content-ID.
    pub id: String,
    /// Media type.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Octets of the decoded content.
    pub len: u64,
    /// SHA-256 of the decoded content, hexadecimal.
    #[serde(rename = "sha-256")]
    pub sha256: String,
}

/// What the manifest must fit.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Name of the tenant, proven by the recipient address.
    pub tenant: &'a str,
    /// What the address asks for.
    pub action: &'a str,
    /// Where it came in.
    pub rcpt: &'a str,
    /// The canonical request.
    pub canonical: &'a str,
    /// What came with it.
    pub parts: &'a [Attachment],
    /// Now.
    pub now: Wall,
}

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// It cannot be read.
    Malformed,
    /// No such key of this tenant.
    Key,
    /// The signature is not this key's over this manifest.
    Signature,
    /// Not yet, or no longer.
    Time,
    /// It is for another tenant, action or address.
    Scope,
    /// It is over another request.
    Request,
    /// A part differs from what was signed, or is missing.
    Part,
}

/// `Call-Signature: keyid="acme-7"; alg="ed25519"; sig=:BASE64:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureField {
    /// Which key.
    pub keyid: String,
    /// The signature.
    pub signature: [u8; 64],
}

impl SignatureField {
    /// Reads the field. Times in it are not looked at: those in the manifest are signed.
    ///
    /// # Errors
    /// [`Unproven::Malformed`], also for another algorithm.
    pub fn read(text: &str) -> Result<Self, Unproven> {
        let (mut keyid, mut alg, mut signature) = (None, None, None);
        for part in text.split(';') {
            let (name, value) = part.trim().split_once('=').ok_or(Unproven::Malformed)?;
            let slot = match name.trim() {
                "keyid" => &mut keyid,
                "alg" => &mut alg,
                "sig" => &mut signature,
                "created" | "expires" => continue,
                _ => return Err(Unproven::Malformed),
            };
            if slot.replace(value.trim().trim_matches('"').to_owned()).is_some() {
                return Err(Unproven::Malformed);
            }
        }
        if alg.as_deref() != Some("ed25519") {
            return Err(Unproven::Malformed);
        }
        let octets = STANDARD
            .decode(signature.unwrap_or_default().trim_matches(':'))
            .map_err(|_| Unproven::Malformed)?;
        Ok(Self {
            keyid: keyid.filter(|k| !k.is_empty()).ok_or(Unproven::Malformed)?,
            signature: octets.try_into().map_err(|_| Unproven::Malformed)?,
        })
    }
}

/// Verifies a manifest (base64 of its JSON) and says which parts it covers.
///
/// # Errors
/// [`Unproven`].
pub fn manifest(
    encoded: &str,
    field: &SignatureField,
    key: Option<&[u8; 32]>,
    expected: Expected<'_>,
) -> Result<Manifest, Unproven> {
    let key = VerifyingKey::from_bytes(key.ok_or(Unproven::Key)?).map_err(|_| Unproven::Key)?;
    if encoded.len() > BYTES_MAX {
        return Err(Unproven::Malformed);
    }
    // A header field is folded; base64 has no blanks of its own.
    let packed: String = encoded.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let octets = STANDARD.decode(packed).map_err(|_| Unproven::Malformed)?;
    let manifest: Manifest = serde_json::from_slice(&octets).map_err(|_| Unproven::Malformed)?;
    // The signature is over the canonical form, not over the octets that came: no second reading of them can differ.
    let value = serde_json::to_value(&manifest).map_err(|_| Unproven::Malformed)?;
    let signed = canon::jcs(&value);
    key.verify_strict(signed.as_bytes(), &Signature::from_bytes(&field.signature))
        .map_err(|_| Unproven::Signature)?;
    fits(&manifest, expected)?;
    Ok(manifest)
}

/// What a manifest is to say beside request and parts.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Name of the tenant.
    pub tenant: &'a str,
    /// `call`, `dryrun`, `cancel`, `status`.
    pub action: &'a str,
    /// Address or path that it is sent to.
    pub rcpt: &'a str,
    /// Request id.
    pub request_id: &'a str,
    /// Seconds since 1970.
    pub created: i64,
    /// Seconds since 1970.
    pub expires: i64,
}

/// Makes and signs a manifest: the values of `Call-Manifest` and `Call-Signature`.
#[must_use]
pub fn sign(
    secret: &[u8; 32],
    keyid: &str,
    scope: &Scope<'_>,
    canonical: &str,
    parts: &[Attachment],
) -> (String, String) {
    use ed25519_dalek::{Signer, SigningKey};
    let parts = parts.iter().map(|p| Part {
        id: p.cid.clone(),
        media_type: p.media_type.clone(),
        len: u64::try_from(p.content.len()).unwrap_or(u64::MAX),
        sha256: canon::hex(&Sha256::digest(&p.content)),
    });
    let manifest = Manifest {
        v: 1,
        tenant: scope.tenant.to_owned(),
        request_id: scope.request_id.to_owned(),
        action: scope.action.to_owned(),
        created: scope.created,
        expires: scope.expires,
        rcpt: scope.rcpt.to_owned(),
        request: RequestDigest { sha256: canon::hex(&canon::digest(canonical)) },
        parts: parts.collect(),
    };
    let value = serde_json::to_value(&manifest).expect("a manifest has text keys only");
    let text = canon::jcs(&value);
    let signature = SigningKey::from_bytes(secret).sign(text.as_bytes()).to_bytes();
    let field = format!("keyid=\"{keyid}\"; alg=\"ed25519\"; sig=:{}:", STANDARD.encode(signature));
    (STANDARD.encode(text), field)
}

/// The public key to a secret one.
#[must_use]
pub fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    ed25519_dalek::SigningKey::from_bytes(secret).verifying_key().to_bytes()
}

fn fits(m: &Manifest, e: Expected<'_>) -> Result<(), Unproven> {
    let now = e.now.0.div_euclid(1_000);
    let in_time = m.created <= now + SKEW_S && now <= m.expires && m.expires - m.created <= LIFE_S_MAX;
    if m.v != 1 || !in_time {
        return Err(Unproven::Time);
    }
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    if !same(&m.tenant, e.tenant) || m.action != e.action || !same(&m.rcpt, e.rcpt) {
        return Err(Unproven::Scope);
    }
    if !same(&m.request.sha256, &canon::hex(&canon::digest(e.canonical))) {
        return Err(Unproven::Request);
    }
    for part in &m.parts {
        let came = e.parts.iter().find(|p| p.cid == part.id).ok_or(Unproven::Part)?;
        let digest = canon::hex(&Sha256::digest(&came.content));
        let len = u64::try_from(came.content.len()).unwrap_or(u64::MAX);
        if len != part.len || !same(&digest, &part.sha256) || came.media_type != part.media_type {
            return Err(Unproven::Part);
        }
    }
    Ok(())
}

/// The token of a device: base64 of HMAC-SHA-256 under a key of the tenant over tenant, action and request id.
#[must_use]
pub fn token(key: &str, tenant: &str, action: &str, request_id: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{}\n{action}\n{request_id}", tenant.to_ascii_lowercase()).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Is this the token that one of the keys makes? Takes the same time whichever octet differs.
#[must_use]
pub fn token_fits<'a>(
    given: &str,
    mut keys: impl Iterator<Item = &'a str>,
    tenant: &str,
    action: &str,
    request_id: &str,
) -> bool {
    keys.any(|k| token(k, tenant, action, request_id).as_bytes().ct_eq(given.trim().as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    const NOW: Wall = Wall(1_800_000_000_000);
    const CANONICAL: &str = r#"{"to":[]}"#;

    fn signed(change: impl Fn(&mut Manifest)) -> (String, SignatureField, [u8; 32]) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let mut m = Manifest {
            v: 1,
            tenant: "acme".into(),
            request_id: "r".into(),
            action: "call".into(),
            created: 1_800_000_000 - 5,
            expires: 1_800_000_000 + 600,
            rcpt: "call+acme@d.example".into(),
            request: RequestDigest { sha256: canon::hex(&canon::digest(CANONICAL)) },
            parts: vec![Part {
                id: "app@1".into(),
                media_type: "application/voicexml+xml".into(),
                len: 7,
                sha256: canon::hex(&Sha256::digest(b"<vxml/>")),
            }],
        };
        change(&mut m);
        let text = canon::jcs(&serde_json::to_value(&m).unwrap());
        let signature = key.sign(text.as_bytes()).to_bytes();
        let field = SignatureField { keyid: "k".into(), signature };
        (STANDARD.encode(text), field, key.verifying_key().to_bytes())
    }

    fn check(change: impl Fn(&mut Manifest), content: &str, expected: Result<(), Unproven>) {
        let parts = [Attachment {
            cid: "app@1".into(),
            media_type: "application/voicexml+xml".into(),
            content: content.into(),
        }];
        let (encoded, field, key) = signed(change);
        let e = Expected {
            tenant: "Acme",
            action: "call",
            rcpt: "call+acme@d.example",
            canonical: CANONICAL,
            parts: &parts,
            now: NOW,
        };
        assert_eq!(manifest(&encoded, &field, Some(&key), e).map(|_| ()), expected);
        assert!(manifest(&encoded, &field, Some(&[9; 32]), e).is_err(), "another key");
        assert_eq!(manifest(&encoded, &field, None, e), Err(Unproven::Key));
    }

    #[test]
    fn a_manifest_covers_all_it_should() {
        check(|_| (), "<vxml/>", Ok(()));
        check(|m| m.parts.clear(), "anything", Ok(()));
        check(|_| (), "<vxmk/>", Err(Unproven::Part));
        check(|m| m.parts[0].id = "other".into(), "<vxml/>", Err(Unproven::Part));
        check(|m| m.parts[0].media_type = "text/plain".into(), "<vxml/>", Err(Unproven::Part));
        check(|m| m.action = "dryrun".into(), "<vxml/>", Err(Unproven::Scope));
        check(|m| m.rcpt = "dryrun+acme@d.example".into(), "<vxml/>", Err(Unproven::Scope));
        check(|m| m.tenant = "other".into(), "<vxml/>", Err(Unproven::Scope));
        check(|m| m.expires = 1_799_999_999, "<vxml/>", Err(Unproven::Time));
        check(|m| m.created = 1_800_000_400, "<vxml/>", Err(Unproven::Time));
        check(|m| m.expires = m.created + 8 * 86_400, "<vxml/>", Err(Unproven::Time));
        check(|m| m.request.sha256 = "00".into(), "<vxml/>", Err(Unproven::Request));
        check(|m| m.v = 2, "<vxml/>", Err(Unproven::Time));
    }

    #[test]
    fn a_changed_manifest_is_not_signed() {
        let (encoded, field, key) = signed(|_| ());
        let text = String::from_utf8(STANDARD.decode(&encoded).unwrap()).unwrap();
        let forged = STANDARD.encode(text.replace("acme@", "evil@"));
        let e = Expected {
            tenant: "acme",
            action: "call",
            rcpt: "call+evil@d.example",
            canonical: CANONICAL,
            parts: &[],
            now: NOW,
        };
        assert_eq!(manifest(&forged, &field, Some(&key), e), Err(Unproven::Signature));
        assert_eq!(manifest("!!!", &field, Some(&key), e), Err(Unproven::Malformed));
        assert_eq!(manifest(&STANDARD.encode("{}"), &field, Some(&key), e), Err(Unproven::Malformed));
    }

    #[test]
    fn signature_fields_by_table() {
        let sig = STANDARD.encode([1u8; 64]);
        let good = format!("keyid=\"acme-7\"; alg=\"ed25519\"; created=1; expires=2; sig=:{sig}:");
        assert_eq!(SignatureField::read(&good).unwrap().keyid, "acme-7");
        for bad in [
            String::new(),
            good.replace("ed25519", "none"),
            good.replace("keyid", "kid"),
            good.replace(&sig, "AAAA"),
            format!("{good}; keyid=\"x\""),
            good.replace("acme-7", ""),
        ] {
            assert_eq!(SignatureField::read(&bad), Err(Unproven::Malformed), "{bad}");
        }
    }

    #[test]
    fn a_token_is_bound_to_tenant_action_and_request() {
        let t = token("key", "acme", "call", "r1");
        let fits =
            |keys: &[&str], tenant, action, id| token_fits(&t, keys.iter().copied(), tenant, action, id);
        assert!(fits(&["no", "key"], "Acme", "call", "r1"));
        assert!(!fits(&["no"], "acme", "call", "r1"));
        assert!(!fits(&["key"], "acme", "dryrun", "r1"));
        assert!(!fits(&["key"], "acme", "call", "r2"));
    }
}
