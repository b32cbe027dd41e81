//! Named limits of every room, filled from the configuration in one place, with the sums where one follows from
//! another.
//!
//! Every value bounds something that comes from outside: what is above it is refused with the field named, never cut.

use crate::config::Config;
use std::time::Duration;

/// Bounds of the interpreter.
#[must_use]
pub fn vxml(config: &Config) -> vxml::Limits {
    vxml::Limits {
        document_octets_max: config.vxml.document_max.len(),
        script_memory_max: config.vxml.script_memory_max.len(),
        script_time_max: config.vxml.script_step_max.duration(),
        ..vxml::Limits::default()
    }
}

/// Sizes of each of `workers` workers: together they carry all calls, with a second bearer for one in four (a bridge),
/// and a tenth more because the least loaded is only nearly so.
#[must_use]
pub fn worker(config: &Config, workers: u16) -> dataplane::limits::Limits {
    let calls = u64::from(config.limits.calls_max);
    let bearers = (calls * 5 / 4 * 11 / 10).div_ceil(u64::from(workers.max(1))).max(20);
    let bearers = u32::try_from(bearers).unwrap_or(u32::MAX);
    dataplane::limits::Limits {
        bearers,
        // A respec lends one while the old is still out.
        specs: bearers.saturating_mul(2),
        // A recording and somebody who listens along.
        captures: bearers.saturating_mul(2),
        ..dataplane::limits::Limits::default()
    }
}

/// Bounds of a shard's endpoint: a call has up to two legs; a leg may have four transactions at a time, and they
/// outlive it by 64*T1.
#[must_use]
pub fn endpoint(config: &Config) -> signalling::sip::endpoint::Limits {
    let calls = usize::try_from(config.limits.calls_max).unwrap_or(usize::MAX);
    let rate = usize::try_from(config.limits.calls_rate.milli_hz / 1_000).unwrap_or(usize::MAX);
    let dying = rate.saturating_mul(CLEARING_S);
    let legs_max = calls.saturating_mul(2).saturating_add(dying).max(64);
    signalling::sip::endpoint::Limits {
        legs_max,
        transactions_max: legs_max.saturating_mul(4),
        calls_rate: u32::try_from(rate).unwrap_or(u32::MAX).max(1),
        ..signalling::sip::endpoint::Limits::default()
    }
}

/// Bounds of the desk.
#[must_use]
pub fn desk(config: &Config) -> crate::desk::Limits {
    let retry = crate::queue::RetryTable::of(&config.policy, None);
    crate::desk::Limits {
        lease_ms: config.store.lease.ms,
        // Well within the lease, however short it is.
        put_back_ms: crate::desk::Limits::default().put_back_ms.min(config.store.lease.ms / 3),
        policy: PolicyLimits { permit_ms: config.policy.permit_max.ms, ..PolicyLimits::default() },
        retry,
        ..crate::desk::Limits::default()
    }
}

/// 64*T1 (RFC 3261 §17), s.
const CLEARING_S: usize = 32;

const _: () = assert!(Duration::from_millis(500 * 64).as_secs() == 32);

/// Bounds of one order as it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLimits {
    /// Octets of a request body (HTTP) or of a body part (mail).
    pub body_bytes_max: usize,
    /// Recipients of one request.
    pub recipients_max: usize,
    /// Octets of a URL or URI.
    pub uri_bytes_max: usize,
    /// Octets of a short text: a name, a zone, a language tag, a request id.
    pub name_bytes_max: usize,
    /// Octets of the text to be spoken.
    pub message_bytes_max: usize,
    /// Session variables of one recipient.
    pub params_max: usize,
    /// Octets of one session variable.
    pub param_bytes_max: usize,
    /// Resources named by one order.
    pub resources_max: usize,
    /// Places where results go.
    pub results_to_max: usize,
    /// An order that does not say when it expires lives so long, ms.
    pub expires_default_ms: u64,
    /// No order lives longer, ms.
    pub expires_max_ms: u64,
    /// Refusals listed for one request; more are not looked for.
    pub refusals_max: usize,
    /// Nesting of a structured body.
    pub depth_max: usize,
}

impl Default for OrderLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            recipients_max: 1_000,
            uri_bytes_max: 2_048,
            name_bytes_max: 200,
            message_bytes_max: 8_192,
            params_max: 64,
            param_bytes_max: 1_024,
            resources_max: 32,
            results_to_max: 8,
            expires_default_ms: 24 * HOUR_MS,
            expires_max_ms: 366 * 24 * HOUR_MS,
            refusals_max: 20,
            depth_max: 16,
        }
    }
}

/// Bounds of one mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailLimits {
    /// Octets of the whole message: advertised as SMTP `SIZE`.
    pub message_bytes_max: usize,
    /// Octets of its header.
    pub header_bytes_max: usize,
    /// Header fields.
    pub headers_max: usize,
    /// MIME parts in all.
    pub parts_max: usize,
    /// `message/rfc822` or multipart inside each other.
    pub nesting_max: usize,
    /// `Received` fields; more are taken for a loop.
    pub received_max: usize,
    /// Octets of an SMTP command line with its CRLF (RFC 5321 §4.5.3.1.4 asks for 512 and more with extensions).
    pub line_bytes_max: usize,
    /// Recipients of one envelope.
    pub recipients_max: usize,
    /// Commands that were not understood before the connection is closed.
    pub errors_max: u32,
    /// Mails on one connection.
    pub mails_max: u32,
    /// Failed AUTH commands on one connection.
    pub auth_failures_max: u32,
    /// Octets of one line inside the message (RFC 5322 §2.1.1 allows 998; wider lines are let in up to here).
    pub text_line_bytes_max: usize,
}

impl Default for MailLimits {
    fn default() -> Self {
        Self {
            message_bytes_max: 25 << 20,
            header_bytes_max: 64 << 10,
            headers_max: 400,
            parts_max: 200,
            nesting_max: 8,
            received_max: 25,
            line_bytes_max: 2_048,
            recipients_max: 100,
            errors_max: 10,
            mails_max: 1_000,
            auth_failures_max: 3,
            text_line_bytes_max: 64 << 10,
        }
    }
}

/// Bounds of the policy engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyLimits {
    /// Rules of one party.
    pub rules_max: usize,
    /// Zones that one callee may be in.
    pub zones_max: usize,
    /// An opening later than this counts as never, days.
    pub horizon_days: u16,
    /// Steps of the search for an instant that all windows allow.
    pub search_steps_max: u32,
    /// A permit is good for so long, ms: the time from the decision to the first octet of the INVITE.
    pub permit_ms: u64,
}

impl Default for PolicyLimits {
    fn default() -> Self {
        Self { rules_max: 500, zones_max: 64, horizon_days: 400, search_steps_max: 4_000, permit_ms: 2_000 }
    }
}

/// One hour, ms.
pub const HOUR_MS: u64 = 3_600_000;
