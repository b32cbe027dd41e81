//! Calls that meet trunks which refuse, keep silent or are full, in virtual time.

use super::tests::{Event, Phone, World, addr};
use super::*;

/// Two trunks of one priority each; the telephone behind the second does as it is told.
const TWO: &str = "
[[trunk_groups]]
name=\"g\"
calls_max = 5
[[trunks]]
name=\"first\"
address=\"127.0.0.1:5071\"
prefixes=[\"+1\"]
priority=1
[[trunks]]
name=\"second\"
address=\"127.0.0.1:5072\"
prefixes=[\"+1\"]
priority=2
group=\"g\"
";

fn world(first: Option<Phone>, second: Phone) -> World {
    let mut world = World::by(TWO, second);
    world.manners.insert(addr("127.0.0.1:5071"), first);
    world.second = second;
    world.order("http://w/menu.vxml");
    world
}

/// INVITEs that left: when, where to, and their Call-ID.
fn invites(world: &World) -> Vec<(u64, u16, String)> {
    let call_id = |octets: &[u8]| {
        let text = String::from_utf8_lossy(octets);
        text.lines().find_map(|l| l.strip_prefix("Call-ID: ").map(str::to_owned)).unwrap_or_default()
    };
    let is = world.sent.iter().filter(|(_, _, octets)| octets.starts_with(b"INVITE "));
    is.map(|(at, to, octets)| (at.as_ms() - 1_000_000, to.port(), call_id(octets))).collect()
}

fn intents(world: &World) -> Vec<String> {
    let trunk = |ask: &Ask| if let Ask::Intent { trunk, .. } = ask { Some(trunk.clone()) } else { None };
    world.asked.iter().filter_map(trunk).collect()
}

#[test]
fn a_trunk_that_refuses_is_left_for_the_next_at_once() {
    for status in [500, 503] {
        let mut world = world(Some(Phone::Refuses(status)), Phone::Answers(500));
        world.run(60_000);
        world.is_clean();
        let sent = invites(&world);
        assert_eq!(sent.iter().map(|s| s.1).collect::<Vec<_>>(), [5071, 5072], "{status}");
        assert!(sent[1].0 - sent[0].0 < 100, "{sent:?}");
        assert_ne!(sent[0].2, sent[1].2, "each trunk has a dialog of its own");
        assert_eq!(
            intents(&world),
            ["first", "second"],
            "the intent names the trunk before its INVITE leaves"
        );
        assert_eq!(world.finished[0].disposition, Disposition::Completed);
        let record = world.records()[0];
        assert_eq!((record.trunk.as_str(), world.records().len()), ("second", 1), "one attempt, one record");
    }
}

#[test]
fn a_silent_trunk_is_left_within_two_seconds() {
    let mut world = world(None, Phone::Answers(500));
    world.run(60_000);
    world.is_clean();
    let sent = invites(&world);
    let second = sent.iter().find(|s| s.1 == 5072).expect("the second was tried");
    assert!(second.0 - sent[0].0 < 2_000, "{sent:?}");
    assert_eq!(world.finished[0].disposition, Disposition::Completed);
    let view = world.shard.trunks(world.now);
    assert_eq!((view[0].failed, view[1].answered), (1, 1));
    assert!(view.iter().all(|t| t.calls == 0));
}

/// Goal: nobody is kept on the line by an INVITE that was given up. Method: the first trunk's answer comes late.
#[test]
fn an_invite_that_was_given_up_and_is_answered_late_is_ended() {
    let mut world = world(None, Phone::Silent);
    world.run(2_500);
    let (_, _, octets) = world.sent.iter().find(|(_, to, _)| to.port() == 5071).expect("an INVITE").clone();
    world.manners.insert(addr("127.0.0.1:5071"), Some(Phone::Answers(0)));
    world.later(0, Event::ToPhone(addr("127.0.0.1:5071"), octets));
    world.run(120_000);
    world.is_clean();
    let methods = |m: &[u8]| world.sent.iter().filter(|(_, _, octets)| octets.starts_with(m)).count();
    assert!(world.hung_up && methods(b"ACK ") > 0 && methods(b"BYE ") + methods(b"CANCEL ") > 1);
}

#[test]
fn who_has_heard_a_ring_or_a_no_for_all_places_is_called_by_no_other_trunk() {
    let check = |first, want: Disposition| {
        let mut world = world(Some(first), Phone::Answers(0));
        world.run(120_000);
        world.is_clean();
        assert!(invites(&world).iter().all(|s| s.1 == 5071), "{first:?}");
        assert_eq!(world.finished[0].disposition, want);
    };
    check(Phone::Silent, Disposition::NoAnswer);
    check(Phone::Refuses(603), Disposition::Rejected);
    check(Phone::Refuses(486), Disposition::Busy);
}

#[test]
fn the_last_trunks_refusal_is_how_it_ended() {
    let mut world = world(Some(Phone::Refuses(500)), Phone::Refuses(503));
    world.run(60_000);
    world.is_clean();
    assert_eq!(invites(&world).len(), 2);
    let over = &world.finished[0];
    assert_eq!((over.disposition, over.status, over.dialled), (Disposition::Congestion, Some(503), true));
}

#[test]
fn a_cancelled_order_goes_to_no_second_trunk() {
    let mut world = world(Some(Phone::Refuses(503)), Phone::Answers(0));
    // The first INVITE has left, its refusal has not come.
    world.run(28);
    world.store_says = Ok(Answer::Cancelled(true));
    world.run(60_000);
    world.is_clean();
    let over = &world.finished[0];
    assert_eq!((over.disposition, invites(&world).len()), (Disposition::Cancelled, 1));
}

#[test]
fn a_blocked_trunk_takes_no_call_and_an_unblocked_one_does() {
    let mut world = World::by(TWO, Phone::Answers(500));
    world.second = Phone::Answers(500);
    world.shard.handle(world.now, Input::Trunk("first".into(), Standing::Blocked));
    world.order("http://w/menu.vxml");
    world.run(60_000);
    assert_eq!(invites(&world)[0].1, 5072);
    world.sent.clear();
    world.shard.handle(world.now, Input::Trunk("first".into(), Standing::Open));
    world.order("http://w/menu.vxml");
    world.run(60_000);
    world.is_clean();
    assert_eq!(invites(&world)[0].1, 5071);
}

#[test]
fn where_no_trunk_is_open_nobody_is_called_and_the_order_comes_back() {
    let mut world = World::by(TWO, Phone::Answers(500));
    world.second = Phone::Answers(500);
    for name in ["first", "second"] {
        world.shard.handle(world.now, Input::Trunk(name.into(), Standing::Draining));
    }
    assert_eq!(world.shard.trunk_room(world.now), Some((0, 0)));
    world.order("http://w/menu.vxml");
    world.run(60_000);
    world.is_clean();
    let over = &world.finished[0];
    assert_eq!((over.disposition, over.dialled), (Disposition::Congestion, false));
    assert!(invites(&world).is_empty() && world.records().is_empty());
}

#[test]
fn a_reload_brings_a_new_trunk_and_takes_an_old_one() {
    let mut world = World::by(TWO, Phone::Answers(500));
    world.second = Phone::Answers(500);
    let mut settings = Settings::clone(&world.shard.settings);
    settings.trunks.remove(0);
    settings.trunks[0].calls_max = 7;
    world.shard.handle(world.now, Input::Settings(Arc::new(settings)));
    assert_eq!(world.shard.trunk_room(world.now), Some((5, 50_000)), "the group allows five");
    world.order("http://w/menu.vxml");
    world.run(60_000);
    world.is_clean();
    assert_eq!(invites(&world)[0].1, 5072);
}

/// Goal: a carrier's redirect server is obeyed, and nobody else's wishes are. Method: the first trunk answers 302.
#[test]
fn a_redirection_is_followed_to_our_trunks_for_the_same_number_only() {
    let check = |contact: &str, want: &[u16], disposition: Disposition| {
        let mut world = world(None, Phone::Answers(500));
        world.run(100);
        let invite = String::from_utf8(world.sent[0].2.clone()).expect("text");
        let kept: String = ["Via", "From", "To", "Call-ID", "CSeq"]
            .iter()
            .filter_map(|name| invite.lines().find(|l| l.starts_with(&format!("{name}: "))))
            .map(|line| format!("{line}\r\n"))
            .collect();
        let moved = format!(
            "SIP/2.0 302 Moved Temporarily\r\n{}Contact: <{contact}>\r\nContent-Length: 0\r\n\r\n",
            kept.replace(
                "To: <sip:+15551234@127.0.0.1:5071>",
                "To: <sip:+15551234@127.0.0.1:5071>;tag=moved"
            )
        );
        world.later(0, Event::ToShard(moved.into_bytes()));
        world.run(60_000);
        world.is_clean();
        assert_eq!(invites(&world).iter().map(|i| i.1).collect::<Vec<_>>(), want, "{contact}");
        assert_eq!(world.finished[0].disposition, disposition, "{contact}");
    };
    check("sip:+15551234;rn=+15550000@127.0.0.1:5072", &[5071, 5072], Disposition::Completed);
    check("sip:+19005551234@127.0.0.1:5072", &[5071], Disposition::Failed);
    check("sip:+15551234@203.0.113.9", &[5071], Disposition::Failed);
}

#[test]
fn encrypted_voice_is_asked_for_and_left_out_only_where_it_may_be() {
    let check = |srtp: &str, want: &[bool], completed: bool| {
        let trunk = format!(
            "[[trunks]]\nname=\"first\"\naddress=\"127.0.0.1:5071\"\nprefixes=[\"+1\"]\nsrtp=\"{srtp}\"\n\
             srtp_keys_in_clear=true\n"
        );
        // The telephone speaks no SRTP.
        let mut world = World::by(&trunk, Phone::Answers(500));
        world.second = Phone::Answers(500);
        world.order("http://w/menu.vxml");
        world.run(60_000);
        world.is_clean();
        let invites = world.sent.iter().filter(|(_, _, octets)| octets.starts_with(b"INVITE "));
        let keyed: Vec<bool> =
            invites.map(|(_, _, octets)| String::from_utf8_lossy(octets).contains("RTP/SAVP")).collect();
        assert_eq!(keyed, want, "{srtp}");
        assert_eq!(world.finished[0].disposition == Disposition::Completed, completed, "{srtp}");
    };
    check("refused", &[false], true);
    check("optional", &[true, false], true);
    check("required", &[true], false);
}

#[test]
fn who_calls_in_must_encrypt_as_the_trunk_says_and_where_no_trunk_is_as_the_rest() {
    use crate::config::Encryption::{Optional, Refused, Required};
    use signalling::leg::{Media, Rtp, Srtp, Transport};
    let text = "[sip]\nsrtp=\"optional\"\n[[trunks]]\nname=\"strict\"\naddress=\"192.0.2.1:5061\"\ntransport=\"tls\"\n\
                srtp=\"required\"\n[[trunks]]\nname=\"plain\"\naddress=\"192.0.2.1:5060\"\ntransport=\"udp\"\n";
    let config = crate::config::parse("t", text).expect("reads");
    let settings = Settings::new(&config, addr("192.0.2.9:1").ip(), [7; 32]);
    let offer = |keys: bool| {
        let srtp = keys.then_some(Srtp { optional: false, tag_bits: 80, key_salt: [1; 30] });
        let (rtcp, codecs, telephone_event) = (None, vec![units::Codec::Pcmu], None);
        let (sends, receives, ptime_ms) = (true, true, 20);
        let addr = addr("192.0.2.1:4000");
        Media::Rtp(Rtp { addr, rtcp, codecs, telephone_event, sends, receives, srtp, ptime_ms })
    };
    let check = |by: &[&str], transport, keys, want| {
        assert_eq!(
            settings.encryption(by, transport, Some(&offer(keys))),
            want,
            "{by:?} {transport:?} {keys}"
        );
    };
    let both = ["strict", "plain"];
    check(&both, Transport::Tls, true, Some(Required));
    check(&both, Transport::Tls, false, None);
    check(&both, Transport::Udp, false, Some(Refused));
    check(&both, Transport::Udp, true, None);
    check(&[], Transport::Tls, true, Some(Optional));
    check(&[], Transport::Tls, false, Some(Optional));
    // Keys that whoever looks on can read are none.
    check(&[], Transport::Tcp, true, None);
    let slot = Media::Timeslot { span: 1, slot: 1 };
    assert_eq!(settings.encryption(&both, Transport::Udp, Some(&slot)), Some(Refused));
    let (one, other) = (settings.keys(AttemptId(1), Required), settings.keys(AttemptId(2), Required));
    assert!(one.is_some() && one != other && one == settings.keys(AttemptId(1), Required));
    assert_eq!(settings.keys(AttemptId(1), Refused), None);
}

#[test]
fn room_that_is_kept_for_a_number_is_there_for_it_alone() {
    let trunks = "[[trunks]]\nname=\"t\"\naddress=\"127.0.0.1:5070\"\n[[inbound]]\nmatch=\"+1999\"\ntenant=\"acme\"\n\
                  url=\"http://w/menu.vxml\"\nreserve=2\n";
    let mut world = World::by(trunks, Phone::Silent);
    let mut settings = Settings::clone(&world.shard.settings);
    settings.inbound_calls_max = 3;
    world.later(0, Event::Shard(Input::Settings(Arc::new(settings))));
    let mut call = |n: u32, number: &str| {
        let text = format!(
            "INVITE sip:{number}@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{n}\r\n\
             From: <sip:a@127.0.0.1>;tag={n}\r\nTo: <sip:{number}@127.0.0.1>\r\nCall-ID: {n}@phone\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@127.0.0.1:5070>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        world.later(0, Event::ToShard(text.into_bytes()));
        world.run(300);
        let id = format!("Call-ID: {n}@phone");
        let said = world.sent.iter().map(|(_, _, octets)| String::from_utf8_lossy(octets));
        let said: Vec<String> = said.filter(|m| m.contains(&id)).map(|m| m.into_owned()).collect();
        let last = said.last().cloned().unwrap_or_default();
        assert!(!last.starts_with("SIP/2.0 503") || last.contains("Retry-After: 5"), "{last}");
        last.get(8..11).unwrap_or_default().to_owned()
    };
    let said: Vec<String> = [(1, "+1000"), (2, "+1001"), (3, "+1999"), (4, "+1999"), (5, "+1999")]
        .map(|(n, to)| call(n, to))
        .into();
    assert_eq!(said, ["200", "503", "200", "200", "503"]);
    world.later(0, Event::Shard(Input::Drain(true)));
    world.run(120_000);
    world.is_clean();
    assert!(world.shard.by_route.up.is_empty());
}
