//! What the configuration says about intake, made ready for use.

use control::config::{self, Config};
use control::limits::{MailLimits, OrderLimits, PolicyLimits};
use control::order::canon;
use control::order::mailbox::Directory;
use control::order::stop::StopKey;
use control::policy::ledger;
use control::policy::packs::pack;
use control::policy::window::BadSpan;
use control::policy::{Rules, house};
use control::queue::RetryTable;
use std::collections::HashMap;
use std::sync::Arc;
use units::{Private, TenantId};

/// What the configuration says about intake, made ready for use. Exchanged whole on reload.
#[derive(Debug)]
pub struct Settings {
    /// Tenants by number.
    pub tenants: HashMap<TenantId, Tenant>,
    /// SHA-256 of a key -> whose it is, and its name.
    pub keys: HashMap<[u8; 32], (TenantId, String)>,
    /// The operator's key.
    pub operator_key: Option<config::Key>,
    /// SHA-256 of a client certificate -> whose it is.
    pub certificates: HashMap<[u8; 32], TenantId>,
    /// Proxies whose word on the peer's address is believed.
    pub trusted_proxies: Vec<config::Network>,
    /// Our mail addresses.
    pub directory: Arc<Directory>,
    /// Sender of our own mails.
    pub sender: String,
    /// Plain `http:` is allowed for applications and results.
    pub http_allowed: bool,
    /// Zone of callees of whom nothing is known.
    pub home_zone: String,
    /// Bounds of an order.
    pub order: OrderLimits,
    /// Bounds of a mail.
    pub mail: MailLimits,
    /// Bounds of policy.
    pub policy: PolicyLimits,
    /// Orders that may wait, all tenants.
    pub orders_waiting_max: u32,
    /// Whom transfers may reach without being counted.
    pub agents: Vec<Private<String>>,
    /// Names of the registered applications.
    pub applications: Vec<String>,
    /// How customers and third parties reach us by the web: `https://host`, without a slash at its end; empty: unknown.
    pub public_url: String,
    /// The host of our mail addresses; none: no mail comes in.
    pub mail_host: Option<String>,
    /// Cookies of the pages travel by TLS only.
    pub cookies_secure: bool,
    /// Ways out, and what they share.
    pub trunks: (Vec<config::Trunk>, Vec<config::TrunkGroup>),
}

/// A tenant, made ready for use.
#[derive(Debug)]
pub struct Tenant {
    /// As configured.
    pub config: config::Tenant,
    /// The rules its orders are judged by.
    pub rules: Rules,
    /// What follows its failed attempts.
    pub retries: RetryTable,
    /// One of its rules asks the ledger.
    pub asks_ledger: bool,
}

/// Why settings cannot be made of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// A tenant's hours cannot be read.
    #[error("hours of tenant `{tenant}`: {why}")]
    Hours {
        /// Whose.
        tenant: String,
        /// What is wrong.
        why: BadSpan,
    },
    /// There is no such pack of regulation.
    #[error("no pack `{0}`; there are: us")]
    NoPack(String),
}

impl Settings {
    /// Makes settings of a configuration.
    ///
    /// # Errors
    /// [`BadSettings`] if a tenant's hours cannot be read.
    pub fn of(config: &Config) -> Result<Self, BadSettings> {
        let operator = Arc::new(house::operator(&config.policy));
        let customer = Arc::new(house::customer());
        let mut packs = Vec::with_capacity(config.policy.packs.len());
        for name in &config.policy.packs {
            packs.push(Arc::new(pack(name).ok_or_else(|| BadSettings::NoPack(name.clone()))?));
        }
        packs.extend(config.policy.sets.iter().cloned().map(Arc::new));
        let mut tenants = HashMap::new();
        let mut keys = HashMap::new();
        let mut certificates = HashMap::new();
        for t in &config.tenants {
            let own = house::tenant(t).map_err(|why| BadSettings::Hours { tenant: t.name.clone(), why })?;
            let mut sets = vec![operator.clone()];
            sets.extend(packs.iter().cloned());
            sets.extend([Arc::new(own), customer.clone()]);
            let rules = Rules(sets);
            for (name, key) in &t.keys {
                keys.insert(key.digest(), (TenantId(t.id), name.clone()));
            }
            certificates.extend(t.certificates.iter().map(|c| (c.0, TenantId(t.id))));
            let retries = RetryTable::of(&config.policy, Some(&t.retries));
            let asks_ledger = rules.0.iter().any(|set| ledger::asks(set));
            tenants.insert(TenantId(t.id), Tenant { config: t.clone(), rules, retries, asks_ledger });
        }
        let directory = Directory {
            hostname: config.smtp.hostname.clone(),
            domains: Vec::new(),
            tenants: config.tenants.iter().map(|t| (t.name.to_ascii_lowercase(), TenantId(t.id))).collect(),
            ..Directory::default()
        };
        let public_url = config.http.public_url.clone().unwrap_or_default();
        Ok(Self {
            tenants,
            keys,
            operator_key: config.http.operator_key.clone(),
            certificates,
            trusted_proxies: config.http.trusted_proxies.clone(),
            directory: Arc::new(directory),
            sender: config.smtp.from.clone(),
            http_allowed: config.fetch.plain_http,
            home_zone: config.policy.zone.clone(),
            order: OrderLimits::default(),
            mail: MailLimits {
                message_bytes_max: usize::try_from(config.smtp.message_max.bytes).unwrap_or(usize::MAX),
                ..MailLimits::default()
            },
            policy: PolicyLimits { permit_ms: config.policy.permit_max.ms, ..PolicyLimits::default() },
            orders_waiting_max: config.limits.orders_waiting_max,
            agents: config.policy.agents.clone(),
            applications: config.vxml.applications.keys().cloned().collect(),
            cookies_secure: config.http.tls_certificate.is_some() || public_url.starts_with("https://"),
            public_url: public_url.trim_end_matches('/').to_owned(),
            mail_host: config.smtp.listen.map(|_| config.smtp.hostname.clone()),
            trunks: (config.trunks.clone(), config.trunk_groups.clone()),
        })
    }
}

impl Settings {
    /// Customers' tokens are opened with this.
    #[must_use]
    pub fn with_stop(mut self, key: Option<Arc<StopKey>>) -> Self {
        self.directory = Arc::new(Directory { stop: key, ..(*self.directory).clone() });
        self
    }

    /// The way for a customer of a tenant to be called no more: a link, and a mail address where mail comes in.
    #[must_use]
    pub fn way_out(&self, tenant: TenantId, number: &str) -> Option<WayOut> {
        let token = self.directory.stop.as_ref()?.token(tenant, number);
        let mail = self.mail_host.as_ref().map(|host| format!("stop+{token}@{host}"));
        // RFC 5321 §4.5.3.1.1: a local part has 64 octets at most. Numbers fit, a long `sip:` address has its link alone.
        let mail = mail.filter(|address| address.find('@').is_some_and(|at| at <= 64));
        Some(WayOut { url: format!("{}/o/{token}", self.public_url), mail })
    }
}

/// How a customer opts out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WayOut {
    /// The link; without `[http] public_url` only its path.
    pub url: String,
    /// The mail address.
    pub mail: Option<String>,
}

/// Does the URL begin as one of the tenant's applications?
#[must_use]
pub fn is_listed(tenant: &Tenant, url: &str) -> bool {
    tenant.config.applications.iter().any(|p| url.starts_with(p.as_str()))
}

/// Whose key is it, if it may come from there? Compared by digest, so that the time taken tells nothing of a stored key.
#[must_use]
pub fn whose_key(
    settings: &Settings,
    key: &str,
    from: Option<std::net::IpAddr>,
) -> Option<(TenantId, String)> {
    let (tenant, name) = settings.keys.get(&canon::digest(key))?;
    let held = settings.tenants.get(tenant)?.config.keys.get(name)?;
    held.fits(from).then(|| (*tenant, name.clone()))
}

/// Is the mail's author one whose mail the tenant takes: an address, or `@domain`?
#[must_use]
pub fn takes_mail_from(tenant: &Tenant, author: &Private<String>) -> bool {
    let author = author.expose().to_ascii_lowercase();
    tenant.config.mail_from.iter().any(|known| {
        let known = known.expose().to_ascii_lowercase();
        if known.starts_with('@') { author.ends_with(&known) } else { author == known }
    })
}
