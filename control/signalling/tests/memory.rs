//! What calls hold, counted by the global allocator: 100,000 confirmed dialogs (10,000 in the short form) of at most 4 KB
//! each, and nothing more after an hour of calls that come and go (two minutes in the short form; `CARILLON_LONG=1` runs
//! the long one). Virtual time, two endpoints in memory. One test to this binary, so that nothing else is counted.
#![allow(clippy::disallowed_methods, reason = "the long form is asked for by a variable")]

use signalling::leg::{Action, Indication, Media, Place, Rtp, Transport};
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, FlowId, Input, Net, Output};
use signalling::sip::wire::core::request_uri;
use signalling::sip::wire::{Core, Limits, Message};
use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use units::{AttemptId, Cause, Codec, LegId, Mono, Now, Private, Seed};

static OCTETS: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches two atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        OCTETS.fetch_add(layout.size(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        OCTETS.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A carrier's kind of INVITE.
const INVITE: &[u8; 1_046] = include_bytes!("../examples/invite.sip");

fn endpoint(side: u8) -> Endpoint {
    let own = Some(SocketAddr::from(([192, 0, 2, side], 5060)));
    let mut config = EndpointConfig::new(0, Advertised { udp: own, ..Advertised::default() }, [side; 32]);
    config.peers = vec![Net { ip: [192, 0, 2, 0].into(), bits: 24 }];
    config.limits.source_rate = u32::MAX;
    // Nothing but the calls themselves is to be seen.
    config.session_expires_s = None;
    config.limits.legs_max = 200_000;
    Endpoint::new(config, Seed(u64::from(side)))
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

struct Pair {
    sides: [Endpoint; 2],
    now: Now,
    next: u64,
}

impl Pair {
    /// Passes messages until both are silent; the called side accepts at once.
    fn settle(&mut self) {
        let (mut quiet, mut side) = (0, 0);
        while quiet < 2 {
            quiet += 1;
            while let Some(output) = self.sides[side].poll() {
                quiet = 0;
                match output {
                    Output::Transmit { bytes, .. } => {
                        let from = SocketAddr::from(([192, 0, 2, if side == 0 { 1 } else { 2 }], 5060));
                        let (flow, transport) = (FlowId(0), Transport::Udp);
                        let input = Input::Received { flow, transport, from, bytes: &bytes };
                        self.sides[1 - side].handle(self.now, input).expect("no error");
                    }
                    Output::Leg(id, Indication::Incoming(_)) => {
                        let accept = Action::Accept { media: media(6_000) };
                        self.sides[side].handle(self.now, Input::Leg(id, accept)).expect("waits");
                    }
                    Output::Leg(id, Indication::AckDue) => {
                        self.sides[side].handle(self.now, Input::AckJournalled(id)).expect("due");
                    }
                    _ => {}
                }
            }
            side = 1 - side;
        }
    }

    fn call(&mut self) -> LegId {
        self.next += 1;
        let id = LegId(self.next);
        let place = Place {
            to: Private::new("sip:+12025550123@192.0.2.2".to_owned()),
            from: Private::new("<sip:+12025550100@192.0.2.1>".to_owned()),
            asserted: None,
            hop: SocketAddr::from(([192, 0, 2, 2], 5060)),
            transport: Transport::Udp,
            attempt: AttemptId(self.next.into()),
            media: media(4_000),
            credentials: None,
            headers: vec![],
            ring_max_ms: 60_000,
            engine: None,
        };
        self.sides[0].handle(self.now, Input::Leg(id, Action::Place(Box::new(place)))).expect("new");
        self.settle();
        id
    }

    /// Lets so much time pass, with all timers.
    fn pass(&mut self, ms: u64) {
        let end = self.now.mono + Duration::from_millis(ms);
        loop {
            let due = self.sides.iter().filter_map(|s| s.deadline().map(|(at, _)| at)).min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now.mono = self.now.mono.max(at);
            let now = self.now;
            self.sides.iter_mut().for_each(|s| s.handle(now, Input::Timer).expect("no error"));
            self.settle();
        }
        self.now.mono = end;
    }

    /// Calls that begin, are answered and end, a hundred in a second; then nothing is left but the tables.
    fn churn(&mut self, seconds: u64) -> usize {
        for _ in 0..seconds {
            for _ in 0..100 {
                let id = self.call();
                self.sides[0].handle(self.now, Input::Leg(id, Action::Clear(Cause::NORMAL))).expect("up");
                self.settle();
                self.pass(10);
            }
        }
        self.pass(60_000);
        let live = self.sides.each_ref().map(Endpoint::live);
        assert!(live.iter().all(|l| (l.legs, l.dialogs, l.transactions) == (0, 0, 0)), "{live:?}");
        OCTETS.load(Ordering::Relaxed)
    }
}

#[test]
fn dialogs_are_small_calls_leave_nothing_and_an_invite_is_read_with_few_allocations() {
    let long = std::env::var("CARILLON_LONG").is_ok();
    let mut pair = Pair { sides: [endpoint(1), endpoint(2)], now: Now::default(), next: 0 };
    pair.now.mono = Mono::from_ms(1_000);

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let m = Message::parse(INVITE, &Limits::default()).expect("framed");
    let core = Core::read(&m).expect("sound");
    let uri = request_uri(&m).expect("a URI");
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    println!("an INVITE of 1,046 octets read: {allocations} allocations");
    assert!(allocations <= 8 && core.call_id.len() + uri.text.len() > 0);
    drop(m);

    // The tables have grown to what this load needs, which shows after 64*T1; from here on nothing may be added.
    pair.churn(45);
    let settled = pair.churn(45);
    let (rounds, seconds) = if long { (12, 300) } else { (3, 30) };
    for round in 0..rounds {
        let now = pair.churn(seconds);
        println!("after {} s of calls more: {now} octets", (round + 1) * seconds);
        assert!(now <= settled, "{now} octets, {settled} before");
    }

    let calls = if long { 100_000 } else { 10_000 };
    let before = OCTETS.load(Ordering::Relaxed);
    for n in 0..calls {
        pair.call();
        if n % 1_000 == 999 {
            pair.pass(60_000);
        }
    }
    pair.pass(60_000);
    let held = OCTETS.load(Ordering::Relaxed) - before;
    let live = pair.sides.each_ref().map(Endpoint::live);
    assert!(live.iter().all(|l| (l.dialogs, l.transactions) == (calls, 0)), "{live:?}");
    let each = held / (2 * calls);
    println!("{calls} confirmed dialogs on either side: {each} octets each");
    assert!(each <= 4_096, "{each} octets");
}
