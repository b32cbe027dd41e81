//! Session descriptions: read, agreed with ours, answered; what we answer reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signalling::leg::{Rtp, Srtp};
use signalling::sdp::{Description, Local, agree};
use units::Codec;

fuzz_target!(|octets: &[u8]| {
    let Ok(offer) = Description::parse(octets) else { return };
    for srtp in [None, Some(Srtp { optional: true, tag_bits: 80, key_salt: [7; 30] })] {
        let ours = Rtp {
            addr: "192.0.2.1:4000".parse().expect("an address"),
            rtcp: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::G722],
            telephone_event: Some(101),
            sends: true,
            receives: true,
            srtp,
            ptime_ms: 20,
        };
        let agreed = agree(&ours, &offer.rtp);
        let answer = Local::new(1).answer(&ours, &offer);
        assert_eq!(agreed.is_ok(), answer.is_ok());
        if let Ok((bytes, _)) = answer {
            let read = Description::parse(&bytes).expect("our own answer");
            assert_eq!((read.index, read.lines.len()), (offer.index, offer.lines.len()));
        }
    }
});
