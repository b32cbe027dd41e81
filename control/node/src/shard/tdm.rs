//! The spans' door: D-channel frames to and from the first worker's card, timeslots as bearers, and what people and
//! counters are told of spans.

use super::{Shell, doors::Doors};
use control::shard::{Input, Token};
use dataplane::dchannel::Frame;
use dataplane::line::Treatment;
use dataplane::register::{Loop, Order, Pulse, Signals};
use dataplane::report::{Report, SpanEvent};
use dataplane::spec::Spec;
use hw::dsp::g711::Law;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signalling::cas::{self, Register};
use signalling::isdn::pri::ChannelState;
use signalling::tdm::{Input as TdmInput, Output, SpanView};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use units::{BearerId, Codec};

/// The worker that has the card.
const WORKER: u16 = 0;
/// A timeslot has no address.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What the door knows of a span.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Slot of its D-channel.
    pub d_slot: Option<u8>,
    /// How it carries voice.
    pub codec: Codec,
    /// Its echo is cancelled.
    pub cancels: bool,
    /// Gain of what is received and of what is sent, dB.
    pub gains_db: (f32, f32),
}

impl Span {
    fn treatment(&self) -> Option<Treatment> {
        let law = if self.codec == Codec::Pcma { Law::A } else { Law::Mu };
        Treatment::new(law, self.cancels, self.gains_db.0, self.gains_db.1)
    }
}

/// What a technician does to a span that is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Maintenance {
    /// No loop.
    LoopOff,
    /// What we send is what we hear.
    LoopLocal,
    /// What the line sends it hears.
    LoopRemote,
    /// Send a pseudo-random pattern and count what comes back wrong.
    BertStart,
    /// Stop that; the result is kept.
    BertStop,
}

/// Loops and tests of spans.
#[derive(Debug, Default)]
pub(super) struct Tests {
    loops: BTreeMap<u16, Loop>,
    /// By span and slot.
    berts: BTreeMap<(u16, u8), Bert>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bert {
    running: bool,
    found: bool,
    bits: u64,
    errors: u64,
    losses: u32,
}

impl Doors {
    pub(super) fn reserve_slot(&mut self, token: Token) -> Input<'static> {
        let place =
            self.end.reserve_timeslot(WORKER).inspect_err(|error| tracing::warn!(?error, "no bearer"));
        Input::Reserved(token, place.ok().map(|bearer| (bearer, NOWHERE)))
    }

    pub(super) fn open_slot(&mut self, bearer: BearerId, span: u16, slot: u8) -> Option<Input<'static>> {
        let on_card = span.checked_sub(1);
        let known = on_card.and_then(|n| self.spans.get(usize::from(n)).copied());
        let opened = on_card.zip(known).map(|(n, known)| {
            self.local.insert(bearer, (NOWHERE, known.codec));
            self.end.open(bearer, Spec::timeslot(n, slot, known.codec).with_treatment(known.treatment()))
        });
        match opened {
            Some(Ok(())) => None,
            failed => {
                tracing::error!(?bearer, ?failed, "a timeslot did not open");
                self.local.remove(&bearer);
                self.end.release(bearer);
                Some(Input::Report(Report::OpenFailed { bearer }))
            }
        }
    }

    pub(super) fn tdm(&mut self, output: Output) {
        match output {
            Output::Frame { span, octets } => {
                let d_slot =
                    span.checked_sub(1).and_then(|n| Some((n, self.spans.get(usize::from(n))?.d_slot?)));
                let frame = d_slot.and_then(|(n, slot)| Frame::new(n, slot, &octets));
                // What is lost here Q.921 sends again.
                if frame.is_none_or(|frame| self.end.send_frame(WORKER, frame).is_err()) {
                    metrics::counter!("carillon_dchannel_frames_lost_total").increment(1);
                }
            }
            Output::Link { span, up } => {
                let labels = [("span", span.to_string())];
                metrics::gauge!("carillon_dchannel_up", &labels).set(f64::from(u8::from(up)));
                tracing::info!(span, up, "a D-channel changed state");
            }
            Output::Bits { span, slot, abcd } => {
                let sent = span.checked_sub(1).map(|n| self.end.set_bits(WORKER, n, slot, abcd));
                if sent.is_none_or(|sent| sent.is_err()) {
                    tracing::error!(span, slot, "signalling bits were lost: the ring to the worker is full");
                }
            }
            Output::Register { span, slot, what } => {
                let ordered = span.checked_sub(1).map(|n| self.end.register(WORKER, n, slot, order(&what)));
                if ordered.is_none_or(|ordered| ordered.is_err()) {
                    tracing::error!(span, slot, "a register was not told: the ring to the worker is full");
                }
            }
            Output::Leg(..) => {}
        }
    }
}

fn order(register: &Register) -> Order {
    let pulse = |pulse| match pulse {
        cas::Pulse::Dtmf => Pulse::Dtmf,
        cas::Pulse::Mf => Pulse::Mf,
    };
    match register {
        Register::Listen(p) => Order::Listen(pulse(*p)),
        // Signalling says only what can be said; a register that said nothing is given up by its timer.
        Register::Say(p, digits) => {
            Signals::new(digits.expose()).map_or(Order::Off, |signals| Order::Say(pulse(*p), signals))
        }
        Register::Busy => Order::Busy,
        Register::Off => Order::Off,
    }
}

impl Shell {
    /// D-channel frames that came, until there are none.
    pub(super) fn frames(&mut self) {
        while let Some((_, frame)) = self.doors.end.poll_frame() {
            let (span, octets) = (frame.span() + 1, frame.octets());
            self.handle(Input::Tdm(TdmInput::Frame { span, octets }));
        }
    }

    /// What is measured of spans: free channels of each group, now.
    pub(super) fn count_spans(&self) {
        let tdm = self.shard.tdm();
        for group in tdm.groups() {
            let free = u32::try_from(tdm.free(&group.name)).unwrap_or(u32::MAX);
            let labels = [("trunk", group.name.clone())];
            metrics::gauge!("carillon_channels_free", &labels).set(f64::from(free));
        }
        for span in tdm.view() {
            for word in
                [ChannelState::Idle, ChannelState::Outgoing, ChannelState::Incoming, ChannelState::Blocked]
            {
                let labels = [("span", span.span.to_string()), ("state", word.word().to_owned())];
                let count = u32::try_from(count(&span, word)).unwrap_or(u32::MAX);
                metrics::gauge!("carillon_span_slots", &labels).set(f64::from(count));
            }
        }
    }

    /// Loops or tests a span, or one slot of it, which nobody may be using.
    pub(super) fn maintain(&mut self, span: u16, slot: Option<u8>, what: Maintenance) -> Result<(), String> {
        let all = self.shard.tdm().view();
        let view = all.iter().find(|v| v.span == span).ok_or_else(|| format!("there is no span {span}"))?;
        let wanted: Vec<(u8, ChannelState)> =
            view.channels.iter().filter(|(s, _)| slot.is_none_or(|n| n == *s)).copied().collect();
        if wanted.is_empty() {
            return Err(format!("span {span} has no such timeslot"));
        }
        let ends = matches!(what, Maintenance::LoopOff | Maintenance::BertStop);
        if !ends && wanted.iter().any(|(_, state)| *state != ChannelState::Blocked) {
            return Err(format!("span {span} is in use: block it first, and wait until its calls are over"));
        }
        let Some(on_card) = span.checked_sub(1) else { return Err("spans are numbered from 1".into()) };
        let doors = &mut self.doors;
        let full = |_| "the worker is busy: try again".to_owned();
        let turn = |doors: &mut Doors, how| {
            doors.tests.loops.insert(span, how);
            doors.end.set_loop(WORKER, on_card, how).map_err(full)
        };
        match what {
            Maintenance::LoopOff => turn(doors, Loop::Off)?,
            Maintenance::LoopLocal => turn(doors, Loop::Local)?,
            Maintenance::LoopRemote => turn(doors, Loop::Remote)?,
            Maintenance::BertStart | Maintenance::BertStop => {
                let running = what == Maintenance::BertStart;
                let order = if running { Order::Bert } else { Order::Off };
                for (slot, _) in wanted {
                    let bert = doors.tests.berts.entry((span, slot)).or_default();
                    *bert =
                        if running { Bert { running, ..Bert::default() } } else { Bert { running, ..*bert } };
                    doors.end.register(WORKER, on_card, slot, order).map_err(full)?;
                }
            }
        }
        tracing::info!(span, ?slot, ?what, "maintenance");
        Ok(())
    }

    /// A span, or a slot, takes calls again: no loop, no test.
    pub(super) fn end_maintenance(&mut self, span: u16, slot: Option<u8>) {
        let running = self.doors.tests.berts.range((span, 0)..=(span, u8::MAX));
        let tested = running.filter(|((_, s), b)| b.running && slot.is_none_or(|n| n == *s)).count() > 0;
        let looped = self.doors.tests.loops.get(&span).is_some_and(|l| *l != Loop::Off);
        let ends = [(looped, None, Maintenance::LoopOff), (tested, slot, Maintenance::BertStop)];
        for (_, slot, what) in ends.into_iter().filter(|(due, ..)| *due) {
            if let Err(why) = self.maintain(span, slot, what) {
                tracing::warn!(span, why, "maintenance did not end");
            }
        }
    }

    pub(super) fn view_spans(&self) -> Vec<Value> {
        self.shard.tdm().view().iter().map(|v| view(v, &self.doors.tests)).collect()
    }
}

impl Shell {
    /// What a card says of a span, for logs, counters and who tests it.
    pub(super) fn note(&mut self, report: &Report) {
        let Report::Span { span, what, .. } = report else { return };
        let labels = [("span", (span + 1).to_string())];
        match *what {
            SpanEvent::Alarm { bits, dead, defect } => {
                metrics::gauge!("carillon_span_alarm", &labels).set(f64::from(u8::from(dead)));
                tracing::warn!(span = span + 1, bits, dead, defect, "a span's alarms changed");
            }
            SpanEvent::Slip(_) => metrics::counter!("carillon_span_slips_total", &labels).increment(1),
            SpanEvent::Bert { slot, bits, errors, losses, found } => {
                if let Some(bert) = self.doors.tests.berts.get_mut(&(span + 1, slot)).filter(|b| b.running) {
                    metrics::counter!("carillon_span_bert_errors_total", &labels)
                        .increment(errors.saturating_sub(bert.errors));
                    *bert = Bert { running: true, found, bits, errors, losses };
                }
            }
            SpanEvent::Lost(lost) => {
                metrics::counter!("carillon_card_reports_lost_total").increment(u64::from(lost));
            }
            SpanEvent::Bits { .. } | SpanEvent::Signal { .. } | SpanEvent::Said { .. } => {}
        }
    }
}

fn count(span: &SpanView, state: ChannelState) -> usize {
    span.channels.iter().filter(|(_, s)| *s == state).count()
}

fn view(span: &SpanView, tests: &Tests) -> Value {
    let count = |state: ChannelState| count(span, state);
    let looped = match tests.loops.get(&span.span) {
        Some(Loop::Local) => "local",
        Some(Loop::Remote) => "remote",
        Some(Loop::Off) | None => "off",
    };
    let berts: serde_json::Map<String, Value> = tests
        .berts
        .range((span.span, 0)..=(span.span, u8::MAX))
        .map(|((_, slot), b)| {
            let told = json!({
                "running": b.running, "pattern_found": b.found, "bits": b.bits, "errors": b.errors,
                "losses": b.losses,
            });
            (slot.to_string(), told)
        })
        .collect();
    let slots: serde_json::Map<String, Value> =
        span.channels.iter().map(|(slot, state)| (slot.to_string(), json!(state.word()))).collect();
    let link = match span.link {
        Some((7 | 8, true)) => "up",
        Some((7 | 8, false)) => "standby",
        Some(_) => "down",
        None => "none",
    };
    let c = &span.counters;
    json!({
        "span": span.span, "switchtype": span.switch, "alarm": span.alarm, "d_channel": link,
        "idle": count(ChannelState::Idle),
        "calls": count(ChannelState::Outgoing) + count(ChannelState::Incoming),
        "slots": slots,
        "loopback": looped,
        "bert": berts,
        "counters": {
            "placed": c.placed, "offered": c.offered, "glare": c.glare, "restarts": c.restarts,
            "link_errors": c.link_errors, "unreadable": c.unreadable, "stray": c.stray, "lost": c.lost,
        },
    })
}
