//! What a shard knows of the configuration, ready for use by calls.

use crate::config::{Config, Inbound};
use crate::order::Application;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use units::{Codec, Mono, ServerId, TenantId};

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
    pub inbound: Vec<(Inbound, TenantId)>,
    /// G.711 as each span carries it, the first first.
    pub span_codecs: Vec<Codec>,
    /// Registered applications.
    pub applications: BTreeMap<String, String>,
}

impl Settings {
    /// From a configuration that was judged to be sound; `media_ip` is what peers are told.
    #[must_use]
    pub fn new(config: &Config, media_ip: IpAddr) -> Self {
        let calls_max = usize::try_from(config.limits.calls_max).unwrap_or(usize::MAX);
        let tenant = |name: &str| config.tenants.iter().find(|t| t.name == name).map(|t| TenantId(t.id));
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
            inbound: config.inbound.iter().filter_map(|i| Some((i.clone(), tenant(&i.tenant)?))).collect(),
            span_codecs: config.spans.iter().map(crate::config::Line::codec).collect(),
            applications: config.vxml.applications.clone(),
        }
    }

    /// The URL of an application.
    #[must_use]
    pub fn application(&self, application: &Application) -> Option<String> {
        application_url(application, |name| self.applications.get(name).cloned())
    }

    /// How a span (from 1) carries voice.
    #[must_use]
    pub fn span_codec(&self, span: u16) -> Codec {
        let place = usize::from(span).checked_sub(1);
        place.and_then(|n| self.span_codecs.get(n)).copied().unwrap_or(Codec::Pcma)
    }

    /// What runs when this user or number is called.
    #[must_use]
    pub fn inbound_for(&self, user: &str) -> Option<(TenantId, String)> {
        self.inbound.iter().find(|(i, _)| i.matches(user)).map(|(i, tenant)| (*tenant, i.url.clone()))
    }
}

/// The URL of an application, as the settings know it.
fn application_url(application: &Application, registered: impl Fn(&str) -> Option<String>) -> Option<String> {
    match application {
        Application::Url(url) => Some(url.clone()),
        Application::Attached(name) => Some(format!("cid:{name}")),
        Application::Registered(name) => registered(name),
    }
}
