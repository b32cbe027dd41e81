//! The spans' door: D-channel frames to and from the first worker's card, timeslots as bearers, and what people and
//! counters are told of spans.

use super::{Shell, doors::Doors};
use control::shard::{Input, Token};
use dataplane::dchannel::Frame;
use dataplane::report::{Report, SpanEvent};
use dataplane::spec::Spec;
use serde_json::{Value, json};
use signalling::isdn::pri::ChannelState;
use signalling::tdm::{Input as TdmInput, Output, SpanView};
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
            self.end.open(bearer, Spec::timeslot(n, slot, known.codec))
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
            Output::Leg(..) => {}
        }
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
    }

    pub(super) fn view_spans(&self) -> Vec<Value> {
        self.shard.tdm().view().iter().map(view).collect()
    }
}

/// What a card says of a span, for logs and counters.
pub(super) fn note(report: &Report) {
    let Report::Span { span, what, .. } = report else { return };
    let labels = [("span", (span + 1).to_string())];
    match what {
        SpanEvent::Alarm { bits, dead, defect } => {
            metrics::gauge!("carillon_span_alarm", &labels).set(f64::from(u8::from(*dead)));
            tracing::warn!(span = span + 1, bits, dead, defect, "a span's alarms changed");
        }
        SpanEvent::Slip(_) => metrics::counter!("carillon_span_slips_total", &labels).increment(1),
        SpanEvent::Bits { .. } | SpanEvent::Lost(_) => {}
    }
}

fn view(span: &SpanView) -> Value {
    let count = |state: ChannelState| span.channels.iter().filter(|(_, s)| *s == state).count();
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
        "counters": {
            "placed": c.placed, "offered": c.offered, "glare": c.glare, "restarts": c.restarts,
            "link_errors": c.link_errors, "unreadable": c.unreadable, "stray": c.stray, "lost": c.lost,
        },
    })
}
