//! Requests in JSON, YAML, XML and as a block of lines; HTTP takes the first three.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| carillon_fuzz::orders::forms(octets));
