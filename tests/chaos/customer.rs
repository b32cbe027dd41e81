//! The customer's side, which keeps its own count: a telephone network on one UDP socket, written apart from the product's
//! SIP. It answers INVITEs, notes each Call-ID that rang for each number, and sees who was released when.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One call as the customer saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) number: String,
    /// Where the INVITE came from: which server called.
    pub(crate) from: SocketAddr,
    pub(crate) rang: Instant,
    pub(crate) answered: Option<Instant>,
    pub(crate) acked: bool,
    /// BYE or CANCEL came, or the call was refused.
    pub(crate) over: Option<Instant>,
    /// Copies of the INVITE beyond the first.
    pub(crate) copies: u32,
}

#[derive(Debug)]
struct Pending {
    seen: Seen,
    head: Head,
    answer_at: Instant,
    resend_at: Instant,
    resend_ms: u64,
}

#[derive(Clone, Debug)]
struct Head {
    vias: Vec<String>,
    from: String,
    to: String,
    call: String,
    cseq: String,
}

#[derive(Default)]
struct Book {
    calls: BTreeMap<String, Pending>,
}

/// A running customer.
pub(crate) struct Customer {
    addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// It rings for so long.
const RING: Duration = Duration::from_millis(250);
/// RFC 3261 §13.3.1.4: a 2xx is repeated until its ACK, for 64·T1.
const GIVE_UP: Duration = Duration::from_secs(32);

impl Customer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(10))).expect("a timeout");
        let addr = socket.local_addr().expect("bound");
        let (book, stop) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicBool::new(false)));
        let (own, ended) = (book.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut octets = vec![0; 65_536];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut octets) {
                    let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                    lock(&own).take(&socket, from, &text);
                }
                lock(&own).pass(&socket);
            }
        });
        Self { addr, book, stop, thread: Some(thread) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// All calls, by Call-ID.
    pub(crate) fn calls(&self) -> BTreeMap<String, Seen> {
        lock(&self.book).calls.iter().map(|(call, p)| (call.clone(), p.seen.clone())).collect()
    }

    /// Numbers that rang, with the Call-IDs under which they did.
    pub(crate) fn rang(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut rang: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (call, seen) in self.calls() {
            rang.entry(seen.number).or_default().insert(call);
        }
        rang
    }
}

impl Drop for Customer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Book {
    fn take(&mut self, socket: &UdpSocket, from: SocketAddr, text: &str) {
        let Some((method, head)) = read(text) else { return };
        let now = Instant::now();
        match method {
            "INVITE" => self.invite(socket, from, head, text, now),
            "ACK" => {
                if let Some(p) = self.calls.get_mut(&head.call) {
                    p.seen.acked = true;
                }
            }
            "BYE" | "CANCEL" => {
                let known = self.calls.get_mut(&head.call);
                let code = if known.is_some() { "200 OK" } else { "481 Gone" };
                send(socket, from, &answer(code, &head, "", ""));
                let Some(p) = known.filter(|p| p.seen.over.is_none()) else { return };
                p.seen.over = Some(now);
                if method == "CANCEL" && p.seen.answered.is_none() {
                    let (to, head) = (p.seen.from, p.head.clone());
                    send(socket, to, &answer("487 Request Terminated", &head, TAG, ""));
                }
            }
            _ => send(socket, from, &answer("200 OK", &head, TAG, "")),
        }
    }

    fn invite(&mut self, socket: &UdpSocket, from: SocketAddr, head: Head, text: &str, now: Instant) {
        let number = text.split("sip:").nth(1).and_then(|t| t.split('@').next()).unwrap_or("").to_owned();
        if let Some(p) = self.calls.get_mut(&head.call) {
            p.seen.copies += 1;
            // RFC 3261 §17.2.1: the last answer again.
            if p.seen.answered.is_none() && p.seen.over.is_none() {
                send(socket, from, &answer("180 Ringing", &head, TAG, ""));
            }
            return;
        }
        send(socket, from, &answer("180 Ringing", &head, TAG, ""));
        let seen = Seen { number, from, rang: now, answered: None, acked: false, over: None, copies: 0 };
        let answer_at = now + RING;
        let p = Pending { seen, head: head.clone(), answer_at, resend_at: answer_at, resend_ms: 500 };
        self.calls.insert(head.call, p);
    }

    /// Answers what has rung long enough, and repeats answers that nobody acknowledged.
    fn pass(&mut self, socket: &UdpSocket) {
        let now = Instant::now();
        let local = socket.local_addr().expect("bound");
        for p in self.calls.values_mut().filter(|p| !p.seen.acked && p.seen.over.is_none()) {
            if p.seen.answered.is_some_and(|at| now - at > GIVE_UP) {
                p.seen.over = Some(now);
            } else if now >= p.resend_at && now >= p.answer_at {
                p.seen.answered.get_or_insert(now);
                send(socket, p.seen.from, &answer("200 OK", &p.head, TAG, &sdp(local)));
                p.resend_at = now + Duration::from_millis(p.resend_ms);
                p.resend_ms = (p.resend_ms * 2).min(4_000);
            }
        }
    }
}

const TAG: &str = ";tag=customer";

fn sdp(local: SocketAddr) -> String {
    let ip = local.ip();
    // The discard port: what is said to the customer is not listened to here.
    format!(
        "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    )
}

fn send(socket: &UdpSocket, to: SocketAddr, text: &str) {
    // Who was called from may have died.
    let _ = socket.send_to(text.as_bytes(), to);
}

fn answer(status: &str, head: &Head, tag: &str, body: &str) -> String {
    let vias: String = head.vias.iter().map(|v| format!("Via: {v}\r\n")).collect();
    let tag = if head.to.contains(";tag=") { "" } else { tag };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:customer@{}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        head.from,
        head.to,
        head.call,
        head.cseq,
        CONTACT.get().map_or("127.0.0.1", String::as_str),
        body.len()
    )
}

/// Where requests within a dialog go; one customer a process.
pub(crate) static CONTACT: std::sync::OnceLock<String> = std::sync::OnceLock::new();

fn read(text: &str) -> Option<(&str, Head)> {
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let method = lines.next()?.split(' ').next().filter(|m| *m != "SIP/2.0")?;
    let mut found = Head {
        vias: Vec::new(),
        from: String::new(),
        to: String::new(),
        call: String::new(),
        cseq: String::new(),
    };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim().to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "via" | "v" => found.vias.push(value),
            "from" | "f" => found.from = value,
            "to" | "t" => found.to = value,
            "call-id" | "i" => found.call = value,
            "cseq" => found.cseq = value,
            _ => {}
        }
    }
    (!found.call.is_empty()).then_some((method, found))
}
