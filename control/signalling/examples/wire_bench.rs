//! How long it takes to read an INVITE of 1,046 octets: parse and all typed fields; and to set up and end a call between
//! two endpoints in memory, and what a confirmed dialog holds. Run: `cargo run --release -p carillon-signalling --example wire_bench`.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and its own size"
)]

use signalling::leg::{Action, Indication, Media, Place, Rtp, Transport};
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, FlowId, Input, Net, Output};
use signalling::sip::wire::core::request_uri;
use signalling::sip::wire::{Core, HeaderId, Limits, Message, NameAddr, values};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use units::{AttemptId, Cause, Codec, LegId, Mono, Now, Private, Seed};

/// 1,046 octets of a carrier's kind.
const INVITE: &[u8; 1_046] = include_bytes!("invite.sip");

/// Parses and reads every typed field; the count keeps the optimiser honest.
fn read(bytes: &[u8]) -> usize {
    let m = Message::parse(bytes, &Limits::default()).expect("framed");
    let core = Core::read(&m).expect("sound");
    let uri = request_uri(&m).expect("a URI");
    let contacts = [HeaderId::Contact, HeaderId::RecordRoute, HeaderId::AssertedIdentity];
    let named =
        contacts.iter().flat_map(|&id| m.all(id)).flat_map(values).filter_map(NameAddr::parse).count();
    core.call_id.len() + uri.text.len() + named
}

fn config(side: u8) -> EndpointConfig {
    let own = Some(SocketAddr::from(([192, 0, 2, side], 5060)));
    let mut config = EndpointConfig::new(0, Advertised { udp: own, ..Advertised::default() }, [side; 32]);
    config.peers = vec![Net { ip: [192, 0, 2, 0].into(), bits: 24 }];
    config.limits.source_rate = u32::MAX;
    config
}

fn media(port: u16) -> Media {
    Media::Rtp(Rtp {
        addr: SocketAddr::from(([198, 51, 100, 1], port)),
        rtcp: None,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        telephone_event: Some(101),
        sends: true,
        receives: true,
        srtp: None,
        ptime_ms: 20,
    })
}

/// Passes messages between the two until both are silent; the called side accepts at once.
fn settle(sides: &mut [Endpoint; 2], now: Now) {
    let mut quiet = 0;
    let mut side = 0;
    while quiet < 2 {
        quiet += 1;
        while let Some(output) = sides[side].poll() {
            quiet = 0;
            match output {
                Output::Transmit { bytes, .. } => {
                    let from = SocketAddr::from(([192, 0, 2, if side == 0 { 1 } else { 2 }], 5060));
                    let input =
                        Input::Received { flow: FlowId(0), transport: Transport::Udp, from, bytes: &bytes };
                    sides[1 - side].handle(now, input).expect("no error");
                }
                Output::Leg(id, Indication::Incoming(_)) => {
                    let accept = Action::Accept { media: media(6_000) };
                    sides[side].handle(now, Input::Leg(id, accept)).expect("waits");
                }
                Output::Leg(id, Indication::AckDue) => {
                    sides[side].handle(now, Input::AckJournalled(id)).expect("due");
                }
                _ => {}
            }
        }
        side = 1 - side;
    }
}

fn call(sides: &mut [Endpoint; 2], now: Now, n: u64) {
    let place = Place {
        to: Private::new("sip:+12025550123@192.0.2.2".to_owned()),
        from: Private::new("<sip:+12025550100@192.0.2.1>".to_owned()),
        asserted: None,
        hop: SocketAddr::from(([192, 0, 2, 2], 5060)),
        transport: Transport::Udp,
        attempt: AttemptId(n.into()),
        media: media(4_000),
        engine: None,
        credentials: None,
        headers: vec![],
        ring_max_ms: 60_000,
    };
    sides[0].handle(now, Input::Leg(LegId(n), Action::Place(Box::new(place)))).expect("new");
    settle(sides, now);
}

/// The best time of many short batches: what the machine's other work takes does not count.
fn best(batches: u32, each: u32, mut work: impl FnMut()) -> Duration {
    let batch = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..each).for_each(|_| work());
        start.elapsed() / each
    };
    (0..batches).map(|_| batch(&mut work)).min().unwrap_or_default()
}

/// Resident octets of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// Octets that one confirmed dialog holds once its transactions are over.
fn octets_of_a_dialog() -> u64 {
    let mut sides = [Endpoint::new(config(1), Seed(1)), Endpoint::new(config(2), Seed(2))];
    let calls = 20_000;
    let before = resident();
    for n in 1..=calls {
        call(&mut sides, Now { mono: Mono::from_ms(n), ..Now::default() }, n);
        if n % 1_000 == 0 {
            // Everything but the dialogs times out before the next thousand.
            let later = Now { mono: Mono::from_ms(n + 100_000), ..Now::default() };
            sides.iter_mut().for_each(|s| s.handle(later, Input::Timer).expect("no error"));
            settle(&mut sides, later);
        }
    }
    let after = resident();
    println!("confirmed: {:?} {:?}", sides[0].live(), sides[1].live());
    after.saturating_sub(before) / (2 * calls)
}

pub(crate) fn main() {
    println!("octets of a confirmed dialog: {}", octets_of_a_dialog());
    let bytes: &[u8] = INVITE;
    let limits = Limits::default();
    println!("octets of the INVITE: {}", bytes.len());
    println!(
        "indexed: {:?}",
        best(1_000, 100, || drop(black_box(Message::parse(black_box(bytes), &limits))))
    );
    let mut sum = 0;
    let judged = || {
        let m = Message::parse(black_box(bytes), &limits).expect("framed");
        black_box(Core::read(&m).expect("sound").cseq.number);
    };
    println!("indexed, mandatory fields typed, lists judged: {:?}", best(1_000, 100, judged));
    println!(
        "the same, and Request-URI, Contact, Record-Route and identity read again: {:?}",
        best(1_000, 100, || sum += read(black_box(bytes)))
    );

    let mut sides = [Endpoint::new(config(1), Seed(1)), Endpoint::new(config(2), Seed(2))];
    let mut n = 0;
    let took = best(1_000, 4, || {
        n += 1;
        let now = Now { mono: Mono::from_ms(n), ..Now::default() };
        call(&mut sides, now, n);
        sides[0].handle(now, Input::Leg(LegId(n), Action::Clear(Cause::NORMAL))).expect("up");
        settle(&mut sides, now);
        for side in &mut sides {
            side.handle(now, Input::Timer).expect("no error");
        }
        settle(&mut sides, now);
    });
    println!("a call set up and ended, both ends together: {took:?}");
    println!("left, before the last timers: {:?} {:?} ({sum})", sides[0].live(), sides[1].live());
}
