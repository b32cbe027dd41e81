//! Tenants, keys and limits provisioned while the node runs, by API or command line, beside those of the configuration
//! file. A provisioned tenant is kept as the same words as `[[tenants]]`, in JSON; of its keys only digests are kept,
//! so a key is shown once, when it is made. Other nodes over the same store look after changes every few seconds.

use crate::intake::{Intake, Settings};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control::config::{Config, Role, Scope, Tenant, check};
use control::order::canon;
use control::store::{Ask, Error, Keep, Shelf};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Provisioned tenants by name in lower case, each as it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provisioned {
    documents: BTreeMap<String, Map<String, Value>>,
    /// Routes for numbers that are called, by what they match: [`crate::numbers`].
    pub(crate) numbers: BTreeMap<String, Map<String, Value>>,
    /// The greatest number ever given: a number is never given again.
    last_id: u32,
}

/// What is to be done; the API and the admin socket say it in these words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Make a tenant, or change the limits of one: only the words that are given change; `null` takes one away.
    Set {
        /// Its name.
        name: String,
        /// Words of `[[tenants]]`, as JSON.
        words: Map<String, Value>,
        /// It must be new.
        new: bool,
    },
    /// Take a tenant away with its keys. Its orders stay, and call nobody.
    Remove {
        /// Its name.
        name: String,
    },
    /// Make a key; the answer holds it, once.
    AddKey {
        /// Whose.
        name: String,
        /// What the key is to be called.
        key: String,
        /// What it may do; empty: everything a tenant may.
        #[serde(default)]
        scopes: Vec<Scope>,
        /// From where; empty: from anywhere.
        #[serde(default)]
        networks: Vec<String>,
    },
    /// Take a key away: it is refused from the answer on.
    RemoveKey {
        /// Whose.
        name: String,
        /// Which.
        key: String,
    },
    /// Let a person in, or change what one may do; the answer holds a link, once, by which they choose a password.
    AddUser {
        /// Whose.
        name: String,
        /// What the person is to be called.
        user: String,
        /// What they may do.
        role: Role,
    },
    /// Let a person in no more: their sessions end with the answer.
    RemoveUser {
        /// Whose.
        name: String,
        /// Who.
        user: String,
    },
    /// A person followed their link and chose a password.
    Welcome {
        /// Whose.
        name: String,
        /// Who.
        user: String,
        /// The secret of the link.
        secret: String,
        /// What is kept of the password.
        hash: String,
    },
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotChanged {
    /// No such tenant or key here.
    NotFound,
    /// It is in the configuration file, and is changed there.
    InFile,
    /// This number's route is in the configuration file, and is changed there.
    NumberInFile,
    /// It is there already.
    Exists,
    /// A word is wrong: which, and why.
    Wrong(String, String),
    /// Not now.
    Unavailable,
}

impl std::fmt::Display for NotChanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such tenant or key"),
            Self::InFile => {
                f.write_str("this tenant stands in the configuration file: change it there, then reload")
            }
            Self::NumberInFile => f.write_str(
                "this number's route stands in the configuration file: change it there, then reload",
            ),
            Self::Exists => f.write_str("it is there already"),
            Self::Wrong(word, why) if word.is_empty() => f.write_str(why),
            Self::Wrong(word, why) => write!(f, "{word}: {why}"),
            Self::Unavailable => f.write_str("the store does not answer; nothing was changed"),
        }
    }
}

impl From<Error> for NotChanged {
    fn from(_: Error) -> Self {
        Self::Unavailable
    }
}

/// How often changes by other nodes are looked for.
const LOOK: Duration = Duration::from_secs(5);
const LAST_ID: &str = "last-id";
const PREFIX: &str = "tenant/";
/// Octets of chance in a key: nobody guesses 256 bits.
const KEY_OCTETS: usize = 32;
/// Tenants that may be provisioned, and keys and people of one.
const TENANTS_MAX: usize = 10_000;
const KEYS_MAX: usize = 100;
const USERS_MAX: usize = 1_000;
/// A link to choose a password works so long, ms.
const INVITATION_MS: i64 = 3 * 24 * 3_600_000;

/// A new key, as it is shown once.
#[must_use]
pub fn new_key() -> String {
    format!("ck_{}", URL_SAFE_NO_PAD.encode(crate::clock::random::<KEY_OCTETS>()))
}

/// A tenant without its secrets.
#[must_use]
pub fn told(t: &Tenant) -> Value {
    let shown = |list: &[units::Private<String>]| -> Vec<String> {
        list.iter().map(|v| v.expose().clone()).collect()
    };
    let keys: Map<String, Value> = t
        .keys
        .iter()
        .map(|(name, k)| {
            let networks: Vec<String> = k.networks.iter().map(ToString::to_string).collect();
            (name.clone(), json!({ "scopes": k.scopes, "networks": networks, "hashed": k.plain().is_none() }))
        })
        .collect();
    let users: Map<String, Value> = t
        .users
        .iter()
        .map(|(name, u)| (name.clone(), json!({ "role": u.role, "invited": u.password.is_none() })))
        .collect();
    json!({
        "name": t.name,
        "id": t.id,
        "keys": keys,
        "users": users,
        "signers": t.signers.keys().collect::<Vec<_>>(),
        "mail_from": shown(&t.mail_from),
        "mail_level_min": t.mail_level_min,
        "mail_tls": format!("{:?}", t.mail_tls).to_lowercase(),
        "caller_ids": shown(&t.caller_ids),
        "applications": t.applications,
        "webhooks_signed": t.webhook_secret.is_some(),
        "trunks": t.trunks,
        "orders_a_second_max": t.orders_rate.milli_hz / 1_000,
        "requests_a_second_max": t.requests_rate.milli_hz / 1_000,
        "orders_waiting_max": t.orders_waiting_max,
        "hours": t.hours.as_deref().unwrap_or("any"),
        "purposes": t.purposes,
    })
}

impl Intake {
    /// Reads provisioned tenants from the store, and puts them in force if they changed; true if they did.
    ///
    /// # Errors
    /// The store's.
    pub async fn learn_tenants(&self) -> Result<bool, Error> {
        let mut read = Provisioned::default();
        for (name, value) in self.shelf(Shelf::Tenants, "").await? {
            if name == LAST_ID {
                read.last_id = serde_json::from_slice(&value).map_err(|_| Error::Corrupt)?;
            } else if let Some(tenant) = name.strip_prefix(PREFIX) {
                let document = serde_json::from_slice(&value).map_err(|_| Error::Corrupt)?;
                read.documents.insert(tenant.to_owned(), document);
            } else if let Some(number) = name.strip_prefix(crate::numbers::PREFIX) {
                let document = serde_json::from_slice(&value).map_err(|_| Error::Corrupt)?;
                read.numbers.insert(number.to_owned(), document);
            }
        }
        let changed = *self.provisioned.read().unwrap_or_else(PoisonError::into_inner) != read;
        if changed {
            self.in_force(&self.file.load_full(), read).map_err(|_| Error::Corrupt)?;
        }
        Ok(changed)
    }

    /// Looks for changes by other nodes, for ever.
    pub async fn follow_tenants(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.learn_tenants().await {
                Ok(true) => tracing::info!("tenants were changed elsewhere; they are in force here, too"),
                Ok(false) | Err(Error::Unavailable) => {}
                Err(error) => tracing::error!(?error, "tenants cannot be read"),
            }
        }
    }

    /// A newer configuration file is in force from now on, with the provisioned tenants.
    ///
    /// # Errors
    /// Why it cannot be; everything stays as it was.
    pub fn take_file(&self, newer: &Config) -> Result<(), String> {
        let provisioned = self.provisioned.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.in_force(newer, provisioned).map_err(|why| why.to_string())?;
        self.file.store(Arc::new(newer.clone()));
        Ok(())
    }

    pub(crate) fn in_force(&self, file: &Config, provisioned: Provisioned) -> Result<(), NotChanged> {
        let mut config = file.clone();
        for (name, document) in &provisioned.documents {
            let tenant = tenant_of(document)?;
            // The file goes first: an operator who writes a tenant there means that one.
            let taken = config.tenants.iter().any(|t| t.name.eq_ignore_ascii_case(name) || t.id == tenant.id);
            if taken {
                tracing::warn!(
                    tenant = name,
                    "the configuration file has this tenant, too, or its number; the file's is in force"
                );
            } else {
                config.tenants.push(tenant);
            }
        }
        let routes = crate::numbers::routes(provisioned.numbers.values(), &config.tenants);
        config.inbound.extend(routes);
        let settings =
            Settings::of(&config).map_err(|why| NotChanged::Wrong(String::new(), why.to_string()))?;
        self.settings.store(Arc::new(settings.with_stop(self.stop.get().cloned())));
        self.config.store(Arc::new(config));
        *self.provisioned.write().unwrap_or_else(PoisonError::into_inner) = provisioned;
        self.changed.notify_one();
        Ok(())
    }

    /// Changes tenants durably; what is answered is in force here, and within seconds on other nodes.
    ///
    /// # Errors
    /// [`NotChanged`].
    pub async fn provision(&self, change: Change) -> Result<Value, NotChanged> {
        // What another node did meanwhile is not undone.
        self.learn_tenants().await?;
        let mut provisioned = self.provisioned.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (name, mut answer) = self.changed(&mut provisioned, change)?;
        let document = provisioned.documents.get(&name);
        let value = document.map(|d| serde_json::to_vec(d).expect("a map of JSON"));
        let last_id = serde_json::to_vec(&provisioned.last_id).expect("a number");
        let keep = vec![
            Keep { shelf: Shelf::Tenants, name: format!("{PREFIX}{name}"), value },
            Keep { shelf: Shelf::Tenants, name: LAST_ID.into(), value: Some(last_id) },
        ];
        if let Some(document) = document {
            let tenant = tenant_of(document)?;
            if let Some((path, fault)) = check::of_tenant(&tenant).into_iter().next() {
                return Err(NotChanged::Wrong(path, fault.to_string()));
            }
            self.references(&tenant)?;
            if answer.is_null() {
                answer = told(&tenant);
            }
        }
        self.store.ask(Ask::Keep(keep)).await?;
        self.in_force(&self.file.load_full(), provisioned)?;
        Ok(answer)
    }

    fn references(&self, tenant: &Tenant) -> Result<(), NotChanged> {
        let file = self.file.load();
        // A tenant names trunks and groups in one list.
        let known = |name: &String| {
            file.trunks.iter().any(|t| t.name == *name) || file.trunk_groups.iter().any(|g| g.name == *name)
        };
        match tenant.trunks.iter().find(|name| !known(name)) {
            Some(name) => {
                Err(NotChanged::Wrong("trunks".into(), format!("there is no trunk or group called `{name}`")))
            }
            None => Ok(()),
        }
    }

    fn changed(&self, all: &mut Provisioned, change: Change) -> Result<(String, Value), NotChanged> {
        let wrong = |word: &str, why: &str| NotChanged::Wrong(word.into(), why.into());
        match change {
            Change::Set { name, words, new } => self.set(all, &name, words, new),
            Change::Remove { name } => {
                let lower = name.to_ascii_lowercase();
                self.known(all, &lower)?;
                all.documents.remove(&lower);
                Ok((lower, json!({ "removed": name })))
            }
            Change::AddKey { name, key, scopes, networks } => {
                let lower = name.to_ascii_lowercase();
                let keys = map_of(self.known(all, &lower)?, "keys");
                if !is_plain(&key) {
                    return Err(wrong("key", "letters, figures, - and _, at most 64"));
                }
                if keys.contains_key(&key) {
                    return Err(NotChanged::Exists);
                }
                if keys.len() >= KEYS_MAX {
                    return Err(wrong("key", "a tenant has at most 100"));
                }
                let secret = new_key();
                let sha256 = canon::hex(&canon::digest(&secret));
                let held = json!({ "sha256": sha256, "scopes": scopes, "networks": networks });
                keys.insert(key.clone(), held);
                Ok((lower, json!({ "tenant": name, "name": key, "key": secret })))
            }
            Change::RemoveKey { name, key } => {
                let lower = name.to_ascii_lowercase();
                let gone = map_of(self.known(all, &lower)?, "keys").remove(&key);
                gone.map(|_| (lower, json!({ "removed": key }))).ok_or(NotChanged::NotFound)
            }
            Change::AddUser { name, user, role } => self.invite(all, &name, &user, role),
            Change::RemoveUser { name, user } => {
                let lower = name.to_ascii_lowercase();
                let gone = map_of(self.known(all, &lower)?, "users").remove(&user);
                gone.map(|_| (lower, json!({ "removed": user }))).ok_or(NotChanged::NotFound)
            }
            Change::Welcome { name, user, secret, hash } => self.welcome(all, &name, &user, &secret, hash),
        }
    }

    /// A person and a link for them; who was there already keeps their password until they choose another.
    fn invite(
        &self,
        all: &mut Provisioned,
        name: &str,
        user: &str,
        role: Role,
    ) -> Result<(String, Value), NotChanged> {
        let lower = name.to_ascii_lowercase();
        let users = map_of(self.known(all, &lower)?, "users");
        if !is_plain(user) {
            return Err(NotChanged::Wrong("user".into(), "letters, figures, - and _, at most 64".into()));
        }
        if users.len() >= USERS_MAX && !users.contains_key(user) {
            return Err(NotChanged::Wrong("user".into(), "a tenant has at most 1000".into()));
        }
        let secret = URL_SAFE_NO_PAD.encode(crate::clock::random::<KEY_OCTETS>());
        let until = (self.now)().wall.0 + INVITATION_MS;
        let sha256 = canon::hex(&canon::digest(&secret));
        let mut person = json!({ "role": role, "invitation": { "sha256": sha256, "until_ms": until } });
        if let Some(password) = users.get(user).and_then(|u| u.get("password")) {
            person["password"] = password.clone();
        }
        users.insert(user.to_owned(), person);
        let base = self.settings.load().public_url.clone();
        let link = format!("{base}/console/welcome/{lower}/{user}/{secret}");
        let good_until = control::order::time::rfc3339(units::Wall(until));
        Ok((
            lower,
            json!({ "tenant": name, "user": user, "role": role, "link": link, "good_until": good_until }),
        ))
    }

    /// A link works once: what it was known by goes with its use.
    fn welcome(
        &self,
        all: &mut Provisioned,
        name: &str,
        user: &str,
        secret: &str,
        hash: String,
    ) -> Result<(String, Value), NotChanged> {
        let lower = name.to_ascii_lowercase();
        let now = (self.now)().wall.0;
        let document = self.known(all, &lower)?;
        let invited = tenant_of(document)?.users.get(user).and_then(|u| u.invitation.clone());
        let good = invited.filter(|i| i.until_ms > now && i.sha256.0 == canon::digest(secret));
        let person = map_of(document, "users").get_mut(user).and_then(Value::as_object_mut);
        let (Some(_), Some(person)) = (good, person) else { return Err(NotChanged::NotFound) };
        person.remove("invitation");
        person.insert("password".into(), hash.into());
        Ok((lower, json!({ "user": user })))
    }

    fn set(
        &self,
        all: &mut Provisioned,
        name: &str,
        words: Map<String, Value>,
        new: bool,
    ) -> Result<(String, Value), NotChanged> {
        let lower = name.to_ascii_lowercase();
        let fixed = ["name", "id", "keys"].into_iter().find(|w| words.contains_key(*w));
        if let Some(word) = fixed {
            let why = "stands in the address, is given by the node, or is made by itself: leave it out";
            return Err(NotChanged::Wrong(word.into(), why.into()));
        }
        let there = match self.known(all, &lower) {
            Ok(_) => true,
            Err(NotChanged::NotFound) => false,
            Err(other) => return Err(other),
        };
        if there && new {
            return Err(NotChanged::Exists);
        }
        if !there {
            if all.documents.len() >= TENANTS_MAX {
                return Err(NotChanged::Wrong("name".into(), "there are 10000 tenants already".into()));
            }
            let in_file = self.file.load().tenants.iter().map(|t| t.id).max().unwrap_or(0);
            all.last_id = all.last_id.max(in_file) + 1;
            let document = json!({ "name": name, "id": all.last_id, "keys": {} });
            let Value::Object(document) = document else { return Err(NotChanged::NotFound) };
            all.documents.insert(lower.clone(), document);
        }
        let document = all.documents.get_mut(&lower).ok_or(NotChanged::NotFound)?;
        for (word, value) in words {
            if value.is_null() {
                document.remove(&word)
            } else {
                document.insert(word, value)
            };
        }
        Ok((lower, Value::Null))
    }

    fn known<'a>(
        &self,
        all: &'a mut Provisioned,
        lower: &str,
    ) -> Result<&'a mut Map<String, Value>, NotChanged> {
        if self.file.load().tenants.iter().any(|t| t.name.eq_ignore_ascii_case(lower)) {
            return Err(NotChanged::InFile);
        }
        all.documents.get_mut(lower).ok_or(NotChanged::NotFound)
    }
}

/// A name that stands in an address and in a cookie as it is.
fn is_plain(name: &str) -> bool {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    plain && (1..=64).contains(&name.len())
}

/// The keys or users of a tenant.
fn map_of<'a>(document: &'a mut Map<String, Value>, what: &str) -> &'a mut Map<String, Value> {
    let held = document.entry(what).or_insert_with(|| Value::Object(Map::new()));
    if !held.is_object() {
        *held = Value::Object(Map::new());
    }
    held.as_object_mut().expect("made an object above")
}

fn tenant_of(document: &Map<String, Value>) -> Result<Tenant, NotChanged> {
    serde_json::from_value(Value::Object(document.clone()))
        .map_err(|error| NotChanged::Wrong(String::new(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Handle, Limits, Sqlite};

    fn intake() -> Intake {
        let text = "[[tenants]]\nname = \"filed\"\nid = 7\nkeys = { main = \"a-long-secret\" }\n";
        let config = control::config::parse("t", text).expect("reads");
        let store =
            Handle::start(Sqlite::in_memory(), None::<Sqlite>, Limits::default(), crate::clock::for_store);
        Intake::new(store.expect("starts"), crate::clock::now, config).expect("good settings")
    }

    fn words(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    async fn set(i: &Intake, name: &str, w: Value, new: bool) -> Result<Value, NotChanged> {
        i.provision(Change::Set { name: name.into(), words: words(w), new }).await
    }

    #[tokio::test]
    async fn a_tenant_is_made_changed_and_taken_away() {
        let i = intake();
        let made =
            set(&i, "Acme", json!({ "orders_rate": "3/s", "hours": "08:00-20:00" }), true).await.unwrap();
        assert_eq!((made["id"].as_u64(), made["orders_a_second_max"].as_u64()), (Some(8), Some(3)));
        assert_eq!(set(&i, "acme", json!({}), true).await, Err(NotChanged::Exists));
        assert_eq!(set(&i, "filed", json!({}), false).await, Err(NotChanged::InFile));
        assert!(
            matches!(set(&i, "acme", json!({ "hours": "noon" }), false).await, Err(NotChanged::Wrong(w, _)) if w == "hours")
        );
        assert!(matches!(set(&i, "acme", json!({ "colour": 1 }), false).await, Err(NotChanged::Wrong(..))));
        assert!(matches!(
            set(&i, "acme", json!({ "trunks": ["x"] }), false).await,
            Err(NotChanged::Wrong(..))
        ));
        assert!(
            matches!(set(&i, "acme", json!({ "id": 1 }), false).await, Err(NotChanged::Wrong(w, _)) if w == "id")
        );
        let changed = set(&i, "acme", json!({ "hours": null }), false).await.unwrap();
        assert_eq!(
            (changed["hours"].as_str(), changed["orders_a_second_max"].as_u64()),
            (Some("any"), Some(3))
        );
        i.provision(Change::Remove { name: "acme".into() }).await.unwrap();
        let again = set(&i, "acme", json!({}), true).await.unwrap();
        assert_eq!(again["id"].as_u64(), Some(9), "a number is never given again");
    }

    #[tokio::test]
    async fn a_key_is_kept_as_a_digest_and_gone_at_once() {
        let i = intake();
        set(&i, "acme", json!({}), true).await.unwrap();
        let add = |key: &str| Change::AddKey {
            name: "acme".into(),
            key: key.into(),
            scopes: vec![Scope::Read],
            networks: vec!["10.0.0.0/8".into()],
        };
        let made = i.provision(add("web")).await.unwrap();
        let key = made["key"].as_str().unwrap().to_owned();
        let kept = i.shelf(Shelf::Tenants, "").await.unwrap();
        assert!(kept.iter().all(|(_, v)| !String::from_utf8_lossy(v).contains(&key)));
        let whose = |from: &str| crate::intake::whose_key(&i.settings.load(), &key, from.parse().ok());
        assert_eq!(whose("10.1.1.1").map(|(_, n)| n).as_deref(), Some("web"));
        assert_eq!(whose("192.0.2.1"), None);
        assert_eq!(i.provision(add("web")).await, Err(NotChanged::Exists));
        assert!(matches!(i.provision(add("a b")).await, Err(NotChanged::Wrong(..))));
        i.provision(Change::RemoveKey { name: "acme".into(), key: "web".into() }).await.unwrap();
        assert_eq!(whose("10.1.1.1"), None);
    }
}
