//! The receiving half of a frame: jitter buffer, concealment, detectors.

use super::bearer::Bearer;
use super::receive::low32;
use crate::codec;
use crate::jitter::Take;
use crate::limits::FRAME;
use crate::report::{DigitVia, Report};
use units::Samples;

/// Frames in a row that are concealed before silence takes over.
const CONCEAL_MAX: u8 = 3;
/// How long a tone has lasted when the detector is certain of it.
const DTMF_CERTAIN_MS: u32 = 40;

impl Bearer<'_> {
    /// Takes 20 ms from the far side.
    pub(super) fn listen(&mut self, ms: u64, silent_ms: u32) {
        self.told_silent(ms, silent_ms);
        let codec = self.hot.codec;
        let mut octets = [0; FRAME];
        let quiet = |o: &codec::Octets| codec::quiet(codec, o);
        match self.cold.jitter.take(low32(ms.wrapping_mul(8)), quiet, &mut octets) {
            Take::Frame => {
                self.cold.heard = octets;
                self.cold.heard_sound = true;
                self.cold.concealed = 0;
            }
            Take::Missing | Take::Stretch => self.conceal(),
            Take::Idle => self.hush(),
        }
        self.detect();
    }

    fn conceal(&mut self) {
        if self.cold.concealed >= CONCEAL_MAX || !self.cold.heard_sound {
            return self.hush();
        }
        self.cold.concealed += 1;
        // G.711 Appendix I §3.4: what is repeated fades.
        let mut pcm = [0; FRAME];
        codec::decode(self.hot.codec, &self.cold.heard, &mut pcm);
        pcm.iter_mut().for_each(|s| *s = *s / 4 * 3);
        codec::encode(self.hot.codec, &pcm, &mut self.cold.heard);
    }

    fn hush(&mut self) {
        if self.cold.heard_sound {
            self.cold.heard = [codec::silence(self.hot.codec); FRAME];
            self.cold.heard_sound = false;
        }
    }

    fn detect(&mut self) {
        let on = self.cold.detectors;
        if !(on.dtmf || on.progress || on.machine || on.voice) {
            return;
        }
        let mut pcm = [0; FRAME];
        codec::decode(self.hot.codec, &self.cold.heard, &mut pcm);
        let found = self.cold.detect.frame(on, &pcm);
        // Where RFC 4733 was heard, in-band tones are the same digits leaking through.
        if let Some(digit) = found.digit.filter(|_| !self.cold.events_seen) {
            self.digit(digit, DigitVia::Tone, Samples::from_ms(DTMF_CERTAIN_MS));
        }
        if let Some(on) = found.voice {
            self.voice(on);
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
