//! Forecasts of campaigns: their waiting orders, the tenant's rules, facts and retry table, and the host's capacity, run
//! through `control::forecast` in virtual time.

use crate::intake::Intake;
use control::campaign::Campaign;
use control::forecast::{Assume, forecast};
use control::order::{Order, Reason, Refusal, State};
use control::store::{Answer, Ask, Error, Shelf};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use units::{CampaignId, Seed, Wall};

/// Orders looked at; of a larger campaign these stand for all.
const ORDERS_MAX: usize = 100_000;
const PAGE: u32 = 1_000;

impl Intake {
    /// What is assumed where the asker assumes nothing: the capacity of this host and of its trunks.
    fn usual(&self) -> Assume {
        let config = self.config.load();
        let trunks: u64 = config.trunks.iter().map(|t| u64::from(t.calls_max)).sum();
        let trunks = u32::try_from(trunks).unwrap_or(u32::MAX).max(1);
        let rate = u32::try_from(config.limits.calls_rate.milli_hz).unwrap_or(u32::MAX).max(1);
        Assume { channels: config.limits.calls_max.min(trunks), calls_per_1000s: rate, ..Assume::default() }
    }

    /// Assumptions as a request gives them.
    ///
    /// # Errors
    /// A [`Refusal`] of the body.
    pub fn assumed(&self, body: &[u8]) -> Result<Assume, Refusal> {
        const WANTED: Reason = Reason::NotA(
            "an object with channels, calls_per_1000s, answered_permille, busy_permille, talk_s, ring_s",
        );
        if body.trim_ascii().is_empty() {
            return Ok(self.usual());
        }
        let own: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| Refusal::new("body", WANTED))?;
        let mut all = serde_json::to_value(self.usual()).unwrap_or_default();
        for (name, value) in own {
            all[name] = value;
        }
        let assume: Assume = serde_json::from_value(all).map_err(|_| Refusal::new("body", WANTED))?;
        if assume.is_sound() { Ok(assume) } else { Err(Refusal::new("body", WANTED)) }
    }

    /// What would become of a campaign's waiting orders if they were let go now.
    ///
    /// # Errors
    /// The store's.
    pub async fn forecast(self: &Arc<Self>, campaign: &Campaign, assume: &Assume) -> Result<Value, Error> {
        let (orders, more) = self.waiting_of(campaign).await?;
        let looked = orders.len();
        let total = u64::try_from(looked).unwrap_or(u64::MAX).saturating_add(more);
        let (intake, mut assumed) = (Arc::clone(self), *assume);
        if more > 0 {
            // A share of the orders gets the same share of capacity: it takes as long as all of them would.
            let share = |n: u32| u32::try_from(u64::from(n) * looked as u64 / total).unwrap_or(n).max(1);
            assumed.channels = share(assumed.channels);
            assumed.calls_per_1000s = share(assumed.calls_per_1000s);
        }
        let told = tokio::task::spawn_blocking(move || intake.run_ahead(orders, &assumed)).await;
        let mut told = told.map_err(|_| Error::Unavailable)??;
        told["assumed"] = json!(assume);
        told["orders_waiting"] = json!(total);
        Ok(told)
    }

    fn run_ahead(&self, orders: Vec<(Order, Wall)>, assume: &Assume) -> Result<Value, Error> {
        let settings = self.settings.load_full();
        let Some(tenant) = orders.first().map_or_else(
            || settings.tenants.values().next(),
            |(first, _)| settings.tenants.get(&first.tenant),
        ) else {
            return Err(Error::NotFound);
        };
        let judge = |order: &Order, at: Wall| self.judged(order, tenant, &settings, at);
        let seed = Seed(u64::try_from(orders.len()).unwrap_or(0));
        let told = forecast(orders, judge, &tenant.retries, assume, seed.rng());
        serde_json::to_value(told).map_err(|_| Error::Corrupt)
    }

    /// Orders of a campaign that are not over, with the times at which they could begin, and how many more there are.
    async fn waiting_of(&self, campaign: &Campaign) -> Result<(Vec<(Order, Wall)>, u64), Error> {
        let now = (self.now)().wall;
        let (mut found, mut after, mut over) = (Vec::new(), None, 0_u64);
        loop {
            let ask = Ask::List { tenant: Some(campaign.tenant), after, state: None, limit: PAGE };
            let Answer::List(page) = self.store.ask(ask).await? else { return Err(Error::Corrupt) };
            let full = page.len() == usize::try_from(PAGE).unwrap_or(usize::MAX);
            after = page.last().map(|s| s.order.id);
            for status in page.into_iter().filter(|s| s.order.campaign == Some(campaign.id)) {
                if status.state == State::Done {
                    over += 1;
                    continue;
                }
                let settings = self.settings.load();
                let Some(tenant) = settings.tenants.get(&status.order.tenant) else { continue };
                let (facts, _) = self.facts(&status.order, tenant, &settings);
                let due = control::schedule::first_due(&status.order, &facts.zones, now);
                found.push((status.order, due));
                if found.len() == ORDERS_MAX {
                    let seen = over + u64::try_from(ORDERS_MAX).unwrap_or(u64::MAX);
                    return Ok((found, campaign.accepted.saturating_sub(seen)));
                }
            }
            if !full {
                return Ok((found, 0));
            }
        }
    }

    /// For the command line: a forecast by the campaign's id.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn forecast_of(
        self: &Arc<Self>,
        id: CampaignId,
        assume: Map<String, Value>,
    ) -> Result<Value, String> {
        let ask = Ask::Kept { shelf: Shelf::Campaigns, name: format!("head/{id}") };
        let kept = self.store.ask(ask).await.map_err(|error| format!("the store says {error:?}"))?;
        let Answer::Kept(Some(value)) = kept else { return Err(format!("there is no campaign {id}")) };
        let campaign: Campaign = serde_json::from_slice(&value).map_err(|error| error.to_string())?;
        let assume = self.assumed(Value::Object(assume).to_string().as_bytes()).map_err(|r| r.to_string())?;
        self.forecast(&campaign, &assume).await.map_err(|error| format!("the store says {error:?}"))
    }
}
