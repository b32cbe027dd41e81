//! Whole calls between two endpoints over a calm network: what each side is told, and that nothing is left.

mod net;

use net::{Weather, World, config, media, order};
use signalling::leg::{Action, Credentials, Indication, Media, Place, Rtp, Srtp, Transport};
use signalling::sip::endpoint::{EndpointConfig, Input, Load, Probe, ServerAuth};
use std::time::Duration;
use units::{Cause, Digit, LegId, Private};

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
        w.act(1, b, Action::Reject { cause, status: None, retry_after_s: None });
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

fn up() -> (World, [LegId; 2]) {
    let mut w = World::calm();
    let legs = w.call(7);
    for side in &mut w.sides {
        side.told.clear();
        side.sent.clear();
    }
    (w, legs)
}

fn held() -> Media {
    let Media::Rtp(mut rtp) = media(4000) else { unreachable!() };
    (rtp.sends, rtp.receives) = (true, false);
    Media::Rtp(rtp)
}

fn finish(mut w: World, leg: LegId) {
    w.act(0, leg, Action::Clear(Cause::NORMAL));
    w.assert_empty();
}

#[test]
fn rfc3264_8_4_hold_and_resume_by_either_side() {
    for side in [0, 1] {
        let (mut w, legs) = up();
        for (offer, sends_back) in [(held(), false), (media(4000), true)] {
            w.act(side, legs[side], Action::Reoffer(offer));
            w.run(50);
            let Some((_, Indication::Offered(Media::Rtp(far)))) = w.sides[1 - side].told.last().cloned()
            else {
                panic!("{:?}", w.heard(1 - side))
            };
            assert_eq!(far.receives, sends_back);
            w.act(1 - side, legs[1 - side], Action::Answer(media(6000)));
            w.run(50);
            let Some((_, Indication::Reanswered(Some(Media::Rtp(far))))) = w.sides[side].told.last() else {
                panic!("{:?}", w.heard(side))
            };
            assert_eq!((far.sends, far.receives), (sends_back, true));
        }
        finish(w, legs[0]);
    }
}

#[test]
fn rfc3261_14_glare_is_resolved_by_491_and_unequal_waits() {
    let (mut w, legs) = up();
    w.act(0, legs[0], Action::Reoffer(held()));
    w.act(1, legs[1], Action::Reoffer(held()));
    let until = w.now.mono.as_ms() + 10_000;
    while w.now.mono.as_ms() < until {
        w.run(10);
        for side in [0, 1] {
            while let Some((id, i)) = w.next(side) {
                if matches!(i, Indication::Offered(_)) {
                    w.act(side, id, Action::Answer(media(6000)));
                }
            }
        }
    }
    assert!(w.lines(0).iter().chain(&w.lines(1)).any(|l| l.contains("491")));
    for side in [0, 1] {
        assert!(w.heard(side).contains(&"reanswered true".to_owned()), "{:?}", w.heard(side));
    }
    finish(w, legs[0]);
}

#[test]
fn an_offer_that_nobody_answers_is_refused_in_time() {
    let (mut w, legs) = up();
    w.act(0, legs[0], Action::Reoffer(held()));
    w.run(30_000);
    assert_eq!(w.heard(0), ["reanswered false"]);
    finish(w, legs[0]);
}

#[test]
fn digits_go_both_ways_by_info() {
    let (mut w, legs) = up();
    for side in [0, 1] {
        w.act(side, legs[side], Action::Info(Digit::try_from('#').expect("a digit")));
        w.run(50);
        let Some((_, Indication::Digit(d))) = w.sides[1 - side].told.last() else { panic!() };
        assert_eq!(d.as_char(), '#');
    }
    finish(w, legs[0]);
}

#[test]
fn rfc3515_a_transfer_is_asked_for_accepted_and_reported() {
    let (mut w, legs) = up();
    let to = Private::new("sip:+12025550188@192.0.2.9".to_owned());
    w.act(0, legs[0], Action::Refer { to: to.clone(), replaces: None });
    w.run(50);
    assert_eq!(w.heard(1), ["referred"]);
    for status in [202, 180, 200] {
        w.act(1, legs[1], Action::ReferResult { status });
        w.run(50);
    }
    assert_eq!(w.heard(0), ["refer 100", "refer 180", "refer 200"]);
    w.act(1, legs[1], Action::Refer { to, replaces: None });
    w.run(50);
    w.act(0, legs[0], Action::ReferResult { status: 603 });
    w.run(50);
    assert_eq!(w.heard(1), ["referred", "refer 603"]);
    finish(w, legs[0]);
}

#[test]
fn rfc3891_a_new_call_takes_the_place_of_another() {
    // Goal: consultation. Method: side 0 asks side 1 to replace leg 8 by a REFER on leg 7, and places what that names.
    let mut w = World::calm();
    let (a, b) = (w.call(7), w.call(8));
    let to = Private::new("sip:+12025550123@192.0.2.2".to_owned());
    w.act(0, a[0], Action::Refer { to, replaces: Some(b[0]) });
    w.run(50);
    let Some((_, Indication::Referred { to })) = w.sides[1].told.last().cloned() else {
        panic!("{:?}", w.heard(1))
    };
    assert!(to.expose().contains("?Replaces="), "the far end is told whom");
    // Side 1 would now call the third party with this URI; here the third party is side 1 itself, whose dialog of leg 8
    // is named from its own end.
    let d = w.sides[1].dialogs[&b[1]].clone();
    let named = format!(
        "?Replaces={}%3Bto-tag%3D{}%3Bfrom-tag%3D{}",
        d.call_id.replace('@', "%40"),
        d.local.1,
        d.dialog.remote_tag
    );
    let to = Private::new(format!("sip:+12025550123@192.0.2.2{named}"));
    w.act(0, LegId(9), Action::Place(Box::new(Place { to, ..order(9) })));
    w.run(50);
    let Some((c, Indication::Incoming(i))) = w.sides[1].told.last().cloned() else {
        panic!("{:?}", w.heard(1))
    };
    assert_eq!(i.replaces, Some(b[1]));
    w.act(1, c, Action::Accept { media: media(6002) });
    w.run(50);
    assert_eq!(w.heard(0).last().map(String::as_str), Some("ended 16 peer"), "leg 8 is over");
    for leg in [a[0], LegId(9)] {
        w.act(0, leg, Action::Clear(Cause::NORMAL));
    }
    w.assert_empty();
}

#[test]
fn rfc3262_early_media_is_reliable_over_a_network_that_loses_it() {
    for seed in 0..20 {
        let mut w = World::new(seed, Weather { loss: 0.3, ..Weather::default() }, Transport::Udp);
        w.place(7);
        w.run(4_000);
        let b = w.incoming(1);
        w.act(1, b, Action::Ring { media: Some(media(6000)) });
        w.act(1, b, Action::Accept { media: media(6000) });
        assert!(!w.lines(1).iter().any(|l| l.contains("200 OK")), "the 2xx waits for the PRACK");
        w.run(30_000);
        assert!(w.heard(0).contains(&"183+media".to_owned()), "{seed}: {:?}", w.heard(0));
        assert!(w.lines(0).iter().any(|l| l.starts_with("PRACK")), "{:?}", w.lines(0));
        assert!(w.heard(0).contains(&"answered".to_owned()), "{seed}: {:?}", w.heard(0));
        finish(w, LegId(7));
    }
}

#[test]
fn rfc4028_a_session_is_refreshed_and_one_whose_far_end_died_is_ended() {
    let (mut w, legs) = up();
    w.run(3_600_000);
    assert_eq!((w.heard(0), w.heard(1)), (vec![], vec![]), "an hour of refreshes is silent");
    assert!(w.lines(0).iter().filter(|l| l.starts_with("UPDATE")).count() >= 3, "{:?}", w.lines(0));
    // The refresher dies: its endpoint is replaced by one that knows nothing.
    let dead = World::calm().sides.into_iter().next().expect("two sides").endpoint;
    w.sides[0].endpoint = dead;
    w.run(1_800_000);
    assert_eq!(w.heard(1), ["ended 102"]);
    let _ = legs;
    w.assert_empty();
}

#[test]
fn rfc4028_7_3_a_422_is_answered_by_a_longer_interval() {
    let mut configs = [config(0), config(1)];
    configs[0].session_expires_s = Some(100);
    configs[1].min_se_s = 600;
    let mut w = World::with(1, Weather::default(), Transport::Udp, configs);
    let legs = w.call(7);
    assert!(w.lines(1).iter().any(|l| l.contains("422")));
    assert_eq!(w.heard(0).last().map(String::as_str), Some("ackdue"));
    finish(w, legs[0]);
}

fn challenged() -> [EndpointConfig; 2] {
    let mut configs = [config(0), config(1)];
    configs[1].peers.clear();
    configs[1].answer_unknown = true;
    let users = vec![(Private::new("office".to_owned()), Private::new("s3cret".to_owned()))];
    configs[1].auth = Some(ServerAuth { realm: "carrier.example".to_owned(), users });
    configs
}

#[test]
fn rfc8760_a_challenge_is_answered_if_it_is_of_the_trunks_realm() {
    for (realm, password, want) in [
        (Some("carrier.example"), "s3cret", "ackdue"),
        (None, "s3cret", "ackdue"),
        (Some("other.example"), "s3cret", "ended 21 peer"),
        (Some("carrier.example"), "wrong", "ended 21 peer"),
    ] {
        let mut w = World::with(1, Weather::default(), Transport::Udp, challenged());
        let credentials = Credentials {
            user: Private::new("office".to_owned()),
            password: Private::new(password.to_owned()),
            realm: realm.map(str::to_owned),
        };
        w.act(0, LegId(7), Action::Place(Box::new(Place { credentials: Some(credentials), ..order(7) })));
        w.run(100);
        if want == "ackdue" {
            let b = w.incoming(1);
            w.act(1, b, Action::Accept { media: media(6000) });
            w.run(100);
        }
        assert_eq!(w.heard(0).last().map(String::as_str), Some(want), "{realm:?}");
        let _ended = w.try_act(0, LegId(7), Action::Clear(Cause::NORMAL));
        w.assert_empty();
    }
}

#[test]
fn strangers_get_no_answer_and_known_peers_get_503_when_the_server_is_full() {
    let mut configs = [config(0), config(1)];
    configs[1].peers.clear();
    let mut w = World::with(1, Weather::default(), Transport::Udp, configs);
    w.place(7);
    w.run(40_000);
    assert_eq!((w.heard(0), w.lines(1).len()), (vec!["ended 38".to_owned()], 0));
    assert!(w.sides[1].endpoint.counters().strangers > 0);

    let mut w = World::calm();
    let now = w.now;
    w.sides[1]
        .endpoint
        .handle(now, Input::Load(Load { refuse_new: true, reduce_percent: 40 }))
        .expect("always fits");
    w.place(7);
    w.run(100);
    let Some((_, Indication::Ended(e))) = w.sides[0].told.last().cloned() else { panic!("{:?}", w.heard(0)) };
    assert_eq!((e.cause, e.status, e.retry_after_s), (Cause::CONGESTION, Some(503), Some(5)));
    assert!(String::from_utf8_lossy(&w.sides[1].sent[0]).contains(";oc=40;oc-algo=\"loss\""));
    w.assert_empty();
}

#[test]
fn rfc3261_8_1_3_4_redirections_are_reported_best_first() {
    let mut w = World::calm();
    w.place(7);
    w.run(5);
    let invite = String::from_utf8(w.sides[0].sent[0].clone()).expect("text");
    let head: Vec<&str> = invite.split("\r\n").collect();
    let of = |n: &str| head.iter().find(|l| l.starts_with(n)).copied().unwrap_or_default();
    let moved = format!(
        "SIP/2.0 302 Moved\r\n{}\r\n{}\r\n{};tag=x\r\n{}\r\n{}\r\nContact: <sip:a@x>;q=0.1, <sip:b@x>;q=0.9\r\nContent-Length: 0\r\n\r\n",
        of("Via"),
        of("From"),
        of("To"),
        of("Call-ID"),
        of("CSeq")
    );
    w.inject(0, moved.as_bytes());
    let Some((_, Indication::Redirected { contacts, .. })) = w.sides[0].told.first() else {
        panic!("{:?}", w.heard(0))
    };
    assert_eq!(contacts.iter().map(|c| c.expose().as_str()).collect::<Vec<_>>(), ["sip:b@x", "sip:a@x"]);
    assert_eq!(w.heard(0), ["redirected 302 2", "ended 23 peer"]);
}

#[test]
fn a_neighbour_ends_the_call_of_a_dead_server_from_its_journal() {
    let (mut w, legs) = up();
    let snapshot = w.sides[0].dialogs[&legs[0]].clone();
    let mut neighbour = config(0);
    neighbour.secret = Private::new([9; 32]);
    w.sides[0].endpoint = World::with(3, Weather::default(), Transport::Udp, [neighbour, config(1)])
        .sides
        .into_iter()
        .next()
        .expect("two sides")
        .endpoint;
    w.take_over(0, snapshot, Cause::TEMPORARY);
    w.run(100);
    assert_eq!(w.heard(1), ["ended 41 peer"]);
    w.assert_empty();
}

#[test]
fn a_probed_peer_goes_down_after_two_misses_and_up_with_one_answer() {
    let mut configs = [config(0), config(1)];
    configs[0].probes =
        vec![Probe { transport: Transport::Udp, to: net::addr(1), every: Duration::from_secs(1) }];
    let mut w = World::with(1, Weather::default(), Transport::Udp, configs);
    w.run(1_500);
    assert_eq!(w.states, [true]);
    w.set_weather(Weather { loss: 1.0, ..Weather::default() });
    w.run(4_000);
    assert_eq!(w.states, [true, false]);
    w.set_weather(Weather::default());
    w.run(2_000);
    assert_eq!(w.states, [true, false, true]);
}

/// Media with keys of ours.
fn keyed(port: u16, optional: bool) -> Media {
    let Media::Rtp(rtp) = media(port) else { unreachable!() };
    let own = u8::try_from(port / 1_000).expect("small");
    Media::Rtp(Rtp { srtp: Some(Srtp { optional, tag_bits: 80, key_salt: [own; 30] }), ..rtp })
}

fn keys(media: &Media) -> Option<u8> {
    let Media::Rtp(rtp) = media else { return None };
    rtp.srtp.as_ref().map(|keys| keys.key_salt[0])
}

fn offers(ours: Media) -> World {
    let mut w = World::calm();
    w.act(0, LegId(7), Action::Place(Box::new(Place { media: ours, ..order(7) })));
    w.run(50);
    w
}

/// What each side is told of the other's keys, once the call is up.
fn agreed(w: &World) -> Vec<Option<u8>> {
    let told = w.sides.iter().flat_map(|side| &side.told);
    told.filter_map(|(_, i)| if let Indication::Answered { media } = i { Some(keys(media)) } else { None })
        .collect()
}

#[test]
fn rfc4568_both_sides_learn_each_others_keys_and_nobody_talks_them_down() {
    for (ours, theirs) in [(false, false), (true, true), (false, true)] {
        let mut w = offers(keyed(4000, ours));
        let b = w.incoming(1);
        w.act(1, b, Action::Accept { media: keyed(6000, theirs) });
        w.run(100);
        assert_eq!(agreed(&w), [Some(6), Some(4)]);
        let sent = String::from_utf8_lossy(&w.sides[0].sent[0]).into_owned();
        assert!(sent.contains("RTP/SAVP 0 8 101") && sent.contains("a=crypto:1 AES_CM_128_HMAC_SHA1_80"));
        // An offer without keys, in a call that has them.
        w.act(1, b, Action::Reoffer(media(6000)));
        w.run(100);
        assert_eq!(w.heard(1).last().map(String::as_str), Some("reanswered false"));
        // Keys that stay, on hold.
        w.act(1, b, Action::Reoffer(keyed(6000, false)));
        w.run(50);
        w.act(0, LegId(7), Action::Answer(keyed(4000, false)));
        w.run(50);
        assert_eq!(w.heard(1).last().map(String::as_str), Some("reanswered true"));
        w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
        w.assert_empty();
    }
}

#[test]
fn keys_that_are_required_end_the_call_with_488_where_there_are_none() {
    for (ours, theirs) in [(keyed(4000, false), media(6000)), (media(4000), keyed(6000, false))] {
        let mut w = offers(ours);
        let b = w.incoming(1);
        w.act(1, b, Action::Accept { media: theirs });
        w.run(100);
        let Some((_, Indication::Ended(ended))) = w.sides[0].told.last() else { panic!("{:?}", w.heard(0)) };
        assert_eq!(ended.status, Some(488));
        w.assert_empty();
    }
}

#[test]
fn rfc3261_21_4_26_an_offer_with_keys_that_is_refused_is_made_again_without_them() {
    let mut w = offers(keyed(4000, true));
    let first = w.incoming(1);
    w.act(1, first, Action::Accept { media: media(6000) });
    w.run(100);
    let second = w.incoming(1);
    assert_ne!(first, second, "the INVITE came again");
    w.act(1, second, Action::Accept { media: media(6000) });
    w.run(100);
    assert_eq!(agreed(&w), [None, None]);
    w.act(0, LegId(7), Action::Clear(Cause::NORMAL));
    w.assert_empty();
}

#[test]
fn a_flood_of_new_calls_is_refused_then_dropped_and_calls_that_are_up_are_heard() {
    let mut b = config(1);
    (b.limits.calls_rate, b.limits.refusals_rate) = (2, 3);
    let mut w = World::with(1, Weather::default(), Transport::Udp, [config(0), b]);
    let up = w.call(1);
    for n in 2..40 {
        w.place(n);
    }
    w.run(200);
    let counters = w.sides[1].endpoint.counters();
    assert_eq!(counters.refused_busy, 3);
    assert!(counters.dropped_busy > 20, "{counters:?}");
    let refused = w.sides[1].sent.iter().map(|m| String::from_utf8_lossy(m).into_owned());
    let refused: Vec<String> = refused.filter(|m| m.starts_with("SIP/2.0 503")).collect();
    assert!(refused.iter().all(|m| m.contains("Retry-After: 5")), "{refused:?}");
    // The call that was up before is heard all the same.
    w.act(0, up[0], Action::Reoffer(held()));
    w.run(100);
    assert!(w.heard(1).contains(&"offered".to_owned()), "{:?}", w.heard(1));
}

#[test]
fn rfc3261_12_1_1_over_tls_a_contact_is_sips_only_where_it_was_asked_for() {
    for (to, want) in [
        ("sip:+12025550123@192.0.2.2", "Contact: <sip:+12025550123@192.0.2.2:5060;transport=tls>"),
        ("sips:+12025550123@192.0.2.2", "Contact: <sips:+12025550123@192.0.2.2:5060>"),
    ] {
        let mut w = World::new(1, Weather::default(), Transport::Tls);
        let place = Place { to: Private::new(to.to_owned()), transport: Transport::Tls, ..order(7) };
        w.act(0, LegId(7), Action::Place(Box::new(place)));
        w.run(50);
        let b = w.incoming(1);
        w.act(1, b, Action::Accept { media: media(6000) });
        w.run(50);
        let answer =
            w.sides[1].sent.iter().map(|m| String::from_utf8_lossy(m)).find(|m| m.contains(" 200 OK"));
        let answer = answer.expect("an answer").into_owned();
        assert!(answer.contains(want), "{answer}");
        w.act(1, b, Action::Clear(Cause::NORMAL));
        w.assert_empty();
    }
}
