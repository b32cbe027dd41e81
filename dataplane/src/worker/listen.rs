//! The receiving half of a frame: jitter buffer, concealment, detectors.

use super::bearer::Bearer;
use super::receive::low32;
use crate::codec::{self, Pcm};
use crate::jitter::{PAST, Take};
use crate::limits::FRAME;
use crate::report::{DigitVia, Heard, Report};
use std::sync::atomic::Ordering;
use units::{Codec, Samples};

/// How long a tone has lasted when the detector is certain of it.
const DTMF_CERTAIN_MS: u32 = 40;

impl Bearer<'_> {
    /// Takes 20 ms from the far side (`line`: from its timeslot); the samples, if anybody needs them.
    pub(super) fn listen(&mut self, ms: u64, silent_ms: u32, line: Option<&codec::Octets>) -> Option<Pcm> {
        self.told_silent(ms, silent_ms);
        let codec = self.hot.codec;
        let mut octets = [0; FRAME];
        let quiet = |o: &codec::Octets| codec::quiet(codec, o);
        let take = match line {
            Some(line) => {
                octets = *line;
                Take::Frame
            }
            None => self.cold.jitter.take(low32(ms.wrapping_mul(8)), quiet, &mut octets),
        };
        let on = self.cold.detectors;
        let detects = on.dtmf || on.progress || on.machine || on.voice;
        let bridged = self.bridged();
        if !(detects || bridged || self.cold.capture.is_some() || self.cold.tap.is_some()) {
            self.cold.heard_sound = false;
            return None;
        }
        let mut pcm = [0; FRAME];
        let changed = self.samples(take, &octets, &mut pcm);
        if bridged {
            let heard_codec = self.heard_codec();
            if changed || codec == Codec::G722 {
                codec::encode(heard_codec, None, &pcm, &mut self.cold.heard);
            } else {
                self.cold.heard = octets;
            }
            let cold = &mut *self.cold;
            if let Some((_, splice)) = cold.splice.as_mut().filter(|_| cold.heard_sound) {
                splice.say(heard_codec, &cold.heard);
            }
        }
        if self.cold.tap.is_some() {
            self.tap(changed, &octets, &pcm);
        }
        if detects {
            self.detect(&pcm);
        }
        Some(pcm)
    }

    /// Hands a frame to who listens along.
    fn tap(&mut self, changed: bool, octets: &codec::Octets, pcm: &Pcm) {
        let own = self.hot.codec;
        let Some((_, sink)) = &mut self.cold.tap else { return };
        if sink.failed.load(Ordering::Relaxed) {
            return self.untap();
        }
        let mut out = *octets;
        if changed || own != sink.codec {
            codec::encode(sink.codec, None, pcm, &mut out);
        }
        // A listener that has fallen behind loses this frame; the bearer loses nothing.
        let _ = sink.ring.push_entire_slice(&out);
    }

    /// The samples of a frame; true if they are not those of the octets.
    fn samples(&mut self, take: Take, octets: &codec::Octets, pcm: &mut Pcm) -> bool {
        let cold = &mut *self.cold;
        match take {
            Take::Frame => {
                let blend = cold.concealer.lost() > 0;
                codec::decode(self.hot.codec, Self::wide(cold), octets, pcm);
                // G.711's past stays in the jitter buffer and is read when something is missing; remembering every
                // frame cost a tenth of a tick.
                if blend || self.hot.codec == Codec::G722 {
                    cold.concealer.good(pcm);
                }
                cold.comfort = None;
                cold.heard_sound = true;
                blend
            }
            Take::Missing | Take::Stretch | Take::Idle => {
                match &mut cold.comfort {
                    Some(comfort) => comfort.fill(pcm),
                    None if take != Take::Idle => self.conceal(take, pcm),
                    None => {}
                }
                let cold = &mut *self.cold;
                // After 60 ms the concealment has faded away.
                let gone = cold.concealer.lost() > 3 * FRAME;
                cold.heard_sound = cold.comfort.is_some() || (take != Take::Idle && !gone);
                true
            }
        }
    }

    fn conceal(&mut self, take: Take, pcm: &mut Pcm) {
        let (codec, cold) = (self.hot.codec, &mut *self.cold);
        let remembers = codec == Codec::G722;
        if cold.concealer.lost() == 0 && !remembers {
            let mut past = [0; PAST];
            cold.jitter.past(&mut past);
            let (frames, _) = past.as_chunks::<FRAME>();
            for octets in frames {
                let mut samples = [0; FRAME];
                codec::decode(codec, None, octets, &mut samples);
                cold.concealer.good(&mut samples);
            }
        }
        cold.concealer.conceal(pcm);
        if take == Take::Missing && !remembers {
            let mut octets = [0; FRAME];
            codec::encode(codec, None, pcm, &mut octets);
            cold.jitter.patch(&octets);
        }
    }

    fn detect(&mut self, pcm: &Pcm) {
        let found = self.cold.detect.frame(self.cold.detectors, pcm);
        // Where RFC 4733 was heard, in-band tones are the same digits leaking through.
        if let Some(digit) = found.digit.filter(|_| !self.cold.events_seen) {
            self.digit(digit, DigitVia::Tone, Samples::from_ms(DTMF_CERTAIN_MS));
        }
        if let Some(on) = found.voice {
            self.voice(on);
        }
        let ended = found.greeting_ended.then_some(Heard::GreetingEnded);
        for what in [found.progress, found.answer, ended].into_iter().flatten() {
            self.link.edge(Report::Heard { bearer: self.id, what });
        }
    }

    fn told_silent(&mut self, ms: u64, silent_ms: u32) {
        if !self.hot.rtp || !self.hot.direction.receives() {
            return;
        }
        let since = low32(ms).wrapping_sub(self.hot.last_rx_ms);
        if since >= silent_ms.saturating_mul(self.cold.silent_told + 1) {
            self.cold.silent_told += 1;
            self.link.telemetry(Report::Silent { bearer: self.id, ms: since });
        }
    }
}
