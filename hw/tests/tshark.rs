//! The tap's capture as Wireshark reads it: Q.921 by name with directions, timeslots as RTP.

use hw::card::{Card, SpanKind, Tick};
use hw::soft::{Loopback, Tap, TapLimits, Wiring};
use std::process::Command;
use units::Wall;

#[test]
fn tshark_names_lapd_frames_and_rtp() {
    let card = Loopback::new(&[SpanKind::E1, SpanKind::E1], Wiring::Pairs, &[(0, 16), (1, 16)]);
    let mut tap = Tap::new(card, &[(0, 1)], Wall(1_700_000_000_000), TapLimits::default());
    // Q.921: SABME, P bit set, from the user side.
    assert!(tap.send_frame(0, 16, &[0x00, 0x01, 0x7F]));
    for _ in 0..4 {
        let tx = vec![0xD5; 62 * 160];
        let mut rx = vec![0; tx.len()];
        tap.exchange(&mut Tick { octets: 160, rx: &mut rx, tx: &tx }).expect("the right shape");
    }
    assert_eq!(tap.receive_frame(1, 16, &mut [0; 64]), Some(3));
    let mut capture = Vec::new();
    tap.take(&mut capture);
    let dir = tempfile::tempdir().expect("a place for files");
    let file = dir.path().join("tap.pcapng");
    #[expect(clippy::disallowed_methods, reason = "a test uses files")]
    std::fs::write(&file, capture).expect("a small file");
    let shark = Command::new("tshark").arg("-r").arg(&file).args(["-d", "udp.port==4000,rtp"]).output();
    let Ok(out) = shark else {
        println!("SKIPPED: no tshark");
        return;
    };
    let text = String::from_utf8_lossy(&out.stdout);
    assert_eq!(text.lines().filter(|l| l.contains("SABME")).count(), 2, "{text}");
    assert_eq!(text.lines().filter(|l| l.contains("PCMA")).count(), 8, "{text}");
}
