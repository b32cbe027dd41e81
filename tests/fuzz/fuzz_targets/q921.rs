//! Q.921: frames of any octets into a data link, each after a length octet; its timers expire between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signalling::isdn::q921::{Input, Link, Side, Timers};
use units::{Mono, Now};

fuzz_target!(|octets: &[u8]| {
    for side in [Side::User, Side::Network] {
        let mut link = Link::new(side, Timers::default());
        let mut now = Now::default();
        let mut rest = octets;
        while let Some((len, after)) = rest.split_first() {
            let (frame, after) = after.split_at(after.len().min(usize::from(*len)));
            let _full = link.handle(now, Input::Frame(frame));
            while link.poll().is_some() {}
            if let Some((at, _)) = link.deadline().filter(|_| len % 3 == 0) {
                now.mono = Mono::from_ms(at.as_ms());
                let _full = link.handle(now, Input::Timer);
                while link.poll().is_some() {}
            }
            rest = after;
        }
    }
});
