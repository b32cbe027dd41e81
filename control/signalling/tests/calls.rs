//! Whole calls between two endpoints over a calm network: what each side is told, and that nothing is left.

mod net;

use net::{Weather, World, config, media, order};
use signalling::leg::{Action, Indication, Place, Transport};
use units::{Cause, LegId};

#[test]
fn a_call_is_set_up_and_ended_over_udp_and_tcp() {
    for (transport, by) in
        [(Transport::Udp, 0), (Transport::Udp, 1), (Transport::Tcp, 0), (Transport::Tcp, 1)]
    {
        let mut w = World::new(1, Weather::default(), transport);
        w.place(7);
        w.run(50);
        let b = w.incoming(1);
        w.act(1, b, Action::Ring { media: None });
        w.run(50);
        w.act(1, b, Action::Accept { media: media(6000) });
        w.run(50);
        let legs = [LegId(7), b];
        w.act(by, legs[by], Action::Clear(Cause::NORMAL));
        w.run(50);
        let (ends, other) =
            if by == 0 { ("ended 16", "ended 16 peer") } else { ("ended 16 peer", "ended 16") };
        assert_eq!(w.heard(0), ["trying", "180", "answered", "ackdue", ends], "{transport:?}");
        assert_eq!(w.heard(1), ["incoming", "answered", other], "{transport:?}");
        w.assert_empty();
    }
}

#[test]
fn early_media_and_the_agreed_codec_reach_both_sides() {
    let mut w = World::calm();
    w.place(7);
    w.run(50);
    let b = w.incoming(1);
    w.act(1, b, Action::Ring { media: Some(media(6000)) });
    w.run(50);
    assert_eq!(w.heard(0), ["trying", "183+media"]);
    w.act(1, b, Action::Accept { media: media(6000) });
    w.run(50);
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    w.assert_empty();
    assert_eq!(w.heard(1), ["incoming", "183+media", "answered", "ended 16 peer"]);
}

#[test]
fn refusals_name_their_cause() {
    for (cause, status) in [(Cause::BUSY, 486), (Cause::REJECTED, 603), (Cause::UNALLOCATED, 404)] {
        let mut w = World::calm();
        w.place(7);
        w.run(50);
        let b = w.incoming(1);
        w.act(1, b, Action::Reject { cause, retry_after_s: None });
        w.run(50);
        let Some((_, Indication::Ended(ended))) = w.sides[0].told.last() else { panic!("{:?}", w.heard(0)) };
        assert_eq!((ended.cause, ended.status, ended.by_peer), (cause, Some(status), true));
        w.assert_empty();
    }
}

#[test]
fn rfc3261_9_a_call_is_cancelled_while_it_rings() {
    let mut w = World::calm();
    w.place(7);
    w.run(50);
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    w.run(50);
    assert_eq!(w.heard(0), ["trying", "ended 16"]);
    assert_eq!(w.heard(1), ["incoming", "ended 16 peer"]);
    w.assert_empty();
}

#[test]
fn rfc3261_9_1_a_cancel_waits_for_a_provisional_and_may_lose_the_race() {
    // Goal: a 2xx that crosses the CANCEL is acknowledged and ended by BYE. Method: accept and clear at one instant.
    let mut w = World::calm();
    w.place(7);
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    assert_eq!(w.lines(0).len(), 1, "no CANCEL before a provisional");
    let mut w = World::calm();
    w.place(7);
    w.run(50);
    let b = w.incoming(1);
    w.act(1, b, Action::Accept { media: media(6000) });
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    w.run(100);
    assert_eq!(w.heard(0), ["trying", "ackdue", "ended 16"]);
    assert_eq!(w.heard(1), ["incoming", "answered", "ended 16 peer"]);
    w.assert_empty();
}

#[test]
fn ringing_too_long_is_no_answer() {
    let mut w = World::calm();
    let place = Place { ring_max_ms: 5_000, ..order(7) };
    w.act(0, LegId(7), Action::Place(Box::new(place)));
    w.run(50);
    let b = w.incoming(1);
    w.act(1, b, Action::Ring { media: None });
    w.run(10_000);
    assert_eq!(w.heard(0), ["trying", "180", "ended 19"]);
    w.assert_empty();
}

#[test]
fn a_silent_trunk_is_the_networks_fault() {
    let mut w = World::new(1, Weather { loss: 1.0, ..Weather::default() }, Transport::Udp);
    w.place(7);
    w.run(33_000);
    assert_eq!(w.heard(0), ["ended 38"]);
    w.assert_empty();
}

#[test]
fn the_ack_waits_for_the_journal() {
    let mut w = World::calm();
    w.sides[0].journals = false;
    w.place(7);
    w.run(50);
    let b = w.incoming(1);
    w.act(1, b, Action::Accept { media: media(6000) });
    w.run(3_000);
    assert!(!w.lines(0).iter().any(|l| l.starts_with("ACK")), "{:?}", w.lines(0));
    w.journal(0, LegId(7));
    w.run(100);
    assert!(w.lines(0).iter().any(|l| l.starts_with("ACK")));
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    w.assert_empty();
}

#[test]
fn the_same_attempt_writes_the_same_invite_and_a_call_not_acked_is_one_call() {
    // Goal: a restart within 64*T1 resumes the call. Method: a second endpoint with the same configuration and another
    // seed repeats the INVITE while the first call rings.
    let mut w = World::calm();
    w.place(7);
    w.run(50);
    let again = World::with(99, Weather::default(), Transport::Udp, [config(0), config(1)]);
    w.sides[0].endpoint = again.sides.into_iter().next().expect("two sides").endpoint;
    w.run(5_000);
    w.place(7);
    w.run(50);
    let invites: Vec<_> = w.sides[0].sent.iter().filter(|b| b.starts_with(b"INVITE")).collect();
    assert_eq!(invites.len(), 2);
    assert_eq!(invites[0], invites[1]);
    assert_eq!(w.heard(1), ["incoming"], "one call at the far end");
    let b = w.incoming(1);
    w.act(1, b, Action::Accept { media: media(6000) });
    w.run(100);
    assert_eq!(w.heard(0), ["trying", "trying", "answered", "ackdue"]);
    w.act(1, b, Action::Clear(Cause::NORMAL));
    w.assert_empty();
}
