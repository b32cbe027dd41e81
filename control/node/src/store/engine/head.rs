//! `Head`: the hot row of an order that is not over.

use super::{Batch, Fail, id};
use crate::store::db::{Columns, Db, DbError, Row, Unreadable, Value};
use control::order::State;
use control::store::Error;
use std::collections::BTreeSet;
use units::OrderId;

/// Whether an order is claimed, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// In `ready`.
    Free,
    /// Claimed; nothing was dialled, so it may lapse.
    Claimed,
    /// An intent is durable: never claimed again without someone deciding what became of it.
    Dialled,
}

impl Hold {
    fn code(self) -> i64 {
        match self {
            Hold::Free => 0,
            Hold::Claimed => 1,
            Hold::Dialled => 2,
        }
    }

    fn of(code: i64) -> Result<Self, Unreadable> {
        match code {
            0 => Ok(Hold::Free),
            1 => Ok(Hold::Claimed),
            2 => Ok(Hold::Dialled),
            _ => Err(Unreadable),
        }
    }
}

/// See the module. Times in ms.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) accepted: i64,
    pub(super) tenant: u32,
    pub(super) priority: i64,
    pub(super) state: State,
    pub(super) due: i64,
    pub(super) expires: i64,
    pub(super) attempts: u32,
    pub(super) tries: u32,
    pub(super) crashes: u32,
    pub(super) changed: i64,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) hold: Hold,
    pub(super) owner: u32,
    pub(super) until: i64,
    pub(super) attempt: Option<u128>,
    pub(super) server: Option<u32>,
    pub(super) trunk: Option<String>,
    pub(super) dialog: Option<Vec<u8>>,
    pub(super) intent_at: Option<i64>,
    pub(super) acked: Option<Vec<u8>>,
    pub(super) cancel: bool,
    /// Keys and time of the caps taken, JSON `[at, [keys]]`.
    pub(super) caps: Option<String>,
    pub(super) decision: Option<String>,
    /// What notices need, JSON `[request_id, results_to]`; never changes.
    pub(super) notify: String,
    /// The indexed columns as they stand in the row.
    pub(super) indexed: Option<Indexed>,
}

/// The columns of `live` that stand in an index and may change.
type Indexed = (Hold, u32, i64, Option<u128>);

/// The columns of [`Head`] in order, to be read from `live l`.
macro_rules! head_columns {
    () => {
        "l.accepted, l.tenant, l.priority, l.state, l.due, l.expires, l.attempts, l.tries, l.crashes, l.changed, \
         l.seq, l.epoch, l.claimed, l.owner, l.until, l.attempt, l.server, l.trunk, l.dialog, l.intent_at, l.acked, \
         l.cancel, l.caps, l.decision, l.notify"
    };
}
pub(super) use head_columns;

const LOAD: &str = concat!("SELECT ", head_columns!(), " FROM live l WHERE l.id = ?1 /*lock*/");
const INSERT: &str = "INSERT INTO live (accepted, tenant, priority, state, due, expires, attempts, tries, crashes, changed, \
     seq, epoch, claimed, owner, until, attempt, server, trunk, dialog, intent_at, acked, cancel, caps, decision, notify, id) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, \
     ?24, ?25, ?26)";
const UPDATE: &str = "UPDATE live SET state = ?1, due = ?2, attempts = ?3, tries = ?4, crashes = ?5, changed = ?6, \
     seq = ?7, epoch = ?8, claimed = ?9, owner = ?10, until = ?11, attempt = ?12, server = ?13, trunk = ?14, \
     dialog = ?15, intent_at = ?16, acked = ?17, cancel = ?18, caps = ?19, decision = ?20 WHERE id = ?21";
/// Most changes touch no index; then none is named, for SQLite rewrites every index whose column stands in `SET`.
const UPDATE_PLAIN: &str = "UPDATE live SET state = ?1, due = ?2, attempts = ?3, tries = ?4, crashes = ?5, changed = ?6, \
     seq = ?7, epoch = ?8, server = ?9, trunk = ?10, dialog = ?11, intent_at = ?12, acked = ?13, cancel = ?14, \
     caps = ?15, decision = ?16 WHERE id = ?17";
const DELETE: &str = "DELETE FROM live WHERE id = ?1";
const READY: &str = "INSERT INTO ready (priority, tenant, due, id) VALUES (?1, ?2, ?3, ?4)";
const UNREADY: &str = "DELETE FROM ready WHERE priority = ?1 AND tenant = ?2 AND due = ?3 AND id = ?4";

/// State as a column.
pub(super) fn state_code(state: State) -> i64 {
    match state {
        State::Scheduled => 0,
        State::Deferred => 1,
        State::Calling => 2,
        State::Talking => 3,
        State::Done => 4,
    }
}

/// State from a column.
pub(super) fn state_of(code: i64) -> Result<State, Unreadable> {
    [State::Scheduled, State::Deferred, State::Calling, State::Talking, State::Done]
        .into_iter()
        .find(|s| state_code(*s) == code)
        .ok_or(Unreadable)
}

impl Head {
    pub(super) fn of(columns: &mut Columns) -> Result<Self, Unreadable> {
        let mut head = Self {
            accepted: columns.int()?,
            tenant: columns.u32()?,
            priority: columns.int()?,
            state: state_of(columns.int()?)?,
            due: columns.int()?,
            expires: columns.int()?,
            attempts: columns.u32()?,
            tries: columns.u32()?,
            crashes: columns.u32()?,
            changed: columns.int()?,
            seq: columns.u64()?,
            epoch: columns.u64()?,
            hold: Hold::of(columns.int()?)?,
            owner: columns.u32()?,
            until: columns.int()?,
            attempt: columns.id_or_null()?,
            server: columns.int_or_null()?.map(u32::try_from).transpose().map_err(|_| Unreadable)?,
            trunk: columns.text_or_null()?,
            dialog: columns.blob_or_null()?,
            intent_at: columns.int_or_null()?,
            acked: columns.blob_or_null()?,
            cancel: columns.int()? != 0,
            caps: columns.text_or_null()?,
            decision: columns.text_or_null()?,
            notify: columns.text()?,
            indexed: None,
        };
        head.indexed = Some(head.indexed_now());
        Ok(head)
    }

    fn indexed_now(&self) -> Indexed {
        (self.hold, self.owner, self.until, self.attempt)
    }

    /// The columns that never change, then the others, in the order of the statements above.
    fn fixed(&self) -> [Value; 3] {
        [self.accepted.into(), self.tenant.into(), self.priority.into()]
    }

    /// Its key in `ready`.
    fn place(&self, order: u128) -> Vec<Value> {
        vec![self.priority.into(), self.tenant.into(), self.due.into(), id(order)]
    }

    fn counters(&self) -> [Value; 6] {
        let h = self;
        [h.attempts.into(), h.tries.into(), h.crashes.into(), h.changed.into(), h.seq.into(), h.epoch.into()]
    }

    fn held(&self) -> [Value; 12] {
        let h = self.clone();
        [
            h.hold.code().into(),
            h.owner.into(),
            h.until.into(),
            h.attempt.into(),
            h.server.into(),
            h.trunk.into(),
            h.dialog.into(),
            h.intent_at.into(),
            h.acked.into(),
            i64::from(h.cancel).into(),
            h.caps.into(),
            h.decision.into(),
        ]
    }
}

impl<D: Db> Batch<'_, D> {
    /// Reads the rows of these orders that are not here yet, locked where there are other writers.
    pub(super) fn load(&mut self, orders: &BTreeSet<u128>) -> Result<(), DbError> {
        let missing: Vec<u128> = orders.iter().copied().filter(|o| !self.heads.contains_key(o)).collect();
        let sets: Vec<Vec<Value>> = missing.iter().map(|o| vec![id(*o)]).collect();
        let found = self.db.read_each(LOAD, &sets)?;
        for (order, rows) in missing.into_iter().zip(found) {
            self.keep(order, rows.into_iter().next());
        }
        Ok(())
    }

    fn keep(&mut self, order: u128, row: Option<Row>) {
        let head = row.and_then(|row| match Head::of(&mut Columns::of(row)) {
            Ok(head) => Some(head),
            Err(Unreadable) => {
                tracing::error!(order = %OrderId(order), "the row of an order cannot be read back");
                None
            }
        });
        self.heads.insert(order, head);
    }

    /// The row of an order that is not over.
    pub(super) fn head(&mut self, order: u128) -> Result<&mut Head, Fail> {
        if !self.heads.contains_key(&order) {
            self.load(&BTreeSet::from([order]))?;
        }
        self.heads.get_mut(&order).and_then(Option::as_mut).ok_or(Fail::Rule(Error::NotFound))
    }

    /// The row, if `epoch` is the newest claim on it; else the asker is fenced.
    pub(super) fn leased(&mut self, order: OrderId, epoch: u64) -> Result<&mut Head, Fail> {
        match self.head(order.0) {
            Ok(head) if head.hold != Hold::Free && head.epoch == epoch => Ok(head),
            Ok(_) | Err(Fail::Rule(_)) => Err(Fail::Rule(Error::Fenced)),
            Err(fail) => Err(fail),
        }
    }

    /// Marks the row for writing.
    pub(super) fn touch(&mut self, order: u128) {
        self.dirty.insert(order);
    }

    /// A new order: its row, and its place in `ready`.
    pub(super) fn enlist(&mut self, order: u128, head: Head) -> Result<(), DbError> {
        let mut row = Vec::with_capacity(26);
        row.extend(head.fixed());
        row.extend([state_code(head.state).into(), head.due.into(), head.expires.into()]);
        row.extend(head.counters());
        row.extend(head.held());
        row.extend([head.notify.clone().into(), id(order)]);
        self.db.write(INSERT, row)?;
        self.put_ready(order, &head)?;
        self.waiting.add(head.tenant, 1);
        self.heads.insert(order, Some(head));
        Ok(())
    }

    /// An order that is over.
    pub(super) fn delist(&mut self, order: u128) -> Result<(), DbError> {
        let gone = self.heads.insert(order, None).flatten();
        if let Some(head) = gone {
            self.waiting.add(head.tenant, -1);
            if head.hold == Hold::Free {
                self.take_ready(order, &head)?;
            }
        }
        self.dirty.remove(&order);
        self.db.write(DELETE, vec![id(order)])
    }

    pub(super) fn put_ready(&mut self, order: u128, head: &Head) -> Result<(), DbError> {
        self.db.write(READY, head.place(order))
    }

    pub(super) fn take_ready(&mut self, order: u128, head: &Head) -> Result<(), DbError> {
        self.db.write(UNREADY, head.place(order))
    }

    /// Writes every changed row, so that the next statement over `live` sees this transaction as it is.
    pub(super) fn flush(&mut self) -> Result<(), DbError> {
        for order in std::mem::take(&mut self.dirty) {
            let Some(Some(head)) = self.heads.get_mut(&order) else { continue };
            let now = head.indexed_now();
            let plain = head.indexed.replace(now) == Some(now);
            let mut row = vec![state_code(head.state).into(), head.due.into()];
            row.extend(head.counters());
            // The first four are the indexed ones.
            row.extend(head.held().into_iter().skip(if plain { 4 } else { 0 }));
            row.push(id(order));
            self.db.write(if plain { UPDATE_PLAIN } else { UPDATE }, row)?;
        }
        Ok(())
    }
}
