//! The sections of `carillon.toml`. Each field's comment is what `carillon.example.toml` says about it.

use super::{Encryption, Key, Network, Percent, Rate, Retries, Size, Span};
use serde::{Deserialize, Deserializer};
use signalling::leg::Transport;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use units::{Codec, Private};

/// `[node]`: the process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Name in logs, status pages and records.
    pub name: String,
    /// Number of this server in records; different on each.
    pub server_id: u32,
    /// Folder for what the process keeps to itself.
    pub state: String,
    /// Unix socket for the command line.
    pub admin_socket: String,
    /// `text` or `json`.
    pub log_format: LogFormat,
    /// Filter in the syntax of `tracing`, e.g. `info` or `node=debug,info`.
    pub log: String,
    /// After SIGTERM, calls may go on this long before they are cleared.
    pub drain_max: Span,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: "carillon".into(),
            server_id: 1,
            state: "/var/lib/carillon".into(),
            admin_socket: "/run/carillon/admin.sock".into(),
            log_format: LogFormat::Text,
            log: "info".into(),
            drain_max: Span::from_s(600),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines, one object a line.
    Json,
}

/// An address to listen on: `udp:127.0.0.1:5060`, `tcp:…`, `tls:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Transport.
    pub transport: Transport,
    /// Address and port.
    pub addr: SocketAddr,
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let parsed = text.split_once(':').and_then(|(kind, addr)| {
            let transport = transport(kind)?;
            Some(Listen { transport, addr: addr.parse().ok()? })
        });
        parsed.ok_or_else(|| serde::de::Error::custom("an address like \"udp:192.0.2.1:5060\" is wanted"))
    }
}

pub(super) fn transport(name: &str) -> Option<Transport> {
    match name {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        "tls" => Some(Transport::Tls),
        _ => None,
    }
}

/// `[sip]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sip {
    /// Where SIP is spoken.
    pub listen: Vec<Listen>,
    /// The address peers are told, when it differs from `listen` (behind NAT, or listening everywhere).
    pub advertised_address: Option<IpAddr>,
    /// Sources that are neither trunks nor trusted are answered, and not met with silence.
    pub answer_unknown: bool,
    /// Who may call from such a source, by digest: names and passwords; empty: anybody who is answered.
    pub users: BTreeMap<String, Private<String>>,
    /// Realm of that digest.
    pub realm: String,
    /// Peers whose `P-Asserted-Identity` is believed.
    pub trusted: Vec<IpAddr>,
    /// PEM files for `tls:` listeners.
    pub tls_certificate: Option<String>,
    /// Key to it.
    pub tls_key: Option<String>,
    /// PEM file of the authorities whose certificates trunks show, and peers that connect by TLS; our own is believed, too.
    pub tls_authorities: Option<String>,
    /// Who connects by TLS must show a certificate of them.
    pub tls_clients_verified: bool,
    /// Name servers that are asked where trunks are; empty: those of the host.
    pub nameservers: Vec<SocketAddr>,
    /// Whether voice is encrypted on calls that come from no trunk.
    pub srtp: Encryption,
    /// The keys of such calls may go by `udp` and `tcp` too.
    pub srtp_keys_in_clear: bool,
}

impl Default for Sip {
    fn default() -> Self {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
        Self {
            listen: vec![Listen { transport: Transport::Udp, addr }],
            advertised_address: None,
            answer_unknown: false,
            users: BTreeMap::new(),
            realm: "carillon".into(),
            trusted: Vec::new(),
            tls_certificate: None,
            tls_key: None,
            tls_authorities: None,
            tls_clients_verified: false,
            nameservers: Vec::new(),
            srtp: Encryption::default(),
            srtp_keys_in_clear: false,
        }
    }
}

/// `[media]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Media {
    /// First and last RTP port; two a bearer.
    pub rtp_ports: [u16; 2],
    /// Pinned workers; 0: cores minus one, at least one.
    pub workers: u16,
    /// `auto` takes the best that the host allows and says which.
    pub backend: Backend,
    /// Network interface for `xdp`; without one it is not tried.
    pub interface: Option<String>,
    /// Codecs offered and taken, best first.
    pub codecs: Vec<Codec>,
    /// Run workers with real-time priority where the host allows it.
    pub realtime: bool,
    /// Folder for recordings.
    pub recordings: String,
    /// Recordings are kept so long.
    pub recordings_keep: Span,
    /// Resident prompts take no more than this.
    pub prompts_max: Size,
    /// One prompt is no longer than this.
    pub prompt_max: Span,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            rtp_ports: [20_000, 29_999],
            workers: 0,
            backend: Backend::Auto,
            interface: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            realtime: true,
            recordings: "/var/lib/carillon/recordings".into(),
            recordings_keep: Span::from_s(30 * 86_400),
            prompts_max: Size::from_bytes(256_000_000),
            prompt_max: Span::from_s(600),
        }
    }
}

/// How RTP reaches the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// The best of the following.
    #[default]
    Auto,
    /// One shared socket per worker, steered by the kernel.
    Sockets,
    /// `AF_XDP`.
    Xdp,
    /// A socket per bearer.
    Plain,
}

/// `[vxml]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vxml {
    /// `fetchtimeout` where a document sets none.
    pub fetch_timeout: Span,
    /// Script time for one step.
    pub script_step_max: Span,
    /// Script memory of one session.
    pub script_memory_max: Size,
    /// Largest document.
    pub document_max: Size,
    /// Accept what other platforms accept although it is wrong.
    pub lenient: bool,
    /// After the caller has hung up, a document may still run this long.
    pub final_max: Span,
    /// Applications by name, for orders that say `app:name`.
    pub applications: BTreeMap<String, String>,
}

impl Default for Vxml {
    fn default() -> Self {
        Self {
            fetch_timeout: Span::from_s(7),
            script_step_max: Span::from_ms(100),
            script_memory_max: Size::from_bytes(8_000_000),
            document_max: Size::from_bytes(4_000_000),
            lenient: false,
            final_max: Span::from_s(30),
            applications: BTreeMap::new(),
        }
    }
}

/// `[smtp]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Smtp {
    /// Where orders come in by mail; none: not at all.
    pub listen: Option<SocketAddr>,
    /// Speak LMTP (RFC 2033), behind a mail server.
    pub lmtp: bool,
    /// Our name in EHLO and in status mails.
    pub hostname: String,
    /// Largest mail.
    pub message_max: Size,
    /// Sessions at a time.
    pub sessions_max: u32,
    /// Mail server that takes status mails: `host:port`; none: no mail leaves.
    pub smarthost: Option<String>,
    /// Sender of status mails.
    pub from: String,
    /// Mails about a campaign's calls leave together so often; `0s`: one for each call.
    pub digest: Span,
    /// Name server for DKIM, SPF and DMARC; none: the machine's own.
    pub name_server: Option<SocketAddr>,
    /// PEM file for STARTTLS; none: that of `[sip]`, and without one STARTTLS is not offered.
    pub tls_certificate: Option<String>,
    /// Key to it.
    pub tls_key: Option<String>,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            listen: None,
            lmtp: false,
            hostname: "localhost".into(),
            message_max: Size::from_bytes(10_000_000),
            sessions_max: 200,
            smarthost: None,
            from: "carillon@localhost".into(),
            digest: Span::from_s(3_600),
            name_server: None,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where `/v1`, `/healthz`, `/metrics` and the console answer; none: not at all.
    pub listen: Option<SocketAddr>,
    /// Largest request body.
    pub body_max: Size,
    /// Requests at a time.
    pub requests_max: u32,
    /// A webhook is tried again for this long.
    pub webhook_retry_max: Span,
    /// Key of the operator for the console and for every tenant's data; none: only the admin socket.
    pub operator_key: Option<Key>,
    /// PEM file for HTTPS; none: plain HTTP, for a TLS proxy before it.
    pub tls_certificate: Option<String>,
    /// Key to it.
    pub tls_key: Option<String>,
    /// PEM file of those who sign client certificates: they are asked for, and a tenant's counts as its key.
    pub client_ca: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// How the world reaches this door: what links begin with; none: links are paths.
    pub public_url: Option<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            body_max: Size::from_bytes(10_000_000),
            requests_max: 1_000,
            webhook_retry_max: Span::from_s(72 * 3_600),
            operator_key: None,
            tls_certificate: None,
            tls_key: None,
            client_ca: None,
            trusted_proxies: Vec::new(),
            public_url: None,
        }
    }
}

/// `[policy]`: what the operator allows to anyone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Numbers that may be called, by prefix; empty: all that are not denied.
    pub allow_prefixes: Vec<String>,
    /// Numbers that are never called, by prefix.
    pub deny_prefixes: Vec<String>,
    /// Attempts to one number in a day, over all tenants.
    pub attempts_a_day_max: u32,
    /// Numbers of people whose work it is to be called: a `<transfer>` to one is not counted by `attempts_a_day_max`. All
    /// other rules hold for them, too.
    pub agents: Vec<Private<String>>,
    /// Attempts of one order.
    pub attempts_max: u32,
    /// Time between two attempts of one order, whatever failed; none: the table of [`Retries`].
    pub retry_after: Option<Span>,
    /// Waits by what failed.
    pub retries: Retries,
    /// Ring no longer than this.
    pub ring_max: Span,
    /// A permit is good for so long.
    pub permit_max: Span,
    /// May `sip:` addresses be called? Numbers are always allowed as the prefixes say.
    pub sip_addresses: bool,
    /// Callee's zone when neither the order nor the number tells.
    pub zone: String,
    /// Rules of money and of abandoned calls look back so far; by whole hours.
    pub ledger: Span,
    /// Packs of regulation in force: `"us"`. They need counsel.
    pub packs: Vec<String>,
    /// Files with rule sets of the operator, in the form of the packs.
    pub files: Vec<String>,
    /// What stands in these files; the shell reads them.
    #[serde(skip)]
    pub sets: Vec<crate::policy::RuleSet>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_prefixes: Vec::new(),
            deny_prefixes: Vec::new(),
            attempts_a_day_max: 20,
            agents: Vec::new(),
            attempts_max: 4,
            retry_after: None,
            retries: Retries::default(),
            ring_max: Span::from_s(45),
            permit_max: Span::from_s(30),
            sip_addresses: true,
            zone: "UTC".into(),
            ledger: Span::from_s(30 * 86_400),
            packs: Vec::new(),
            files: Vec::new(),
            sets: Vec::new(),
        }
    }
}

/// `[store]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// `sqlite:/path/to/file` or a `postgres://` URL.
    pub url: String,
    /// A claim on an order is good for so long without renewal.
    pub lease: Span,
    /// Finished orders are kept so long.
    pub keep: Span,
    /// File with the 32 octets that recordings and collected values are sealed by; none: made in `node.state`.
    pub seal_key: Option<String>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "sqlite:/var/lib/carillon/carillon.db".into(),
            lease: Span::from_s(60),
            keep: Span::from_s(30 * 86_400),
            seal_key: None,
        }
    }
}

/// `[cluster]`: what `carillon control` and `carillon media` share; `carillon serve` needs none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// NATS server for load reports and offers, `nats://[user:password@]host:port`; none: all goes through the store.
    pub nats: Option<Private<String>>,
    /// Shared by all: permits are signed with a key made of it. At least 16 characters.
    pub secret: Option<Private<String>>,
}

/// `[dispatch]`: how a server is chosen for an ordered call. Taken over by a reload, at once.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dispatch {
    /// `p2c`, `p3c`, `weighted`, `random`, `rr`, `least`.
    pub scheme: crate::dispatch::Scheme,
    /// Ordered calls leave the rest of each server free, by priority 0 to 9; one value: all alike.
    pub shares: Vec<Percent>,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self { scheme: crate::dispatch::Scheme::default(), shares: vec![Percent(100)] }
    }
}

impl Dispatch {
    /// What part of every server who may use; ordered calls together no more than `outbound`.
    #[must_use]
    pub fn shares(&self, outbound: Percent) -> crate::dispatch::Shares {
        let most = u16::from(outbound.0).saturating_mul(10).min(1_000);
        let mut shares = crate::dispatch::Shares::default();
        for (priority, share) in shares.by_priority.iter_mut().enumerate() {
            let own = self.shares.get(priority).or(self.shares.last());
            *share = own.map_or(most, |percent| u16::from(percent.0).saturating_mul(10).min(most));
        }
        shares
    }
}

/// `[cdr]`: records as files.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cdr {
    /// Folder for the files; none: none are written. In a cluster on one control node.
    pub folder: Option<String>,
    /// `csv`, `jsonl`, or both.
    pub forms: Vec<crate::cdr::Form>,
    /// A file is closed after so many rows.
    pub rows_max: u64,
    /// And after this time, if it has any.
    pub rotate: Span,
    /// Records stay in the store so long.
    pub keep: Span,
}

impl Default for Cdr {
    fn default() -> Self {
        Self {
            folder: None,
            forms: vec![crate::cdr::Form::Csv],
            rows_max: 100_000,
            rotate: Span::from_s(3_600),
            keep: Span::from_s(400 * 86_400),
        }
    }
}

/// `[fetch]`: rules for every URL that a third party gave.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Networks that may be reached although they are special: `127.0.0.0/8`, `10.1.0.0/16`.
    pub allow_networks: Vec<String>,
    /// `http:` is spoken too.
    pub plain_http: bool,
    /// Ports that may be reached; empty: 80, 443 and those above 1023.
    pub ports: Vec<u16>,
    /// Largest answer.
    pub body_max: Size,
    /// Redirects followed.
    pub redirects_max: u8,
    /// Longest a fetch may take, whatever a document says.
    pub timeout_max: Span,
    /// Fetches at a time.
    pub fetches_max: u32,
    /// Fetches at a time to one host.
    pub per_host_max: u32,
    /// Answers kept for reuse.
    pub cache_max: Size,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            plain_http: false,
            ports: Vec::new(),
            body_max: Size::from_bytes(16_000_000),
            redirects_max: 5,
            timeout_max: Span::from_s(30),
            fetches_max: 512,
            per_host_max: 64,
            cache_max: Size::from_bytes(128_000_000),
        }
    }
}

/// `[[inbound]]`: what runs when a number is called. The first that matches counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// A whole number or user, a prefix with `*` at its end, or `*`.
    #[serde(rename = "match")]
    pub pattern: String,
    /// Whose call it is.
    pub tenant: String,
    /// VoiceXML document.
    pub url: String,
    /// Only calls that come by these trunks or groups; empty: by any.
    #[serde(default)]
    pub trunks: Vec<String>,
    /// When it is open, on the clock of its zone: `08:00-18:00`, `mon-fri 08:00-18:00; sat 10:00-14:00`; none: always.
    #[serde(default)]
    pub hours: Option<String>,
    /// Zone of its hours; none: that of `[policy]`.
    #[serde(default)]
    pub zone: Option<String>,
    /// Calls that are kept free for it, of those that `limits.inbound_share` allows; others are refused before.
    #[serde(default)]
    pub reserve: u32,
}

impl Inbound {
    /// Whether a called user part is meant.
    #[must_use]
    pub fn matches(&self, user: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(prefix) => user.starts_with(prefix),
            None => self.pattern == user,
        }
    }
}

/// `[speech]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Speech {
    /// The worker program; empty: found beside `carillon`.
    pub program: String,
    /// Worker processes that speak; 0: no text is spoken.
    pub workers: u8,
    /// flite voice where a document names none.
    pub voice: String,
    /// Languages that text is spoken in, as RFC 5646 tags (`en` stands for `en-US`, too): text in another one throws
    /// `error.unsupported.language` at its document. Empty: any is tried.
    pub languages: Vec<String>,
    /// One text may take so long.
    pub timeout: Span,
    /// Worker processes that understand, each one caller at a time; 0: no voice is recognised here.
    pub recognisers: u8,
    /// Folder of the recogniser's model; empty: Debian's.
    pub model: String,
    /// An answer to what was understood may take so long; a longer one is `error.noresource`.
    pub recognition_max: Span,
    /// URL of an engine that understands what the own recogniser does not speak (`docs/speech.md`); empty: none.
    pub engine: String,
    /// That engine speaks as well; what it cannot speak is spoken by the own voices.
    pub engine_speaks: bool,
    /// Spoken texts kept on disk take no more than this; 0: none are kept.
    pub cache_max: Size,
    /// Folder for utterances of callers who consented, with what was understood, to tune by; empty: none are kept.
    pub tuning: String,
    /// Workers on other machines instead of processes here: `tls:host:port` or `unix:path` of `carillon-speech --listen`,
    /// tried in turn; `workers` and `recognisers` are then connections. Empty: processes here.
    pub farm: Vec<String>,
    /// PEM file of the certificate that a farm asks for.
    pub farm_certificate: Option<String>,
    /// Key to it.
    pub farm_key: Option<String>,
    /// PEM file of who signs a farm's certificates.
    pub farm_authorities: Option<String>,
    /// Engines that speak MRCPv2: who can is asked first, the own programs are what is left if none can.
    pub mrcp: Vec<Mrcp>,
}

/// `[[speech.mrcp]]`: a speech engine by MRCPv2 (RFC 6787).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mrcp {
    /// Names it in logs and metrics.
    pub name: String,
    /// Host and port of its SIP by UDP.
    pub address: String,
    /// The user part of the address that is called there.
    pub user: String,
    /// The control channel goes by TLS, the engine shows a certificate for the host in `address`.
    pub tls: bool,
    /// PEM file of who signs that certificate.
    pub tls_authorities: Option<String>,
    /// Sessions at a time: its licences. Who comes on top goes to the next engine.
    pub sessions_max: u16,
    /// It understands callers.
    pub recognises: bool,
    /// It speaks texts.
    pub speaks: bool,
    /// Languages it has, as RFC 5646 tags (`en` stands for `en-US`, too); empty: any is asked of it.
    pub languages: Vec<String>,
    /// Vendor-specific parameters of every request (RFC 6787 §6.2.16).
    pub parameters: BTreeMap<String, String>,
    /// A session stands within this, or the next engine is asked.
    pub timeout: Span,
}

impl Default for Mrcp {
    fn default() -> Self {
        Self {
            name: String::new(),
            address: String::new(),
            user: "mresources".into(),
            tls: false,
            tls_authorities: None,
            sessions_max: 100,
            recognises: true,
            speaks: false,
            languages: Vec::new(),
            parameters: BTreeMap::new(),
            timeout: Span::from_s(2),
        }
    }
}

impl Default for Speech {
    fn default() -> Self {
        Self {
            program: String::new(),
            workers: 1,
            voice: "slt".into(),
            languages: SPOKEN.iter().map(|l| (*l).to_owned()).collect(),
            timeout: Span::from_s(20),
            recognisers: 0,
            model: String::new(),
            recognition_max: Span::from_s(5),
            engine: String::new(),
            engine_speaks: false,
            cache_max: Size::from_bytes(256_000_000),
            tuning: String::new(),
            farm: Vec::new(),
            farm_certificate: None,
            farm_key: None,
            farm_authorities: None,
            mrcp: Vec::new(),
        }
    }
}

/// What flite and espeak-ng speak well enough to be understood over a telephone.
const SPOKEN: [&str; 28] = [
    "en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "sl", "hr", "hu", "ro", "bg", "el", "ru",
    "uk", "tr", "sv", "da", "nb", "no", "fi", "et", "lv", "lt", "ca",
];

impl Speech {
    /// Some engine understands callers.
    #[must_use]
    pub fn recognises(&self) -> bool {
        self.recognisers > 0 || !self.engine.is_empty() || self.mrcp.iter().any(|m| m.recognises)
    }
}

/// `[limits]`: what the host can carry; every room's limits follow from these (`control::limits`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// Calls at a time, both ways.
    pub calls_max: u32,
    /// New calls per second.
    pub calls_rate: Rate,
    /// Orders waiting, all tenants.
    pub orders_waiting_max: u32,
    /// Above this share of `calls_max` new inbound calls are refused, so that ordered ones find room.
    pub inbound_share: Percent,
    /// Above this share no ordered call is started, so that incoming ones find room.
    pub outbound_share: Percent,
    /// A call is cleared after this long.
    pub call_max: Span,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            calls_max: 500,
            calls_rate: Rate::per_s(50),
            orders_waiting_max: 1_000_000,
            inbound_share: Percent(80),
            outbound_share: Percent(100),
            call_max: Span::from_s(4 * 3_600),
        }
    }
}
