//! A whole mail: who sent it, what it asks for, and the SMTP reply that says what became of it.

use super::prove::{Dkim, Prover};
use crate::intake::{Accepted, Arrival, Declined, Intake, Settings, takes_mail_from};
use control::order::mail::{self, Mail, Seen, Turned};
use control::order::proof;
use control::order::smtp::{Action, Envelope, Rcpt, Reply};
use control::order::time::rfc3339;
use control::order::{Origin, Refusal};
use control::policy::{Decision, Verdict};
use control::store::{Answer, Ask, Error};
use units::{OrderId, Private};

/// Deals with a mail; one reply for each recipient.
pub async fn deliver(
    intake: &Intake,
    prover: Option<&Prover>,
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
    let mail = match mail::read(raw, seen) {
        Ok(mail) => mail,
        Err(turned) => {
            metrics::counter!("carillon_mails_total", "result" => "turned_away").increment(1);
            return vec![turned_reply(&turned); envelope.rcpts.len()];
        }
    };
    let dkim = match prover {
        Some(prover) => prover.dkim(raw, mail.from.expose(), (intake.now)().wall).await,
        None => Dkim::Unproven,
    };
    let mut replies = Vec::with_capacity(envelope.rcpts.len());
    for rcpt in &envelope.rcpts {
        let reply = one(intake, &settings, envelope, rcpt, &mail, dkim).await;
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

async fn one(
    intake: &Intake,
    settings: &Settings,
    envelope: &Envelope,
    rcpt: &Rcpt,
    mail: &Mail,
    dkim: Dkim,
) -> Reply {
    let level = match authority(settings, envelope, rcpt, mail, dkim) {
        Ok(level) => level,
        Err(reply) => return reply,
    };
    match rcpt.action {
        Action::Call => call(intake, rcpt, mail, level).await,
        Action::DryRun => dry_run(intake, rcpt, mail, level),
        Action::Cancel => about(intake, rcpt, mail, true).await,
        Action::Status => about(intake, rcpt, mail, false).await,
    }
}

/// Which authority level the mail reaches, if that is enough for the tenant: 3 by AUTH with a key, 2 by a token, 1 by
/// DKIM, 0 by nothing.
fn authority(
    settings: &Settings,
    envelope: &Envelope,
    rcpt: &Rcpt,
    mail: &Mail,
    dkim: Dkim,
) -> Result<u8, Reply> {
    let denied = || Reply::new(550, "5.7.1", "This sender proves too little to be obeyed");
    let tenant = settings.tenants.get(&rcpt.tenant).ok_or_else(denied)?;
    let name = &tenant.config.name;
    let token = mail.proofs.token.as_deref().is_some_and(|t| {
        let id = request_id(mail);
        let keys = tenant.config.keys.values().map(|k| k.expose().as_str());
        proof::token_fits(t, keys, name, rcpt.action.word(), &id)
    });
    let level = match dkim {
        _ if envelope.authenticated == Some(rcpt.tenant) => 3,
        _ if token => 2,
        Dkim::Proven => 1,
        Dkim::Unproven | Dkim::Later => 0,
    };
    let known = level >= 2 || takes_mail_from(tenant, &mail.from);
    if known && level >= tenant.config.mail_level_min {
        return Ok(level);
    }
    if known && dkim == Dkim::Later {
        return Err(Reply::new(451, "4.7.5", "The sender cannot be verified now, try again later"));
    }
    Err(denied())
}

/// The request id that a token is bound to: the request's own, or the Message-ID.
fn request_id(mail: &Mail) -> String {
    let own = mail.fields.get("request_id").and_then(|v| v.as_str());
    own.unwrap_or(&mail.message_id).to_owned()
}

fn arrival<'a>(rcpt: &Rcpt, mail: &'a Mail, level: u8) -> Arrival<'a> {
    Arrival {
        tenant: rcpt.tenant,
        origin: Origin::Mail {
            message_id: mail.message_id.clone(),
            reply_to: mail.reply_to.clone().unwrap_or_else(|| Private::new(String::new())),
            level,
        },
        request_id: &mail.message_id,
        attached: &mail.attachments,
        campaign: None,
    }
}

async fn call(intake: &Intake, rcpt: &Rcpt, mail: &Mail, level: u8) -> Reply {
    match intake.accept(&mail.fields, arrival(rcpt, mail, level)).await {
        Ok(accepted) => accepted_reply(&accepted),
        Err(declined) => declined_reply(&declined),
    }
}

fn dry_run(intake: &Intake, rcpt: &Rcpt, mail: &Mail, level: u8) -> Reply {
    match intake.dry_run(&mail.fields, arrival(rcpt, mail, level)) {
        Ok(decisions) => {
            let text = decisions.iter().map(verdict_text).collect::<Vec<_>>().join(", ");
            Reply::new(250, "2.0.0", format!("dry run: {text}"))
        }
        Err(declined) => declined_reply(&declined),
    }
}

/// Cancels an order or tells where it stands; the subject or the body names it: `call_…`.
async fn about(intake: &Intake, rcpt: &Rcpt, mail: &Mail, cancel: bool) -> Reply {
    let named = mail.subject.expose().split_whitespace().find_map(|w| w.parse::<OrderId>().ok());
    let Some(order) = named else {
        return Reply::new(554, "5.6.0", "Name the call (call_...) in the subject");
    };
    let ask = if cancel {
        Ask::Cancel { tenant: rcpt.tenant, order }
    } else {
        Ask::Status { tenant: Some(rcpt.tenant), order }
    };
    match intake.store.ask(ask).await {
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

fn declined_reply(declined: &Declined) -> Reply {
    match declined {
        Declined::Refused(refusals) => refused_reply(refusals),
        Declined::Policy(place, d) => {
            let rule = d.decisive().map_or("policy", |b| &b.rule).to_owned();
            let later =
                d.next_allowed_at.map_or_else(String::new, |t| format!(", possible from {}", rfc3339(t)));
            Reply::new(550, "5.7.1", format!("to[{place}] is not allowed by {rule}{later}"))
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

fn refused_reply(refusals: &[Refusal]) -> Reply {
    Reply { code: 554, enhanced: "5.6.0", text: refusals.iter().map(ToString::to_string).collect() }
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
        Turned::Refused(refusals) => refused_reply(refusals),
    }
}
