//! SMTP and LMTP sessions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| carillon_fuzz::orders::smtp(octets));
