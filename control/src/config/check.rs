//! What is wrong with a configuration although each value by itself can be read: values that nobody could serve by, and
//! keys that contradict each other. Each fault carries the path of its key, so that its line is found.

use super::tenant::Secret;
use super::{Config, Encryption, Fault, Inbound, Tenant};
use crate::order::number;
use crate::order::request::is_address;
use crate::policy::{house, packs, zones};
use signalling::leg::Transport;
use std::collections::BTreeSet;

/// Octets of a key or a secret, at least.
const KEY_BYTES_MIN: usize = 8;
const WEBHOOK_SECRET_BYTES_MIN: usize = 16;
/// RTP ports a call takes: RTP and RTCP.
const PORTS_A_CALL: u32 = 2;

/// Every fault with the path of its key.
pub(super) fn faults(config: &Config) -> Vec<(String, Fault)> {
    let mut found = Found(Vec::new());
    names(config, &mut found);
    sip_and_media(config, &mut found);
    doors(config, &mut found);
    policy(config, &mut found);
    for (i, tenant) in config.tenants.iter().enumerate() {
        tenant_faults(tenant, &format!("tenants[{i}]"), &mut found);
    }
    ways(config, &mut found);
    sources(config, &mut found);
    speech(config, &mut found);
    config.span_faults(&mut found.0);
    found.0
}

/// Faults of one tenant that came by the API: paths begin at the tenant.
#[must_use]
pub fn of_tenant(tenant: &Tenant) -> Vec<(String, Fault)> {
    let mut found = Found(Vec::new());
    tenant_faults(tenant, "", &mut found);
    found.0.into_iter().map(|(path, fault)| (path.trim_start_matches('.').to_owned(), fault)).collect()
}

struct Found(Vec<(String, Fault)>);

impl Found {
    fn range(&mut self, bad: bool, path: impl Into<String>, key: &'static str, allowed: &'static str) {
        if bad {
            self.0.push((path.into(), Fault::Range(key, allowed)));
        }
    }

    fn against(&mut self, bad: bool, path: impl Into<String>, key: &'static str, why: &'static str) {
        if bad {
            self.0.push((path.into(), Fault::Against(key, why)));
        }
    }
}

fn names(config: &Config, found: &mut Found) {
    unique("trunks", config.trunks.iter().map(|t| t.name.clone()), found);
    unique("trunk_groups", config.trunk_groups.iter().map(|g| g.name.clone()), found);
    unique("tenants", config.tenants.iter().map(|t| t.name.to_ascii_lowercase()), found);
    let mut ids = BTreeSet::new();
    for (i, t) in config.tenants.iter().enumerate() {
        let twice = !ids.insert(t.id);
        found.against(twice, format!("tenants[{i}].id"), "tenants.id", "another tenant has this number");
    }
    let groups: Vec<String> = config.trunk_groups.iter().map(|g| g.name.clone()).collect();
    let both = config.trunks.iter().map(|t| &t.name).chain(&groups);
    let trunks: Vec<String> = both.cloned().collect();
    let tenants: Vec<String> = config.tenants.iter().map(|t| t.name.clone()).collect();
    for (i, tenant) in config.tenants.iter().enumerate() {
        for (j, name) in tenant.trunks.iter().enumerate().filter(|(_, n)| !trunks.contains(n)) {
            let fault = Fault::NoSuch("trunk", name.as_str().into(), trunks.clone());
            found.0.push((format!("tenants[{i}].trunks[{j}]"), fault));
        }
    }
    for (i, trunk) in config.trunks.iter().enumerate() {
        // A tenant names trunks and groups in one list.
        let twice = groups.contains(&trunk.name);
        found.against(twice, format!("trunks[{i}].name"), "trunks.name", "a group is called so, too");
        if let Some(group) = trunk.group.as_ref().filter(|g| !groups.contains(g)) {
            let fault = Fault::NoSuch("trunk group", group.as_str().into(), groups.clone());
            found.0.push((format!("trunks[{i}].group"), fault));
        }
    }
    for (i, inbound) in config.inbound.iter().enumerate() {
        for (j, name) in inbound.trunks.iter().enumerate().filter(|(_, n)| !trunks.contains(n)) {
            let fault = Fault::NoSuch("trunk", name.as_str().into(), trunks.clone());
            found.0.push((format!("inbound[{i}].trunks[{j}]"), fault));
        }
    }
    for (i, inbound) in config.inbound.iter().enumerate().filter(|(_, x)| !tenants.contains(&x.tenant)) {
        let fault = Fault::NoSuch("tenant", inbound.tenant.as_str().into(), tenants.clone());
        found.0.push((format!("inbound[{i}].tenant"), fault));
    }
}

fn unique(kind: &'static str, names: impl Iterator<Item = String>, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        if !seen.insert(name.clone()) {
            found.0.push((format!("{kind}[{i}].name"), Fault::Twice(kind, name.into())));
        }
    }
}

fn speech(config: &Config, found: &mut Found) {
    let speech = &config.speech;
    for (i, place) in speech.farm.iter().enumerate() {
        let fine = match place.split_once(':') {
            Some(("tls", address)) => is_host_port(address),
            Some(("unix", path)) => !path.is_empty(),
            _ => false,
        };
        found.range(
            !fine,
            format!("speech.farm[{i}]"),
            "speech.farm",
            "like \"tls:host:port\" or \"unix:path\"",
        );
    }
    let papers = [&speech.farm_certificate, &speech.farm_key, &speech.farm_authorities];
    let lacks = papers.iter().any(|p| p.is_none()) && speech.farm.iter().any(|f| f.starts_with("tls:"));
    let why = "a farm by tls: needs farm_certificate, farm_key and farm_authorities";
    found.against(lacks, "speech.farm", "speech.farm", why);
    unique("speech.mrcp", config.speech.mrcp.iter().map(|m| m.name.clone()), found);
    for (i, engine) in config.speech.mrcp.iter().enumerate() {
        let at = |key: &str| format!("speech.mrcp[{i}].{key}");
        found.range(engine.name.is_empty(), at("name"), "speech.mrcp.name", "a name");
        found.range(
            !is_host_port(&engine.address),
            at("address"),
            "speech.mrcp.address",
            "a host with its port",
        );
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
        let user = !engine.user.is_empty() && engine.user.chars().all(plain);
        found.range(!user, at("user"), "speech.mrcp.user", "letters, digits, -, _, ., +");
        found.range(engine.sessions_max == 0, at("sessions_max"), "speech.mrcp.sessions_max", "1 or more");
        let idle = !engine.recognises && !engine.speaks;
        found.against(
            idle,
            at("speaks"),
            "speech.mrcp.speaks",
            "an engine that neither recognises nor speaks",
        );
        let unknown = engine.tls && engine.tls_authorities.is_none();
        let why = "with tls, tls_authorities must say whose certificates are believed";
        found.against(unknown, at("tls"), "speech.mrcp.tls", why);
    }
}

fn sip_and_media(config: &Config, found: &mut Found) {
    let sip = &config.sip;
    found.range(sip.listen.is_empty(), "sip.listen", "sip.listen", "a list with at least one address");
    let everywhere = sip.listen.first().is_some_and(|l| l.addr.ip().is_unspecified());
    found.against(
        everywhere && sip.advertised_address.is_none(),
        "sip.listen",
        "sip.listen",
        "listening on every address, peers must be told which one to use: set advertised_address",
    );
    let tls = sip.listen.iter().position(|l| l.transport == Transport::Tls);
    if let (Some(at), None) = (tls, &sip.tls_certificate) {
        let why = "a tls: listener needs tls_certificate and tls_key";
        found.against(true, format!("sip.listen[{at}]"), "sip.listen", why);
    }
    let media = &config.media;
    let [low, high] = media.rtp_ports;
    let allowed = "[low, high] with 1024 <= low < high";
    found.range(low < 1_024 || high <= low, "media.rtp_ports", "media.rtp_ports", allowed);
    let ports = u32::from(high.saturating_sub(low)) + 1;
    found.against(
        high > low && ports / PORTS_A_CALL < config.limits.calls_max,
        "media.rtp_ports",
        "media.rtp_ports",
        "too few: a call takes two, and limits.calls_max allows more calls than that",
    );
    found.range(media.workers > 256, "media.workers", "media.workers", "at most 256");
    found.range(media.codecs.is_empty(), "media.codecs", "media.codecs", "a list of pcmu, pcma, g722");
    let secret = config.cluster.secret.as_ref().is_some_and(|s| s.expose().len() < 16);
    found.range(secret, "cluster.secret", "cluster.secret", "at least 16 characters");
    let shares = config.dispatch.shares.len();
    found.range(!matches!(shares, 1 | 10), "dispatch.shares", "dispatch.shares", "one share, or ten");
    found.range(config.cdr.rows_max == 0, "cdr.rows_max", "cdr.rows_max", "at least 1");
    let limits = &config.limits;
    found.range(limits.calls_max == 0, "limits.calls_max", "limits.calls_max", "at least 1");
    found.range(
        limits.calls_rate.milli_hz == 0,
        "limits.calls_rate",
        "limits.calls_rate",
        "more than nothing",
    );
}

fn doors(config: &Config, found: &mut Found) {
    let pairs = [
        ("sip.tls_certificate", &config.sip.tls_certificate, &config.sip.tls_key),
        ("smtp.tls_certificate", &config.smtp.tls_certificate, &config.smtp.tls_key),
        ("http.tls_certificate", &config.http.tls_certificate, &config.http.tls_key),
    ];
    for (key, certificate, private) in pairs {
        let path = if certificate.is_some() { key.to_owned() } else { key.replace("certificate", "key") };
        let alone = certificate.is_some() != private.is_some();
        found.against(alone, path, key, "tls_certificate and tls_key belong together");
    }
    let http = &config.http;
    found.against(
        http.client_ca.is_some() && http.tls_certificate.is_none(),
        "http.client_ca",
        "http.client_ca",
        "client certificates are asked for under TLS only: set tls_certificate and tls_key",
    );
    let short =
        http.operator_key.as_ref().is_some_and(|k| k.plain().is_some_and(|k| k.len() < KEY_BYTES_MIN));
    found.range(short, "http.operator_key", "http.operator_key", "at least 8 characters");
    let public = http.public_url.as_deref().is_none_or(is_web);
    let allowed = "an address that begins with https:// or http://";
    found.range(!public, "http.public_url", "http.public_url", allowed);
    let smtp = &config.smtp;
    let host = smtp.smarthost.as_deref().is_none_or(is_host_port);
    found.range(!host, "smtp.smarthost", "smtp.smarthost", "a host with its port, such as \"127.0.0.1:25\"");
    found.range(!is_address(&smtp.from), "smtp.from", "smtp.from", "a mail address");
    found.range(!is_host(&smtp.hostname), "smtp.hostname", "smtp.hostname", "a host name");
    found.range(smtp.message_max.bytes < 1_024, "smtp.message_max", "smtp.message_max", "at least 1KB");
    let url = &config.store.url;
    let known = ["sqlite:", "postgres://", "postgresql://"]
        .iter()
        .any(|s| url.strip_prefix(s).is_some_and(|r| !r.is_empty()));
    found.range(!known, "store.url", "store.url", "sqlite:/path/to/file or postgres://…");
    for (i, network) in config.fetch.allow_networks.iter().enumerate() {
        let bad = network.parse::<super::Network>().is_err();
        let (path, allowed) = (format!("fetch.allow_networks[{i}]"), "networks such as 10.1.0.0/16");
        found.range(bad, path, "fetch.allow_networks", allowed);
    }
    for (name, target) in &config.vxml.applications {
        let path = format!("vxml.applications.{name}");
        found.range(
            !is_web(target),
            path,
            "vxml.applications",
            "addresses that begin with https:// or http://",
        );
    }
}

fn policy(config: &Config, found: &mut Found) {
    let policy = &config.policy;
    let (path, allowed) = ("policy.zone", "a time zone of the IANA database, such as \"Europe/Berlin\"");
    found.range(!zones::is_zone(&policy.zone), path, path, allowed);
    for (key, list) in
        [("policy.allow_prefixes", &policy.allow_prefixes), ("policy.deny_prefixes", &policy.deny_prefixes)]
    {
        for (i, prefix) in list.iter().enumerate() {
            found.range(
                !is_prefix(prefix),
                format!("{key}[{i}]"),
                key,
                "beginnings such as \"+1\" or \"sip:\"",
            );
        }
    }
    for (i, pack) in policy.packs.iter().enumerate().filter(|(_, p)| !packs::NAMES.contains(&p.as_str())) {
        let known = packs::NAMES.iter().map(|n| (*n).to_owned()).collect();
        found.0.push((format!("policy.packs[{i}]"), Fault::NoSuch("pack", pack.as_str().into(), known)));
    }
    let hour = policy.ledger.ms < crate::limits::HOUR_MS;
    found.range(hour, "policy.ledger", "policy.ledger", "at least 1h");
    found.range(policy.attempts_max == 0, "policy.attempts_max", "policy.attempts_max", "at least 1");
    let ring = policy.ring_max.ms;
    found.range(!(1_000..=300_000).contains(&ring), "policy.ring_max", "policy.ring_max", "from 1s to 5m");
}

fn tenant_faults(t: &Tenant, at: &str, found: &mut Found) {
    let path = |key: &str| format!("{at}.{key}");
    let name = !t.name.is_empty()
        && t.name.len() <= 64
        && t.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    found.range(
        !name,
        path("name"),
        "tenants.name",
        "letters, figures, - and _: it stands in mail addresses",
    );
    found.range(t.mail_level_min > 3, path("mail_level_min"), "tenants.mail_level_min", "0, 1, 2 or 3");
    for (i, id) in t.caller_ids.iter().enumerate() {
        let bad = number::callee(id.expose(), None).is_err();
        let allowed = "numbers with + and the country code, or sip: addresses";
        found.range(bad, path(&format!("caller_ids[{i}]")), "tenants.caller_ids", allowed);
    }
    for (i, from) in t.mail_from.iter().enumerate() {
        let from = from.expose();
        let fine = is_address(from) || from.strip_prefix('@').is_some_and(is_host);
        let allowed = "addresses, or domains such as \"@example.com\"";
        found.range(!fine, path(&format!("mail_from[{i}]")), "tenants.mail_from", allowed);
    }
    let short = t.webhook_secret.as_ref().is_some_and(|s| secret_len(s.expose()) < WEBHOOK_SECRET_BYTES_MIN);
    let allowed = "at least 16 octets (24 or more in base64 after whsec_)";
    found.range(short, path("webhook_secret"), "tenants.webhook_secret", allowed);
    for (name, key) in &t.keys {
        let short = matches!(&key.secret, Secret::Plain(k) if k.expose().len() < KEY_BYTES_MIN);
        found.range(short, path(&format!("keys.{name}")), "tenants.keys", "at least 8 characters each");
    }
    let hours = t.hours.as_deref().is_none_or(|h| house::hours(h).is_ok());
    found.range(
        !hours,
        path("hours"),
        "tenants.hours",
        "spans such as \"08:00-21:00\" or \"mon-fri 09:00-18:00; sat 10:00-14:00\"",
    );
    for (i, prefix) in t.applications.iter().enumerate() {
        let allowed = "beginnings such as \"https://ivr.example.com/\" or \"app:\"";
        let fine = is_web(prefix) || prefix.starts_with("app:") || prefix.starts_with("cid:");
        found.range(!fine, path(&format!("applications[{i}]")), "tenants.applications", allowed);
    }
    found.range(t.orders_rate.milli_hz == 0, path("orders_rate"), "tenants.orders_rate", "more than nothing");
    found.range(
        t.requests_rate.milli_hz == 0,
        path("requests_rate"),
        "tenants.requests_rate",
        "more than nothing",
    );
    found.range(
        t.retries.attempts_max == Some(0),
        path("retries.attempts_max"),
        "tenants.retries.attempts_max",
        "at least 1",
    );
}

fn sources(config: &Config, found: &mut Found) {
    let tenants: Vec<String> = config.tenants.iter().map(|t| t.name.clone()).collect();
    unique("sources", config.sources.iter().map(|s| s.name.clone()), found);
    for (i, source) in config.sources.iter().enumerate() {
        let path = |key: &str| format!("sources[{i}].{key}");
        if !tenants.contains(&source.tenant) {
            let fault = Fault::NoSuch("tenant", source.tenant.as_str().into(), tenants.clone());
            found.0.push((path("tenant"), fault));
        }
        let fits = source.is_postgres() || is_web(source.url.expose());
        found.range(!fits, path("url"), "sources.url", "https://… or postgres://…");
        let queried = source.is_postgres() != source.query.is_some();
        found.against(
            queried,
            path("query"),
            "sources.query",
            "postgres:// needs a query, and nothing else has one",
        );
        found.range(source.every.ms < 1_000, path("every"), "sources.every", "at least 1s");
        let more = source.feeds == super::Feeds::Customers && !source.order.is_empty();
        found.against(more, path("order"), "sources.order", "only rows that are orders share its fields");
    }
}

/// Faults of one route for incoming calls that came by the API: paths begin at the route.
#[must_use]
pub fn of_route(route: &Inbound) -> Vec<(String, Fault)> {
    let mut found = Found(Vec::new());
    route_faults(route, "", &mut found);
    found.0.into_iter().map(|(path, fault)| (path.trim_start_matches('.').to_owned(), fault)).collect()
}

fn route_faults(inbound: &Inbound, at: &str, found: &mut Found) {
    let path = |key: &str| format!("{at}.{key}");
    let url = is_web(&inbound.url);
    found.range(!url, path("url"), "inbound.url", "an address that begins with https:// or http://");
    let why = "a time zone of the IANA database, such as \"Europe/Berlin\"";
    let zone = inbound.zone.as_deref().is_none_or(zones::is_zone);
    found.range(!zone, path("zone"), "inbound.zone", why);
    let hours = inbound.hours.as_deref().is_none_or(|h| house::hours(h).is_ok());
    let why = "spans such as \"08:00-21:00\" or \"mon-fri 09:00-18:00; sat 10:00-14:00\"";
    found.range(!hours, path("hours"), "inbound.hours", why);
}

fn ways(config: &Config, found: &mut Found) {
    for (i, inbound) in config.inbound.iter().enumerate() {
        route_faults(inbound, &format!("inbound[{i}]"), found);
    }
    let reserved: u64 = config.inbound.iter().map(|route| u64::from(route.reserve)).sum();
    if let Some(at) = config.inbound.iter().position(|route| route.reserve > 0) {
        let why = "more is kept free than limits.inbound_share lets in";
        let much = reserved > config.inbound_calls_max();
        found.against(much, format!("inbound[{at}].reserve"), "inbound.reserve", why);
    }
    for (i, trunk) in config.trunks.iter().enumerate() {
        let bad = trunk.caller_id.as_ref().is_some_and(|id| !is_caller_id(id.expose()));
        let allowed = "a number with + and the country code, or a sip: address";
        found.range(bad, format!("trunks[{i}].caller_id"), "trunks.caller_id", allowed);
        found.range(
            trunk.rate.milli_hz == 0,
            format!("trunks[{i}].rate"),
            "trunks.rate",
            "more than nothing",
        );
        let (at, why) = (
            format!("trunks[{i}].srtp"),
            "its keys would go in the clear: set transport = \"tls\", or srtp_keys_in_clear = true",
        );
        let clear = trunk.transport != Some(Transport::Tls) && !trunk.srtp_keys_in_clear;
        found.against(trunk.srtp != Encryption::Refused && clear, &at, "trunks.srtp", why);
        let line = trunk.is_line() && trunk.srtp != Encryption::Refused;
        found.against(line, at, "trunks.srtp", "a line carries no packets");
        let often = trunk.probe.ms > 0 && trunk.probe.ms < 1_000;
        found.range(often, format!("trunks[{i}].probe"), "trunks.probe", "0s, or at least 1s");
        let user = |r: &super::Register| r.user.is_some() || trunk.user.is_some();
        let nameless = trunk.register.as_ref().is_some_and(|r| !user(r));
        let allowed = "with a user, here or as the trunk's";
        found.range(nameless, format!("trunks[{i}].register"), "trunks.register", allowed);
    }
}

/// What a trunk shows may be a short internal number, too.
fn is_caller_id(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (!digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        || text.starts_with("sip:")
        || text.starts_with("sips:")
}

fn is_prefix(text: &str) -> bool {
    text.starts_with("sip:")
        || text.starts_with("sips:")
        || text.strip_prefix('+').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()))
}

fn is_web(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|u| matches!(u.scheme(), "https" | "http") && u.host_str().is_some_and(|h| !h.is_empty()))
}

fn is_host(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    !text.is_empty()
        && text.len() <= 253
        && text.chars().all(fits)
        && !text.starts_with('.')
        && !text.contains("..")
}

fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_fits = bracketed.map_or_else(|| is_host(host), |h| h.parse::<std::net::Ipv6Addr>().is_ok());
    host_fits && port.parse::<u16>().is_ok_and(|p| p > 0)
}

/// Octets of a webhook secret: what stands behind `whsec_` is base64.
fn secret_len(text: &str) -> usize {
    use base64::Engine;
    match text.strip_prefix("whsec_") {
        Some(rest) => base64::engine::general_purpose::STANDARD.decode(rest).map_or(0, |octets| octets.len()),
        None => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    fn check(text: &str, expected: &str) {
        let said = parse("x.toml", text).map(|_| ()).expect_err(text);
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert!(said.len() == 1 && said[0].contains(expected), "{text}\n{said:?}\nwanted {expected}");
    }

    #[test]
    fn values_that_nobody_could_serve_by_are_refused_with_their_line() {
        check("[policy]\nzone = \"Mars/Base\"\n", "x.toml:2: `policy.zone` must be a time zone");
        check(
            "[[trunks]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\nsrtp = \"required\"\n",
            "x.toml:4: `trunks.srtp`: its keys would go in the clear",
        );
        check("[sip]\nlisten = [\"tls:127.0.0.1:5061\"]\n", "x.toml:2: `sip.listen`: a tls: listener needs");
        check("[media]\nrtp_ports = [20000, 20009]\n", "x.toml:2: `media.rtp_ports`: too few");
        check(
            "[smtp]\nsmarthost = \"nonsense\"\n",
            "x.toml:2: `smtp.smarthost` must be a host with its port",
        );
        check("[smtp]\nfrom = \"me\"\n", "x.toml:2: `smtp.from`");
        check("[speech]\nfarm = [\"host:7001\"]\n", "x.toml:2: `speech.farm` must be like");
        check("[speech]\nfarm = [\"tls:host:7001\"]\n", "x.toml:2: `speech.farm`: a farm by tls:");
        let engine = "[[speech.mrcp]]\nname = \"n\"\naddress = \"engine:5060\"\n";
        check("[[speech.mrcp]]\nname = \"n\"\naddress = \"engine\"\n", "x.toml:3: `speech.mrcp.address`");
        check(&format!("{engine}tls = true\n"), "x.toml:4: `speech.mrcp.tls`");
        check(&format!("{engine}recognises = false\n"), "`speech.mrcp.speaks`");
        check(&format!("{engine}{engine}"), "x.toml:5");
        check("[store]\nurl = \"mysql://x\"\n", "x.toml:2: `store.url`");
        check(
            "[fetch]\nallow_networks = [\"10.0.0.0/8\",\n\"nonsense\"]\n",
            "x.toml:3: `fetch.allow_networks`",
        );
        check(
            "[policy]\npacks = [\"uss\"]\n",
            "x.toml:2: there is no pack called `uss` (did you mean `us`?)",
        );
        check("[policy]\nallow_prefixes = [\"hello\"]\n", "x.toml:2: `policy.allow_prefixes`");
        check("[http]\noperator_key = \"root\"\n", "x.toml:2: `http.operator_key` must be at least 8");
        check("[http]\nclient_ca = \"ca.pem\"\n", "x.toml:2: `http.client_ca`");
        check("[vxml]\napplications = { a = \"nonsense\" }\n", "x.toml:2: `vxml.applications`");
    }

    #[test]
    fn tenants_are_looked_at_one_by_one() {
        let of = |more: &str| {
            format!("[[tenants]]\nname = \"first\"\nid = 1\n[[tenants]]\nname = \"b\"\nid = 2\n{more}\n")
        };
        check(&of("mail_level_min = 9"), "x.toml:7: `tenants.mail_level_min` must be 0, 1, 2 or 3");
        check(&of("caller_ids = [\"+12125550100\", \"hello\"]"), "x.toml:7: `tenants.caller_ids`");
        check(&of("webhook_secret = \"short\""), "x.toml:7: `tenants.webhook_secret`");
        check(&of("webhook_secret = \"whsec_AAAA\""), "x.toml:7: `tenants.webhook_secret`");
        check(&of("keys = { a = \"long enough\", b = \"short\" }"), "x.toml:7: `tenants.keys`");
        check(&of("hours = \"noon\""), "x.toml:7: `tenants.hours`");
        check(&of("mail_from = [\"nonsense\"]"), "x.toml:7: `tenants.mail_from`");
        check(&of("[[tenants]]\nname = \"B\"\nid = 3"), "x.toml:8: two tenants are called `b`");
        check(&of("[[tenants]]\nname = \"c\"\nid = 1"), "x.toml:9: `tenants.id`: another tenant");
        check(
            &of("[[inbound]]\nmatch = \"*\"\ntenant = \"b\"\nurl = \"nonsense\""),
            "x.toml:10: `inbound.url`",
        );
    }
}
