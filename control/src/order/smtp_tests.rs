//! Tests of `smtp`: conversations, smuggling, chunking, hostile input.

use super::*;
use units::Seed;

fn directory() -> Arc<Directory> {
    Arc::new(Directory {
        hostname: "d.example".into(),
        domains: vec!["d.example".into()],
        tenants: vec![("acme".into(), TenantId(1))],
        auth_in_clear: true,
        ..Directory::default()
    })
}

struct Peer {
    session: Session,
    said: String,
    mails: Vec<(Envelope, Vec<u8>)>,
    closed: bool,
}

impl Peer {
    fn new(role: Role) -> Self {
        let session = Session::new(role, directory(), MailLimits::default(), true);
        let mut peer = Self { session, said: String::new(), mails: Vec::new(), closed: false };
        peer.drain();
        peer
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Send(b) => self.said.push_str(&String::from_utf8(b).unwrap()),
                Output::Mail(e, text) => {
                    let n = e.rcpts.len();
                    self.mails.push((*e, text));
                    self.session.settled(&vec![Reply::new(250, "2.0.0", "call_1"); n]);
                }
                Output::Authenticate { user, password } => {
                    let good = user.expose() == "acme" && password.expose() == "key";
                    self.session.authenticated(good.then_some(TenantId(1)));
                }
                Output::StartTls => self.session.encrypted(),
                Output::Close => self.closed = true,
            }
        }
    }

    fn send(&mut self, octets: &[u8]) -> &mut Self {
        self.session.receive(octets);
        self.drain();
        self
    }

    fn codes(&self) -> Vec<&str> {
        self.said.lines().filter(|l| l.as_bytes().get(3) == Some(&b' ')).map(|l| &l[..3]).collect()
    }
}

const ENVELOPE: &[u8] = b"EHLO a\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<call+acme@d.example>\r\n";

#[test]
fn rfc2920_a_pipelined_conversation() {
    let mut p = Peer::new(Role::Smtp);
    p.send(ENVELOPE).send(b"DATA\r\nA: b\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
    assert_eq!(p.codes(), ["220", "250", "250", "250", "354", "250", "221"]);
    assert_eq!(p.mails[0].1, b"A: b\r\n\r\n.dot\r\n");
    assert_eq!(p.mails[0].0.from.expose(), "x@y.example");
    assert!(p.closed);
    for word in ["PIPELINING", "8BITMIME", "SIZE ", "ENHANCEDSTATUSCODES", "SMTPUTF8", "CHUNKING", "STARTTLS"]
    {
        assert!(p.said.contains(word), "{word}");
    }
}

#[test]
fn the_same_conversation_octet_by_octet() {
    let mut p = Peer::new(Role::Smtp);
    for b in [ENVELOPE, b"DATA\r\nA: b\r\n\r\n..dot\r\n.\r\nQUIT\r\n"].concat() {
        p.send(&[b]);
    }
    assert_eq!(p.codes(), ["220", "250", "250", "250", "354", "250", "221"]);
    assert_eq!(p.mails[0].1, b"A: b\r\n\r\n.dot\r\n");
}

#[test]
fn rfc2033_each_recipient_has_its_reply() {
    let mut p = Peer::new(Role::Lmtp);
    p.send(b"EHLO a\r\nLHLO a\r\nMAIL FROM:<x@y>\r\nRCPT TO:<call+acme@d.example>\r\n");
    p.send(b"RCPT TO:<dryrun+acme@d.example>\r\nRCPT TO:<nobody@d.example>\r\nDATA\r\n.\r\n");
    assert_eq!(p.codes(), ["220", "502", "250", "250", "250", "250", "550", "354", "250", "250"]);
}

#[test]
fn order_of_commands_by_table() {
    let cases: &[(&[u8], &[&str])] = &[
        (b"MAIL FROM:<x@y>\r\n", &["503"]),
        (b"EHLO a\r\nRCPT TO:<call+acme@d.example>\r\n", &["250", "503"]),
        (b"EHLO a\r\nDATA\r\n", &["250", "503"]),
        (b"EHLO a\r\nMAIL FROM:<x@y>\r\nDATA\r\n", &["250", "250", "554"]),
        (b"EHLO a\r\nMAIL FROM:<x@y>\r\nMAIL FROM:<x@y>\r\n", &["250", "250", "503"]),
        (b"EHLO a\r\nMAIL FROM:<x@y> SIZE=99999999999\r\n", &["250", "552"]),
        (b"EHLO a\r\nMAIL FROM:<x@y> BODY=BINARYMIME\r\n", &["250", "501"]),
        (b"EHLO a\r\nMAIL FROM:<x@y> BODY=8BITMIME SIZE=100\r\n", &["250", "250"]),
        ("EHLO a\r\nMAIL FROM:<ü@y>\r\n".as_bytes(), &["250", "553"]),
        ("EHLO a\r\nMAIL FROM:<ü@y> SMTPUTF8\r\n".as_bytes(), &["250", "250"]),
        (b"EHLO a\r\nMAIL FROM:<>\r\nRSET\r\nNOOP\r\nVRFY x\r\n", &["250", "250", "250", "250", "252"]),
        (b"WHAT\r\nEXPN x\r\nETRN x\r\n", &["500", "502", "502"]),
        (b"HELO a\r\nMAIL FROM:<x@y>\r\n", &["250", "250"]),
        (b"LHLO a\r\n", &["502"]),
        (b"EHLO a\r\nAUTH PLAIN AGFjbWUAa2V5\r\nAUTH PLAIN AGFjbWUAa2V5\r\n", &["250", "235", "503"]),
        (b"EHLO a\r\nAUTH PLAIN\r\nAGFjbWUAa2V5\r\n", &["250", "334", "235"]),
        (b"EHLO a\r\nAUTH PLAIN AGFjbWUAbm8=\r\n", &["250", "535"]),
        (b"EHLO a\r\nAUTH LOGIN\r\n", &["250", "504"]),
        (b"EHLO a\r\nAUTH PLAIN !!!\r\n", &["250", "501"]),
        (b"EHLO a\r\nSTARTTLS\r\nMAIL FROM:<x@y>\r\n", &["250", "503", "503"]),
    ];
    for (said, expected) in cases {
        let mut p = Peer::new(Role::Smtp);
        p.send(said);
        let codes = p.codes()[1..].to_vec();
        // What follows STARTTLS in the clear ends the session.
        let expected = if said.windows(8).any(|w| w == b"STARTTLS") { &expected[..2] } else { expected };
        assert_eq!(codes, expected, "{}", String::from_utf8_lossy(said));
    }
}

#[test]
fn rfc3207_4_2_tls_forgets_what_was_before() {
    let mut p = Peer::new(Role::Smtp);
    p.send(b"EHLO a\r\n").send(b"STARTTLS\r\n").send(b"MAIL FROM:<x@y>\r\n").send(b"EHLO a\r\n");
    assert_eq!(p.codes(), ["220", "250", "220", "503", "250"]);
    assert_eq!(p.said.matches("STARTTLS").count(), 1, "not offered again");
}

#[test]
fn rfc3030_chunks() {
    let mut p = Peer::new(Role::Smtp);
    p.send(ENVELOPE).send(b"BDAT 6\r\nA: b\r\nBDAT 5 LAST\r\n\r\n.\r\nQUIT\r\n");
    assert_eq!(p.codes(), ["220", "250", "250", "250", "250", "250", "221"]);
    assert_eq!(p.mails[0].1, b"A: b\r\n\r\n.\r\n");
    let mut p = Peer::new(Role::Smtp);
    p.send(b"EHLO a\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n");
    assert_eq!(p.codes(), ["220", "250", "554", "250"], "a chunk without a mail is read and thrown away");
    let mut p = Peer::new(Role::Smtp);
    p.send(ENVELOPE).send(b"BDAT 1\r\nxDATA\r\n");
    assert_eq!(p.codes()[4..], ["250", "503"]);
    let mut p = Peer::new(Role::Smtp);
    p.send(ENVELOPE).send(b"BDAT 3 LAST\r\na\nb");
    assert!(p.closed && p.mails.is_empty());
}

#[test]
fn no_smuggling_form_gets_in() {
    // Every way in which the end of one mail has been hidden inside another: never two mails, and none at all with a
    // bare CR or LF inside.
    let ends = [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\r\n",
        "\n.\r",
        "\r.\n",
        "\r\r\n.\r\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\n\n.\r\n",
        "\r\n.\r\r\n",
        "\r\n..\r\n",
        "\r\n. \r\n",
        "\u{b}.\r\n",
        "\u{85}.\r\n",
        "\u{2028}.\r\n",
        "\n\r.\n\r",
        "\r\r.\r\n",
    ];
    assert_eq!(ends.len(), 20);
    for end in ends {
        for whole in [true, false] {
            let mut p = Peer::new(Role::Smtp);
            p.send(ENVELOPE).send(b"DATA\r\n");
            let inner =
                "MAIL FROM:<evil@y>\r\nRCPT TO:<call+acme@d.example>\r\nDATA\r\nSubject: evil\r\n\r\nx";
            let text = format!("Subject: a\r\n\r\nx{end}{inner}\r\n.\r\n");
            if whole {
                p.send(text.as_bytes());
            } else {
                for b in text.bytes() {
                    p.send(&[b]);
                }
            }
            assert!(p.mails.len() <= 1, "{end:?}: two mails");
            let evil = |m: &(Envelope, Vec<u8>)| m.0.from.expose().contains("evil");
            assert!(!p.mails.iter().any(evil), "{end:?}: the inner mail got in");
            if has_bare(text.as_bytes()) {
                assert!(p.mails.is_empty() && p.closed, "{end:?}: a bare CR or LF got in");
            }
        }
    }
}

#[test]
fn commands_end_with_crlf_only() {
    for bad in [&b"NOOP\n"[..], b"NOOP\r\r\n", b"NO\rOP\r\n", b"NOOP\0\r\n"] {
        let mut p = Peer::new(Role::Smtp);
        p.send(bad);
        assert!(p.closed, "{bad:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_in_bounded_memory() {
    let limits = MailLimits { message_bytes_max: 1_000, ..MailLimits::default() };
    let mut s = Session::new(Role::Smtp, directory(), limits, false);
    s.receive(ENVELOPE);
    s.receive(b"DATA\r\n");
    for _ in 0..2_000 {
        s.receive(&[b'x'; 4_096]);
        assert!(s.buffer.len() < 80 << 10);
        if let State::Data { text, .. } = &s.state {
            assert!(text.bytes.len() < 80 << 10);
        }
    }
    s.receive(b"\r\n.\r\nNOOP\r\n");
    let said: Vec<u8> = std::iter::from_fn(|| s.poll())
        .filter_map(|o| if let Output::Send(b) = o { Some(b) } else { None })
        .flatten()
        .collect();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("552 5.3.4") && said.ends_with("250 2.0.0 OK\r\n"), "{said}");
    let mut p = Peer::new(Role::Smtp);
    p.send(&[b'x'; 5_000]);
    assert!(p.closed);
}

#[test]
fn a_peer_that_only_errs_is_shown_out() {
    let mut p = Peer::new(Role::Smtp);
    for _ in 0..20 {
        p.send(b"FOO\r\n");
    }
    assert!(p.closed && p.said.contains("421 4.7.0"));
}

#[test]
fn mutated_conversations_never_panic() {
    // Smoke fuzz: seeded mutations of good conversations, fed in pieces.
    let good = [
        ENVELOPE,
        b"DATA\r\nA: b\r\n\r\nx\r\n.\r\nRSET\r\nBDAT 3\r\nabcAUTH PLAIN\r\nx\r\nSTARTTLS\r\nQUIT\r\n",
    ]
    .concat();
    let mut rng = Seed(6).rng();
    for _ in 0..3_000 {
        let mut text = good.clone();
        for _ in 0..=rng.below(6) {
            let at = usize::try_from(rng.below(text.len() as u64)).unwrap();
            match rng.below(4) {
                0 => text[at] = u8::try_from(rng.below(256)).unwrap(),
                1 => text.truncate(at + 1),
                2 => text.insert(at, b"\r\n\0 .:<>"[usize::try_from(rng.below(8)).unwrap()]),
                _ => text.extend_from_within(at..),
            }
        }
        let mut p = Peer::new(if rng.chance(0.5) { Role::Smtp } else { Role::Lmtp });
        for piece in text.chunks(1 + usize::try_from(rng.below(64)).unwrap()) {
            p.send(piece);
        }
        assert!(p.said.starts_with("220 "));
        assert!(p.mails.iter().all(|(_, m)| !has_bare(m)));
    }
}
