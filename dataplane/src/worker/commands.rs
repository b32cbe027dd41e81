//! Obeying commands. Every `Play`, `Tone` and `Capture` is answered by exactly one end, also when its bearer is gone.

use super::bearer::{Bearer, Cold, Hot, NO_TYPE, ToDial, play_ended};
use super::link::Link;
use super::{Floor, Splice};
use crate::capture::Capture;
use crate::command::{CaptureHandle, Command, Detectors, SpecHandle};
use crate::limits::SEND_DIGITS;
use crate::net::Net;
use crate::play::{Item, Sound};
use crate::pool::Lent;
use crate::report::{CaptureEnd, PlayEnd, Report};
use crate::spec::{Medium, Spec};
use units::{BearerId, Samples};

impl Floor {
    /// Takes in what was lent and obeys what was commanded, a bounded number per shard and tick.
    pub(super) fn obey(&mut self, net: &mut impl Net, ms: u64) {
        for shard in 0..self.links.len() {
            // Commands are counted before the lent things are taken in: a thing is always lent before it is named.
            let waiting = self.links[shard].ends.commands.slots().min(self.limits.commands_per_tick);
            while let Some((bearer, splice)) = self.links[shard].take_lent() {
                self.join(shard, bearer, splice);
            }
            for _ in 0..waiting {
                if self.links[shard].congested() {
                    break;
                }
                let Ok(command) = self.links[shard].ends.commands.pop() else { break };
                self.command(net, ms, shard, command);
            }
        }
    }

    fn command(&mut self, net: &mut impl Net, ms: u64, shard: usize, command: Command) {
        match command {
            Command::Open { bearer, spec } => self.open(net, ms, shard, bearer, spec),
            Command::Respec { bearer, spec } => self.respec(net, shard, bearer, spec),
            Command::Play { bearer, item, prompt, offset, length, cut } => {
                let sound = Sound::Prompt(prompt);
                let end = offset.0.saturating_add(length.0);
                self.enqueue(shard, bearer, Item { item, sound, start: offset.0, at: offset.0, end, cut });
            }
            Command::Tone { bearer, item, tone, length, cut } => {
                let sound = tone.map_or(Sound::Silence, Sound::Tone);
                self.enqueue(shard, bearer, Item { item, sound, start: 0, at: 0, end: length.0, cut });
            }
            Command::Capture { bearer, into, both, length_max, final_silence, digit_ends } => {
                let asked = Asked {
                    into,
                    both,
                    length_max: length_max.0,
                    final_silence: final_silence.0,
                    digit_ends,
                };
                self.capture(shard, bearer, &asked);
            }
            Command::SetBits { span, slot, abcd } => {
                if let Some(trunk) = &mut self.trunk {
                    trunk.set_bits(span, slot, abcd);
                }
            }
            Command::Register { span, slot, order } => {
                if let Some(trunk) = &mut self.trunk {
                    trunk.register(span, slot, order);
                }
            }
            Command::Loop { span, how } => {
                if let Some(trunk) = &mut self.trunk {
                    trunk.set_loop(span, how);
                }
            }
            Command::Bridge { a, b } => self.bridge(a, b),
            Command::Unbridge { bearer } => self.unbridge(bearer),
            Command::Close { bearer } => self.close(net, ms, bearer),
            Command::ReturnPrompt { prompt } => self.links[shard].want_prompt(prompt),
            Command::StopPlay { bearer } => self.with(bearer, |b| b.cut(PlayEnd::Stopped)),
            Command::Pause { bearer, on } => self.with(bearer, |b| b.cold.queue.pause(on)),
            Command::SendDigit { bearer, digit, length } => {
                self.with(bearer, |b| b.dial(ToDial { digit, length: length.0 }));
            }
            Command::Detect { bearer, on } => self.with(bearer, |b| {
                b.detect_with(on);
            }),
            Command::Tap { bearer, into } => self.tap(shard, bearer, into),
            Command::StopTap { bearer } => self.with(bearer, |b| b.untap()),
            Command::StopCapture { bearer } => self.with(bearer, |b| b.end_capture(CaptureEnd::Stopped)),
        }
    }

    fn with(&mut self, bearer: BearerId, act: impl FnOnce(&mut Bearer<'_>)) {
        match self.named(bearer) {
            Some(mut b) => act(&mut b),
            None => self.counts.commands_stale += 1,
        }
    }

    fn open(&mut self, net: &mut impl Net, ms: u64, shard: usize, bearer: BearerId, handle: SpecHandle) {
        let spec = self.links[shard].specs.take(handle.0);
        let index = usize::try_from(bearer.index).unwrap_or(usize::MAX);
        let free = bearer.worker == self.id && self.hot.get(index).is_some_and(|h| !h.open);
        let attached = free && spec.as_deref().is_some_and(|spec| self.attach(net, bearer.index, spec));
        let link = &mut self.links[shard];
        let Some(spec) = spec else { return link.edge(Report::OpenFailed { bearer }) };
        if !free || !attached {
            link.edge(Report::OpenFailed { bearer });
            return link.return_spec(handle, spec, bearer);
        }
        self.counts.open += 1;
        let hot = &mut self.hot[index];
        *hot = Hot { generation: bearer.generation, open: true, ..Hot::default() };
        hot.link = u16::try_from(shard).expect("shards are few");
        hot.last_rx_ms = u32::try_from(ms & 0xffff_ffff).expect("masked");
        begin(hot, &spec);
        let port = spec.as_rtp().map_or(0, |rtp| rtp.local.port());
        let cold = &mut self.cold[index];
        reset(cold);
        cold.heard = [crate::codec::silence(super::bearer::heard_codec(spec.codec)); crate::limits::FRAME];
        cold.detectors = spec.detectors;
        cold.detect.begin(spec.detectors, spec.country);
        cold.control.begin(ms, &spec);
        cold.spec = Some((handle, spec));
        link.edge(Report::Opened { bearer, port });
    }

    fn attach(&mut self, net: &mut impl Net, place: u32, spec: &Spec) -> bool {
        let phase = place / self.limits.phase_places();
        match (&spec.medium, &mut self.trunk) {
            (Medium::Rtp(rtp), _) => net.attach(place, rtp).is_ok(),
            (Medium::Timeslot { span, slot }, Some(trunk)) => {
                trunk.attach(place, phase, *span, *slot, crate::codec::silence(spec.codec))
            }
            (Medium::Timeslot { .. }, None) => false,
        }
    }

    fn join(&mut self, shard: usize, bearer: BearerId, splice: Box<Splice>) {
        match self.named(bearer) {
            Some(mut b) => {
                b.unsplice();
                b.cold.splice = Some((bearer, splice));
            }
            None => self.links[shard].give_back(Lent::Splice(bearer, splice)),
        }
    }

    fn respec(&mut self, net: &mut impl Net, shard: usize, bearer: BearerId, handle: SpecHandle) {
        let Some(mut spec) = self.links[shard].specs.take(handle.0) else {
            self.counts.commands_stale += 1;
            return;
        };
        let Some(b) = self.named(bearer) else {
            self.counts.commands_stale += 1;
            return self.links[shard].return_spec(handle, spec, bearer);
        };
        let old_remote = b.hot.remote;
        let old_codec = b.hot.codec;
        adopt(b.hot, &spec);
        if b.hot.remote != old_remote || b.hot.codec != old_codec {
            b.cold.jitter.reset();
            b.hot.started = false;
        }
        if b.cold.detectors != spec.detectors {
            b.cold.detectors = spec.detectors;
            b.cold.detect.begin(spec.detectors, spec.country);
        }
        b.cold.control.remote = spec.as_rtp().and_then(|rtp| rtp.remote_rtcp);
        if let Some(rtp) = spec.as_rtp() {
            // The place was attached before, so its sockets and port stay as they are; what can fail is the address
            // family, and then nothing is sent.
            let _ = net.attach(bearer.index, rtp);
        }
        if let Some((old_handle, old)) = b.cold.spec.as_mut() {
            keep_counting(old, &mut spec);
            std::mem::swap(old, &mut spec);
            let returned = std::mem::replace(old_handle, handle);
            b.link.return_spec(returned, spec, bearer);
        }
    }

    fn enqueue(&mut self, shard: usize, bearer: BearerId, item: Item) {
        let prompt = match item.sound {
            Sound::Prompt(handle) => Some(handle),
            Sound::Tone(_) | Sound::Silence => None,
        };
        let link = &mut self.links[shard];
        if let Some(handle) = prompt {
            link.use_prompt(handle);
        }
        let refused = match self.named(bearer) {
            Some(b) => b.cold.queue.push(item).err(),
            None => Some(item),
        };
        if let Some(item) = refused {
            self.counts.commands_stale += 1;
            let ended = crate::play::Ended {
                item: item.item,
                sound: item.sound,
                end: PlayEnd::Stopped,
                heard: Samples(0),
            };
            play_ended(bearer, &mut self.links[shard], ended);
        }
    }

    fn capture(&mut self, shard: usize, bearer: BearerId, asked: &Asked) {
        let Some(sink) = self.links[shard].captures.take(asked.into.0) else {
            self.counts.commands_stale += 1;
            return;
        };
        let capture = Capture {
            handle: asked.into,
            sink,
            both: asked.both,
            length_max: asked.length_max,
            final_silence: asked.final_silence,
            digit_ends: asked.digit_ends,
            length: 0,
            sound: false,
            voice: hw::dsp::vad::Detector::default(),
            silent_since: Some(0),
        };
        match self.named(bearer) {
            Some(mut b) => {
                b.end_capture(CaptureEnd::Stopped);
                b.cold.capture = Some(capture);
            }
            None => {
                self.counts.commands_stale += 1;
                never_captured(&mut self.links[shard], bearer, capture);
            }
        }
    }

    fn tap(&mut self, shard: usize, bearer: BearerId, into: CaptureHandle) {
        let Some(sink) = self.links[shard].captures.take(into.0) else {
            self.counts.commands_stale += 1;
            return;
        };
        match self.named(bearer) {
            Some(mut b) => {
                b.untap();
                b.cold.tap = Some((into, sink));
            }
            None => {
                self.counts.commands_stale += 1;
                self.links[shard].return_capture(into, sink);
            }
        }
    }

    fn bridge(&mut self, a: BearerId, b: BearerId) {
        let both = self.named(a).is_some() && self.named(b).is_some() && a.index != b.index;
        if !both {
            self.counts.commands_stale += 1;
            return;
        }
        // Three may be joined: whoever is already bridged brings the other along.
        let third =
            self.peer_of(a.index).or(self.peer_of(b.index)).filter(|t| *t != a.index && *t != b.index);
        let group = [Some(a.index), Some(b.index), third];
        for me in group.into_iter().flatten() {
            let others = group.map(|g| g.filter(|i| *i != me));
            let mut others = others.into_iter().flatten();
            if let Some(cold) = usize::try_from(me).ok().and_then(|i| self.cold.get_mut(i)) {
                cold.peers = [others.next(), others.next()];
            }
        }
    }

    fn peer_of(&self, place: u32) -> Option<u32> {
        self.cold.get(usize::try_from(place).ok()?)?.peers.into_iter().flatten().next()
    }

    fn unbridge(&mut self, bearer: BearerId) {
        if self.named(bearer).is_none() {
            self.counts.commands_stale += 1;
            return;
        }
        self.part(bearer.index);
        self.with(bearer, |b| b.unsplice());
    }

    /// Takes a bearer out of its bridge; two that are left stay joined.
    fn part(&mut self, place: u32) {
        let Some(cold) = usize::try_from(place).ok().and_then(|i| self.cold.get_mut(i)) else { return };
        for peer in std::mem::take(&mut cold.peers).into_iter().flatten() {
            if let Some(other) = usize::try_from(peer).ok().and_then(|i| self.cold.get_mut(i)) {
                other.peers = other.peers.map(|p| p.filter(|i| *i != place));
            }
        }
    }

    fn close(&mut self, net: &mut impl Net, ms: u64, bearer: BearerId) {
        if self.named(bearer).is_none() {
            self.counts.commands_stale += 1;
            return;
        }
        self.part(bearer.index);
        let wall_ms = self.wall_ms;
        self.with(bearer, |b| b.bye(ms, wall_ms, net));
        match (self.timeslot(bearer.index), &mut self.trunk) {
            (Some((span, slot)), Some(trunk)) => trunk.detach(bearer.index, span, slot),
            _ => net.detach(bearer.index),
        }
        if let Some(b) = self.named(bearer) {
            b.close();
        }
    }
}

/// The same key means the same counters, each way.
fn keep_counting(old: &Spec, new: &mut Spec) {
    if let (Medium::Rtp(old), Medium::Rtp(new)) = (&old.medium, &mut new.medium)
        && let (Some(old), Some(new)) = (&old.srtp, &mut new.srtp)
    {
        new.take_over(old);
    }
}

struct Asked {
    into: CaptureHandle,
    both: bool,
    length_max: u32,
    final_silence: u32,
    digit_ends: bool,
}

impl Bearer<'_> {
    fn detect_with(&mut self, on: Detectors) {
        let country = self.country();
        self.cold.detectors = on;
        self.cold.detect.begin(on, country);
    }

    fn dial(&mut self, digit: ToDial) {
        let len = usize::from(self.cold.dial_len);
        if len == SEND_DIGITS {
            self.counts.commands_stale += 1;
            return;
        }
        self.cold.dial[len] = Some(digit);
        self.cold.dial_len += 1;
    }
}

fn never_captured(link: &mut Link, bearer: BearerId, capture: Capture) {
    let length = Samples(0);
    let (handle, end) = (capture.handle, CaptureEnd::Stopped);
    link.edge(Report::CaptureEnded { bearer, capture: handle, end, length, sound: false });
    link.return_capture(handle, capture.sink);
}

/// What a new bearer sends and expects.
fn begin(hot: &mut Hot, spec: &Spec) {
    if let Some(rtp) = spec.as_rtp() {
        (hot.ssrc, hot.tx_sequence, hot.tx_timestamp) = (rtp.ssrc, rtp.sequence, rtp.timestamp);
    }
    adopt(hot, spec);
}

/// What a specification changes in a bearer that exists: our source, sequence and timestamp go on (RFC 3550 §5.1).
fn adopt(hot: &mut Hot, spec: &Spec) {
    hot.codec = spec.codec;
    hot.direction = spec.direction;
    match spec.as_rtp() {
        Some(rtp) => {
            hot.rtp = true;
            hot.remote = rtp.remote;
            hot.payload_type = rtp.payload_type;
            hot.event_type = rtp.event_payload_type.unwrap_or(NO_TYPE);
            hot.symmetric = rtp.symmetric;
            hot.secure = rtp.srtp.is_some();
        }
        None => hot.rtp = false,
    }
}

/// Makes a place's cold state new without replacing what is large.
fn reset(cold: &mut Cold) {
    cold.jitter.reset();
    cold.queue = crate::play::Queue::default();
    cold.events = crate::event::Receiver::default();
    cold.sender = crate::event::Sender::default();
    cold.dial_len = 0;
    cold.dialing = None;
    cold.peers = [None; 2];
    cold.heard_sound = false;
    cold.concealer = hw::dsp::plc::Concealer::default();
    cold.comfort = None;
    cold.silent_told = 0;
    cold.events_seen = false;
    cold.mark_next = true;
}
