//! What third parties write to order calls: SMTP sessions, mails, every body form, lists of contacts, HTTP's JSON, signature
//! headers, stop tokens. One place for both ways of fuzzing: by seed in `cargo test`, by coverage under cargo-fuzz.

use control::campaign::{Form, RowLimits, Rows};
use control::limits::{MailLimits, OrderLimits};
use control::order::httpsig::{self, Key, Request, Signed};
use control::order::mail::Attachment;
use control::order::proof::{self, Expected, SignatureField};
use control::order::smtp::{Directory, Output, Reply, Role, Session};
use control::order::stop::StopKey;
use control::order::{Context, Origin, form, mail};
use std::sync::Arc;
use units::{Seed, TenantId, Wall};

const NOW: Wall = Wall(1_800_000_000_000);

/// A session in one go and in pieces of `piece` octets: it says the same, takes the same mails, and ends.
pub fn smtp(octets: &[u8]) {
    for role in [Role::Smtp, Role::Lmtp] {
        let whole = conversation(role, octets, octets.len().max(1));
        assert_eq!(conversation(role, octets, 7), whole, "{role:?}: pieces change nothing");
    }
}

fn conversation(role: Role, octets: &[u8], piece: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let directory = Directory {
        hostname: "d.example".into(),
        tenants: vec![("acme".into(), TenantId(1))],
        auth_in_clear: true,
        stop: Some(Arc::new(StopKey::new(&[7; 32]))),
        ..Directory::default()
    };
    let limits = MailLimits { message_bytes_max: 1 << 14, ..MailLimits::default() };
    let mut session = Session::new(role, Arc::new(directory), limits, false);
    let (mut said, mut mails) = (Vec::new(), Vec::new());
    for part in octets.chunks(piece) {
        session.receive(part);
        while let Some(output) = session.poll() {
            match output {
                Output::Send(reply) => {
                    let lines = reply.split(|b| *b == b'\n').filter(|l| !l.is_empty());
                    assert!(lines.clone().all(|l| l.len() >= 4 && l[..3].iter().all(u8::is_ascii_digit)));
                    said.extend_from_slice(&reply);
                }
                Output::Authenticate { .. } => session.authenticated(None),
                Output::Mail(envelope, text) => {
                    assert!(!envelope.rcpts.is_empty() && text.len() <= limits.message_bytes_max);
                    assert!(!control::order::smtp::has_bare(&text), "a bare CR or LF got in");
                    session.settled(&vec![Reply::new(250, "2.0.0", "fine"); envelope.rcpts.len()]);
                    mails.push(text);
                }
                Output::StartTls => unreachable!("it is not offered"),
                Output::Close => return (said, mails),
            }
        }
    }
    (said, mails)
}

/// A mail: read or turned away; what is read has one author, and parts that can be told apart.
pub fn mail(octets: &[u8]) {
    let (limits, order) = (MailLimits::default(), OrderLimits::default());
    let seen =
        mail::Seen { reverse_path: "ops@acme.example", is_ours: &|_| false, limits: &limits, order: &order };
    if let Ok(mail) = mail::read(octets, seen) {
        assert!(mail.from.expose().contains('@'));
        let mut cids: Vec<&str> = mail.attachments.iter().map(|a| a.cid.as_str()).collect();
        cids.sort_unstable();
        cids.dedup();
        assert_eq!(cids.len(), mail.attachments.len(), "two parts of one name");
        request(&mail.fields, &mail.attachments);
    }
    drop(mail::multipart("multipart/mixed; boundary=b", octets, &limits, &order));
}

/// A body in each form, and then as a request.
pub fn forms(octets: &[u8]) {
    let limits = OrderLimits::default();
    for kind in ["application/json", "application/yaml", "application/xml"] {
        if let Some(Ok(fields)) = form::by_type(kind, octets, &limits) {
            assert!(form::depth(&fields.clone().into()) <= limits.depth_max, "{kind}");
            request(&fields, &[]);
        }
    }
    if let Some(Ok(fields)) = std::str::from_utf8(octets).ok().and_then(|text| form::block(text, &limits)) {
        request(&fields, &[]);
    }
}

/// Fields as they are ordered: refusals within their bound, or orders whose canonical form is JSON.
fn request(fields: &form::Fields, parts: &[Attachment]) {
    let (limits, attached) =
        (OrderLimits::default(), parts.iter().map(|p| p.cid.clone()).collect::<Vec<_>>());
    let cx = Context {
        tenant: TenantId(1),
        origin: Origin::Http { key: "k".into() },
        request_id: "r",
        now: NOW,
        region: None,
        http_allowed: true,
        attached: &attached,
        campaign: None,
        limits: &limits,
    };
    match control::order::parse(fields, &cx, &mut Seed(1).rng()) {
        Ok(parsed) => {
            assert!(!parsed.orders.is_empty() && parsed.orders.len() == parsed.digests.len());
            let canonical: Result<serde_json::Value, _> = serde_json::from_str(&parsed.canonical);
            assert!(canonical.is_ok_and(|c| c.is_object()), "{}", parsed.canonical);
            for order in &parsed.orders {
                let text = serde_json::to_string(order).expect("an order is JSON");
                let read: control::order::Order = serde_json::from_str(&text).expect("and is read back");
                assert_eq!(&read, order);
            }
        }
        Err(refusals) => {
            assert!(!refusals.is_empty() && refusals.len() <= limits.refusals_max);
            assert!(refusals.iter().all(|r| !r.to_string().is_empty()));
        }
    }
}

/// A list of contacts: the same rows in one piece and in many, numbered and placed in order.
pub fn rows(octets: &[u8]) {
    for form in [Form::Csv, Form::Jsonl] {
        let whole = rows_of(form, octets, octets.len().max(1));
        assert_eq!(rows_of(form, octets, 5), whole, "{form:?}: pieces change nothing");
    }
}

fn rows_of(form: Form, octets: &[u8], piece: usize) -> Vec<String> {
    let limits = RowLimits { row_bytes_max: 4_096, ..RowLimits::default() };
    let mut rows = Rows::resume(form, Vec::new(), 0, 0, limits);
    let (mut out, mut last) = (Vec::new(), (0, 0));
    let mut take = |row: control::campaign::Row, out: &mut Vec<String>| {
        assert!(row.number > last.0 && row.end >= last.1 && row.end <= octets.len() as u64);
        last = (row.number, row.end);
        out.push(format!("{row:?}"));
    };
    for part in octets.chunks(piece) {
        rows.push(part);
        loop {
            match rows.next_row() {
                Ok(Some(row)) => take(row, &mut out),
                Ok(None) => break,
                Err(refusal) => {
                    out.push(refusal.to_string());
                    return out;
                }
            }
        }
    }
    match rows.finish() {
        Ok(Some(row)) => take(row, &mut out),
        Ok(None) => {}
        Err(refusal) => out.push(refusal.to_string()),
    }
    out
}

/// Signature headers, cut out of the octets at line ends: nothing that nobody signed proves anything.
pub fn signatures(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let mut lines = text.lines();
    let (first, second, third) =
        (lines.next().unwrap_or(""), lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let fields = [field("signature-input", first), field("signature", second), field("date", "x")];
    let request =
        Request { method: "POST", scheme: "https", authority: "a", target: "/v1/calls", fields: &fields };
    if let Ok(signed) = Signed::read(&request) {
        for key in [Key::Hmac(b"nobody knows this".to_vec()), Key::Ed25519(proof::public_key(&[3; 32]))] {
            assert!(signed.verify(&request, &key, &[], NOW).is_err(), "nobody signed this");
        }
    }
    assert!(httpsig::content_digest(first, b"a body that nobody guesses: 8f1c").is_err());
    if let Ok(field) = SignatureField::read(first) {
        let parts = &[];
        let expected =
            Expected { tenant: "acme", action: "call", rcpt: "/v1/calls", canonical: "{}", parts, now: NOW };
        assert!(proof::manifest(second, &field, Some(&proof::public_key(&[3; 32])), expected).is_err());
    }
    assert!(!proof::token_fits(third, ["a key of ours"].into_iter(), "acme", "call", "r"));
    assert_eq!(StopKey::new(&[9; 32]).open(first), None, "nobody was given this");
}
