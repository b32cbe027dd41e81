//! Many calls over networks that lose, delay, double and reorder, by seed. Goal: every leg ends exactly once, nothing is
//! told after its end, both sides agree on what was spoken, and no leg, dialog or transaction is left. Method: random
//! acts of both sides against each other; a failure prints its seed.

mod net;

use net::{Weather, World, media};
use signalling::leg::{Action, Indication, Media, Transport};
use std::collections::BTreeMap;
use units::{Cause, Codec, Digit, LegId, Private, Rng, Seed};

const CALLS: u64 = 4;

/// What one side knows of a leg.
#[derive(Default)]
struct Known {
    up: bool,
    over: bool,
}

struct Play {
    w: World,
    rng: Rng,
    known: [BTreeMap<LegId, Known>; 2],
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut rng = Seed(seed).derive(77).rng();
        let weather =
            Weather { loss: rng.unit() * 0.25, double: rng.unit() * 0.2, jitter_ms: rng.below(800) + 1 };
        let transport = if rng.chance(0.2) { Transport::Tcp } else { Transport::Udp };
        Self { w: World::new(seed, weather, transport), rng, known: [BTreeMap::new(), BTreeMap::new()] }
    }

    fn run(&mut self) {
        for id in 1..=CALLS {
            self.known[0].insert(LegId(id), Known::default());
            self.w.place(id);
            self.pass(self.rng_below(2_000));
        }
        for _ in 0..60 {
            self.pass(self.rng_below(1_500));
            self.act();
        }
        self.finish();
    }

    fn rng_below(&self, n: u64) -> u64 {
        self.rng.clone().below(n)
    }

    /// Lets time pass in small steps, and answers what must be answered.
    fn pass(&mut self, ms: u64) {
        self.rng.next_u64();
        for _ in 0..(ms / 50).max(1) {
            self.w.run(50);
            self.hear();
        }
    }

    fn hear(&mut self) {
        for side in [0, 1] {
            while let Some((id, told)) = self.w.next(side) {
                let known = self.known[side].entry(id).or_default();
                assert!(!known.over, "{id:?} was told {} after its end", net::word(&told));
                match told {
                    Indication::Ended(_) => known.over = true,
                    Indication::Answered { .. } => known.up = true,
                    Indication::Offered(_) if self.rng.chance(0.9) => {
                        let _may_be_over = self.w.try_act(side, id, Action::Answer(media(6_000)));
                    }
                    Indication::Referred { .. } => {
                        let status = if self.rng.chance(0.5) { 200 } else { 603 };
                        let _may_be_over = self.w.try_act(side, id, Action::ReferResult { status });
                    }
                    _ => {}
                }
            }
        }
    }

    /// One random act on one random leg. What does not fit its state is refused, and must do no harm.
    fn act(&mut self) {
        let side = usize::from(self.rng.chance(0.5));
        let legs: Vec<LegId> = self.known[side].keys().copied().collect();
        if legs.is_empty() {
            return;
        }
        let n = usize::try_from(self.rng.below(u64::try_from(legs.len()).expect("few"))).expect("few");
        let port = 4_000 + 2 * u16::try_from(self.rng.below(100)).expect("few");
        let action = match self.rng.below(12) {
            0 => Action::Ring { media: None },
            1 => Action::Ring { media: Some(media(port)) },
            2..=4 => Action::Accept { media: media(port) },
            5 => Action::Reject { cause: Cause::BUSY, status: None, retry_after_s: None },
            6 | 7 => Action::Reoffer(media(port)),
            8 => Action::Info(Digit::try_from('5').expect("a digit")),
            9 => Action::Refer { to: Private::new("sip:x@192.0.2.9".to_owned()), replaces: None },
            10 => Action::Answer(media(port)),
            _ if self.rng.chance(0.3) => Action::Clear(Cause::NORMAL),
            _ => Action::ReferResult { status: 180 },
        };
        let _may_not_fit = self.w.try_act(side, legs[n], action);
        self.hear();
    }

    fn finish(&mut self) {
        for side in [0, 1] {
            for id in self.known[side].keys().copied().collect::<Vec<_>>() {
                let _may_be_over = self.w.try_act(side, id, Action::Clear(Cause::NORMAL));
            }
        }
        // Should every copy of a BYE be lost, the session timer is the last net.
        self.w.run(4_000_000);
        self.hear();
        self.w.assert_empty();
        for side in [0, 1] {
            assert!(self.known[side].values().all(|k| k.over), "a leg of side {side} never ended");
        }
        let (ours, theirs) = (spoken(&self.w, 0), spoken(&self.w, 1));
        assert!(ours.len() <= theirs.len(), "answered here but not there");
        assert!(ours.iter().all(|c| *c == Codec::Pcmu) && theirs.iter().all(|c| *c == Codec::Pcmu));
    }
}

/// The codecs of the calls that a side saw answered.
fn spoken(w: &World, side: usize) -> Vec<Codec> {
    let told = w.sides[side].told.iter().filter_map(|(_, i)| match i {
        Indication::Answered { media: Media::Rtp(rtp) } => rtp.codecs.first().copied(),
        _ => None,
    });
    told.collect()
}

#[test]
fn calls_end_once_and_leave_nothing_in_any_weather() {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    // The last two once left a transaction: a BYE that overtook a 2xx, and a 100 after the end.
    for seed in (0..300).chain([2_808, 3_014]) {
        let result = std::panic::catch_unwind(|| {
            let mut play = Play::new(seed);
            play.run();
            play.w.heard(0).into_iter().chain(play.w.heard(1)).collect::<Vec<_>>()
        });
        for word in result.unwrap_or_else(|_| panic!("failed with seed {seed}")) {
            *seen.entry(word).or_default() += 1;
        }
    }
    println!("{seen:?}");
    // The play must have reached what it is about.
    for word in [
        "answered",
        "reanswered true",
        "reanswered false",
        "offered",
        "183+media",
        "digit",
        "referred",
        "refer 200",
    ] {
        assert!(seen.get(word).is_some_and(|&n| n > 20), "{word} was hardly seen: {seen:?}");
    }
}
