//! Encryption at rest: recordings and collected values lie sealed. AES-256 in counter mode, then HMAC-SHA-256 over nonce
//! and ciphertext, under two keys derived from one secret of 32 octets that lies apart from the data: in
//! `[store] seal_key`, or made at the first start in `node.state`. What was written before there was a key is read as it is.

use aes::Aes256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use control::store::{Answer, Ask, Status};
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::path::Path;
use units::Private;

type Ctr = ctr::Ctr128BE<Aes256>;

/// See the module.
#[derive(Clone)]
pub struct Vault {
    cipher: [u8; 32],
    mac: [u8; 32],
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

/// How a sealed text begins.
const MARK: &str = "sealed:1:";
/// How a sealed file begins.
const FILE_MARK: &[u8] = b"carillon-sealed-1\n";
const NONCE: usize = 16;
const TAG: usize = 32;

/// What was sealed is not whole, or was sealed under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl Vault {
    /// Keys from the secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        let derive = |what: &str| -> [u8; 32] {
            let mut hash = Sha256::new();
            hash.update(what.as_bytes());
            hash.update(secret);
            hash.finalize().into()
        };
        Self { cipher: derive("carillon cipher\n"), mac: derive("carillon mac\n") }
    }

    /// A secret for another purpose, which tells nothing of ours: the same on every node that has the same secret.
    #[must_use]
    pub fn derived(&self, purpose: &str) -> [u8; 32] {
        self.tag(format!("carillon {purpose}").as_bytes()).finalize().into_bytes().into()
    }

    /// Seals octets: nonce, ciphertext, tag.
    #[must_use]
    pub fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let nonce = crate::clock::random::<NONCE>();
        let mut out = Vec::with_capacity(NONCE + plain.len() + TAG);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plain);
        Ctr::new(&self.cipher.into(), &nonce.into()).apply_keystream(&mut out[NONCE..]);
        let tag = self.tag(&out).finalize().into_bytes();
        out.extend_from_slice(&tag);
        out
    }

    /// Opens what was sealed.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Broken> {
        let body = sealed.len().checked_sub(TAG).filter(|n| *n >= NONCE).ok_or(Broken)?;
        let (body, tag) = sealed.split_at(body);
        self.tag(body).verify_slice(tag).map_err(|_| Broken)?;
        let (nonce, cipher) = body.split_at(NONCE);
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| Broken)?;
        let mut plain = cipher.to_vec();
        Ctr::new(&self.cipher.into(), &nonce.into()).apply_keystream(&mut plain);
        Ok(plain)
    }

    fn tag(&self, body: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.mac).expect("HMAC takes keys of any length");
        mac.update(body);
        mac
    }

    fn seal_text(&self, plain: &str) -> String {
        format!("{MARK}{}", STANDARD_NO_PAD.encode(self.seal(plain.as_bytes())))
    }

    /// A text that was sealed, or was never.
    fn open_text(&self, text: &str) -> String {
        let Some(sealed) = text.strip_prefix(MARK) else { return text.to_owned() };
        let opened = STANDARD_NO_PAD.decode(sealed).map_err(|_| Broken).and_then(|octets| self.open(&octets));
        match opened.map(String::from_utf8) {
            Ok(Ok(plain)) => plain,
            _ => {
                tracing::error!("collected values cannot be opened: sealed under another key, or not whole");
                "null".to_owned()
            }
        }
    }

    /// A session's result is JSON; sealed it is a JSON string.
    fn seal_json(&self, plain: &str) -> String {
        serde_json::Value::from(self.seal_text(plain)).to_string()
    }

    fn open_json(&self, json: &str) -> String {
        match serde_json::from_str(json) {
            Ok(serde_json::Value::String(text)) if text.starts_with(MARK) => self.open_text(&text),
            _ => json.to_owned(),
        }
    }

    /// Seals what a question brings to the store.
    pub fn on_the_way_in(&self, ask: &mut Ask) {
        match ask {
            Ask::Finish { result: Some(result), .. } => *result = self.seal_json(result),
            Ask::Append(records) => {
                for record in records {
                    record.values = Private::new(self.seal_text(record.values.expose()));
                }
            }
            _ => {}
        }
    }

    /// Opens what an answer brings from the store.
    pub fn on_the_way_out(&self, answer: &mut Answer) {
        let status = |s: &mut Status| {
            if let Some(result) = &mut s.result {
                *result = self.open_json(result);
            }
        };
        match answer {
            Answer::Status(Some(s)) => status(s),
            Answer::List(all) => all.iter_mut().for_each(status),
            Answer::Records(records) => {
                for (_, record) in records {
                    record.values = Private::new(self.open_text(record.values.expose()));
                }
            }
            Answer::Notices(notices) => {
                for notice in notices.iter_mut().filter(|n| n.body.contains(MARK)) {
                    if let Ok(mut body) = serde_json::from_str::<serde_json::Value>(&notice.body)
                        && let Some(sealed) = body["result"].as_str().map(str::to_owned)
                    {
                        let plain = self.open_text(&sealed);
                        body["result"] = serde_json::from_str(&plain).unwrap_or_default();
                        notice.body = body.to_string();
                    }
                }
            }
            _ => {}
        }
    }

    /// Seals a file where it lies.
    ///
    /// # Errors
    /// The file system's; the file is as it was then.
    pub fn seal_file(&self, path: &Path) -> std::io::Result<()> {
        let plain = std::fs::read(path)?;
        if plain.starts_with(FILE_MARK) {
            return Ok(());
        }
        let beside = path.with_extension("sealing");
        let mut octets = FILE_MARK.to_vec();
        octets.extend_from_slice(&self.seal(&plain));
        std::fs::write(&beside, octets)?;
        std::fs::rename(&beside, path)
    }

    /// Writes a file that is sealed from its first octet on.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_file(&self, path: &Path, plain: &[u8]) -> std::io::Result<()> {
        let mut octets = FILE_MARK.to_vec();
        octets.extend_from_slice(&self.seal(plain));
        std::fs::write(path, octets)
    }

    /// Reads a file, sealed or not.
    ///
    /// # Errors
    /// The file system's; `InvalidData` if it cannot be opened.
    pub fn read_file(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let octets = std::fs::read(path)?;
        match octets.strip_prefix(FILE_MARK) {
            Some(sealed) => self.open(sealed).map_err(|Broken| std::io::ErrorKind::InvalidData.into()),
            None => Ok(octets),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::order::Disposition;
    use units::OrderId;

    #[test]
    fn what_is_sealed_opens_only_whole_and_under_its_key() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal(b"4711");
        assert!(!sealed.windows(4).any(|w| w == b"4711"));
        assert_eq!(vault.open(&sealed).as_deref(), Ok(&b"4711"[..]));
        assert_eq!(Vault::new(&[8; 32]).open(&sealed), Err(Broken));
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(vault.open(&forged), Err(Broken), "octet {at}");
        }
        assert_eq!(vault.open(&sealed[..20]), Err(Broken));
    }

    #[test]
    fn results_lie_sealed_and_leave_open() {
        let vault = Vault::new(&[7; 32]);
        let mut ask = Ask::Finish {
            order: OrderId(1),
            epoch: 1,
            disposition: Disposition::Completed,
            decision: None,
            result: Some(r#"{"values":{"pin":"4711"}}"#.into()),
        };
        vault.on_the_way_in(&mut ask);
        let Ask::Finish { result: Some(lies), .. } = ask else { panic!("still a finish") };
        assert!(!lies.contains("4711") && serde_json::from_str::<serde_json::Value>(&lies).is_ok());
        assert_eq!(vault.open_json(&lies), r#"{"values":{"pin":"4711"}}"#);
        assert_eq!(vault.open_json(r#"{"values":{}}"#), r#"{"values":{}}"#, "written before there was a key");
        let body = format!(r#"{{"id":"x","result":{lies}}}"#);
        let notice = control::store::Notice {
            id: 1,
            order: OrderId(1),
            to: control::order::ResultTo::Webhook("https://a/".into()),
            seq: 1,
            body,
            tries: 0,
            due: units::Wall(0),
        };
        let mut answer = Answer::Notices(vec![notice]);
        vault.on_the_way_out(&mut answer);
        let Answer::Notices(notices) = answer else { panic!("still notices") };
        assert!(notices[0].body.contains(r#""pin":"4711""#), "{}", notices[0].body);
    }

    #[test]
    fn files_are_sealed_in_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.wav");
        std::fs::write(&path, b"RIFF voice").expect("is written");
        let vault = Vault::new(&[7; 32]);
        assert_eq!(vault.read_file(&path).expect("reads"), b"RIFF voice");
        vault.seal_file(&path).expect("is sealed");
        assert!(!std::fs::read(&path).expect("reads").windows(5).any(|w| w == b"voice"));
        vault.seal_file(&path).expect("once is enough");
        assert_eq!(vault.read_file(&path).expect("reads"), b"RIFF voice");
    }
}
