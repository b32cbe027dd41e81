//! From the fields of a request, whatever form they came in, to [`Order`]s: one for each recipient, all or none.

use super::refusal::{Reason, Refusal, nearest};
use super::{Application, Doubt, Order, Origin, Purpose, ResourceRef, ResultTo, When, canon, number, time};
use crate::limits::OrderLimits;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use units::{CampaignId, OrderId, Private, Rng, TenantId, Wall};

/// What is known about a request beside its fields.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// Whose request it is, proven by the door it came through.
    pub tenant: TenantId,
    /// How it came.
    pub origin: Origin,
    /// Request id if the fields name none: the `Idempotency-Key`, or the Message-ID.
    pub request_id: &'a str,
    /// Time of acceptance.
    pub now: Wall,
    /// ISO 3166 region in which numbers without a plus are read.
    pub region: Option<&'a str>,
    /// Plain `http:` may be used for applications and results (closed networks, the demo).
    pub http_allowed: bool,
    /// Content-IDs of the parts that came with the order.
    pub attached: &'a [String],
    /// The campaign it is a row of.
    pub campaign: Option<CampaignId>,
    /// Bounds.
    pub limits: &'a OrderLimits,
}

/// A request that can be accepted.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// One order for each recipient, in their order.
    pub orders: Vec<Order>,
    /// SHA-256 over the canonical request and the recipient's place in it, one for each order.
    pub digests: Vec<[u8; 32]>,
    /// The canonical request (RFC 8785).
    pub canonical: String,
}

/// Fields of a request.
pub const FIELDS: &[&str] = &[
    "to",
    "application",
    "request_id",
    "at",
    "expires",
    "purpose",
    "policy",
    "priority",
    "caller_id",
    "resources",
    "result_to",
    "params",
    "message",
    "zone",
    "lang",
    "subject",
    "customer",
    "doubt",
    "lenient",
    "repeat",
];

/// Fields that one recipient of several may have of its own.
pub const RECIPIENT_FIELDS: &[&str] = &["to", "zone", "lang", "customer", "subject", "params"];

/// Makes orders of a request.
///
/// # Errors
/// Every [`Refusal`] found (at most `limits.refusals_max`); nothing is half accepted.
pub fn parse(fields: &Map<String, Value>, cx: &Context<'_>, rng: &mut Rng) -> Result<Parsed, Vec<Refusal>> {
    let mut reader = Reader { cx, refusals: Vec::new() };
    reader.known(fields, FIELDS, "");
    let common = reader.common(fields);
    let recipients = reader.recipients(fields, &common);
    let canonical = canon::jcs(&canonical(&common, &recipients));
    if !reader.refusals.is_empty() {
        reader.refusals.truncate(cx.limits.refusals_max);
        return Err(reader.refusals);
    }
    let mut orders = Vec::with_capacity(recipients.len());
    let mut digests = Vec::with_capacity(recipients.len());
    for (place, recipient) in recipients.into_iter().enumerate() {
        digests.push(canon::digest(&format!("{place}\n{canonical}")));
        orders.push(order(&common, recipient, place, cx, rng));
    }
    Ok(Parsed { orders, digests, canonical })
}

/// What all recipients of a request share.
struct Common {
    application: Application,
    application_text: String,
    request_id: String,
    when: When,
    at_text: String,
    expires: Wall,
    expires_text: String,
    purpose: Purpose,
    policy: Option<String>,
    priority: u8,
    caller_id: Option<String>,
    resources: Vec<ResourceRef>,
    results_to: Vec<ResultTo>,
    message: Option<String>,
    own: Own,
    doubt: Doubt,
    lenient: bool,
    repeat: Option<String>,
}

/// What a recipient may have of its own.
#[derive(Clone, Default)]
struct Own {
    zone: Option<String>,
    lang: Option<String>,
    customer: Option<String>,
    subject: Option<String>,
    params: BTreeMap<String, String>,
}

struct Recipient {
    to: String,
    own: Own,
}

fn order(common: &Common, r: Recipient, place: usize, cx: &Context<'_>, rng: &mut Rng) -> Order {
    // The first recipient keeps the bare request id, so that the same id with another list of recipients meets a
    // stored order with another digest and is refused as a conflict.
    let request_id =
        if place == 0 { common.request_id.clone() } else { format!("{}#{}", common.request_id, place + 1) };
    Order {
        id: OrderId(rng.next_u128()),
        tenant: cx.tenant,
        request_id,
        origin: cx.origin.clone(),
        to: Private::new(r.to),
        application: common.application.clone(),
        when: common.when,
        expires: common.expires,
        purpose: common.purpose,
        policy: common.policy.clone(),
        priority: common.priority,
        caller_id: common.caller_id.clone().map(Private::new),
        resources: common.resources.clone(),
        results_to: common.results_to.clone(),
        params: r.own.params.into_iter().map(|(k, v)| (k, Private::new(v))).collect(),
        message: common.message.clone().map(Private::new),
        zone: r.own.zone,
        lang: r.own.lang,
        subject: r.own.subject,
        customer: r.own.customer.map(Private::new),
        doubt: common.doubt,
        campaign: cx.campaign,
        lenient: common.lenient,
        repeat: common.repeat.clone(),
    }
}

fn canonical(c: &Common, recipients: &[Recipient]) -> Value {
    let to: Vec<Value> = recipients.iter().map(|r| own_json(&r.own, Some(&r.to))).collect();
    let results: Vec<Value> = c
        .results_to
        .iter()
        .map(|r| match r {
            ResultTo::Mail(a) => Value::from(format!("mailto:{}", a.expose())),
            ResultTo::Webhook(u) => Value::from(u.as_str()),
        })
        .collect();
    let mut canonical = json!({
        "to": to,
        "application": c.application_text,
        "request_id": c.request_id,
        "at": c.at_text,
        "expires": c.expires_text,
        "purpose": c.purpose,
        "policy": c.policy,
        "priority": c.priority,
        "caller_id": c.caller_id,
        "resources": c.resources,
        "result_to": results,
        "message": c.message,
        "doubt": c.doubt,
        "lenient": c.lenient,
    });
    // Newer than the others: its absence changes no digest that is known already.
    if let Some(repeat) = &c.repeat {
        canonical["repeat"] = Value::from(repeat.as_str());
    }
    canonical
}

fn own_json(own: &Own, to: Option<&str>) -> Value {
    json!({ "to": to, "zone": own.zone, "lang": own.lang, "customer": own.customer, "subject": own.subject,
            "params": own.params })
}

/// Reads fields and gathers what is wrong with them.
struct Reader<'a> {
    cx: &'a Context<'a>,
    refusals: Vec<Refusal>,
}

impl Reader<'_> {
    fn refuse(&mut self, field: impl Into<String>, reason: Reason) {
        if self.refusals.len() < self.cx.limits.refusals_max {
            self.refusals.push(Refusal::new(field, reason));
        }
    }

    fn known(&mut self, fields: &Map<String, Value>, known: &'static [&'static str], at: &str) {
        for name in fields.keys().filter(|n| !known.contains(&n.as_str())) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.refuse(format!("{at}{shown}"), Reason::UnknownField { nearest: nearest(name, known) });
        }
    }

    /// A text without control characters, at most `max` octets; null counts as absent.
    fn text(&mut self, value: Option<&Value>, field: &str, max: usize) -> Option<String> {
        let text = match value? {
            Value::Null => return None,
            Value::String(s) => s.trim(),
            _ => {
                self.refuse(field, Reason::NotA("a text"));
                return None;
            }
        };
        if text.len() > max {
            self.refuse(field, Reason::TooLong { max });
        } else if text.chars().any(char::is_control) {
            self.refuse(field, Reason::Control);
        } else if text.is_empty() {
            self.refuse(field, Reason::Missing);
        } else {
            return Some(text.to_owned());
        }
        None
    }

    fn name(&mut self, fields: &Map<String, Value>, field: &str) -> Option<String> {
        self.text(fields.get(field), field, self.cx.limits.name_bytes_max)
    }

    fn common(&mut self, f: &Map<String, Value>) -> Common {
        let (application, application_text) = self.application(f);
        let request_id = self.name(f, "request_id").unwrap_or_else(|| self.cx.request_id.to_owned());
        if request_id.is_empty() {
            self.refuse("request_id", Reason::Missing);
        } else if request_id.contains('#') {
            self.refuse("request_id", Reason::NotA("a name without `#`"));
        }
        let (when, at_text) = self.when(f);
        let (expires, expires_text) = self.expires(f, when);
        Common {
            application,
            application_text,
            request_id,
            when,
            at_text,
            expires,
            expires_text,
            purpose: self.purpose(f),
            policy: self.name(f, "policy"),
            priority: self.priority(f),
            caller_id: self.caller_id(f),
            resources: self.resources(f),
            results_to: self.results_to(f),
            message: self.message(f),
            own: self.own(f, "", &Own::default()),
            doubt: self.word(f, "doubt", &["at_most_once", "at_least_once", "ask"]).unwrap_or_default(),
            lenient: self.flag(f, "lenient"),
            repeat: self.repeat(f),
        }
    }

    /// One of a closed set of words, read by serde.
    fn word<T: serde::de::DeserializeOwned>(
        &mut self,
        f: &Map<String, Value>,
        field: &str,
        words: &'static [&'static str],
    ) -> Option<T> {
        let text = self.name(f, field)?.to_ascii_lowercase();
        if !words.contains(&text.as_str()) {
            self.refuse(field, Reason::NotOneOf(words));
            return None;
        }
        serde_json::from_value(Value::from(text)).ok()
    }

    fn flag(&mut self, f: &Map<String, Value>, field: &str) -> bool {
        match f.get(field) {
            None | Some(Value::Null) => false,
            Some(Value::Bool(b)) => *b,
            Some(Value::String(s)) if matches!(s.trim(), "true" | "yes") => true,
            Some(Value::String(s)) if matches!(s.trim(), "false" | "no") => false,
            Some(_) => {
                self.refuse(field, Reason::NotA("true or false"));
                false
            }
        }
    }

    fn purpose(&mut self, f: &Map<String, Value>) -> Purpose {
        if f.get("purpose").is_none_or(Value::is_null) {
            self.refuse("purpose", Reason::Missing);
        }
        self.word(
            f,
            "purpose",
            &["emergency", "transactional", "telemarketing", "debt", "political", "survey"],
        )
        .unwrap_or_default()
    }

    fn priority(&mut self, f: &Map<String, Value>) -> u8 {
        let read = match f.get("priority") {
            None | Some(Value::Null) => Some(0),
            Some(Value::Number(n)) => n.as_u64(),
            Some(Value::String(s)) => s.trim().parse().ok(),
            Some(_) => None,
        };
        match read.and_then(|n| u8::try_from(n).ok()).filter(|n| *n <= 9) {
            Some(n) => n,
            None => {
                self.refuse("priority", Reason::NotA("a whole number from 0 to 9"));
                0
            }
        }
    }

    fn caller_id(&mut self, f: &Map<String, Value>) -> Option<String> {
        let text = self.name(f, "caller_id")?;
        number::callee(&text, self.cx.region).map_err(|r| self.refuse("caller_id", r)).ok()
    }

    fn repeat(&mut self, f: &Map<String, Value>) -> Option<String> {
        let text = self.text(f.get("repeat"), "repeat", self.cx.limits.name_bytes_max)?;
        match text.parse::<super::repeat::Repeat>() {
            Ok(_) if self.cx.campaign.is_some() => self.refuse("repeat", Reason::NotAllowed),
            Ok(_) => {}
            Err(reason) => self.refuse("repeat", reason),
        }
        Some(text)
    }

    fn message(&mut self, f: &Map<String, Value>) -> Option<String> {
        let text = match f.get("message")? {
            Value::Null => return None,
            Value::String(s) => s.trim(),
            _ => {
                self.refuse("message", Reason::NotA("a text"));
                return None;
            }
        };
        let max = self.cx.limits.message_bytes_max;
        if text.len() > max {
            self.refuse("message", Reason::TooLong { max });
            return None;
        }
        // A message has lines; other controls would reach a speech engine.
        if text.chars().any(|c| c.is_control() && !"\n\r\t".contains(c)) {
            self.refuse("message", Reason::Control);
            return None;
        }
        (!text.is_empty()).then(|| text.replace("\r\n", "\n"))
    }

    fn when(&mut self, f: &Map<String, Value>) -> (When, String) {
        let Some(text) = self.name(f, "at") else { return (When::Now, "now".into()) };
        let when = time::when(&text, self.cx.now).unwrap_or_else(|r| {
            self.refuse("at", r);
            When::Now
        });
        if let When::At(at) = when {
            // An hour of grace: clocks differ, mail waits in queues.
            if at.ms_since(self.cx.now) < -3_600_000 {
                self.refuse("at", Reason::Past);
            } else if at.ms_since(self.cx.now) > ms(self.cx.limits.expires_max_ms) {
                self.refuse("at", Reason::TooFar { days: self.cx.limits.expires_max_ms / 86_400_000 });
            }
        }
        (when, canonical_time(&text, when))
    }

    fn expires(&mut self, f: &Map<String, Value>, when: When) -> (Wall, String) {
        let l = self.cx.limits;
        let from = if let When::At(at) = when { at.max(self.cx.now) } else { self.cx.now };
        let Some(text) = self.name(f, "expires") else {
            return (Wall(from.0.saturating_add(ms(l.expires_default_ms))), "default".into());
        };
        match time::instant(&text, self.cx.now) {
            Err(r) => self.refuse("expires", r),
            Ok(at) if at <= self.cx.now => self.refuse("expires", Reason::Past),
            Ok(at) if at <= from => self.refuse("expires", Reason::ExpiresBeforeStart),
            Ok(at) if at.ms_since(self.cx.now) > ms(l.expires_max_ms) => {
                self.refuse("expires", Reason::TooFar { days: l.expires_max_ms / 86_400_000 });
            }
            Ok(at) => return (at, canonical_time(&text, When::At(at))),
        }
        (self.cx.now, String::new())
    }

    fn application(&mut self, f: &Map<String, Value>) -> (Application, String) {
        let none = (Application::Registered(String::new()), String::new());
        if f.get("application").is_none_or(Value::is_null) {
            self.refuse("application", Reason::Missing);
            return none;
        }
        let Some(text) = self.text(f.get("application"), "application", self.cx.limits.uri_bytes_max) else {
            return none;
        };
        let read = if let Some(cid) = text.strip_prefix("cid:") {
            self.attachment(cid).map(Application::Attached)
        } else if let Some(name) = text.strip_prefix("app:") {
            registered(name).map(Application::Registered)
        } else {
            self.web_url(&text).map(Application::Url)
        };
        match read {
            Ok(a) => {
                let canonical = match &a {
                    Application::Url(u) => u.clone(),
                    Application::Attached(n) => format!("cid:{n}"),
                    Application::Registered(n) => format!("app:{n}"),
                };
                (a, canonical)
            }
            Err(r) => {
                self.refuse("application", r);
                none
            }
        }
    }

    fn attachment(&self, cid: &str) -> Result<String, Reason> {
        let cid = cid.trim_matches(|c| c == '<' || c == '>');
        if self.cx.attached.iter().any(|a| a == cid) { Ok(cid.to_owned()) } else { Err(Reason::NotAttached) }
    }

    fn web_url(&self, text: &str) -> Result<String, Reason> {
        let allowed = if self.cx.http_allowed { "https: or http:" } else { "https:" };
        let url = url::Url::parse(text).map_err(|_| Reason::NotA("a URL"))?;
        let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && self.cx.http_allowed);
        if !scheme_fits {
            return Err(Reason::Scheme { allowed });
        }
        // Credentials in a URL end in logs and Referer fields.
        if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some()
        {
            return Err(Reason::NotA("a URL with a host and without a user name"));
        }
        Ok(url.into())
    }

    fn resources(&mut self, f: &Map<String, Value>) -> Vec<ResourceRef> {
        let items = self.list(f, "resources", self.cx.limits.resources_max);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let field = format!("resources[{i}]");
            match self.resource(item) {
                Ok(r) => out.push(r),
                Err(reason) => self.refuse(field, reason),
            }
        }
        out
    }

    fn resource(&self, item: &Value) -> Result<ResourceRef, Reason> {
        const FORM: Reason = Reason::NotA("`uri; required; sha-256=<64 hexadecimal digits>`, or an object");
        let (uri, required, sha256) = match item {
            Value::String(s) => {
                let mut parts = s.split(';').map(str::trim);
                let uri = parts.next().unwrap_or_default().to_owned();
                let (mut required, mut sha) = (false, None);
                for p in parts {
                    match p.split_once('=') {
                        None if p == "required" => required = true,
                        Some(("sha-256", h)) => sha = Some(h.to_owned()),
                        _ => return Err(FORM),
                    }
                }
                (uri, required, sha)
            }
            Value::Object(o) => {
                if o.keys().any(|k| !["uri", "required", "sha256"].contains(&k.as_str())) {
                    return Err(FORM);
                }
                let uri = o.get("uri").and_then(Value::as_str).ok_or(FORM)?.to_owned();
                let sha = match o.get("sha256") {
                    None | Some(Value::Null) => None,
                    Some(v) => Some(v.as_str().ok_or(FORM)?.to_owned()),
                };
                (uri, o.get("required").and_then(Value::as_bool).unwrap_or(false), sha)
            }
            _ => return Err(FORM),
        };
        let sha256 = sha256.map(|h| h.to_ascii_lowercase());
        if sha256.as_ref().is_some_and(|h| h.len() != 64 || !h.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(FORM);
        }
        let uri = match uri.strip_prefix("cid:") {
            Some(cid) => format!("cid:{}", self.attachment(cid)?),
            None if uri.len() > self.cx.limits.uri_bytes_max => {
                return Err(Reason::TooLong { max: self.cx.limits.uri_bytes_max });
            }
            None => self.web_url(&uri)?,
        };
        Ok(ResourceRef { uri, required, sha256 })
    }

    fn results_to(&mut self, f: &Map<String, Value>) -> Vec<ResultTo> {
        let items = self.list(f, "result_to", self.cx.limits.results_to_max);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.iter().enumerate() {
            let field = if items.len() == 1 { "result_to".to_owned() } else { format!("result_to[{i}]") };
            let Some(text) = self.text(Some(item), &field, self.cx.limits.uri_bytes_max) else { continue };
            let read = match text.strip_prefix("mailto:") {
                Some(a) if is_address(a) => Ok(ResultTo::Mail(Private::new(a.to_owned()))),
                Some(_) => Err(Reason::NotA("a mail address")),
                None => self.web_url(&text).map(ResultTo::Webhook),
            };
            match read {
                Ok(r) => out.push(r),
                Err(r) => self.refuse(field, r),
            }
        }
        out
    }

    /// An array, or one value standing for an array of one.
    fn list(&mut self, f: &Map<String, Value>, field: &str, max: usize) -> Vec<Value> {
        match f.get(field) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) if items.len() > max => {
                self.refuse(field, Reason::TooMany { max });
                Vec::new()
            }
            Some(Value::Array(items)) => items.clone(),
            Some(one) => vec![one.clone()],
        }
    }

    fn own(&mut self, f: &Map<String, Value>, at: &str, common: &Own) -> Own {
        let max = self.cx.limits.name_bytes_max;
        let mut field = |name: &str| {
            let full = format!("{at}{name}");
            self.text(f.get(name), &full, max)
        };
        let (zone, lang) = (field("zone"), field("lang"));
        let (customer, subject) = (field("customer"), field("subject"));
        if zone.as_deref().is_some_and(|z| !crate::policy::zones::is_zone(z)) {
            self.refuse(format!("{at}zone"), Reason::NoSuchZone);
        }
        let is_tag = |l: &str| l.len() <= 35 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if lang.as_deref().is_some_and(|l| !is_tag(l)) {
            self.refuse(format!("{at}lang"), Reason::NotA("a language tag such as en-GB"));
        }
        let mut params = common.params.clone();
        self.params(f, at, &mut params);
        Own {
            zone: zone.or_else(|| common.zone.clone()),
            lang: lang.or_else(|| common.lang.clone()),
            customer: customer.or_else(|| common.customer.clone()),
            subject: subject.or_else(|| common.subject.clone()),
            params,
        }
    }

    fn params(&mut self, f: &Map<String, Value>, at: &str, into: &mut BTreeMap<String, String>) {
        let map = match f.get("params") {
            None | Some(Value::Null) => return,
            Some(Value::Object(map)) => map,
            Some(_) => return self.refuse(format!("{at}params"), Reason::NotA("an object of texts")),
        };
        for (name, value) in map {
            let max = self.cx.limits.param_bytes_max;
            let shown: String = name.chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
            let text = match value {
                Value::String(s) => s.clone(),
                Value::Number(n) => n.to_string(),
                Value::Bool(b) => b.to_string(),
                _ => {
                    self.refuse(format!("{at}params.{shown}"), Reason::NotA("a text, a number or a boolean"));
                    continue;
                }
            };
            if !is_variable(name) {
                self.refuse(
                    format!("{at}params.{shown}"),
                    Reason::NotA("a variable name (letters, digits, _)"),
                );
            } else if text.len() > max {
                self.refuse(format!("{at}params.{shown}"), Reason::TooLong { max });
            } else if text.contains('\0') {
                self.refuse(format!("{at}params.{shown}"), Reason::Control);
            } else {
                into.insert(name.clone(), text);
            }
        }
        if into.len() > self.cx.limits.params_max {
            self.refuse(format!("{at}params"), Reason::TooMany { max: self.cx.limits.params_max });
        }
    }

    fn recipients(&mut self, f: &Map<String, Value>, common: &Common) -> Vec<Recipient> {
        let items = self.list(f, "to", self.cx.limits.recipients_max);
        if items.is_empty() && !self.refusals.iter().any(|r| r.field == "to") {
            self.refuse("to", Reason::Missing);
        }
        let several = f.get("to").is_some_and(Value::is_array);
        let mut out: Vec<Recipient> = Vec::with_capacity(items.len());
        let mut seen = std::collections::BTreeSet::new();
        for (i, item) in items.iter().enumerate() {
            let at = if several { format!("to[{i}]") } else { "to".to_owned() };
            let Some(r) = self.recipient(item, &at, &common.own) else { continue };
            // The same person twice in one request is a slip: nobody is called twice by one order.
            if seen.insert(r.to.clone()) { out.push(r) } else { self.refuse(at, Reason::Twice) }
        }
        out
    }

    fn recipient(&mut self, item: &Value, at: &str, common: &Own) -> Option<Recipient> {
        let (to, own) = match item {
            Value::Object(o) => {
                self.known(o, RECIPIENT_FIELDS, &format!("{at}."));
                (o.get("to"), self.own(o, &format!("{at}."), common))
            }
            other => (Some(other), common.clone()),
        };
        let Some(text) = to.and_then(Value::as_str) else {
            self.refuse(at, Reason::NotCallable);
            return None;
        };
        match number::callee(text, self.cx.region) {
            Ok(to) => Some(Recipient { to, own }),
            Err(r) => {
                self.refuse(at, r);
                None
            }
        }
    }
}

/// A time as it goes into the digest: relative times stay relative, so that a repeat of the request has the same
/// digest although it is resolved later; instants take one form.
fn canonical_time(text: &str, when: When) -> String {
    let text = text.trim();
    match when {
        _ if text.starts_with('+') => text.to_owned(),
        When::Now => "now".into(),
        When::At(at) => time::rfc3339(at),
        When::Local(m) => format!("local {:02}:{:02}", m / 60, m % 60),
    }
}

/// A name under which the operator registered an application.
fn registered(name: &str) -> Result<String, Reason> {
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if fits { Ok(name.to_owned()) } else { Err(Reason::NotA("app:name (letters, digits, - _ .)")) }
}

/// A name that can be an ECMAScript variable without escaping.
fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A plain mail address: one `@`, no spaces, no controls, no route (RFC 5321 §4.1.2 without quoted local parts).
#[must_use]
pub fn is_address(a: &str) -> bool {
    let Some((local, domain)) = a.split_once('@') else { return false };
    let local_fits = !local.is_empty()
        && local.len() <= 64
        && local.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"<>()[]\\,;:\"@".contains(c));
    let domain_fits = !domain.is_empty()
        && domain.len() <= 253
        && domain.chars().all(|c| c.is_alphanumeric() || ".-".contains(c))
        && !domain.starts_with('.')
        && !domain.contains("..");
    local_fits && domain_fits
}

fn ms(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
