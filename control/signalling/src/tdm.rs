//! The spans of a shard as one endpoint, beside SIP's: legs on timeslots, by whatever signalling their span speaks.
//! Frames, line states and [`Action`]s in; frames and [`Indication`]s out; no card, no clock.
//!
//! A call of ours names its group of spans in its URI, as RFC 4904 §4 has it: `tel:+15550123;tgrp=north`. Legs that come
//! in get ids from 2^62 upwards (SIP's begin at 2^63), those that are placed keep the id that the caller chose below it.

use crate::cas::{self, Register};
use crate::isdn::pri::{self, Ask, ChannelState, Pri};
use crate::leg::{Action, Ended, Indication, Place};
use std::collections::{BTreeMap, BTreeSet};
use units::{Cause, LegId, Mono, Now};

/// What is asked, or told.
#[derive(Debug)]
pub enum Output {
    /// Send this frame on the D-channel of this span.
    Frame {
        /// Which span.
        span: u16,
        /// Octets without flags and FCS.
        octets: Vec<u8>,
    },
    /// A leg tells.
    Leg(LegId, Indication),
    /// A D-channel came up or went down.
    Link {
        /// Of which span.
        span: u16,
        /// Up.
        up: bool,
    },
    /// Send these signalling bits.
    Bits {
        /// Which span.
        span: u16,
        /// From 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// Tones of a slot that has no bearer yet.
    Register {
        /// Which span.
        span: u16,
        /// From 1.
        slot: u8,
        /// What.
        what: Register,
    },
}

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
    /// Signalling bits of a slot came.
    Bits {
        /// Of which span.
        span: u16,
        /// From 1.
        slot: u8,
        /// ABCD in the low nibble.
        abcd: u8,
    },
    /// The register of a slot heard a digit.
    Signal {
        /// Of which span.
        span: u16,
        /// From 1.
        slot: u8,
        /// `0-9 * # A-D`, `K` and `S` of MF.
        signal: char,
    },
    /// The register of a slot has said its digits.
    Said {
        /// Of which span.
        span: u16,
        /// From 1.
        slot: u8,
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
    /// Dialect, or the signalling of trunks without one.
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
    trunks: Vec<cas::Span>,
    groups: Vec<Group>,
    alarms: BTreeSet<u16>,
    legs: BTreeMap<LegId, Home>,
    out: std::collections::VecDeque<Output>,
}

/// Who has a leg.
#[derive(Clone, Copy, Debug)]
enum Home {
    Pri(usize),
    Trunk(usize),
}

impl Endpoint {
    /// With these D-channels, E&M spans and groups. `legs_from` of each configuration is set here.
    #[must_use]
    pub fn new(pris: Vec<pri::Config>, trunks: Vec<cas::Config>, groups: Vec<Group>) -> Self {
        let mut from = (0..).map(|n: u64| LEGS_FROM + n * LEGS_EACH);
        let mut legs_from = || from.next().expect("it has no end");
        let pris = pris
            .into_iter()
            .map(|config| Pri::new(pri::Config { legs_from: legs_from(), ..config }))
            .collect();
        let trunk = |config| cas::Span::new(cas::Config { legs_from: legs_from(), ..config });
        let trunks = trunks.into_iter().map(trunk).collect();
        Self { pris, trunks, groups, ..Self::default() }
    }

    /// Brings the D-channels up, and puts the trunks on-hook.
    pub fn start(&mut self, now: Now) {
        for n in 0..self.pris.len() {
            self.pris[n].start(now);
            self.drain(n);
        }
        for n in 0..self.trunks.len() {
            self.trunks[n].start();
            self.drain_trunk(n);
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
                self.give_trunk(now, span, cas::Input::Line { up, defect });
            }
            Input::Bits { span, slot, abcd } => self.give_trunk(now, span, cas::Input::Bits { slot, abcd }),
            Input::Signal { span, slot, signal } => {
                self.give_trunk(now, span, cas::Input::Signal { slot, signal });
            }
            Input::Said { span, slot } => self.give_trunk(now, span, cas::Input::Said { slot }),
            Input::Leg(leg, Action::Place(place)) => self.place(now, leg, &place),
            Input::Leg(leg, action) => match self.legs.get(&leg) {
                Some(&Home::Pri(n)) => {
                    self.pris[n].handle(now, pri::Input::Leg(leg, action));
                    self.drain(n);
                }
                Some(&Home::Trunk(n)) => {
                    self.trunks[n].handle(now, cas::Input::Leg(leg, action));
                    self.drain_trunk(n);
                }
                None => {}
            },
            Input::Block { span, slot, on } => {
                self.give_span(now, span, pri::Input::Block { span, slot, on });
                self.give_trunk(now, span, cas::Input::Block { slot, on });
            }
            Input::Timer => self.due(now),
        }
    }

    fn due(&mut self, now: Now) {
        for n in 0..self.pris.len() {
            if self.pris[n].deadline().is_some_and(|at| at <= now.mono) {
                self.pris[n].handle(now, pri::Input::Timer);
                self.drain(n);
            }
        }
        for n in 0..self.trunks.len() {
            if self.trunks[n].deadline().is_some_and(|at| at <= now.mono) {
                self.trunks[n].handle(now, cas::Input::Timer);
                self.drain_trunk(n);
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
        let trunks = self.trunks.iter().filter_map(cas::Span::deadline);
        self.pris.iter().filter_map(Pri::deadline).chain(trunks).min()
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
        let trunks = self.trunks.iter().filter(|t| group.spans.contains(&t.number()));
        let free: usize = self.pris.iter().map(|p| p.free(&group.spans)).sum();
        free + trunks.map(cas::Span::free).sum::<usize>()
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
        all.extend(self.trunks.iter().map(|t| self.view_of_trunk(t)));
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

    fn view_of_trunk(&self, trunk: &cas::Span) -> SpanView {
        let [placed, offered, glare] = trunk.counts();
        SpanView {
            span: trunk.number(),
            switch: trunk.word(),
            alarm: self.alarms.contains(&trunk.number()),
            link: None,
            channels: trunk.channels(),
            counters: pri::Counters { placed, offered, glare, ..pri::Counters::default() },
        }
    }

    fn give_trunk(&mut self, now: Now, span: u16, input: cas::Input) {
        if let Some(n) = self.trunks.iter().position(|t| t.number() == span) {
            self.trunks[n].handle(now, input);
            self.drain_trunk(n);
        }
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
        let in_group = |t: &cas::Span| group.spans.contains(&t.number());
        let pri = |which: &dyn Fn(&Pri) -> bool| self.pris.iter().position(which).map(Home::Pri);
        let trunk = |which: &dyn Fn(&cas::Span) -> bool| self.trunks.iter().position(which).map(Home::Trunk);
        let free = pri(&|p| p.free(&group.spans) > 0).or_else(|| trunk(&|t| in_group(t) && t.free() > 0));
        let home = free.or_else(|| pri(&serves)).or_else(|| trunk(&in_group));
        let ask = Box::new(ask);
        self.legs.extend(home.map(|home| (leg, home)));
        match home {
            Some(Home::Pri(n)) => {
                self.pris[n].handle(now, pri::Input::Place(leg, ask));
                self.drain(n);
            }
            Some(Home::Trunk(n)) => {
                self.trunks[n].handle(now, cas::Input::Place(leg, ask));
                self.drain_trunk(n);
            }
            None => self.refuse(leg, Cause::NO_ROUTE),
        }
    }

    fn refuse(&mut self, leg: LegId, cause: Cause) {
        let (status, retry_after_s, redress) = (None, None, None);
        let ended = Ended { cause, status, by_peer: false, retry_after_s, alerted: false, redress };
        self.out.push_back(Output::Leg(leg, Indication::Ended(ended)));
    }

    fn drain(&mut self, n: usize) {
        while let Some(output) = self.pris[n].poll() {
            match output {
                pri::Output::Frame { span, octets } => self.out.push_back(Output::Frame { span, octets }),
                pri::Output::Link { span, up } => self.out.push_back(Output::Link { span, up }),
                pri::Output::Leg(leg, indication) => self.leg_told(Home::Pri(n), leg, indication),
            }
        }
    }

    fn drain_trunk(&mut self, n: usize) {
        let span = self.trunks[n].number();
        while let Some(output) = self.trunks[n].poll() {
            match output {
                cas::Output::Bits { slot, abcd } => self.out.push_back(Output::Bits { span, slot, abcd }),
                cas::Output::Register { slot, what } => {
                    self.out.push_back(Output::Register { span, slot, what });
                }
                cas::Output::Leg(leg, indication) => self.leg_told(Home::Trunk(n), leg, indication),
            }
        }
    }

    fn leg_told(&mut self, home: Home, leg: LegId, indication: Indication) {
        match indication {
            Indication::Incoming(_) => drop(self.legs.insert(leg, home)),
            Indication::Ended(_) => drop(self.legs.remove(&leg)),
            _ => {}
        }
        self.out.push_back(Output::Leg(leg, indication));
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
            transfer: false,
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
        let mut endpoint = Endpoint::new(pris, Vec::new(), vec![group("out", &[1, 3]), group("none", &[9])]);
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
                Output::Link { .. } | Output::Bits { .. } | Output::Register { .. } => {}
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
