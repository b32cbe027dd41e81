//! Properties (VoiceXML 2.0 §6.3), times, and the session's variables (§5.1.4).

use super::Session;
use crate::catch::Event;
use crate::document::{Document, NodeId, Tag};
use crate::session::Caching;
use crate::values::illegal_property;
use engine::Value;
use std::sync::Arc;

/// `"5s"`, `"300ms"`, `"1.5s"` (VoiceXML 2.0 §6.5) in milliseconds.
pub(crate) fn time_ms(text: &str) -> Option<u64> {
    let t = text.trim();
    let (number, scale) = match t.strip_suffix("ms") {
        Some(n) => (n, 1.0),
        None => (t.strip_suffix('s')?, 1000.0),
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'+');
    let n: f64 = number.parse().ok().filter(|_| plain)?;
    let ms = (n * scale).round().clamp(0.0, 1e12);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 ..= 1e12")]
    let ms = ms as u64;
    Some(ms)
}

impl Session {
    /// A property in force for the item being visited: item, dialog, document, root document, platform.
    pub(crate) fn property(&self, name: &str) -> Option<String> {
        let level = self.levels.last()?;
        let dialog = level.dialog.as_ref();
        let item = dialog.and_then(|d| d.current.map(|i| d.items[i].node));
        let places = [item, dialog.map(|d| d.node), Some(level.doc.root())];
        let own = places.into_iter().flatten().find_map(|n| property_at(&level.doc, n, name));
        let root = || level.root.as_ref().filter(|r| !Arc::ptr_eq(r, &level.doc));
        let illegal = level.doc.illegal_properties || root().is_some_and(|r| r.illegal_properties);
        own.or_else(|| root().and_then(|r| property_at(r, r.root(), name)))
            .or_else(|| self.config.properties.get(name).cloned())
            .filter(|v| !illegal || illegal_property(name, v).is_none())
            .or_else(|| default(name).map(str::to_owned))
    }

    /// VoiceXML 2.0 §6.3: a value that the standard does not know for its property is `error.semantic`. It is found where
    /// the property is in force: when an item is visited. Lenient: the default holds instead.
    pub(crate) fn legal_properties(&self, node: NodeId) -> Result<(), Event> {
        let Some(level) = self.levels.last() else { return Ok(()) };
        let root = level.root.as_ref().filter(|r| !Arc::ptr_eq(r, &level.doc));
        let illegal = level.doc.illegal_properties || root.is_some_and(|r| r.illegal_properties);
        if !illegal || self.config.lenient {
            return Ok(());
        }
        let dialog = level.dialog.as_ref().map(|d| d.node);
        let own = [Some(node), dialog.filter(|d| *d != node), Some(level.doc.root())];
        let own = own.into_iter().flatten().map(|n| (&level.doc, n));
        let mut inner: Vec<&str> = Vec::new();
        for (doc, node) in own.chain(root.map(|r| (r, r.root()))) {
            for (name, value) in doc.properties(node) {
                if inner.contains(&name) {
                    continue;
                }
                inner.push(name);
                if illegal_property(name, value).is_some() {
                    return Err(Event::semantic(format!("'{value}' is no value for the property {name}")));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn property_ms(&self, name: &str) -> Option<u64> {
        self.property(name).and_then(|v| time_ms(&v))
    }

    pub(crate) fn property_is(&self, name: &str, value: &str) -> bool {
        self.property(name).is_some_and(|v| v.trim() == value)
    }

    pub(crate) fn property_number(&self, name: &str) -> Option<f32> {
        self.property(name).and_then(|v| v.trim().parse().ok())
    }

    /// All properties in force, for a recogniser; the innermost wins.
    pub(crate) fn properties(&self) -> std::collections::BTreeMap<String, String> {
        let mut all = self.config.properties.clone();
        let Some(level) = self.levels.last() else { return all };
        let mut take = |doc: &Document, node: NodeId| {
            for p in doc.children(node).filter(|&c| doc.tag(c) == Tag::Property) {
                if let (Some(n), Some(v)) = (doc.attribute(p, "name"), doc.attribute(p, "value")) {
                    all.insert(n.to_owned(), v.to_owned());
                }
            }
        };
        if let Some(root) = &level.root {
            take(root, root.root());
        }
        take(&level.doc, level.doc.root());
        if let Some(d) = &level.dialog {
            take(&level.doc, d.node);
            if let Some(i) = d.current {
                take(&level.doc, d.items[i].node);
            }
        }
        all
    }

    /// Cache wishes of an element, else the properties of its resource (§6.1.2).
    pub(crate) fn caching(&self, doc: &Document, node: NodeId, resource: &str) -> Caching {
        let seconds = |attribute: &str| {
            let own = doc.attribute(node, attribute).map(str::to_owned);
            own.or_else(|| self.property(&format!("{resource}{attribute}")))
                .and_then(|v| v.trim().parse().ok())
        };
        Caching { maxage_s: seconds("maxage"), maxstale_s: seconds("maxstale") }
    }

    pub(crate) fn define_session_variables(&mut self) {
        let config = self.config.clone();
        let c = &config.connection;
        let text = |s: &str| Value::text(s);
        let object = |pairs: Vec<(&str, Value)>| {
            Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
        };
        let redirect = c.redirect.iter().map(|r| {
            object(vec![
                ("uri", text(r.uri.expose())),
                ("pi", text(&r.pi)),
                ("si", text(&r.si)),
                ("reason", text(&r.reason)),
            ])
        });
        let headers = c.headers.iter().map(|(n, v)| (n.to_ascii_lowercase(), text(v)));
        let headers = Value::Object(headers.collect());
        let mut protocol = vec![("name", text(&c.protocol_name)), ("version", text(&c.protocol_version))];
        if c.protocol_name == "sip" {
            protocol.push(("sip", object(vec![("headers", headers)])));
        }
        let connection = object(vec![
            ("local", object(vec![("uri", text(c.local_uri.expose()))])),
            ("remote", object(vec![("uri", text(c.remote_uri.expose()))])),
            ("protocol", object(protocol)),
            ("redirect", Value::Array(redirect.collect())),
            ("aai", c.aai.as_deref().map_or(Value::Undefined, text)),
            ("originator", text(if c.originator_is_local { "local" } else { "remote" })),
        ]);
        let scope = self.session_scope;
        self.scopes.define(scope, "connection", connection);
        self.scopes.define(scope, "id", text(&config.id));
        self.scopes.define(scope, "sessionid", text(&config.id));
        if config.lenient {
            let user = |uri: &str| {
                let tail = uri.split_once(':').map_or(uri, |(_, t)| t);
                text(tail.split(['@', ';']).next().unwrap_or(tail))
            };
            let telephone = object(vec![
                ("ani", user(c.remote_uri.expose())),
                ("dnis", user(c.local_uri.expose())),
                ("id", text(&config.id)),
            ]);
            self.scopes.define(scope, "telephone", telephone);
        }
        self.scopes.freeze(scope);
    }
}

/// The last `<property>` of that name among a node's children.
fn property_at(doc: &Document, node: NodeId, name: &str) -> Option<String> {
    let mut found = None;
    for p in doc.children(node).filter(|&c| doc.tag(c) == Tag::Property) {
        if doc.attribute(p, "name") == Some(name) {
            found = doc.attribute(p, "value").map(str::to_owned);
        }
    }
    found
}

/// VoiceXML 2.0 §6.3 and 2.1: what holds when nobody says otherwise.
fn default(name: &str) -> Option<&'static str> {
    Some(match name {
        "confidencelevel" | "sensitivity" | "speedvsaccuracy" => "0.5",
        "completetimeout" => "500ms",
        "incompletetimeout" => "1s",
        "maxspeechtimeout" => "30s",
        "interdigittimeout" => "3s",
        "termtimeout" => "0s",
        "termchar" => "#",
        "bargein" => "true",
        "bargeintype" => "speech",
        "timeout" => "7s",
        "audiofetchhint" | "grammarfetchhint" | "objectfetchhint" | "scriptfetchhint" | "datafetchhint" => {
            "prefetch"
        }
        "documentfetchhint" => "safe",
        "fetchaudiodelay" => "2s",
        "fetchaudiominimum" => "5s",
        "fetchtimeout" => "7s",
        "inputmodes" => "dtmf voice",
        "universals" => "none",
        "maxnbest" => "1",
        "recordutterance" => "false",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vxml20_6_5_time_designations() {
        for (text, ms) in [
            ("5s", Some(5000)),
            ("300ms", Some(300)),
            ("1.5s", Some(1500)),
            (" 0s ", Some(0)),
            ("+2s", Some(2000)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("1e9s", None),
        ] {
            assert_eq!(time_ms(text), ms, "{text}");
        }
    }
}
