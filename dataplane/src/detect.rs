//! What is listened for in the sound of one bearer; the algorithms are `hw::dsp`'s, what they mean is decided here.

use crate::codec::Pcm;
use crate::command::Detectors;
use hw::dsp::{dtmf, vad};
use units::Digit;

/// The detectors' state of one bearer.
#[derive(Clone, Default)]
pub struct Detect {
    voice: vad::Detector,
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
            self.voice.feed(pcm, &mut |event| found.voice = Some(event.edge == vad::Edge::Voice));
        }
        found
    }
}
