//! Which application answers when a number is called, provisioned while the node runs: routes beside the `[[inbound]]` of
//! the configuration file, in the same words, kept in the store under the number or prefix that they match. The operator
//! says whose a number is; the tenant that has one says what it does. The file's routes go first, then the longest match.

use crate::intake::Intake;
use crate::provision::NotChanged;
use control::config::{Config, Inbound, Tenant, check};
use control::store::{Ask, Keep, Shelf};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::PoisonError;
use units::TenantId;

/// What is to be done with a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NumberChange {
    /// Make one, or change it: only the words that are given change; `null` takes one away.
    Set {
        /// What it matches: a whole number or user, a beginning with `*`, or `*`.
        number: String,
        /// Words of `[[inbound]]`, as JSON.
        words: Map<String, Value>,
    },
    /// Take it away.
    Remove {
        /// What it matches.
        number: String,
    },
}

/// On the shelf of tenants.
pub(crate) const PREFIX: &str = "number/";
/// Routes that may be provisioned.
const NUMBERS_MAX: usize = 10_000;
/// Characters of what a route matches.
const NUMBER_MAX: usize = 64;
/// What a tenant may say of its own numbers; the rest is the operator's.
const OF_A_TENANT: [&str; 3] = ["url", "hours", "zone"];

/// A route as it is told.
#[must_use]
pub fn told(route: &Inbound, in_file: bool) -> Value {
    json!({
        "match": route.pattern,
        "tenant": route.tenant,
        "url": route.url,
        "trunks": route.trunks,
        "hours": route.hours.as_deref().unwrap_or("any"),
        "zone": route.zone,
        "reserve": route.reserve,
        "from": if in_file { "file" } else { "api" },
    })
}

/// All routes in force, in the order in which they count; `of`: one tenant's.
#[must_use]
pub fn all(intake: &Intake, of: Option<TenantId>) -> Vec<Value> {
    let (config, file) = (intake.config.load(), intake.file.load());
    let owned = |route: &&Inbound| {
        let owner = config.tenants.iter().find(|t| t.name == route.tenant);
        of.is_none_or(|id| owner.is_some_and(|t| t.id == id.0))
    };
    let shown = config.inbound.iter().filter(owned);
    shown.map(|route| told(route, file.inbound.contains(route))).collect()
}

/// Routes that were provisioned, the longest match first, as far as their tenants are there.
pub(crate) fn routes<'a>(
    documents: impl Iterator<Item = &'a Map<String, Value>>,
    tenants: &[Tenant],
) -> Vec<Inbound> {
    let mut routes: Vec<Inbound> = documents.filter_map(|document| route_of(document).ok()).collect();
    routes.retain(|route| tenants.iter().any(|t| t.name == route.tenant));
    // What is whole goes before a beginning of the same length.
    routes.sort_by_key(|r| {
        std::cmp::Reverse((r.pattern.trim_end_matches('*').len(), !r.pattern.ends_with('*')))
    });
    routes
}

fn route_of(document: &Map<String, Value>) -> Result<Inbound, NotChanged> {
    serde_json::from_value(Value::Object(document.clone()))
        .map_err(|error| NotChanged::Wrong(String::new(), error.to_string()))
}

impl Intake {
    /// Changes a route durably, for the operator (`by` is `None`) or for a tenant; what is answered is in force here, and
    /// within seconds on other nodes.
    ///
    /// # Errors
    /// [`NotChanged`]; a number that is another's is not found.
    pub async fn number(&self, by: Option<TenantId>, change: NumberChange) -> Result<Value, NotChanged> {
        // What another node did meanwhile is not undone.
        self.learn_tenants().await?;
        let mut provisioned = self.provisioned.read().unwrap_or_else(PoisonError::into_inner).clone();
        let config = self.config.load_full();
        let (number, words) = match change {
            NumberChange::Set { number, words } => (number, Some(words)),
            NumberChange::Remove { number } => (number, None),
        };
        let there = provisioned.numbers.get(&number).cloned();
        self.permitted(&config, by, &number, there.as_ref(), words.as_ref())?;
        let document = match (words, there) {
            (None, None) => return Err(NotChanged::NotFound),
            (None, Some(_)) => None,
            (Some(words), there) => {
                if there.is_none() && provisioned.numbers.len() >= NUMBERS_MAX {
                    let why = format!("there are {NUMBERS_MAX} already");
                    return Err(NotChanged::Wrong("match".into(), why));
                }
                let mut document = there.unwrap_or_default();
                document.insert("match".into(), number.clone().into());
                for (word, value) in words {
                    if value.is_null() {
                        document.remove(&word)
                    } else {
                        document.insert(word, value)
                    };
                }
                Some(document)
            }
        };
        let mut answer = json!({ "removed": number });
        if let Some(document) = &document {
            let route = route_of(document)?;
            self.route_fits(&config, &route)?;
            answer = told(&route, false);
        }
        let value = document.as_ref().map(|d| serde_json::to_vec(d).expect("a map of JSON"));
        match document {
            Some(document) => drop(provisioned.numbers.insert(number.clone(), document)),
            None => drop(provisioned.numbers.remove(&number)),
        }
        let keep = Keep { shelf: Shelf::Tenants, name: format!("{PREFIX}{number}"), value };
        self.store.ask(Ask::Keep(vec![keep])).await?;
        self.in_force(&self.file.load_full(), provisioned)?;
        Ok(answer)
    }

    fn permitted(
        &self,
        config: &Config,
        by: Option<TenantId>,
        number: &str,
        there: Option<&Map<String, Value>>,
        words: Option<&Map<String, Value>>,
    ) -> Result<(), NotChanged> {
        let in_file = |route: &Inbound| route.pattern == number;
        match by {
            None if self.file.load().inbound.iter().any(in_file) => Err(NotChanged::NumberInFile),
            None => Ok(()),
            Some(id) => {
                let owner = there.and_then(|d| d.get("tenant")).and_then(Value::as_str);
                let own = config.tenants.iter().any(|t| t.id == id.0 && Some(t.name.as_str()) == owner);
                let Some(words) = words.filter(|_| own) else { return Err(NotChanged::NotFound) };
                match words.keys().find(|word| !OF_A_TENANT.contains(&word.as_str())) {
                    Some(word) => {
                        Err(NotChanged::Wrong(word.clone(), "this is for the operator to say".into()))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn route_fits(&self, config: &Config, route: &Inbound) -> Result<(), NotChanged> {
        let wrong = |word: &str, why: String| NotChanged::Wrong(word.into(), why);
        let beginning = route.pattern.trim_end_matches('*');
        let plain = beginning.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'/');
        if !plain || route.pattern.is_empty() || route.pattern.len() > NUMBER_MAX {
            return Err(wrong("match", "a number or user, a beginning with * at its end, or *".into()));
        }
        if let Some((word, fault)) = check::of_route(route).into_iter().next() {
            return Err(wrong(&word, fault.to_string()));
        }
        if !config.tenants.iter().any(|t| t.name == route.tenant) {
            return Err(wrong("tenant", format!("there is no tenant called `{}`", route.tenant)));
        }
        let known = |name: &String| {
            config.trunks.iter().any(|t| t.name == *name)
                || config.trunk_groups.iter().any(|g| g.name == *name)
        };
        if let Some(name) = route.trunks.iter().find(|name| !known(name)) {
            return Err(wrong("trunks", format!("there is no trunk or group called `{name}`")));
        }
        let others = config.inbound.iter().filter(|other| other.pattern != route.pattern);
        let reserved: u64 = others.chain([route]).map(|r| u64::from(r.reserve)).sum();
        if reserved > config.inbound_calls_max() {
            return Err(wrong("reserve", "more would be kept free than incoming calls may be up".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Handle, Limits, Sqlite};

    fn intake() -> Intake {
        let text = "[[tenants]]\nname = \"acme\"\nid = 1\n[[tenants]]\nname = \"other\"\nid = 2\n\
                    [[inbound]]\nmatch = \"+1555000\"\ntenant = \"acme\"\nurl = \"https://a.example/file\"\n";
        let config = control::config::parse("t", text).expect("reads");
        let store =
            Handle::start(Sqlite::in_memory(), None::<Sqlite>, Limits::default(), crate::clock::for_store);
        Intake::new(store.expect("starts"), crate::clock::now, config).expect("good settings")
    }

    async fn set(i: &Intake, by: Option<u32>, number: &str, words: Value) -> Result<Value, NotChanged> {
        let words = words.as_object().cloned().unwrap_or_default();
        i.number(by.map(TenantId), NumberChange::Set { number: number.into(), words }).await
    }

    #[tokio::test]
    async fn the_operator_gives_numbers_and_their_tenant_says_what_they_do() {
        let i = intake();
        let url = "https://a.example/x";
        let made =
            set(&i, None, "+1555*", json!({ "tenant": "acme", "url": url, "reserve": 3 })).await.unwrap();
        assert_eq!((made["tenant"].as_str(), made["reserve"].as_u64()), (Some("acme"), Some(3)));
        set(&i, None, "+15551*", json!({ "tenant": "other", "url": url })).await.unwrap();
        set(&i, Some(1), "+1555*", json!({ "hours": "mon-fri 08:00-18:00" })).await.unwrap();
        assert_eq!(set(&i, Some(2), "+1555*", json!({ "url": url })).await, Err(NotChanged::NotFound));
        assert_eq!(set(&i, Some(1), "+1666", json!({ "url": url })).await, Err(NotChanged::NotFound));
        let stolen = set(&i, Some(1), "+1555*", json!({ "tenant": "other" })).await;
        assert!(matches!(stolen, Err(NotChanged::Wrong(word, _)) if word == "tenant"));
        let order: Vec<String> = i.config.load().inbound.iter().map(|route| route.pattern.clone()).collect();
        assert_eq!(order, ["+1555000", "+15551*", "+1555*"], "the file's, then the longest");
        assert_eq!(all(&i, Some(TenantId(2))).len(), 1);
        // Another process over the same store finds them.
        let kept = i.shelf(Shelf::Tenants, PREFIX).await.unwrap();
        assert_eq!(kept.len(), 2);
        i.number(None, NumberChange::Remove { number: "+1555*".into() }).await.unwrap();
        assert_eq!(i.config.load().inbound.len(), 2);
    }

    #[tokio::test]
    async fn a_route_that_could_not_serve_is_refused_with_its_word() {
        let i = intake();
        let check = async |number: &str, words: Value, word: &str| {
            let said = set(&i, None, number, words).await;
            assert!(matches!(&said, Err(NotChanged::Wrong(w, _)) if w == word), "{number} {word}: {said:?}");
        };
        let url = "https://a.example/x";
        check("+1", json!({ "tenant": "nobody", "url": url }), "tenant").await;
        check("+1", json!({ "tenant": "acme", "url": "nonsense" }), "url").await;
        check("+1", json!({ "tenant": "acme", "url": url, "hours": "noon" }), "hours").await;
        check("+1", json!({ "tenant": "acme", "url": url, "trunks": ["x"] }), "trunks").await;
        check("+1", json!({ "tenant": "acme", "url": url, "reserve": 1_000_000 }), "reserve").await;
        check("+1*2", json!({ "tenant": "acme", "url": url }), "match").await;
        check("+1", json!({ "tenant": "acme", "url": url, "colour": 1 }), "").await;
        let there = json!({ "tenant": "acme", "url": url });
        assert_eq!(set(&i, None, "+1555000", there).await, Err(NotChanged::NumberInFile));
    }
}
