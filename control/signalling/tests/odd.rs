//! What a strange far end does: forks, repeats itself, merges, challenges where it should not. Method: its messages are
//! written by hand from the request that went out.

mod net;

use net::{World, config, media, order};
use signalling::leg::{Action, Credentials, Indication, Place, Transport};
use signalling::sdp::Control;
use units::{Cause, LegId, Private};

/// The last request of side 0 that begins with this method.
fn last(w: &World, method: &str) -> String {
    let found = w.sides[0].sent.iter().rev().find(|b| b.starts_with(method.as_bytes()));
    String::from_utf8(found.unwrap_or_else(|| panic!("{method} was sent: {:?}", w.lines(0))).clone())
        .expect("text")
}

fn field<'a>(message: &'a str, name: &str) -> &'a str {
    message.split("\r\n").find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).expect("the field is there")
}

/// A response to a request of ours.
fn response(request: &str, status: &str, tag: &str, more: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let to = field(request, "To");
    let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag={tag}") };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:{tag}@192.0.2.2>\r\n{more}{kind}Content-Length: {}\r\n\r\n{body}",
        field(request, "Via"),
        field(request, "From"),
        field(request, "Call-ID"),
        field(request, "CSeq"),
        body.len()
    )
}

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 7000 RTP/AVP 0\r\n";

/// Side 0 calls; side 1 is dead, we speak for it.
fn calling(place: Place) -> (World, String) {
    let mut w = World::with(
        1,
        net::Weather { loss: 1.0, ..Default::default() },
        Transport::Udp,
        [config(0), config(1)],
    );
    w.act(0, LegId(7), Action::Place(Box::new(place)));
    let invite = last(&w, "INVITE");
    (w, invite)
}

fn inject(w: &mut World, message: &str) {
    w.inject(0, message.as_bytes());
}

#[test]
fn rfc3261_13_2_2_4_of_two_forks_that_answer_the_second_is_acked_and_ended() {
    let (mut w, invite) = calling(order(7));
    for tag in ["one", "two"] {
        inject(&mut w, &response(&invite, "180 Ringing", tag, "", ""));
    }
    assert_eq!(w.sides[0].endpoint.live().dialogs, 2);
    inject(&mut w, &response(&invite, "200 OK", "one", "", SDP));
    inject(&mut w, &response(&invite, "200 OK", "two", "", SDP));
    let acks: Vec<_> = w.lines(0).into_iter().filter(|l| l.starts_with("ACK")).collect();
    assert_eq!(acks, ["ACK sip:one@192.0.2.2 SIP/2.0", "ACK sip:two@192.0.2.2 SIP/2.0"]);
    assert!(last(&w, "BYE").starts_with("BYE sip:two@192.0.2.2 SIP/2.0"));
    assert_eq!(w.heard(0), ["180", "180", "answered", "ackdue"]);
    // The same 2xx again is acknowledged again, and told to nobody.
    inject(&mut w, &response(&invite, "200 OK", "one", "", SDP));
    assert_eq!(w.lines(0).iter().filter(|l| l.starts_with("ACK")).count(), 3);
    assert_eq!(w.heard(0).len(), 4);
}

#[test]
fn rfc3261_12_requests_follow_the_route_that_was_recorded() {
    let (mut w, invite) = calling(order(7));
    let routes = "Record-Route: <sip:192.0.2.8;lr>\r\nRecord-Route: <sip:192.0.2.9;lr>\r\n";
    inject(&mut w, &response(&invite, "200 OK", "one", routes, SDP));
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    for request in [last(&w, "ACK"), last(&w, "BYE")] {
        let routes: Vec<&str> = request.split("\r\n").filter_map(|l| l.strip_prefix("Route: ")).collect();
        assert_eq!(routes, ["<sip:192.0.2.9;lr>", "<sip:192.0.2.8;lr>"]);
    }
}

#[test]
fn a_2xx_without_a_session_is_acked_and_ended() {
    let (mut w, invite) = calling(order(7));
    inject(&mut w, &response(&invite, "200 OK", "one", "", ""));
    assert_eq!(w.heard(0), ["ackdue", "ended 88"]);
    assert!(last(&w, "BYE").contains("Reason: Q.850;cause=88"));
}

#[test]
fn rfc6787_4_2_a_speech_engine_opens_a_channel_or_is_let_go() {
    let engine = Some(Control { resource: "speechrecog", secure: false });
    let (mut w, invite) = calling(Place { engine: engine.clone(), ..order(7) });
    assert!(invite.contains("m=application 9 TCP/MRCPv2 1\r\n"), "{invite}");
    let line = "m=application 32416 TCP/MRCPv2 1\r\na=setup:passive\r\na=channel:32AECB234338@speechrecog\r\na=cmid:1\r\n";
    inject(
        &mut w,
        &response(&invite, "200 OK", "one", "", &SDP.replace("m=audio", &format!("{line}m=audio"))),
    );
    assert_eq!(w.heard(0), ["engine 32AECB234338@speechrecog", "answered", "ackdue"]);
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    assert!(last(&w, "BYE").starts_with("BYE sip:one@192.0.2.2"));
    let (mut w, invite) = calling(Place { engine, ..order(7) });
    inject(&mut w, &response(&invite, "200 OK", "one", "", SDP));
    assert_eq!(w.heard(0), ["ackdue", "ended 88"], "a telephone is no engine");
}

fn with_credentials() -> Place {
    let text = |t: &str| Private::new(t.to_owned());
    let credentials = Credentials { user: text("office"), password: text("s3cret"), realm: None };
    Place { credentials: Some(credentials), ..order(7) }
}

#[test]
fn no_digest_is_given_to_an_unknown_realm_in_a_dialog() {
    let (mut w, invite) = calling(with_credentials());
    inject(&mut w, &response(&invite, "200 OK", "one", "", SDP));
    w.act(0, LegId(7), Action::Reoffer(media(4_002)));
    let reinvite = last(&w, "INVITE");
    let asked = "WWW-Authenticate: Digest realm=\"evil\", nonce=\"n\"\r\n";
    inject(&mut w, &response(&reinvite, "401 Unauthorized", "one", asked, ""));
    assert!(!w.sides[0].sent.iter().any(|b| String::from_utf8_lossy(b).contains("Authorization")));
    assert_eq!(w.heard(0).last().map(String::as_str), Some("reanswered false"));
}

#[test]
fn a_wrong_password_is_not_tried_forever_and_the_ack_repeats_credentials() {
    let asked = "Proxy-Authenticate: Digest realm=\"t\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n";
    let (mut w, invite) = calling(with_credentials());
    inject(&mut w, &response(&invite, "407 Proxy Authentication Required", "x", asked, ""));
    let again = last(&w, "INVITE");
    assert!(field(&again, "Proxy-Authorization").contains("algorithm=SHA-256"));
    assert_eq!(field(&again, "CSeq"), "2 INVITE");
    inject(&mut w, &response(&again, "200 OK", "one", "", SDP));
    assert!(last(&w, "ACK").contains("Proxy-Authorization: Digest"));

    let (mut w, invite) = calling(with_credentials());
    inject(&mut w, &response(&invite, "407 P", "x", asked, ""));
    let again = last(&w, "INVITE");
    inject(&mut w, &response(&again, "407 P", "x", asked, ""));
    assert_eq!(w.heard(0), ["ended 21 peer"]);
}

/// An INVITE to side 1, by hand.
fn invite(branch: &str, more: &str) -> String {
    format!(
        "INVITE sip:+12025550123@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@192.0.2.1>;tag=f\r\nTo: <sip:b@192.0.2.2>\r\nCall-ID: odd\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:a@192.0.2.1>\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn rfc3261_8_2_2_2_a_merged_request_is_a_loop_and_a_repeated_one_is_not() {
    let mut w = World::calm();
    for branch in ["one", "one", "two"] {
        w.inject(1, invite(branch, "").as_bytes());
    }
    assert_eq!(w.heard(1), ["incoming"]);
    let lines = w.lines(1);
    assert_eq!(lines, ["SIP/2.0 100 Trying", "SIP/2.0 100 Trying", "SIP/2.0 482 Loop Detected"]);
}

#[test]
fn rfc3264_5_an_invite_without_an_offer_gets_ours_and_its_answer_comes_in_the_ack() {
    let mut w = World::calm();
    w.inject(1, invite("one", "").as_bytes());
    let b = w.incoming(1);
    w.act(1, b, Action::Accept { media: media(6_000) });
    let ok = String::from_utf8(w.sides[1].sent.last().expect("200").clone()).expect("text");
    assert!(ok.contains("m=audio 6000"), "{ok}");
    let ack = format!(
        "ACK sip:b@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKack\r\nFrom: <sip:a@192.0.2.1>;tag=f\r\n\
         To: {}\r\nCall-ID: odd\r\nCSeq: 1 ACK\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        field(&ok, "To"),
        SDP.len()
    );
    w.inject(1, ack.as_bytes());
    assert_eq!(w.heard(1), ["incoming", "answered"]);
}

#[test]
fn diversion_identity_and_overload_are_read_from_an_invite() {
    let mut w = World::calm();
    let more = "Diversion: <sip:+1202@x>;reason=user-busy\r\nP-Asserted-Identity: <sip:+12025550177@x>\r\n";
    w.inject(1, invite("one;oc", more).as_bytes());
    let Some((_, Indication::Incoming(i))) = w.sides[1].told.first() else { panic!("{:?}", w.heard(1)) };
    assert_eq!((i.redirects[0].reason.as_str(), i.from.expose().as_str()), ("user-busy", "+12025550177"));
    assert!(String::from_utf8_lossy(&w.sides[1].sent[0]).contains(";oc=0;oc-algo=\"loss\""));
}
