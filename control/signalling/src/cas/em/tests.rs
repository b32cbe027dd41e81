//! Two ends of one E&M trunk, in virtual time: what one says the other hears at once.

use super::super::Start::{Immediate, Wink};
use super::*;

struct Two {
    ends: [Channel; 2],
    now: Now,
    /// Register of each end that has something to say, and what.
    says: [Option<(Mono, String)>; 2],
    listens: [bool; 2],
    hooks: Vec<(u64, usize, bool)>,
    told: [Vec<String>; 2],
}

impl Two {
    fn new(start: Start, pulse: Pulse) -> Self {
        let end = || Channel::new(start, pulse, Timing::default(), None);
        Self {
            ends: [end(), end()],
            now: Now::default(),
            says: [None, None],
            listens: [false; 2],
            hooks: Vec::new(),
            told: Default::default(),
        }
    }

    fn put(&mut self, end: usize, input: Input) {
        self.ends[end].handle(self.now, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.ends[end].poll()).collect();
        for output in outputs {
            match output {
                Output::Hook { off } => {
                    self.hooks.push((self.now.mono.as_ms(), end, off));
                    self.put(1 - end, Input::Hook { off });
                }
                Output::Register(Register::Say(_, digits)) => {
                    // Ten digits a second.
                    let ms = 100 * u64::try_from(digits.expose().len()).expect("short");
                    let at = self.now.mono + Duration::from_millis(ms);
                    self.says[end] = Some((at, digits.into_exposed()));
                }
                Output::Register(register) => {
                    self.listens[end] = matches!(register, Register::Listen(_));
                    if matches!(register, Register::Busy) {
                        self.told[end].push("busy".into());
                    }
                }
                Output::Told(told) => {
                    let word = match told {
                        Told::Incoming(number) => format!("incoming {}", number.expose()),
                        Told::Dialled => "dialled".into(),
                        Told::Answered => "answered".into(),
                        Told::Ended { cause, by_peer } => format!("ended {} {by_peer}", cause.0),
                    };
                    self.told[end].push(word);
                }
            }
        }
    }

    fn until(&mut self, ms: u64) {
        while self.now.mono.as_ms() < ms {
            self.now = self.now.plus(Duration::from_millis(1));
            for end in 0..2 {
                if self.ends[end].deadline().is_some_and(|at| at <= self.now.mono) {
                    self.put(end, Input::Timer);
                }
                if self.says[end].as_ref().is_some_and(|(at, _)| *at <= self.now.mono) {
                    let (_, digits) = self.says[end].take().expect("just seen");
                    let heard = self.listens[1 - end];
                    for digit in digits.chars().filter(|_| heard) {
                        self.put(1 - end, Input::Signal(digit));
                    }
                    self.put(end, Input::Said);
                }
            }
        }
    }

    fn place(&mut self, end: usize) {
        let number = Private::new("5551234".to_owned());
        self.put(end, Input::Place { number, ring_max: Duration::from_secs(60) });
    }

    fn later(&mut self, ms: u64) {
        self.until(self.now.mono.as_ms() + ms);
    }
}

#[test]
fn t1_405_a_call_goes_through_by_wink_and_by_immediate_start_with_dtmf_and_mf() {
    for (start, pulse) in
        [(Wink, Pulse::Dtmf), (Wink, Pulse::Mf), (Immediate, Pulse::Dtmf), (Immediate, Pulse::Mf)]
    {
        let mut two = Two::new(start, pulse);
        two.place(0);
        two.until(6_000);
        assert_eq!(two.told[0], ["dialled"], "{start:?} {pulse:?}");
        assert_eq!(two.told[1], ["incoming 5551234"], "{start:?} {pulse:?}");
        if start == Wink {
            // EIA/TIA-464: the wink is 200 ms of off-hook.
            let theirs: Vec<_> = two.hooks.iter().filter(|(_, end, _)| *end == 1).collect();
            assert!(matches!(theirs[..], [(30, 1, true), (230, 1, false)]), "{theirs:?}");
        }
        two.put(1, Input::Answer);
        two.later(100);
        assert_eq!((two.told[0].len(), two.told[1].len()), (2, 2));
        two.put(1, Input::Clear(Cause::NORMAL));
        two.later(3_000);
        assert_eq!(two.told[0].last().map(String::as_str), Some("ended 16 true"));
        assert!(two.ends.iter().all(Channel::is_idle), "{:?}", two.ends);
        assert_eq!((two.says[0].is_none(), two.listens), (true, [false; 2]));
    }
}

#[test]
fn a_refused_caller_hears_busy_until_they_hang_up() {
    let mut two = Two::new(Wink, Pulse::Dtmf);
    two.place(0);
    two.until(6_000);
    two.put(1, Input::Clear(Cause::BUSY));
    two.later(2_000);
    assert_eq!(two.told[1], ["incoming 5551234", "busy", "ended 17 false"]);
    assert!(two.ends[1].is_incoming());
    two.put(0, Input::Clear(Cause::NORMAL));
    two.later(2_000);
    assert!(two.ends.iter().all(Channel::is_idle));
}

#[test]
fn t1_405_5_4_glare_is_let_go_by_both() {
    for start in [Wink, Immediate] {
        let mut two = Two::new(start, Pulse::Dtmf);
        two.place(0);
        two.place(1);
        two.until(4_000);
        let glared = |end: usize| two.told[end].iter().any(|t| t == "ended 44 false");
        assert!(glared(0) || glared(1), "{:?}", two.told);
        for end in 0..2 {
            two.put(end, Input::Clear(Cause::NORMAL));
        }
        two.until(30_000);
        assert!(two.ends.iter().all(Channel::is_idle), "{:?}", two.ends);
    }
}

#[test]
fn hits_are_no_winks_no_answers_and_no_ends() {
    let mut channel = Channel::new(Wink, Pulse::Dtmf, Timing::default(), None);
    let mut now = Now::default();
    let mut put = |after: u64, input: Input| {
        now = now.plus(Duration::from_millis(after));
        channel.handle(now, input);
        let said: Vec<String> = std::iter::from_fn(|| channel.poll()).map(|o| format!("{o:?}")).collect();
        said.join(" ")
    };
    // 10 ms of off-hook is no seizure.
    assert_eq!(
        put(0, Input::Hook { off: true }) + &put(10, Input::Hook { off: false }) + &put(50, Input::Timer),
        ""
    );
    let ring_max = Duration::from_secs(60);
    assert!(put(0, Input::Place { number: Private::new("1".into()), ring_max }).contains("off: true"));
    // 40 ms is no wink, 150 ms is one.
    assert_eq!(put(100, Input::Hook { off: true }) + &put(40, Input::Hook { off: false }), "");
    assert_eq!(put(100, Input::Hook { off: true }) + &put(150, Input::Hook { off: false }), "");
    assert!(put(120, Input::Timer).contains("Say"));
    assert!(put(100, Input::Said).contains("Dialled"));
    assert_eq!(put(10, Input::Hook { off: true }) + &put(10, Input::Hook { off: false }), "");
    assert!(put(10, Input::Hook { off: true }).is_empty() && put(30, Input::Timer).contains("Answered"));
    // A flash of 200 ms ends nothing, 300 ms do.
    assert_eq!(
        put(900, Input::Hook { off: false }) + &put(200, Input::Hook { off: true }) + &put(200, Input::Timer),
        ""
    );
    assert!(
        put(0, Input::Hook { off: false }).is_empty() && put(300, Input::Timer).contains("by_peer: true")
    );
}

#[test]
fn whatever_comes_the_channel_is_idle_once_the_peer_is() {
    // Goal: nothing wedges a channel. Method: random inputs, then a peer that is on-hook and time.
    let mut rng = units::Seed(405).rng();
    for round in 0..300 {
        let start = if round % 2 == 0 { Wink } else { Immediate };
        let pulse = if round % 4 < 2 { Pulse::Dtmf } else { Pulse::Mf };
        let mut channel = Channel::new(start, pulse, Timing::default(), None);
        let (mut now, mut placed, mut ended) = (Now::default(), 0, 0);
        let mut run = |channel: &mut Channel, now: Now, input: Input| {
            channel.handle(now, input);
            while let Some(output) = channel.poll() {
                if let Output::Told(told) = output {
                    placed += u32::from(matches!(told, Told::Incoming(_)));
                    ended += u32::from(matches!(told, Told::Ended { .. }));
                }
            }
        };
        let mut ours = 0;
        for _ in 0..200 {
            now = now.plus(Duration::from_millis(rng.below(400)));
            run(&mut channel, now, Input::Timer);
            let input = match rng.below(9) {
                0 | 1 => Input::Hook { off: true },
                2 | 3 => Input::Hook { off: false },
                4 if channel.is_idle() => {
                    ours += 1;
                    Input::Place { number: Private::new("12".into()), ring_max: Duration::from_secs(5) }
                }
                5 => Input::Said,
                6 => Input::Answer,
                7 => Input::Signal(['K', '5', 'S', '#'][usize::try_from(rng.below(4)).expect("small")]),
                _ => Input::Clear(Cause::NORMAL),
            };
            run(&mut channel, now, input);
        }
        run(&mut channel, now, Input::Hook { off: false });
        for _ in 0..40 {
            now = now.plus(Duration::from_secs(1));
            run(&mut channel, now, Input::Timer);
        }
        run(&mut channel, now, Input::Clear(Cause::NORMAL));
        for _ in 0..40 {
            now = now.plus(Duration::from_secs(1));
            run(&mut channel, now, Input::Timer);
        }
        assert!(channel.is_idle(), "{round}: {channel:?}");
        assert_eq!(placed + ours, ended, "{round}: every call ends once");
    }
}
