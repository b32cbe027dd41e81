//! The three orders of the demo, as a third party gives them, and what is known of each.

use super::server::Server;
use super::web::Web;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::transport::smtp::client::Tls;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use serde_json::{Value, json};

/// An order that was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// For people.
    pub(super) what: &'static str,
    /// The last digits of the number.
    pub(super) number: &'static str,
    /// The keys the customer will press: choice and code.
    pub(super) expected: (&'static str, &'static str),
    /// The prompts the customer must hear.
    pub(super) prompts: &'static [&'static str],
    /// Not before this long after acceptance, ms.
    pub(super) not_before_ms: i64,
    /// Its id.
    pub(super) id: String,
    /// The last status.
    pub(super) status: Value,
}

impl Given {
    /// Takes a status; true if the state changed.
    pub(super) fn take(&mut self, status: Value) -> bool {
        let changed = status.get("state") != self.status.get("state");
        self.status = status;
        changed
    }

    pub(super) fn done(&self) -> bool {
        self.status.get("state").and_then(Value::as_str) == Some("done")
    }

    pub(super) fn disposition(&self) -> &str {
        self.status.get("disposition").and_then(Value::as_str).unwrap_or("-")
    }

    pub(super) fn state_line(&self) -> String {
        let state = self.status.get("state").and_then(Value::as_str).unwrap_or("?");
        if self.done() { format!("{state} ({})", self.disposition()) } else { state.to_owned() }
    }
}

const CONFIRM: &[&str] = &["welcome.wav", "code.wav", "thanks.wav"];
const ANOTHER: &[&str] = &["welcome.wav", "another.wav", "thanks.wav"];

/// Gives all three; the ids come from the answers.
pub(super) async fn give_all(server: &Server, web: &Web) -> Result<Vec<Given>, Box<dyn std::error::Error>> {
    let blank = |what, number, expected, prompts, not_before_ms, id| Given {
        what,
        number,
        expected,
        prompts,
        not_before_ms,
        id,
        status: Value::Null,
    };
    let mail = by_mail(server, web).await?;
    let http = by_http(server, web, "demo-http", "+15550101", None).await?;
    let later = by_http(server, web, "demo-later", "+15550102", Some("+5s")).await?;
    Ok(vec![
        blank("order by e-mail", "0100", ("confirm", "4711"), CONFIRM, 0, mail),
        blank("order by HTTP", "0101", ("another", "24"), ANOTHER, 0, http),
        blank("order for 5 s later", "0102", ("confirm", "0815"), CONFIRM, 5_000, later),
    ])
}

/// The header form of an order, over SMTP; the id stands in the server's `250`.
async fn by_mail(server: &Server, web: &Web) -> Result<String, Box<dyn std::error::Error>> {
    let head = |name: &'static str, value: String| -> Result<HeaderValue, Box<dyn std::error::Error>> {
        Ok(HeaderValue::new(HeaderName::new_from_ascii(name.to_owned())?, value))
    };
    let message = Message::builder()
        .from("ops@acme.example".parse()?)
        .to("call+acme@dispatch.example".parse()?)
        .subject("delivery 4711")
        .message_id(Some(format!("<demo.{}@acme.example>", std::process::id())))
        .raw_header(head("Call-To", "tel:+15550100".into())?)
        .raw_header(head("Call-Application", web.application())?)
        .raw_header(head("Call-Purpose", "transactional".into())?)
        .raw_header(head("Call-Result-To", "mailto:ops@acme.example".into())?)
        .body(String::new())?;
    let transport: AsyncSmtpTransport<Tokio1Executor> =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.smtp_addr().ip().to_string())
            .port(server.smtp_addr().port())
            .tls(Tls::None)
            .build();
    let answer = transport.send(message).await?;
    let line = answer.message().collect::<Vec<_>>().join(" ");
    let id = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find(|w| w.starts_with("call_"));
    Ok(id.ok_or_else(|| format!("no call id in the SMTP answer `{line}`"))?.to_owned())
}

async fn by_http(
    server: &Server,
    web: &Web,
    key: &str,
    to: &str,
    at: Option<&str>,
) -> Result<String, Box<dyn std::error::Error>> {
    let mut body = json!({
        "to": to,
        "application": web.application(),
        "purpose": "transactional",
        "result_to": [web.webhook()],
    });
    if let Some(at) = at {
        body["at"] = json!(at);
    }
    let (status, answer) = server.post_call(key, &body).await?;
    let id = answer.get("id").and_then(Value::as_str).filter(|_| status == 202);
    Ok(id.ok_or_else(|| format!("POST /v1/calls answered {status}: {answer}"))?.to_owned())
}
