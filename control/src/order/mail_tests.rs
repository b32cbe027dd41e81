//! Tests of `mail`: forms, the table of loops, hostile MIME.

use super::*;
use serde_json::json;
use units::Seed;

const HEAD: &str =
    "From: Ops <ops@acme.example>\r\nTo: call+acme@d.example\r\nMessage-ID: <1@acme.example>\r\n";

fn read_as(raw: &str, reverse_path: &str) -> Result<Mail, Turned> {
    let is_ours = |a: &str| a.ends_with("@d.example");
    let (limits, order) = (MailLimits::default(), OrderLimits::default());
    read(raw.as_bytes(), Seen { reverse_path, is_ours: &is_ours, limits: &limits, order: &order })
}

fn read_mail(more: &str) -> Result<Mail, Turned> {
    read_as(&format!("{HEAD}{more}"), "ops@acme.example")
}

#[test]
fn the_header_form() {
    let m = read_mail(
        "Subject: outage\r\nCall-To: +15551234567\r\nCall-To: sip:b@h\r\nCall-Purpose: emergency\r\n\
         Call-Application: https://a.example/\r\n x.vxml\r\nCall-Param-name: =?utf-8?q?J=C3=BCrgen?=\r\n\r\nThe pump failed.\r\n",
    )
    .unwrap();
    assert_eq!(m.fields["to"], json!(["+15551234567", "sip:b@h"]));
    assert_eq!(m.fields["params"], json!({"name": "Jürgen"}));
    assert_eq!(m.fields["message"], json!("The pump failed."));
    assert_eq!(m.message_id, "1@acme.example");
    assert_eq!(m.from.expose(), "ops@acme.example");
    assert_eq!(m.reply_to.as_ref().unwrap().expose(), "ops@acme.example");
}

#[test]
fn bodies_by_type() {
    let m = read_mail("Content-Type: application/json\r\n\r\n{\"to\":\"+15551234567\"}\r\n").unwrap();
    assert_eq!(m.fields["to"], json!("+15551234567"));
    let m = read_mail("\r\nTo: +15551234567\r\nPurpose: debt\r\n\r\nPay.\r\n").unwrap();
    assert_eq!((&m.fields["purpose"], &m.fields["message"]), (&json!("debt"), &json!("Pay.")));
    let m = read_mail(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>\r\n\
         --b\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\neyJ0byI6IngifQ==\r\n\
         --b\r\nContent-Type: application/voicexml+xml\r\nContent-ID: <app@1>\r\n\r\n<vxml/>\r\n--b--\r\n",
    )
    .unwrap();
    assert_eq!(m.fields["to"], json!("x"));
    assert_eq!(m.attachments.len(), 1);
    assert_eq!(
        (m.attachments[0].cid.as_str(), m.attachments[0].content.as_slice()),
        ("app@1", &b"<vxml/>"[..])
    );
}

#[test]
fn the_table_of_loops() {
    let ok = "Content-Type: application/json\r\n\r\n{}";
    let many: String = (0..26).map(|_| "Received: from a by b; Mon, 1 Jan 2026 00:00:00 +0000\r\n").collect();
    let cases: &[(String, &str, Turned)] = &[
        (ok.to_owned(), "", Turned::Bounce),
        ("Content-Type: multipart/report; boundary=b\r\n\r\n--b--\r\n".into(), "x@y", Turned::Bounce),
        (format!("Auto-Submitted: auto-replied\r\n{ok}"), "x@y", Turned::AutoReplied),
        (format!("Auto-Submitted: Auto-Replied (vacation)\r\n{ok}"), "x@y", Turned::AutoReplied),
        (format!("List-Id: <l.example>\r\n{ok}"), "x@y", Turned::List),
        (format!("Precedence: bulk\r\n{ok}"), "x@y", Turned::List),
        (format!("Precedence: List\r\n{ok}"), "x@y", Turned::List),
        (format!("{many}{ok}"), "x@y", Turned::Loop),
        (ok.to_owned(), "status+acme@d.example", Turned::Loop),
        (format!("From: other@y.example\r\n{ok}"), "x@y", Turned::Two("From")),
        (format!("Message-ID: <2@y>\r\n{ok}"), "x@y", Turned::Two("Message-ID")),
        (format!("Content-Type: text/plain\r\n{ok}"), "x@y", Turned::Two("Content-Type")),
        (format!("X: a\u{7}\r\n{ok}"), "x@y", Turned::Control),
    ];
    for (more, path, turned) in cases {
        assert_eq!(read_as(&format!("{HEAD}{more}"), path), Err(turned.clone()), "{more}");
    }
    let m = read_mail(&format!("Auto-Submitted: auto-generated\r\n{ok}")).unwrap();
    assert_eq!(m.reply_to, None, "a monitoring system's mail is taken, and not answered");
    let two = "From: a@y.example, b@y.example\r\nMessage-ID: <1@y>\r\n\r\nx";
    assert_eq!(read_as(two, "x@y"), Err(Turned::Authors));
    assert_eq!(read_as("Message-ID: <1@y>\r\n\r\nx", "x@y"), Err(Turned::Without("From")));
    assert_eq!(read_as("From: a@y.example\r\n\r\nx", "x@y"), Err(Turned::Without("Message-ID")));
    assert_eq!(read_as("From: a@d.example\r\nMessage-ID: <1@y>\r\n\r\nx", "x@y"), Err(Turned::Loop));
}

#[test]
fn prose_is_never_guessed_at() {
    let mail = read_mail("\r\nPlease call Ann on +15551234567.\r\n").unwrap();
    assert_eq!((mail.written, mail.fields.len()), (Written::Nowhere, 0));
}

#[test]
fn hostile_mime_is_bounded() {
    let too_many = |more: &str| matches!(read_mail(more), Err(Turned::TooMany(_)));
    let parts: String = (0..10_000).map(|_| "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n").collect();
    assert!(too_many(&format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n")));
    let bare: String = "--b\r\n\r\n".repeat(100_000);
    assert!(too_many(&format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{bare}")));
    let mut nested = String::new();
    for i in 0..100 {
        nested.push_str(&format!("Content-Type: multipart/mixed; boundary=b{i}\r\n\r\n--b{i}\r\n"));
    }
    assert!(too_many(&nested));
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(100);
    assert!(too_many(&messages));
    assert!(too_many(&"Content-Type: message/rfc822\r\n\r\n".repeat(500_000)));
    assert!(too_many(&format!("\r\n{}", "x".repeat(20 << 20))));
    assert!(too_many(&"X: y\r\n".repeat(500)));
    assert!(too_many(&format!("X: {}\r\n\r\n", "y\r\n ".repeat(40_000))));
}

#[test]
fn lying_charsets_and_broken_encodings_are_refused_or_read_but_never_panic() {
    for more in [
        "Content-Type: application/json; charset=utf-16\r\n\r\n{\"to\":\"x\"}",
        "Content-Type: application/json; charset=no-such\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\u{1b}$BTo: x",
        "Content-Type: text/plain; charset=utf-7\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=0=",
    ] {
        let _ = read_mail(more).is_ok();
    }
    let bad = read_mail("Content-Type: application/json\r\n\r\n{\"to\":1,\"to\":2}");
    assert_eq!(bad, Err(Turned::Refused(vec![Refusal::new("to", Reason::Twice)])));
}

#[test]
fn mutated_mails_never_panic() {
    let good = format!(
        "{HEAD}Auto-Submitted: no\r\nCall-Purpose: debt\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: x\r\nContent-Type: multipart/digest; boundary=c\r\n\r\n--c\r\n\r\nA: b\r\n\r\n--c--\r\n\
         --b\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{{\"to\"=3A\"x\"}}\r\n--b--\r\n"
    );
    let mut rng = Seed(9).rng();
    let mut read = 0;
    for _ in 0..5_000 {
        let mut text = good.clone().into_bytes();
        for _ in 0..rng.below(8) {
            let at = usize::try_from(rng.below(text.len() as u64)).unwrap();
            match rng.below(3) {
                0 => text[at] = u8::try_from(rng.below(256)).unwrap(),
                1 => drop(text.drain(at..(at + 7).min(text.len()))),
                _ => text.insert(at, b"\r\n-:;=\"<"[usize::try_from(rng.below(8)).unwrap()]),
            }
            if text.is_empty() {
                break;
            }
        }
        read += usize::from(read_as(&String::from_utf8_lossy(&text), "x@y").is_ok());
    }
    assert!(read > 100, "some mutations stay readable: {read}");
}
