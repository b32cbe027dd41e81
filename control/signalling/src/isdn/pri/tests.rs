//! Two `Pri` back to back, network and user: calls both ways, glare, restart, failures, overlap, backup D-channel.

use super::*;
use crate::isdn::switch::{EURO, NI2};
use crate::model::at;
use units::{Private, Seed};

/// What both ends of a line did. End 0 is the network.
struct Two {
    ends: [Pri; 2],
    now: Now,
    line: VecDeque<(usize, u16, Vec<u8>)>,
    told: [Vec<(LegId, Indication)>; 2],
    /// Spans whose frames get lost.
    cut: BTreeSet<u16>,
    /// Incoming calls are taken at once.
    answers: bool,
}

fn span(number: u16, d_channel: bool, interface: Option<u8>, channels: u8) -> Span {
    Span { number, interface, channels: (1..=channels).collect(), d_channel }
}

fn config(side: Side, switch: Switch, spans: Vec<Span>) -> Config {
    Config {
        side,
        switch,
        timers: Timers::of(side),
        spans,
        hunt: Hunt::Ascending,
        overlap_dial: false,
        overlap_receive: None,
        transfer: false,
        legs_from: 1 << 62,
        limits: Limits::default(),
    }
}

impl Two {
    fn new(switch: Switch, spans: &[Span], change: impl Fn(&mut Config)) -> Self {
        let end = |side| {
            let mut config = config(side, switch, spans.to_vec());
            change(&mut config);
            Pri::new(config)
        };
        let ends = [end(Side::Network), end(Side::User)];
        let told = [Vec::new(), Vec::new()];
        let mut two =
            Self { ends, now: at(0), line: VecDeque::new(), told, cut: BTreeSet::new(), answers: true };
        two.ends[0].start(two.now);
        two.ends[1].start(two.now);
        two.run();
        two
    }

    fn up(switch: Switch) -> Self {
        let two = Self::new(switch, &[span(1, true, None, 5)], |_| {});
        assert!(two.ends.iter().all(|e| e.is_up() && e.free(&[1]) == 5));
        two
    }

    fn put(&mut self, end: usize, input: Input<'_>) {
        self.ends[end].handle(self.now, input);
        self.drain(end);
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.ends[end].poll() {
            match output {
                Output::Frame { span, octets } => self.line.push_back((1 - end, span, octets)),
                Output::Link { .. } => {}
                Output::Leg(leg, indication) => {
                    let takes = self.answers && matches!(indication, Indication::Incoming(_));
                    self.told[end].push((leg, indication));
                    if takes {
                        let media = Media::Timeslot { span: 0, slot: 0 };
                        self.put(end, Input::Leg(leg, Action::Accept { media }));
                    }
                }
            }
        }
    }

    fn run(&mut self) {
        self.drain(0);
        self.drain(1);
        while let Some((to, span, octets)) = self.line.pop_front() {
            if !self.cut.contains(&span) {
                self.put(to, Input::Frame { span, octets: &octets });
            }
        }
    }

    fn until(&mut self, ms: u64) {
        loop {
            self.run();
            let next = (0..2).filter_map(|n| self.ends[n].deadline().map(|d| (d, n))).min();
            let Some((when, end)) = next.filter(|(when, _)| when.as_ms() <= ms) else { break };
            self.now.mono = self.now.mono.max(when);
            self.put(end, Input::Timer);
        }
        self.now = at(ms);
    }

    fn place(&mut self, end: usize, leg: u64, to: &str) {
        let spans: Vec<u16> = self.ends[end].spans().iter().map(|s| s.number).collect();
        self.put(end, Input::Place(LegId(leg), Box::new(Ask::new(to, "5550100", &spans, 60_000))));
    }

    fn clear(&mut self, end: usize, leg: u64) {
        self.put(end, Input::Leg(LegId(leg), Action::Clear(Cause::NORMAL)));
        self.run();
    }

    /// What a leg was told, in words.
    fn words(&self, end: usize, leg: u64) -> String {
        let word = |i: &Indication| match i {
            Indication::Incoming(i) => format!("incoming {} from {}", i.to.expose(), i.from.expose()),
            Indication::Trying => "trying".into(),
            Indication::Progress { status, .. } => status.to_string(),
            Indication::Answered { media: Media::Timeslot { span, slot } } => {
                format!("answered {span}/{slot}")
            }
            Indication::Ended(e) => format!("ended #{}", e.cause.0),
            Indication::AckDue => "ack".into(),
            other => format!("{other:?}"),
        };
        let mine = self.told[end].iter().filter(|(l, _)| l.0 == leg).map(|(_, i)| word(i));
        mine.collect::<Vec<_>>().join(", ")
    }

    fn idle(&self) {
        for end in &self.ends {
            assert_eq!((end.calls(), end.legs.len()), (0, 0), "{end:?}");
            let idle =
                |s: &Span| s.channels.iter().all(|&c| end.channel(s.number, c) == Some(ChannelState::Idle));
            assert!(end.spans().iter().all(idle), "{:?}", end.channels);
            assert!(end.deadlines.is_empty() && end.is_up());
        }
    }
}

const THEIRS: u64 = 1 << 62;

#[test]
fn q931_5_1_calls_both_ways_in_both_dialects() {
    for switch in [EURO, NI2] {
        for from in [0, 1] {
            let mut two = Two::up(switch);
            two.place(from, 7, "+15550123");
            two.run();
            assert_eq!(two.words(from, 7), "trying, answered 1/1, ack");
            assert_eq!(two.words(1 - from, THEIRS), "incoming +15550123 from 5550100, answered 1/1");
            two.clear(from, 7);
            assert!(
                two.words(from, 7).ends_with("ended #16")
                    && two.words(1 - from, THEIRS).ends_with("ended #16")
            );
            two.idle();
        }
    }
}

#[test]
fn q931_4_5_names_and_redirections_arrive() {
    let mut two = Two::up(NI2);
    let mut ask = Ask::new("123", "5550100", &[1], 60_000);
    ask.display = Some(Private::new("Alice".to_owned()));
    ask.redirecting = Some((Private::new("+4930555".to_owned()), 15));
    ask.withheld = true;
    two.put(0, Input::Place(LegId(1), Box::new(ask)));
    two.run();
    let Some((_, Indication::Incoming(incoming))) = two.told[1].first() else { panic!("{:?}", two.told) };
    assert_eq!((incoming.from.expose().as_str(), incoming.headers[0].1.as_str()), ("", "Alice"));
    assert_eq!(incoming.redirects[0].uri.expose(), "+4930555");
    assert_eq!(incoming.redirects[0].reason, "unconditional");
}

#[test]
fn q931_5_7_glare_on_every_call_ends_with_every_call_up() {
    for switch in [EURO, NI2] {
        let mut two = Two::new(switch, &[span(1, true, None, 30)], |_| {});
        for n in 0..15 {
            // Both sides take the lowest channel at the same time.
            two.place(0, 100 + n, "1");
            two.place(1, 200 + n, "2");
            two.run();
        }
        for n in 0..15 {
            assert!(two.words(0, 100 + n).ends_with("ack"), "{}: {}", switch.name, two.words(0, 100 + n));
            assert!(two.words(1, 200 + n).ends_with("ack"), "{}: {}", switch.name, two.words(1, 200 + n));
        }
        assert_eq!(two.ends[1].counters().glare, 15);
        (0..15).for_each(|n| {
            two.clear(0, 100 + n);
            two.clear(1, 200 + n);
        });
        two.idle();
    }
}

#[test]
fn a_full_span_refuses_and_the_peer_too() {
    let mut two = Two::up(EURO);
    (0..6).for_each(|n| {
        two.place(1, n, "1");
        two.run();
    });
    assert_eq!(two.words(1, 5), "ended #34");
    (0..5).for_each(|n| two.clear(1, n));
    two.idle();
}

#[test]
fn q931_5_5_restart_ends_the_calls_of_a_channel() {
    let mut two = Two::up(EURO);
    two.place(0, 1, "1");
    two.run();
    two.ends[1].restart_channel(two.now, 0);
    two.run();
    assert!(two.words(0, 1).ends_with("ended #41"), "{}", two.words(0, 1));
    // The side that restarts has its own call yet: it is told when that is cleared.
    two.clear(1, THEIRS);
    two.idle();
}

#[test]
fn q931_5_8_9_calls_outlive_a_data_link_that_comes_back() {
    let mut two = Two::up(NI2);
    two.place(1, 1, "1");
    two.run();
    two.cut.insert(1);
    two.until(60_000);
    assert!(two.ends.iter().all(|e| !e.is_up()));
    assert!(two.words(1, 1).ends_with("ack"));
    two.cut.clear();
    two.until(70_000);
    assert!(two.ends.iter().all(Pri::is_up));
    assert!(two.words(1, 1).ends_with("ack"), "{}", two.words(1, 1));
    two.clear(0, THEIRS);
    assert!(two.words(1, 1).ends_with("ended #16"));
    two.until(80_000);
    two.idle();
}

#[test]
fn q931_9_t309_ends_calls_of_a_link_that_stays_away() {
    let mut two = Two::up(EURO);
    two.place(1, 1, "1");
    two.run();
    two.cut.insert(1);
    two.until(300_000);
    assert!(two.words(1, 1).ends_with("ended #27"), "{}", two.words(1, 1));
    two.cut.clear();
    two.until(400_000);
    two.idle();
}

#[test]
fn an_alarm_ends_calls_and_the_span_comes_back_by_itself() {
    let mut two = Two::up(EURO);
    two.place(1, 1, "1");
    two.run();
    two.put(1, Input::Defect { span: 1, on: true });
    two.place(1, 2, "2");
    assert_eq!(two.words(1, 2), "ended #34", "new calls avoid a span at the first defect");
    for end in [0, 1] {
        two.put(end, Input::Line { span: 1, up: false });
    }
    two.run();
    assert!(two.words(1, 1).ends_with("ended #27"));
    assert_eq!((two.ends[1].free(&[1]), two.ends[1].channel(1, 1)), (0, Some(ChannelState::Alarm)));
    two.put(1, Input::Defect { span: 1, on: false });
    for end in [0, 1] {
        two.put(end, Input::Line { span: 1, up: true });
    }
    two.until(10_000);
    two.idle();
}

#[test]
fn q931_5_1_3_overlap_both_ways() {
    for from in [0, 1] {
        let mut two = Two::new(EURO, &[span(1, true, None, 3)], |c| {
            c.overlap_dial = true;
            c.overlap_receive = Some(6);
        });
        two.place(from, 1, "555012");
        two.run();
        assert!(
            two.words(1 - from, THEIRS).starts_with("incoming 555012 "),
            "{}",
            two.words(1 - from, THEIRS)
        );
        assert!(two.words(from, 1).ends_with("ack"));
        // A number that stays short is taken as it is when the peer says that it is complete.
        two.place(from, 2, "55");
        two.until(20_000);
        assert!(two.words(1 - from, THEIRS + 1).starts_with("incoming 55 "));
        two.clear(from, 1);
        two.clear(from, 2);
        two.idle();
    }
}

#[test]
fn q931_annex_f_the_backup_d_channel_takes_over_and_calls_stay() {
    let spans = [span(1, true, Some(0), 23), span(2, true, Some(1), 23), span(3, false, Some(2), 24)];
    let mut two = Two::new(NI2, &spans, |c| c.hunt = Hunt::Descending);
    two.until(1_000);
    assert_eq!(two.ends[1].links().map(|l| (l.1, l.2)).collect::<Vec<_>>(), [(7, true), (7, false)]);
    two.place(1, 1, "1");
    two.run();
    assert!(two.words(1, 1).ends_with("answered 3/24, ack"), "{}", two.words(1, 1));
    two.cut.insert(1);
    two.until(60_000);
    assert!(two.ends.iter().all(|e| e.active == 1 && e.is_up()), "{:?}", two.ends[0].links);
    assert!(two.words(1, 1).ends_with("ack"), "{}", two.words(1, 1));
    two.place(0, 2, "2");
    two.run();
    assert!(two.words(0, 2).ends_with("ack"), "{}", two.words(0, 2));
    two.cut.clear();
    two.until(70_000);
    two.clear(1, 1);
    two.clear(0, 2);
    two.idle();
}

#[test]
fn operators_and_peers_take_channels_out() {
    let mut two = Two::up(NI2);
    two.put(1, Input::Block { span: 1, slot: Some(1), on: true });
    assert_eq!(two.ends[1].channel(1, 1), Some(ChannelState::Blocked));
    two.place(1, 1, "1");
    two.run();
    assert!(two.words(1, 1).contains("answered 1/2"));
    // The peer asks for the blocked one, exclusively (NI-2): it gets another after cause 44.
    two.place(0, 2, "2");
    two.run();
    assert!(two.words(0, 2).contains("answered"), "{}", two.words(0, 2));
}

#[test]
fn a_silent_callee_is_given_up_after_ring_max() {
    let mut two = Two::up(EURO);
    two.answers = false;
    two.place(0, 1, "1");
    two.run();
    two.put(1, Input::Leg(LegId(THEIRS), Action::Ring { media: None }));
    two.until(61_000);
    assert_eq!(two.words(0, 1), "trying, 180, ended #19");
    two.idle();
}

#[test]
fn q931_5_8_messages_of_no_call_have_their_answer() {
    let mut two = Two::up(EURO);
    let check = |two: &mut Two, kind: Kind, ies: Vec<Ie>, want: &[Kind]| {
        let call_ref = CallRef::Number { value: 99, to_origin: false };
        let m = Message { discriminator: discriminator::CALL_CONTROL, call_ref, kind, ies };
        let before = two.ends[0].out.len();
        two.ends[0].message_came(two.now, 0, &m.write());
        let sent = two.ends[0].out.iter().skip(before).filter_map(|o| match o {
            Output::Frame { octets, .. } => q921::Frame::parse(octets, Side::Network).ok(),
            _ => None,
        });
        let kinds: Vec<Kind> = sent
            .filter(|f| !f.info().is_empty())
            .map(|f| Message::parse(f.info()).expect("ours").kind)
            .collect();
        assert_eq!(kinds, want, "{kind:?}");
        two.run();
    };
    check(&mut two, Kind::RELEASE, vec![], &[Kind::RELEASE_COMPLETE]);
    check(&mut two, Kind::CONNECT, vec![], &[Kind::RELEASE_COMPLETE]);
    check(&mut two, Kind::STATUS_ENQUIRY, vec![], &[Kind::STATUS]);
    check(&mut two, Kind::RELEASE_COMPLETE, vec![], &[]);
    check(&mut two, Kind::SETUP, vec![], &[Kind::RELEASE_COMPLETE]);
    let data = vec![super::super::q931::ie::bearer(super::super::q931::ie::Bearer::Other)];
    check(&mut two, Kind::SETUP, data, &[Kind::RELEASE_COMPLETE]);
    two.idle();
}

#[test]
fn nothing_wedges_a_channel_under_loss_and_babble() {
    // Goal: after a storm every channel is idle. Method: calls both ways, frames lost, doubled and made up, by seed;
    // then quiet.
    for seed in 0..30 {
        let mut rng = Seed(seed).rng();
        let switch = if seed % 2 == 0 { EURO } else { NI2 };
        let mut two = Two::new(switch, &[span(1, true, None, 8)], |_| {});
        let (mut leg, mut live) = (0, Vec::new());
        for _ in 0..150 {
            let end = usize::try_from(rng.below(2)).expect("a bit");
            match rng.below(3) {
                0 | 1 => {
                    leg += 1;
                    two.place(end, leg, "5");
                    live.push((end, leg));
                }
                _ if !live.is_empty() => {
                    let n = usize::try_from(rng.below(live.len() as u64)).expect("an index");
                    let (end, leg) = live.swap_remove(n);
                    two.put(end, Input::Leg(LegId(leg), Action::Clear(Cause::NORMAL)));
                }
                _ => {}
            }
            two.line.retain(|_| !rng.chance(0.15));
            if rng.chance(0.2) {
                let mut octets = vec![0, 1, rng.next_u64().to_le_bytes()[0], 0, 8, 2, 0, 1];
                octets.extend((0..rng.below(12)).map(|_| rng.next_u64().to_le_bytes()[0]));
                two.line.push_back((usize::try_from(rng.below(2)).expect("a bit"), 1, octets));
            }
            let next = two.now.mono.as_ms() + rng.below(3_000);
            two.until(next);
        }
        let all: Vec<(usize, LegId)> =
            (0..2).flat_map(|e| two.ends[e].legs.keys().map(move |l| (e, *l))).collect();
        for (end, leg) in all {
            two.put(end, Input::Leg(leg, Action::Clear(Cause::NORMAL)));
        }
        let next = two.now.mono.as_ms() + 400_000;
        two.until(next);
        let legs: BTreeSet<(usize, u64)> = live.iter().copied().collect();
        for (end, leg) in legs {
            assert!(two.words(end, leg).contains("ended"), "seed {seed}: {}", two.words(end, leg));
        }
        two.idle();
    }
}

/// Two calls of the user that are up, on an interface with call transfer.
fn two_up(switch: Switch) -> Two {
    let mut two = Two::new(switch, &[span(1, true, None, 5)], |c| c.transfer = true);
    for leg in [1, 2] {
        two.place(1, leg, "5550123");
        two.run();
    }
    assert!(two.words(1, 1).contains("answered") && two.words(1, 2).contains("answered"));
    two
}

fn refer(two: &mut Two, other: Option<u64>) {
    let to = Private::new("5550123".to_owned());
    two.put(1, Input::Leg(LegId(1), Action::Refer { to, replaces: other.map(LegId) }));
}

#[test]
fn gr2865_and_en300369_a_transfer_is_done_refused_unanswered_or_not_offered() {
    use crate::isdn::q931::facility::Component;
    for switch in [EURO, NI2] {
        // Refused: our own exchange offers none.
        let mut two = two_up(switch);
        refer(&mut two, Some(2));
        two.run();
        assert!(two.words(1, 1).ends_with("ReferProgress { status: 603 }"), "{}", two.words(1, 1));
        // Done: what the exchange would say.
        refer(&mut two, Some(2));
        two.line.clear();
        let done = |two: &mut Two, result| {
            let invoke = two.ends[1].next_invoke;
            let (now, key) = (two.now, Key { ours: true, value: 1 });
            two.ends[1].facility(now, key, &Component::Done { invoke, result }.write().body);
            two.drain(1);
        };
        if switch == EURO {
            done(&mut two, Some(9));
            let asked = two.line.iter().any(|(_, _, frame)| frame.ends_with(&[0x82, 0x71, 1, 1, 2, 1, 9]));
            assert!(asked, "the link is named: {:?}", two.line);
        }
        done(&mut two, None);
        assert!(two.words(1, 1).ends_with("ReferProgress { status: 200 }"), "{}", two.words(1, 1));
        // Not answered: the frame is lost with the exchange's program.
        let mut two = two_up(switch);
        refer(&mut two, Some(2));
        two.line.clear();
        two.now = at(10_001);
        two.put(1, Input::Timer);
        assert!(two.words(1, 1).contains("ReferProgress { status: 408 }"), "{}", two.words(1, 1));
        // Blind, to a call that is none, and where it is not subscribed to.
        let mut two = two_up(switch);
        for other in [None, Some(1), Some(99)] {
            refer(&mut two, other);
            assert!(two.words(1, 1).ends_with("ReferProgress { status: 501 }"));
        }
        two.ends[1].config.transfer = false;
        refer(&mut two, Some(2));
        assert!(two.words(1, 1).ends_with("ReferProgress { status: 501 }"));
    }
}
