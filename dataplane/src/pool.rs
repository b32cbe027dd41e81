//! What control lends to a worker: specifications, prompts, capture rings. Ownership moves over a ring of its own
//! beside the commands and comes back over another, so that the worker never allocates, frees or shares anything
//! mutable. A lender pushes the thing first and then the command that names its handle.

use crate::command::{CaptureHandle, PromptHandle, SpecHandle};
use crate::spec::Spec;
use crate::worker::Splice;
use std::sync::Arc;
use units::{BearerId, Codec, Samples};

/// The octets of one rendering: owned, or mapped from a file; the lender keeps them resident.
pub type Octets = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A prompt: the same sound once per codec, so that playing costs no encoder.
#[derive(Clone)]
pub struct Prompt {
    renderings: [Option<Octets>; 3],
    length: Samples,
}

impl std::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prompt({} ms)", self.length.as_ms())
    }
}

fn slot(codec: Codec) -> usize {
    match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 1,
        Codec::G722 => 2,
    }
}

impl Prompt {
    /// A prompt of one rendering. (G.722's 64 kbit/s make one octet a sample of 8 kHz, like G.711's.)
    #[must_use]
    pub fn new(codec: Codec, octets: Octets) -> Self {
        let length = Samples(u32::try_from((*octets).as_ref().len()).unwrap_or(u32::MAX));
        let mut renderings = [None, None, None];
        renderings[slot(codec)] = Some(octets);
        Self { renderings, length }
    }

    /// With another rendering of the same sound; the shortest one sets the length.
    #[must_use]
    pub fn and(mut self, codec: Codec, octets: Octets) -> Self {
        let length = u32::try_from((*octets).as_ref().len()).unwrap_or(u32::MAX);
        self.length = self.length.min(Samples(length));
        self.renderings[slot(codec)] = Some(octets);
        self
    }

    /// All renderings of 8 kHz linear samples.
    #[must_use]
    pub fn from_linear(samples: &[i16]) -> Self {
        let render = |codec| -> Octets { Arc::new(crate::codec::render(codec, samples)) };
        Prompt::new(Codec::Pcmu, render(Codec::Pcmu))
            .and(Codec::Pcma, render(Codec::Pcma))
            .and(Codec::G722, render(Codec::G722))
    }

    /// Its length at 8 kHz.
    #[must_use]
    pub fn length(&self) -> Samples {
        self.length
    }

    /// The octets for a codec.
    #[must_use]
    pub fn octets(&self, codec: Codec) -> Option<&[u8]> {
        self.renderings[slot(codec)].as_deref().map(AsRef::as_ref)
    }
}

/// The worker's end of a recording: octets of `codec` pushed into a ring that a writer drains.
#[derive(Debug)]
pub struct CaptureSink {
    /// Where octets go; a frame that finds no room ends the capture as failed.
    pub ring: rtrb::Producer<u8>,
    /// What is written: `Pcmu` or `Pcma`.
    pub codec: Codec,
    /// Set by the writer when the disk failed.
    pub failed: Arc<std::sync::atomic::AtomicBool>,
}

/// One thing on its way to the worker.
#[derive(Debug)]
pub enum Lent {
    /// A bearer's specification.
    Spec(SpecHandle, Box<Spec>),
    /// A prompt.
    Prompt(PromptHandle, Arc<Prompt>),
    /// A capture's sink.
    Capture(CaptureHandle, Box<CaptureSink>),
    /// One end of a splice, for a bearer of the worker; joined as soon as it arrives.
    Splice(BearerId, Box<Splice>),
}

/// The same things on their way back.
pub type Returned = Lent;

/// A worker's table of what one shard has lent.
pub(crate) struct Table<T> {
    slots: Box<[Option<T>]>,
}

impl<T> Table<T> {
    pub(crate) fn new(slots: u32) -> Self {
        Self { slots: (0..slots).map(|_| None).collect() }
    }

    /// Puts a thing in; gives it back if the handle is out of range or taken.
    pub(crate) fn put(&mut self, handle: u32, thing: T) -> Result<(), T> {
        match usize::try_from(handle).ok().and_then(|i| self.slots.get_mut(i)) {
            Some(slot @ None) => {
                *slot = Some(thing);
                Ok(())
            }
            _ => Err(thing),
        }
    }

    pub(crate) fn take(&mut self, handle: u32) -> Option<T> {
        self.slots.get_mut(usize::try_from(handle).ok()?)?.take()
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&T> {
        self.slots.get(usize::try_from(handle).ok()?)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut T> {
        self.slots.get_mut(usize::try_from(handle).ok()?)?.as_mut()
    }
}

/// A lent prompt and how many queued items name it.
pub(crate) struct LentPrompt {
    pub(crate) prompt: Arc<Prompt>,
    pub(crate) uses: u32,
    pub(crate) returning: bool,
}
