//! Vector forms, one a file: G.711, identical to the bit to the tables of [`super::g711`], and the adaptive filter of
//! [`super::echo`], equal but for the order of its sums.

#[cfg(target_arch = "x86_64")]
pub(super) mod fir;
#[cfg(target_arch = "x86_64")]
pub(super) mod g711;
