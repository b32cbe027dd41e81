//! `Order`: one asked-for call. Every intake form (mail header form, JSON, YAML, XML, HTTP) is reformatted to this
//! one shape; the public API calls it a *call*.

pub mod canon;
pub mod form;
pub mod httpsig;
pub mod mail;
pub mod mailbox;
pub mod number;
pub mod proof;
pub mod refusal;
pub mod repeat;
pub mod request;
pub mod smtp;
pub mod stop;
pub mod time;
pub mod xml;
pub mod yaml;

pub use refusal::{Reason, Refusal};
pub use request::{Context, Parsed, parse};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use units::{AttemptId, CampaignId, OrderId, Private, TenantId, Wall};

/// What a call is for; policy depends on it. `spec` names follow the mail header `Call-Purpose`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Danger to life or property.
    Emergency,
    /// Something the callee has to do with: a delivery, an appointment.
    #[default]
    Transactional,
    /// Sales.
    Telemarketing,
    /// Collection of a debt.
    Debt,
    /// Politics.
    Political,
    /// A survey.
    Survey,
}

/// The VoiceXML application a call runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Application {
    /// A document at a URL (`https:`; `http:` where the operator allows it).
    Url(String),
    /// A document that came with the order, by its name in the order's attachments (`cid:`).
    Attached(String),
    /// A name that the operator registered for the tenant (`app:`).
    Registered(String),
}

/// When to call first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// As soon as policy and capacity allow.
    #[default]
    Now,
    /// At an instant (RFC 3339 in; `+90m` is resolved against the time of acceptance).
    At(Wall),
    /// At a time of day where the callee is: minutes after midnight, the next time it comes.
    Local(u16),
}

/// What to do with an attempt that is in doubt after a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// Never dial again: it ends as `unknown`.
    #[default]
    AtMostOnce,
    /// Dial again: a second ring is acceptable (alarms).
    AtLeastOnce,
    /// Ask by webhook or a person.
    Ask,
}

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultTo {
    /// A status mail.
    Mail(Private<String>),
    /// A webhook.
    Webhook(String),
}

/// Something the call needs and that is checked before anyone is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRef {
    /// `cid:` name or `https:` URL.
    pub uri: String,
    /// Refuse the order if it is missing.
    pub required: bool,
    /// Expected SHA-256, lower-case hexadecimal.
    pub sha256: Option<String>,
}

/// How the order came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Origin {
    /// By mail.
    Mail {
        /// Message-ID, for replies.
        message_id: String,
        /// Envelope or From address that gets the reply.
        reply_to: Private<String>,
        /// Authority level reached, 0..=4.
        level: u8,
    },
    /// By HTTP.
    Http {
        /// Name of the key.
        key: String,
    },
    /// A row of a campaign.
    Campaign,
    /// The `<transfer>` of a call's document. Made by a shard and dialled for that call or not at all; never given back
    /// to the queue.
    Transfer {
        /// The attempt whose caller is transferred.
        parent: AttemptId,
    },
}

/// One order in its canonical form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Chosen at acceptance.
    pub id: OrderId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's own name for it; unique within the tenant for 7 days.
    pub request_id: String,
    /// How it came.
    pub origin: Origin,
    /// The callee: E.164 (`+15551234567`) or a `sip:` URI.
    pub to: Private<String>,
    /// What runs.
    pub application: Application,
    /// When.
    pub when: When,
    /// Never dialled after this.
    pub expires: Wall,
    /// What for.
    pub purpose: Purpose,
    /// A stored policy of the tenant; may only tighten.
    #[serde(default)]
    pub policy: Option<String>,
    /// 0 (lowest) ..= 9.
    #[serde(default)]
    pub priority: u8,
    /// Caller id; must be owned.
    #[serde(default)]
    pub caller_id: Option<Private<String>>,
    /// What the call needs.
    #[serde(default)]
    pub resources: Vec<ResourceRef>,
    /// Where results go.
    #[serde(default)]
    pub results_to: Vec<ResultTo>,
    /// Session variables (`Call-Param-*`).
    #[serde(default)]
    pub params: BTreeMap<String, Private<String>>,
    /// Text of a mail, for text-to-speech.
    #[serde(default)]
    pub message: Option<Private<String>>,
    /// IANA zone of the callee, if the orderer knows it.
    #[serde(default)]
    pub zone: Option<String>,
    /// Language of the callee.
    #[serde(default)]
    pub lang: Option<String>,
    /// For caps on the same subject.
    #[serde(default)]
    pub subject: Option<String>,
    /// The customer's own key at the tenant, for caps across numbers.
    #[serde(default)]
    pub customer: Option<Private<String>>,
    /// In doubt after a crash.
    #[serde(default)]
    pub doubt: Doubt,
    /// The campaign it belongs to.
    #[serde(default)]
    pub campaign: Option<CampaignId>,
    /// VoiceXML leniency asked for.
    #[serde(default)]
    pub lenient: bool,
    /// It is to be carried out again and again: a rule of recurrence. Only while a request is read: each occurrence
    /// becomes an order of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<String>,
}

impl Order {
    /// The attempt whose caller is transferred, if that is what this order is for.
    #[must_use]
    pub fn parent(&self) -> Option<AttemptId> {
        match self.origin {
            Origin::Transfer { parent } => Some(parent),
            _ => None,
        }
    }
}

/// Where an order stands, as its owner reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted; waits for its time, a retry, or for capacity.
    Scheduled,
    /// Policy put it off.
    Deferred,
    /// An attempt is being made.
    Calling,
    /// The callee has answered.
    Talking,
    /// Over: see the disposition.
    Done,
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Answered, and the application ended as it should.
    Completed,
    /// Answered, and the application failed (`error.*`).
    ApplicationError,
    /// Busy to the last attempt.
    Busy,
    /// Nobody answered to the last attempt.
    NoAnswer,
    /// A machine answered and policy says not to speak to it.
    Machine,
    /// The callee refused.
    Rejected,
    /// The callee never wants to be called (607).
    Unwanted,
    /// A network blocked the call (603+, 608).
    Blocked,
    /// No such number.
    Unallocated,
    /// Trunks or servers could not carry it to the last attempt.
    Congestion,
    /// Any other failure of the network.
    Failed,
    /// Policy forbids it.
    Refused,
    /// Its time ran out.
    Expired,
    /// The tenant took it back.
    Cancelled,
    /// In doubt after a crash, and not to be dialled twice.
    Unknown,
    /// It broke its worker twice.
    Quarantined,
}
