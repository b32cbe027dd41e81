//! The store's seam: closed questions and answers. A machine asks, the shell runs a *batch* of questions in one
//! transaction (group commit) and answers each when the batch is durable. Two implementations of equal rank live in
//! the node (SQLite, PostgreSQL) and pass the same tests.

use crate::bus::Load;
use crate::order::{Disposition, Order, State};
use crate::record::Record;
use serde::{Deserialize, Serialize};
use units::{AttemptId, CampaignId, Now, OrderId, Seed, ServerId, TenantId, Wall};

/// A claim on one order: whoever holds the newest epoch may write about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// The order.
    pub order: OrderId,
    /// The attempt made under it.
    pub attempt: AttemptId,
    /// Fencing number; grows with each claim of the order.
    pub epoch: u64,
    /// Good until, wall time of the store.
    pub until: Wall,
}

/// A frequency cap to be taken with a claim: at most `n` attempts for `key` in the `period_ms` before now, exactly
/// rolling (a log of attempts per key, not a calendar counter).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// What is counted, e.g. `number:<hash>` or `tenant:3`.
    pub key: String,
    /// At most this many.
    pub n: u32,
    /// In this period, ms.
    pub period_ms: u64,
    /// At least so long after the last, ms.
    pub min_gap_ms: u64,
    /// The rule that asks for it.
    pub rule: String,
}

/// A status as stored for the third party.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The order itself.
    pub order: Order,
    /// Where it stands.
    pub state: State,
    /// How it ended.
    pub disposition: Option<Disposition>,
    /// Next try not before.
    pub due: Option<Wall>,
    /// Attempts begun.
    pub attempts: u32,
    /// Accepted.
    pub accepted: Wall,
    /// Last change.
    pub changed: Wall,
    /// Monotonic per order: each change adds one.
    pub seq: u64,
    /// Last policy decision, JSON.
    pub decision: Option<String>,
    /// Values and recordings of the session once it is over, JSON; private.
    #[serde(default)]
    pub result: Option<String>,
}

/// Something to be delivered at least once, in order per order: webhook or mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Id given by the store.
    pub id: u64,
    /// The order.
    pub order: OrderId,
    /// Where to.
    pub to: crate::order::ResultTo,
    /// `seq` of the status it tells.
    pub seq: u64,
    /// Body, JSON.
    pub body: String,
    /// Tries so far.
    pub tries: u32,
    /// Not before.
    pub due: Wall,
}

/// One line of a call's story (`carillon show call`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoryLine {
    /// When.
    pub at: Wall,
    /// The order or inbound call it belongs to.
    pub attempt: AttemptId,
    /// Kind, e.g. `sip`, `vxml`, `media`, `policy`.
    pub kind: String,
    /// What happened, already free of private data.
    pub text: String,
}

/// A question.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Accept orders, all or none; idempotent by (tenant, request id): the same digest gives the stored id back.
    Accept {
        /// Orders with the digest of the canonical request.
        orders: Vec<(Order, [u8; 32])>,
        /// Where the first due time of each stands.
        due: Vec<Wall>,
        /// How many may wait; with more nothing is accepted ([`Error::Full`]).
        room: Room,
    },
    /// Another process takes a claim over, to dial under it: it gets a new epoch, so whoever claimed is fenced from then
    /// on. Answered by one [`Answer::Claimed`]. Refused if the lease is stale or something was dialled under it.
    Take {
        /// As it was claimed.
        lease: Lease,
        /// Who takes it.
        owner: ServerId,
        /// Length of its new lease, ms.
        lease_ms: u64,
    },
    /// Claim up to `max` orders of one line (priority and tenant), ranged by due time. Leases that lapsed without an
    /// intent come back first.
    Claim {
        /// Exactly this priority.
        priority: u8,
        /// Of this tenant: fair sharing is the asker's, so no tenant's million orders stand before another's ten.
        tenant: TenantId,
        /// Due at or before.
        due: Wall,
        /// At most.
        max: u32,
        /// Lease length, ms.
        lease_ms: u64,
        /// Who claims.
        owner: ServerId,
    },
    /// Accept the order of a transfer and claim it at once (epoch 1), if these caps allow: all in one transaction, because
    /// a person is waiting on the line. [`Answer::CapsTaken`], or [`Answer::Capped`] with nothing written.
    Second {
        /// The order, new.
        order: Box<Order>,
        /// The caps.
        caps: Vec<Cap>,
        /// Decision as stored, JSON.
        decision: String,
        /// Lease length, ms.
        lease_ms: u64,
        /// Who claims.
        owner: ServerId,
    },
    /// Under a lease: take these caps, or learn which forbids and until when. Same transaction as the lease check.
    TakeCaps {
        /// The lease.
        lease: Lease,
        /// The caps.
        caps: Vec<Cap>,
        /// Decision as stored, JSON.
        decision: String,
    },
    /// Durable intent before the first octet of the INVITE. Refused if the lease is stale.
    Intent {
        /// The lease.
        lease: Lease,
        /// On which server.
        server: ServerId,
        /// By which trunk.
        trunk: String,
        /// The dialog's constants, for a re-sent INVITE or a neighbour's BYE.
        dialog: Vec<u8>,
    },
    /// Durable before the ACK is sent.
    AckIntent {
        /// Which attempt.
        attempt: AttemptId,
        /// Fencing.
        epoch: u64,
        /// The dialog, for a neighbour's BYE.
        dialog: Vec<u8>,
    },
    /// A change of state under a lease.
    Progress {
        /// Which.
        order: OrderId,
        /// Fencing.
        epoch: u64,
        /// Now.
        state: State,
    },
    /// Put back for later (deferral, retry), lease given up.
    Requeue {
        /// Which.
        order: OrderId,
        /// Fencing.
        epoch: u64,
        /// Not before.
        due: Wall,
        /// Deferred by policy (true) or a retry.
        deferred: bool,
        /// The decision or reason, JSON.
        decision: Option<String>,
        /// Caps to give back (nothing was dialled).
        refund: bool,
        /// The attempt counts against the person called. `false` (congestion, nothing dialled): `attempts` is given
        /// back if an intent took it, and `tries` grows instead.
        counted: bool,
        /// The claim ended in a crash: the count that makes a poison order stays. Else it starts anew.
        crashed: bool,
    },
    /// The order is over; notices are queued in the same transaction.
    Finish {
        /// Which.
        order: OrderId,
        /// Fencing.
        epoch: u64,
        /// How.
        disposition: Disposition,
        /// Last decision or reason, JSON.
        decision: Option<String>,
        /// Values and recordings, JSON; private.
        result: Option<String>,
    },
    /// Append records; one with a known attempt id is not written twice.
    Append(Vec<Record>),
    /// Append story lines.
    Story(Vec<StoryLine>),
    /// Cancel for its tenant (`true`): over at once. If it is claimed it is only marked (`false`), and the next question
    /// under the lease is answered `Cancelled(true)`. [`Error::Conflict`] if it is over already.
    Cancel {
        /// Whose.
        tenant: TenantId,
        /// Which.
        order: OrderId,
    },
    /// Someone decided: an order in doubt ([`crate::order::Doubt::Ask`]) is dialled anew. [`Error::Conflict`] if it does not wait
    /// for a decision.
    Redial {
        /// Whose.
        tenant: TenantId,
        /// Which.
        order: OrderId,
    },
    /// Bring forward to now what was deferred of a campaign, up to `max` orders looked at: it was started, resumed or
    /// aborted, and nobody is to wait for the time set while it stood still. What is due by its own time stays.
    Hasten {
        /// Exactly this priority.
        priority: u8,
        /// Whose.
        tenant: TenantId,
        /// Of this campaign.
        campaign: CampaignId,
        /// Looks on after this one.
        after: (Wall, OrderId),
        /// Due at or before.
        until: Wall,
        /// Orders looked at, 1..=1,000.
        max: u32,
    },
    /// Read one, for its tenant (`None`: the operator).
    Status {
        /// Whose.
        tenant: Option<TenantId>,
        /// Which.
        order: OrderId,
    },
    /// Read a page, newest first.
    List {
        /// Whose.
        tenant: Option<TenantId>,
        /// After this one.
        after: Option<OrderId>,
        /// Only in this state.
        state: Option<State>,
        /// At most, 1..=1,000.
        limit: u32,
    },
    /// Records of an order, or a page by sequence number.
    Records {
        /// Whose.
        tenant: Option<TenantId>,
        /// Of this order.
        order: Option<OrderId>,
        /// After this sequence number.
        after: u64,
        /// At most.
        limit: u32,
    },
    /// The story of an order.
    StoryOf(OrderId),
    /// Notices that are due, the oldest of each (order, target) only, so that they arrive in order. They are hidden
    /// for a minute from the next asker: who dies meanwhile delays them, and loses none.
    Notices {
        /// At most.
        max: u32,
    },
    /// A notice was delivered (`None`) or is to be tried again not before.
    NoticeDone {
        /// Which.
        id: u64,
        /// Next try; `None` and `given_up` false: delivered.
        retry: Option<Wall>,
        /// No more tries.
        given_up: bool,
    },
    /// Tell the webhooks of an order again how it stands: at the wish of its tenant, who lost what was told.
    Replay {
        /// Whose.
        tenant: TenantId,
        /// Which.
        order: OrderId,
    },
    /// After a restart: leases of this owner that are still open, with what was journalled for them. Each gets a new
    /// epoch, so whatever still runs under the old one is fenced.
    Orphans {
        /// Whose.
        owner: ServerId,
    },
    /// The earliest time at which anything has to be done: an order falls due, expires, or a lease lapses.
    NextDue,
    /// All lines that have orders waiting, with the earliest due time of each.
    Lines,
    /// Finish up to `max` unclaimed orders whose time has run out, as [`Disposition::Expired`].
    Expire {
        /// At most.
        max: u32,
    },
    /// A dead owner's leases move to another owner, with new epochs; the dead one is fenced from then on.
    Adopt {
        /// The dead owner.
        from: ServerId,
        /// Who takes over.
        to: ServerId,
        /// In which of its lives it died; if it has begun another, nothing is taken. 0: in any.
        life: u64,
    },
    /// A process shows that it lives, every 500 ms; the answer tells who else does. A new process of the same name gets a
    /// new epoch, and a beat with an old one is [`Error::Fenced`]: that process must end.
    Beat {
        /// Its name in the configuration.
        name: String,
        /// `control` or `media`.
        role: String,
        /// Where it is reached.
        address: String,
        /// Its epoch; 0: it has just started.
        epoch: u64,
        /// Its load, for those whom the bus does not reach.
        load: Option<Load>,
    },
    /// A control node keeps the shards it owns, takes those that nobody keeps, up to its fair share, and gives up what is
    /// above it.
    KeepShards {
        /// Who.
        owner: ServerId,
        /// Kept for so long, ms.
        keep_ms: u64,
    },
    /// Change shelves, all or nothing.
    Keep(Vec<Keep>),
    /// Read one thing from a shelf.
    Kept {
        /// Where.
        shelf: Shelf,
        /// Under which name.
        name: String,
    },
    /// Read a page of a shelf, by name.
    KeptFrom {
        /// Where.
        shelf: Shelf,
        /// Names that begin so.
        prefix: String,
        /// After this name.
        after: Option<String>,
        /// At most, 1..=1,000.
        limit: u32,
    },
    /// Retention: forget finished orders, records, story lines and request ids older than these.
    Prune {
        /// Finished orders accepted before this, with their story.
        orders: Wall,
        /// Records ended before this.
        records: Wall,
        /// Request ids (de-duplication, never less than 7 days back) accepted before this.
        intake: Wall,
    },
}

/// A process that lives, or did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number, given at the first beat.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// `control` or `media`.
    pub role: String,
    /// Where it is reached.
    pub address: String,
    /// Which of its lives.
    pub epoch: u64,
    /// Last beat.
    pub seen: Wall,
    /// Its load at that beat.
    pub load: Option<Load>,
}

/// How many orders may be accepted and not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Of the tenant whose orders these are.
    pub tenant: u32,
    /// Of all tenants.
    pub all: u32,
}

impl Room {
    /// No bound.
    pub const UNBOUNDED: Room = Room { tenant: u32::MAX, all: u32::MAX };
}

/// One claimed order.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// The claim.
    pub lease: Lease,
    /// The order itself.
    pub order: Box<Order>,
    /// Attempts that counted so far.
    pub attempts: u32,
    /// Tries since the last counted attempt that did not count (congestion).
    pub tries: u32,
    /// Claims that ended in a crash or a lapsed lease; two make a poison order.
    pub crashes: u32,
    /// When it was accepted.
    pub accepted: Wall,
}

/// Small things kept by name: what the machines need beside orders. Each shelf is a sorted map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shelf {
    /// Who is not to be called: `policy::suppress`.
    Suppressions,
    /// Tenants and keys made by API or CLI, beside the configured ones.
    Tenants,
    /// Parts that came with orders: `<order>/<content id>`.
    Attachments,
    /// Campaigns.
    Campaigns,
    /// Signed requests already seen: `<tenant>/<request id>`.
    Seen,
    /// The customer table: zone, language, last conversation.
    Customers,
    /// Rule sets stored by API.
    Policies,
    /// Errands for servers that the bus does not reach: `<server>/<order>`.
    Errands,
    /// Addresses that refused status mails.
    Bounces,
}

/// One change of a shelf: a value, or `None` to take it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Where.
    pub shelf: Shelf,
    /// Under which name.
    pub name: String,
    /// What.
    pub value: Option<Vec<u8>>,
}

/// What was journalled for an open attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Orphan {
    /// The lease.
    pub lease: Lease,
    /// The order.
    pub order: Order,
    /// Intent committed at, with its trunk and dialog constants.
    pub intent: Option<(Wall, String, Vec<u8>)>,
    /// ACK journalled, with the dialog.
    pub acked: Option<Vec<u8>>,
    /// On which server the intent says the call is.
    pub server: Option<ServerId>,
    /// Attempts that counted so far, this one included if it has an intent.
    pub attempts: u32,
    /// Claims of this order that ended in a crash, this one included.
    pub crashes: u32,
}

/// An answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Each order's id, and whether it was new.
    Accepted(Vec<(OrderId, bool)>),
    /// Claimed, and when the next order of that line is due.
    Claimed(Vec<Claimed>, Option<Wall>),
    /// So many were brought forward; if there may be more, where to look on.
    Hastened(u32, Option<(Wall, OrderId)>),
    /// Lines: priority, tenant, earliest due time.
    Lines(Vec<(u8, TenantId, Wall)>),
    /// Caps taken.
    CapsTaken,
    /// A cap forbids: which rule, and when it would allow.
    Capped {
        /// Rule.
        rule: String,
        /// Not before.
        until: Wall,
    },
    /// Written.
    Done,
    /// The order was cancelled meanwhile, or the state says so.
    Cancelled(bool),
    /// One status.
    Status(Option<Box<Status>>),
    /// Statuses.
    List(Vec<Status>),
    /// Records with their sequence numbers.
    Records(Vec<(u64, Record)>),
    /// Story lines in order.
    Story(Vec<StoryLine>),
    /// Notices.
    Notices(Vec<Notice>),
    /// Open attempts.
    Orphans(Vec<Orphan>),
    /// The earliest due time.
    NextDue(Option<Wall>),
    /// These expired.
    Expired(Vec<OrderId>),
    /// The asker first, then all others.
    Nodes(Vec<Node>),
    /// The shards the asker owns, with their fencing numbers.
    Shards(Vec<(u8, u64)>),
    /// One thing from a shelf.
    Kept(Option<Vec<u8>>),
    /// Things from a shelf, by name.
    KeptFrom(Vec<(String, Vec<u8>)>),
}

impl Ask {
    /// Asks for reading only: may run beside the writer, and is answered even when nothing can be written.
    #[must_use]
    pub fn reads_only(&self) -> bool {
        matches!(
            self,
            Ask::Status { .. }
                | Ask::List { .. }
                | Ask::Records { .. }
                | Ask::StoryOf(_)
                | Ask::NextDue
                | Ask::Lines
                | Ask::Kept { .. }
                | Ask::KeptFrom { .. }
        )
    }
}

/// The attempt that the claim with this epoch makes: derived, so that a story can be found by its order alone, and
/// a claim needs no chance. Epoch 0 stands for the order itself (what happened before any claim).
#[must_use]
pub fn attempt_of(order: OrderId, epoch: u64) -> AttemptId {
    if epoch == 0 {
        return AttemptId(order.0);
    }
    let high = u64::try_from(order.0 >> 64).expect("64 bits are left");
    let low = u64::try_from(order.0 & u128::from(u64::MAX)).expect("masked to 64 bits");
    AttemptId(Seed(high).derive(epoch).derive(low).rng().next_u128())
}

/// Why a question was not carried out. Nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Someone claimed it since (stale epoch).
    Fenced,
    /// Same request id, other content.
    Conflict,
    /// No such thing for this tenant.
    NotFound,
    /// So many orders wait already that no more are accepted: of this tenant (`true`), or of all.
    Full {
        /// The tenant's own bound was met.
        tenant: bool,
    },
    /// Not now: disk full, database away. Nothing was accepted.
    Unavailable,
    /// A stored row cannot be read back.
    Corrupt,
}

/// A store. One owner (its writer thread); the shell groups questions into batches.
pub trait Store: Send {
    /// Runs a batch in one durable transaction; each question succeeds or fails alone. On [`Error::Unavailable`] for
    /// one, all of the batch that write are `Unavailable`.
    fn run(&mut self, now: Now, batch: Vec<Ask>) -> Vec<Result<Answer, Error>>;
}
