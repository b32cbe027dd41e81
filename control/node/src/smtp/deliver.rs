//! A whole mail: who sent it, what it asks for, and the SMTP reply that says what became of it.

use super::prove::{Came, Dkim, Pins, Proof, Prover};
use crate::intake::{Accepted, Arrival, Declined, Intake, Settings, Tenant, is_listed, takes_mail_from};
use control::campaign::{Form, RowLimits, Rows};
use control::config::{MailTls, Scope};
use control::order::form::Fields;
use control::order::mail::{self, Attachment, Mail, Seen, Turned, Written};
use control::order::proof::{self, Expected, SignatureField};
use control::order::smtp::{Action, Envelope, Rcpt, Reply};
use control::order::time::rfc3339;
use control::order::{Application, Origin, Parsed, Reason, Refusal, canon, number};
use control::policy::{Decision, Verdict};
use control::store::{Answer, Ask, Error};
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;
use units::{OrderId, Private, TenantId};

/// Numbers that one mail to `stop+` may name.
const NUMBERS_MAX: usize = 100;

/// Deals with a mail; one reply for each recipient. `peer` is known where the sender's own server talks to us.
pub async fn deliver(
    intake: &Intake,
    prover: Option<&Prover>,
    peer: Option<IpAddr>,
    envelope: &Envelope,
    raw: &[u8],
) -> Vec<Reply> {
    let settings = intake.settings.load_full();
    let sender = settings.sender.clone();
    let is_ours = |a: &str| settings.directory.is_ours(a, &sender);
    let seen = Seen {
        reverse_path: envelope.from.expose(),
        is_ours: &is_ours,
        limits: &settings.mail,
        order: &settings.order,
    };
    let read = mail::read(raw, seen);
    if read.is_err() {
        metrics::counter!("carillon_mails_total", "result" => "turned_away").increment(1);
    }
    let mut proofs: HashMap<TenantId, Proof> = HashMap::new();
    let mut replies = Vec::with_capacity(envelope.rcpts.len());
    for rcpt in &envelope.rcpts {
        if let Some(customer) = &rcpt.customer {
            replies.push(customers_own(intake, rcpt.tenant, customer, read.as_ref().err()).await);
            continue;
        }
        let mail = match &read {
            Ok(mail) => mail,
            Err(turned) => {
                replies.push(turned_reply(turned));
                continue;
            }
        };
        let proof = match (proofs.get(&rcpt.tenant), settings.tenants.get(&rcpt.tenant), prover) {
            (Some(known), ..) => *known,
            (None, Some(tenant), Some(prover)) => {
                let came = Came {
                    author: mail.from.expose(),
                    reverse_path: envelope.from.expose(),
                    helo: &envelope.helo,
                    peer,
                    host: &settings.directory.hostname,
                };
                let proof = prover.prove(raw, came, &Pins::of(&tenant.config), (intake.now)().wall).await;
                proofs.insert(rcpt.tenant, proof);
                proof
            }
            _ => Proof::NONE,
        };
        let reply = one(intake, &settings, envelope, rcpt, mail, proof).await;
        let result = if reply.code == 250 { "accepted" } else { "refused" };
        metrics::counter!("carillon_mails_total", "result" => result).increment(1);
        replies.push(reply);
    }
    // In SMTP one reply stands for all: the first that is no yes, so that nothing is lost silently.
    let worst = replies.iter().position(|r| r.code != 250);
    if let Some(at) = worst {
        replies.swap(0, at);
    }
    replies
}

/// A mail to a customer's token. What it says is prose and is not read; the table of loops holds for it, too: a report or an
/// automatic reply is no wish.
async fn customers_own(
    intake: &Intake,
    tenant: TenantId,
    customer: &Private<String>,
    turned: Option<&Turned>,
) -> Reply {
    let prose = |t: &&Turned| !matches!(t, Turned::Refused(_) | Turned::Without(_) | Turned::Authors);
    if let Some(turned) = turned.filter(prose) {
        return turned_reply(turned);
    }
    match intake.opt_out(tenant, customer.expose(), "mail").await {
        Ok(()) => Reply::new(250, "2.0.0", "You will not be called again"),
        Err(_) => Reply::new(451, "4.3.0", "Not now, try again later"),
    }
}

async fn one(
    intake: &Intake,
    settings: &Settings,
    envelope: &Envelope,
    rcpt: &Rcpt,
    mail: &Mail,
    proof: Proof,
) -> Reply {
    let case = match Case::of(intake, settings, envelope, rcpt, mail, proof) {
        Ok(case) => case,
        Err(reply) => return reply,
    };
    match rcpt.action {
        Action::Call => case.call().await,
        Action::DryRun => case.dry_run(),
        Action::Cancel => case.about(true).await,
        Action::Status => case.about(false).await,
        Action::Stop => case.stop().await,
    }
}

fn denied() -> Reply {
    Reply::new(550, "5.7.1", "This sender proves too little to be obeyed")
}

/// A mail that may be obeyed: what it proves, and which of its parts count.
struct Case<'a> {
    intake: &'a Intake,
    rcpt: &'a Rcpt,
    mail: &'a Mail,
    level: u8,
    /// The request, with the people of an attached list.
    fields: Fields,
    /// Under a manifest only what it names; else all that came.
    parts: Vec<Attachment>,
}

impl<'a> Case<'a> {
    /// Decides the authority level: 3 by AUTH with a key or a signed manifest, 2 by a token, 1 by DKIM, 0 by nothing;
    /// and whether that is enough for the tenant and for what the mail asks.
    fn of(
        intake: &'a Intake,
        settings: &Settings,
        envelope: &Envelope,
        rcpt: &'a Rcpt,
        mail: &'a Mail,
        proof: Proof,
    ) -> Result<Self, Reply> {
        let tenant = settings.tenants.get(&rcpt.tenant).ok_or_else(denied)?;
        transport(tenant, envelope)?;
        let fields = with_list(mail).map_err(|r| refused_reply(&[r], mail.written))?;
        let mut case = Self { intake, rcpt, mail, level: 0, fields, parts: mail.attachments.clone() };
        let parsed = case.parsed()?;
        let signed = case.manifest(tenant, parsed.as_ref())?;
        case.level = match proof.dkim {
            _ if envelope.authenticated == Some(rcpt.tenant) || signed => 3,
            _ if case.token(tenant) => 2,
            Dkim::Proven => 1,
            Dkim::Unproven | Dkim::Later => 0,
        };
        let Proof { spf, dmarc, arc, .. } = proof;
        let (level, action) = (case.level, rcpt.action.word());
        tracing::info!(tenant = tenant.config.name, action, level, dkim = ?proof.dkim, spf, dmarc, arc, "a mail was judged");
        let known = level >= 2 || takes_mail_from(tenant, &mail.from);
        if !(known && level >= tenant.config.mail_level_min) {
            let later = Reply::new(451, "4.7.5", "The sender cannot be verified now, try again later");
            return Err(if known && proof.dkim == Dkim::Later { later } else { denied() });
        }
        case.enough(tenant, parsed.as_ref())?;
        Ok(case)
    }

    /// The request as it would be ordered; none for mails about an order.
    fn parsed(&self) -> Result<Option<Parsed>, Reply> {
        if !matches!(self.rcpt.action, Action::Call | Action::DryRun) {
            return Ok(None);
        }
        if self.mail.written == Written::Nowhere {
            return Err(refused_reply(&[Refusal::new("body", Reason::NoForm)], Written::Nowhere));
        }
        let read = self.intake.read(&self.fields, self.arrival(), (self.intake.now)());
        read.map(Some).map_err(|declined| declined_reply(&declined, self.mail.written))
    }

    /// Is there a manifest, signed by one of the tenant's signers? One that proves nothing is never passed over.
    fn manifest(&mut self, tenant: &Tenant, parsed: Option<&Parsed>) -> Result<bool, Reply> {
        let (Some(encoded), Some(field)) = (&self.mail.proofs.manifest, &self.mail.proofs.signature) else {
            return Ok(false);
        };
        let canonical = match (parsed, named_order(self.mail)) {
            (Some(parsed), _) => parsed.canonical.clone(),
            (None, _) if self.rcpt.action == Action::Stop => stop_canonical(&named_numbers(self.mail)),
            (None, Some(order)) => about_canonical(order),
            (None, None) => return Ok(false),
        };
        let expected = Expected {
            tenant: &tenant.config.name,
            action: self.rcpt.action.word(),
            rcpt: &self.rcpt.address,
            canonical: &canonical,
            parts: &self.mail.attachments,
            now: (self.intake.now)().wall,
        };
        let proven = SignatureField::read(field).and_then(|field| {
            let key = tenant.config.signers.get(&field.keyid).map(|s| s.0);
            proof::manifest(encoded, &field, key.as_ref(), expected)
        });
        match proven {
            Ok(manifest) => {
                // What the signature does not cover is ignored, never merely trusted.
                self.parts.retain(|p| manifest.parts.iter().any(|m| m.id == p.cid));
                Ok(true)
            }
            Err(why) => {
                let text = format!("The manifest proves nothing: {why:?}");
                Err(Reply::new(550, "5.7.1", text))
            }
        }
    }

    fn token(&self, tenant: &Tenant) -> bool {
        let id = request_id(self.mail);
        let keys = tenant.config.keys.values().filter(|k| k.may(Scope::Order)).filter_map(|k| k.plain());
        let fits = |t: &str| proof::token_fits(t, keys, &tenant.config.name, self.rcpt.action.word(), &id);
        self.mail.proofs.token.as_deref().is_some_and(fits)
    }

    /// What a level may ask for. A tenant that demands nothing of its mail (0, for tests) gets everything for it.
    fn enough(&self, tenant: &Tenant, parsed: Option<&Parsed>) -> Result<(), Reply> {
        let Some(parsed) = parsed.filter(|_| tenant.config.mail_level_min > 0) else { return Ok(()) };
        let Some(order) = parsed.orders.first() else { return Ok(()) };
        let application = match &order.application {
            Application::Registered(_) => 1,
            Application::Url(url) if is_listed(tenant, url) => 1,
            Application::Url(_) | Application::Attached(_) => 3,
        };
        let own_words = !order.params.is_empty() || order.message.is_some();
        let asks = [
            ("application", application),
            ("to", if parsed.orders.len() > 1 { 3 } else { 1 }),
            ("params", if own_words { 2 } else { 1 }),
        ];
        let reached = self.level;
        let over = asks.into_iter().find(|(_, needed)| *needed > reached);
        let Some((field, needed)) = over else { return Ok(()) };
        let refusal = Refusal::new(field, Reason::Level { needed, reached });
        Err(Reply::new(550, "5.7.1", self.mail.written.words(&refusal)))
    }

    fn arrival(&self) -> Arrival<'_> {
        Arrival {
            tenant: self.rcpt.tenant,
            origin: Origin::Mail {
                message_id: self.mail.message_id.clone(),
                reply_to: self.mail.reply_to.clone().unwrap_or_else(|| Private::new(String::new())),
                level: self.level,
            },
            request_id: &self.mail.message_id,
            attached: &self.parts,
            campaign: None,
        }
    }

    async fn call(&self) -> Reply {
        match self.intake.accept(&self.fields, self.arrival()).await {
            Ok(accepted) => accepted_reply(&accepted),
            Err(declined) => declined_reply(&declined, self.mail.written),
        }
    }

    fn dry_run(&self) -> Reply {
        match self.intake.dry_run(&self.fields, self.arrival()) {
            Ok(decisions) => {
                let text = decisions.iter().map(verdict_text).collect::<Vec<_>>().join(", ");
                Reply::new(250, "2.0.0", format!("dry run: {text}"))
            }
            Err(declined) => declined_reply(&declined, self.mail.written),
        }
    }

    /// Its tenant hands on what customers told it: the subject names their numbers.
    async fn stop(&self) -> Reply {
        let numbers = named_numbers(self.mail);
        if numbers.is_empty() {
            return Reply::new(554, "5.6.0", "Name the numbers (+1555...) in the subject");
        }
        for number in &numbers {
            if self.intake.opt_out(self.rcpt.tenant, number, "mail").await.is_err() {
                // Those before it bind already; the same mail again changes nothing about them.
                return Reply::new(451, "4.3.0", "Not now, try again later");
            }
        }
        Reply::new(250, "2.0.0", format!("{} will not be called again", numbers.len()))
    }

    /// Cancels an order or tells where it stands; the subject names it: `call_…`.
    async fn about(&self, cancel: bool) -> Reply {
        let Some(order) = named_order(self.mail) else {
            return Reply::new(554, "5.6.0", "Name the call (call_...) in the subject");
        };
        let tenant = self.rcpt.tenant;
        let ask =
            if cancel { Ask::Cancel { tenant, order } } else { Ask::Status { tenant: Some(tenant), order } };
        match self.intake.store.ask(ask).await {
            Ok(Answer::Cancelled(true)) => Reply::new(250, "2.0.0", format!("{order} cancelled")),
            Ok(Answer::Cancelled(false)) => Reply::new(250, "2.0.0", format!("{order} is being cancelled")),
            Ok(Answer::Status(Some(s))) => {
                let state = format!("{:?}", s.state).to_ascii_lowercase();
                Reply::new(250, "2.0.0", format!("{order} {state}, {} attempts", s.attempts))
            }
            Ok(_) | Err(Error::NotFound) => Reply::new(550, "5.1.1", "No such call"),
            Err(Error::Conflict) => Reply::new(550, "5.5.0", "It is over already"),
            Err(_) => Reply::new(451, "4.3.0", "Not now, try again later"),
        }
    }
}

/// The request of a mail; if it names nobody to call, the people of the contact list that came along (CSV with a header
/// row, or JSON lines). One bad row refuses the mail: there is no half of a mail.
fn with_list(mail: &Mail) -> Result<Fields, Refusal> {
    let mut fields = mail.fields.clone();
    if fields.is_empty() || fields.contains_key("to") {
        return Ok(fields);
    }
    let form_of = |kind: &str| match kind {
        "text/csv" => Some(Form::Csv),
        "application/jsonl" | "application/x-ndjson" => Some(Form::Jsonl),
        _ => None,
    };
    let found = mail.attachments.iter().find_map(|a| Some((a, form_of(&a.media_type)?)));
    let Some((list, form)) = found else { return Ok(fields) };
    let mut rows = Rows::resume(form, Vec::new(), 0, 0, RowLimits::default());
    rows.push(&list.content);
    let mut people = Vec::new();
    while let Some(row) = rows.next_row()?.map_or_else(|| rows.finish(), |row| Ok(Some(row)))? {
        let own =
            row.fields.map_err(|r| Refusal::new(format!("row {}: {}", row.number, r.field), r.reason))?;
        people.push(Value::Object(own));
    }
    fields.insert("to".into(), Value::Array(people));
    Ok(fields)
}

/// TLS as the tenant wants it.
fn transport(tenant: &Tenant, envelope: &Envelope) -> Result<(), Reply> {
    match (tenant.config.mail_tls, envelope.tls) {
        (MailTls::Required, false) => {
            Err(Reply::new(530, "5.7.0", "This recipient takes mail by STARTTLS only"))
        }
        (MailTls::Refused, true) => {
            Err(Reply::new(550, "5.7.1", "This recipient takes mail in the clear only"))
        }
        _ => Ok(()),
    }
}

/// The order that a mail is about.
fn named_order(mail: &Mail) -> Option<OrderId> {
    mail.subject.expose().split_whitespace().find_map(|w| w.parse::<OrderId>().ok())
}

/// The numbers that a mail to `stop+` is about.
fn named_numbers(mail: &Mail) -> Vec<String> {
    let words = mail.subject.expose().split([' ', ',', ';', '\t']);
    words
        .filter(|w| w.contains(['+', ':']))
        .filter_map(|w| number::callee(w, None).ok())
        .take(NUMBERS_MAX)
        .collect()
}

/// What a manifest of `stop` is over.
fn stop_canonical(numbers: &[String]) -> String {
    canon::jcs(&serde_json::json!({ "stop": numbers }))
}

/// What a manifest of `cancel` or `status` is over.
fn about_canonical(order: OrderId) -> String {
    canon::jcs(&serde_json::json!({ "call": order.to_string() }))
}

/// The request id that a token is bound to: the request's own, or the Message-ID.
fn request_id(mail: &Mail) -> String {
    let own = mail.fields.get("request_id").and_then(|v| v.as_str());
    own.unwrap_or(&mail.message_id).to_owned()
}

fn accepted_reply(accepted: &[Accepted]) -> Reply {
    let mut text: Vec<String> = accepted.iter().take(20).map(|a| a.id.to_string()).collect();
    if accepted.len() > 20 {
        text.push(format!("and {} more", accepted.len() - 20));
    }
    Reply::new(250, "2.0.0", text.join(" "))
}

fn verdict_text(d: &Decision) -> String {
    match &d.verdict {
        Verdict::Admit { .. } => "admit".into(),
        Verdict::Defer { until } => format!("defer until {}", rfc3339(*until)),
        Verdict::Refuse => format!("refuse by {}", d.decisive().map_or("no rule", |b| &b.rule)),
    }
}

fn declined_reply(declined: &Declined, written: Written) -> Reply {
    match declined {
        Declined::Refused(refusals) => refused_reply(refusals, written),
        Declined::Policy(place, d) => {
            let rule = d.decisive().map_or("policy", |b| &b.rule).to_owned();
            let later =
                d.next_allowed_at.map_or_else(String::new, |t| format!(", possible from {}", rfc3339(t)));
            let to = written.field(&format!("to[{place}]"));
            Reply::new(550, "5.7.1", format!("{to} is not allowed by {rule}{later}"))
        }
        Declined::Conflict => Reply::new(554, "5.6.0", "This request id was used with other content"),
        Declined::TooFast(ms) => Reply::new(451, "4.7.0", format!("Too fast, try again in {ms} ms")),
        // RFC 3463 §3.3, §3.4: X.3.1 is a full system, X.2.2 a full mailbox; both pass.
        Declined::Full(true) => {
            Reply::new(452, "4.2.2", "As many of your orders wait as may, try again later")
        }
        Declined::Full(false) => Reply::new(452, "4.3.1", "As many orders wait here as may, try again later"),
        Declined::Unavailable => Reply::new(451, "4.3.0", "Not now, try again later"),
    }
}

fn refused_reply(refusals: &[Refusal], written: Written) -> Reply {
    Reply { code: 554, enhanced: "5.6.0", text: refusals.iter().map(|r| written.words(r)).collect() }
}

fn turned_reply(turned: &Turned) -> Reply {
    let format = |text: String| Reply::new(554, "5.6.0", text);
    let policy = |text: &str| Reply::new(550, "5.7.1", text);
    match turned {
        Turned::NoMessage => format("This is not a mail".into()),
        Turned::Bounce => policy("Bounces and reports order no calls"),
        Turned::AutoReplied => policy("Automatic replies order no calls"),
        Turned::List => policy("Mail of lists and in bulk orders no calls"),
        Turned::Loop => Reply::new(554, "5.4.6", "This mail runs in a circle"),
        Turned::Two(name) => format(format!("The mail has two {name} fields")),
        Turned::Without(name) => format(format!("The mail has no {name}")),
        Turned::Authors => format("From must name one author".into()),
        Turned::TooMany(what) => format(format!("The mail has too many {what}")),
        Turned::Control => format("The header holds a control character".into()),
        Turned::Refused(refusals) => refused_reply(refusals, Written::Nowhere),
    }
}
