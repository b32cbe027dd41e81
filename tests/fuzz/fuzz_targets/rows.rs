//! Lists of contacts: CSV and JSON lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| carillon_fuzz::orders::rows(octets));
