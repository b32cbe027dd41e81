//! Timeslots of a card as bearers: every millisecond eight octets of each slot go both ways; when a bearer's phase
//! comes, its twenty milliseconds are a frame like any other.

use crate::codec::Octets;
use crate::limits::{FRAME, PHASES};
use hw::card::{Card, CardReport, Tick};
use units::Digit;

/// Octets of a slot in a millisecond.
const OCTETS: usize = 8;
const NOBODY: u32 = u32::MAX;

struct Slot {
    place: u32,
    phase: u8,
    rx: Octets,
    tx: Octets,
}

/// A card with all its slots.
pub(super) struct Trunk {
    card: Box<dyn Card>,
    slots: Box<[Slot]>,
    /// First slot of each span.
    firsts: Box<[usize]>,
    rx: Box<[u8]>,
    tx: Box<[u8]>,
    /// Exchanges that failed.
    pub(super) failed: u64,
}

/// What an idle channel sends: the octet of silence of mu-law and of A-law (ITU-T G.711) differ; this is neither's
/// loud one, and bearers overwrite it.
const IDLE: u8 = 0xff;

impl Trunk {
    pub(super) fn new(card: Box<dyn Card>) -> Self {
        let mut firsts = Vec::new();
        let mut total = 0;
        for span in &card.info().spans {
            firsts.push(total);
            total += usize::from(span.slots());
        }
        let slot = || Slot { place: NOBODY, phase: 0, rx: [IDLE; FRAME], tx: [IDLE; FRAME] };
        Self {
            card,
            slots: (0..total).map(|_| slot()).collect(),
            firsts: firsts.into(),
            rx: vec![IDLE; total * OCTETS].into(),
            tx: vec![IDLE; total * OCTETS].into(),
            failed: 0,
        }
    }

    fn index(&self, span: u16, slot: u8) -> Option<usize> {
        let kind = self.card.info().spans.get(usize::from(span))?;
        let slot = slot.checked_sub(1).filter(|s| *s < kind.slots())?;
        Some(self.firsts[usize::from(span)] + usize::from(slot))
    }

    /// Gives a slot to a place; false: no such slot, or taken.
    pub(super) fn attach(&mut self, place: u32, phase: u32, span: u16, slot: u8, silence: u8) -> bool {
        let Some(slot) = self.index(span, slot).map(|i| &mut self.slots[i]).filter(|s| s.place == NOBODY)
        else {
            return false;
        };
        let phase = u8::try_from(phase).expect("below 20");
        *slot = Slot { place, phase, rx: [silence; FRAME], tx: [silence; FRAME] };
        true
    }

    pub(super) fn detach(&mut self, place: u32, span: u16, slot: u8) {
        if let Some(slot) = self.index(span, slot).map(|i| &mut self.slots[i]).filter(|s| s.place == place) {
            *slot = Slot { place: NOBODY, phase: 0, rx: [IDLE; FRAME], tx: [IDLE; FRAME] };
        }
    }

    /// The frame that has just become whole.
    pub(super) fn heard(&self, span: u16, slot: u8) -> Option<&Octets> {
        self.index(span, slot).map(|i| &self.slots[i].rx)
    }

    /// What goes out in the next twenty milliseconds.
    pub(super) fn say(&mut self, span: u16, slot: u8, said: &Octets) {
        if let Some(i) = self.index(span, slot) {
            self.slots[i].tx = *said;
        }
    }

    /// One millisecond of every slot; `digit` is told of what the card heard itself, and at whose place.
    pub(super) fn exchange(&mut self, ms: u64, mut digit: impl FnMut(u32, Digit)) {
        let at = |slot: &Slot| {
            let since = (ms + u64::from(PHASES) - u64::from(slot.phase) - 1) % u64::from(PHASES);
            usize::try_from(since).expect("below 20") * OCTETS
        };
        let (outs, _) = self.tx.as_chunks_mut::<OCTETS>();
        for (slot, out) in self.slots.iter().zip(outs) {
            out.copy_from_slice(&slot.tx[at(slot)..][..OCTETS]);
        }
        let mut tick = Tick { octets: OCTETS, rx: &mut self.rx, tx: &self.tx };
        if self.card.exchange(&mut tick).is_err() {
            self.failed += 1;
        }
        let (ins, _) = self.rx.as_chunks::<OCTETS>();
        for (slot, octets) in self.slots.iter_mut().zip(ins) {
            let at = at(slot);
            slot.rx[at..at + OCTETS].copy_from_slice(octets);
        }
        while let Some(report) = self.card.poll() {
            if let CardReport::Digit { span, slot, digit: heard, down: true } = report
                && let Some(i) = self.index(span, slot)
            {
                digit(self.slots[i].place, heard);
            }
        }
    }
}
