//! The spans of a shard as one endpoint, beside SIP's: legs on timeslots, by whatever signalling their span speaks.
//! Frames, line states and [`Action`]s in; frames and [`Indication`]s out; no card, no clock.
//!
//! A call of ours names its group of spans in its URI, as RFC 4904 §4 has it: `tel:+15550123;tgrp=north`. Legs that come
//! in get ids from 2^62 upwards (SIP's begin at 2^63), those that are placed keep the id that the caller chose below it.

pub use crate::isdn::pri::Output;
use crate::isdn::pri::{self, Ask, ChannelState, Pri};
use crate::leg::{Action, Ended, Indication, Place};
use std::collections::{BTreeMap, BTreeSet};
use units::{Cause, LegId, Mono, Now};

/// Legs of incoming calls on timeslots are numbered from here.
pub const LEGS_FROM: u64 = 1 << 62;
/// Ids that one D-channel may use before the next one's begin.
const LEGS_EACH: u64 = 1 << 48;

/// Spans that calls of ours may leave by, as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name: `tgrp` of RFC 4904.
    pub name: String,
    /// Its spans, the first ones first.
    pub spans: Vec<u16>,
    /// Type of number where there is no `+`: 0 unknown, 1 international, 2 national, 4 subscriber.
    pub ton: u8,
}

/// What the endpoint is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A D-channel frame came.
    Frame {
        /// Of which span.
        span: u16,
        /// Octets, FCS checked and removed.
        octets: &'a [u8],
    },
    /// What the card says of a span.
    Line {
        /// Which.
        span: u16,
        /// No alarm that stops calls.
        up: bool,
        /// Something less: no new call goes there.
        defect: bool,
    },
    /// An action for a leg. `Place` makes the leg.
    Leg(LegId, Action),
    /// An operator takes a span, or one slot, out or puts it back.
    Block {
        /// Which span.
        span: u16,
        /// Which slot; `None`: all.
        slot: Option<u8>,
        /// Out.
        on: bool,
    },
    /// A deadline passed.
    Timer,
}

/// A span as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanView {
    /// Its number.
    pub span: u16,
    /// Dialect.
    pub switch: &'static str,
    /// It has an alarm.
    pub alarm: bool,
    /// The data link of its D-channel: Q.921's state, 4 to 8, and whether it carries call control. `None`: none here.
    pub link: Option<(u8, bool)>,
    /// Channels: slot and what it does.
    pub channels: Vec<(u8, ChannelState)>,
    /// What went wrong, of its D-channel's whole group.
    pub counters: pri::Counters,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Endpoint {
    pris: Vec<Pri>,
    groups: Vec<Group>,
    alarms: BTreeSet<u16>,
    legs: BTreeMap<LegId, usize>,
    out: std::collections::VecDeque<Output>,
}

impl Endpoint {
    /// With these D-channels and groups. `legs_from` of each configuration is set here.
    #[must_use]
    pub fn new(pris: Vec<pri::Config>, groups: Vec<Group>) -> Self {
        let with_legs = |(n, config): (u64, pri::Config)| {
            Pri::new(pri::Config { legs_from: LEGS_FROM + n * LEGS_EACH, ..config })
        };
        let pris = (0..).zip(pris).map(with_legs).collect();
        Self { pris, groups, ..Self::default() }
    }

    /// Brings the D-channels up.
    pub fn start(&mut self, now: Now) {
        for n in 0..self.pris.len() {
            self.pris[n].start(now);
            self.drain(n);
        }
    }

    /// One input; then drain [`Self::poll`].
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Frame { span, octets } => self.give_span(now, span, pri::Input::Frame { span, octets }),
            Input::Line { span, up, defect } => {
                if up {
                    self.alarms.remove(&span);
                } else {
                    self.alarms.insert(span);
                }
                self.give_span(now, span, pri::Input::Defect { span, on: defect });
                self.give_span(now, span, pri::Input::Line { span, up });
            }
            Input::Leg(leg, Action::Place(place)) => self.place(now, leg, &place),
            Input::Leg(leg, action) => {
                if let Some(&n) = self.legs.get(&leg) {
                    self.pris[n].handle(now, pri::Input::Leg(leg, action));
                    self.drain(n);
                }
            }
            Input::Block { span, slot, on } => {
                self.give_span(now, span, pri::Input::Block { span, slot, on });
            }
            Input::Timer => {
                for n in 0..self.pris.len() {
                    if self.pris[n].deadline().is_some_and(|at| at <= now.mono) {
                        self.pris[n].handle(now, pri::Input::Timer);
                        self.drain(n);
                    }
                }
            }
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Timer`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.pris.iter().filter_map(Pri::deadline).min()
    }

    /// Whether it has this leg.
    #[must_use]
    pub fn has(&self, leg: LegId) -> bool {
        self.legs.contains_key(&leg)
    }

    /// Whether a URI names a group of this endpoint.
    #[must_use]
    pub fn takes(&self, uri: &str) -> bool {
        group_of(uri).is_some_and(|name| self.groups.iter().any(|g| g.name == name))
    }

    /// Free channels of a group: what it can carry now.
    #[must_use]
    pub fn free(&self, group: &str) -> usize {
        let Some(group) = self.groups.iter().find(|g| g.name == group) else { return 0 };
        self.pris.iter().map(|p| p.free(&group.spans)).sum()
    }

    /// Its groups.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Its spans, by number.
    #[must_use]
    pub fn view(&self) -> Vec<SpanView> {
        let mut all: Vec<SpanView> = self.pris.iter().flat_map(|pri| self.view_of(pri)).collect();
        all.sort_by_key(|v| v.span);
        all
    }

    fn view_of(&self, pri: &Pri) -> Vec<SpanView> {
        let view = |span: &pri::Span| SpanView {
            span: span.number,
            switch: pri.switch().name,
            alarm: self.alarms.contains(&span.number),
            link: pri.links().find(|l| l.0 == span.number).map(|(_, state, active)| (state, active)),
            channels: span.channels.iter().filter_map(|&c| Some((c, pri.channel(span.number, c)?))).collect(),
            counters: pri.counters(),
        };
        pri.spans().iter().map(view).collect()
    }

    fn give_span(&mut self, now: Now, span: u16, input: pri::Input<'_>) {
        if let Some(n) = self.pris.iter().position(|p| p.spans().iter().any(|s| s.number == span)) {
            self.pris[n].handle(now, input);
            self.drain(n);
        }
    }

    fn place(&mut self, now: Now, leg: LegId, place: &Place) {
        let uri = place.to.expose();
        let group = group_of(uri).and_then(|name| self.groups.iter().find(|g| g.name == name));
        let Some(group) = group else {
            return self.refuse(leg, Cause::NO_ROUTE);
        };
        let mut ask =
            Ask::new(number_of(uri), number_of(place.from.expose()), &group.spans, place.ring_max_ms);
        ask.ton = group.ton;
        // A free channel if there is one; else whoever could have had it says why not.
        let serves = |p: &Pri| p.spans().iter().any(|s| group.spans.contains(&s.number));
        let free = self.pris.iter().position(|p| p.free(&group.spans) > 0);
        let Some(n) = free.or_else(|| self.pris.iter().position(serves)) else {
            return self.refuse(leg, Cause::NO_ROUTE);
        };
        self.legs.insert(leg, n);
        self.pris[n].handle(now, pri::Input::Place(leg, Box::new(ask)));
        self.drain(n);
    }

    fn refuse(&mut self, leg: LegId, cause: Cause) {
        let (status, retry_after_s, redress) = (None, None, None);
        let ended = Ended { cause, status, by_peer: false, retry_after_s, alerted: false, redress };
        self.out.push_back(Output::Leg(leg, Indication::Ended(ended)));
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.pris[n].poll() {
            match &output {
                Output::Leg(leg, Indication::Incoming(_)) => drop(self.legs.insert(*leg, n)),
                Output::Leg(leg, Indication::Ended(_)) => drop(self.legs.remove(leg)),
                _ => {}
            }
            self.out.push_back(output);
        }
    }
}

/// The trunk group of a URI (RFC 4904 §4), if it names one.
fn group_of(uri: &str) -> Option<&str> {
    uri.split(';').skip(1).find_map(|p| p.strip_prefix("tgrp="))
}

/// The number of a `tel:` or `sip:` URI.
fn number_of(uri: &str) -> &str {
    let rest = uri.split_once(':').map_or(uri, |(_, rest)| rest);
    rest.split(['@', ';', '?']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isdn::pri::{Config, Hunt, Limits, Span};
    use crate::isdn::q921::Side;
    use crate::isdn::q931::call::Timers;
    use crate::isdn::switch::EURO;
    use crate::leg::{Media, Transport};
    use units::{AttemptId, Private};

    fn config(side: Side, number: u16) -> Config {
        let span = Span { number, interface: None, channels: vec![1, 2], d_channel: true };
        Config {
            side,
            switch: EURO,
            timers: Timers::of(side),
            spans: vec![span],
            hunt: Hunt::Ascending,
            overlap_dial: false,
            overlap_receive: None,
            legs_from: 0,
            limits: Limits::default(),
        }
    }

    fn group(name: &str, spans: &[u16]) -> Group {
        Group { name: name.into(), spans: spans.to_vec(), ton: 0 }
    }

    /// Spans 1 and 2 are wired to each other, 3 and 4 too; all in one endpoint.
    fn wired() -> Endpoint {
        let pris = (1..=4).map(|n| config(if n % 2 == 1 { Side::User } else { Side::Network }, n)).collect();
        let mut endpoint = Endpoint::new(pris, vec![group("out", &[1, 3]), group("none", &[9])]);
        endpoint.start(Now::default());
        endpoint
    }

    /// Carries frames over the wires; what legs were told comes back.
    fn run(endpoint: &mut Endpoint) -> Vec<(LegId, Indication)> {
        let mut told = Vec::new();
        while let Some(output) = endpoint.poll() {
            match output {
                Output::Frame { span, octets } => {
                    let span = if span % 2 == 1 { span + 1 } else { span - 1 };
                    endpoint.handle(Now::default(), Input::Frame { span, octets: &octets });
                }
                Output::Leg(leg, indication) => told.push((leg, indication)),
                Output::Link { .. } => {}
            }
        }
        told
    }

    fn place(to: &str) -> Action {
        Action::Place(Box::new(Place {
            to: Private::new(to.to_owned()),
            from: Private::new("tel:+15550100".to_owned()),
            asserted: None,
            hop: ([0, 0, 0, 0], 0).into(),
            transport: Transport::Udp,
            attempt: AttemptId(1),
            media: Media::Timeslot { span: 0, slot: 0 },
            engine: None,
            credentials: None,
            headers: Vec::new(),
            ring_max_ms: 30_000,
        }))
    }

    #[test]
    fn rfc4904_a_group_is_named_by_the_uri_and_fills_span_after_span() {
        let mut e = wired();
        run(&mut e);
        assert!(e.takes("tel:+1555;tgrp=out") && !e.takes("tel:+1555") && !e.takes("sip:a@b;tgrp=other"));
        assert_eq!(e.free("out"), 4);
        let mut slots = Vec::new();
        for n in 1..=5 {
            e.handle(Now::default(), Input::Leg(LegId(n), place("tel:+15550123;tgrp=out")));
            let told = run(&mut e);
            let incoming = told.iter().find(|(_, i)| matches!(i, Indication::Incoming(_))).map(|(l, _)| *l);
            if let Some(leg) = incoming {
                e.handle(
                    Now::default(),
                    Input::Leg(leg, Action::Accept { media: Media::Timeslot { span: 0, slot: 0 } }),
                );
            }
            for (leg, indication) in told.into_iter().chain(run(&mut e)) {
                match indication {
                    Indication::Answered { media: Media::Timeslot { span, slot } } if leg == LegId(n) => {
                        slots.push((span, slot));
                    }
                    Indication::Ended(ended) => assert_eq!((leg, ended.cause), (LegId(5), Cause::NO_CIRCUIT)),
                    _ => {}
                }
            }
        }
        assert_eq!(slots, [(1, 1), (1, 2), (3, 1), (3, 2)]);
        for n in 1..=4 {
            e.handle(Now::default(), Input::Leg(LegId(n), Action::Clear(Cause::NORMAL)));
            run(&mut e);
        }
        assert!(e.legs.is_empty() && e.free("out") == 4);
    }

    #[test]
    fn an_alarm_takes_the_capacity_at_once_and_gives_it_back() {
        let mut e = wired();
        run(&mut e);
        e.handle(Now::default(), Input::Line { span: 1, up: false, defect: true });
        assert_eq!((e.free("out"), e.view()[0].alarm), (2, true));
        e.handle(Now::default(), Input::Line { span: 2, up: false, defect: true });
        run(&mut e);
        for span in [1, 2] {
            e.handle(Now::default(), Input::Line { span, up: true, defect: false });
        }
        run(&mut e);
        assert_eq!(e.free("out"), 4);
        e.handle(Now::default(), Input::Block { span: 3, slot: None, on: true });
        assert_eq!(e.free("out"), 2);
        e.handle(Now::default(), Input::Leg(LegId(7), place("tel:1;tgrp=none")));
        assert!(matches!(run(&mut e).as_slice(), [(LegId(7), Indication::Ended(_))]));
    }
}
