//! Reading: status, lists, records, stories; and appending the latter two.

use super::head::{Head, Hold, head_columns, state_code};
use super::{Batch, Fail, id};
use crate::store::db::{Columns, Db, Value};
use control::order::{Disposition, Order, State};
use control::record::Record;
use control::store::{Answer, Error, Status, StoryLine, attempt_of};
use units::{AttemptId, OrderId, TenantId, Wall};

/// At most so many rows in one answer.
const PAGE_MAX: u32 = 1_000;
/// A story is looked for under so many claims, the last ones.
const CLAIMS_TOLD_MAX: u64 = 1_000;

macro_rules! status_select {
    ($rest:literal) => {
        concat!(
            "SELECT o.accepted, o.id, o.body, o.done, o.disposition, o.attempts, o.changed, o.seq, o.epoch, ",
            "o.decision, o.result, ",
            head_columns!(),
            " FROM orders o LEFT JOIN live l ON l.id = o.id ",
            $rest
        )
    };
}

const ONE: &str = status_select!("WHERE o.id = ?1");
const PAGE: &str = status_select!(
    "WHERE (o.accepted < ?1 OR (o.accepted = ?1 AND o.id < ?2)) AND (CAST(?3 AS BIGINT) < 0 OR \
     (CASE WHEN o.done = 1 THEN 4 ELSE l.state END) = ?3) ORDER BY o.accepted DESC, o.id DESC LIMIT ?4"
);
const PAGE_OF: &str = status_select!(
    "WHERE (o.accepted < ?1 OR (o.accepted = ?1 AND o.id < ?2)) AND (CAST(?3 AS BIGINT) < 0 OR \
     (CASE WHEN o.done = 1 THEN 4 ELSE l.state END) = ?3) AND o.tenant = ?4 \
     ORDER BY o.accepted DESC, o.id DESC LIMIT ?5"
);
const RECORD_KNOWN: &str = "SELECT seq FROM records WHERE attempt = ?1";
const RECORD: &str =
    "INSERT INTO records (attempt, order_id, tenant, ended, body) VALUES (?1, ?2, ?3, ?4, ?5)";
const RECORDS: &str = "SELECT seq, body FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2";
const RECORDS_OF: &str = "SELECT seq, body FROM records WHERE tenant = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
const RECORDS_BY: &str =
    "SELECT seq, body FROM records WHERE order_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
const LINE: &str = "INSERT INTO story (attempt, at, kind, text) VALUES (?1, ?2, ?3, ?4)";
const LINES: &str = "SELECT at, attempt, kind, text, n FROM story WHERE attempt = ?1 ORDER BY at, n";
const EPOCH: &str = "SELECT o.epoch, l.epoch FROM orders o LEFT JOIN live l ON l.id = o.id WHERE o.id = ?1";

impl<D: Db> Batch<'_, D> {
    pub(super) fn status(&mut self, tenant: Option<TenantId>, order: OrderId) -> Result<Answer, Fail> {
        self.flush()?;
        let row = self.db.read(ONE, &[id(order.0)])?.into_iter().next();
        let status = row.map(status_of).transpose()?;
        let visible = status.filter(|s| tenant.is_none_or(|t| s.order.tenant == t));
        Ok(Answer::Status(visible.map(Box::new)))
    }

    pub(super) fn list(
        &mut self,
        tenant: Option<TenantId>,
        after: Option<OrderId>,
        state: Option<State>,
        limit: u32,
    ) -> Result<Answer, Fail> {
        self.flush()?;
        let (accepted, last) = match after {
            None => (i64::MAX, vec![0xff; 16]),
            Some(order) => self.place_of(tenant, order)?,
        };
        let limit = limit.clamp(1, PAGE_MAX);
        let mut params: Vec<Value> = vec![accepted.into(), last.into(), state.map_or(-1, state_code).into()];
        let rows = match tenant {
            None => {
                params.push(limit.into());
                self.db.read(PAGE, &params)?
            }
            Some(tenant) => {
                params.extend([tenant.0.into(), limit.into()]);
                self.db.read(PAGE_OF, &params)?
            }
        };
        Ok(Answer::List(rows.into_iter().map(status_of).collect::<Result<_, _>>()?))
    }

    fn place_of(&mut self, tenant: Option<TenantId>, order: OrderId) -> Result<(i64, Vec<u8>), Fail> {
        match self.status(tenant, order)? {
            Answer::Status(Some(status)) => Ok((status.accepted.0, order.0.to_be_bytes().to_vec())),
            _ => Err(Error::NotFound.into()),
        }
    }

    pub(super) fn append(&mut self, records: &[Record]) -> Result<Answer, Fail> {
        let sets: Vec<Vec<Value>> = records.iter().map(|r| vec![r.attempt.0.into()]).collect();
        let known = self.db.read_each(RECORD_KNOWN, &sets)?;
        let mut within = std::collections::BTreeSet::new();
        for (record, known) in records.iter().zip(known) {
            if !known.is_empty() || !within.insert(record.attempt) {
                continue;
            }
            let body = serde_json::to_string(record).map_err(|_| Error::Corrupt)?;
            let row = vec![
                record.attempt.0.into(),
                record.order.map(|o| o.0).into(),
                record.tenant.0.into(),
                record.ended.0.into(),
                body.into(),
            ];
            self.db.write(RECORD, row)?;
        }
        Ok(Answer::Done)
    }

    pub(super) fn records(
        &mut self,
        tenant: Option<TenantId>,
        order: Option<OrderId>,
        after: u64,
        limit: u32,
    ) -> Result<Answer, Fail> {
        let limit = Value::from(limit.clamp(1, PAGE_MAX));
        let rows = match (order, tenant) {
            (Some(order), _) => self.db.read(RECORDS_BY, &[id(order.0), after.into(), limit])?,
            (None, Some(tenant)) => self.db.read(RECORDS_OF, &[tenant.0.into(), after.into(), limit])?,
            (None, None) => self.db.read(RECORDS, &[after.into(), limit])?,
        };
        let mut records = Vec::with_capacity(rows.len());
        for row in rows {
            let mut columns = Columns::of(row);
            let (seq, record): (u64, Record) = (columns.u64()?, columns.json()?);
            if tenant.is_none_or(|t| record.tenant == t) {
                records.push((seq, record));
            }
        }
        Ok(Answer::Records(records))
    }

    pub(super) fn story(&mut self, lines: &[StoryLine]) -> Result<Answer, Fail> {
        for line in lines {
            let row = vec![
                line.attempt.0.into(),
                line.at.0.into(),
                line.kind.as_str().into(),
                line.text.as_str().into(),
            ];
            self.db.write(LINE, row)?;
        }
        Ok(Answer::Done)
    }

    pub(super) fn story_of(&mut self, order: OrderId) -> Result<Answer, Fail> {
        self.flush()?;
        let mut last = 0;
        if let Some(row) = self.db.read(EPOCH, &[id(order.0)])?.into_iter().next() {
            let mut columns = Columns::of(row);
            let (over, live) = (columns.int_or_null()?, columns.int_or_null()?);
            last = u64::try_from(over.max(live).unwrap_or(0)).unwrap_or(0);
        }
        let first = last.saturating_sub(CLAIMS_TOLD_MAX).max(1);
        let epochs = std::iter::once(0).chain(first..=last);
        let sets: Vec<Vec<Value>> = epochs.map(|epoch| vec![attempt_of(order, epoch).0.into()]).collect();
        let mut lines = Vec::new();
        for row in self.db.read_each(LINES, &sets)?.into_iter().flatten() {
            let mut columns = Columns::of(row);
            let at = Wall(columns.int()?);
            lines.push(StoryLine {
                at,
                attempt: AttemptId(columns.id()?),
                kind: columns.text()?,
                text: columns.text()?,
            });
        }
        // A stable sort: lines of one attempt and one millisecond stay as they were written.
        lines.sort_by_key(|line| line.at);
        Ok(Answer::Story(lines))
    }
}

fn status_of(row: Vec<Value>) -> Result<Status, Fail> {
    let mut columns = Columns::of(row);
    let accepted = Wall(columns.int()?);
    let _id = columns.id()?;
    let order: Order = columns.json()?;
    let done = columns.int()? != 0;
    let disposition = columns.text_or_null()?;
    let (attempts, changed, seq) = (columns.int_or_null()?, columns.int_or_null()?, columns.int_or_null()?);
    let (_epoch, decision) = (columns.int_or_null()?, columns.text_or_null()?);
    let result = columns.text_or_null()?;
    if done {
        let name = serde_json::Value::String(disposition.unwrap_or_default());
        let disposition: Disposition = serde_json::from_value(name).map_err(|_| Error::Corrupt)?;
        return Ok(Status {
            order,
            state: State::Done,
            disposition: Some(disposition),
            due: None,
            attempts: u32::try_from(attempts.unwrap_or(0)).unwrap_or(u32::MAX),
            accepted,
            changed: Wall(changed.unwrap_or(0)),
            seq: u64::try_from(seq.unwrap_or(0)).unwrap_or(0),
            decision,
            result,
        });
    }
    let head = Head::of(&mut columns)?;
    Ok(Status {
        order,
        state: head.state,
        disposition: None,
        due: (head.hold == Hold::Free).then_some(Wall(head.due)),
        attempts: head.attempts,
        accepted,
        changed: Wall(head.changed),
        seq: head.seq,
        decision: head.decision,
        result: None,
    })
}
