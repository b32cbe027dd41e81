//! The norms' own examples of mail authentication, judged by our prover with a name server of the test: RFC 8463 appendix A (one
//! mail signed by RSA and by Ed25519), RFC 7208 appendix A (SPF), and an ARC chain (RFC 8617; the keys of its own example were
//! never published). Goal: how we ask mail-auth, and what we add to its word, fits the norms.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a name server has a socket")]

use node::smtp::{Came, Dkim, Pins, Proof, Prover};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use units::Wall;

/// Name, type (A 1, PTR 12, MX 15, TXT 16), value.
type Record = (String, u16, String);

fn a(name: &str, ip: &str) -> Record {
    (name.into(), 1, ip.into())
}

fn txt(name: &str, text: &str) -> Record {
    (name.into(), 16, text.into())
}

fn mx(name: &str, host: &str) -> Record {
    (name.into(), 15, host.into())
}

fn ptr(ip: &str, host: &str) -> Record {
    let reversed: Vec<&str> = ip.rsplit('.').collect();
    (format!("{}.in-addr.arpa", reversed.join(".")), 12, host.into())
}

/// A name server that knows these records; it ends with the test's process.
fn name_server(records: Vec<Record>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut octets = [0_u8; 1_500];
        while let Ok((n, peer)) = socket.recv_from(&mut octets) {
            if let Some(answer) = answered(&octets[..n], &records) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    addr
}

/// RFC 1035 §4: one question; every record of that name and type.
fn answered(question: &[u8], records: &[Record]) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let (name, kind) = (labels.join("."), u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]));
    let known = records.iter().any(|(n, ..)| *n == name);
    let found: Vec<&Record> = records.iter().filter(|(n, k, _)| *n == name && *k == kind).collect();
    let mut out = question.get(..2)?.to_vec();
    out.extend_from_slice(&[
        0x85,
        if known { 0x80 } else { 0x83 },
        0,
        1,
        0,
        u8::try_from(found.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    out.extend_from_slice(question.get(12..at + 4)?);
    for (_, _, value) in found {
        let data = data(kind, value)?;
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&data);
    }
    Some(out)
}

fn data(kind: u16, value: &str) -> Option<Vec<u8>> {
    let text = |part: &[u8]| [&[u8::try_from(part.len()).unwrap_or(0)][..], part].concat();
    let host = || [value.split('.').flat_map(|l| text(l.as_bytes())).collect(), vec![0]].concat();
    Some(match kind {
        1 => value.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        15 => [vec![0, 10], host()].concat(),
        16 => value.as_bytes().chunks(255).flat_map(text).collect(),
        _ => host(),
    })
}

async fn proof(server: SocketAddr, raw: &str, author: &str, peer: Option<&str>, now_s: i64) -> Proof {
    let came = Came {
        author,
        reverse_path: author,
        helo: author.rsplit_once('@').unwrap().1,
        peer: peer.map(|ip| ip.parse::<IpAddr>().unwrap()),
        host: "mx.dispatch.example",
    };
    Prover::new(Some(server)).prove(raw.as_bytes(), came, &Pins::default(), Wall(now_s * 1_000)).await
}

/// RFC 8463 appendix A.3, with its keys of A.2 (and RFC 6376's body).
const SIGNED: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n \
q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n \
bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n \
Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n\
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n q=dns/txt; s=test; \
t=1528637909; h=from : to : subject :\r\n date : message-id : from : subject : date;\r\n \
bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3\r\n \
DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz\r\n dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=\r\n\
From: Joe SixPack <joe@football.example.com>\r\nTo: Suzie Q <suzie@shopping.example.net>\r\nSubject: Is dinner ready?\r\n\
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\nMessage-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\r\n\
Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
const ED25519: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const RSA: &str = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";
const SIGNED_AT: i64 = 1_528_637_909;
const JOE: &str = "joe@football.example.com";

#[tokio::test]
async fn rfc8463_a_both_keys_prove_the_mail_as_it_stands_for_an_hour() {
    let ed = txt("brisbane._domainkey.football.example.com", ED25519);
    let rsa = txt("test._domainkey.football.example.com", RSA);
    for keys in [vec![ed.clone(), rsa.clone()], vec![ed], vec![rsa]] {
        let server = name_server(keys);
        let check = |raw: String, author: &'static str, later_s: i64| async move {
            proof(server, &raw, author, None, SIGNED_AT + later_s).await.dkim
        };
        assert_eq!(check(SIGNED.into(), JOE, 60).await, Dkim::Proven);
        assert_eq!(check(SIGNED.into(), JOE, 3_601).await, Dkim::Unproven, "an hour is over");
        assert_eq!(
            check(SIGNED.into(), "joe@other.example", 60).await,
            Dkim::Unproven,
            "another domain's author"
        );
        let other = SIGNED.replace("We lost", "We won");
        assert_eq!(check(other, JOE, 60).await, Dkim::Unproven);
        let added = SIGNED.replace("Subject:", "Call-To: +12125550100\r\nSubject:");
        assert_eq!(check(added, JOE, 60).await, Dkim::Unproven, "a field that nobody signed");
    }
}

/// RFC 7208 appendix A's hosts, with one record of example.com.
fn hosts(record: &str) -> Vec<Record> {
    vec![
        txt("example.com", record),
        mx("example.com", "mail-a.example.com"),
        mx("example.com", "mail-b.example.com"),
        a("mail-a.example.com", "192.0.2.129"),
        a("mail-b.example.com", "192.0.2.130"),
        a("amy.example.com", "192.0.2.65"),
        a("bob.example.com", "192.0.2.66"),
        a("www.example.com", "192.0.2.10"),
        a("example.com", "192.0.2.10"),
        a("example.com", "192.0.2.11"),
        mx("example.org", "mail-c.example.org"),
        a("mail-c.example.org", "192.0.2.140"),
        ptr("192.0.2.65", "amy.example.com"),
        ptr("192.0.2.140", "mail-c.example.org"),
        ptr("10.0.0.4", "bob.example.com"),
    ]
}

const PLAIN: &str = "From: a@example.com\r\nDate: Mon, 02 Mar 2026 15:00:00 +0000\r\n\r\nx\r\n";

#[tokio::test]
async fn rfc7208_a_1_simple_examples() {
    for (record, peers) in [
        ("v=spf1 +all", &[("172.168.0.1", "pass")][..]),
        ("v=spf1 a -all", &[("192.0.2.10", "pass"), ("192.0.2.11", "pass"), ("192.0.2.12", "fail")]),
        ("v=spf1 a:example.org -all", &[("192.0.2.10", "fail"), ("192.0.2.140", "fail")]),
        ("v=spf1 mx -all", &[("192.0.2.129", "pass"), ("192.0.2.130", "pass"), ("192.0.2.140", "fail")]),
        ("v=spf1 mx:example.org -all", &[("192.0.2.140", "pass"), ("192.0.2.130", "fail")]),
        (
            "v=spf1 mx mx:example.org -all",
            &[("192.0.2.129", "pass"), ("192.0.2.140", "pass"), ("192.0.2.1", "fail")],
        ),
        (
            "v=spf1 mx/30 mx:example.org/30 -all",
            &[("192.0.2.131", "pass"), ("192.0.2.143", "pass"), ("192.0.2.144", "fail")],
        ),
        ("v=spf1 ptr -all", &[("192.0.2.65", "pass"), ("192.0.2.140", "fail"), ("10.0.0.4", "fail")]),
        ("v=spf1 ip4:192.0.2.128/28 -all", &[("192.0.2.65", "fail"), ("192.0.2.129", "pass")]),
        ("v=spf1 ~all", &[("192.0.2.65", "softfail")]),
        ("v=spf1 ?all", &[("192.0.2.65", "neutral")]),
        ("no record of ours", &[("192.0.2.65", "none")]),
    ] {
        let server = name_server(hosts(record));
        for (peer, expected) in peers {
            let proof = proof(server, PLAIN, "a@example.com", Some(peer), SIGNED_AT).await;
            assert_eq!(proof.spf, *expected, "{record} {peer}");
            assert_eq!(proof.dkim, Dkim::Unproven, "SPF alone never authorises");
        }
    }
}

#[tokio::test]
async fn rfc7208_a_2_and_a_3_other_domains_and_macros() {
    let several = vec![
        txt("example.com", "v=spf1 ip4:192.0.2.128/28 -all"),
        txt("example.net", "v=spf1 ip4:10.0.0.5 -all"),
        txt("example.org", "v=spf1 include:example.com include:example.net -all"),
        txt("la.example.org", "v=spf1 redirect=example.org"),
    ];
    let lists = vec![
        mx("example.com", "mail-a.example.com"),
        a("mail-a.example.com", "192.0.2.129"),
        txt("example.com", "v=spf1 mx include:mobile-users._spf.%{d} include:remote-users._spf.%{d} -all"),
        txt("mobile-users._spf.example.com", "v=spf1 exists:%{l1r+}.%{d}"),
        txt("remote-users._spf.example.com", "v=spf1 exists:%{ir}.%{l1r+}.%{d}"),
        a("mary.mobile-users._spf.example.com", "127.0.0.2"),
        a("15.15.168.192.joel.remote-users._spf.example.com", "127.0.0.2"),
    ];
    let server = name_server(several);
    for (peer, expected) in [("192.0.2.129", "pass"), ("10.0.0.5", "pass"), ("10.0.0.4", "fail")] {
        assert_eq!(
            proof(server, PLAIN, "tom@la.example.org", Some(peer), SIGNED_AT).await.spf,
            expected,
            "{peer}"
        );
    }
    let server = name_server(lists);
    for (author, peer, expected) in [
        ("mary@example.com", "203.0.113.1", "pass"),
        ("fred@example.com", "203.0.113.1", "fail"),
        ("joel@example.com", "192.168.15.15", "pass"),
        ("joel@example.com", "192.168.15.17", "fail"),
    ] {
        assert_eq!(
            proof(server, PLAIN, author, Some(peer), SIGNED_AT).await.spf,
            expected,
            "{author} {peer}"
        );
    }
}

#[tokio::test]
async fn rfc8617_a_chain_is_told_and_raises_nothing() {
    use mail_auth::arc::ArcSealer;
    use mail_auth::common::crypto::Ed25519Key;
    use mail_auth::common::headers::HeaderWriter;
    use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};
    let seed = [9_u8; 32];
    let pkcs8 =
        [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20][..], &seed[..]].concat();
    let public = control::order::proof::public_key(&seed);
    let public: String = {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(public)
    };
    let server = name_server(vec![txt(
        "seal._domainkey.forwarder.example",
        &format!("v=DKIM1; k=ed25519; p={public}"),
    )]);
    let message = AuthenticatedMessage::parse(PLAIN.as_bytes()).unwrap();
    let results = AuthenticationResults::new("mx.forwarder.example");
    let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(&pkcs8).unwrap();
    let sealer =
        ArcSealer::from_key(key).domain("forwarder.example").selector("seal").headers(["From", "Date"]);
    let set = sealer.seal(&message, &results, &ArcOutput::default()).unwrap();
    let sealed = format!("{}{PLAIN}", set.to_header());
    let told = proof(server, &sealed, "a@example.com", None, SIGNED_AT).await;
    assert_eq!((told.arc, told.dkim), ("pass", Dkim::Unproven), "what a forwarder saw raises nothing");
    let broken = sealed.replace("\r\n\r\nx", "\r\n\r\ny");
    let altered = proof(server, &broken, "a@example.com", None, SIGNED_AT).await;
    assert!(matches!(altered.arc, "fail" | "neutral"), "a body that was altered: {}", altered.arc);
    assert_eq!(proof(server, PLAIN, "a@example.com", None, SIGNED_AT).await.arc, "none");
}
