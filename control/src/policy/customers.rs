//! The customer table: what a tenant knows of the people it calls. Their zone stands before the one their number tells,
//! their hours are a rule of their own, their consents are what rules of consent ask for, and when they last talked is
//! what rules of rest ask for. Held in memory for the judge; each change is on the store's shelf first.

use super::facts::{Consent, Facts};
use super::rule::{Applies, Check, Effect, Party, Rule, RuleSet, Window};
use super::{house, zones};
use crate::order::form::Fields;
use crate::order::{Order, Purpose, Reason, Refusal, canon, number, time};
use crate::store::{Keep, Shelf};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use units::{Private, TenantId, Wall};

/// Customers held at most, all tenants.
pub const CUSTOMERS_MAX: usize = 2_000_000;
/// Consents of one customer.
const CONSENTS_MAX: usize = 20;

/// A customer of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The number or address, in its one form.
    pub number: Private<String>,
    /// Whose customer.
    pub tenant: TenantId,
    /// IANA zone of their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Their language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// When they like to be called: `mon-fri 09:00-18:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// What they consented to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Consent>,
    /// When they last talked with us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_talk: Option<Wall>,
    /// Last change.
    pub changed: Wall,
    /// Where it came from: `api`, or a source by name.
    pub source: String,
}

/// Words of a customer, as API and lists write them. `opt_out` puts them on the tenant's suppression list.
pub const FIELDS: &[&str] = &["number", "zone", "lang", "hours", "consents", "opt_out"];

/// A customer, and whether they are to be on the tenant's suppression list (`None`: it stays as it is).
pub type Read = (Customer, Option<bool>);

/// Reads a customer; `text` in the place of `consents` (a cell of a CSV) is kinds separated by spaces.
///
/// # Errors
/// The first [`Refusal`].
pub fn read(fields: &Fields, tenant: TenantId, source: &str, now: Wall) -> Result<Read, Refusal> {
    if let Some(name) = fields.keys().find(|n| !FIELDS.contains(&n.as_str())) {
        let nearest = crate::order::refusal::nearest(name, FIELDS);
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(Refusal::new(shown, Reason::UnknownField { nearest }));
    }
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(s)) if s.trim().is_empty() => Ok(None),
        Some(Value::String(s)) if s.len() <= 200 && !s.chars().any(char::is_control) => {
            Ok(Some(s.trim().to_owned()))
        }
        Some(_) => Err(Refusal::new(name, Reason::NotA("a text of at most 200 octets"))),
    };
    let number = text("number")?.ok_or_else(|| Refusal::new("number", Reason::Missing))?;
    let number = number::callee(&number, None).map_err(|r| Refusal::new("number", r))?;
    let zone = text("zone")?;
    if zone.as_deref().is_some_and(|z| !zones::is_zone(z)) {
        return Err(Refusal::new("zone", Reason::NoSuchZone));
    }
    let hours = text("hours")?;
    if hours.as_deref().is_some_and(|h| house::hours(h).is_err()) {
        return Err(Refusal::new("hours", Reason::NotA("hours such as `mon-fri 09:00-18:00`")));
    }
    let customer = Customer {
        number: Private::new(number),
        tenant,
        zone,
        lang: text("lang")?,
        hours,
        consents: consents(fields.get("consents"))?,
        last_talk: None,
        changed: now,
        source: source.to_owned(),
    };
    Ok((customer, flag(fields.get("opt_out"))?))
}

fn flag(value: Option<&Value>) -> Result<Option<bool>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(b)) => Ok(Some(*b)),
        Some(Value::String(s)) => match s.trim().to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "yes" | "1" => Ok(Some(true)),
            "false" | "no" | "0" => Ok(Some(false)),
            _ => Err(Refusal::new("opt_out", Reason::NotA("true or false"))),
        },
        Some(_) => Err(Refusal::new("opt_out", Reason::NotA("true or false"))),
    }
}

fn consents(value: Option<&Value>) -> Result<Vec<Consent>, Refusal> {
    const WANTED: Reason =
        Reason::NotA("a list of kinds, or of objects with kind, seller, until and evidence");
    let bad = || Refusal::new("consents", WANTED);
    let plain = |kind: &str| Consent { kind: kind.to_owned(), seller: None, until: None, evidence: None };
    let list = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(s)) => s.split_whitespace().map(plain).collect(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::String(kind) if !kind.trim().is_empty() => Ok(plain(kind.trim())),
                Value::Object(o) => consent(o).ok_or_else(bad),
                _ => Err(bad()),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(bad()),
    };
    if list.len() > CONSENTS_MAX {
        return Err(Refusal::new("consents", Reason::TooMany { max: CONSENTS_MAX }));
    }
    Ok(list)
}

fn consent(o: &Fields) -> Option<Consent> {
    if o.keys().any(|k| !["kind", "seller", "until", "evidence"].contains(&k.as_str())) {
        return None;
    }
    let text = |name: &str| match o.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(s)) if s.len() <= 200 => Some(Some(s.clone())),
        Some(_) => None,
    };
    let until = match text("until")? {
        None => None,
        Some(at) => Some(time::instant(&at, Wall(0)).ok()?),
    };
    Some(Consent {
        kind: text("kind")?.filter(|k| !k.is_empty())?,
        seller: text("seller")?,
        until,
        evidence: text("evidence")?,
    })
}

impl Customer {
    /// Their name on the shelf: owner and digest of the number.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.tenant, self.number.expose())
    }

    /// The change that keeps them.
    #[must_use]
    pub fn keep(&self) -> Keep {
        let value = serde_json::to_vec(self).expect("a customer has text keys only");
        Keep { shelf: Shelf::Customers, name: self.name(), value: Some(value) }
    }
}

/// Name of a tenant's customer on the shelf.
#[must_use]
pub fn name(tenant: TenantId, number: &str) -> String {
    format!("t{}/{}", tenant.0, canon::hex(&canon::digest(number)[..16]))
}

/// A customer, made ready for the judge.
#[derive(Clone, Debug)]
struct Known {
    customer: Customer,
    rules: Option<Arc<RuleSet>>,
}

/// All customers, for the judge.
#[derive(Clone, Debug, Default)]
pub struct Customers {
    by_name: BTreeMap<String, Known>,
}

/// The table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Customers {
    /// Is there room for so many more?
    ///
    /// # Errors
    /// [`Full`].
    pub fn room(&self, more: usize) -> Result<(), Full> {
        if self.by_name.len().saturating_add(more) <= CUSTOMERS_MAX { Ok(()) } else { Err(Full) }
    }

    /// Enters one, or one anew.
    pub fn enter(&mut self, customer: Customer) {
        let rules = customer.hours.as_deref().and_then(own_hours).map(Arc::new);
        self.by_name.insert(customer.name(), Known { customer, rules });
    }

    /// Takes one out; true if they were there.
    pub fn strike(&mut self, tenant: TenantId, number: &str) -> bool {
        self.by_name.remove(&name(tenant, number)).is_some()
    }

    /// One of them.
    #[must_use]
    pub fn of(&self, tenant: TenantId, number: &str) -> Option<&Customer> {
        if self.by_name.is_empty() {
            return None;
        }
        self.by_name.get(&name(tenant, number)).map(|k| &k.customer)
    }

    /// What is known of an order's callee goes into its facts; the rules they made themselves come back.
    #[must_use]
    pub fn inform(&self, order: &Order, facts: Facts) -> (Facts, Option<Arc<RuleSet>>) {
        if self.by_name.is_empty() {
            return (facts, None);
        }
        let Some(known) = self.by_name.get(&name(order.tenant, order.to.expose())) else {
            return (facts, None);
        };
        let mut facts = facts.with_address_zone(order, known.customer.zone.as_deref());
        facts.consents.extend(known.customer.consents.iter().cloned());
        facts.last_talk = known.customer.last_talk;
        (facts, known.rules.clone())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// There is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

/// The hours a customer likes, as a rule: it defers, and emergencies pass.
fn own_hours(text: &str) -> Option<RuleSet> {
    let mut set = RuleSet::empty(Party::Customer, "customer-preference");
    let applies = Applies {
        purposes: vec![
            Purpose::Transactional,
            Purpose::Telemarketing,
            Purpose::Debt,
            Purpose::Political,
            Purpose::Survey,
        ],
        ..Applies::default()
    };
    let check = Check::Window(Window { open: house::hours(text).ok()?, zone: None, holidays: Vec::new() });
    set.rules.push(Rule { id: "hours".into(), citation: None, applies, effect: Effect::Defer, check });
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PolicyLimits;
    use crate::policy::judge::tests::{order, wall};
    use crate::policy::{Rules, Verdict, judge};
    use serde_json::json;

    fn fields(v: Value) -> Fields {
        v.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_customers_zone_hours_and_consents_count() {
        let o = order("{}");
        let words = json!({ "number": o.to.expose(), "zone": "Asia/Tokyo", "hours": "09:00-12:00", "consents": ["express_written"] });
        let (customer, opt_out) = read(&fields(words), o.tenant, "api", Wall(5)).unwrap();
        assert_eq!(opt_out, None);
        let kept: Customer = serde_json::from_slice(&customer.keep().value.unwrap()).unwrap();
        assert_eq!(kept, customer);
        let mut all = Customers::default();
        all.enter(customer);
        let (facts, own) = all.inform(&o, Facts::of(&o));
        assert_eq!((facts.zones[0].name, facts.consents.len()), ("Asia/Tokyo", 1));
        let rules = Rules(vec![own.unwrap()]);
        let at = |t: &str| judge(&o, &rules, &facts, wall(t), &PolicyLimits::default()).verdict;
        // 10:00 and 13:00 in Tokyo.
        assert!(matches!(at("2026-01-15T01:00:00Z"), Verdict::Admit { .. }));
        assert!(matches!(at("2026-01-15T04:00:00Z"), Verdict::Defer { .. }));
        assert!(all.strike(o.tenant, o.to.expose()) && all.is_empty());
    }

    #[test]
    fn words_of_a_customer_are_checked() {
        let check = |v: Value, field: &str| {
            let refused = read(&fields(v.clone()), TenantId(1), "api", Wall(0)).expect_err("is wrong");
            assert_eq!(refused.field, field, "{v}");
        };
        check(json!({}), "number");
        check(json!({ "number": "12" }), "number");
        check(json!({ "number": "+12125550100", "zone": "Mars" }), "zone");
        check(json!({ "number": "+12125550100", "hours": "noon" }), "hours");
        check(json!({ "number": "+12125550100", "consents": [{ "king": 1 }] }), "consents");
        check(json!({ "number": "+12125550100", "opt_out": "maybe" }), "opt_out");
        check(json!({ "number": "+12125550100", "colour": "red" }), "colour");
        let cells = json!({ "number": "+12125550100", "consents": "a b", "opt_out": "yes", "zone": "" });
        let (c, out) = read(&fields(cells), TenantId(1), "s", Wall(0)).unwrap();
        assert_eq!((c.consents.len(), out, c.zone), (2, Some(true), None));
    }
}
