//! `carillon.toml` as one typed struct: one section per room, unknown keys refused, values with units. Nothing else in
//! the program reads files or the environment for settings. Here the text is only read and judged; the shell finds the
//! file and resolves what names other files.

mod problem;
mod sections;
mod trunks;
mod values;

pub use problem::{Fault, Problem};
pub use sections::*;
pub use trunks::{Address, Dial, Register, Trunk, TrunkGroup};
pub use values::{BadValue, Percent, Rate, Size, Span};

use serde::Deserialize;
use std::collections::BTreeSet;

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
    /// The guarded fetcher.
    pub fetch: Fetch,
    /// Third parties.
    pub tenants: Vec<Tenant>,
    /// Ways out.
    pub trunks: Vec<Trunk>,
    /// What trunks share.
    pub trunk_groups: Vec<TrunkGroup>,
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
    let problems: Vec<Problem> = config
        .faults()
        .into_iter()
        .map(|(needle, fault)| Problem { file: file.to_owned(), line: find_line(text, &needle), fault })
        .collect();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
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
        note(self.trunks != newer.trunks, true, "trunks");
        note(self.trunk_groups != newer.trunk_groups, true, "trunk_groups");
        note(self.inbound != newer.inbound, true, "inbound");
        note(self.policy != newer.policy, true, "policy");
        note(self.fetch != newer.fetch, true, "fetch");
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

    /// Faults that only show when keys are seen together, each with a text to find its line by.
    fn faults(&self) -> Vec<(String, Fault)> {
        let mut faults = Vec::new();
        // A tenant names both kinds in one list.
        let ways = self.trunks.iter().map(|t| t.name.as_str());
        unique("trunks", ways.chain(self.trunk_groups.iter().map(|g| g.name.as_str())), &mut faults);
        unique("tenants", self.tenants.iter().map(|t| t.name.as_str()), &mut faults);
        self.address_faults(&mut faults);
        self.pair_faults(&mut faults);
        self.reference_faults(&mut faults);
        self.hour_faults(&mut faults);
        self.range_faults(&mut faults);
        faults
    }

    fn address_faults(&self, faults: &mut Vec<(String, Fault)>) {
        let everywhere = self.sip.listen.first().is_some_and(|l| l.addr.ip().is_unspecified());
        if everywhere && self.sip.advertised_address.is_none() {
            let why =
                "listening on every address, peers must be told which one to use: set advertised_address";
            faults.push(("listen".to_owned(), Fault::Against("sip.listen", why)));
        }
    }

    fn pair_faults(&self, faults: &mut Vec<(String, Fault)>) {
        let pairs = [
            ("sip.tls_certificate", &self.sip.tls_certificate, &self.sip.tls_key),
            ("smtp.tls_certificate", &self.smtp.tls_certificate, &self.smtp.tls_key),
        ];
        for (key, certificate, private) in pairs {
            if certificate.is_some() != private.is_some() {
                let why = "tls_certificate and tls_key belong together";
                faults.push(("tls_".to_owned(), Fault::Against(key, why)));
            }
        }
    }

    fn reference_faults(&self, faults: &mut Vec<(String, Fault)>) {
        let groups: Vec<String> = self.trunk_groups.iter().map(|g| g.name.clone()).collect();
        let trunks: Vec<String> =
            self.trunks.iter().map(|t| t.name.clone()).chain(groups.iter().cloned()).collect();
        let tenants: Vec<String> = self.tenants.iter().map(|t| t.name.clone()).collect();
        for (name, known, kind) in self
            .tenants
            .iter()
            .flat_map(|t| t.trunks.iter().map(|n| (n, &trunks, "trunk")))
            .chain(self.inbound.iter().map(|i| (&i.tenant, &tenants, "tenant")))
            .chain(self.inbound.iter().flat_map(|i| i.trunks.iter().map(|n| (n, &trunks, "trunk"))))
            .chain(self.trunks.iter().filter_map(|t| Some((t.group.as_ref()?, &groups, "trunk group"))))
        {
            if !known.contains(name) {
                let fault = Fault::NoSuch(kind, name.as_str().into(), known.clone());
                faults.push((format!("\"{name}\""), fault));
            }
        }
    }

    fn hour_faults(&self, faults: &mut Vec<(String, Fault)>) {
        for route in &self.inbound {
            let zone = route.zone.as_ref().filter(|zone| !crate::policy::zones::is_zone(zone));
            if let Some(zone) = zone {
                let why = "no such time zone: write a name such as Europe/Berlin";
                faults.push((format!("\"{zone}\""), Fault::Against("inbound.zone", why)));
            }
            let bad = route.hours.as_ref().filter(|text| crate::policy::house::hours(text).is_err());
            if let Some(text) = bad {
                let why = "hours are written `08:00-21:00` or `mon-fri 08:00-21:00; sat 10:00-14:00`";
                faults.push((format!("\"{text}\""), Fault::Against("inbound.hours", why)));
            }
        }
    }

    fn range_faults(&self, faults: &mut Vec<(String, Fault)>) {
        let mut wrong = |bad: bool, find: &str, key, allowed| {
            if bad {
                faults.push((find.to_owned(), Fault::Range(key, allowed)));
            }
        };
        let [low, high] = self.media.rtp_ports;
        wrong(
            low < 1_024 || high <= low,
            "rtp_ports",
            "media.rtp_ports",
            "[low, high] with 1024 <= low < high",
        );
        let secret = self.cluster.secret.as_ref().map(|s| s.expose().len());
        wrong(secret.is_some_and(|n| n < 16), "secret", "cluster.secret", "at least 16 characters");
        wrong(self.cdr.rows_max == 0, "rows_max", "cdr.rows_max", "at least 1");
        wrong(self.limits.calls_max == 0, "calls_max", "limits.calls_max", "at least 1");
        wrong(self.media.workers > 256, "workers", "media.workers", "at most 256");
        wrong(self.media.codecs.is_empty(), "codecs", "media.codecs", "a list of pcmu, pcma, g722");
        let short = |span: Span| span.ms > 0 && span.ms < 1_000;
        wrong(self.trunks.iter().any(|t| short(t.probe)), "probe", "trunks.probe", "0s, or at least 1s");
        let nameless =
            |t: &Trunk| t.register.as_ref().is_some_and(|r| r.user.as_ref().or(t.user.as_ref()).is_none());
        wrong(
            self.trunks.iter().any(nameless),
            "register",
            "trunks.register",
            "with a user, here or as the trunk's",
        );
        wrong(self.sip.listen.is_empty(), "[sip]", "sip.listen", "a list with at least one address");
    }
}

fn unique<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>, faults: &mut Vec<(String, Fault)>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            faults.push((format!("\"{name}\""), Fault::Twice(kind, name.into())));
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    text.as_bytes()[..end].iter().filter(|&&b| b == b'\n').count() + 1
}

/// The last line that holds a text (a doubled name is complained about where it stands the second time).
fn find_line(text: &str, needle: &str) -> usize {
    let hit = |line: &str| !line.trim_start().starts_with('#') && line.contains(needle);
    text.lines().enumerate().filter(|(_, l)| hit(l)).last().map_or(0, |(i, _)| i + 1)
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
