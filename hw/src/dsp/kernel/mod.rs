//! Vector forms of G.711, one a file; identical to the bit to the tables of [`super::g711`].

#[cfg(target_arch = "x86_64")]
pub(super) mod g711;
