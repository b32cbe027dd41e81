//! What a shard knows of the configuration, ready for use by calls.

use super::entrance::{self, Entrance, Entry};
use crate::config::{Config, Encryption, Trunk, TrunkGroup};
use crate::order::{Application, Order};
use crate::trunk::route::{self, NoRoute, Plan};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use signalling::leg::{Media, Srtp, Transport};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use units::{AttemptId, Codec, Mono, Private, ServerId, TenantId, Wall};

/// A monotonic clock for the script engine.
#[derive(Clone)]
pub struct ScriptClock(pub Arc<dyn Fn() -> Mono + Send + Sync>);

impl std::fmt::Debug for ScriptClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptClock")
    }
}

/// Immutable; a reload gives the shard a new one, and new calls use it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This server, for records.
    pub server: ServerId,
    /// Where peers send RTP to.
    pub media_ip: IpAddr,
    /// Codecs offered and taken, best first; never empty.
    pub codecs: Vec<Codec>,
    /// Calls at a time.
    pub calls_max: usize,
    /// Calls at a time above which no inbound call is taken.
    pub inbound_calls_max: usize,
    /// Longest call, ms.
    pub call_ms_max: u64,
    /// Longest final processing after a hang-up, ms.
    pub final_ms_max: u64,
    /// `fetchtimeout` of the first document and where documents set none, ms.
    pub fetch_timeout_ms: u64,
    /// Documents are read leniently.
    pub lenient: bool,
    /// Languages that text is spoken in; empty: any.
    pub languages: Vec<String>,
    /// Voice is recognised here.
    pub hears: bool,
    /// Bounds of the interpreter.
    pub vxml: vxml::Limits,
    /// Bounds scripts by time; without it they are bounded by steps alone, as a simulation wants.
    pub script_clock: Option<ScriptClock>,
    /// What runs for whom when a number is called.
    pub entrances: Vec<Entrance>,
    /// G.711 as each span carries it, the first first.
    pub span_codecs: Vec<Codec>,
    /// Registered applications.
    pub applications: BTreeMap<String, String>,
    /// Ways out.
    pub trunks: Vec<Trunk>,
    /// What they share.
    pub trunk_groups: Vec<TrunkGroup>,
    /// Trunks and groups that a tenant's calls may leave by, best first; none named: all.
    pub allowed: BTreeMap<TenantId, Vec<String>>,
    /// Our host part in From.
    pub sip_host: String,
    /// Longest ringing, ms; a trunk may set less.
    pub ring_ms_max: u64,
    /// Peers beside the trunks.
    pub trusted: Vec<IpAddr>,
    /// Whether voice is encrypted on calls that come from no trunk, and whether their keys may go in the clear.
    pub srtp: (Encryption, bool),
    /// SRTP keys derive from it.
    secret: Private<[u8; 32]>,
}

impl Settings {
    /// From a configuration that was judged to be sound; `media_ip` is what peers are told, and `secret` what nobody but
    /// this server knows.
    #[must_use]
    pub fn new(config: &Config, media_ip: IpAddr, secret: [u8; 32]) -> Self {
        let calls_max = usize::try_from(config.limits.calls_max).unwrap_or(usize::MAX);
        Self {
            server: ServerId(config.node.server_id),
            media_ip,
            codecs: config.media.codecs.clone(),
            calls_max,
            inbound_calls_max: calls_max * usize::from(config.limits.inbound_share.0) / 100,
            call_ms_max: config.limits.call_max.ms,
            final_ms_max: config.vxml.final_max.ms,
            fetch_timeout_ms: config.vxml.fetch_timeout.ms,
            lenient: config.vxml.lenient,
            languages: config.speech.languages.clone(),
            hears: config.speech.recognises(),
            vxml: crate::limits::vxml(config),
            script_clock: None,
            entrances: Entrance::all(config),
            span_codecs: config.spans.iter().map(crate::config::Line::codec).collect(),
            applications: config.vxml.applications.clone(),
            trunks: config.trunks.clone(),
            trunk_groups: config.trunk_groups.clone(),
            allowed: config.tenants.iter().map(|t| (TenantId(t.id), t.trunks.clone())).collect(),
            sip_host: host(config, media_ip),
            ring_ms_max: config.policy.ring_max.ms,
            trusted: config.sip.trusted.clone(),
            srtp: (config.sip.srtp, config.sip.srtp_keys_in_clear),
            secret: Private::new(secret),
        }
    }

    /// Our SRTP key for one dialog: different for each, the same for the same one after a restart, so that the INVITE can
    /// be sent again.
    #[must_use]
    pub fn keys(&self, dialog: AttemptId, wanted: Encryption) -> Option<Srtp> {
        if wanted == Encryption::Refused {
            return None;
        }
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.secret.expose())
            .expect("HMAC takes keys of any length");
        mac.update(b"srtp");
        mac.update(&dialog.0.to_be_bytes());
        let octets = mac.finalize().into_bytes();
        let mut key_salt = [0; 30];
        key_salt.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
        Some(Srtp { optional: wanted == Encryption::Optional, tag_bits: 80, key_salt })
    }

    /// Whether voice is encrypted on a call that comes by one of these trunks, or by none, with this offer. `None`: it is
    /// refused, for want of keys or for where they were shown.
    #[must_use]
    pub fn encryption(&self, by: &[&str], transport: Transport, offer: Option<&Media>) -> Option<Encryption> {
        if let Some(Media::Timeslot { .. }) = offer {
            return Some(Encryption::Refused);
        }
        let here =
            |t: &&Trunk| by.contains(&t.name.as_str()) && t.transport.is_none_or(|own| own == transport);
        // Of several trunks at one address the strictest counts.
        let own = self.trunks.iter().filter(here).map(|t| (t.srtp, t.srtp_keys_in_clear)).max();
        let (wanted, in_clear) = own.unwrap_or(self.srtp);
        let wanted = route::over(wanted, transport, in_clear)?;
        let fits = match (offer, wanted) {
            (Some(Media::Rtp(rtp)), Encryption::Required) => rtp.srtp.is_some(),
            (Some(Media::Rtp(rtp)), Encryption::Refused) => rtp.srtp.is_none(),
            _ => true,
        };
        fits.then_some(wanted)
    }

    /// The URL of an application.
    #[must_use]
    pub fn application(&self, application: &Application) -> Option<String> {
        application_url(application, |name| self.applications.get(name).cloned())
    }

    /// The trunks by which an order may leave: of those that were named, if any were, else of the tenant's.
    ///
    /// # Errors
    /// [`NoRoute`] if there is none.
    pub fn plan(&self, order: &Order, named: Option<&[String]>) -> Result<Plan, NoRoute> {
        let own = self.allowed.get(&order.tenant).map(Vec::as_slice);
        let caller = order.caller_id.as_ref().map(|id| id.expose().as_str());
        let allowed = named.or(own).unwrap_or_default();
        Plan::new(&self.trunks, &self.trunk_groups, allowed, order.to.expose(), caller)
    }

    /// How a span (from 1) carries voice.
    #[must_use]
    pub fn span_codec(&self, span: u16) -> Codec {
        let place = usize::from(span).checked_sub(1);
        place.and_then(|n| self.span_codecs.get(n)).copied().unwrap_or(Codec::Pcma)
    }

    /// What runs when this user or number is called by one of these trunks or groups.
    #[must_use]
    pub fn entry(&self, user: &str, by: &[&str], at: Wall) -> Entry {
        entrance::entry(&self.entrances, user, by, at)
    }
}

fn host(config: &Config, ip: IpAddr) -> String {
    let port = config.sip.listen.first().map_or(5060, |listen| listen.addr.port());
    SocketAddr::new(ip, port).to_string()
}

/// The URL of an application, as the settings know it.
fn application_url(application: &Application, registered: impl Fn(&str) -> Option<String>) -> Option<String> {
    match application {
        Application::Url(url) => Some(url.clone()),
        Application::Attached(name) => Some(format!("cid:{name}")),
        Application::Registered(name) => registered(name),
    }
}
