//! Who sent this mail, and what does that prove? DKIM by `mail-auth`, aligned with the author, whole, fresh, and over
//! every field that orders a call; DMARC must not say that the author's domain disowns it. SPF alone never authorises,
//! and an ARC chain tells only what a forwarder saw: both are looked at and told, and raise nothing. A token or a signed
//! manifest proves more: `control::order::proof`.

use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::Signature;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimResult, DmarcResult, MessageAuthenticator, Parameters, ResolverCache,
    SpfOutput, SpfResult, Txt,
};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
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

/// What is known of a mail's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// DKIM, by our own demands.
    pub dkim: Dkim,
    /// `pass`, `fail`, … ; `none` behind a mail server, where the peer's address tells nothing.
    pub spf: &'static str,
    /// Of the author's domain.
    pub dmarc: &'static str,
    /// Of the last forwarder's seal.
    pub arc: &'static str,
}

impl Proof {
    /// Nothing was looked at.
    pub const NONE: Proof = Proof { dkim: Dkim::Unproven, spf: "none", dmarc: "none", arc: "none" };
}

/// How a mail came.
#[derive(Clone, Copy, Debug)]
pub struct Came<'a> {
    /// The author's address.
    pub author: &'a str,
    /// Reverse path of the envelope.
    pub reverse_path: &'a str,
    /// What the peer calls itself.
    pub helo: &'a str,
    /// The peer, if it is the sender's own mail server.
    pub peer: Option<IpAddr>,
    /// Our own name.
    pub host: &'a str,
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

    /// The pins of a tenant; a record that is none is left out and told.
    #[must_use]
    pub fn of(tenant: &control::config::Tenant) -> Self {
        let mut pins = Self::default();
        for (name, record) in &tenant.dkim_keys {
            if let Err(error) = pins.pin(name, record) {
                tracing::error!(tenant = tenant.name, name, %error, "a pinned DKIM key cannot be read");
            }
        }
        pins
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
}

impl Prover {
    /// With this name server, or the machine's own name service, if it has one.
    #[must_use]
    pub fn new(server: Option<SocketAddr>) -> Self {
        let made = match server {
            Some(server) => MessageAuthenticator::new(name_server(server), ResolverOpts::default()),
            None => MessageAuthenticator::new_system_conf(),
        };
        let dns = made
            .map_err(|error| tracing::warn!(%error, "no name service: no mail proves anything by DKIM"))
            .ok();
        Self { dns }
    }

    /// Judges where a mail comes from.
    pub async fn prove(&self, raw: &[u8], came: Came<'_>, pins: &Pins, now: Wall) -> Proof {
        let (Some(dns), Some(message)) = (&self.dns, AuthenticatedMessage::parse(raw)) else {
            return Proof::NONE;
        };
        let looked = tokio::time::timeout(LOOKUP_MAX, look(dns, &message, came, pins, now)).await;
        looked.unwrap_or(Proof { dkim: Dkim::Later, ..Proof::NONE })
    }
}

fn name_server(server: SocketAddr) -> ResolverConfig {
    let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
        way.port = server.port();
        way
    });
    let server = NameServerConfig::new(server.ip(), true, ways.to_vec());
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

async fn look(
    dns: &MessageAuthenticator,
    message: &AuthenticatedMessage<'_>,
    came: Came<'_>,
    pins: &Pins,
    now: Wall,
) -> Proof {
    let outputs = dns.verify_dkim(Parameters::new(message).with_txt_cache(pins)).await;
    let arc = dns.verify_arc(Parameters::new(message).with_txt_cache(pins)).await;
    let spf = match came.peer {
        Some(ip) => {
            let asked = SpfParameters::verify_mail_from(ip, came.helo, came.host, came.reverse_path);
            dns.verify_spf(asked).await
        }
        None => SpfOutput::new(String::new()),
    };
    let domain = came.reverse_path.rsplit_once('@').map_or("", |(_, d)| d);
    let dmarc = dns.verify_dmarc(DmarcParameters::new(message, &outputs, domain, &spf)).await;
    let names: Vec<String> = message.headers.iter().map(|(n, _)| plain_name(n)).collect();
    let proven = outputs.iter().any(|o| {
        *o.result() == DkimResult::Pass
            && o.signature()
                .is_some_and(|s| speaks_for(s, came.author) && covers(&s.h, &names) && fresh(s, now))
    });
    // RFC 7489 §6.6.2: one aligned pass is enough; without a record the domain demands nothing.
    let passes = *dmarc.dkim_result() == DmarcResult::Pass || *dmarc.spf_result() == DmarcResult::Pass;
    let disowned = dmarc.dmarc_record().is_some() && *dmarc.dkim_result() != DmarcResult::Pass;
    let later = outputs.iter().any(|o| matches!(o.result(), DkimResult::TempError(_)))
        || matches!(dmarc.dkim_result(), DmarcResult::TempError(_));
    let dkim = match (proven && !disowned, later) {
        (true, _) => Dkim::Proven,
        (false, true) => Dkim::Later,
        (false, false) => Dkim::Unproven,
    };
    let dmarc = match (dmarc.dmarc_record().is_some(), passes) {
        (false, _) => "none",
        (true, true) => "pass",
        (true, false) => "fail",
    };
    Proof { dkim, spf: spf_word(spf.result(), came.peer), dmarc, arc: dkim_word(arc.result()) }
}

fn spf_word(result: SpfResult, peer: Option<IpAddr>) -> &'static str {
    match result {
        _ if peer.is_none() => "none",
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

fn dkim_word(result: &DkimResult) -> &'static str {
    match result {
        DkimResult::Pass => "pass",
        DkimResult::Neutral(_) => "neutral",
        DkimResult::Fail(_) => "fail",
        DkimResult::PermError(_) => "permerror",
        DkimResult::TempError(_) => "temperror",
        DkimResult::None => "none",
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
