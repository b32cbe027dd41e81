//! Notices: queued in the transaction that changes a status, delivered at least once, in order per order and target.

use super::head::Head;
use super::{Batch, Fail, id};
use crate::store::db::{Columns, Db};
use control::order::{Disposition, ResultTo};
use control::store::{Answer, Error, Notice};
use units::{OrderId, TenantId, Wall};

/// A notice that was handed out is not handed out again for so long.
const HIDE_MS: i64 = 60_000;

const INSERT: &str = "INSERT INTO notices (id, target, seq, body, tries, due) VALUES (?1, ?2, ?3, ?4, 0, ?5)";
const DUE: &str = "SELECT n.n, n.id, n.target, n.seq, n.body, n.tries, n.due FROM notices n WHERE n.due <= ?1 \
     AND NOT EXISTS (SELECT 1 FROM notices e WHERE e.id = n.id AND e.target = n.target AND e.n < n.n) \
     ORDER BY n.due, n.n LIMIT ?2 /*claim n*/";
const HIDE: &str = "UPDATE notices SET due = ?1 WHERE n = ?2";
const LATER: &str = "UPDATE notices SET due = ?1, tries = tries + 1 WHERE n = ?2";
const GONE: &str = "DELETE FROM notices WHERE n = ?1";

impl<D: Db> Batch<'_, D> {
    /// A step on the way: webhooks hear of it, mail does not (people want one mail, not five).
    pub(super) fn tell_change(&mut self, order: OrderId) -> Result<(), Fail> {
        let head = self.head(order.0)?.clone();
        let (request_id, targets) = who(&head)?;
        for target in targets.iter().filter(|t| matches!(t, ResultTo::Webhook(_))) {
            let body = body(order, &request_id, &head, None, None);
            self.queue(order, target, head.seq, body)?;
        }
        Ok(())
    }

    /// The end: everybody hears of it.
    pub(super) fn tell_end(
        &mut self,
        order: OrderId,
        head: &Head,
        disposition: Disposition,
        result: Option<&str>,
    ) -> Result<(), Fail> {
        let (request_id, targets) = who(head)?;
        for target in &targets {
            let body = body(order, &request_id, head, Some(disposition), result);
            self.queue(order, target, head.seq, body)?;
        }
        Ok(())
    }

    /// Queues anew what the webhooks were told last.
    pub(super) fn replay(&mut self, tenant: TenantId, order: OrderId) -> Result<Answer, Fail> {
        let Answer::Status(Some(status)) = self.status(Some(tenant), order)? else {
            return Err(Error::NotFound.into());
        };
        let json = |text: Option<&str>| text.and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
        let body = serde_json::json!({
            "id": order, "request_id": status.order.request_id, "seq": status.seq, "state": status.state,
            "disposition": status.disposition, "attempts": status.attempts, "at_ms": status.changed.0,
            "decision": json(status.decision.as_deref()), "result": json(status.result.as_deref()), "replayed": true,
        });
        for target in status.order.results_to.iter().filter(|t| matches!(t, ResultTo::Webhook(_))) {
            self.queue(order, target, status.seq, body.to_string())?;
        }
        Ok(Answer::Done)
    }

    fn queue(&mut self, order: OrderId, target: &ResultTo, seq: u64, body: String) -> Result<(), Fail> {
        let target = serde_json::to_string(target).map_err(|_| Error::Corrupt)?;
        self.db.write(INSERT, vec![id(order.0), target.into(), seq.into(), body.into(), self.now.into()])?;
        Ok(())
    }

    pub(super) fn notices(&mut self, max: u32) -> Result<Answer, Fail> {
        let rows = self.db.read(DUE, &[self.now.into(), max.min(1_000).into()])?;
        let mut notices = Vec::with_capacity(rows.len());
        for row in rows {
            let mut columns = Columns::of(row);
            let notice = Notice {
                id: columns.u64()?,
                order: OrderId(columns.id()?),
                to: columns.json()?,
                seq: columns.u64()?,
                body: columns.text()?,
                tries: columns.u32()?,
                due: Wall(columns.int()?),
            };
            self.db.write(HIDE, vec![(self.now + HIDE_MS).into(), notice.id.into()])?;
            notices.push(notice);
        }
        Ok(Answer::Notices(notices))
    }

    pub(super) fn notice_done(
        &mut self,
        notice: u64,
        retry: Option<Wall>,
        given_up: bool,
    ) -> Result<Answer, Fail> {
        match retry {
            Some(at) if !given_up => self.db.write(LATER, vec![at.0.into(), notice.into()])?,
            _ => self.db.write(GONE, vec![notice.into()])?,
        }
        Ok(Answer::Done)
    }
}

fn who(head: &Head) -> Result<(String, Vec<ResultTo>), Fail> {
    serde_json::from_str(&head.notify).map_err(|_| Fail::Rule(Error::Corrupt))
}

/// What a notice says: the status in the API's words.
fn body(
    order: OrderId,
    request_id: &str,
    head: &Head,
    disposition: Option<Disposition>,
    result: Option<&str>,
) -> String {
    let json = |text: Option<&str>| text.and_then(|t| serde_json::from_str::<serde_json::Value>(t).ok());
    serde_json::json!({
        "id": order, "request_id": request_id, "seq": head.seq, "state": head.state, "disposition": disposition,
        "attempts": head.attempts, "at_ms": head.changed, "decision": json(head.decision.as_deref()),
        "result": json(result),
    })
    .to_string()
}
