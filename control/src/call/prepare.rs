//! What a call needs before anybody's telephone rings: a place for its bearer, and the documents that are to talk, read
//! and found usable.

use super::*;

impl Call {
    /// Finds a place for the bearer and fetches the document, side by side.
    pub(super) fn prepare(&mut self, ctx: &mut Ctx<'_>) {
        ctx.story(
            self.facts.attempt,
            "call",
            format!("prepares {}", talk::without_query(&self.facts.application)),
        );
        self.reserve(ctx, None);
        if self.facts.application.is_empty() {
            self.fail(ctx, Disposition::ApplicationError, Cause::NORMAL_UNSPECIFIED, "no such application");
            return;
        }
        self.fetch_page(ctx, self.facts.application.clone(), Purpose::Document);
    }

    /// Asks for a place: on the worker of another bearer, if that can be had, or where the spans are.
    pub(super) fn reserve(&mut self, ctx: &mut Ctx<'_>, beside: Option<BearerId>) {
        let place = ctx.token(self.id, Purpose::Place);
        let wanted = if self.timeslot { Output::ReserveSlot(place) } else { Output::Reserve(place, beside) };
        ctx.out.push_back(wanted);
    }

    fn fetch_page(&self, ctx: &mut Ctx<'_>, url: String, purpose: Purpose) {
        let request = FetchRequest {
            url,
            resource: Resource::Document,
            method: Method::Get,
            fields: Vec::new(),
            timeout_ms: ctx.settings.fetch_timeout_ms,
            caching: Caching::default(),
            fetchaudio: None,
            prefetch: false,
        };
        let token = ctx.token(self.id, purpose);
        let (call, tenant, order) = (self.id, self.facts.tenant, self.order());
        ctx.out.push_back(Output::Fetch { token, call, tenant, order, request });
    }

    pub(super) fn reserved(&mut self, ctx: &mut Ctx<'_>, place: Option<(BearerId, SocketAddr)>) {
        let Some((bearer, local)) = place else {
            self.fail(ctx, Disposition::Congestion, Cause::NO_CIRCUIT, "no bearer is free");
            return;
        };
        self.bearer = Some(bearer);
        match &mut self.stage {
            Stage::Preparing { port, .. } => {
                *port = Some(local.port());
                self.prepared(ctx);
            }
            _ => self.close_bearer(ctx),
        }
    }

    pub(super) fn document_here(&mut self, ctx: &mut Ctx<'_>, result: Result<Fetched, FetchError>) {
        let Some((fetched, root)) = self.readable(ctx, result, "document") else { return };
        let Stage::Preparing { work, first, .. } = &mut self.stage else { return };
        match root.filter(|root| *root != fetched.url) {
            // VoiceXML 2.0 §1.5.2: without its root the document is none, so that has to be here, too.
            Some(root) => {
                *first = Some(fetched);
                self.root_url = root.clone();
                self.fetch_page(ctx, root, Purpose::Root);
            }
            None => {
                *work = Some(Work::Talk(vec![(self.facts.application.clone(), fetched)]));
                self.prepared(ctx);
            }
        }
    }

    pub(super) fn root_here(&mut self, ctx: &mut Ctx<'_>, result: Result<Fetched, FetchError>) {
        let Some((fetched, _)) = self.readable(ctx, result, "application root") else { return };
        let root_url = std::mem::take(&mut self.root_url);
        let Stage::Preparing { work, first, .. } = &mut self.stage else { return };
        let first = first.take().map(|first| (self.facts.application.clone(), first));
        *work = Some(Work::Talk(first.into_iter().chain([(root_url, fetched)]).collect()));
        self.prepared(ctx);
    }

    /// A page that can be used, with the URL of its application root. One that cannot ends the call before anybody's
    /// telephone rings, and says why: URL, line, column and section.
    fn readable(
        &mut self,
        ctx: &mut Ctx<'_>,
        result: Result<Fetched, FetchError>,
        what: &str,
    ) -> Option<(Fetched, Option<String>)> {
        if !matches!(self.stage, Stage::Preparing { .. }) {
            return None;
        }
        let (tenant, lenient) = (self.facts.tenant, self.lenient(ctx));
        let read = match result {
            Ok(fetched) => {
                let limits = &ctx.settings.vxml;
                match ctx.common.documents.prepare(tenant, &fetched, lenient, limits) {
                    Ok(root) => Ok((fetched, root.map(String::from))),
                    Err(p) => {
                        let url = talk::without_query(&fetched.url);
                        let rule = &p.rule;
                        Err(format!("{what} {url}:{}:{}: {rule} ({})", p.line, p.column, rule.section()))
                    }
                }
            }
            Err(error) => Err(format!("{what}: {}", talk::fetch_error(&error))),
        };
        read.inspect_err(|why| {
            self.fail(ctx, Disposition::ApplicationError, Cause::NORMAL_UNSPECIFIED, why);
        })
        .ok()
    }

    /// The operator allows leniency for all, or the order asks for it.
    pub(super) fn lenient(&self, ctx: &Ctx<'_>) -> bool {
        ctx.settings.lenient || self.order.as_ref().is_some_and(|order| order.lenient)
    }

    /// When both are here: write the intent, or take the incoming call.
    pub(super) fn prepared(&mut self, ctx: &mut Ctx<'_>) {
        let ready = matches!(&self.stage, Stage::Preparing { port: Some(_), work: Some(_), .. });
        if !ready {
            return;
        }
        let Stage::Preparing { permit, port: Some(port), work: Some(work), .. } =
            std::mem::replace(&mut self.stage, Stage::Clearing)
        else {
            unreachable!("matched above");
        };
        self.facts.local_port = port;
        match permit {
            Some(permit) => self.leave(ctx, Some(permit), port, work),
            None => {
                ctx.leg(self.leg, Action::Accept { media: self.own_media(ctx, port) });
                self.stage = Stage::Accepting { work };
                self.stage_until = Some(ctx.after_ms(CLEAR_MS_MAX));
            }
        }
    }
}
