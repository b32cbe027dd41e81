//! Cards made of software: a loop ([`Loopback`]), several cards as one ([`Bundle`]), faults from a seed around any card ([`Fault`]), and a tap that
//! writes what passes as a capture file ([`Tap`]).

mod bundle;
mod fault;
mod loopback;
mod tap;

pub use bundle::Bundle;
pub use fault::{Fault, Rates};
pub use loopback::{Loopback, Wiring};
pub use tap::{Tap, TapLimits};

use crate::card::{CardError, CardInfo, SLOT_OCTETS_MAX, Tick};

/// Slots of all spans before `span`.
fn first_slot(info: &CardInfo, span: usize) -> usize {
    info.spans[..span].iter().map(|s| usize::from(s.slots())).sum()
}

/// Checks a tick against a card.
fn check(info: &CardInfo, tick: &Tick<'_>) -> Result<(), CardError> {
    let octets = tick.octets;
    let shaped = octets > 0 && octets.is_multiple_of(8) && octets <= SLOT_OCTETS_MAX;
    let wanted = first_slot(info, info.spans.len()) * octets;
    if shaped && tick.rx.len() == wanted && tick.tx.len() == wanted { Ok(()) } else { Err(CardError::Shape) }
}
