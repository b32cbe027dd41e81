//! `Record`: what is kept of an attempt (the CDR). Append-only, idempotent by attempt id.

use crate::order::{Application, Disposition};
use crate::store::Orphan;
use serde::{Deserialize, Serialize};
use units::{AttemptId, Cause, OrderId, Private, ServerId, TenantId, Wall};

/// Direction of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// We called.
    Outbound,
    /// We were called.
    Inbound,
    /// A leg that a transfer placed.
    Transfer,
}

/// One attempt, or one inbound call. Times are UTC milliseconds; `None` where it never came to that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which attempt; the key.
    pub attempt: AttemptId,
    /// The order, for outbound calls.
    pub order: Option<OrderId>,
    /// The attempt whose call asked for this one (transfer).
    pub parent: Option<AttemptId>,
    /// Whose.
    pub tenant: TenantId,
    /// Which way.
    pub direction: Direction,
    /// From.
    pub from: Private<String>,
    /// To.
    pub to: Private<String>,
    /// Telephony server.
    pub server: ServerId,
    /// Trunk, by name.
    pub trunk: String,
    /// Application: URL or name.
    pub application: String,
    /// Intent committed (outbound) or INVITE received (inbound).
    pub started: Wall,
    /// First 18x.
    pub alerted: Option<Wall>,
    /// Answered.
    pub answered: Option<Wall>,
    /// Over.
    pub ended: Wall,
    /// Answered to over on the monotonic clock, ms.
    pub talk_ms: u64,
    /// Slot taken to slot back on the monotonic clock, ms.
    pub busy_ms: u64,
    /// Q.850.
    pub cause: Cause,
    /// SIP status, if one ended it.
    pub status: Option<u16>,
    /// The far end hung up.
    pub by_peer: bool,
    /// How this attempt counts.
    pub disposition: Disposition,
    /// Values of `<exit>`/`<disconnect>`, as JSON; stored apart and private.
    pub values: Private<String>,
    /// Recordings kept, by name.
    pub recordings: Vec<String>,
    /// RTP received, lost, late; jitter in timestamp units.
    pub media: [u32; 4],
}

impl Record {
    /// What can be told of an attempt that a crash cut off after its intent was durable; `None`: nothing was dialled.
    /// If its server wrote the record before it died, the store keeps that one. Times of ringing and answer died with it.
    #[must_use]
    pub fn cut_off(orphan: &Orphan, now: Wall) -> Option<Self> {
        let (began, trunk, _) = orphan.intent.as_ref()?;
        let order = &orphan.order;
        let application = match &order.application {
            Application::Url(url) => url.clone(),
            Application::Attached(name) => format!("cid:{name}"),
            Application::Registered(name) => format!("app:{name}"),
        };
        Some(Self {
            attempt: orphan.lease.attempt,
            order: Some(order.id),
            parent: order.parent(),
            tenant: order.tenant,
            direction: order.parent().map_or(Direction::Outbound, |_| Direction::Transfer),
            from: order.caller_id.clone().unwrap_or_default(),
            to: order.to.clone(),
            server: orphan.server.unwrap_or(ServerId(0)),
            trunk: trunk.clone(),
            application,
            started: *began,
            alerted: None,
            answered: None,
            ended: now,
            talk_ms: 0,
            busy_ms: 0,
            cause: Cause::TEMPORARY,
            status: None,
            by_peer: false,
            disposition: Disposition::Unknown,
            values: Private::new("{}".to_owned()),
            recordings: Vec::new(),
            media: [0; 4],
        })
    }
}
