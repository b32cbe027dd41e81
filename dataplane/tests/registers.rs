//! Registers, loops and bit error tests of timeslots: two spans of a card in software, a worker in virtual time.

use dataplane::command::Command;
use dataplane::limits::Limits;
use dataplane::net::sim::SimNet;
use dataplane::register::{Loop, Order, Pulse, Signals};
use dataplane::report::{Report, SpanEvent};
use dataplane::worker::{ControlEnds, Worker, links};
use hw::card::SpanKind;
use hw::soft::{Loopback, Wiring};
use units::{Mono, Now};

struct Bench {
    worker: Worker<SimNet>,
    control: ControlEnds,
    ms: u64,
    /// Span, slot and digit, in order.
    heard: Vec<(u16, u8, char)>,
    said: Vec<(u16, u8)>,
    bits: Vec<(u16, u8, u8)>,
    /// Bits, errors, whether the pattern is found; the latest.
    bert: Option<(u64, u64, bool)>,
}

impl Bench {
    fn new(kind: SpanKind) -> Self {
        let limits = Limits { bearers: 20, ..Limits::default() };
        let (control, ends) = links(&limits);
        let net = SimNet::new(limits.places());
        let card = Loopback::new(&[kind, kind], Wiring::Pairs, &[]);
        let worker = Worker::new(0, limits, net, vec![ends]).with_board(Box::new(card), &[]);
        let (heard, said, bits) = (Vec::new(), Vec::new(), Vec::new());
        Self { worker, control, ms: 0, heard, said, bits, bert: None }
    }

    fn command(&mut self, command: Command) {
        self.control.commands.push(command).expect("room");
    }

    fn order(&mut self, span: u16, slot: u8, order: Order) {
        self.command(Command::Register { span, slot, order });
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.ms += 1;
            self.worker.tick(Now { mono: Mono::from_ms(self.ms), ..Now::default() });
            while let Ok(report) = self.control.reports.pop() {
                let Report::Span { span, what, .. } = report else { continue };
                match what {
                    SpanEvent::Signal { slot, signal } => {
                        let [signal] = signal.into_exposed();
                        self.heard.push((span, slot, char::from(signal)));
                    }
                    SpanEvent::Said { slot } => self.said.push((span, slot)),
                    SpanEvent::Bits { slot, abcd } => self.bits.push((span, slot, abcd)),
                    SpanEvent::Bert { bits, errors, found, .. } => self.bert = Some((bits, errors, found)),
                    _ => {}
                }
            }
        }
    }

    fn digits(&self, span: u16, slot: u8) -> String {
        self.heard.iter().filter(|(s, n, _)| (*s, *n) == (span, slot)).map(|(.., c)| *c).collect()
    }
}

#[test]
fn digits_said_in_a_slot_are_heard_in_the_same_slot_of_the_other_span() {
    for kind in [SpanKind::T1, SpanKind::E1] {
        let mut bench = Bench::new(kind);
        let sets =
            [(1, Pulse::Dtmf, "15550123456789*#"), (7, Pulse::Mf, "K1234567890S"), (24, Pulse::Dtmf, "9")];
        for (slot, pulse, text) in sets {
            bench.order(1, slot, Order::Listen(pulse));
            bench.order(0, slot, Order::Say(pulse, Signals::new(text).expect("short")));
        }
        bench.run(3_000);
        for (slot, _, text) in sets {
            assert_eq!(bench.digits(1, slot), text, "{kind:?}");
        }
        bench.said.sort_unstable();
        assert_eq!(bench.said, [(0, 1), (0, 7), (0, 24)]);
        // Whoever listens no longer hears nothing.
        bench.order(1, 1, Order::Off);
        bench.order(0, 1, Order::Say(Pulse::Dtmf, Signals::new("55").expect("short")));
        bench.run(1_000);
        assert_eq!(bench.digits(1, 1), "15550123456789*#");
        bench.command(Command::SetBits { span: 0, slot: 3, abcd: 15 });
        bench.run(1);
        assert_eq!(bench.bits, [(1, 3, 15)]);
    }
}

#[test]
fn busy_tone_and_silence_are_no_digits() {
    let mut bench = Bench::new(SpanKind::T1);
    for (slot, pulse) in [(1, Pulse::Dtmf), (2, Pulse::Mf)] {
        bench.order(0, slot, Order::Busy);
        bench.order(1, slot, Order::Listen(pulse));
        bench.order(1, slot + 2, Order::Listen(pulse));
    }
    bench.run(10_000);
    assert_eq!((bench.heard.len(), bench.said.len()), (0, 0), "{:?}", bench.heard);
}

#[test]
fn o150_a_pattern_comes_back_over_either_loop_and_not_without() {
    let mut bench = Bench::new(SpanKind::E1);
    bench.command(Command::Loop { span: 0, how: Loop::Local });
    bench.order(0, 5, Order::Bert);
    bench.run(3_001);
    assert!(matches!(bench.bert, Some((bits, 0, true)) if bits > 180_000), "{:?}", bench.bert);
    bench.command(Command::Loop { span: 0, how: Loop::Off });
    bench.run(2_000);
    assert!(matches!(bench.bert, Some((_, _, false))), "{:?}", bench.bert);
    // The far end turns it round.
    bench.command(Command::Loop { span: 1, how: Loop::Remote });
    bench.order(0, 5, Order::Bert);
    bench.run(3_000);
    assert!(matches!(bench.bert, Some((bits, 0, true)) if bits > 120_000), "{:?}", bench.bert);
}
