//! Results leave: webhooks and status mails, each at least once, in order per order and target, tried again with
//! growing pauses. They leave the store's outbox only, so nothing is told that is not written down.
//!
//! Mails about a campaign's calls leave as digests ([`crate::digest`]). An address that refuses three mails in a row gets none
//! any more ([`crate::bounce`]).
//!
//! A webhook is signed as Standard Webhooks say: HMAC-SHA256 over `id.timestamp.body`. A status mail is an automatic
//! answer in the sense of RFC 3834 and never answers one.

use crate::bounce::{self, Bounce};
use crate::digest::{self, Digest, Whose};
use crate::fetch::guard::Guard;
use crate::store::Handle;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use control::config::Config;
use control::order::{Origin, ResultTo};
use control::store::{Answer, Ask, Error, Notice, Status};
use hmac::{Hmac, Mac};
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Message, MultiPart, SinglePart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use units::{TenantId, Wall};

/// What the notifier works with.
pub struct Notifier {
    store: Handle,
    config: Arc<arc_swap::ArcSwap<Config>>,
    out: Out,
}

/// The way out, and the rules it was made by.
struct Out {
    rules: control::config::Fetch,
    client: reqwest::Client,
    guard: Arc<Guard>,
}

/// Notices taken from the outbox at a time.
const BATCH: u32 = 64;
/// Pause when the outbox is empty.
const IDLE: Duration = Duration::from_millis(200);
/// First pause before another try, doubled each time up to an hour.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(3_600);
/// One delivery takes no longer.
const DELIVERY_MAX: Duration = Duration::from_secs(15);

/// Why a notice did not arrive.
#[derive(Clone, Debug)]
enum Undelivered {
    /// Another try may help.
    Later(String),
    /// It never will.
    Never(String),
    /// The mail server wants none for this address.
    Bounced(String),
}

/// What is to be done with a notice that is due.
enum Errand {
    /// It goes by itself; a mail knows what it tells of.
    Alone(Notice, Option<Box<Status>>),
    /// It waits for its digest.
    Wait(Notice),
    /// Its digest is due.
    Digest(Notice, Whose),
}

impl Notifier {
    /// A notifier under the fetcher's rules: a webhook is a third party's URL, too.
    ///
    /// # Errors
    /// What in the rules cannot be read.
    pub fn new(store: Handle, config: Arc<arc_swap::ArcSwap<Config>>) -> Result<Self, String> {
        let out = Out::new(&config.load().fetch)?;
        Ok(Self { store, config, out })
    }

    /// A reload may have changed the rules: what leaves from now on obeys the new ones.
    fn refresh(&mut self) {
        let config = self.config.load();
        if config.fetch == self.out.rules {
            return;
        }
        match Out::new(&config.fetch) {
            Ok(out) => self.out = out,
            Err(why) => tracing::error!(why, "notices leave by the old fetch rules"),
        }
    }

    /// Delivers for ever.
    pub async fn run(mut self) {
        let mut digests: BTreeMap<Whose, Digest> = BTreeMap::new();
        loop {
            self.refresh();
            let due = match self.store.ask(Ask::Notices { max: BATCH }).await {
                Ok(Answer::Notices(due)) => due,
                _ => Vec::new(),
            };
            let full = due.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
            let idle = due.is_empty() && digests.is_empty();
            let errands = futures::future::join_all(due.into_iter().map(|notice| self.sorted(notice))).await;
            let mut alone = Vec::new();
            for errand in errands {
                match errand {
                    Errand::Digest(notice, whose) => {
                        let digest = digests.entry(whose).or_default();
                        digest.add(notice);
                    }
                    other => alone.push(self.deliver(other)),
                }
            }
            futures::future::join_all(alone).await;
            // All that fell due together leaves together; what is large enough leaves at once.
            let ready = |d: &Digest| !full || d.notices.len() >= digest::ROWS_MAX;
            for (whose, digest) in digests.extract_if(.., |_, d| ready(d)).collect::<Vec<_>>() {
                self.send_digest(whose, digest).await;
            }
            if idle {
                tokio::time::sleep(IDLE).await;
            }
        }
    }

    async fn sorted(&self, notice: Notice) -> Errand {
        let period = self.config.load().smtp.digest.ms;
        if matches!(notice.to, ResultTo::Webhook(_)) {
            return Errand::Alone(notice, None);
        }
        let status = self.status(&notice).await;
        match status.as_deref().and_then(|s| digest::whose(&notice, s)) {
            Some(_) if period > 0 && notice.tries == 0 => Errand::Wait(notice),
            Some(whose) if period > 0 => Errand::Digest(notice, whose),
            _ => Errand::Alone(notice, status),
        }
    }

    async fn deliver(&self, errand: Errand) {
        let (notice, result) = match errand {
            Errand::Alone(notice, status) => {
                let result = match (&notice.to, status) {
                    (ResultTo::Webhook(url), _) => self.webhook(url, &notice).await,
                    (ResultTo::Mail(to), Some(status)) => self.mail(to.expose(), &notice, &status).await,
                    (ResultTo::Mail(_), None) => Err(Undelivered::Later("no status".into())),
                };
                (notice, result)
            }
            Errand::Wait(notice) | Errand::Digest(notice, _) => {
                let end = digest::period_end(crate::clock::now().wall, self.config.load().smtp.digest.ms);
                return self
                    .done(&notice, Ask::NoticeDone { id: notice.id, retry: Some(end), given_up: false })
                    .await;
            }
        };
        self.book(&notice, &result).await;
    }

    /// Tells the outbox what became of a notice.
    async fn book(&self, notice: &Notice, result: &Result<(), Undelivered>) {
        let (id, order) = (notice.id, notice.order);
        let done = match result {
            Ok(()) => {
                tracing::info!(%order, "a notice was delivered");
                Ask::NoticeDone { id, retry: None, given_up: false }
            }
            Err(Undelivered::Later(why)) => {
                let pause = RETRY_FIRST.saturating_mul(1 << notice.tries.min(11)).min(RETRY_MAX);
                let now = crate::clock::now().wall;
                let given_up = self.is_too_old(notice, now);
                tracing::warn!(%order, why, given_up, "a notice was not delivered");
                Ask::NoticeDone { id, retry: (!given_up).then(|| now.plus(pause)), given_up }
            }
            Err(Undelivered::Never(why) | Undelivered::Bounced(why)) => {
                tracing::warn!(%order, why, "a notice cannot be delivered");
                Ask::NoticeDone { id, retry: None, given_up: true }
            }
        };
        self.done(notice, done).await;
    }

    async fn done(&self, notice: &Notice, done: Ask) {
        if let Err(error) = self.store.ask(done).await {
            tracing::error!(order = %notice.order, ?error, "the outbox was not told; the notice may go out twice");
        }
    }

    async fn send_digest(&self, whose: Whose, digest: Digest) {
        let config = self.config.load_full();
        let result = match digest.mail(&config, &whose) {
            Ok(message) => self.posted(&config, whose.1, &whose.2, &message).await,
            Err(why) => Err(Undelivered::Never(why)),
        };
        tracing::info!(campaign = %whose.0, calls = digest.notices.len(), sent = result.is_ok(), "a digest");
        futures::future::join_all(digest.notices.iter().map(|notice| self.book(notice, &result))).await;
    }

    /// Pauses double up to an hour: so many tries fill the configured time.
    fn is_too_old(&self, notice: &Notice, _now: Wall) -> bool {
        let max = self.config.load().http.webhook_retry_max.ms / 1_000;
        let spent: u64 = (0..notice.tries.min(4_096)).map(|n| (2_u64 << n.min(11)).min(3_600)).sum();
        spent > max
    }

    async fn webhook(&self, url: &str, notice: &Notice) -> Result<(), Undelivered> {
        let url = url::Url::parse(url).map_err(|_| Undelivered::Never("no URL".into()))?;
        self.out.guard.check(&url).map_err(|e| Undelivered::Never(e.to_string()))?;
        let id = format!("msg_{}_{}", notice.order, notice.seq);
        let timestamp = crate::clock::now().wall.0.div_euclid(1_000);
        let mut request = self
            .out
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(secret) = self.secret(notice).await {
            request = request.header("webhook-signature", sign(&secret, &id, timestamp, &notice.body));
        }
        let response = request.body(notice.body.clone()).send().await;
        let status = response.map_err(|error| Undelivered::Later(error.without_url().to_string()))?.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            410 => Err(Undelivered::Never("410 Gone".into())),
            _ => Err(Undelivered::Later(status.to_string())),
        }
    }

    async fn secret(&self, notice: &Notice) -> Option<Vec<u8>> {
        let tenant = self.status(notice).await?.order.tenant;
        let config = self.config.load();
        let secret = config.tenants.iter().find(|t| t.id == tenant.0)?.webhook_secret.clone()?;
        Some(secret_octets(secret.expose()))
    }

    async fn status(&self, notice: &Notice) -> Option<Box<Status>> {
        match self.store.ask(Ask::Status { tenant: None, order: notice.order }).await {
            Ok(Answer::Status(status)) => status,
            _ => None,
        }
    }

    async fn mail(&self, to: &str, notice: &Notice, status: &Status) -> Result<(), Undelivered> {
        let config = self.config.load_full();
        let message = status_mail(&config, to, notice, status).map_err(Undelivered::Never)?;
        self.posted(&config, status.order.tenant, to, &message).await
    }

    /// Gives a mail to the smarthost, unless its address has refused too many; and notes how that went.
    async fn posted(
        &self,
        config: &Config,
        tenant: TenantId,
        to: &str,
        message: &Message,
    ) -> Result<(), Undelivered> {
        let later = |error: Error| Undelivered::Later(format!("the store: {error:?}"));
        let known = bounce::of(&self.store, tenant, to).await.map_err(later)?;
        if known.as_ref().is_some_and(Bounce::is_silent) {
            return Err(Undelivered::Never("the address refused three mails in a row".into()));
        }
        let result = handed_over(config, to, message).await;
        match &result {
            Err(Undelivered::Bounced(said)) => {
                let now = crate::clock::now().wall;
                let bounce = bounce::note(&self.store, tenant, to, said, now).await.map_err(later)?;
                if bounce.is_silent() {
                    metrics::counter!("carillon_mail_silenced_total").increment(1);
                    tracing::error!(
                        tenant = tenant.0,
                        "an address refused three mails in a row: results go there no more"
                    );
                }
            }
            Ok(()) if known.is_some() => bounce::forget(&self.store, tenant, to).await.map_err(later)?,
            _ => {}
        }
        result
    }
}

/// Gives a mail to the smarthost.
async fn handed_over(config: &Config, to: &str, message: &Message) -> Result<(), Undelivered> {
    let host = config.smtp.smarthost.as_deref().ok_or_else(|| Undelivered::Never("no smarthost".into()))?;
    let (host, port) = host.rsplit_once(':').unwrap_or((host, "25"));
    let port = port.parse().map_err(|_| Undelivered::Never("smarthost has no port".into()))?;
    let transport: AsyncSmtpTransport<Tokio1Executor> =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .hello_name(lettre::transport::smtp::extension::ClientId::Domain(config.smtp.hostname.clone()))
            .timeout(Some(DELIVERY_MAX))
            .build();
    // RFC 3834 §3.3: an automatic answer leaves with the null sender, so that a bounce of it goes nowhere.
    let to = to.parse().map_err(|_| Undelivered::Never("no address to reply to".into()))?;
    let envelope = Envelope::new(None, vec![to]).map_err(|error| Undelivered::Never(error.to_string()))?;
    match transport.send_raw(&envelope, &message.formatted()).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_permanent() => Err(Undelivered::Bounced(error.to_string())),
        Err(error) => Err(Undelivered::Later(error.to_string())),
    }
}

impl Out {
    fn new(rules: &control::config::Fetch) -> Result<Self, String> {
        let guard = Arc::new(Guard::new(rules)?);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(crate::fetch::resolver(&guard))
            .timeout(DELIVERY_MAX)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { rules: rules.clone(), client, guard })
    }
}

/// `whsec_` and base64, as Standard Webhooks write secrets, or the text itself.
fn secret_octets(secret: &str) -> Vec<u8> {
    match secret.strip_prefix("whsec_").map(|text| STANDARD.decode(text)) {
        Some(Ok(octets)) => octets,
        _ => secret.as_bytes().to_vec(),
    }
}

/// The signature header: `v1,` and base64 of HMAC-SHA256 over `id.timestamp.body`.
#[must_use]
pub fn sign(secret: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// A raw header field, whose name and value are ours or were checked at acceptance.
fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn status_mail(config: &Config, to: &str, notice: &Notice, status: &Status) -> Result<Message, String> {
    let order = notice.order;
    let told = status.disposition.map_or_else(|| format!("{:?}", status.state), |d| format!("{d:?}"));
    let answers = match &status.order.origin {
        Origin::Mail { message_id, .. } if message_id.starts_with('<') => Some(message_id.clone()),
        Origin::Mail { message_id, .. } => Some(format!("<{message_id}>")),
        _ => None,
    };
    let text = format!(
        "Call {order}\nRequest {}\nStatus {told}\nAttempts {}\n\nThe attached part says the same for programs.\n",
        status.order.request_id, status.attempts
    );
    report(
        config,
        Draft {
            to,
            subject: &format!("Call {}: {told}", status.order.request_id),
            message_id: &format!("<{order}.{}@{}>", notice.seq, config.smtp.hostname),
            answers,
            text,
            json: notice.body.clone(),
        },
    )
}

/// What a report is made of.
pub(crate) struct Draft<'a> {
    pub(crate) to: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) message_id: &'a str,
    /// The Message-ID that it answers.
    pub(crate) answers: Option<String>,
    pub(crate) text: String,
    pub(crate) json: String,
}

/// A mail with a text for people and a part for programs.
pub(crate) fn report(config: &Config, draft: Draft<'_>) -> Result<Message, String> {
    let mut mail = Message::builder()
        .from(config.smtp.from.parse().map_err(|_| "smtp.from is no address")?)
        .to(draft.to.parse().map_err(|_| "no address to reply to")?)
        .subject(draft.subject)
        .message_id(Some(draft.message_id.to_owned()));
    if let Some(id) = draft.answers {
        mail = mail.in_reply_to(id.clone()).references(id);
    }
    let json = SinglePart::builder()
        .header(ContentType::parse("application/json").map_err(|e| e.to_string())?)
        .body(draft.json);
    let mut parts = MultiPart::mixed().singlepart(SinglePart::plain(draft.text)).singlepart(json);
    // RFC 6522 §3: a report has its text for people first, then the part for programs.
    let boundary = parts.boundary();
    let report = format!("multipart/report; report-type=\"call-status\"; boundary=\"{boundary}\"");
    parts.headers_mut().set(ContentType::parse(&report).map_err(|e| e.to_string())?);
    let mut message = mail.multipart(parts).map_err(|error| error.to_string())?;
    // RFC 3834 §5: an automatic answer says so, and asks for none.
    message.headers_mut().insert_raw(raw("Auto-Submitted", "auto-replied".into()));
    message.headers_mut().insert_raw(raw("X-Auto-Response-Suppress", "All".into()));
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_gives_new_rules_to_what_leaves() {
        // Someone may have installed one already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let limits = crate::store::Limits::default();
        let memory = crate::store::Sqlite::in_memory();
        let store = Handle::start(memory, None::<crate::store::Sqlite>, limits, crate::clock::for_store);
        let config = Arc::new(arc_swap::ArcSwap::from_pointee(Config::default()));
        let mut notifier = Notifier::new(store.expect("starts"), Arc::clone(&config)).expect("good rules");
        let hook = url::Url::parse("http://10.1.2.3:8080/hook").expect("a URL");
        assert!(notifier.out.guard.check(&hook).is_err());
        let mut newer = Config::default();
        newer.fetch.plain_http = true;
        newer.fetch.allow_networks = vec!["10.1.0.0/16".into()];
        config.store(Arc::new(newer));
        notifier.refresh();
        assert!(notifier.out.guard.check(&hook).is_ok());
    }

    #[test]
    fn rfc6522_a_status_mail_is_a_report() {
        let json = serde_json::json!({
            "id": units::OrderId(1).to_string(), "tenant": 1, "request_id": "r", "origin": {"by": "campaign"},
            "to": "+12125550100", "application": {"url": "http://a/"}, "when": "now", "expires": 0, "purpose": "survey",
        });
        let status = Status {
            order: serde_json::from_value(json).expect("an order"),
            state: control::order::State::Done,
            disposition: Some(control::order::Disposition::Completed),
            due: None,
            attempts: 1,
            accepted: Wall(0),
            changed: Wall(0),
            seq: 3,
            decision: None,
            result: None,
        };
        let to = ResultTo::Mail(units::Private::new("ops@acme.example".into()));
        let notice = Notice {
            id: 1,
            order: status.order.id,
            to,
            seq: 3,
            body: "{\"a\":1}".into(),
            tries: 0,
            due: Wall(0),
        };
        let mail = status_mail(&Config::default(), "ops@acme.example", &notice, &status).expect("a mail");
        let text = String::from_utf8(mail.formatted()).expect("text");
        assert!(text.contains("multipart/report") && text.contains("call-status"), "{text}");
        assert!(text.contains("Auto-Submitted: auto-replied") && text.contains("{\"a\":1}"), "{text}");
        let boundary =
            text.split("boundary=\"").nth(1).and_then(|t| t.split('"').next()).expect("a boundary");
        assert_eq!(text.matches(&format!("--{boundary}")).count(), 3, "two parts and an end");
    }

    #[test]
    fn standard_webhooks_known_signature() {
        // The worked example of the Standard Webhooks libraries.
        let secret = secret_octets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
