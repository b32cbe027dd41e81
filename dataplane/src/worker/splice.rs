//! A splice: two bearers that already run on different workers joined by a ring each way, four frames deep.

use crate::codec::Octets;
use rtrb::{Consumer, Producer, RingBuffer};
use units::Codec;

/// Frames that a ring holds: the workers' clocks are one clock, so one is enough but for a late tick.
const FRAMES: usize = 4;

/// A frame with its codec.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spliced {
    pub(super) codec: Codec,
    pub(super) octets: Octets,
}

/// One end.
#[derive(Debug)]
pub struct Splice {
    say: Producer<Spliced>,
    hear: Consumer<Spliced>,
}

/// Both ends.
#[must_use]
pub fn splice() -> (Splice, Splice) {
    let ((a_say, b_hear), (b_say, a_hear)) = (RingBuffer::new(FRAMES), RingBuffer::new(FRAMES));
    (Splice { say: a_say, hear: a_hear }, Splice { say: b_say, hear: b_hear })
}

impl Splice {
    /// Hands over a frame; a full ring means that the other side is late, and this one is lost.
    pub(super) fn say(&mut self, codec: Codec, octets: &Octets) {
        let _ = self.say.push(Spliced { codec, octets: *octets });
    }

    /// The next frame; after a hiccup the oldest ones are left out so that the delay does not stay.
    pub(super) fn hear(&mut self) -> Option<Spliced> {
        while self.hear.slots() > 2 {
            let _ = self.hear.pop();
        }
        self.hear.pop().ok()
    }
}
