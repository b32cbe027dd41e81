//! What a carrier's side meets: registrations, requests too long for UDP, and answers to a server that has died.

mod net;

use net::{World, addr, config, media, order};
use signalling::leg::{Action, Credentials, Place, Transport};
use signalling::sip::endpoint::{Endpoint, FlowId, Input, Output};
use signalling::sip::register::Registration;
use std::net::SocketAddr;
use std::time::Duration;
use units::{LegId, Mono, Now, Private, Seed};

/// An endpoint alone, with its clock.
struct Alone {
    endpoint: Endpoint,
    now: Now,
}

impl Alone {
    fn new() -> Self {
        let now = Now { mono: Mono::from_ms(1_000), ..Now::default() };
        Self { endpoint: Endpoint::new(config(0), Seed(1)), now }
    }

    fn told(&mut self, input: Input<'_>) -> Vec<Output> {
        self.endpoint.handle(self.now, input).expect("it fits");
        std::iter::from_fn(|| self.endpoint.poll()).collect()
    }

    /// Lets time pass up to the deadline, if it comes within so many seconds.
    fn wait(&mut self, s: u64) -> Vec<Output> {
        let end = self.now.mono + Duration::from_secs(s);
        let mut out = Vec::new();
        while let Some((at, _)) = self.endpoint.deadline().filter(|(at, _)| *at <= end) {
            self.now.mono = self.now.mono.max(at);
            out.extend(self.told(Input::Timer));
        }
        self.now.mono = end;
        out
    }

    fn answer(&mut self, text: &str) -> Vec<Output> {
        let (flow, transport, from) = (FlowId(0), Transport::Udp, addr(1));
        self.told(Input::Received { flow, transport, from, bytes: text.as_bytes() })
    }
}

fn sent(out: &[Output]) -> Vec<(Transport, SocketAddr, String)> {
    let one = |o: &Output| match o {
        Output::Transmit { transport, to, bytes, .. } => {
            Some((*transport, *to, String::from_utf8_lossy(bytes).into_owned()))
        }
        _ => None,
    };
    out.iter().filter_map(one).collect()
}

fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// A response to a request, with further lines.
fn response(request: &str, status: &str, more: &str) -> String {
    let kept: String = ["Via", "From", "To", "Call-ID", "CSeq"]
        .iter()
        .map(|name| format!("{name}: {}\r\n", field(request, name)))
        .collect();
    format!("SIP/2.0 {status}\r\n{kept}{more}Content-Length: 0\r\n\r\n")
}

fn registration() -> Registration {
    let text = |t: &str| Private::new(t.to_owned());
    Registration {
        name: "carrier".into(),
        aor: text("sip:alice@carrier.test"),
        user: text("alice"),
        domain: "carrier.test".into(),
        transport: Transport::Udp,
        to: addr(1),
        credentials: Some(Credentials { user: text("alice"), password: text("secret"), realm: None }),
        expires_s: 600,
    }
}

fn peers(registrations: Vec<Registration>) -> Input<'static> {
    Input::Peers { peers: config(0).peers, probes: Vec::new(), registrations }
}

/// RFC 3261 §10.2 with the digest of RFC 8760: challenge, binding, refresh at half time, removal.
#[test]
fn rfc3261_10_2_a_registration_is_made_kept_and_taken_away() {
    let mut one = Alone::new();
    let first = sent(&one.told(peers(vec![registration()]))).remove(0).2;
    assert!(first.starts_with("REGISTER sip:carrier.test SIP/2.0\r\n"), "{first}");
    assert_eq!((field(&first, "CSeq"), field(&first, "Expires")), ("1 REGISTER", "600"));
    let challenge =
        "WWW-Authenticate: Digest realm=\"carrier.test\", nonce=\"n1\", qop=\"auth\", algorithm=SHA-256\r\n";
    let second = sent(&one.answer(&response(&first, "401 Unauthorized", challenge))).remove(0).2;
    assert_eq!(field(&second, "Call-ID"), field(&first, "Call-ID"), "RFC 3261 §10.2.4");
    assert_eq!(field(&second, "CSeq"), "2 REGISTER");
    let proof = field(&second, "Authorization");
    assert!(proof.contains("username=\"alice\"") && proof.contains("algorithm=SHA-256"), "{proof}");
    let bound = format!(
        "Contact: <sip:bob@192.0.2.9>;expires=9\r\nContact: {};expires=120\r\n",
        field(&second, "Contact")
    );
    let out = one.answer(&response(&second, "200 OK", &bound));
    assert!(matches!(&out[..], [Output::Registered { name, registered: true, .. }] if name == "carrier"));
    assert!(sent(&one.wait(59)).is_empty(), "nothing to do yet");
    let refresh = sent(&one.wait(2)).remove(0).2;
    assert_eq!(field(&refresh, "CSeq"), "3 REGISTER");
    one.answer(&response(&refresh, "200 OK", &bound));
    assert!(sent(&one.told(peers(vec![registration()]))).is_empty(), "a reload changes nothing");
    let last = sent(&one.told(peers(Vec::new()))).remove(0).2;
    assert_eq!(field(&last, "Expires"), "0");
    one.answer(&response(&last, "200 OK", ""));
    assert!(sent(&one.wait(4_000)).is_empty(), "nobody is bothered any more");
}

#[test]
fn a_registrar_that_is_silent_is_told_and_asked_again_later() {
    let mut one = Alone::new();
    one.told(peers(vec![registration()]));
    let out = one.wait(33);
    assert!(out.iter().any(|o| matches!(o, Output::Registered { registered: false, status: None, .. })));
    assert!(!sent(&one.wait(31)).is_empty(), "RFC 5626 §4.5: within half a minute");
}

/// RFC 3261 §18.1.1: more than 1,300 octets go by TCP, and by UDP after all if there is no TCP.
#[test]
fn rfc3261_18_1_1_a_long_request_goes_by_tcp_and_falls_back_to_udp() {
    let mut one = Alone::new();
    let long = |n: u128| {
        let headers = vec![("X-Long".to_owned(), "a".repeat(1_200))];
        Input::Leg(
            LegId(u64::try_from(n).expect("small")),
            Action::Place(Box::new(Place { headers, ..order(n) })),
        )
    };
    let (transport, to, text) = sent(&one.told(long(7))).remove(0);
    assert!(text.len() > 1_300 && transport == Transport::Tcp);
    assert!(field(&text, "Via").starts_with("SIP/2.0/TCP 192.0.2.1:5060;branch="), "{text}");
    let again = sent(&one.told(Input::Unreachable { transport, to }));
    let (transport, _, fallen) = &again[0];
    assert_eq!((again.len(), *transport), (1, Transport::Udp));
    assert_eq!(field(fallen, "Via").replace("/UDP", "/TCP"), field(&text, "Via"));
    let (transport, _, _) = sent(&one.told(long(8))).remove(0);
    assert_eq!(transport, Transport::Udp, "this peer has no TCP: it is not asked for twice");
    let short = Input::Leg(LegId(9), Action::Place(Box::new(order(9))));
    assert_eq!(sent(&one.told(short)).remove(0).0, Transport::Udp);
}

/// Goal: nobody is left in silence by a crash while it rings. Method: the caller's endpoint is replaced by one that knows
/// nothing but the secret; then the callee answers.
#[test]
fn who_answers_a_server_that_has_died_is_let_go() {
    let mut w = World::calm();
    w.place(7);
    w.run(50);
    let b = w.incoming(1);
    w.act(1, b, Action::Ring { media: None });
    w.run(50);
    w.sides[0].endpoint = Endpoint::new(config(0), Seed(99));
    w.sides[0].sent.clear();
    w.act(1, b, Action::Accept { media: media(6000) });
    w.run(100);
    let lines = w.lines(0);
    let count = |method: &str| lines.iter().filter(|l| l.starts_with(method)).count();
    assert!(count("ACK ") >= 1 && count("BYE ") == 1, "{lines:?}");
    assert_eq!(w.heard(1).last().map(String::as_str), Some("ended 41 peer"));
    w.assert_empty();
}

#[test]
fn an_answer_that_is_not_to_us_is_nobodys() {
    let mut one = Alone::new();
    let forged = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKnot-ours\r\n\
                  From: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:b@192.0.2.2>;tag=2\r\nCall-ID: 0.x@carillon\r\n\
                  CSeq: 1 INVITE\r\nContact: <sip:b@203.0.113.9>\r\nContent-Length: 0\r\n\r\n";
    assert!(sent(&one.answer(forged)).is_empty());
    assert_eq!(one.endpoint.counters().stray_responses, 1);
}
