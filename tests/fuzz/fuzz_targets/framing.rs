//! Streams: the same octets in pieces of any size hold the same messages as in one, and never more octets than came.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signalling::sip::wire::Limits;
use signalling::sip::wire::frame::{Cut, Framer};

fn messages<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut framer, mut cut) = (Framer::default(), Vec::new());
    let limits = Limits::default();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next(&limits) {
                Cut::Message(n) => {
                    cut.push(framer.bytes()[..n].to_vec());
                    framer.consume(n);
                }
                Cut::Ping => {}
                Cut::More => break,
                Cut::Last(_) | Cut::Broken => return cut,
            }
        }
    }
    cut
}

fuzz_target!(|octets: &[u8]| {
    let Some((&first, octets)) = octets.split_first() else { return };
    let whole = messages(std::iter::once(octets));
    assert!(whole.iter().map(Vec::len).sum::<usize>() <= octets.len());
    assert_eq!(messages(octets.chunks(usize::from(first).max(1))), whole);
});
