//! A recording in progress: frames of G.711 into a ring that a writer drains (`io::recorder`).

use crate::codec::{self, Octets, Pcm};
use crate::command::CaptureHandle;
use crate::limits::FRAME;
use crate::pool::CaptureSink;
use crate::report::CaptureEnd;
use std::sync::atomic::Ordering;
use units::Codec;

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
    /// Silence so far at the end, samples.
    pub silence: u32,
    /// Sound was heard at all.
    pub sound: bool,
}

/// Mean magnitude of a frame above which it is sound: about -42 dBm0.
const SOUND_LEVEL: u32 = 180;

/// Mean magnitude of a frame.
#[must_use]
pub fn level(pcm: &Pcm) -> u32 {
    pcm.iter().map(|s| u32::from(s.unsigned_abs())).sum::<u32>() / 160
}

impl Capture {
    /// Records a frame: what was heard (octets of `codec`), and mixed with what was said if both are wanted. `Some`:
    /// the recording is over with this frame.
    pub fn frame(&mut self, codec: Codec, heard: &Octets, said: &Octets) -> Option<CaptureEnd> {
        let mut pcm = [0; FRAME];
        codec::decode(codec, heard, &mut pcm);
        self.judge(&pcm);
        let mut octets = *heard;
        if self.both {
            let mut other = [0; FRAME];
            codec::decode(codec, said, &mut other);
            pcm.iter_mut().zip(other).for_each(|(a, b)| *a = a.saturating_add(b));
        }
        if self.both || codec != self.sink.codec {
            codec::encode(self.sink.codec, &pcm, &mut octets);
        }
        let left = usize::try_from(self.length_max - self.length).unwrap_or(FRAME).min(FRAME);
        if self.sink.failed.load(Ordering::Relaxed)
            || self.sink.ring.push_entire_slice(&octets[..left]).is_err()
        {
            return Some(CaptureEnd::Failed);
        }
        self.length += u32::try_from(left).expect("at most a frame");
        if self.length >= self.length_max {
            return Some(CaptureEnd::Full);
        }
        // VoiceXML 2.0 §2.3.6: final silence counts once something was said; before that the caller's patience does.
        (self.silence >= self.final_silence).then_some(CaptureEnd::Silence)
    }

    fn judge(&mut self, pcm: &Pcm) {
        if level(pcm) >= SOUND_LEVEL {
            self.sound = true;
            self.silence = 0;
        } else {
            self.silence = self.silence.saturating_add(160);
        }
    }
}
