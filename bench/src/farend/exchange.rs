//! `Exchange`: a simulated telephone exchange at the other end of a primary rate line, in a thread of its own, reached by
//! TDM over Ethernet on Unix datagrams. It is the network side: it takes the calls that the server sets up, listens for
//! prompts, presses keys in band, and places calls of its own. Q.921, Q.931 and the line are shared with the server; what
//! is heard is judged by the far end's own ear.

use super::mouth::dual_tone;
use super::mulaw;
use hw::card::{Card, CardReport, SpanKind, Tick, alarm};
use hw::dsp::g711::Law;
use hw::io::tdmoe::{Span as LineSpan, Tdmoe};
use signalling::isdn::pri::{Ask, Config, Hunt, Input, Limits, Output, Pri, Span};
use signalling::isdn::q921::Side;
use signalling::isdn::q931::call::Timers;
use signalling::isdn::switch::{EURO, NI2};
use signalling::leg::{Action, Indication, Media};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use units::{Cause, Digit, LegId, Mono, Now};

/// How an exchange is started.
#[derive(Clone, Debug)]
pub struct ExchangeConfig {
    /// Its socket, and the server's.
    pub own: PathBuf,
    /// The server's socket.
    pub peer: PathBuf,
    /// E1 with EuroISDN, or T1 with National ISDN.
    pub kind: SpanKind,
    /// What is pressed after each prompt, in order, by who is called; [`TONE`] is a tone.
    pub keys: Vec<String>,
    /// A called telephone rings so long, ms.
    pub ring_ms: u64,
}

/// What an exchange saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A call can be placed: no alarm, the data link up, the channels restarted.
    Up,
    /// The server called: called and calling number, slot.
    Called(String, String, u8),
    /// A call is answered, on this slot.
    Answered(u8),
    /// A prompt of so many ms was heard to its end.
    Prompt(u32),
    /// A call ended, for this cause.
    Ended(u8),
    /// Alarms of the line changed.
    Alarm(u16),
}

enum Order {
    Call(String, String),
    HangUp,
    /// Send nothing for so long, as a line that is cut.
    Cut(Duration),
    Stop,
}

/// See the module. Dropping it stops it.
#[derive(Debug)]
pub struct Exchange {
    orders: Sender<Order>,
    seen: Receiver<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Exchange {
    /// Starts it.
    ///
    /// # Errors
    /// Its socket cannot be made.
    pub fn start(config: ExchangeConfig) -> std::io::Result<Self> {
        let d_slot = if config.kind == SpanKind::E1 { 16 } else { 24 };
        let line = LineSpan { kind: config.kind, subaddress: 0, d_channels: vec![d_slot] };
        let card = Tdmoe::unix(&config.own, &config.peer, &[line])?;
        let (orders, taken) = channel();
        let (tell, seen) = channel();
        let thread = std::thread::spawn(move || Switch::new(config, card, d_slot, tell).run(&taken));
        Ok(Self { orders, seen, thread: Some(thread) })
    }

    /// Calls the server.
    pub fn call(&self, to: &str, from: &str) {
        drop(self.orders.send(Order::Call(to.to_owned(), from.to_owned())));
    }

    /// Hangs up every call.
    pub fn hang_up(&self) {
        drop(self.orders.send(Order::HangUp));
    }

    /// Cuts the line for so long.
    pub fn cut(&self, length: Duration) {
        drop(self.orders.send(Order::Cut(length)));
    }

    /// Waits for something that `wanted` likes, and what came before it; `None`: it did not come in time.
    pub fn saw(&self, at_most: Duration, mut wanted: impl FnMut(&Seen) -> bool) -> Option<Vec<Seen>> {
        let (end, mut all) = (Instant::now() + at_most, Vec::new());
        while let Ok(seen) = self.seen.recv_timeout(end.saturating_duration_since(Instant::now())) {
            let hit = wanted(&seen);
            all.push(seen);
            if hit {
                return Some(all);
            }
        }
        println!("the exchange saw only {all:?}");
        None
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        drop(self.orders.send(Order::Stop));
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            drop(thread.join());
        }
    }
}

/// One telephone.
#[derive(Default)]
struct Phone {
    slot: u8,
    /// Octets to say, mu-law.
    says: VecDeque<u8>,
    keys: VecDeque<String>,
    frame: Vec<u8>,
    sound_ms: u32,
    quiet_ms: u32,
    answer_at: Option<Mono>,
    up: bool,
}

struct Switch {
    config: ExchangeConfig,
    card: Tdmoe,
    d_slot: u8,
    pri: Pri,
    phones: BTreeMap<LegId, Phone>,
    frames: VecDeque<Vec<u8>>,
    tell: Sender<Seen>,
    now: Now,
    next_leg: u64,
    was_up: bool,
    cut_until: Option<Mono>,
}

/// Louder than this is sound, dBm0.
const SOUND_DBM0: f64 = -42.0;
/// Among the keys: 1,000 Hz for 2 s, which a test can find at the other end.
pub const TONE: char = 't';
/// A prompt is over after so long a silence, ms.
const QUIET_MS: u32 = 700;

impl Switch {
    fn new(config: ExchangeConfig, card: Tdmoe, d_slot: u8, tell: Sender<Seen>) -> Self {
        let switch = if config.kind == SpanKind::E1 { EURO } else { NI2 };
        let channels = (1..=config.kind.slots()).filter(|s| *s != d_slot).collect();
        let mut pri = Pri::new(Config {
            side: Side::Network,
            switch,
            timers: Timers::of(Side::Network),
            spans: vec![Span { number: 1, interface: None, channels, d_channel: true }],
            hunt: Hunt::Descending,
            overlap_dial: false,
            overlap_receive: None,
            transfer: false,
            legs_from: 1 << 62,
            limits: Limits::default(),
        });
        pri.start(Now::default());
        let (phones, frames) = (BTreeMap::new(), VecDeque::new());
        let now = Now::default();
        Self {
            config,
            card,
            d_slot,
            pri,
            phones,
            frames,
            tell,
            now,
            next_leg: 0,
            was_up: false,
            cut_until: None,
        }
    }

    fn see(&self, seen: Seen) {
        // Who listens may have gone.
        drop(self.tell.send(seen));
    }

    fn run(mut self, orders: &Receiver<Order>) {
        realtime();
        let start = Instant::now();
        let mut ms = 0u64;
        loop {
            let due = start + Duration::from_millis(ms);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            ms += 1;
            self.now = Now { mono: Mono::from_ms(ms), ..Now::default() };
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::Stop => return,
                    Order::Call(to, from) => self.place(&to, &from),
                    Order::HangUp => self.hang_up(),
                    Order::Cut(length) => self.cut_until = Some(self.now.mono + length),
                }
            }
            if self.cut_until.is_some_and(|at| at > self.now.mono) {
                continue;
            }
            self.exchange();
            self.answer_due();
            self.signal();
        }
    }

    fn place(&mut self, to: &str, from: &str) {
        self.next_leg += 1;
        let ask = Ask::new(to, from, &[1], 60_000);
        self.pri.handle(self.now, Input::Place(LegId(self.next_leg), Box::new(ask)));
        self.drain();
    }

    fn hang_up(&mut self) {
        let legs: Vec<LegId> = self.phones.keys().copied().collect();
        for leg in legs {
            self.pri.handle(self.now, Input::Leg(leg, Action::Clear(Cause::NORMAL)));
            self.drain();
        }
    }

    fn law(&self) -> Law {
        if self.config.kind == SpanKind::E1 { Law::A } else { Law::Mu }
    }

    /// One millisecond of the line.
    fn exchange(&mut self) {
        let (law, slots) = (self.law(), usize::from(self.config.kind.slots()));
        let silence = law.to_octet(0);
        let mut tx = vec![silence; slots * 8];
        for phone in self.phones.values_mut().filter(|p| p.up) {
            let from = (usize::from(phone.slot) - 1) * 8;
            for octet in &mut tx[from..from + 8] {
                *octet = phone.says.pop_front().map_or(silence, |o| law.to_octet(mulaw::decode(o)));
            }
        }
        let mut rx = vec![0; tx.len()];
        let mut tick = Tick { octets: 8, rx: &mut rx, tx: &tx };
        self.card.exchange(&mut tick).expect("the right shape");
        let mut heard = Vec::new();
        for phone in self.phones.values_mut().filter(|p| p.up) {
            let from = (usize::from(phone.slot) - 1) * 8;
            phone.frame.extend(rx[from..from + 8].iter().map(|&o| mulaw::encode(law.to_linear(o))));
            if phone.frame.len() == 160 {
                heard.extend(phone.listen());
            }
        }
        heard.into_iter().for_each(|ms| self.see(Seen::Prompt(ms)));
        while let Some(report) = self.card.poll() {
            if let CardReport::Alarm { bits, .. } = report {
                self.see(Seen::Alarm(bits));
                self.pri.handle(self.now, Input::Line { span: 1, up: bits & alarm::DEAD == 0 });
                self.drain();
            }
        }
    }

    fn answer_due(&mut self) {
        let due = |p: &Phone| p.answer_at.is_some_and(|at| at <= self.now.mono);
        let legs: Vec<LegId> = self.phones.iter().filter(|(_, p)| due(p)).map(|(l, _)| *l).collect();
        for leg in legs {
            if let Some(phone) = self.phones.get_mut(&leg) {
                phone.answer_at = None;
            }
            let media = Media::Timeslot { span: 1, slot: 0 };
            self.pri.handle(self.now, Input::Leg(leg, Action::Accept { media }));
            self.drain();
        }
    }

    /// The D-channel.
    fn signal(&mut self) {
        if self.pri.deadline().is_some_and(|at| at <= self.now.mono) {
            self.pri.handle(self.now, Input::Timer);
        }
        let mut frame = [0; 272];
        while let Some(len) = self.card.receive_frame(0, self.d_slot, &mut frame) {
            self.pri.handle(self.now, Input::Frame { span: 1, octets: &frame[..len] });
            self.drain();
        }
        self.drain();
        while let Some(frame) = self.frames.front()
            && self.card.send_frame(0, self.d_slot, frame)
        {
            self.frames.pop_front();
        }
        // A call can be placed: no alarm, data link up, channels restarted.
        let up = self.pri.free(&[1]) > 0;
        if up != self.was_up {
            self.was_up = up;
            if self.was_up {
                self.see(Seen::Up);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.pri.poll() {
            match output {
                Output::Frame { octets, .. } => self.frames.push_back(octets),
                Output::Link { .. } => {}
                Output::Leg(leg, indication) => self.told(leg, indication),
            }
        }
    }

    fn told(&mut self, leg: LegId, indication: Indication) {
        match indication {
            Indication::Incoming(incoming) => {
                let Some(Media::Timeslot { slot, .. }) = incoming.offer else { return };
                let (to, from) = (incoming.to.expose().clone(), incoming.from.expose().clone());
                self.see(Seen::Called(to, from, slot));
                let answer_at = Some(self.now.mono + Duration::from_millis(self.config.ring_ms));
                let keys = self.config.keys.iter().cloned().collect();
                self.phones.insert(leg, Phone { slot, keys, answer_at, ..Phone::default() });
                self.pri.handle(self.now, Input::Leg(leg, Action::Ring { media: None }));
            }
            Indication::Answered { media: Media::Timeslot { slot, .. } } => {
                self.see(Seen::Answered(slot));
                let keys: VecDeque<String> = self.config.keys.iter().cloned().collect();
                let phone = self.phones.entry(leg).or_insert_with(|| Phone { keys, ..Phone::default() });
                (phone.slot, phone.up) = (slot, true);
            }
            Indication::Ended(ended) => {
                self.see(Seen::Ended(ended.cause.0));
                self.phones.remove(&leg);
            }
            _ => {}
        }
    }
}

/// A line has a clock: where the host allows it, this thread goes before others, as the server's does.
#[allow(unsafe_code, reason = "one call that takes numbers")]
fn realtime() {
    let param = libc::sched_param { sched_priority: 40 };
    // SAFETY: `param` is valid for the call; 0 is the calling thread. A refusal leaves things as they are.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
}

/// So many hertz at -13 dBm0 for so long, as mu-law.
fn sine(hz: f64, ms: u32) -> impl Iterator<Item = u8> {
    (0..ms * 8).map(move |n| {
        let value = (f64::from(n) * std::f64::consts::TAU * hz / 8_000.0).sin() * 5_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by 5,000")]
        mulaw::encode(value as i16)
    })
}

impl Phone {
    /// Judges 20 ms; a prompt's length when it has ended, after which the next keys are pressed.
    fn listen(&mut self) -> Option<u32> {
        let loud = mulaw::level_dbm0(&self.frame) > SOUND_DBM0;
        self.frame.clear();
        if loud {
            self.sound_ms += 20 + if self.sound_ms > 0 { self.quiet_ms } else { 0 };
            self.quiet_ms = 0;
            return None;
        }
        self.quiet_ms += 20;
        if self.sound_ms < 200 || self.quiet_ms < QUIET_MS {
            return None;
        }
        for key in self.keys.pop_front().unwrap_or_default().chars() {
            if key == TONE {
                self.says.extend(sine(1_000.0, 2_000));
            }
            let Ok(digit) = Digit::try_from(key) else { continue };
            self.says.extend(dual_tone(digit, 100));
            self.says.extend(std::iter::repeat_n(0xFF, 8 * 100));
        }
        self.quiet_ms = 0;
        Some(std::mem::take(&mut self.sound_ms))
    }
}
