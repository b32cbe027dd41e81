//! Intake: what the doors for mail and HTTP share. A request's fields become orders, are judged, and are accepted in
//! one durable transaction; only then does a door say yes.
#![allow(clippy::disallowed_types, reason = "the door: doors and desk share the suppression lists")]

pub use crate::settings::{BadSettings, Settings, Tenant, is_listed, takes_mail_from, whose_key};

use crate::store::Handle;
use arc_swap::ArcSwap;
use control::campaign::{Campaign, Stage};
use control::config::Config;
use control::order::canon;
use control::order::form::Fields;
use control::order::mail::Attachment;
use control::order::stop::StopKey;
use control::order::{Application, Context, Order, Origin, Parsed, Refusal};
use control::policy::customers::Customers;
use control::policy::pace::Pace;
use control::policy::stored::Stored;
use control::policy::suppress::{Entry, Suppressions};
use control::policy::{Decision, Facts, Party, RuleSet, Rules, Verdict, judge};
use control::queue::RetryTable;
use control::schedule;
use control::store::{Answer, Ask, Error, Keep, Room, Shelf};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use units::{CampaignId, Now, OrderId, Seed, TenantId, Wall};

/// See the module.
#[derive(Debug)]
pub struct Intake {
    /// The store.
    pub store: Handle,
    /// The clock.
    pub now: fn() -> Now,
    /// The configuration file as it was read last.
    pub file: ArcSwap<Config>,
    /// The configuration in force: the file's, with the tenants that were provisioned by API or command line.
    pub config: Arc<ArcSwap<Config>>,
    /// What the configuration in force says about intake.
    pub settings: ArcSwap<Settings>,
    /// Tenants that were provisioned, as they are kept.
    pub provisioned: RwLock<crate::provision::Provisioned>,
    /// The configuration in force has changed.
    pub changed: tokio::sync::Notify,
    /// How fast each tenant orders.
    pub pace: RwLock<Pace>,
    /// How fast each tenant asks the API.
    pub requests: RwLock<Pace>,
    /// Where campaigns stand.
    pub stages: RwLock<HashMap<CampaignId, Stage>>,
    /// Held from reading what a campaign's head says to writing it anew: uploads and commands change parts of it.
    pub heads: tokio::sync::Mutex<()>,
    /// Who is told that there is something to do; unset: nobody, and the desk finds out when it looks.
    pub desk: OnceLock<crate::desk::Way>,
    /// The process is on its way out: load balancers are told, and orders are still taken until the doors close.
    pub draining: AtomicBool,
    /// Who is not to be called. Read by the judge, changed by the doors after the durable write.
    pub suppressions: RwLock<Suppressions>,
    /// Who is called, as far as tenants told; likewise.
    pub customers: RwLock<Customers>,
    /// Rule sets stored by API; likewise.
    pub policies: RwLock<Stored>,
    /// Fetches what orders require; unset (tests): nothing is fetched, and what is required counts as missing.
    pub fetcher: OnceLock<Arc<ArcSwap<crate::fetch::Fetcher>>>,
    /// Makes and opens the tokens by which customers opt out; unset: nobody has one.
    pub stop: OnceLock<Arc<StopKey>>,
    /// What calls have cost, and how many nobody spoke to.
    pub ledger: RwLock<crate::ledger::Reading>,
}

/// Judges for the desk, with the rules and facts that intake has at hand.
#[derive(Clone, Debug)]
pub struct Bench(pub Arc<Intake>);

impl control::desk::Judge for Bench {
    fn judge(&mut self, now: Now, order: &Order) -> Decision {
        let settings = self.0.settings.load();
        match settings.tenants.get(&order.tenant) {
            Some(tenant) => {
                let decision = self.0.judged(order, tenant, &settings, now.wall);
                let to_agent = order.parent().is_some() && settings.agents.contains(&order.to);
                let decision = if to_agent { decision.uncounted() } else { decision };
                let decision = self.0.unread(order, tenant, decision, now);
                self.0.hold_back(order, decision, now)
            }
            // A tenant that is gone calls nobody.
            None => judge(order, &nobody(), &Facts::of(order), now.wall, &settings.policy),
        }
    }

    fn retries(&self, order: &Order) -> Option<RetryTable> {
        self.0.settings.load().tenants.get(&order.tenant).map(|t| t.retries.clone())
    }
}

/// Rules that let no call through.
fn nobody() -> Rules {
    use control::policy::{Applies, Check, Effect, Rule, RuleSet};
    let mut set = RuleSet::empty(Party::Operator, "system");
    let check = Check::AllowPrefixes(Vec::new());
    set.rules.push(Rule {
        id: "tenant_gone".into(),
        citation: None,
        applies: Applies::default(),
        effect: Effect::Refuse,
        check,
    });
    Rules(vec![Arc::new(set)])
}

/// Orders of a campaign that is not running are looked at again after this.
const HELD_BACK: Duration = Duration::from_secs(600);

/// How long an order that is being judged may take to be put back.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// Orders looked at in one transaction when a campaign goes on: others' work comes between the pages.
const HASTEN_PAGE: u32 = 500;

/// An order that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id (the first one's, if it is a repeat).
    pub id: OrderId,
    /// It was not known before.
    pub new: bool,
    /// How it was judged on the way in.
    pub decision: Decision,
    /// The campaign or series it belongs to.
    pub campaign: Option<CampaignId>,
}

/// Why nothing was accepted.
#[derive(Clone, Debug)]
pub enum Declined {
    /// The request is wrong.
    Refused(Vec<Refusal>),
    /// Policy refuses one of its orders: (place, decision).
    Policy(usize, Box<Decision>),
    /// The request id was used with other content.
    Conflict,
    /// Faster than the tenant may order: try again after so many ms.
    TooFast(u64),
    /// As many orders wait as may: the tenant's (`true`), or all.
    Full(bool),
    /// Not now.
    Unavailable,
}

/// How a request came in.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// Whose.
    pub tenant: TenantId,
    /// How.
    pub origin: Origin,
    /// Request id, if the request names none.
    pub request_id: &'a str,
    /// What came with it.
    pub attached: &'a [Attachment],
    /// The campaign it is a row of.
    pub campaign: Option<CampaignId>,
}

impl Intake {
    /// Intake over a store, with nothing learnt yet: see [`Intake::learn`].
    ///
    /// # Errors
    /// [`BadSettings`].
    pub fn new(store: Handle, now: fn() -> Now, config: Config) -> Result<Self, BadSettings> {
        let settings = ArcSwap::from_pointee(Settings::of(&config)?);
        let ledger = RwLock::new(crate::ledger::Reading::new(config.policy.ledger.ms));
        Ok(Self {
            store,
            now,
            file: ArcSwap::from_pointee(config.clone()),
            config: Arc::new(ArcSwap::from_pointee(config)),
            settings,
            provisioned: RwLock::default(),
            changed: tokio::sync::Notify::new(),
            pace: RwLock::default(),
            requests: RwLock::default(),
            stages: RwLock::default(),
            heads: tokio::sync::Mutex::default(),
            desk: OnceLock::new(),
            draining: AtomicBool::new(false),
            suppressions: RwLock::default(),
            customers: RwLock::default(),
            policies: RwLock::default(),
            fetcher: OnceLock::new(),
            stop: OnceLock::new(),
            ledger,
        })
    }

    /// Reads suppression lists and campaigns from the store; before that nothing must be dialled.
    ///
    /// # Errors
    /// The store's.
    pub async fn learn(&self) -> Result<usize, Error> {
        let mut lists = Suppressions::default();
        for (_, value) in self.shelf(Shelf::Suppressions, "").await? {
            lists.enter(&serde_json::from_slice::<Entry>(&value).map_err(|_| Error::Corrupt)?);
        }
        let mut stages = HashMap::new();
        // Rows that were refused stand on the same shelf under other names; they are not read here.
        for (_, value) in self.shelf(Shelf::Campaigns, "head/").await? {
            let campaign: Campaign = serde_json::from_slice(&value).map_err(|_| Error::Corrupt)?;
            stages.insert(campaign.id, campaign.stage);
        }
        *self.stages.write().unwrap_or_else(PoisonError::into_inner) = stages;
        let held = lists.len();
        self.learn_tenants().await?;
        self.learn_people().await?;
        *self.suppressions.write().unwrap_or_else(PoisonError::into_inner) = lists;
        Ok(held)
    }

    /// The process is on its way out.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// All of a shelf under a prefix.
    pub(crate) async fn shelf(&self, shelf: Shelf, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let ask = Ask::KeptFrom { shelf, prefix: prefix.to_owned(), after, limit: 1_000 };
            let Answer::KeptFrom(page) = self.store.ask(ask).await? else { return Err(Error::Corrupt) };
            let Some((last, _)) = page.last() else { return Ok(all) };
            after = Some(last.clone());
            all.extend(page);
        }
    }

    /// A campaign that is not running holds its orders back; one that was aborted ends them.
    fn hold_back(&self, order: &Order, decision: Decision, now: Now) -> Decision {
        let Some(campaign) = order.campaign else { return decision };
        let stages = self.stages.read().unwrap_or_else(PoisonError::into_inner);
        let later = Some(now.wall.plus(HELD_BACK));
        match stages.get(&campaign) {
            Some(Stage::Running) => decision,
            Some(Stage::Aborted) => decision.held("campaign/aborted", Party::ThirdParty, None),
            Some(Stage::Paused) => decision.held("campaign/paused", Party::ThirdParty, later),
            Some(Stage::Draft) | None => decision.held("campaign/not_started", Party::ThirdParty, later),
        }
    }

    /// Enters somebody on a suppression list, durably.
    ///
    /// # Errors
    /// The store's; the entry does not bind then.
    pub async fn suppress(&self, entry: &Entry) -> Result<(), Error> {
        self.store.ask(Ask::Keep(vec![entry.keep()])).await?;
        self.tell(crate::desk::Message::Learnt);
        self.suppressions.write().unwrap_or_else(PoisonError::into_inner).enter(entry);
        Ok(())
    }

    /// Takes somebody off a suppression list, durably; true if they were on it.
    ///
    /// # Errors
    /// The store's.
    pub async fn release(&self, entry: &Entry) -> Result<bool, Error> {
        self.store.ask(Ask::Keep(vec![entry.take()])).await?;
        self.tell(crate::desk::Message::Learnt);
        Ok(self.suppressions.write().unwrap_or_else(PoisonError::into_inner).strike(entry))
    }

    /// Keeps parts that came with an order, before the order is accepted.
    async fn keep_parts(&self, orders: &[(Order, [u8; 32])], parts: &[Attachment]) -> Result<(), Error> {
        let named = |o: &Order, p: &Attachment| Keep {
            shelf: Shelf::Attachments,
            name: part_name(o.id, &p.cid),
            value: Some(part_value(p)),
        };
        let changes = orders.iter().flat_map(|(o, _)| parts.iter().map(move |p| named(o, p))).collect();
        self.store.ask(Ask::Keep(changes)).await.map(|_| ())
    }

    /// A part that came with an order: its media type and content.
    ///
    /// # Errors
    /// The store's; `NotFound` if no such part came.
    pub async fn part(&self, order: OrderId, cid: &str) -> Result<(String, Vec<u8>), Error> {
        let ask = Ask::Kept { shelf: Shelf::Attachments, name: part_name(order, cid) };
        let Answer::Kept(Some(value)) = self.store.ask(ask).await? else { return Err(Error::NotFound) };
        let end = value.iter().position(|b| *b == b'\n').ok_or(Error::Corrupt)?;
        let kind = String::from_utf8(value[..end].to_vec()).map_err(|_| Error::Corrupt)?;
        Ok((kind, value[end + 1..].to_vec()))
    }

    /// Judges an order as things are at an instant, by all rules there are.
    #[must_use]
    pub fn judged(&self, order: &Order, tenant: &Tenant, settings: &Settings, at: Wall) -> Decision {
        let (mut facts, own) = self.facts(order, tenant, settings);
        self.informed(order, tenant, settings, &mut facts, at);
        let mut more = self.policies.read().unwrap_or_else(PoisonError::into_inner).holding(order);
        more.extend(own);
        if more.is_empty() {
            return judge(order, &tenant.rules, &facts, at, &settings.policy);
        }
        let sets = tenant.rules.0.iter().cloned().chain(more).collect();
        judge(order, &Rules(sets), &facts, at, &settings.policy)
    }

    /// Each occurrence of an order that repeats becomes an order of its own, due at its time on the callee's clock. Together
    /// they are a campaign, so that they can be paused and taken back together.
    fn series(
        &self,
        parsed: Parsed,
        tenant: &Tenant,
        settings: &Settings,
        now: Wall,
    ) -> Result<Parsed, Declined> {
        use control::order::Reason;
        let repeats = parsed.orders.iter().any(|o| o.repeat.is_some());
        if !repeats {
            return Ok(parsed);
        }
        let Parsed { orders, digests, canonical } = parsed;
        let refuse = |reason| Declined::Refused(vec![Refusal::new("repeat", reason)]);
        let mut out = Parsed { orders: Vec::new(), digests: Vec::new(), canonical };
        let mut rng = Seed(getrandom::u64().map_err(|_| Declined::Unavailable)?).rng();
        for (order, digest) in orders.into_iter().zip(digests) {
            let (facts, _) = self.facts(&order, tenant, settings);
            let start = schedule::first_due(&order, &facts.zones, now);
            let life = Duration::from_millis(u64::try_from(order.expires.ms_since(start)).unwrap_or(0));
            let rule = order.repeat.as_deref().unwrap_or_default();
            let rule: control::order::repeat::Repeat = rule.parse().map_err(refuse)?;
            let first = order.request_id.split('#').next().unwrap_or_default();
            let id = canon::digest(&format!("series\n{}\n{first}", order.tenant.0));
            let campaign = CampaignId(u128::from_be_bytes(id[..16].try_into().expect("sixteen octets")));
            for (n, at) in (1_u32..).zip(rule.occurrences(start, &facts.zones).map_err(refuse)?) {
                let mut one = order.clone();
                one.repeat = None;
                one.when = control::order::When::At(at);
                one.expires = at.plus(life);
                one.campaign = Some(campaign);
                if n > 1 {
                    one.id = OrderId(rng.next_u128());
                    one.request_id = format!("{}#r{n}", order.request_id);
                }
                out.digests.push(canon::digest(&format!("{n}\n{}", canon::hex(&digest))));
                out.orders.push(one);
            }
            if out.orders.len() > SERIES_MAX {
                return Err(refuse(Reason::TooMany { max: SERIES_MAX }));
            }
        }
        Ok(out)
    }

    /// The campaign of a series stands, and runs, before its orders do.
    async fn begin_series(&self, orders: &[(Order, [u8; 32])], now: Wall) -> Result<(), Error> {
        let Some((first, id)) = orders.first().and_then(|(o, _)| Some((o, o.campaign?))) else {
            return Ok(());
        };
        if first.origin == Origin::Campaign {
            return Ok(());
        }
        let name = format!("head/{id}");
        let ask = Ask::Kept { shelf: Shelf::Campaigns, name: name.clone() };
        if let Answer::Kept(Some(_)) = self.store.ask(ask).await? {
            return Ok(());
        }
        let campaign = Campaign {
            id,
            tenant: first.tenant,
            name: format!("series {}", first.request_id),
            stage: Stage::Running,
            common: Fields::new(),
            created: now,
            form: None,
            header: Vec::new(),
            offset: 0,
            rows: 0,
            accepted: u64::try_from(orders.len()).unwrap_or(u64::MAX),
            refused: 0,
        };
        let value = serde_json::to_vec(&campaign).map_err(|_| Error::Corrupt)?;
        self.store.ask(Ask::Keep(vec![Keep { shelf: Shelf::Campaigns, name, value: Some(value) }])).await?;
        self.stages.write().unwrap_or_else(PoisonError::into_inner).insert(id, Stage::Running);
        Ok(())
    }

    /// What is known about an order, and the rules its callee made.
    #[must_use]
    pub fn facts(
        &self,
        order: &Order,
        tenant: &Tenant,
        settings: &Settings,
    ) -> (Facts, Option<Arc<RuleSet>>) {
        let facts = Facts::of(order);
        let customers = self.customers.read().unwrap_or_else(PoisonError::into_inner);
        let (facts, own) = customers.inform(order, facts);
        let mut facts = facts.with_home_zone(Some(&settings.home_zone));
        facts.caller_id_owned =
            order.caller_id.as_ref().is_some_and(|id| tenant.config.caller_ids.contains(id));
        let lists = self.suppressions.read().unwrap_or_else(PoisonError::into_inner);
        facts.suppressions = lists.against(order.tenant, order.to.expose());
        (facts, own)
    }

    /// Takes a request: all of its orders, or none.
    ///
    /// # Errors
    /// [`Declined`]; nothing was written then.
    pub async fn accept(&self, fields: &Fields, arrival: Arrival<'_>) -> Result<Vec<Accepted>, Declined> {
        let now = (self.now)();
        let attached = arrival.attached;
        let (parsed, decisions, due) = self.weigh(fields, arrival, now)?;
        let refused = |(i, d): (usize, &Decision)| (d.verdict == Verdict::Refuse).then(|| (i, d.clone()));
        if let Some((i, d)) = decisions.iter().enumerate().find_map(refused) {
            return Err(Declined::Policy(i, Box::new(d)));
        }
        self.paced(now, &parsed)?;
        self.required(&parsed, attached).await.map_err(Declined::Refused)?;
        let first = due.iter().min().copied().zip(parsed.orders.first().map(|o| (o.priority, o.tenant)));
        let orders: Vec<(Order, [u8; 32])> = parsed.orders.into_iter().zip(parsed.digests).collect();
        self.begin_series(&orders, now.wall).await.map_err(|_| Declined::Unavailable)?;
        if !attached.is_empty() {
            self.keep_parts(&orders, attached).await.map_err(|_| Declined::Unavailable)?;
        }
        let campaigns: Vec<_> = orders.iter().map(|(o, _)| o.campaign).collect();
        let room = orders.first().map_or(Room::UNBOUNDED, |(order, _)| self.room(order.tenant));
        match self.store.ask(Ask::Accept { orders, due, room }).await {
            Ok(Answer::Accepted(ids)) => {
                if let Some((due, (priority, tenant))) = first {
                    self.wake(priority, tenant, due);
                }
                let all = ids.into_iter().zip(decisions).zip(campaigns);
                Ok(all
                    .map(|(((id, new), decision), campaign)| Accepted { id, new, decision, campaign })
                    .collect())
            }
            Err(Error::Conflict) => Err(Declined::Conflict),
            Err(Error::Full { tenant }) => Err(Declined::Full(tenant)),
            _ => Err(Declined::Unavailable),
        }
    }

    /// How many orders of a tenant, and of all, may wait.
    pub(crate) fn room(&self, tenant: TenantId) -> Room {
        let settings = self.settings.load();
        let own = settings.tenants.get(&tenant).map_or(0, |t| t.config.orders_waiting_max);
        Room { tenant: own, all: settings.orders_waiting_max }
    }

    fn paced(&self, now: Now, parsed: &Parsed) -> Result<(), Declined> {
        let settings = self.settings.load();
        let tenant = parsed.orders.first().and_then(|o| settings.tenants.get(&o.tenant));
        let Some(tenant) = tenant else { return Ok(()) };
        let mut pace = self.pace.write().unwrap_or_else(PoisonError::into_inner);
        let count = u64::try_from(parsed.orders.len()).unwrap_or(u64::MAX);
        let rate = tenant.config.orders_rate.milli_hz;
        pace.take(now.mono, TenantId(tenant.config.id), count, rate).map_err(Declined::TooFast)
    }

    /// Tells the desk that there is something to do.
    pub(crate) fn wake(&self, priority: u8, tenant: TenantId, due: Wall) {
        self.tell(crate::desk::Message::Accepted(priority, tenant, due));
    }

    /// Its tenant took an order back.
    pub(crate) fn cancelled(&self, order: OrderId) {
        self.tell(crate::desk::Message::Cancelled(order));
    }

    pub(crate) fn tell(&self, message: crate::desk::Message) {
        if let Some(desk) = self.desk.get() {
            // A desk that is too busy to be told looks again by itself.
            drop(desk.try_send(message));
        }
    }

    /// A campaign's stage has changed: what was held back of it is judged again now. A second look takes in what was
    /// being put back during the first. Whoever dies meanwhile leaves orders that are looked at again by themselves.
    pub(crate) fn hasten(self: &Arc<Self>, tenant: TenantId, campaign: CampaignId) {
        let intake = Arc::clone(self);
        tokio::spawn(async move {
            for _ in 0..2 {
                match intake.bring_forward(tenant, campaign).await {
                    Ok(0) => {}
                    Ok(orders) => tracing::info!(%campaign, orders, "held back until now"),
                    Err(error) => tracing::warn!(%campaign, ?error, "held back for some minutes more"),
                }
                tokio::time::sleep(SECOND_LOOK).await;
            }
        });
    }

    async fn bring_forward(&self, tenant: TenantId, campaign: CampaignId) -> Result<u64, Error> {
        let now = (self.now)().wall;
        let until = now.plus(HELD_BACK + SECOND_LOOK);
        let mut all = 0;
        for priority in (0..=9).rev() {
            let mut after = Some((now, OrderId(0)));
            while let Some(from) = after {
                let ask = Ask::Hasten { priority, tenant, campaign, after: from, until, max: HASTEN_PAGE };
                let Answer::Hastened(count, next) = self.store.ask(ask).await? else {
                    return Err(Error::Corrupt);
                };
                if count > 0 {
                    self.wake(priority, tenant, now);
                }
                all += u64::from(count);
                after = next;
            }
        }
        Ok(all)
    }

    /// Judges a request and accepts nothing.
    ///
    /// # Errors
    /// [`Declined::Refused`] if the request is wrong.
    pub fn dry_run(&self, fields: &Fields, arrival: Arrival<'_>) -> Result<Vec<Decision>, Declined> {
        self.weigh(fields, arrival, (self.now)()).map(|(_, decisions, _)| decisions)
    }

    /// Reads a request: its orders and its canonical form; judges nothing.
    ///
    /// # Errors
    /// [`Declined::Refused`] if the request is wrong.
    pub fn read(&self, fields: &Fields, arrival: Arrival<'_>, now: Now) -> Result<Parsed, Declined> {
        let settings = self.settings.load();
        let tenant = settings.tenants.get(&arrival.tenant).ok_or(Declined::Unavailable)?;
        let attached: Vec<String> = arrival.attached.iter().map(|a| a.cid.clone()).collect();
        let cx = Context {
            tenant: arrival.tenant,
            origin: arrival.origin,
            request_id: arrival.request_id,
            now: now.wall,
            region: None,
            http_allowed: settings.http_allowed,
            attached: &attached,
            campaign: arrival.campaign,
            limits: &settings.order,
        };
        let seed = Seed(getrandom::u64().map_err(|_| Declined::Unavailable)?);
        let parsed = control::order::parse(fields, &cx, &mut seed.rng()).map_err(Declined::Refused)?;
        allowed(&settings, tenant, &parsed).map_err(|r| Declined::Refused(vec![r]))?;
        let policy = parsed.orders.first().and_then(|o| o.policy.clone());
        let stored = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        match policy {
            Some(name) if !stored.has(Some(cx.tenant), &name) => {
                Err(Declined::Refused(vec![Refusal::new("policy", control::order::Reason::NoSuchPolicy)]))
            }
            _ => Ok(parsed),
        }
    }

    pub(crate) fn weigh(
        &self,
        fields: &Fields,
        arrival: Arrival<'_>,
        now: Now,
    ) -> Result<(Parsed, Vec<Decision>, Vec<Wall>), Declined> {
        let settings = self.settings.load();
        let tenant = settings.tenants.get(&arrival.tenant).ok_or(Declined::Unavailable)?;
        let parsed = self.read(fields, arrival, now)?;
        let parsed = self.series(parsed, tenant, &settings, now.wall)?;
        let mut decisions = Vec::with_capacity(parsed.orders.len());
        let mut due = Vec::with_capacity(parsed.orders.len());
        for order in &parsed.orders {
            let (facts, _) = self.facts(order, tenant, &settings);
            let first = schedule::first_due(order, &facts.zones, now.wall);
            // Judged for the time at which it is to be called, not for the time at which it came.
            let decision = self.judged(order, tenant, &settings, first);
            due.push(if let Verdict::Defer { until } = decision.verdict { until } else { first });
            decisions.push(decision);
        }
        routable(&settings, tenant, &parsed, &decisions).map_err(Declined::Refused)?;
        Ok((parsed, decisions, due))
    }
}

/// Orders that one request may make, all recipients and occurrences together.
const SERIES_MAX: usize = 10_000;

/// Name of a part on its shelf.
fn part_name(order: OrderId, cid: &str) -> String {
    format!("{order}/{cid}")
}

/// A part as it is kept: media type, a line feed, content.
fn part_value(part: &Attachment) -> Vec<u8> {
    let mut value = part.media_type.clone().into_bytes();
    value.retain(|b| b.is_ascii_graphic());
    value.push(b'\n');
    value.extend_from_slice(&part.content);
    value
}

/// What the tenant may ask for at all: purposes, and applications that exist.
fn allowed(settings: &Settings, tenant: &Tenant, parsed: &Parsed) -> Result<(), Refusal> {
    use control::order::Reason;
    let Some(first) = parsed.orders.first() else { return Ok(()) };
    let purposes = &tenant.config.purposes;
    if !purposes.is_empty() && !purposes.contains(&first.purpose) {
        return Err(Refusal::new("purpose", Reason::NotAllowed));
    }
    let known = match &first.application {
        Application::Registered(name) => settings.applications.contains(name),
        Application::Url(url) => tenant.config.applications.is_empty() || is_listed(tenant, url),
        Application::Attached(_) => true,
    };
    if known { Ok(()) } else { Err(Refusal::new("application", Reason::NotAllowed)) }
}

/// A call that no trunk takes is refused here and now, not taken and then lost. What policy refuses, policy explains.
fn routable(
    settings: &Settings,
    tenant: &Tenant,
    parsed: &Parsed,
    decisions: &[Decision],
) -> Result<(), Vec<Refusal>> {
    use control::order::Reason;
    use control::trunk::route::{NoRoute, Plan};
    let (trunks, groups) = &settings.trunks;
    let many = parsed.orders.len() > 1;
    let refusal = |(i, order): (usize, &Order)| {
        let caller = order.caller_id.as_ref().map(|id| id.expose().as_str());
        match Plan::new(trunks, groups, &tenant.config.trunks, order.to.expose(), caller) {
            Ok(_) => None,
            Err(NoRoute::NoTrunk) => {
                let field = if many { format!("to[{i}]") } else { "to".to_owned() };
                Some(Refusal::new(field, Reason::NoTrunk))
            }
            Err(NoRoute::NoCallerId) => Some(Refusal::new("caller_id", Reason::NoCallerId)),
        }
    };
    let admitted = parsed.orders.iter().enumerate().zip(decisions);
    let refusals: Vec<Refusal> = admitted
        .filter(|(_, decision)| decision.verdict != Verdict::Refuse)
        .filter_map(|(order, _)| refusal(order))
        .take(settings.order.refusals_max)
        .collect();
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}
