//! What is known of the people who are called, and what they say: the customer table, opt-outs by key, by a call to us
//! or by their network's word, and the rule sets that operator and tenants store. All of it is durable before it binds,
//! and binds from the answer on. And what an order requires is looked at before anybody is called.

use crate::fetch::{Fetcher, Jar};
use crate::intake::Intake;
use control::order::mail::Attachment;
use control::order::stop::StopKey;
use control::order::{Application, Disposition, Parsed, Reason, Refusal, canon, number};
use control::policy::customers::{self, Customer, Full};
use control::policy::stored;
use control::policy::suppress::entry;
use control::policy::{Check, RuleSet};
use control::record::Direction;
use control::shard::Finished;
use control::store::{Ask, Error, Keep, Shelf};
use sha2::{Digest, Sha256};
use std::sync::{Arc, PoisonError};
use units::{CallId, TenantId};
use vxml::session::Caching;

/// Whose cookies a check of resources uses: nobody's call.
const NO_CALL: Jar = (u16::MAX, CallId(u64::MAX));
/// A required resource is waited for so long, ms.
const RESOURCE_MS: u64 = 10_000;
/// Values that mean yes in a session's exit.
const YES: [&str; 4] = ["true", "yes", "1", "opt_out"];

impl Intake {
    /// Reads the customer table and the stored rule sets.
    pub(crate) async fn learn_people(&self) -> Result<(), Error> {
        let mut table = customers::Customers::default();
        for (_, value) in self.shelf(Shelf::Customers, "").await? {
            table.enter(serde_json::from_slice(&value).map_err(|_| Error::Corrupt)?);
        }
        let mut sets = stored::Stored::default();
        for (name, value) in self.shelf(Shelf::Policies, "").await? {
            let set: RuleSet = serde_json::from_slice(&value).map_err(|_| Error::Corrupt)?;
            sets.enter(&name, set);
        }
        *self.customers.write().unwrap_or_else(PoisonError::into_inner) = table;
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = sets;
        Ok(())
    }

    /// Enters customers, durably; `Some(opt-out)` puts them on the tenant's list, or takes them off it.
    ///
    /// # Errors
    /// `Ok(Err(Full))` if the table has no room; else the store's.
    pub async fn enter_customers(&self, read: Vec<customers::Read>) -> Result<Result<(), Full>, Error> {
        let mut read = read;
        {
            let table = self.customers.read().unwrap_or_else(PoisonError::into_inner);
            if table.room(read.len()).is_err() {
                return Ok(Err(Full));
            }
            for (customer, _) in &mut read {
                customer.last_talk =
                    table.of(customer.tenant, customer.number.expose()).and_then(|c| c.last_talk);
            }
        }
        let mut changes: Vec<Keep> = read.iter().map(|(c, _)| c.keep()).collect();
        let lists = |c: &Customer| entry(Some(c.tenant), c.number.expose(), "own", &c.source, c.changed);
        for (customer, opt_out) in &read {
            let entry = lists(customer);
            changes.extend(opt_out.map(|out| if out { entry.keep() } else { entry.take() }));
        }
        self.store.ask(Ask::Keep(changes)).await?;
        let mut table = self.customers.write().unwrap_or_else(PoisonError::into_inner);
        let mut suppressions = self.suppressions.write().unwrap_or_else(PoisonError::into_inner);
        for (customer, opt_out) in read {
            match opt_out {
                Some(true) => suppressions.enter(&lists(&customer)),
                Some(false) => {
                    suppressions.strike(&lists(&customer));
                }
                None => {}
            }
            table.enter(customer);
        }
        Ok(Ok(()))
    }

    /// Forgets a customer, durably; true if they were known.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_customer(&self, tenant: TenantId, number: &str) -> Result<bool, Error> {
        let name = customers::name(tenant, number);
        self.store.ask(Ask::Keep(vec![Keep { shelf: Shelf::Customers, name, value: None }])).await?;
        Ok(self.customers.write().unwrap_or_else(PoisonError::into_inner).strike(tenant, number))
    }

    /// Stores a rule set, or takes one away (`None`), durably; true if it was there.
    ///
    /// # Errors
    /// The store's.
    pub async fn store_policy(
        &self,
        owner: Option<TenantId>,
        name: &str,
        set: Option<RuleSet>,
    ) -> Result<bool, Error> {
        self.store.ask(Ask::Keep(vec![stored::keep(owner, name, set.as_ref())])).await?;
        let mut sets = self.policies.write().unwrap_or_else(PoisonError::into_inner);
        match set {
            Some(set) => Ok(sets.enter(&stored::shelf_name(owner, name), set)),
            None => Ok(sets.strike(owner, name)),
        }
    }

    /// From now on customers' tokens are made and opened with this key. Before the doors open.
    ///
    /// # Errors
    /// As [`Intake::take_file`].
    pub fn opens(&self, key: StopKey) -> Result<(), String> {
        // The first key stays: tokens that were given out go on.
        drop(self.stop.set(Arc::new(key)));
        self.take_file(&self.file.load_full())
    }

    /// A customer said so by a link or a mail: durable, and in force at the next look at any of their orders.
    ///
    /// # Errors
    /// The store's; it does not bind then.
    pub async fn opt_out(&self, tenant: TenantId, number: &str, source: &'static str) -> Result<(), Error> {
        self.suppress(&entry(Some(tenant), number, "own", source, (self.now)().wall)).await?;
        metrics::counter!("carillon_opt_outs_total", "source" => source).increment(1);
        tracing::info!(tenant = tenant.0, source, "a customer opted out");
        Ok(())
    }

    /// Does a call's end say something about its customer that must be kept before the call is booked?
    #[must_use]
    pub fn says_something(&self, over: &Finished) -> bool {
        opt_out(over).is_some() || (over.answered && self.rest_matters(over.tenant))
    }

    /// A rule asks when a customer last talked.
    fn rest_matters(&self, tenant: TenantId) -> bool {
        let rests = |set: &Arc<RuleSet>| set.rules.iter().any(|r| matches!(r.check, Check::AfterTalk { .. }));
        let settings = self.settings.load();
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        settings.tenants.get(&tenant).is_some_and(|t| t.rules.0.iter().any(rests))
            || policies.of(None).chain(policies.of(Some(tenant))).any(|(_, set)| rests(set))
    }

    /// Keeps what a call's end says about its customer: an opt-out by key (`opt_out` among the exit's values), by a call
    /// to us, or by the network (607), and when they talked.
    ///
    /// # Errors
    /// The store's; it is to be tried again.
    pub async fn heed(&self, over: &Finished) -> Result<(), Error> {
        let now = (self.now)().wall;
        let Some(number) = callable(over.customer.expose()) else { return Ok(()) };
        if let Some(source) = opt_out(over) {
            self.suppress(&entry(Some(over.tenant), &number, "own", source, now)).await?;
            metrics::counter!("carillon_opt_outs_total", "source" => source).increment(1);
            tracing::info!(attempt = %over.attempt, source, "a customer opted out");
        }
        if over.answered && self.rest_matters(over.tenant) {
            let known = {
                let table = self.customers.read().unwrap_or_else(PoisonError::into_inner);
                table.of(over.tenant, &number).cloned()
            };
            let mut customer = known.unwrap_or_else(|| Customer {
                number: units::Private::new(number),
                tenant: over.tenant,
                zone: None,
                lang: None,
                hours: None,
                consents: Vec::new(),
                last_talk: None,
                changed: now,
                source: "calls".into(),
            });
            customer.last_talk = Some(now);
            self.store.ask(Ask::Keep(vec![customer.keep()])).await?;
            self.customers.write().unwrap_or_else(PoisonError::into_inner).enter(customer);
        }
        Ok(())
    }

    /// Are the resources of a request there, with the digests that were promised, and is an attached document one?
    pub(crate) async fn required(
        &self,
        parsed: &Parsed,
        attached: &[Attachment],
    ) -> Result<(), Vec<Refusal>> {
        let Some(first) = parsed.orders.first() else { return Ok(()) };
        if let Application::Attached(cid) = &first.application
            && let Some(part) = attached.iter().find(|a| a.cid == *cid)
        {
            understood(part).map_err(|r| vec![r])?;
        }
        let mut refusals = Vec::new();
        for (i, wanted) in first.resources.iter().enumerate() {
            let octets = match wanted.uri.strip_prefix("cid:") {
                Some(cid) => attached.iter().find(|a| a.cid == cid).map(|a| a.content.clone()),
                None if wanted.required || wanted.sha256.is_some() => self.fetched(&wanted.uri).await,
                None => continue,
            };
            let reason = match (&octets, &wanted.sha256) {
                (None, _) if wanted.required => Some(Reason::Unreachable),
                (Some(octets), Some(promised)) if canon::hex(&Sha256::digest(octets)) != *promised => {
                    Some(Reason::Digest)
                }
                _ => None,
            };
            refusals.extend(reason.map(|r| Refusal::new(format!("resources[{i}]"), r)));
        }
        if refusals.is_empty() { Ok(()) } else { Err(refusals) }
    }

    async fn fetched(&self, url: &str) -> Option<Vec<u8>> {
        let fetcher: Arc<Fetcher> = self.fetcher.get()?.load_full();
        let got = fetcher.audio(NO_CALL, url, RESOURCE_MS, Caching::default()).await;
        got.inspect_err(|error| tracing::info!(?error, "a required resource cannot be had"))
            .ok()
            .map(|f| f.body.to_vec())
    }
}

/// An attached document is read before anybody is called: what makes a session refuse it refuses the order.
fn understood(part: &Attachment) -> Result<(), Refusal> {
    let url = url::Url::parse("cid:document").expect("a URL");
    let (document, problems) = vxml::document::parse(&url, &part.content, false, &vxml::Limits::default());
    match problems.iter().find(|p| p.rule.is_fatal()) {
        Some(p) => {
            let count = |n| usize::try_from(n).unwrap_or(0);
            let reason = Reason::Malformed { what: "VoiceXML", line: count(p.line), column: count(p.column) };
            Err(Refusal::new("application", reason))
        }
        None if document.is_none() => Err(Refusal::new("application", Reason::NotA("a VoiceXML document"))),
        None => Ok(()),
    }
}

/// How the customer said that they want no more calls.
fn opt_out(over: &Finished) -> Option<&'static str> {
    if over.disposition == Disposition::Unwanted {
        return Some("unwanted");
    }
    let result: serde_json::Value = serde_json::from_str(over.result.as_deref()?).ok()?;
    let yes = match result.get("values")?.get("opt_out")? {
        serde_json::Value::Bool(b) => *b,
        serde_json::Value::String(s) => YES.contains(&s.trim().to_ascii_lowercase().as_str()),
        serde_json::Value::Number(n) => n.as_i64() == Some(1),
        _ => false,
    };
    yes.then_some(if over.direction == Direction::Inbound { "inbound" } else { "keypad" })
}

/// The number in its one form. Who calls in stands in a `sip:` URI whose user is the number.
fn callable(customer: &str) -> Option<String> {
    let inner =
        customer.rsplit_once('<').map_or(customer, |(_, uri)| uri.split('>').next().unwrap_or_default());
    let user =
        inner.strip_prefix("sip:").or_else(|| inner.strip_prefix("sips:")).and_then(|u| u.split_once('@'));
    let number =
        user.map(|(user, _)| user.split(';').next().unwrap_or_default()).filter(|u| u.starts_with('+'));
    // RFC 3323 §4.1.1.3: who hides behind this host cannot be told from others who do.
    number::callee(number.unwrap_or(inner), None).ok().filter(|n| !n.ends_with("@anonymous.invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_who_called_is_found() {
        for (from, expected) in [
            ("+12125550100", Some("+12125550100")),
            ("sip:+12125550100@carrier.example", Some("+12125550100")),
            ("\"Ann\" <sip:+12125550100;cpc=ordinary@carrier.example>;tag=1", Some("+12125550100")),
            ("sip:ann@home.example", Some("sip:ann@home.example")),
            ("sip:anonymous@anonymous.invalid", None),
            ("nobody", None),
        ] {
            assert_eq!(callable(from).as_deref(), expected, "{from}");
        }
    }
}
