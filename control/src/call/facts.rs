//! What a call gathers for its record.

use crate::conduct::Ctx;
use crate::order::Disposition;
use crate::record::{Direction, Record};
use dataplane::report::BearerCounts;
use serde_json::{Map, Value};
use signalling::leg::Ended;
use std::time::Duration;
use units::{AttemptId, Cause, Now, OrderId, Private, TenantId, Wall};
use vxml::session::Connection;

/// What goes into the record.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) attempt: AttemptId,
    pub(super) tenant: TenantId,
    pub(super) direction: Direction,
    pub(super) from: Private<String>,
    pub(super) to: Private<String>,
    pub(super) trunk: String,
    pub(super) application: String,
    pub(super) began: Now,
    pub(super) dialled: bool,
    pub(super) alerted: Option<Wall>,
    pub(super) answered: Option<Now>,
    pub(super) over: Option<Now>,
    pub(super) rang_out: bool,
    pub(super) ended: Option<Ended>,
    pub(super) disposition: Option<Disposition>,
    pub(super) why: Option<String>,
    pub(super) cause: Cause,
    pub(super) values: Map<String, Value>,
    pub(super) recordings: Vec<String>,
    pub(super) counts: BearerCounts,
    pub(super) connection: Connection,
    pub(super) local_port: u16,
    /// The attempt whose caller is transferred.
    pub(super) parent: Option<AttemptId>,
}

impl Facts {
    pub(super) fn new(
        began: Now,
        attempt: AttemptId,
        tenant: TenantId,
        direction: Direction,
        connection: Connection,
    ) -> Self {
        Self {
            attempt,
            tenant,
            direction,
            from: Private::default(),
            to: Private::default(),
            trunk: String::new(),
            application: String::new(),
            began,
            dialled: false,
            alerted: None,
            answered: None,
            over: None,
            rang_out: false,
            ended: None,
            disposition: None,
            why: None,
            cause: Cause::NORMAL_UNSPECIFIED,
            values: Map::new(),
            recordings: Vec::new(),
            counts: BearerCounts::default(),
            connection,
            local_port: 0,
            parent: None,
        }
    }

    pub(super) fn named(
        mut self,
        from: Private<String>,
        to: Private<String>,
        trunk: &str,
        application: String,
    ) -> Self {
        self.from = from;
        self.to = to;
        trunk.clone_into(&mut self.trunk);
        self.application = application;
        self
    }

    pub(super) fn record(&self, ctx: &Ctx<'_>, order: Option<OrderId>, parent: Option<AttemptId>) -> Record {
        let over = self.over.unwrap_or(ctx.now);
        let ms = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Record {
            attempt: self.attempt,
            order,
            parent,
            tenant: self.tenant,
            direction: self.direction,
            from: self.from.clone(),
            to: self.to.clone(),
            server: ctx.settings.server,
            trunk: self.trunk.clone(),
            application: self.application.clone(),
            started: self.began.wall,
            alerted: self.alerted,
            answered: self.answered.map(|a| a.wall),
            ended: over.wall,
            talk_ms: self.answered.map_or(0, |a| ms(over.mono - a.mono)),
            busy_ms: ms(ctx.now.mono - self.began.mono),
            cause: self.cause,
            status: self.ended.as_ref().and_then(|e| e.status),
            by_peer: self.ended.as_ref().is_some_and(|e| e.by_peer),
            disposition: self.disposition.unwrap_or(Disposition::Failed),
            values: Private::new(Value::Object(self.values.clone()).to_string()),
            recordings: self.recordings.clone(),
            media: [self.counts.received, self.counts.lost, self.counts.late, self.counts.jitter],
        }
    }

    /// What the third party gets of it, JSON.
    pub(super) fn result(&self) -> String {
        serde_json::json!({ "values": self.values, "recordings": self.recordings }).to_string()
    }
}
