//! TDM over Ethernet: packets of any octets into a port, each after a length octet.
#![no_main]

use hw::card::SpanKind;
use hw::tdm::oe::{Buffer, Packet, Port};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut port = Port::new(SpanKind::T1, 0, &[24], Buffer::WIRE);
    let mut rest = octets;
    while let Some((len, after)) = rest.split_first() {
        let (packet, after) = after.split_at(after.len().min(2 * usize::from(*len)));
        if let Some(packet) = Packet::parse(packet) {
            port.receive(&packet);
        }
        port.hear(&mut [0; 192]);
        while port.poll().is_some() || port.receive_frame(24, &mut [0; 272]).is_some() {}
        rest = after;
    }
});
