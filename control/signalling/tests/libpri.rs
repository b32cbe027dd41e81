//! Q.921 and Q.931 against libpri: the far end is a small program of ours (`libpri/peer.c`) that speaks by the library that
//! Asterisk speaks by; it is a process of its own, since libpri is GPL-2. Both sides of the interface, EuroISDN and NI-2.
//! D-channel frames go over Unix datagrams, so that no card is needed; time is the machine's.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a peer is a program, and time is the machine's"
)]

use signalling::isdn::pri::{Ask, ChannelState, Config, Hunt, Input, Limits, Output, Pri, Span};
use signalling::isdn::q921::Side;
use signalling::isdn::q931::call::Timers;
use signalling::isdn::switch::{EURO, NI2, Switch};
use signalling::leg::{Action, Ended, Incoming, Indication, Media};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use units::{Cause, LegId, Mono, Now, Private};

const PATIENCE: Duration = Duration::from_secs(15);
/// Legs of calls that come in are numbered from here.
const THEIRS: u64 = 1 << 62;
const SLOT: Media = Media::Timeslot { span: 0, slot: 0 };

/// Builds the peer; `None` (said aloud): there is no libpri, or no compiler.
fn built(dir: &Path) -> Option<PathBuf> {
    let (source, program) =
        (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libpri/peer.c"), dir.join("peer"));
    if !Path::new("/usr/include/libpri.h").exists() {
        println!("SKIPPED: no libpri (Debian: libpri-dev)");
        return None;
    }
    let args = ["-O1", "-Wall", "-Wextra", "-o"];
    match Command::new("cc").args(args).arg(&program).arg(source).arg("-lpri").output() {
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            assert!(done.status.success() && said.is_empty(), "the peer does not build: {said}");
            Some(program)
        }
        Err(_) => {
            println!("SKIPPED: no C compiler");
            None
        }
    }
}

/// libpri's end.
struct Peer {
    child: Child,
    orders: ChildStdin,
    said: Receiver<String>,
    all: Vec<String>,
    errors: PathBuf,
}

impl Peer {
    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("the peer reads");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("the peer said {:#?}", self.all);
            println!("{}", std::fs::read_to_string(&self.errors).unwrap_or_default());
        }
    }
}

/// Our end, and libpri's.
struct Line {
    pri: Pri,
    socket: UnixDatagram,
    name: PathBuf,
    peer: Peer,
    began: Instant,
    told: Vec<(LegId, Indication)>,
    next_leg: u64,
    _dir: tempfile::TempDir,
}

/// How our end is.
struct Ours {
    side: Side,
    switch: Switch,
    overlap_dial: bool,
    overlap_receive: Option<u8>,
}

impl Ours {
    fn en_bloc(side: Side, switch: Switch) -> Self {
        Self { side, switch, overlap_dial: false, overlap_receive: None }
    }
}

fn every_kind() -> [Ours; 4] {
    [(Side::User, EURO), (Side::Network, EURO), (Side::User, NI2), (Side::Network, NI2)]
        .map(|(side, switch)| Ours::en_bloc(side, switch))
}

impl Line {
    fn new(ours: Ours) -> Option<Line> {
        let dir = tempfile::tempdir().expect("a folder");
        let program = built(dir.path())?;
        let (own, name, errors) =
            (dir.path().join("ours"), dir.path().join("theirs"), dir.path().join("errors"));
        let socket = UnixDatagram::bind(&own).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a time");
        let d = if ours.switch == NI2 { 24 } else { 16 };
        let channels = (1..=if ours.switch == NI2 { 24 } else { 31 }).filter(|s| *s != d).collect();
        let side = if ours.side == Side::User { "net" } else { "cpe" };
        let mut child = Command::new(program)
            .args([&name, &own])
            .args([side, ours.switch.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors).expect("a file"))
            .spawn()
            .expect("it was just built");
        let orders = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, said) = channel();
        // Ends with the peer.
        std::thread::spawn(move || output.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok()));
        let mut pri = Pri::new(Config {
            side: ours.side,
            switch: ours.switch,
            timers: Timers::of(ours.side),
            spans: vec![Span { number: 1, interface: None, channels, d_channel: true }],
            hunt: Hunt::Descending,
            overlap_dial: ours.overlap_dial,
            overlap_receive: ours.overlap_receive,
            transfer: true,
            legs_from: THEIRS,
            limits: Limits::default(),
        });
        pri.start(Now::default());
        let peer = Peer { child, orders, said, all: Vec::new(), errors };
        let (began, told) = (Instant::now(), Vec::new());
        let mut line = Line { pri, socket, name, peer, began, told, next_leg: 1, _dir: dir };
        line.until("both ends are up", |l| l.said("UP") > 0 && l.idle());
        Some(line)
    }

    fn now(&self) -> Now {
        let ms = u64::try_from(self.began.elapsed().as_millis()).expect("a short test");
        Now { mono: Mono::from_ms(ms), ..Now::default() }
    }

    fn put(&mut self, input: Input<'_>) {
        self.pri.handle(self.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.pri.poll() {
            match output {
                // What is lost while the peer starts Q.921 sends again.
                Output::Frame { octets, .. } => drop(self.socket.send_to(&octets, &self.name)),
                Output::Leg(leg, indication) => self.told.push((leg, indication)),
                Output::Link { .. } => {}
            }
        }
    }

    /// Carries frames until something is so.
    fn until(&mut self, what: &str, mut so: impl FnMut(&mut Line) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut frame = [0; 512];
            if let Ok(len) = self.socket.recv(&mut frame) {
                self.put(Input::Frame { span: 1, octets: &frame[..len] });
            }
            if self.pri.deadline().is_some_and(|at| at <= self.now().mono) {
                self.put(Input::Timer);
            }
            self.drain();
            self.peer.all.extend(self.peer.said.try_iter());
            if so(self) {
                return;
            }
            assert!(Instant::now() < end, "{what}: not in {PATIENCE:?}; we were told {:?}", self.told);
        }
    }

    /// How often the peer has said a line that begins so.
    fn said(&self, start: &str) -> usize {
        self.peer.all.iter().filter(|l| l.starts_with(start)).count()
    }

    fn line(&self, start: &str) -> &str {
        self.peer.all.iter().rfind(|l| l.starts_with(start)).map_or("", String::as_str)
    }

    fn idle(&self) -> bool {
        let idle = |s: &Span| s.channels.iter().all(|&c| self.pri.channel(1, c) == Some(ChannelState::Idle));
        self.pri.calls() == 0 && self.pri.spans().iter().all(idle)
    }

    fn place(&mut self, ask: Ask) -> LegId {
        let leg = LegId(self.next_leg);
        self.next_leg += 1;
        self.put(Input::Place(leg, Box::new(ask)));
        leg
    }

    fn call(&mut self, to: &str) -> LegId {
        self.place(Ask::new(to, "5550100", &[1], 60_000))
    }

    fn answered(&self, leg: LegId) -> bool {
        self.told.iter().any(|(l, i)| *l == leg && matches!(i, Indication::Answered { .. }))
    }

    fn ended(&self, leg: LegId) -> Option<&Ended> {
        self.told.iter().find_map(|(l, i)| match i {
            Indication::Ended(ended) if *l == leg => Some(ended),
            _ => None,
        })
    }

    fn clear(&mut self, leg: LegId) {
        self.put(Input::Leg(leg, Action::Clear(Cause::NORMAL)));
    }

    /// The next call that comes in.
    fn incoming(&mut self) -> (LegId, Incoming) {
        let place = |l: &Line| l.told.iter().position(|(_, i)| matches!(i, Indication::Incoming(_)));
        self.until("a call comes in", |l| place(l).is_some());
        let at = place(self).expect("just seen");
        let (leg, Indication::Incoming(incoming)) = self.told.remove(at) else { panic!("just seen") };
        (leg, *incoming)
    }
}

#[test]
fn calls_of_ours_reach_libpri_and_end_from_either_side() {
    for ours in every_kind() {
        let kind = (ours.side, ours.switch.name);
        let Some(mut line) = Line::new(ours) else { return };
        let mut ask = Ask::new("+15551230", "5550100", &[1], 60_000);
        ask.redirecting = Some((Private::new("5550111".to_owned()), 2));
        ask.display = Some(Private::new("Alice".to_owned()));
        let leg = line.place(ask);
        line.until("it is answered", |l| l.answered(leg) && l.said("RING ") == 1);
        let (law, d) = if kind.1 == "national" { (34, 23) } else { (35, 31) };
        let rang = line.line("RING ").to_owned();
        let head = format!("RING {d} to=15551230 from=5550100 name=Alice redirecting=5550111 plan=17");
        assert!(rang.starts_with(&head) && rang.ends_with(&format!("law={law}")), "{kind:?}: {rang}");
        let progress: Vec<u16> = line
            .told
            .iter()
            .filter_map(|(_, i)| match i {
                Indication::Progress { status, .. } => Some(*status),
                _ => None,
            })
            .collect();
        assert_eq!(progress, [180], "{kind:?}: {:?}", line.told);
        line.clear(leg);
        line.until("the peer hears of it", |l| {
            l.said("HANGUP_REQ 31 cause=16") + l.said("HANGUP_REQ 23 cause=16") > 0
        });
        line.until("it is over", |l| l.idle() && l.ended(leg).is_some());

        let busy = line.call("5550017");
        line.until("it is refused", |l| l.ended(busy).is_some() && l.idle() && l.said("RING ") == 2);
        let ended = line.ended(busy).expect("just seen");
        assert_eq!((ended.cause, ended.by_peer), (Cause(17), true), "{kind:?}");

        let (at_once, theirs) = (line.call("5550019"), line.call("5550018"));
        line.until("one is answered", |l| l.answered(at_once) && l.said("RING ") == 4);
        line.peer.order("hangup 31");
        line.until("both are over", |l| l.ended(at_once).is_some() && l.ended(theirs).is_some() && l.idle());
        let causes = [at_once, theirs].map(|leg| line.ended(leg).map(|e| (e.cause, e.by_peer)));
        assert_eq!(causes, [Some((Cause(31), true)); 2], "{kind:?}");
        assert_eq!(line.pri.counters().unreadable, 0);
    }
}

#[test]
fn calls_of_libpri_reach_us_and_end_from_either_side() {
    for ours in every_kind() {
        let kind = (ours.side, ours.switch.name);
        let Some(mut line) = Line::new(ours) else { return };
        line.peer.order("call 3 15559000 5550123");
        let (leg, incoming) = line.incoming();
        assert_eq!((incoming.to.expose().as_str(), incoming.from.expose().as_str()), ("15559000", "5550123"));
        assert_eq!(incoming.offer, Some(Media::Timeslot { span: 1, slot: 3 }), "{kind:?}");
        line.put(Input::Leg(leg, Action::Ring { media: None }));
        line.until("it rings", |l| l.said("RINGING 3") == 1);
        line.put(Input::Leg(leg, Action::Ring { media: Some(SLOT) }));
        line.put(Input::Leg(leg, Action::Accept { media: SLOT }));
        line.until("it is answered", |l| l.said("ANSWER 3") == 1 && l.answered(leg));
        assert!(line.said("PROCEEDING 3") == 1 && line.said("PROGRESS 3") == 1, "{kind:?}");
        line.peer.order("hangup 16");
        line.until("it is over", |l| l.ended(leg).is_some() && l.idle());
        let ended = line.ended(leg).expect("just seen");
        assert_eq!((ended.cause, ended.by_peer), (Cause::NORMAL, true), "{kind:?}");

        line.peer.order("call 4 15559001 5550123");
        let (leg, _) = line.incoming();
        line.put(Input::Leg(leg, Action::Reject { cause: Cause(17), status: None, retry_after_s: None }));
        line.until("the peer hears it", |l| l.said("HANGUP_REQ 4 cause=17") == 1 && l.idle());

        line.peer.order("call 5 15559002 5550123");
        let (leg, _) = line.incoming();
        line.put(Input::Leg(leg, Action::Accept { media: SLOT }));
        line.until("it is answered", |l| l.said("ANSWER 5") == 1 && l.answered(leg));
        line.clear(leg);
        line.until("the peer hears it", |l| l.said("HANGUP_REQ 5 cause=16") == 1 && l.idle());

        line.peer.order("reset 7");
        line.until("a channel is restarted", |l| l.said("RESTART_ACK 7") == 1);
        assert!(line.idle() && line.pri.counters().unreadable == 0, "{kind:?}");
    }
}

#[test]
fn q931_5_1_3_and_5_2_4_numbers_go_digit_by_digit_both_ways() {
    for side in [Side::User, Side::Network] {
        let ours = Ours { side, switch: EURO, overlap_dial: true, overlap_receive: Some(8) };
        let Some(mut line) = Line::new(ours) else { return };
        let leg = line.call("55500123");
        line.until("it is answered", |l| l.answered(leg) && l.line("DIGITS ").ends_with(" 55500123"));
        assert!(line.line("RING ").contains("to= "), "{}", line.line("RING "));
        line.clear(leg);
        line.until("it is over", Line::idle_now);
        line.peer.order("call 9 555- 5550123");
        line.until("more is wanted", |l| l.said("SETUP_ACK 9") == 1);
        line.peer.order("more 90000");
        let (leg, incoming) = line.incoming();
        assert_eq!(incoming.to.expose(), "55590000", "{side:?}");
        line.put(Input::Leg(leg, Action::Accept { media: SLOT }));
        line.until("it is answered", |l| l.said("ANSWER 9") == 1);
        line.peer.order("hangup 16");
        line.until("it is over", Line::idle_now);
    }
}

impl Line {
    fn idle_now(&mut self) -> bool {
        self.idle()
    }
}

#[test]
fn a_hundred_calls_with_glare_leave_every_channel_idle() {
    // Both ends begin at channel 1 and call at the same instant: Q.931 §5.7 decides each time.
    for ours in every_kind() {
        let kind = (ours.side, ours.switch.name);
        let Some(mut line) = Line::new(ours) else { return };
        let began = Instant::now();
        for n in 0..25 {
            let top = if kind.1 == "national" { 23 } else { 31 };
            line.peer.order(&format!("call {top} 15559000 5550123"));
            let leg = line.call("5551230");
            let mut theirs = None;
            line.until("both calls have come to something", |l| {
                if let Some(at) = l.told.iter().position(|(_, i)| matches!(i, Indication::Incoming(_))) {
                    let incoming = l.told.remove(at).0;
                    theirs = Some(incoming);
                    l.put(Input::Leg(incoming, Action::Accept { media: SLOT }));
                }
                let lost = l.said("HANGUP ") > 0;
                (l.answered(leg) || l.ended(leg).is_some()) && (theirs.is_some_and(|t| l.answered(t)) || lost)
            });
            line.clear(leg);
            line.peer.order("hangup 16");
            line.until("all is over", |l| {
                l.idle() && l.ended(leg).is_some() && theirs.is_none_or(|t| l.ended(t).is_some())
            });
            line.told.clear();
            line.peer.all.clear();
            assert!(line.idle(), "{kind:?} {n}");
        }
        println!("{kind:?}: 50 calls in {:?}, {:?}", began.elapsed(), line.pri.counters());
    }
}

/// Two calls that are up, ours both.
fn two_calls(line: &mut Line) -> [LegId; 2] {
    let legs = [line.call("5551230"), line.call("5551231")];
    line.until("both are answered", |l| legs.iter().all(|leg| l.answered(*leg)));
    legs
}

fn transferred(line: &Line, leg: LegId) -> Option<u16> {
    line.told.iter().find_map(|(l, i)| match i {
        Indication::ReferProgress { status } if *l == leg => Some(*status),
        _ => None,
    })
}

#[test]
fn en300369_two_calls_are_transferred_by_an_exchange_that_is_libpri() {
    let Some(mut line) = Line::new(Ours::en_bloc(Side::User, EURO)) else { return };
    let legs = two_calls(&mut line);
    let refer = Action::Refer { to: Private::new("5551231".to_owned()), replaces: Some(legs[1]) };
    line.put(Input::Leg(legs[0], refer));
    line.until("the exchange has done it", |l| transferred(l, legs[0]).is_some());
    assert_eq!(transferred(&line, legs[0]), Some(200));
    line.until("the exchange tells", |l| l.said("TRANSFER ") == 1);
    assert!(line.line("TRANSFER ").ends_with("found"), "{:?}", line.peer.all);
    line.until("both are over", |l| l.idle() && legs.iter().all(|leg| l.ended(*leg).is_some()));
}

#[test]
fn gr2865_an_exchange_without_transfer_leaves_both_calls_up() {
    // libpri is no exchange that transfers in NI-2; our own, asked by libpri, says that it is none.
    let Some(mut line) = Line::new(Ours::en_bloc(Side::User, NI2)) else { return };
    let legs = two_calls(&mut line);
    let refer = Action::Refer { to: Private::new("5551231".to_owned()), replaces: Some(legs[1]) };
    line.put(Input::Leg(legs[0], refer));
    line.until("it is told", |l| transferred(l, legs[0]).is_some());
    assert!(transferred(&line, legs[0]).is_some_and(|status| status >= 400) && line.pri.calls() == 2);
    line.peer.order("hangup 16");
    line.until("both are over", |l| l.idle() && legs.iter().all(|leg| l.ended(*leg).is_some()));
}
