//! Policy: may this order be dialled now, later, or never? Rules come from three parties: the operator who receives
//! the order, the third party whose order it is, and the customer who is called. Every rule that applies must be
//! content, so adding a rule can only tighten.
//!
//! [`judge`] looks at one order with its [`Facts`] and answers with a [`Decision`] that names each rule it asked. The
//! caps of an admitted order are then taken in the claim's transaction, and [`permit`] mints the one thing that may
//! dial. Nothing here is legal advice: packs of regulation carry their source and date, and need counsel.

pub mod calendar;
pub mod customers;
pub mod decision;
pub mod facts;
pub mod house;
pub mod judge;
pub mod ledger;
pub mod pace;
pub mod packs;
pub mod pass;
pub mod rule;
pub mod stored;
#[cfg(test)]
mod suite;
pub mod suppress;
pub mod window;
pub mod zones;

pub use decision::{Because, Decision, Inputs, Outcome, Terms, Verdict};
pub use facts::{Facts, Suppression};
pub use judge::judge;
pub use pass::{CapsTaken, Gate, Pass, permit, seal};
pub use rule::{Applies, CapKey, Check, Effect, Party, Rule, RuleSet, Rules};
