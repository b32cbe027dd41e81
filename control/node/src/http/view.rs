//! A call as its owner reads it.

use crate::settings::{Settings, WayOut};
use control::order::time::rfc3339;
use control::order::{Application, Disposition, Origin, State};
use control::policy::Decision;
use control::store::Status;
use serde::Serialize;
use serde_json::Value;

/// The status of a call.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Call {
    id: String,
    status_url: String,
    request_id: String,
    to: String,
    application: String,
    state: State,
    disposition: Option<Disposition>,
    attempts: u32,
    accepted_at: String,
    changed_at: String,
    due_at: Option<String>,
    expires_at: String,
    priority: u8,
    purpose: control::order::Purpose,
    campaign: Option<String>,
    /// The attempt whose caller this call was placed for, by a transfer.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    /// What the order proved: 0..=3.
    authority_level: u8,
    seq: u64,
    /// The last judgement.
    decision: Option<Value>,
    next_allowed_at: Option<String>,
    /// Values of the session's exit, and its recordings, once it is over.
    result: Option<Value>,
    /// How the callee opts out; where one call is read, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_out: Option<WayOut>,
}

impl Call {
    /// With the way out for its callee.
    #[must_use]
    pub(super) fn with_way_out(mut self, s: &Status, settings: &Settings) -> Self {
        self.opt_out = settings.way_out(s.order.tenant, s.order.to.expose());
        self
    }
}

impl From<&Status> for Call {
    fn from(s: &Status) -> Self {
        let o = &s.order;
        let decision: Option<Value> = s.decision.as_deref().and_then(|d| serde_json::from_str(d).ok());
        let judged: Option<Decision> = decision.clone().and_then(|d| serde_json::from_value(d).ok());
        Self {
            id: o.id.to_string(),
            status_url: status_url(&o.id.to_string()),
            request_id: o.request_id.clone(),
            to: o.to.expose().clone(),
            application: match &o.application {
                Application::Url(u) => u.clone(),
                Application::Attached(n) => format!("cid:{n}"),
                Application::Registered(n) => format!("app:{n}"),
            },
            state: s.state,
            disposition: s.disposition,
            attempts: s.attempts,
            accepted_at: rfc3339(s.accepted),
            changed_at: rfc3339(s.changed),
            due_at: s.due.map(rfc3339),
            expires_at: rfc3339(o.expires),
            priority: o.priority,
            purpose: o.purpose,
            campaign: o.campaign.map(|c| c.to_string()),
            parent: o.parent().map(|p| p.to_string()),
            authority_level: match &o.origin {
                Origin::Mail { level, .. } => *level,
                _ => 3,
            },
            seq: s.seq,
            next_allowed_at: judged.and_then(|d| d.next_allowed_at).map(rfc3339),
            decision,
            result: s.result.as_deref().and_then(|r| serde_json::from_str(r).ok()),
            opt_out: None,
        }
    }
}

/// Where a call's status is.
#[must_use]
pub(super) fn status_url(id: &str) -> String {
    format!("/v1/calls/{id}")
}
