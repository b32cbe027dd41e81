//! The link by its figures: a drawing of all transitions, the retransmission rules, and pairs over a bad line.

use super::*;
use crate::model::{Machine, at, dot};
use units::Seed;

/// What the explorer may do to a link.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    Frame(&'static [u8]),
    Establish,
    Release,
    Send,
    Timer,
}

impl Machine for Link {
    type Input = Do;
    type Output = Told;
    // As the network sends them: commands have C/R = 1.
    const INPUTS: &'static [(&'static str, Do)] = &[
        ("DL-ESTABLISH", Do::Establish),
        ("DL-RELEASE", Do::Release),
        ("DL-DATA", Do::Send),
        ("SABME", Do::Frame(&[0x02, 0x01, 0x7F])),
        ("DISC", Do::Frame(&[0x02, 0x01, 0x53])),
        ("UA F=1", Do::Frame(&[0x00, 0x01, 0x73])),
        ("UA F=0", Do::Frame(&[0x00, 0x01, 0x63])),
        ("DM F=1", Do::Frame(&[0x00, 0x01, 0x1F])),
        ("DM F=0", Do::Frame(&[0x00, 0x01, 0x0F])),
        ("FRMR", Do::Frame(&[0x00, 0x01, 0x87, 1, 2, 3, 4, 5])),
        ("RR F=1", Do::Frame(&[0x00, 0x01, 0x01, 0x01])),
        ("RR P=1", Do::Frame(&[0x02, 0x01, 0x01, 0x01])),
        ("RNR", Do::Frame(&[0x00, 0x01, 0x05, 0x00])),
        ("REJ", Do::Frame(&[0x00, 0x01, 0x09, 0x00])),
        ("RR N(R) wrong", Do::Frame(&[0x00, 0x01, 0x01, 0x80])),
        ("I", Do::Frame(&[0x02, 0x01, 0x00, 0x00, 0x08])),
        ("I out of order", Do::Frame(&[0x02, 0x01, 0x0A, 0x00, 0x08])),
        ("undefined", Do::Frame(&[0x02, 0x01, 0xEF])),
    ];
    const TIMER: Do = Do::Timer;
    fn step(&mut self, now: Now, input: Do) {
        let input = match input {
            Do::Frame(octets) => Input::Frame(octets),
            Do::Establish => Input::Establish,
            Do::Release => Input::Release,
            Do::Send => Input::Send(b"m"),
            Do::Timer => Input::Timer,
        };
        // A message without a link is refused: no transition.
        let _ = self.handle(now, input);
    }
    fn next(&mut self) -> Option<Told> {
        self.poll().map(Told)
    }
    fn due(&self) -> Option<(Mono, String)> {
        self.deadline().map(|(at, t)| (at, format!("{t:?}")))
    }
    fn state(&self) -> &'static str {
        ["4", "5", "6", "7", "8"][usize::from(self.state_number() - 4)]
    }
}

/// An output, shown by the name of its frame.
pub(crate) struct Told(Output);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Output::Frame(octets) => {
                let frame = Frame::parse(octets, Side::User).expect("our own");
                let kind = format!("{:?}", frame.kind);
                let name = kind.split(['(', ' ']).next().unwrap_or_default().to_uppercase();
                write!(f, "{name}{}", if frame.pf { " PF=1" } else { "" })
            }
            other => write!(f, "{other:?}"),
        }
    }
}

#[test]
fn figures_b_4_to_b_9_are_drawn() {
    let drawn = dot("link", Link::new(Side::User, Timers::default()));
    assert_eq!(drawn, include_str!("../link.dot"));
}

/// Frames pass both ways; `keep` says which.
struct Pair {
    ends: [Link; 2],
    now: Now,
    heard: [Vec<Vec<u8>>; 2],
    told: [Vec<Output>; 2],
    line: VecDeque<(usize, Vec<u8>)>,
}

impl Pair {
    fn new(timers: Timers) -> Self {
        let ends = [Link::new(Side::Network, timers), Link::new(Side::User, timers)];
        Self { ends, now: at(0), heard: Default::default(), told: Default::default(), line: VecDeque::new() }
    }

    fn up() -> Self {
        let mut pair = Self::new(Timers::default());
        pair.put(0, Input::Establish);
        pair.run(&mut |_| true);
        assert!(pair.ends.iter().all(Link::is_up));
        pair
    }

    fn put(&mut self, end: usize, input: Input<'_>) {
        let _ = self.ends[end].handle(self.now, input);
        while let Some(output) = self.ends[end].poll() {
            match output {
                Output::Frame(octets) => self.line.push_back((1 - end, octets)),
                Output::Data(info) => self.heard[end].push(info),
                other => self.told[end].push(other),
            }
        }
    }

    fn run(&mut self, keep: &mut impl FnMut(&[u8]) -> bool) {
        while let Some((to, octets)) = self.line.pop_front() {
            if keep(&octets) {
                self.put(to, Input::Frame(&octets));
            }
        }
    }

    /// Lets time pass until `ms` after the start.
    fn until(&mut self, ms: u64, keep: &mut impl FnMut(&[u8]) -> bool) {
        loop {
            self.run(keep);
            let due = |l: &Link| l.deadline().map(|d| d.0);
            let next = (0..2).filter_map(|n| due(&self.ends[n]).map(|d| (d, n))).min();
            let Some((when, end)) = next.filter(|(when, _)| when.as_ms() <= ms) else { break };
            self.now.mono = self.now.mono.max(when);
            self.put(end, Input::Timer);
        }
        self.now = at(ms);
    }
}

#[test]
fn q921_5_5_1_establishment_from_either_side_and_from_both_at_once() {
    for who in [&[0][..], &[1], &[0, 1]] {
        let mut pair = Pair::new(Timers::default());
        who.iter().for_each(|&end| pair.put(end, Input::Establish));
        pair.run(&mut |_| true);
        assert!(pair.ends.iter().all(Link::is_up), "{who:?}");
        assert!(who.iter().all(|&end| pair.told[end] == [Output::Confirmed]), "{who:?}");
    }
}

#[test]
fn q921_5_5_1_3_sabme_is_repeated_n200_times() {
    let mut pair = Pair::new(Timers::default());
    pair.put(0, Input::Establish);
    let mut sent = 0;
    pair.until(60_000, &mut |_| {
        sent += 1;
        false
    });
    assert_eq!((sent, pair.told[0].as_slice()), (4, &[Output::Error('G'), Output::Released][..]));
}

#[test]
fn q921_5_6_messages_come_in_order_past_the_window() {
    let mut pair = Pair::up();
    let all: Vec<Vec<u8>> = (0..200u8).map(|n| vec![8, n]).collect();
    for message in &all {
        pair.put(0, Input::Send(message));
        pair.put(1, Input::Send(message));
        assert!(pair.ends[0].outstanding() <= 7);
    }
    pair.run(&mut |_| true);
    assert!(pair.heard[0] == all && pair.heard[1] == all);
}

#[test]
fn q921_5_6_8_an_idle_link_is_asked_every_t203_and_lost_when_silent() {
    let mut pair = Pair::up();
    let mut asked = 0;
    pair.until(35_000, &mut |f| {
        asked += usize::from(f[2] == 1 && f[3] & 1 == 1);
        true
    });
    assert!(asked >= 4 && pair.ends.iter().all(Link::is_up), "{asked}");
    pair.until(200_000, &mut |_| false);
    assert!(pair.told.iter().all(|t| t.ends_with(&[
        Output::Error('I'),
        Output::Error('G'),
        Output::Released
    ])));
}

#[test]
fn q921_5_8_1_one_lost_frame_is_rejected_once_and_sent_again() {
    let mut pair = Pair::up();
    (0..5u8).for_each(|n| pair.put(0, Input::Send(&[n])));
    let (mut count, mut rejects) = (0, 0);
    pair.run(&mut |f| {
        rejects += usize::from(f[2] == 9);
        count += usize::from(f[2] & 1 == 0);
        count != 2 || f[2] & 1 == 1
    });
    assert_eq!((pair.heard[1].len(), rejects), (5, 1));
}

#[test]
fn q921_5_6_nothing_is_lost_or_doubled_over_a_bad_line() {
    // Goal: every message once and in order, or layer 3 told. Method: both send under loss and bit errors, by seed.
    for seed in 0..200 {
        let mut rng = Seed(seed).rng();
        let mut pair = Pair::up();
        for n in 0..120u8 {
            pair.put(usize::from(n % 2), Input::Send(&[n]));
            let next = pair.now.mono.as_ms() + rng.below(900);
            pair.until(next, &mut |_| !rng.chance(0.1));
        }
        let next = pair.now.mono.as_ms() + 30_000;
        pair.until(next, &mut |_| true);
        let resets = pair.told.iter().flatten().filter(|o| **o == Output::Established).count();
        for (end, odd) in [(1, 0), (0, 1)] {
            let numbers: Vec<u8> = pair.heard[end].iter().map(|m| m[0]).collect();
            assert!(numbers.is_sorted() && numbers.iter().all(|n| n % 2 == odd), "seed {seed}: {numbers:?}");
            assert!(resets > 1 || numbers.len() == 60, "seed {seed}: {} of 60", numbers.len());
        }
    }
}

#[test]
fn babble_is_survived() {
    let mut pair = Pair::up();
    let mut rng = Seed(9).rng();
    for n in 0..50_000u64 {
        let mut octets: Vec<u8> = (0..rng.below(9)).map(|_| rng.next_u64().to_le_bytes()[0]).collect();
        if n % 2 == 0 && octets.len() > 2 {
            (octets[0], octets[1]) = (2 * (octets[0] & 1), 1);
        }
        pair.put(usize::from(n % 4 < 2), Input::Frame(&octets));
        pair.line.clear();
        assert!(pair.ends[0].outstanding() <= 7 && pair.ends[1].outstanding() <= 7);
    }
    pair.until(600_000, &mut |_| true);
    pair.put(0, Input::Establish);
    pair.run(&mut |_| true);
    assert!(pair.ends.iter().all(Link::is_up), "{:?}", pair.ends);
}
