//! E&M trunks behind `Leg`'s words: two spans wired to each other through one endpoint, in virtual time; registers are played.

use signalling::cas::{Bits, Config, Pulse, Register, Start, Timing};
use signalling::isdn::pri::Hunt;
use signalling::leg::{Action, Indication, Media, Place, Transport};
use signalling::tdm::{Endpoint, Group, Input, Output};
use std::collections::BTreeMap;
use std::time::Duration;
use units::{AttemptId, Cause, LegId, Mono, Now, Private};

const SLOT: Media = Media::Timeslot { span: 0, slot: 0 };

struct Pair {
    endpoint: Endpoint,
    now: Now,
    /// Slots that listen, by span; digits under way with when they are said.
    listens: BTreeMap<(u16, u8), bool>,
    says: Vec<(Mono, u16, u8, String)>,
    told: Vec<(LegId, Indication)>,
    takes: bool,
}

fn span(number: u16, start: Start, pulse: Pulse, hunt: Hunt) -> Config {
    Config {
        number,
        channels: vec![1, 2, 3],
        start,
        pulse,
        bits: Bits::E1,
        hunt,
        digits: Some(7),
        timing: Timing::default(),
        legs_from: 0,
    }
}

impl Pair {
    fn new(start: Start, pulse: Pulse, second: Hunt) -> Self {
        let spans = vec![span(1, start, pulse, Hunt::Ascending), span(2, start, pulse, second)];
        let group = |name: &str, span| Group { name: name.into(), spans: vec![span], ton: 0 };
        let mut endpoint = Endpoint::new(Vec::new(), spans, vec![group("a", 1), group("b", 2)]);
        endpoint.start(Now::default());
        let (listens, says, told) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { endpoint, now: Now::default(), listens, says, told, takes: true }
    }

    fn place(&mut self, leg: u64, group: &str) {
        let place = Place {
            to: Private::new(format!("tel:+5550123;tgrp={group}")),
            from: Private::new("tel:+15550100".to_owned()),
            asserted: None,
            hop: ([0, 0, 0, 0], 0).into(),
            transport: Transport::Udp,
            attempt: AttemptId(1),
            media: SLOT,
            engine: None,
            credentials: None,
            headers: Vec::new(),
            ring_max_ms: 30_000,
        };
        self.put(Input::Leg(LegId(leg), Action::Place(Box::new(place))));
    }

    fn put(&mut self, input: Input<'_>) {
        self.endpoint.handle(self.now, input);
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Bits { span, slot, abcd } => {
                    self.put(Input::Bits { span: 3 - span, slot, abcd });
                }
                Output::Register { span, slot, what } => {
                    self.listens.insert((span, slot), matches!(what, Register::Listen(_)));
                    if let Register::Say(_, digits) = what {
                        let at = self.now.mono + Duration::from_millis(500);
                        self.says.push((at, span, slot, digits.into_exposed()));
                    }
                }
                Output::Leg(leg, indication) => {
                    let takes = self.takes && matches!(indication, Indication::Incoming(_));
                    self.told.push((leg, indication));
                    if takes {
                        self.put(Input::Leg(leg, Action::Accept { media: SLOT }));
                    }
                }
                Output::Frame { .. } | Output::Link { .. } => panic!("no D-channel here"),
            }
        }
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now = self.now.plus(Duration::from_millis(1));
            if self.endpoint.deadline().is_some_and(|at| at <= self.now.mono) {
                self.put(Input::Timer);
            }
            let now = self.now.mono;
            let due: Vec<_> = self.says.extract_if(.., |(at, ..)| *at <= now).collect();
            for (_, span, slot, digits) in due {
                for signal in digits.chars() {
                    if self.listens.get(&(3 - span, slot)) == Some(&true) {
                        self.put(Input::Signal { span: 3 - span, slot, signal });
                    }
                }
                self.put(Input::Said { span, slot });
            }
        }
    }

    fn ended(&self, leg: u64) -> Option<(u8, bool)> {
        self.told.iter().find_map(|(l, i)| match i {
            Indication::Ended(e) if l.0 == leg => Some((e.cause.0, e.by_peer)),
            _ => None,
        })
    }

    fn answered(&self, leg: u64) -> Option<Media> {
        self.told.iter().find_map(|(l, i)| match i {
            Indication::Answered { media } if l.0 == leg => Some(media.clone()),
            _ => None,
        })
    }

    fn free(&self) -> [usize; 2] {
        ["a", "b"].map(|group| self.endpoint.free(group))
    }
}

#[test]
fn calls_fill_the_trunks_in_order_and_free_them() {
    for (start, pulse) in
        [(Start::Wink, Pulse::Dtmf), (Start::Wink, Pulse::Mf), (Start::Immediate, Pulse::Dtmf)]
    {
        let mut pair = Pair::new(start, pulse, Hunt::Descending);
        pair.place(1, "a");
        pair.place(2, "a");
        pair.run(3_000);
        assert_eq!(pair.answered(1), Some(Media::Timeslot { span: 1, slot: 1 }), "{start:?} {pulse:?}");
        assert_eq!(pair.answered(2), Some(Media::Timeslot { span: 1, slot: 2 }));
        let to: Vec<_> = pair
            .told
            .iter()
            .filter_map(|(_, i)| match i {
                Indication::Incoming(incoming) => Some(incoming.to.expose().clone()),
                _ => None,
            })
            .collect();
        assert_eq!((to, pair.free()), (vec!["5550123".to_owned(); 2], [1, 1]));
        pair.place(3, "a");
        pair.place(4, "a");
        pair.run(3_000);
        assert_eq!((pair.ended(4), pair.free()), (Some((34, false)), [0, 0]));
        (1..=3).for_each(|leg| pair.put(Input::Leg(LegId(leg), Action::Clear(Cause::NORMAL))));
        pair.run(3_000);
        assert_eq!(pair.free(), [3, 3]);
    }
}

#[test]
fn glare_is_tried_again_and_every_trunk_is_idle_afterwards() {
    for start in [Start::Wink, Start::Immediate] {
        // Both begin at the same end: every call meets another.
        let mut pair = Pair::new(start, Pulse::Dtmf, Hunt::Ascending);
        for round in 0..20 {
            let legs = [round * 2 + 1, round * 2 + 2];
            pair.place(legs[0], "a");
            pair.place(legs[1], "b");
            pair.run(20_000);
            for leg in legs {
                assert!(pair.answered(leg).is_some() || pair.ended(leg).is_some(), "{start:?}: {leg} hangs");
                pair.put(Input::Leg(LegId(leg), Action::Clear(Cause::NORMAL)));
            }
            pair.run(20_000);
            assert_eq!(pair.free(), [3, 3], "{start:?} {round}: {:?}", pair.endpoint.view());
        }
    }
}

#[test]
fn a_dead_span_ends_its_calls_and_comes_back() {
    let mut pair = Pair::new(Start::Wink, Pulse::Dtmf, Hunt::Descending);
    pair.place(1, "a");
    pair.run(3_000);
    for span in [1, 2] {
        pair.put(Input::Line { span, up: false, defect: true });
    }
    assert_eq!((pair.ended(1), pair.free()), (Some((27, true)), [0, 0]));
    pair.run(2_000);
    for span in [1, 2] {
        pair.put(Input::Line { span, up: true, defect: false });
    }
    pair.run(2_000);
    assert_eq!(pair.free(), [3, 3]);
    pair.put(Input::Block { span: 2, slot: Some(1), on: true });
    assert_eq!(pair.free(), [3, 2]);
    // Seized all the same, a blocked trunk gives busy tone and tells nobody.
    pair.told.clear();
    pair.place(2, "a");
    pair.run(4_000);
    assert!(!pair.told.iter().any(|(_, i)| matches!(i, Indication::Incoming(_))));
    pair.put(Input::Leg(LegId(2), Action::Clear(Cause::NORMAL)));
    pair.run(2_000);
    assert_eq!(pair.free(), [3, 2]);
}
