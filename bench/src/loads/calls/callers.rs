//! Who answers and who calls: programs that know a handful of messages by heart, so that the thread they test is what is
//! measured. Who calls is polite: what is not answered comes again as RFC 3261 §17.1.1.2 has it, a 503 is acknowledged and
//! taken for an answer.

use super::Failure;
use super::server::{Outcome, Pace};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Answers every INVITE at once with 200, and every BYE.
pub(super) fn answer(socket: &UdpSocket, stop: &AtomicBool) {
    let mut octets = [0; 8_192];
    // A socket that cannot wait spins, which costs this side only.
    let _ = socket.set_read_timeout(Some(Duration::from_millis(20)));
    let own = socket.local_addr().map(|a| a.to_string()).unwrap_or_default();
    let sdp = sdp(&own);
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
        let request = String::from_utf8_lossy(&octets[..length]);
        let body = if request.starts_with("INVITE ") {
            format!(
                "Contact: <sip:callee@{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                sdp.len()
            )
        } else if request.starts_with("BYE ") {
            "Content-Length: 0\r\n\r\n".to_owned()
        } else {
            continue;
        };
        let mut response = "SIP/2.0 200 OK\r\n".to_owned();
        for line in request.split("\r\n").take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or_default();
            if matches!(name, "Via" | "From" | "To" | "Call-ID" | "CSeq" | "Record-Route") {
                response.push_str(line);
                if name == "To" && !line.contains(";tag=") {
                    response.push_str(";tag=callee");
                }
                response.push_str("\r\n");
            }
        }
        response.push_str(&body);
        let _ = socket.send_to(response.as_bytes(), from);
    }
}

fn sdp(own: &str) -> String {
    let ip = own.split(':').next().unwrap_or_default();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=ptime:20\r\na=sendrecv\r\n"
    )
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The INVITE is out.
    Calling,
    /// Its BYE is out.
    Ending,
    /// Over: through, refused or given up.
    Over,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    offered: u64,
    through: u64,
    refused: u64,
    unanswered: u64,
    /// Calls that were answered and then could not be ended, or whose answer made no sense.
    pub(super) broken: u64,
    /// Through within the span that counts, and its length.
    counted: u64,
    span: Duration,
    cpu_us: u64,
    pub(super) server: Outcome,
}

impl Tally {
    /// Calls through a second, in the span that counts.
    pub(super) fn a_second(&self) -> u32 {
        let a_second = u128::from(self.counted) * 1_000 / self.span.as_millis().max(1);
        u32::try_from(a_second).unwrap_or(u32::MAX)
    }

    pub(super) fn told(&self, capacity: u32) -> Value {
        let mut told = json!({
            "offered": self.offered, "through": self.through, "refused": self.refused, "unanswered": self.unanswered,
            "broken": self.broken, "through_a_second": self.a_second(), "callers_cpu_us": self.cpu_us,
            "server": self.server.told(),
        });
        if capacity > 0 {
            told["goodput_percent"] = (u64::from(self.a_second()) * 100 / u64::from(capacity)).into();
        }
        told
    }
}

/// A tenth of the span is for getting under way.
const BEGINNING: u32 = 10;
/// INVITEs and BYEs come again after this, doubled each time, so often.
const T1: Duration = Duration::from_millis(500);
const AGAIN_MAX: u8 = 3;
/// After the span calls that are up are ended within this.
const END_MAX: Duration = Duration::from_secs(4);
/// Messages that are read before the next call is placed.
const BURST: usize = 64;

/// Many callers behind one socket.
pub(super) struct Callers {
    socket: UdpSocket,
    to: SocketAddr,
    own: String,
    sdp: String,
    pace: Pace,
    calls: Vec<Step>,
    up: usize,
    /// To tags of those whose BYE is out.
    tags: HashMap<usize, String>,
    /// What is to come again unless it is answered: when, which, how often.
    again: VecDeque<(Instant, usize, u8)>,
    counts: bool,
    tally: Tally,
}

impl Callers {
    pub(super) fn new(socket: UdpSocket, to: SocketAddr, pace: Pace) -> Self {
        let own = socket.local_addr().map(|a| a.to_string()).unwrap_or_default();
        Self {
            sdp: sdp(&own),
            own,
            socket,
            to,
            pace,
            calls: Vec::new(),
            up: 0,
            tags: HashMap::new(),
            again: VecDeque::new(),
            counts: false,
            tally: Tally::default(),
        }
    }

    /// Calls for so long, then ends what is up.
    pub(super) fn run(mut self, span: Duration) -> Result<Tally, Failure> {
        // The machine's cores are for the store and for what is measured first.
        yield_to_others();
        self.socket.set_nonblocking(true)?;
        let begun = Instant::now();
        let first = span / BEGINNING;
        let mut octets = [0; 8_192];
        loop {
            let now = Instant::now();
            let gone = now - begun;
            self.counts = gone >= first && gone < span;
            if gone < span {
                self.place(now, gone);
            } else if self.up == 0 || gone > span + END_MAX {
                break;
            }
            let mut read = 0;
            while read < BURST
                && let Ok((length, _)) = self.socket.recv_from(&mut octets)
            {
                self.hear(now, &octets[..length]);
                read += 1;
            }
            self.repeat(now);
            if read == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        self.tally.broken += u64::try_from(self.calls.iter().filter(|c| **c == Step::Ending).count())?;
        self.tally.span = span - first;
        self.tally.cpu_us = crate::farend::io::thread_cpu_us();
        Ok(self.tally)
    }

    fn place(&mut self, now: Instant, gone: Duration) {
        let due = match self.pace {
            Pace::Window(window) => self.calls.len() + window.saturating_sub(self.up).min(BURST),
            Pace::Rate(rate) => {
                let due = gone.as_micros() * u128::from(rate) / 1_000_000;
                // A burst at a time: answers are read in between.
                usize::try_from(due).unwrap_or(usize::MAX).min(self.calls.len() + BURST)
            }
        };
        while self.calls.len() < due {
            let n = self.calls.len();
            self.calls.push(Step::Calling);
            self.up += 1;
            self.tally.offered += 1;
            self.send(n, "INVITE", "");
            self.again.push_back((now + T1, n, 1));
        }
    }

    fn send(&self, n: usize, method: &str, to_tag: &str) {
        let (own, to) = (&self.own, self.to);
        // RFC 3261 §17.1.1.3: the ACK of a refusal has the branch of its INVITE; that of a 2xx one of its own.
        let kind = match method {
            "ACK" if to_tag.starts_with("refused") => "i",
            "INVITE" => "i",
            "ACK" => "a",
            _ => "b",
        };
        let tag = to_tag.trim_start_matches("refused");
        let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        let number = if method == "BYE" { 2 } else { 1 };
        let (content, body) = if method == "INVITE" {
            (format!("Contact: <sip:c@{own}>\r\nContent-Type: application/sdp\r\n"), self.sdp.as_str())
        } else {
            (String::new(), "")
        };
        let message = format!(
            "{method} sip:+15559000@{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{kind}{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:+15551111@{own}>;tag=c{n}\r\nTo: <sip:+15559000@{to}>{tag}\r\nCall-ID: {n}@bench\r\n\
             CSeq: {number} {method}\r\n{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = self.socket.send_to(message.as_bytes(), to);
    }

    fn hear(&mut self, now: Instant, octets: &[u8]) {
        let Ok(text) = std::str::from_utf8(octets) else { return };
        let status = text.get(8..11).and_then(|s| s.parse::<u16>().ok()).unwrap_or(0);
        let field = |name: &str| {
            text.split("\r\n").find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
        };
        let n = field("Call-ID:").trim_end_matches("@bench").parse::<usize>();
        let Ok(n) = n else { return };
        let Some(step) = self.calls.get(n).copied() else { return };
        let tag = field("To:").rsplit_once(";tag=").map_or("", |(_, tag)| tag);
        let invite = field("CSeq:").ends_with("INVITE");
        match (step, invite, status) {
            (_, _, 100..=199) => {}
            (_, true, 200) => {
                self.send(n, "ACK", tag);
                if step == Step::Calling {
                    self.calls[n] = Step::Ending;
                    self.tags.insert(n, tag.to_owned());
                    self.send(n, "BYE", tag);
                    self.again.push_back((now + T1, n, 1));
                }
            }
            (_, true, _) => {
                self.send(n, "ACK", &format!("refused{tag}"));
                if step == Step::Calling {
                    self.tally.refused += u64::from(status == 503);
                    self.tally.broken += u64::from(status != 503);
                    self.over(n);
                }
            }
            (Step::Ending, false, 200) => {
                self.tally.through += 1;
                self.tally.counted += u64::from(self.counts);
                self.over(n);
            }
            _ => {}
        }
    }

    fn over(&mut self, n: usize) {
        self.calls[n] = Step::Over;
        self.tags.remove(&n);
        self.up -= 1;
    }

    /// What is due again. Deadlines are pushed in order but for the doubled ones, which may come a little late.
    fn repeat(&mut self, now: Instant) {
        while self.again.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, n, times)) = self.again.pop_front() else { return };
            match self.calls[n] {
                Step::Over => {}
                step if times > AGAIN_MAX => {
                    self.tally.unanswered += u64::from(step == Step::Calling);
                    self.tally.broken += u64::from(step == Step::Ending);
                    self.over(n);
                }
                Step::Calling => {
                    self.send(n, "INVITE", "");
                    self.again.push_back((now + T1 * (1 << times), n, times + 1));
                }
                Step::Ending => {
                    let tag = self.tags.get(&n).cloned().unwrap_or_default();
                    self.send(n, "BYE", &tag);
                    self.again.push_back((now + T1 * (1 << times), n, times + 1));
                }
            }
        }
    }
}

/// Takes this thread behind others where both want a core.
#[allow(unsafe_code, reason = "one system call about this thread")]
fn yield_to_others() {
    // SAFETY: no memory is passed; 0 is the calling thread.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}
