//! From a card's alarm to the capacity of its trunk: a worker with a card, and the spans' signalling, in virtual time.

use dataplane::limits::Limits;
use dataplane::net::sim::SimNet;
use dataplane::report::{Report, SpanEvent};
use dataplane::worker::{Worker, links};
use hw::card::{Card, CardError, CardInfo, CardReport, SpanKind, Tick, alarm};
use hw::soft::{Loopback, Wiring};
use hw::tdm::alarm::{Integrator, Output as Alarms, Times};
use signalling::tdm::{Endpoint, Input, Output};
use units::{Mono, Now};

/// When the signal of span 0 goes, and when it comes back, ms.
const CUT_MS: u64 = 5_000;
const BACK_MS: u64 = 12_000;

/// A loop whose first span loses its signal for a while; its alarms are integrated as a card does.
struct Cut {
    card: Loopback,
    alarms: Integrator,
    told: u16,
    ms: u64,
    report: Option<CardReport>,
    /// When the alarm was declared.
    declared: std::sync::mpsc::Sender<u64>,
}

impl Card for Cut {
    fn info(&self) -> &CardInfo {
        self.card.info()
    }

    fn exchange(&mut self, tick: &mut Tick<'_>) -> Result<(), CardError> {
        self.ms += 1;
        let seen = if (CUT_MS..BACK_MS).contains(&self.ms) { alarm::LOS } else { 0 };
        self.alarms.handle(Mono::from_ms(self.ms), seen);
        while let Some(output) = self.alarms.poll() {
            let (Alarms::Defects(_) | Alarms::Failures(_)) = output;
        }
        let bits = self.alarms.failures() | if seen == 0 { 0 } else { alarm::DEFECT };
        if bits != self.told {
            if bits & alarm::DEAD != 0 && self.told & alarm::DEAD == 0 {
                self.declared.send(self.ms).expect("the test listens");
            }
            self.told = bits;
            self.report = Some(CardReport::Alarm { span: 0, bits });
        }
        self.card.exchange(tick)
    }

    fn poll(&mut self) -> Option<CardReport> {
        self.report.take().or_else(|| self.card.poll())
    }

    fn set_bits(&mut self, span: u16, slot: u8, abcd: u8) {
        self.card.set_bits(span, slot, abcd);
    }

    fn send_frame(&mut self, span: u16, slot: u8, frame: &[u8]) -> bool {
        self.card.send_frame(span, slot, frame)
    }

    fn receive_frame(&mut self, span: u16, slot: u8, into: &mut [u8]) -> Option<usize> {
        self.card.receive_frame(span, slot, into)
    }
}

const SPANS: &str = "
[[spans]]
number = 1
device = \"loopback:2\"
kind = \"e1\"
signalling = \"pri_cpe\"
[[spans]]
number = 2
device = \"loopback:1\"
kind = \"e1\"
signalling = \"pri_net\"
[[trunks]]
name = \"line\"
spans = [1]
prefixes = [\"*\"]
";

#[test]
fn capacity_leaves_within_100_ms_of_the_alarm_and_new_calls_avoid_the_span_at_the_first_defect() {
    let d_channels = [(0, 16), (1, 16)];
    let (declared, declarations) = std::sync::mpsc::channel();
    let card = Cut {
        card: Loopback::new(&[SpanKind::E1, SpanKind::E1], Wiring::Pairs, &d_channels),
        alarms: Integrator::new(Times::E1),
        told: 0,
        ms: 0,
        report: None,
        declared,
    };
    let limits = Limits { bearers: 64, ..Limits::default() };
    let (mut control, ends) = links(&limits);
    let net = SimNet::new(limits.places());
    let mut worker = Worker::new(0, limits, net, vec![ends]).with_board(Box::new(card), &d_channels);
    let mut tdm: Endpoint = control::config::parse("t", SPANS).expect("reads").tdm();
    tdm.start(Now::default());
    let (mut free, mut changes) = (0, Vec::new());
    let mut alarmed = None;
    for ms in 1..=30_000 {
        let now = Now { mono: Mono::from_ms(ms), ..Now::default() };
        while let Some(output) = tdm.poll() {
            if let Output::Frame { span, octets } = output {
                let frame = dataplane::dchannel::Frame::new(span - 1, 16, &octets).expect("short");
                control.frames.push(frame).expect("room");
            }
        }
        worker.tick(now);
        while let Ok(report) = control.reports.pop() {
            if let Report::Span { span, what: SpanEvent::Alarm { dead, defect, .. }, .. } = report {
                tdm.handle(now, Input::Line { span: span + 1, up: !dead, defect });
            }
        }
        while let Ok(frame) = control.heard.pop() {
            tdm.handle(now, Input::Frame { span: frame.span() + 1, octets: frame.octets() });
        }
        if tdm.deadline().is_some_and(|at| at <= now.mono) {
            tdm.handle(now, Input::Timer);
        }
        if tdm.free("line") != free {
            free = tdm.free("line");
            changes.push((ms, free));
        }
        if alarmed.is_none() && tdm.view()[0].alarm {
            alarmed = Some(ms);
        }
    }
    let declared = declarations.try_recv().expect("the alarm was declared");
    let alarmed = alarmed.expect("the trunk heard of it");
    println!(
        "defect at {CUT_MS} ms, alarm declared at {declared} ms, heard of at {alarmed} ms; free: {changes:?}"
    );
    // An E1's defect makes an alarm after 100 ms.
    assert!(declared >= CUT_MS + 100 && alarmed.abs_diff(declared) <= 100);
    let left = changes.iter().find(|(ms, free)| *ms >= CUT_MS && *free == 0).expect("it left");
    assert!(left.0 <= CUT_MS + 100, "at the first defect no new call goes there: {changes:?}");
    let back = changes.last().expect("it came back");
    assert!(back.1 == 30 && back.0 > BACK_MS, "{changes:?}");
}
