//! A recording in progress: frames of G.711 into a ring that a writer drains (`io::recorder`).

use crate::codec::{self, Octets, Pcm};
use crate::command::CaptureHandle;
use crate::limits::FRAME;
use crate::pool::CaptureSink;
use crate::report::CaptureEnd;
use hw::dsp::mix;
use hw::dsp::vad::{self, Edge, Event};
use std::sync::atomic::Ordering;

/// What a command asked for, and how far it is.
#[derive(Debug)]
pub struct Capture {
    /// Names the lent sink.
    pub handle: CaptureHandle,
    /// The lent sink.
    pub sink: Box<CaptureSink>,
    /// Both directions, mixed.
    pub both: bool,
    /// Longest, samples.
    pub length_max: u32,
    /// Silence that ends it, samples; `u32::MAX`: none.
    pub final_silence: u32,
    /// A digit ends it.
    pub digit_ends: bool,
    /// Recorded so far, samples.
    pub length: u32,
    /// Sound was heard at all.
    pub sound: bool,
    /// Hears voice and silence.
    pub voice: vad::Detector,
    /// When the silence that goes on began, samples; at the beginning there is silence.
    pub silent_since: Option<u64>,
}

/// Mean magnitude of a frame that is sound: about -42 dBm0.
const SOUND_LEVEL: u32 = 180;

fn mean_magnitude(pcm: &Pcm) -> u32 {
    pcm.iter().map(|s| u32::from(s.unsigned_abs())).sum::<u32>() / 160
}

impl Capture {
    /// Records a frame: what was heard, and mixed with what was said if both are wanted. `octets` is what was heard in
    /// the sink's codec already, if it is. `Some`: the recording is over with this frame.
    pub fn frame(&mut self, heard: &Pcm, octets: Option<&Octets>, said: Option<&Pcm>) -> Option<CaptureEnd> {
        let quiet = self.judge(heard);
        let mut out = [0; FRAME];
        match (said.filter(|_| self.both), octets) {
            (Some(said), _) => {
                let mut mixed = *heard;
                mix::add(&mut mixed, said);
                codec::encode(self.sink.codec, None, &mixed, &mut out);
            }
            (None, Some(octets)) => out = *octets,
            (None, None) => codec::encode(self.sink.codec, None, heard, &mut out),
        }
        let left = usize::try_from(self.length_max - self.length).unwrap_or(FRAME).min(FRAME);
        if self.sink.failed.load(Ordering::Relaxed) || self.sink.ring.push_entire_slice(&out[..left]).is_err()
        {
            return Some(CaptureEnd::Failed);
        }
        self.length += u32::try_from(left).expect("at most a frame");
        if self.length >= self.length_max {
            return Some(CaptureEnd::Full);
        }
        (self.final_silence != u32::MAX && quiet >= u64::from(self.final_silence))
            .then_some(CaptureEnd::Silence)
    }

    /// Listens for voice; samples of silence so far at the end.
    fn judge(&mut self, pcm: &Pcm) -> u64 {
        if self.final_silence == u32::MAX {
            // Nobody waits for silence: only whether there was sound at all, which costs a tenth of hearing voice.
            self.sound = self.sound || mean_magnitude(pcm) >= SOUND_LEVEL;
            return 0;
        }
        let (mut edge, fed) = (None, u64::from(self.length) + 160);
        self.voice.feed(pcm, &mut |e| edge = Some(e));
        match edge {
            Some(Event { edge: Edge::Silence, at }) => self.silent_since = Some(at),
            Some(Event { edge: Edge::Voice, .. }) => {
                self.silent_since = None;
                self.sound = true;
            }
            None => {}
        }
        self.silent_since.map_or(0, |since| fed.saturating_sub(since))
    }
}
