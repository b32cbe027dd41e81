//! Who sent this mail, and what does that prove? DKIM by `mail-auth`, aligned with the author, whole, fresh, and over
//! every field that orders a call. SPF alone never authorises; an aligned DKIM pass is a DMARC pass, so DMARC adds
//! nothing where DKIM is demanded. A token or a signed manifest proves more: `control::order::proof`.

use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Signature;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};
use units::Wall;

/// A signed mail is obeyed for so long after it was signed.
const AGE_S_MAX: i64 = 3_600;
/// Clocks differ by at most so much.
const SKEW_S: i64 = 300;
/// Time for all lookups of one mail.
const LOOKUP_MAX: Duration = Duration::from_secs(10);
/// Fields that a signature must cover where they stand, beside every `Call-*`.
const COVERED: [&str; 7] =
    ["from", "to", "date", "subject", "message-id", "content-type", "content-transfer-encoding"];

/// What DKIM says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dkim {
    /// The author's domain answers for this mail as it stands.
    Proven,
    /// It does not.
    Unproven,
    /// The name service could not say: later.
    Later,
}

/// Keys that are pinned by configuration, for closed networks without a public name service.
#[derive(Clone, Default)]
pub struct Pins(HashMap<String, Arc<DomainKey>>);

impl Pins {
    /// Pins the key record of `selector._domainkey.domain`.
    ///
    /// # Errors
    /// `mail-auth`'s, if the record is none.
    pub fn pin(&mut self, name: &str, record: &str) -> Result<(), mail_auth::Error> {
        use mail_auth::common::parse::TxtRecordParser;
        let key = DomainKey::parse(record.as_bytes())?;
        self.0.insert(name.trim_end_matches('.').to_ascii_lowercase(), Arc::new(key));
        Ok(())
    }
}

impl ResolverCache<Box<str>, Txt> for Pins {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        // The trait's key can only be compared with names that we hold.
        let fits = |n: &&String| {
            let plain: Box<str> = n.as_str().into();
            let full: Box<str> = format!("{n}.").into();
            Borrow::<Q>::borrow(&plain) == name || Borrow::<Q>::borrow(&full) == name
        };
        self.0.keys().find(fits).and_then(|n| self.0.get(n)).map(|k| Txt::DomainKey(k.clone()))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

/// See the module.
#[derive(Clone)]
pub struct Prover {
    dns: Option<MessageAuthenticator>,
    pins: Pins,
}

impl Prover {
    /// With the machine's own name service, if it has one.
    #[must_use]
    pub fn new(pins: Pins) -> Self {
        let dns = MessageAuthenticator::new_system_conf()
            .map_err(|error| tracing::warn!(%error, "no name service: DKIM is judged by pinned keys only"))
            .ok();
        Self { dns, pins }
    }

    /// Judges the DKIM signatures of a mail of this author.
    pub async fn dkim(&self, raw: &[u8], author: &str, now: Wall) -> Dkim {
        let (Some(dns), Some(message)) = (&self.dns, AuthenticatedMessage::parse(raw)) else {
            return Dkim::Unproven;
        };
        let parameters = Parameters::new(&message).with_txt_cache(&self.pins);
        let Ok(outputs) = tokio::time::timeout(LOOKUP_MAX, dns.verify_dkim(parameters)).await else {
            return Dkim::Later;
        };
        let names: Vec<String> = message.headers.iter().map(|(n, _)| plain_name(n)).collect();
        let proven = outputs.iter().any(|o| {
            *o.result() == DkimResult::Pass
                && o.signature()
                    .is_some_and(|s| speaks_for(s, author) && covers(&s.h, &names) && fresh(s, now))
        });
        let later = outputs.iter().any(|o| matches!(o.result(), DkimResult::TempError(_)));
        match (proven, later) {
            (true, _) => Dkim::Proven,
            (false, true) => Dkim::Later,
            (false, false) => Dkim::Unproven,
        }
    }
}

fn plain_name(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim().to_ascii_lowercase()
}

/// The whole body, and by the author's domain or one above it.
fn speaks_for(signature: &Signature, author: &str) -> bool {
    let Some((_, domain)) = author.rsplit_once('@') else { return false };
    let (domain, d) = (domain.to_ascii_lowercase(), signature.d.to_ascii_lowercase());
    // `l=` lets anybody append to the mail.
    let aligned = domain == d || domain.ends_with(&format!(".{d}"));
    signature.l == 0 && d.contains('.') && aligned
}

/// Is each instance of each field that matters among the signed ones? A field that was added on the way is not.
fn covers(signed: &[String], names: &[String]) -> bool {
    let count = |list: &[String], name: &str| list.iter().filter(|n| n.eq_ignore_ascii_case(name)).count();
    names
        .iter()
        .filter(|n| COVERED.contains(&n.as_str()) || n.starts_with("call-"))
        .all(|n| count(signed, n) >= count(names, n))
        && count(signed, "from") > 0
}

/// Signed within the hour; a signature that does not say when proves no freshness.
fn fresh(signature: &Signature, now: Wall) -> bool {
    let now = now.0.div_euclid(1_000);
    let at = i64::try_from(signature.t).unwrap_or(i64::MAX);
    at > 0 && at <= now.saturating_add(SKEW_S) && now.saturating_sub(at) <= AGE_S_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_field_that_was_added_is_not_covered() {
        for (signed, there, expected) in [
            ("from to date subject message-id", "from to date subject message-id received", true),
            ("from to date subject", "from to date subject message-id", false),
            ("from to call-to", "from to call-to", true),
            ("from to call-to", "from to call-to call-to", false),
            ("from to call-to call-to", "from to call-to", true),
            ("From To Call-To", "from to call-to call-purpose", false),
            ("to", "to", false),
        ] {
            assert_eq!(covers(&names(signed), &names(there)), expected, "{signed} | {there}");
        }
    }
}
