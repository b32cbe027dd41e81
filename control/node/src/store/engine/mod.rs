//! The store's rules, written once for both databases: a batch of questions becomes one durable transaction.
//!
//! What a batch changes about an order is gathered in its [`Head`] and written once before the commit. Every question
//! checks before it writes, so that a refused one (stale epoch, other digest) leaves nothing behind; an error of the
//! database undoes the batch, and if it was one statement's fault the questions run again one by one.

mod accept;
mod head;
mod lease;
mod notice;
mod read;
mod recover;
mod registry;
mod second;
mod shelf;
mod waiting;

use super::db::{Db, DbError, Unreadable, Value};
use control::store::{Answer, Ask, Error};
use head::Head;
use std::collections::{BTreeMap, BTreeSet};
use units::{Now, OrderId};

/// How often a batch that lost to another writer is run again at once.
const AGAIN_MAX: u32 = 5;

/// A store over one writing connection.
pub(crate) struct Engine<D> {
    db: D,
    poisoned: bool,
}

/// Why a question fails.
#[derive(Debug)]
pub(crate) enum Fail {
    /// It alone, by the store's rules.
    Rule(Error),
    /// The database: the batch.
    Db(DbError),
}

impl From<DbError> for Fail {
    fn from(e: DbError) -> Self {
        Fail::Db(e)
    }
}
impl From<Unreadable> for Fail {
    fn from(_: Unreadable) -> Self {
        Fail::Rule(Error::Corrupt)
    }
}
impl From<Error> for Fail {
    fn from(e: Error) -> Self {
        Fail::Rule(e)
    }
}

impl<D: Db> Engine<D> {
    pub(crate) fn new(db: D) -> Self {
        Self { db, poisoned: false }
    }

    /// The connection.
    pub(crate) fn db(&mut self) -> &mut D {
        &mut self.db
    }

    /// See [`control::store::Store::run`].
    pub(crate) fn run(&mut self, now: Now, batch: Vec<Ask>) -> Vec<Result<Answer, Error>> {
        if self.poisoned {
            return batch.iter().map(|_| Err(Error::Unavailable)).collect();
        }
        let mut left = AGAIN_MAX;
        loop {
            match self.transact(now, &batch) {
                Ok(answers) => return answers,
                Err(DbError::Again(_)) if left > 0 => left -= 1,
                Err(DbError::Refused(why)) if batch.len() > 1 => {
                    tracing::warn!(
                        why,
                        "one question of a batch was refused by the database; running them singly"
                    );
                    return batch.into_iter().flat_map(|ask| self.run(now, vec![ask])).collect();
                }
                Err(error) => return self.fail(&batch, &error),
            }
        }
    }

    fn fail(&mut self, batch: &[Ask], error: &DbError) -> Vec<Result<Answer, Error>> {
        tracing::error!(?error, questions = batch.len(), "a batch was not carried out");
        self.poisoned = matches!(error, DbError::Poisoned(_));
        let each = if matches!(error, DbError::Refused(_)) { Error::Corrupt } else { Error::Unavailable };
        batch.iter().map(|_| Err(each)).collect()
    }

    fn transact(&mut self, now: Now, batch: &[Ask]) -> Result<Vec<Result<Answer, Error>>, DbError> {
        let writes = batch.iter().any(|ask| !ask.reads_only());
        if writes {
            self.db.begin()?;
        }
        let done = Batch::new(&mut self.db, now.wall.0).carry_out(batch, writes);
        match done {
            Ok(answers) if writes => match self.db.commit() {
                Ok(()) => Ok(answers),
                Err(error) => {
                    self.db.rollback();
                    Err(error)
                }
            },
            Err(error) if writes => {
                self.db.rollback();
                Err(error)
            }
            other => other,
        }
    }
}

/// One transaction under way.
struct Batch<'a, D> {
    db: &'a mut D,
    /// Wall time, ms.
    now: i64,
    /// Orders that are not over, as this transaction has them; `None`: there is no such one.
    heads: BTreeMap<u128, Option<Head>>,
    dirty: BTreeSet<u128>,
    waiting: waiting::Waiting,
}

impl<'a, D: Db> Batch<'a, D> {
    fn new(db: &'a mut D, now: i64) -> Self {
        Self { db, now, heads: BTreeMap::new(), dirty: BTreeSet::new(), waiting: Default::default() }
    }

    fn carry_out(&mut self, batch: &[Ask], writes: bool) -> Result<Vec<Result<Answer, Error>>, DbError> {
        if writes {
            self.db.lock(&lock_keys(batch))?;
            self.load(&orders_under_lease(batch))?;
        }
        let mut answers = Vec::with_capacity(batch.len());
        for ask in batch {
            answers.push(match self.one(ask) {
                Ok(answer) => Ok(answer),
                Err(Fail::Rule(error)) => Err(error),
                Err(Fail::Db(error)) => return Err(error),
            });
        }
        self.flush()?;
        self.count_waiting()?;
        Ok(answers)
    }

    fn one(&mut self, ask: &Ask) -> Result<Answer, Fail> {
        match ask {
            Ask::Accept { orders, due, room } => self.accept(orders, due, *room),
            Ask::Take { lease, owner, lease_ms } => self.take(lease, *owner, *lease_ms),
            Ask::Claim { priority, tenant, due, max, lease_ms, owner } => {
                self.claim((*priority, *tenant), due.0, *max, *lease_ms, *owner)
            }
            Ask::Second { order, caps, decision, lease_ms, owner } => {
                self.second(order, caps, decision, *lease_ms, *owner)
            }
            Ask::TakeCaps { lease, caps, decision } => self.take_caps(lease, caps, decision),
            Ask::Intent { lease, server, trunk, dialog } => self.intent(lease, *server, trunk, dialog),
            Ask::AckIntent { attempt, epoch, dialog } => self.ack_intent(*attempt, *epoch, dialog),
            Ask::Progress { order, epoch, state } => self.progress(*order, *epoch, *state),
            Ask::Requeue { order, epoch, due, deferred, decision, refund, counted, crashed } => {
                let (deferred, refund, counted, crashed) = (*deferred, *refund, *counted, *crashed);
                let put = lease::PutBack { due: due.0, deferred, refund, counted, crashed };
                self.requeue(*order, *epoch, put, decision.as_deref())
            }
            Ask::Finish { order, epoch, disposition, decision, result } => {
                self.finish_leased(*order, *epoch, *disposition, decision.as_deref(), result.as_deref())
            }
            Ask::Append(records) => self.append(records),
            Ask::Story(lines) => self.story(lines),
            Ask::Hasten { priority, tenant, campaign, after, until, max } => {
                self.hasten((*priority, *tenant), *campaign, *after, until.0, *max)
            }
            Ask::Cancel { tenant, order } => self.cancel(*tenant, *order),
            Ask::Redial { tenant, order } => self.redial(*tenant, *order),
            Ask::Status { tenant, order } => self.status(*tenant, *order),
            Ask::List { tenant, after, state, limit } => self.list(*tenant, *after, *state, *limit),
            Ask::Records { tenant, order, after, limit } => self.records(*tenant, *order, *after, *limit),
            Ask::StoryOf(order) => self.story_of(*order),
            Ask::Notices { max } => self.notices(*max),
            Ask::Replay { tenant, order } => self.replay(*tenant, *order),
            Ask::NoticeDone { id, retry, given_up } => self.notice_done(*id, *retry, *given_up),
            Ask::Orphans { owner } => self.orphans(*owner, *owner),
            Ask::Adopt { from, to, life } => self.adopt(*from, *to, *life),
            Ask::NextDue => self.next_due(),
            Ask::Lines => Ok(Answer::Lines(self.lines()?)),
            Ask::Beat { name, role, address, epoch, load } => self.beat(name, role, address, *epoch, *load),
            Ask::KeepShards { owner, keep_ms } => self.keep_shards(*owner, *keep_ms),
            Ask::Expire { max } => self.expire(*max),
            Ask::Keep(changes) => self.keep_things(changes),
            Ask::Kept { shelf, name } => self.kept(*shelf, name),
            Ask::KeptFrom { shelf, prefix, after, limit } => {
                self.kept_from(*shelf, prefix, after.as_deref(), *limit)
            }
            Ask::Prune { orders, records, intake } => self.prune(orders.0, records.0, intake.0),
        }
    }
}

/// Orders whose rows the batch will need, in the order in which every writer takes them.
fn orders_under_lease(batch: &[Ask]) -> BTreeSet<u128> {
    let of = |ask: &Ask| -> Option<OrderId> {
        match ask {
            Ask::TakeCaps { lease, .. } | Ask::Intent { lease, .. } | Ask::Take { lease, .. } => {
                Some(lease.order)
            }
            Ask::Progress { order, .. }
            | Ask::Requeue { order, .. }
            | Ask::Finish { order, .. }
            | Ask::Redial { order, .. }
            | Ask::Cancel { order, .. } => Some(*order),
            _ => None,
        }
    };
    batch.iter().filter_map(of).map(|order| order.0).collect()
}

/// Names that must not be worked on by two writers at once: request ids, cap keys, the numbering of records.
/// Sorted, so that two batches never wait for each other in a circle.
fn lock_keys(batch: &[Ask]) -> Vec<i64> {
    let mut keys = BTreeSet::new();
    for ask in batch {
        match ask {
            Ask::Accept { orders, .. } => {
                keys.extend(
                    orders
                        .iter()
                        .map(|(o, _)| lock_key(&[b"r", &o.tenant.0.to_be_bytes(), o.request_id.as_bytes()])),
                );
            }
            Ask::TakeCaps { caps, .. } | Ask::Second { caps, .. } => {
                keys.extend(caps.iter().map(|c| lock_key(&[b"c", c.key.as_bytes()])))
            }
            Ask::Append(_) => {
                keys.insert(lock_key(&[b"records"]));
            }
            Ask::Beat { .. } | Ask::KeepShards { .. } => {
                keys.insert(lock_key(&[b"registry"]));
            }
            _ => {}
        }
    }
    keys.into_iter().collect()
}

/// FNV-1a over the parts; two names that collide only wait for each other.
fn lock_key(parts: &[&[u8]]) -> i64 {
    let octets = parts.iter().flat_map(|p| p.iter());
    let h = octets.fold(0xcbf2_9ce4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    i64::from_be_bytes(h.to_be_bytes())
}

/// The id as a column.
fn id(order: u128) -> Value {
    Value::from(order)
}
