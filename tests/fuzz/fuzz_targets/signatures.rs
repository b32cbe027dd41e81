//! Signature headers, digests, manifests, tokens.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| carillon_fuzz::orders::signatures(octets));
