//! One worker: a fixed table of bearers and one function, [`Worker::tick`], that gives each its samples. Pure: time is
//! an argument, packets come through a [`Net`], and nothing is allocated, freed, locked or formatted in a tick.
//!
//! The bearers of one of the 20 phases of the packet clock stand side by side; each millisecond one phase is served,
//! so that the work of a tick is even. `frame` is what a phase does: take 20 ms from the jitter buffer, detect,
//! record, choose what is sent, send it.

mod bearer;
mod commands;
mod control;
mod link;
mod listen;
mod receive;
mod register;
mod speak;
mod splice;
mod trunk;

pub use link::{ControlEnds, LinkEnds, links};

use crate::limits::{FRAME, Limits, PHASES};
use crate::net::{Arrival, Net};
use crate::rtp::{REFUSED_KINDS, Refused};
use crate::spec::Medium;
pub use splice::{Splice, splice};

use crate::report::{DigitVia, Report};
use bearer::{Bearer, Cold, Hot, PeerFrame};
use hw::card::Card;
use link::Link;
use trunk::{Heard, Trunk};
use units::{BearerId, Now, Samples};

/// What a worker counts over its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ticks.
    pub ticks: u64,
    /// Frames served: one per bearer and 20 ms.
    pub frames: u64,
    /// Milliseconds that were skipped because a tick came too late to catch up.
    pub skipped_ms: u64,
    /// Packets refused, by kind ([`Refused`] is the index).
    pub refused: [u64; REFUSED_KINDS],
    /// Telemetry reports dropped because the ring was full.
    pub telemetry_dropped: u64,
    /// Edges that found even the backlog full. Not 0: `Limits` are wrong or control is dead.
    pub edges_lost: u64,
    /// Commands to bearers that do not exist (any more).
    pub commands_stale: u64,
    /// Bearers open now.
    pub open: u32,
}

/// See the module.
pub struct Worker<N: Net> {
    net: N,
    floor: Floor,
    /// The millisecond served last.
    served_ms: Option<u64>,
}

/// All but the net, so that packets can be handed over while the net is being read.
struct Floor {
    id: u16,
    hot: Box<[Hot]>,
    cold: Box<[Cold]>,
    links: Box<[Link]>,
    counts: Counts,
    limits: Limits,
    /// UTC at the tick, for RTCP.
    wall_ms: u64,
    /// The card whose timeslots are bearers.
    trunk: Option<Trunk>,
}

impl<N: Net> Worker<N> {
    /// A worker numbered `id` with its ends of the rings from [`links`]. Allocates everything.
    #[must_use]
    pub fn new(id: u16, limits: Limits, net: N, ends: Vec<LinkEnds>) -> Self {
        let places = usize::try_from(limits.places()).expect("a table fits memory");
        let floor = Floor {
            id,
            hot: (0..places).map(|_| Hot::default()).collect(),
            cold: (0..places).map(|_| Cold::default()).collect(),
            links: ends.into_iter().map(|ends| Link::new(ends, &limits)).collect(),
            counts: Counts::default(),
            limits,
            wall_ms: 0,
            trunk: None,
        };
        Self { net, floor, served_ms: None }
    }

    /// With a card, whose timeslots can then be opened as bearers.
    #[must_use]
    pub fn with_card(self, card: Box<dyn Card>) -> Self {
        self.with_board(card, &[])
    }

    /// With a card, and D-channels (span from 0, slot from 1) whose frames go to the first shard and come from it, as
    /// what the card tells of its spans does.
    #[must_use]
    pub fn with_board(mut self, card: Box<dyn Card>, d_channels: &[(u16, u8)]) -> Self {
        self.floor.trunk = Some(Trunk::new(card, d_channels));
        self
    }

    /// Serves every millisecond since the last call, at most [`Limits::catch_up_ms`] of them.
    pub fn tick(&mut self, now: Now) {
        let ms = now.mono.as_ms();
        let floor = &mut self.floor;
        floor.counts.ticks += 1;
        floor.wall_ms = u64::try_from(now.wall.0).unwrap_or(0);
        let mut next = self.served_ms.map_or(ms, |served| served + 1);
        if ms >= next + floor.limits.catch_up_ms {
            floor.counts.skipped_ms += ms - next;
            next = ms;
        }
        floor.obey(&mut self.net, ms);
        while next <= ms {
            let due = floor.due(next);
            self.net.receive(due.clone(), &mut |arrival: Arrival<'_>| floor.arrive(next, arrival));
            floor.exchange(next);
            for place in due {
                floor.frame(place, next, &mut self.net);
            }
            self.served_ms = Some(next);
            next += 1;
        }
        self.net.flush();
        floor.links.iter_mut().for_each(Link::flush);
    }

    /// True if a report was pushed to a shard since the last question: time for its doorbell.
    pub fn take_pushed(&mut self, shard: usize) -> bool {
        self.floor.links.get_mut(shard).is_some_and(|l| std::mem::take(&mut l.pushed))
    }

    /// What was counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.floor.counts;
        for link in &self.floor.links {
            counts.telemetry_dropped += link.telemetry_dropped;
            counts.edges_lost += link.edges_lost;
        }
        counts
    }

    /// The net, for its counters and for a test's packets.
    pub fn net_mut(&mut self) -> &mut N {
        &mut self.net
    }

    /// The tables that every tick touches, as octets' address and length: to lock and prefault.
    #[must_use]
    pub fn regions(&self) -> [(*const u8, usize); 2] {
        let f = &self.floor;
        [
            (f.hot.as_ptr().cast(), std::mem::size_of_val(&*f.hot)),
            (f.cold.as_ptr().cast(), std::mem::size_of_val(&*f.cold)),
        ]
    }
}

/// Octets of a worker's tables per bearer: the hot part and the cold one.
#[must_use]
pub fn bearer_octets() -> (usize, usize) {
    (size_of::<Hot>(), size_of::<Cold>())
}

impl Floor {
    /// The places whose phase is this millisecond.
    fn due(&self, ms: u64) -> std::ops::Range<u32> {
        let phase = u32::try_from(ms % u64::from(PHASES)).expect("below 20");
        let n = self.limits.phase_places();
        phase * n..(phase + 1) * n
    }

    /// The bearer at a place that is in use, with its link.
    fn bearer(&mut self, place: u32) -> Option<Bearer<'_>> {
        let i = usize::try_from(place).ok()?;
        let hot = self.hot.get_mut(i)?;
        if !hot.open {
            return None;
        }
        let id = BearerId { worker: self.id, generation: hot.generation, index: place };
        let link = self.links.get_mut(usize::from(hot.link))?;
        Some(Bearer { id, hot, cold: &mut self.cold[i], link, counts: &mut self.counts })
    }

    /// The bearer that a command names, if it is still the one.
    fn named(&mut self, id: BearerId) -> Option<Bearer<'_>> {
        let here = self.id == id.worker;
        self.bearer(id.index).filter(|b| here && b.id.generation == id.generation)
    }

    fn refuse(&mut self, kind: Refused) {
        self.counts.refused[kind as usize] += 1;
    }

    /// One bearer's 20 ms.
    fn frame(&mut self, place: u32, ms: u64, net: &mut impl Net) {
        let peers = self.peers(place);
        let (silent_ms, wall_ms) = (self.limits.silent_ms, self.wall_ms);
        let slot = self.timeslot(place);
        let mut line = slot.and_then(|(span, slot)| self.trunk.as_ref()?.heard(span, slot).copied());
        let sent = slot.and_then(|(span, slot)| self.trunk.as_ref()?.said(span, slot).copied());
        let Some(mut bearer) = self.bearer(place) else { return };
        if let (Some(treatment), Some(line), Some(sent)) = (bearer.treatment(), &mut line, &sent) {
            treatment.receive(sent, line);
        }
        let heard = bearer.listen(ms, silent_ms, line.as_ref());
        let mut said = bearer.speak(heard.as_ref(), &peers, net);
        bearer.control(ms, wall_ms, net);
        if let Some(treatment) = bearer.treatment() {
            treatment.send(&mut said);
        }
        if let (Some((span, slot)), Some(trunk)) = (slot, &mut self.trunk) {
            trunk.say(span, slot, &said);
        }
        self.counts.frames += 1;
    }

    /// The timeslot of a bearer that has one.
    fn timeslot(&self, place: u32) -> Option<(u16, u8)> {
        let i = usize::try_from(place).ok()?;
        if self.hot.get(i)?.rtp {
            return None;
        }
        match self.cold[i].spec.as_ref()?.1.medium {
            Medium::Timeslot { span, slot } => Some((span, slot)),
            Medium::Rtp(_) => None,
        }
    }

    /// One millisecond of the card.
    fn exchange(&mut self, ms: u64) {
        let Some(mut trunk) = self.trunk.take() else { return };
        if let Some(link) = self.links.first_mut() {
            trunk.send_frames(&mut link.ends.frames);
        }
        trunk.exchange(ms, |heard| match heard {
            Heard::Digit(place, digit) => {
                if let Some(mut bearer) = self.bearer(place) {
                    bearer.digit(digit, DigitVia::Card, Samples::from_ms(40));
                }
            }
            Heard::Span(span, what) => {
                let worker = self.id;
                if let Some(link) = self.links.first_mut() {
                    link.edge(Report::Span { worker, span, what });
                }
            }
            Heard::Frame(frame) => {
                if let Some(link) = self.links.first_mut() {
                    link.frame(*frame);
                }
            }
        });
        self.trunk = Some(trunk);
    }

    /// What the bridged bearers of one were heard saying last.
    fn peers(&mut self, place: u32) -> [Option<PeerFrame>; 2] {
        let Some(cold) = usize::try_from(place).ok().and_then(|i| self.cold.get_mut(i)) else {
            return [None, None];
        };
        if let Some((_, splice)) = &mut cold.splice {
            let frame = splice.hear().map(|f| PeerFrame { codec: f.codec, octets: f.octets, sound: true });
            return [frame, None];
        }
        let peers = cold.peers;
        peers.map(|peer| {
            let i = usize::try_from(peer?).ok()?;
            let (hot, cold) = (self.hot.get(i)?, self.cold.get(i)?);
            let codec = bearer::heard_codec(hot.codec);
            Some(PeerFrame { codec, octets: cold.heard, sound: cold.heard_sound && hot.open })
        })
    }
}

const _: () = assert!(size_of::<Hot>() <= 128, "the hot state of a bearer is two cache lines");
const _: () = assert!(size_of::<Hot>() + size_of::<Cold>() <= 8192, "a bearer keeps within 8 KB");
const _: () = assert!(FRAME == 160);

#[cfg(test)]
mod tests;
