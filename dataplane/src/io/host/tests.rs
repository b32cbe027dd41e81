//! A whole dataplane on loopback with a far end in the test: sound both ways, a digit, a barge-in, everything back.

use super::*;
use crate::command::Cut;
use crate::event::{EventPacket, build};
use crate::report::{DigitVia, PlayEnd};
use crate::rtp::{Header, parse, write_header};
use std::net::UdpSocket;
use std::time::Duration;
use units::{Codec, Samples};

fn poll_until(end: &mut ControlEnd, mut found: impl FnMut(Report) -> bool) {
    for _ in 0..500 {
        end.arm();
        while let Some(report) = end.poll() {
            if found(report) {
                return;
            }
        }
        end.doorbell().wait(20);
    }
    panic!("the report did not come within ten seconds");
}

fn packet(seq: u16, payload_type: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12 + payload.len()];
    let header = Header { marker: false, payload_type, sequence: seq, timestamp, ssrc: 0x1234 };
    write_header(&mut bytes, &header);
    bytes[12..].copy_from_slice(payload);
    bytes
}

#[test]
fn plain_a_prompt_is_heard_a_digit_cuts_it_and_all_comes_back() {
    whole_call(Backend::Plain, 12_002..=13_001);
}

#[test]
fn sockets_a_prompt_is_heard_a_digit_cuts_it_and_all_comes_back() {
    whole_call(Backend::Sockets, 10_002..=11_001);
}

#[test]
fn uring_a_prompt_is_heard_a_digit_cuts_it_and_all_comes_back() {
    whole_call(Backend::Uring, 11_002..=12_001);
}

fn whole_call(backend: Backend, ports: RangeInclusive<u16>) {
    let far = UdpSocket::bind("127.0.0.1:0").expect("a port");
    far.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let limits = Limits { bearers: 40, ..Limits::default() };
    let config = Config { limits, priority: 0, seed: Seed(3), ports, ..Config::default() };
    let config = Config { backend: Choice::Only(backend), ..config };
    let (host, mut ends) = Host::start(config).expect("a dataplane");
    if host.workers()[0].backend != backend {
        println!("SKIPPED: {}", host.workers()[0]);
        return;
    }
    let mut end = ends.remove(0);
    let place = end.reserve(None).expect("a place");
    assert!(place.local.port().is_multiple_of(2));
    let to = far.local_addr().expect("bound");
    let spec = Spec::rtp(place.local, to, Codec::Pcmu, Seed(5)).with_events(101);
    end.open(place.bearer, spec).expect("room");
    let octets = Arc::new(vec![0x42_u8; 80_000]);
    let prompt = end.lend_prompt(Arc::new(Prompt::new(Codec::Pcmu, octets))).expect("a handle");
    let (offset, length) = (Samples(0), Samples(u32::MAX));
    end.send(Command::Play { bearer: place.bearer, item: 9, prompt, offset, length, cut: Cut::Digit })
        .expect("room");
    poll_until(&mut end, |r| matches!(r, Report::Opened { port, .. } if port == place.local.port()));

    // The prompt arrives, in order.
    let (mut buffer, mut last, mut heard) = ([0; 2048], None, 0);
    while heard < 10 {
        let (n, from) = far.recv_from(&mut buffer).expect("sound");
        assert_eq!(from, place.local);
        let p = parse(&buffer[..n]).expect("RTP");
        assert!(last.is_none_or(|l: u16| p.sequence == l.wrapping_add(1)));
        last = Some(p.sequence);
        heard += u32::from(p.payload == [0x42; 160]);
    }

    // A foreign source presses a key: nothing. The right one does: the digit, and the prompt is cut.
    let press = build(EventPacket { event: 5, end: false, volume: 10, duration: 160 });
    let foreign = UdpSocket::bind("127.0.0.1:0").expect("a port");
    foreign.send_to(&packet(1, 101, 0, &press), place.local).expect("sent");
    far.send_to(&packet(7, 101, 1000, &press), place.local).expect("sent");
    far.send_to(&packet(8, 101, 1000, &press), place.local).expect("sent");
    let (mut digits, mut cut) = (0, false);
    poll_until(&mut end, |r| {
        match r {
            Report::Digit { digit, via, .. } => {
                assert_eq!((digit.as_char(), via), ('5', DigitVia::Event));
                digits += 1;
            }
            Report::PlayEnded { item, end, heard, .. } => {
                assert_eq!((item, end), (9, PlayEnd::CutByDigit));
                assert!(heard.0 >= 1600);
                cut = true;
            }
            _ => {}
        }
        digits > 0 && cut
    });

    end.send(Command::ReturnPrompt { prompt }).expect("room");
    end.send(Command::Close { bearer: place.bearer }).expect("room");
    let (mut closed, mut prompt_back, mut spec_back) = (false, false, false);
    poll_until(&mut end, |r| {
        match r {
            Report::Closed { counts, .. } => {
                assert_eq!((counts.received, counts.refused), (2, 1));
                closed = true;
            }
            Report::PromptReturned { .. } => prompt_back = true,
            Report::SpecReturned { .. } => spec_back = true,
            _ => {}
        }
        closed && prompt_back && spec_back
    });
    assert_eq!((digits, end.open_places()), (1, 0));
    drop(host);
}
