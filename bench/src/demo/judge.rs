//! Did everything go exactly as the sample application demands? Each finding is a line; one bad line fails the demo.

use super::mail::Mailbox;
use super::orders::Given;
use super::web::{self, Web};
use super::{audio, server};
use crate::farend::{CallLog, mulaw};
use hmac::{Hmac, Mac};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// What there is to judge by.
pub(super) struct Evidence<'a> {
    pub(super) given: &'a [Given],
    pub(super) logs: &'a [CallLog],
    pub(super) web: &'a Web,
    pub(super) mailbox: &'a Mailbox,
    pub(super) out: &'a Path,
}

/// The findings.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    lines: Vec<(bool, String)>,
}

impl Verdict {
    /// Whether all is well.
    pub(super) fn all_well(&self) -> bool {
        self.lines.iter().all(|l| l.0)
    }

    fn find(&mut self, good: bool, what: String) {
        self.lines.push((good, what));
    }
}

/// Likeness at which a prompt counts as heard: the same octets give 1.0.
const LIKENESS_MIN: f64 = 0.98;

/// Judges all; waits a little for the webhooks and the mail that are still on their way.
pub(super) async fn judge(evidence: &Evidence<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    for given in evidence.given {
        let log = evidence.logs.iter().find(|l| l.number.ends_with(given.number));
        call(&mut verdict, given, log, evidence);
    }
    let twice = evidence
        .given
        .iter()
        .any(|g| evidence.logs.iter().filter(|l| l.number.ends_with(g.number)).count() > 1);
    verdict.find(!twice, "nobody was called twice".into());
    for _ in 0..100 {
        let hooks = evidence.web.seen(|s| final_hooks(&s.hooks));
        if hooks >= 2 && !evidence.mailbox.mails().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (hooks, signed) = evidence.web.seen(|s| (final_hooks(&s.hooks), s.hooks.iter().all(signed)));
    verdict.find(hooks == 2, format!("{hooks} of 2 webhooks tell a final status"));
    verdict.find(signed, "every webhook's signature is right".into());
    let mails = evidence.mailbox.mails();
    verdict.find(mails.len() == 1, format!("{} of 1 status mail came", mails.len()));
    if let Some(mail) = mails.first() {
        // Quoted-printable breaks lines where it likes.
        let text = mail.text.replace("=\n", "");
        verdict
            .find(text.contains("\"disposition\":\"completed\""), "the status mail tells the status".into());
        verdict
            .find(mail.from.is_empty(), format!("the status mail is from the null sender (`{}`)", mail.from));
    }
    verdict
}

fn call(verdict: &mut Verdict, given: &Given, log: Option<&CallLog>, evidence: &Evidence<'_>) {
    let what = given.what;
    verdict.find(given.disposition() == "completed", format!("{what}: its status is {}", given.state_line()));
    let told = given.status.get("result").map(Value::to_string).unwrap_or_default();
    verdict
        .find(told.contains(given.expected.1), format!("{what}: its status holds what the session returned"));
    let Some(log) = log else {
        verdict.find(false, format!("{what}: the telephone never rang"));
        return;
    };
    let stuck = log.stuck.as_deref().unwrap_or("nothing");
    verdict
        .find(log.complete, format!("{what}: the customer did all that was to be done (stuck at {stuck})"));
    let (choice, code) = given.expected;
    let submitted = evidence.web.seen(|s| s.submissions.iter().any(|x| x.choice == choice && x.code == code));
    verdict.find(submitted, format!("{what}: the web server received {choice}, {code}"));
    let wav = evidence.out.join(format!("heard-{}.wav", given.number));
    if let Err(e) = std::fs::write(&wav, mulaw::wav(&log.audio)) {
        verdict.find(false, format!("{}: {e}", wav.display()));
    }
    let (mut last, mut last_end) = (0, 0);
    for name in given.prompts {
        let reference = web::file(name).and_then(mulaw::from_wav).unwrap_or_default();
        let found = audio::find(&log.audio, reference);
        let good = found.is_some_and(|m| m.likeness >= LIKENESS_MIN && m.at_ms >= last);
        last = found.map_or(last, |m| m.at_ms);
        last_end = last + reference.len() / 8;
        let told = found.map_or("too little audio".to_owned(), |m| {
            format!("at {} ms, likeness {:.3}", m.at_ms, m.likeness)
        });
        verdict.find(good, format!("{what}: {name} was heard ({told})"));
    }
    let h = log.hearing;
    let told = format!("{} packets, {} missing, {} late, {} wrong", h.packets, h.missing, h.late, h.wrong);
    verdict.find(h.missing == 0 && h.wrong == 0 && h.packets > 100, format!("{what}: {told}"));
    let farewell = sound_after_ms(&log.audio, last_end);
    verdict
        .find(farewell > 300, format!("{what}: the spoken farewell was heard too ({farewell} ms of sound)"));
    if given.not_before_ms > 0 {
        let waited = evidence.web.seen(|s| waited_ms(&given.id, &s.hooks, &given.status));
        let good = waited.is_some_and(|w| w >= given.not_before_ms);
        verdict
            .find(good, format!("{what}: it was called {} ms after it was accepted", waited.unwrap_or(-1)));
    }
}

/// Milliseconds of sound that stand behind a place.
fn sound_after_ms(audio: &[u8], from_ms: usize) -> usize {
    let rest = audio.get(from_ms * 8..).unwrap_or_default();
    rest.chunks(160).filter(|frame| mulaw::level_dbm0(frame) > -40.0).count() * 20
}

/// Milliseconds from acceptance, as the status tells it, to the webhook's word that the call is being made.
fn waited_ms(id: &str, hooks: &[web::Hook], status: &Value) -> Option<i64> {
    let accepted: jiff::Timestamp = status.get("accepted_at")?.as_str()?.parse().ok()?;
    let told: Vec<Value> = hooks.iter().filter_map(|h| serde_json::from_str(&h.body).ok()).collect();
    let text = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let calling = told.iter().find(|v| text(v, "id") == id && text(v, "state") == "calling")?;
    Some(calling.get("at_ms")?.as_i64()? - accepted.as_millisecond())
}

fn final_hooks(hooks: &[web::Hook]) -> usize {
    let done = |h: &&web::Hook| {
        serde_json::from_str::<Value>(&h.body)
            .is_ok_and(|v| v.get("state").and_then(Value::as_str) == Some("done"))
    };
    hooks.iter().filter(done).count()
}

/// `webhook-signature: v1,BASE64(HMAC-SHA256(secret, id.timestamp.body))`.
fn signed(hook: &web::Hook) -> bool {
    let header = |name: &str| hook.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
    let text = format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), hook.body);
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(server::WEBHOOK_SECRET.as_bytes()) else {
        return false;
    };
    mac.update(text.as_bytes());
    let given = header("webhook-signature").strip_prefix("v1,").unwrap_or("");
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, given)
        .is_ok_and(|tag| mac.verify_slice(&tag).is_ok())
}

/// Prints statuses, webhooks, the mail and the findings.
pub(super) fn print(given: &[Given], web: &Web, mailbox: &Mailbox, verdict: &Verdict) {
    for g in given {
        crate::say!("\n--- {}: its status as the third party reads it", g.what);
        crate::say!("{}", serde_json::to_string_pretty(&g.status).unwrap_or_default());
    }
    web.seen(|s| {
        for hook in &s.hooks {
            crate::say!("\n--- a webhook came back\n{}", hook.body);
        }
    });
    for mail in mailbox.mails() {
        crate::say!("\n--- a status mail came back, to {}\n{}", mail.to.join(", "), mail.text);
    }
    crate::say!("--- findings");
    for (good, what) in &verdict.lines {
        crate::say!("{} {what}", if *good { "ok  " } else { "BAD " });
    }
    crate::say!("{}", if verdict.all_well() { "the demo went as it should" } else { "THE DEMO FAILED" });
}
