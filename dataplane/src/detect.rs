//! What is listened for in the sound of one bearer; the algorithms are `hw::dsp`'s, what they mean is decided here.

use crate::capture::level;
use crate::codec::Pcm;
use crate::command::Detectors;
use hw::dsp::dtmf;
use units::Digit;

/// The detectors' state of one bearer.
#[derive(Clone, Default)]
pub struct Detect {
    voice_run: u8,
    voice: bool,
    dtmf: dtmf::Detector,
}

/// What a frame brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Voice began (true) or ended.
    pub voice: Option<bool>,
    /// A digit is certain. (Two in one frame cannot be: each lasts longer.)
    pub digit: Option<Digit>,
}

/// Frames of sound that make voice, frames of none that end it.
const ATTACK: u8 = 3;
const RELEASE: u8 = 20;
/// Mean magnitude of voice, about -36 dBm0.
const VOICE_LEVEL: u32 = 350;

impl Detect {
    /// Begins anew.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Listens to a frame.
    pub fn frame(&mut self, on: Detectors, pcm: &Pcm) -> Found {
        let mut found = Found::default();
        if on.dtmf {
            self.dtmf.feed(pcm, &mut |event| {
                if event.edge == dtmf::Edge::Start {
                    found.digit = Some(event.digit);
                }
            });
        }
        if on.voice {
            let sounds = level(pcm) >= VOICE_LEVEL;
            self.voice_run = if sounds == self.voice { 0 } else { self.voice_run + 1 };
            if self.voice_run >= if self.voice { RELEASE } else { ATTACK } {
                self.voice = !self.voice;
                self.voice_run = 0;
                found.voice = Some(self.voice);
            }
        }
        found
    }
}
