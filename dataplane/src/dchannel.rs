//! D-channel frames between a worker and a shard: slots of 272 octets on rings of their own, both ways, so that
//! signalling neither allocates on the tick nor waits behind reports.

/// Most octets of a frame without flags and FCS: address, control, and N201 of information (Q.921 §5.9.3).
pub const OCTETS_MAX: usize = 264;

/// One frame with its D-channel.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Frame {
    span: u16,
    len: u16,
    slot: u8,
    _pad: [u8; 3],
    octets: [u8; OCTETS_MAX],
}

impl Frame {
    /// A frame of the D-channel in `slot` (from 1) of `span` (from 0 on its card). `None`: too long.
    #[must_use]
    pub fn new(span: u16, slot: u8, octets: &[u8]) -> Option<Self> {
        let mut frame = Self::empty(span, slot);
        frame.octets.get_mut(..octets.len())?.copy_from_slice(octets);
        frame.len = u16::try_from(octets.len()).ok()?;
        Some(frame)
    }

    /// Nothing yet; [`Self::fill`] puts octets in.
    #[must_use]
    pub fn empty(span: u16, slot: u8) -> Self {
        Self { span, len: 0, slot, _pad: [0; 3], octets: [0; OCTETS_MAX] }
    }

    /// Lets `from` write octets and tell how many; false: none.
    pub fn fill(&mut self, from: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let len = from(&mut self.octets).map(|len| len.min(OCTETS_MAX));
        self.len = len.and_then(|l| u16::try_from(l).ok()).unwrap_or(0);
        len.is_some()
    }

    /// Span on its card, from 0.
    #[must_use]
    pub fn span(&self) -> u16 {
        self.span
    }

    /// Slot, from 1.
    #[must_use]
    pub fn slot(&self) -> u8 {
        self.slot
    }

    /// The octets.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..usize::from(self.len).min(OCTETS_MAX)]
    }
}

// Contents are calls' numbers: they are not shown.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}/{}, {} octets)", self.span, self.slot, self.len)
    }
}

const _: () = assert!(size_of::<Frame>() == 272);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_octets_and_long_ones_are_refused() {
        let frame = Frame::new(3, 16, &[1, 2, 3]).expect("short");
        assert_eq!((frame.span(), frame.slot(), frame.octets()), (3, 16, &[1, 2, 3][..]));
        assert!(
            Frame::new(0, 1, &[0; OCTETS_MAX]).is_some() && Frame::new(0, 1, &[0; OCTETS_MAX + 1]).is_none()
        );
    }
}
