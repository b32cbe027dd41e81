//! The doors for mail and HTTP over loopback, with an embedded store: what is answered, what is durable, what is
//! refused and how.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a test of doors")]

mod house;

use house::{GOOD, house, house_with, now, said};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn an_http_order_is_accepted_once_and_read_by_its_owner_alone() {
    let h = house().await;
    let first = h.order("k1", GOOD).await;
    assert_eq!(first.status, 202, "{}", first.json);
    let url = first.json["status_url"].as_str().unwrap().to_owned();
    let again = h.order("k1", GOOD).await;
    assert_eq!((again.status, &again.json["id"]), (202, &first.json["id"]));
    assert_eq!(again.json["calls"][0]["new"], false);
    let other = h.order("k1", &GOOD.replace("1234", "9999")).await;
    assert_eq!(
        (other.status, other.json["type"].as_str()),
        (422, Some("urn:carillon:problem:idempotency-conflict"))
    );
    let read = h.ask("GET", &url, "secret-1", "", "").await;
    assert_eq!((read.status, read.json["state"].as_str()), (200, Some("scheduled")));
    assert_eq!(
        h.ask("GET", &url, "secret-2", "", "").await.status,
        404,
        "another tenant's call is not there"
    );
    assert_eq!(h.ask("GET", &url, "root-of-all", "", "").await.status, 200);
    assert_eq!(h.ask("GET", &url, "nonsense", "", "").await.status, 401);
    let list = h.ask("GET", "/v1/calls?limit=1", "secret-1", "", "").await;
    assert_eq!(list.json["calls"].as_array().unwrap().len(), 1);
    assert_eq!(h.ask("DELETE", &url, "secret-2", "", "").await.status, 404);
    assert_eq!(h.ask("DELETE", &url, "secret-1", "", "").await.status, 200);
    assert_eq!(h.ask("DELETE", &url, "secret-1", "", "").await.status, 409);
    assert_eq!(h.ask("GET", "/healthz", "", "", "").await.status, 200);
    h.stop.send(true).unwrap();
}

#[tokio::test]
async fn a_bad_request_names_the_field_and_a_forbidden_one_the_rule() {
    let h = house().await;
    let bad = h.order("k", r#"{"to":"12","application":"ftp://x","purpose":"fun"}"#).await;
    assert_eq!(bad.status, 400);
    let fields: Vec<&str> =
        bad.json["errors"].as_array().unwrap().iter().filter_map(|e| e["field"].as_str()).collect();
    assert_eq!(fields, ["application", "purpose", "to"]);
    let abroad = h.order("k", &GOOD.replace("+12125551234", "+4930901820")).await;
    assert_eq!((abroad.status, abroad.json["decision"]["verdict"].as_str()), (403, Some("refuse")));
    let missing = h.ask("POST", "/v1/calls", "secret-1", "", GOOD).await;
    assert_eq!((missing.status, missing.json["errors"][0]["field"].as_str()), (400, Some("Idempotency-Key")));
    let dry = h.ask("POST", "/v1/calls:dryrun", "secret-1", "", GOOD).await;
    assert_eq!((dry.status, dry.json["decisions"][0]["verdict"].as_str()), (200, Some("admit")));
    assert_eq!(
        h.ask("GET", "/v1/calls", "secret-1", "", "").await.json["calls"].as_array().unwrap().len(),
        0
    );
}

/// Goal: nothing is taken that no trunk could ever call. Method: a tenant whose trunks take one prefix each.
#[tokio::test]
async fn a_number_that_no_trunk_takes_is_refused_with_its_field() {
    let h = house().await;
    let order =
        |to: &str| format!(r#"{{"to":"{to}","application":"https://a.example/x.vxml","purpose":"survey"}}"#);
    for (to, status, field, says) in [
        ("+15551234567", 202, "", ""),
        ("+12125551234", 400, "to", "no trunk takes"),
        ("+15561234567", 400, "caller_id", "cannot be shown"),
    ] {
        let answer =
            h.ask("POST", "/v1/calls", "secret-2", &format!("Idempotency-Key: {to}\r\n"), &order(to)).await;
        assert_eq!(answer.status, status, "{to}: {}", answer.json);
        if status == 400 {
            let text = answer.json.to_string();
            assert!(text.contains(&format!("\"field\":\"{field}\"")) && text.contains(says), "{text}");
        }
    }
}

#[tokio::test]
async fn who_is_suppressed_is_not_called() {
    let h = house().await;
    assert_eq!(h.ask("PUT", "/v1/suppressions/+12125551234", "secret-1", "", "").await.status, 200);
    let refused = h.order("k", GOOD).await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    let list = h.ask("GET", "/v1/suppressions", "secret-1", "", "").await;
    assert_eq!(list.json["suppressions"][0]["number"], "+12125551234");
    let others = h.ask("GET", "/v1/suppressions", "secret-2", "", "").await;
    assert_eq!(others.json["suppressions"].as_array().unwrap().len(), 0);
    assert_eq!(h.ask("DELETE", "/v1/suppressions/+12125551234", "secret-1", "", "").await.status, 204);
    assert_eq!(h.order("k", GOOD).await.status, 202);
    assert_eq!(h.ask("PUT", "/v1/suppressions/+12125551234", "root-of-all", "", "").await.status, 200);
    assert_eq!(
        h.order("k3", &GOOD.replace("transactional", "emergency")).await.status,
        403,
        "never means never"
    );
}

const ENVELOPE: &str = "EHLO a\r\nMAIL FROM:<ops@acme.example>\r\nRCPT TO:<call+acme@d.example>\r\nDATA\r\n";
const HEAD: &str = "From: ops@acme.example\r\nMessage-ID: <1@acme.example>\r\n";

#[tokio::test]
async fn a_mail_is_an_order_when_250_was_said() {
    let h = house().await;
    let mail = format!(
        "{ENVELOPE}{HEAD}Call-To: +12125551234\r\nCall-Purpose: emergency\r\nCall-Application: https://a.example/\r\n\r\nHello.\r\n.\r\nQUIT\r\n"
    );
    let said = h.mail(&mail).await;
    let id = said.lines().find_map(|l| l.strip_prefix("250 2.0.0 call_")).expect("the id is in the reply");
    let read = h.ask("GET", &format!("/v1/calls/call_{id}"), "secret-1", "", "").await;
    assert_eq!((read.status, read.json["request_id"].as_str()), (200, Some("1@acme.example")));
    let again = h.mail(&mail).await;
    assert!(again.contains(id), "the same mail again is the same order");
    let list = h.ask("GET", "/v1/calls", "secret-1", "", "").await;
    assert_eq!(list.json["calls"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_mail_is_refused_with_the_field_and_an_enhanced_code() {
    let h = house().await;
    for (more, expected) in [
        (
            "Call-To: +12125551234\r\nCall-Purpose: fun\r\nCall-Application: https://a.example/\r\n\r\n",
            "554 5.6.0 Call-Purpose",
        ),
        (
            "Call-To: +4930901820\r\nCall-Purpose: debt\r\nCall-Application: https://a.example/\r\n\r\n",
            "550 5.7.1 Call-To",
        ),
        ("\r\nPlease call.\r\n", "554 5.6.0 body"),
        ("Auto-Submitted: auto-replied\r\n\r\n", "550 5.7.1"),
    ] {
        let said = h.mail(&format!("{ENVELOPE}{HEAD}{more}.\r\nQUIT\r\n")).await;
        assert!(said.contains(expected), "{more}: {said}");
    }
    let stranger =
        h.mail(&format!("{ENVELOPE}{}\r\n{GOOD}\r\n.\r\nQUIT\r\n", HEAD.replace("acme", "evil"))).await;
    assert!(stranger.contains("550 5.7.1") || stranger.contains("554 5.6.0"), "{stranger}");
    assert_eq!(
        h.ask("GET", "/v1/calls", "secret-1", "", "").await.json["calls"].as_array().unwrap().len(),
        0
    );
}

#[tokio::test]
async fn a_campaign_takes_its_contacts_in_a_stream_and_goes_on_where_it_broke() {
    let h = house().await;
    let body = r#"{"name":"spring","application":"https://a.example/x.vxml","purpose":"survey"}"#;
    let key = "Idempotency-Key: c1\r\n";
    let made = h.ask("POST", "/v1/campaigns", "secret-1", key, body).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let id = made.json["id"].as_str().unwrap().to_owned();
    assert_eq!(h.ask("POST", "/v1/campaigns", "secret-1", key, body).await.json["id"], id.as_str());
    assert_eq!(
        h.ask("POST", "/v1/campaigns", "secret-1", key, &body.replace("spring", "autumn")).await.status,
        422
    );
    let mut list = String::from("to,tz\n");
    for i in 0..1_200 {
        list.push_str(&format!("+1212555{i:04},UTC\n"));
    }
    list.push_str("12,UTC\n+4930901820,UTC\n");
    let url = format!("/v1/campaigns/{id}/contacts");
    let csv = "Content-Type: text/csv\r\n";
    let half = list.len() / 2;
    let first = h.put(&url, csv, &list[..=list[..half].rfind('\n').unwrap()]).await;
    assert_eq!(first.status, 200, "{}", first.json);
    let offset = first.json["offset"].as_u64().unwrap();
    assert_eq!(h.put(&url, csv, &list).await.status, 409, "the offset must be said");
    let rest = &list[usize::try_from(offset).unwrap()..];
    let second = h.put(&url, &format!("{csv}Upload-Offset: {offset}\r\n"), rest).await;
    assert_eq!((second.json["accepted"].as_u64(), second.json["refused"].as_u64()), (Some(1_200), Some(2)));
    let errors = h.raw("GET", &format!("/v1/campaigns/{id}/errors"), "secret-1", "", "").await;
    assert!(errors.contains("1201,to,") && errors.contains("1202,to,"), "{errors}");
    let act = |word: &'static str| {
        let url = format!("/v1/campaigns/{id}:{word}");
        let h = &h;
        async move { h.ask("POST", &url, "secret-1", "", "").await.status }
    };
    assert_eq!((act("pause").await, act("start").await, act("pause").await), (409, 200, 200));
    assert_eq!((act("resume").await, act("abort").await, act("resume").await), (200, 200, 409));
}

/// Goal: what is said of a campaign while its list comes in holds. Method: a list that stops in its middle, the word, the
/// rest.
#[tokio::test]
async fn a_campaign_that_is_started_during_its_upload_stays_started() {
    let h = house().await;
    let body = r#"{"name":"n","application":"https://a.example/x.vxml","purpose":"survey"}"#;
    let made = h.ask("POST", "/v1/campaigns", "secret-1", "Idempotency-Key: d\r\n", body).await;
    let id = made.json["id"].as_str().unwrap().to_owned();
    let url = format!("/v1/campaigns/{id}");
    let read = || h.ask("GET", &url, "secret-1", "", "");
    let rows: String = (0..1_000).map(|n| format!("+1212555{n:04},UTC\n")).collect();
    let list = format!("to,tz\n{rows}");
    let (first, rest) = list.split_at(list.len() * 3 / 4);
    let addr = h.http.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "PUT /v1/campaigns/{id}/contacts HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nAuthorization: Bearer secret-1\r\n\
         Content-Type: text/csv\r\nContent-Length: {}\r\n\r\n{first}",
        list.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let half = async {
        while read().await.json["accepted"].as_u64().unwrap_or(0) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), half).await.expect("a batch is durable");
    assert_eq!(h.ask("POST", &format!("/v1/campaigns/{id}:start"), "secret-1", "", "").await.status, 200);
    stream.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(said(&answer).json["accepted"], 1_000, "{answer}");
    let now = read().await.json;
    assert_eq!((&now["stage"], &now["accepted"]), (&"running".into(), &1_000.into()), "{now}");
}

/// Goal: nobody waits for the time that was set while a campaign stood still. Method: its orders are claimed and put back
/// as the desk does with a draft's; after `:start` the desk is woken and they may be claimed again.
#[tokio::test]
async fn a_started_campaign_does_not_wait() {
    use control::store::{Answer, Ask};
    use units::{ServerId, TenantId};
    let h = house().await;
    let (desk, mut messages) = tokio::sync::mpsc::channel(100);
    h.intake.desk.set(desk).expect("a fresh cell");
    let body = r#"{"name":"n","application":"https://a.example/x.vxml","purpose":"survey"}"#;
    let made = h.ask("POST", "/v1/campaigns", "secret-1", "Idempotency-Key: c\r\n", body).await;
    let id = made.json["id"].as_str().unwrap().to_owned();
    let csv = "Content-Type: text/csv\r\n";
    let list = "to,tz\n+12125550001,UTC\n+12125550002,UTC\n";
    assert_eq!(h.put(&format!("/v1/campaigns/{id}/contacts"), csv, list).await.json["accepted"], 2);
    while messages.try_recv().is_ok() {}
    let claim = || async {
        let (tenant, due) = (TenantId(1), now().wall);
        let (max, lease_ms, owner) = (10, 60_000, ServerId(1));
        let ask = Ask::Claim { priority: 0, tenant, due, max, lease_ms, owner };
        let Ok(Answer::Claimed(claimed, _)) = h.intake.store.ask(ask).await else { panic!("a claim") };
        claimed
    };
    let drafts = claim().await;
    assert_eq!(drafts.len(), 2);
    for claimed in drafts {
        let (order, epoch, decision) = (claimed.lease.order, claimed.lease.epoch, None);
        let due = now().wall.plus(Duration::from_secs(600));
        let (deferred, refund, counted, crashed) = (true, true, false, false);
        let back = Ask::Requeue { order, epoch, due, deferred, decision, refund, counted, crashed };
        h.intake.store.ask(back).await.unwrap();
    }
    assert_eq!(claim().await.len(), 0);
    assert_eq!(h.ask("POST", &format!("/v1/campaigns/{id}:start"), "secret-1", "", "").await.status, 200);
    let woken = loop {
        let told = tokio::time::timeout(Duration::from_secs(5), messages.recv()).await.unwrap();
        if !matches!(told, Some(node::desk::Message::Learnt)) {
            break told;
        }
    };
    assert!(matches!(woken, Some(node::desk::Message::Accepted(0, TenantId(1), due)) if due == now().wall));
    assert_eq!(claim().await.len(), 2);
}

/// Goal: STARTTLS with the configured pair; AUTH is offered under it only. Method: a client that trusts that certificate.
#[tokio::test]
async fn mail_is_taken_under_tls_when_a_certificate_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &path("key.pem"), "-out", &path("cert.pem")])
        .output();
    if !made.is_ok_and(|m| m.status.success()) {
        println!("SKIPPED: openssl makes no certificate here");
        return;
    }
    drop(rustls::crypto::ring::default_provider().install_default());
    let text =
        format!("[smtp]\ntls_certificate = \"{}\"\ntls_key = \"{}\"\n", path("cert.pem"), path("key.pem"));
    let config = control::config::parse("test", &text).unwrap();
    let h = house_with(node::tls::mail(&config).unwrap()).await;
    let sip = control::config::Sip {
        tls_certificate: Some(path("cert.pem")),
        tls_key: Some(path("key.pem")),
        ..control::config::Sip::default()
    };
    let trust = node::tls::both(&sip).unwrap();
    let mut stream = TcpStream::connect(h.smtp).await.unwrap();
    stream.write_all(b"EHLO me\r\n").await.unwrap();
    let said = hear(&mut stream, "250 ").await;
    assert!(said.contains("STARTTLS") && !said.contains("AUTH"), "{said}");
    stream.write_all(b"STARTTLS\r\n").await.unwrap();
    hear(&mut stream, "220 ").await;
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut stream = trust.connector.connect(name, stream).await.unwrap();
    stream.write_all(b"EHLO me\r\n").await.unwrap();
    let said = hear(&mut stream, "250 ").await;
    assert!(said.contains("AUTH PLAIN") && !said.contains("STARTTLS"), "{said}");
    // "\0acme\0secret-1"
    stream.write_all(b"AUTH PLAIN AGFjbWUAc2VjcmV0LTE=\r\n").await.unwrap();
    hear(&mut stream, "235 ").await;
    drop(h.stop);
}

/// Reads until a line begins so.
async fn hear(stream: &mut (impl tokio::io::AsyncRead + Unpin), last: &str) -> String {
    let mut said = String::new();
    let mut octets = [0; 1024];
    while !said.lines().any(|line| line.starts_with(last)) || !said.ends_with('\n') {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut octets)).await;
        let n = read.unwrap().unwrap();
        assert!(n > 0, "the door closed after {said:?}");
        said.push_str(std::str::from_utf8(&octets[..n]).unwrap());
    }
    said
}

#[tokio::test]
async fn the_pages_need_a_key_and_work_without_script() {
    let h = house().await;
    let away = h.raw("GET", "/console/order", "", "", "").await;
    assert!(away.contains("303 See Other") && away.contains("location: /console/login"), "{away}");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert!(h.raw("POST", "/console/login", "", form, "key=wrong").await.contains("403 Forbidden"));
    let signed = h.raw("POST", "/console/login", "", form, "key=secret-1").await;
    let cookie =
        signed.lines().find_map(|l| l.strip_prefix("set-cookie: ")).unwrap().split(';').next().unwrap();
    let cookie = format!("Cookie: {cookie}\r\n");
    let page = h.raw("GET", "/console/order", "", &cookie, "").await;
    assert!(page.contains("<label for=\"to\"") && !page.contains("<script"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"));
    let post = format!("{form}{cookie}");
    let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let bad = "request_id=f1&to=12&application=x&purpose=survey";
    assert!(
        h.raw("POST", "/console/order", "", &post, bad).await.contains("403 Forbidden"),
        "no word of ours"
    );
    let wrong = h.raw("POST", "/console/order", "", &post, &format!("csrf={csrf}&{bad}")).await;
    assert!(
        wrong.contains("422") && wrong.contains("href=\"#to\"") && wrong.contains("aria-invalid"),
        "{wrong}"
    );
    let good = format!(
        "csrf={csrf}&request_id=f1&to=%2B12125551234&application=https%3A%2F%2Fa.example%2F&purpose=survey&at="
    );
    let sent = h.raw("POST", "/console/order", "", &post, &good).await;
    let location =
        sent.lines().find_map(|l| l.strip_prefix("location: ")).unwrap_or_else(|| panic!("{sent}"));
    let status = h.raw("GET", location, "", &cookie, "").await;
    assert!(status.contains("+12125551234") && status.contains("scheduled"), "{status}");
    let foreign =
        h.raw("POST", "/console/order", "", &format!("{post}Origin: http://evil.example\r\n"), &good).await;
    assert!(foreign.contains("403 Forbidden"));
    assert!(h.raw("GET", "/openapi.json", "", "", "").await.contains("\"/v1/calls\""));
}

#[tokio::test]
async fn a_parameter_that_nobody_reads_is_refused_and_refusals_are_problems() {
    let h = house().await;
    let dry = h.ask("POST", "/v1/calls?dry_run=true", "secret-1", "Idempotency-Key: d\r\n", GOOD).await;
    assert_eq!(
        (dry.status, dry.json["errors"][0]["field"].as_str()),
        (400, Some("query.dry_run")),
        "{}",
        dry.json
    );
    assert!(dry.json["errors"][0]["fix"].as_str().unwrap().contains("dryrun"));
    let list = h.ask("GET", "/v1/calls?limt=1", "secret-1", "", "").await;
    assert_eq!((list.status, list.json["errors"][0]["field"].as_str()), (400, Some("query.limt")));
    assert_eq!(
        h.ask("GET", "/v1/calls", "secret-1", "", "").await.json["calls"].as_array().unwrap().len(),
        0
    );
    for (method, path, status, kind) in [
        ("PATCH", "/v1/calls", 405, "method"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/calls/call_1/events?after=x", 400, "invalid-request"),
    ] {
        let said = h.raw(method, path, "secret-1", "", "").await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{said}");
        assert!(said.contains("application/problem+json") && said.contains(kind), "{said}");
    }
    let large = "x".repeat((1 << 20) + 1);
    let said = h
        .raw(
            "POST",
            "/v1/calls",
            "secret-1",
            "Content-Type: application/json\r\nIdempotency-Key: l\r\n",
            &large,
        )
        .await;
    assert!(
        said.starts_with("HTTP/1.1 413") && said.contains("application/problem+json"),
        "{}",
        &said[..200.min(said.len())]
    );
}

#[tokio::test]
async fn a_mail_is_refused_in_its_own_words_and_cancels_by_its_subject() {
    let h = house().await;
    let wrong = format!(
        "{ENVELOPE}{HEAD}Call-To: +12125551234\r\nCall-Purpos: debt\r\nCall-Application: https://a.example/\r\n\r\n\r\n.\r\nQUIT\r\n"
    );
    let said = h.mail(&wrong).await;
    assert!(
        said.contains("554-5.6.0 Call-Purpos is not a field") && said.contains("did you mean Call-Purpose?"),
        "{said}"
    );
    assert!(said.contains("Call-Purpose is missing"), "{said}");
    let good = format!(
        "{ENVELOPE}{HEAD}Call-To: +12125551234\r\nCall-Purpose: debt\r\nCall-Application: https://a.example/\r\n\r\n\r\n.\r\nQUIT\r\n"
    );
    let said = h.mail(&good).await;
    let id = said
        .lines()
        .find_map(|l| l.strip_prefix("250 2.0.0 ").filter(|l| l.starts_with("call_")))
        .unwrap()
        .to_owned();
    let about = |word: &str| {
        format!(
            "EHLO a\r\nMAIL FROM:<ops@acme.example>\r\nRCPT TO:<{word}+acme@d.example>\r\nDATA\r\nFrom: ops@acme.example\r\nMessage-ID: <{word}@acme.example>\r\nSubject: Re: {id}\r\n\r\n\r\n.\r\nQUIT\r\n"
        )
    };
    assert!(h.mail(&about("status")).await.contains("scheduled, 0 attempts"));
    assert!(h.mail(&about("cancel")).await.contains("cancelled"));
    assert_eq!(
        h.ask("GET", &format!("/v1/calls/{id}"), "secret-1", "", "").await.json["disposition"],
        "cancelled"
    );
}

#[tokio::test]
async fn tenants_are_provisioned_by_the_operator_and_keys_do_what_their_scopes_say() {
    let h = house().await;
    let op = "root-of-all";
    assert_eq!(h.ask("PUT", "/v1/tenants/new", "secret-1", "", "{}").await.status, 403, "not a tenant's");
    let made = h.ask("PUT", "/v1/tenants/new", op, "", r#"{"orders_rate":"100/s"}"#).await;
    assert_eq!((made.status, made.json["id"].as_u64()), (200, Some(3)), "{}", made.json);
    assert_eq!(h.ask("PUT", "/v1/tenants/new", op, "", r#"{"hours":"noon"}"#).await.status, 400);
    assert_eq!(h.ask("PUT", "/v1/tenants/acme", op, "", "{}").await.status, 409, "the file's");
    let key = h.ask("PUT", "/v1/tenants/new/keys/all", op, "", "").await;
    let key = key.json["key"].as_str().unwrap().to_owned();
    let reader = h.ask("PUT", "/v1/tenants/new/keys/reader", op, "", r#"{"scopes":["read"]}"#).await;
    let reader = reader.json["key"].as_str().unwrap().to_owned();
    let far = h.ask("PUT", "/v1/tenants/new/keys/far", op, "", r#"{"networks":["192.0.2.0/24"]}"#).await;
    let far = far.json["key"].as_str().unwrap().to_owned();
    let order = |k: String, id: &'static str| {
        let h = &h;
        async move { h.ask("POST", "/v1/calls", &k, &format!("Idempotency-Key: {id}\r\n"), GOOD).await.status }
    };
    assert_eq!(order(key.clone(), "a").await, 202);
    assert_eq!(order(reader.clone(), "b").await, 403);
    assert_eq!(h.ask("GET", "/v1/calls", &reader, "", "").await.status, 200);
    assert_eq!(h.ask("POST", "/v1/calls:dryrun", &reader, "", GOOD).await.status, 200);
    assert_eq!(order(far, "c").await, 401, "from another network");
    assert_eq!(h.ask("GET", "/v1/tenants", &key, "", "").await.json["tenants"].as_array().unwrap().len(), 1);
    assert_eq!(h.ask("DELETE", "/v1/tenants/new/keys/all", op, "", "").await.status, 204);
    assert_eq!(order(key, "d").await, 401);
    let mut last = 0;
    h.ask("PUT", "/v1/tenants/new", op, "", r#"{"requests_rate":"1/m"}"#).await;
    for _ in 0..3 {
        last = h.ask("GET", "/v1/calls", &reader, "", "").await.status;
    }
    assert_eq!(last, 429, "faster than agreed");
}

#[tokio::test]
async fn customers_and_stored_policies_tighten() {
    let h = house().await;
    let put = h
        .ask(
            "PUT",
            "/v1/customers/+12125551234",
            "secret-1",
            "",
            r#"{"zone":"Asia/Tokyo","hours":"09:00-10:00"}"#,
        )
        .await;
    assert_eq!(put.status, 200, "{}", put.json);
    let dry =
        h.ask("POST", "/v1/calls:dryrun", "secret-1", "", &GOOD.replace("}", r#","expires":"+3d"}"#)).await;
    assert_eq!(
        dry.json["decisions"][0]["verdict"]["verdict"]
            .as_str()
            .or(dry.json["decisions"][0]["verdict"].as_str()),
        Some("defer"),
        "{}",
        dry.json
    );
    let csv = "number,opt_out,consents\r\n+12125551234,yes,express_written\r\n12,,\r\n";
    let up = said(&h.raw("PUT", "/v1/customers", "secret-1", "Content-Type: text/csv\r\n", csv).await);
    assert_eq!((up.json["entered"].as_u64(), up.json["refused"].as_u64()), (Some(1), Some(1)), "{}", up.json);
    assert_eq!(h.order("o", GOOD).await.status, 403, "opted out");
    assert_eq!(h.ask("DELETE", "/v1/suppressions/+12125551234", "secret-1", "", "").await.status, 204);
    let unknown = h.order("p", &GOOD.replace("}", r#","policy":"night"}"#)).await;
    assert_eq!((unknown.status, unknown.json["errors"][0]["field"].as_str()), (400, Some("policy")));
    let rules = r#"{"version":"7","rules":[{"id":"none","check":{"deny_prefixes":["+1212"]}}]}"#;
    assert_eq!(h.ask("PUT", "/v1/policies/night", "secret-1", "", rules).await.status, 200);
    let named = h.order("q", &GOOD.replace("}", r#","policy":"night"}"#)).await;
    assert_eq!(named.status, 403, "{}", named.json);
    assert!(named.json["decision"].to_string().contains("tenant/night/none"), "{}", named.json);
    assert_eq!(h.order("r", GOOD).await.status, 202);
    assert_eq!(h.ask("PUT", "/v1/policies/house", "root-of-all", "", rules).await.status, 200);
    assert_eq!(h.order("s", GOOD).await.status, 403, "the operator's hold for everybody");
}

#[tokio::test]
async fn a_series_is_a_campaign_of_its_occurrences() {
    let h = house().await;
    let body = GOOD.replace("}", r#","repeat":"FREQ=DAILY;COUNT=3;BYHOUR=9;BYMINUTE=0"}"#);
    let made = h.order("series-1", &body).await;
    assert_eq!((made.status, made.json["calls"].as_array().map(Vec::len)), (202, Some(3)), "{}", made.json);
    let again = h.order("series-1", &body).await;
    assert_eq!(again.json["id"], made.json["id"], "a repeat is the same series");
    let campaign = made.json["campaign"].as_str().unwrap();
    let last = made.json["calls"][2]["status_url"].as_str().unwrap();
    assert_eq!(h.ask("GET", last, "secret-1", "", "").await.json["campaign"], made.json["campaign"]);
    let ahead = h
        .ask(
            "POST",
            &format!("/v1/campaigns/{campaign}:forecast"),
            "secret-1",
            "",
            r#"{"answered_permille":1000,"busy_permille":0}"#,
        )
        .await;
    assert_eq!((ahead.status, ahead.json["completed"].as_u64()), (200, Some(3)), "{}", ahead.json);
    assert!(ahead.json["duration_s"].as_u64().unwrap() >= 2 * 86_400 - 3_600, "{}", ahead.json);
    assert_eq!(
        h.ask("POST", &format!("/v1/campaigns/{campaign}:abort"), "secret-1", "", "").await.status,
        200
    );
    let bad = h.order("series-2", &GOOD.replace("}", r#","repeat":"FREQ=DAILY"}"#)).await;
    assert_eq!((bad.status, bad.json["errors"][0]["field"].as_str()), (400, Some("repeat")));
}

#[tokio::test]
async fn a_list_that_came_with_a_mail_is_whom_to_call() {
    let h = house().await;
    let mail = |rows: &str, id: &str| {
        format!(
            "{ENVELOPE}From: ops@acme.example\r\nMessage-ID: <{id}@acme.example>\r\nCall-Purpose: debt\r\nCall-Application: https://a.example/\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/csv\r\nContent-ID: <list@1>\r\n\r\n{rows}\r\n--b--\r\n.\r\nQUIT\r\n"
        )
    };
    let said = h
        .mail(&mail("to,tz,param.name\r\n+12125551234,America/New_York,Ann\r\n+12125551235,,Bob", "l1"))
        .await;
    assert!(said.contains("250 2.0.0 call_"), "{said}");
    let calls = h.ask("GET", "/v1/calls", "secret-1", "", "").await;
    assert_eq!(calls.json["calls"].as_array().map(Vec::len), Some(2), "{}", calls.json);
    let bad = h.mail(&mail("to,tz\r\n+12125551236,\r\n\"x", "l2")).await;
    assert!(bad.contains("554 5.6.0 row 2"), "{bad}");
    assert_eq!(
        h.ask("GET", "/v1/calls", "secret-1", "", "").await.json["calls"].as_array().map(Vec::len),
        Some(2)
    );
}
