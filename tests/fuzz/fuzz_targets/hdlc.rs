//! HDLC: any octets of a timeslot as bits; frames that come out are short enough, and nothing panics.
#![no_main]

use hw::tdm::hdlc::{Decoder, FRAME_OCTETS_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut decoder = Decoder::new();
    decoder.feed(octets, &mut |frame| {
        if let Ok(frame) = frame {
            assert!(frame.len() <= FRAME_OCTETS_MAX);
        }
    });
});
