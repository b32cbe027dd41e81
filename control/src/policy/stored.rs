//! Rule sets that were stored while the node runs: the operator's, for everybody, and each tenant's own. Of a tenant's
//! sets the one called `default` holds for all its orders, any other for the orders that name it (`policy`). All of
//! them come on top of what the configuration says, so they can only tighten.

use super::rule::{BadRules, Party, RuleSet};
use crate::order::form::Fields;
use crate::order::{Order, Reason, Refusal};
use crate::store::{Keep, Shelf};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use units::TenantId;

/// The set that holds for all of a tenant's orders.
pub const DEFAULT: &str = "default";
/// Sets of one owner.
pub const SETS_MAX: usize = 100;

/// Stored sets by owner (`None`: the operator) and name.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    sets: BTreeMap<(Option<TenantId>, String), Arc<RuleSet>>,
}

/// Reads a set as API and files write it; whose it is decides the party, and its name stands in the address.
///
/// # Errors
/// A [`Refusal`] that says what is wrong with it.
pub fn read(
    fields: Fields,
    owner: Option<TenantId>,
    name: &str,
    rules_max: usize,
) -> Result<RuleSet, Refusal> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if !fits {
        return Err(Refusal::new("name", Reason::NotA("a name of letters, figures, - and _, at most 64")));
    }
    let mut fields = fields;
    let party = if owner.is_some() { "third_party" } else { "operator" };
    fields.insert(
        "name".into(),
        Value::from(if owner.is_some() { format!("tenant/{name}") } else { format!("operator/{name}") }),
    );
    fields.insert("party".into(), Value::from(party));
    fields.entry("version").or_insert_with(|| Value::from("1"));
    let set: RuleSet = serde_json::from_value(Value::Object(fields)).map_err(|error| {
        Refusal::new(
            "body",
            Reason::Malformed { what: "set of rules", line: error.line(), column: error.column() },
        )
    })?;
    set.check(rules_max).map_err(|bad| bad_rules(&bad))?;
    Ok(set)
}

fn bad_rules(bad: &BadRules) -> Refusal {
    match bad {
        BadRules::TooMany { max } => Refusal::new("rules", Reason::TooMany { max: *max }),
        BadRules::Name(id) => {
            Refusal::new(format!("rules.{id}"), Reason::NotA("a rule with a name of its own"))
        }
        BadRules::NoCalendar(id, _) => {
            Refusal::new(format!("rules.{id}.holidays"), Reason::NotA("a calendar of this set"))
        }
        BadRules::NoZone(id, _) => Refusal::new(format!("rules.{id}.zone"), Reason::NoSuchZone),
        BadRules::Prefix(id, _) => {
            Refusal::new(format!("rules.{id}.prefixes"), Reason::NotA("a beginning such as +1 or sip:"))
        }
        BadRules::Range(id) => {
            Refusal::new(format!("rules.{id}"), Reason::NotA("a rule with values in their ranges"))
        }
    }
}

/// Name on the shelf.
#[must_use]
pub fn shelf_name(owner: Option<TenantId>, name: &str) -> String {
    format!("{}{name}", super::suppress::owner_prefix(owner))
}

/// The change that keeps a set (`None`: takes it away).
#[must_use]
pub fn keep(owner: Option<TenantId>, name: &str, set: Option<&RuleSet>) -> Keep {
    let value = set.map(|s| serde_json::to_vec(s).expect("a set of rules has text keys only"));
    Keep { shelf: Shelf::Policies, name: shelf_name(owner, name), value }
}

impl Stored {
    /// Enters a set by its name on the shelf; false if the name is none.
    pub fn enter(&mut self, shelf_name: &str, set: RuleSet) -> bool {
        let Some((owner, name)) = shelf_name.split_once('/') else { return false };
        let owner = match owner.strip_prefix('t').map(str::parse) {
            None => None,
            Some(Ok(n)) => Some(TenantId(n)),
            Some(Err(_)) => return false,
        };
        self.sets.insert((owner, name.to_owned()), Arc::new(set));
        true
    }

    /// Is there a rule among them that asks the ledger?
    #[must_use]
    pub fn asks_ledger(&self) -> bool {
        self.sets.values().any(|set| super::ledger::asks(set))
    }

    /// Takes one out; true if it was there.
    pub fn strike(&mut self, owner: Option<TenantId>, name: &str) -> bool {
        self.sets.remove(&(owner, name.to_owned())).is_some()
    }

    /// The sets of an owner, by name.
    pub fn of(&self, owner: Option<TenantId>) -> impl Iterator<Item = (&str, &Arc<RuleSet>)> {
        self.sets.iter().filter(move |((o, _), _)| *o == owner).map(|((_, name), set)| (name.as_str(), set))
    }

    /// Is there such a set of the tenant?
    #[must_use]
    pub fn has(&self, owner: Option<TenantId>, name: &str) -> bool {
        self.sets.contains_key(&(owner, name.to_owned()))
    }

    /// What holds for an order beside the configuration's rules.
    pub fn holding(&self, order: &Order) -> Vec<Arc<RuleSet>> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        let operators = self.of(None).map(|(_, set)| set.clone());
        let wanted = |name: &str| name == DEFAULT || order.policy.as_deref() == Some(name);
        let own = self.of(Some(order.tenant)).filter(|(name, _)| wanted(name)).map(|(_, set)| set.clone());
        operators.chain(own).collect()
    }

    /// Party of an owner's sets.
    #[must_use]
    pub fn party(owner: Option<TenantId>) -> Party {
        if owner.is_some() { Party::ThirdParty } else { Party::Operator }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::judge::tests::order;
    use serde_json::json;

    fn set(owner: Option<TenantId>, name: &str, rules: Value) -> Result<RuleSet, Refusal> {
        read(json!({ "rules": rules }).as_object().cloned().unwrap_or_default(), owner, name, 500)
    }

    #[test]
    fn default_holds_for_all_and_named_sets_for_those_that_name_them() {
        let o = order("{}");
        let rule = json!([{ "id": "a", "check": { "deny_prefixes": ["+1900"] } }]);
        let mut stored = Stored::default();
        for (owner, name) in [
            (None, "house"),
            (Some(o.tenant), DEFAULT),
            (Some(o.tenant), "night"),
            (Some(TenantId(99)), DEFAULT),
        ] {
            assert!(stored.enter(&shelf_name(owner, name), set(owner, name, rule.clone()).unwrap()));
        }
        let names = |o: &Order| stored.holding(o).iter().map(|s| s.name.to_string()).collect::<Vec<_>>();
        assert_eq!(names(&o), ["operator/house", "tenant/default"]);
        let named = order(r#"{"policy":"night"}"#);
        assert_eq!(names(&named), ["operator/house", "tenant/default", "tenant/night"]);
        assert!(stored.has(Some(o.tenant), "night") && !stored.has(None, "night"));
        assert_eq!(set(None, "x", rule).unwrap().party, Party::Operator);
    }

    #[test]
    fn bad_sets_are_refused() {
        let check = |name: &str, rules: Value, field: &str| {
            assert_eq!(set(None, name, rules.clone()).expect_err("is wrong").field, field, "{rules}");
        };
        check("a b", json!([]), "name");
        check("a", json!([{ "id": "r", "check": { "fly": 1 } }]), "body");
        check("a", json!([{ "id": "r", "check": { "allow_prefixes": ["1"] } }]), "rules.r.prefixes");
        check("a", json!([{ "id": "r", "check": { "authority": { "min": 9 } } }]), "rules.r");
    }
}
