//! Looks at third parties' own databases, as `[[sources]]` says, and feeds what it finds to the customer table or to
//! intake. A row that was ordered is known by its request id and not ordered again; a source that does not answer is
//! looked at again at its next time, and what it said before stays.

use crate::fetch::guard::Guard;
use crate::intake::{Arrival, Declined, Intake};
use crate::lists::Lines;
use control::config::{Feeds, Fetch, Source};
use control::order::form::{self, Fields};
use control::order::{Origin, Reason, Refusal};
use control::policy::customers;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use units::TenantId;

/// How often it is looked whether a source is due.
const TICK: Duration = Duration::from_millis(500);
/// One look takes no longer.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// Rows of one look.
const ROWS_MAX: usize = 1_000_000;
/// Customers in one durable batch.
const BATCH: usize = 1_000;

/// What one look brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Brought {
    taken: usize,
    refused: usize,
}

/// Looks for ever. A reload's sources are looked at from then on.
pub async fn run(intake: Arc<Intake>) {
    let mut due: BTreeMap<String, Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(TICK).await;
        let config = intake.config.load_full();
        due.retain(|name, _| config.sources.iter().any(|s| s.name == *name));
        for source in &config.sources {
            let now = Instant::now();
            if due.get(&source.name).is_some_and(|at| *at > now) {
                continue;
            }
            due.insert(source.name.clone(), now + source.every.duration());
            let Some(tenant) = config.tenants.iter().find(|t| t.name == source.tenant) else { continue };
            let looked =
                tokio::time::timeout(LOOK_MAX, look(&intake, source, TenantId(tenant.id), &config.fetch));
            let (name, result) =
                (source.name.as_str(), looked.await.unwrap_or_else(|_| Err("it took too long".into())));
            let counted = if result.is_ok() { "ok" } else { "failed" };
            metrics::counter!("carillon_sources_total", "source" => source.name.clone(), "result" => counted)
                .increment(1);
            match result {
                Ok(Brought { taken, refused }) => {
                    tracing::info!(source = name, taken, refused, "a source was read")
                }
                Err(why) => tracing::warn!(source = name, why, "a source cannot be read"),
            }
        }
    }
}

async fn look(intake: &Intake, source: &Source, tenant: TenantId, rules: &Fetch) -> Result<Brought, String> {
    let rows =
        if source.is_postgres() { from_postgres(source).await? } else { from_web(source, rules).await? };
    match source.feeds {
        Feeds::Customers => customers_of(intake, source, tenant, rows).await,
        Feeds::Orders => orders_of(intake, source, tenant, rows).await,
    }
}

type Rows = Vec<Result<Fields, Refusal>>;

/// Each row as one JSON object, made by the database itself: every type of it has a text there.
async fn from_postgres(source: &Source) -> Result<Rows, String> {
    let query = source.query.as_deref().unwrap_or_default().trim().trim_end_matches(';');
    let (client, connection) = tokio_postgres::connect(source.url.expose(), tokio_postgres::NoTls)
        .await
        .map_err(|error| error.to_string())?;
    let driven = tokio::spawn(connection);
    let asked =
        format!("SELECT row_to_json(carillon_row)::text FROM ({query}) AS carillon_row LIMIT {ROWS_MAX}");
    let rows = client.query(&asked, &[]).await.map_err(|error| error.to_string());
    drop(client);
    driven.abort();
    let limits = control::limits::OrderLimits::default();
    rows?
        .iter()
        .map(|row| row.try_get::<_, String>(0).map_err(|error| error.to_string()))
        .map(|text| text.map(|t| form::json(t.as_bytes(), &limits)))
        .collect()
}

async fn from_web(source: &Source, rules: &Fetch) -> Result<Rows, String> {
    let guard = Arc::new(Guard::new(rules)?);
    let url = url::Url::parse(source.url.expose()).map_err(|_| "no URL")?;
    guard.check(&url).map_err(|error| error.to_string())?;
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .dns_resolver(crate::fetch::resolver(&guard))
        .timeout(LOOK_MAX)
        .build()
        .map_err(|error| error.to_string())?;
    let mut response = client.get(url).send().await.map_err(|error| error.without_url().to_string())?;
    if !response.status().is_success() {
        return Err(response.status().to_string());
    }
    let kind =
        response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
        if body.len() + piece.len() > rules.body_max.len() {
            return Err("it is larger than fetch.body_max".into());
        }
        body.extend_from_slice(&piece);
    }
    let lines =
        Lines::of(&kind, &body).ok_or("it is no CSV, JSON lines or JSON")?.map_err(|r| r.to_string())?;
    Ok(lines.take(ROWS_MAX).map(|(_, row)| row).collect())
}

async fn customers_of(
    intake: &Intake,
    source: &Source,
    tenant: TenantId,
    rows: Rows,
) -> Result<Brought, String> {
    let mut brought = Brought::default();
    let mut batch = Vec::new();
    let now = (intake.now)().wall;
    for row in rows {
        match row.and_then(|fields| customers::read(&fields, tenant, &source.name, now)) {
            // What is known already in the same words is not written again.
            Ok((customer, None)) if is_known(intake, &customer) => brought.taken += 1,
            Ok(read) => batch.push(read),
            Err(refusal) => refused(source, &refusal, &mut brought),
        }
        if batch.len() == BATCH {
            enter(intake, std::mem::take(&mut batch), &mut brought).await?;
        }
    }
    enter(intake, batch, &mut brought).await?;
    Ok(brought)
}

fn is_known(intake: &Intake, customer: &customers::Customer) -> bool {
    let table = intake.customers.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    table.of(customer.tenant, customer.number.expose()).is_some_and(|known| {
        let mut same = customer.clone();
        same.changed = known.changed;
        same.last_talk = known.last_talk;
        same == *known
    })
}

async fn enter(intake: &Intake, batch: Vec<customers::Read>, brought: &mut Brought) -> Result<(), String> {
    let count = batch.len();
    if count > 0 {
        let entered =
            intake.enter_customers(batch).await.map_err(|error| format!("the store says {error:?}"))?;
        entered.map_err(|_| "the customer table is full".to_owned())?;
        brought.taken += count;
    }
    Ok(())
}

fn refused(source: &Source, refusal: &Refusal, brought: &mut Brought) {
    brought.refused += 1;
    if brought.refused <= 10 {
        tracing::warn!(
            source = source.name,
            field = refusal.field,
            reason = refusal.reason.text(),
            "a row was refused"
        );
    }
}

async fn orders_of(
    intake: &Intake,
    source: &Source,
    tenant: TenantId,
    rows: Rows,
) -> Result<Brought, String> {
    let shared: Fields = source
        .order
        .iter()
        .map(|(name, value)| (name.clone(), serde_json::to_value(value).unwrap_or(Value::Null)))
        .collect();
    let mut brought = Brought::default();
    for row in rows {
        let fields = row.and_then(|own| {
            let mut fields = shared.clone();
            fields.extend(own.into_iter().filter(|(_, v)| !v.is_null()));
            // A number as an id is as good as a text.
            if let Some(id) = fields.get("request_id").and_then(Value::as_i64) {
                fields.insert("request_id".into(), Value::from(id.to_string()));
            }
            let named = fields.get("request_id").is_some_and(Value::is_string);
            if named { Ok(fields) } else { Err(Refusal::new("request_id", Reason::Missing)) }
        });
        let fields = match fields {
            Ok(fields) => fields,
            Err(refusal) => {
                refused(source, &refusal, &mut brought);
                continue;
            }
        };
        let origin = Origin::Http { key: format!("source {}", source.name) };
        let arrival = Arrival { tenant, origin, request_id: "", attached: &[], campaign: None };
        match intake.accept(&fields, arrival).await {
            Ok(_) => brought.taken += 1,
            Err(Declined::Refused(refusals)) => {
                let first =
                    refusals.into_iter().next().unwrap_or_else(|| Refusal::new("row", Reason::NotAllowed));
                refused(source, &first, &mut brought);
            }
            Err(Declined::Policy(..)) => {
                refused(source, &Refusal::new("to", Reason::NotAllowed), &mut brought)
            }
            Err(Declined::Conflict) => {
                refused(source, &Refusal::new("request_id", Reason::Conflict), &mut brought)
            }
            // The rest of the rows is read at the next time.
            Err(other) => return Err(format!("orders are not taken now: {other:?}")),
        }
    }
    Ok(brought)
}
