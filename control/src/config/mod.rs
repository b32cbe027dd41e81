//! `carillon.toml` as one typed struct: one section per room, unknown keys refused, values with units. Nothing else in
//! the program reads files or the environment for settings. Here the text is only read and judged; the shell finds the
//! file and resolves what names other files.

pub mod check;
pub mod dahdi;
mod place;
mod problem;
mod sections;
mod source;
mod spans;
mod tenant;
mod trunks;
mod user;
mod values;

pub use problem::{Fault, Problem};
pub use sections::*;
pub use source::{Feeds, Source};
use spans::slots_text;
pub use spans::{
    Decibels, Device, Dialing, HuntOrder, Line, LineKind, NumberType, Signalling, Slots, SwitchType,
};
pub use tenant::{Fingerprint, Key, MailTls, Network, Retries, Scope, Secret, Signer, Tenant, octets_32};
pub use trunks::{Address, Dial, Encryption, Register, Trunk, TrunkGroup};
pub use user::{Invitation, PasswordHash, Role, User};
pub use values::{BadValue, Percent, Rate, Size, Span};

use serde::Deserialize;

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The process itself.
    pub node: Node,
    /// SIP.
    pub sip: Sip,
    /// RTP and workers.
    pub media: Media,
    /// The interpreter.
    pub vxml: Vxml,
    /// Intake by mail, and status mail.
    pub smtp: Smtp,
    /// Intake by HTTP, console, webhooks.
    pub http: Http,
    /// The operator's rules.
    pub policy: Policy,
    /// Where orders are kept.
    pub store: Store,
    /// What several processes share.
    pub cluster: Cluster,
    /// Records as files.
    pub cdr: Cdr,
    /// How servers are chosen.
    pub dispatch: Dispatch,
    /// The guarded fetcher.
    pub fetch: Fetch,
    /// Third parties.
    pub tenants: Vec<Tenant>,
    /// Databases of third parties that are looked at.
    pub sources: Vec<Source>,
    /// Ways out.
    pub trunks: Vec<Trunk>,
    /// What trunks share.
    pub trunk_groups: Vec<TrunkGroup>,
    /// T1 and E1 lines.
    pub spans: Vec<Line>,
    /// Ways in.
    pub inbound: Vec<Inbound>,
    /// Synthesis and recognition.
    pub speech: Speech,
    /// Capacity of the whole.
    pub limits: Capacity,
}

/// Reads a configuration and judges it.
///
/// # Errors
/// Every problem found; a syntax error hides those behind it.
pub fn parse(file: &str, text: &str) -> Result<Config, Vec<Problem>> {
    let config: Config = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        vec![Problem { file: file.to_owned(), line, fault: Fault::Toml(Box::new(error)) }]
    })?;
    let problems: Vec<Problem> = check::faults(&config)
        .into_iter()
        .map(|(path, fault)| Problem { file: file.to_owned(), line: place::line(text, &path), fault })
        .collect();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// The line on which a key stands, for complaints that only the shell can make; 0 if it stands nowhere.
#[must_use]
pub fn line_of_key(text: &str, path: &str) -> usize {
    place::line(text, path)
}

/// What a reload can take over while calls are up, and what needs a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// Sections that changed and are now in force.
    pub taken: Vec<&'static str>,
    /// Sections that changed and wait for a restart.
    pub waiting: Vec<&'static str>,
}

impl Config {
    /// Incoming calls that may be up at a time.
    #[must_use]
    pub fn inbound_calls_max(&self) -> u64 {
        u64::from(self.limits.calls_max) * u64::from(self.limits.inbound_share.0) / 100
    }

    /// Compares with a newer text. Routes, tenants, policy and fetch rules are read afresh by each new call; sockets,
    /// threads, pools and files were sized and opened at the start.
    #[must_use]
    pub fn reload(&self, newer: &Config) -> Reload {
        let mut reload = Reload::default();
        let mut note = |changed: bool, live: bool, name| {
            if changed {
                if live { reload.taken.push(name) } else { reload.waiting.push(name) }
            }
        };
        note(self.tenants != newer.tenants, true, "tenants");
        note(self.sources != newer.sources, true, "sources");
        note(self.trunks != newer.trunks, true, "trunks");
        note(self.trunk_groups != newer.trunk_groups, true, "trunk_groups");
        note(self.spans != newer.spans, false, "spans");
        note(self.inbound != newer.inbound, true, "inbound");
        note(self.policy != newer.policy, true, "policy");
        note(self.fetch != newer.fetch, true, "fetch");
        note(self.dispatch != newer.dispatch, true, "dispatch");
        note(self.node != newer.node, false, "node");
        note(self.sip != newer.sip, false, "sip");
        note(self.media != newer.media, false, "media");
        note(self.vxml != newer.vxml, false, "vxml");
        note(self.smtp != newer.smtp, false, "smtp");
        note(self.http != newer.http, false, "http");
        note(self.store != newer.store, false, "store");
        note(self.cluster != newer.cluster, false, "cluster");
        note(self.cdr != newer.cdr, false, "cdr");
        note(self.speech != newer.speech, false, "speech");
        note(self.limits != newer.limits, false, "limits");
        reload
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    text.as_bytes()[..end].iter().filter(|&&b| b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
[sip]
listen = [\"udp:127.0.0.1:5060\"]
[[tenants]]
name = \"acme\"
id = 1
[[trunks]]
name = \"a\"
address = \"127.0.0.1:5080\"
";

    fn complaint(text: &str) -> String {
        parse("x.toml", text).expect_err("must be refused")[0].to_string()
    }

    #[test]
    fn a_small_file_is_enough() {
        let config = parse("x.toml", SMALL).expect("reads");
        assert_eq!(config.trunks[0].name, "a");
        assert_eq!(config.media.codecs, vec![units::Codec::Pcmu, units::Codec::Pcma]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_and_hint() {
        let said = complaint("[sip]\nlissten = []\n");
        assert!(said.starts_with("x.toml:2: unknown field `lissten`"), "{said}");
        assert!(said.ends_with("(did you mean `listen`?)"), "{said}");
    }

    #[test]
    fn names_must_exist_and_be_single() {
        let text = format!("{SMALL}[[inbound]]\nmatch = \"*\"\ntenant = \"amce\"\nurl = \"http://a/\"\n");
        let said = complaint(&text);
        assert_eq!(said, "x.toml:12: there is no tenant called `amce` (did you mean `acme`?)");
        let twice = format!("{SMALL}[[trunks]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n");
        assert_eq!(complaint(&twice), "x.toml:11: two trunks are called `a`");
    }

    #[test]
    fn a_bare_number_is_no_time() {
        let said = complaint("[vxml]\nfetch_timeout = \"7\"\n");
        assert!(said.contains("ms, s, m, h, d"), "{said}");
    }

    #[test]
    fn everywhere_needs_an_advertised_address() {
        let said = complaint("[sip]\nlisten = [\"udp:0.0.0.0:5060\"]\n");
        assert!(said.contains("advertised_address"), "{said}");
    }

    #[test]
    fn a_certificate_without_its_key_is_refused() {
        let said = complaint("[smtp]\ntls_certificate = \"a.pem\"\n");
        assert_eq!(said, "x.toml:2: `smtp.tls_certificate`: tls_certificate and tls_key belong together");
        assert!(parse("x.toml", "[smtp]\ntls_certificate = \"a.pem\"\ntls_key = \"a.key\"\n").is_ok());
    }

    #[test]
    fn a_reload_says_what_it_took() {
        let old = parse("x.toml", SMALL).expect("reads");
        let mut new = old.clone();
        new.trunks[0].calls_max = 3;
        new.media.workers = 9;
        assert_eq!(old.reload(&new), Reload { taken: vec!["trunks"], waiting: vec!["media"] });
    }
}
