//! The door of the far end: one thread that owns the SIP sockets and the RTP sockets, ticks every millisecond, and moves
//! packets in batches with the kernel's receive times.
#![allow(unsafe_code, reason = "the door")]

mod batch;
mod stream;

pub use stream::Tls;

use super::CallLog;
use super::world::{Campaign, Counts, Dial, Input, Output, Rang, Streams as Heard, World};
use batch::{Batch, Received};
use hdrhistogram::Histogram;
use signalling::leg::Transport;
use signalling::sip::endpoint::Advertised;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stream::{Came, Streams};
use units::{Mono, Now, Wall};

/// CPU time of the calling thread, us.
#[must_use]
pub fn thread_cpu_us() -> u64 {
    batch::thread_cpu_us()
}

/// Buffers of a socket that hold some thousand messages, where the kernel allows it.
pub fn large_buffers(socket: &UdpSocket) {
    batch::prepare(socket, 8 << 20);
}

/// What the thread is asked to do.
enum Order {
    Dial(Dial),
    Campaign(Option<Campaign>),
    Reading(Sender<Reading>),
    Rang(Sender<BTreeMap<String, Rang>>),
    ClearAll,
    Stop,
}

/// What can be read of a running far end.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts.
    pub counts: Counts,
    /// Calls in progress.
    pub live: usize,
    /// Whether calls will still be placed.
    pub will_place: bool,
    /// How it kept up itself.
    pub own: Own,
}

/// How the far end itself kept up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Own {
    /// Ticks that began more than 5 ms late.
    pub late_ticks: u64,
    /// Ticks in all.
    pub ticks: u64,
    /// CPU time of its thread, us.
    pub cpu_us: u64,
    /// Packets that the kernel dropped since its sockets were full.
    pub dropped: u64,
    /// Packets that the kernel did not take from it.
    pub refused: u64,
    /// Frames that it owed and did not send.
    pub frames_skipped: u64,
}

impl Own {
    /// What came since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            late_ticks: self.late_ticks - earlier.late_ticks,
            ticks: self.ticks - earlier.ticks,
            cpu_us: self.cpu_us - earlier.cpu_us,
            dropped: self.dropped.saturating_sub(earlier.dropped),
            refused: self.refused - earlier.refused,
            frames_skipped: self.frames_skipped - earlier.frames_skipped,
        }
    }

    /// Why a run bounded by the far end does not count; empty: it kept up.
    #[must_use]
    pub fn bottleneck(&self) -> Vec<String> {
        let mut why = Vec::new();
        // Packets are judged by the kernel's times, so that a late tick spoils no figure; but what is sent late is heard
        // late by the server. One tick in a hundred is a hiccup a tenth of a second apart at most.
        if self.late_ticks * 100 > self.ticks {
            why.push(format!("{} of {} ticks were more than 5 ms late", self.late_ticks, self.ticks));
        }
        if self.dropped > 0 {
            why.push(format!("its sockets were full: {} packets dropped", self.dropped));
        }
        if self.refused > 0 {
            why.push(format!("the kernel did not take {} packets", self.refused));
        }
        // A tick is a millisecond: one frame a second is a trace.
        if self.frames_skipped * 1000 > self.ticks {
            why.push(format!("{} frames were not sent", self.frames_skipped));
        }
        if self.cpu_us > self.ticks.saturating_mul(950) && self.ticks > 1000 {
            why.push("its thread used more than 95 % of a core".into());
        }
        why
    }
}

/// Everything at one moment; differences of two are what a stretch of time held.
#[derive(Clone, Debug)]
pub struct Reading {
    /// When, since the start.
    pub at: Duration,
    /// Counts.
    pub counts: Counts,
    /// Streams, ended calls and live ones.
    pub streams: Heard,
    /// Time that calls were up, ms.
    pub talk_ms: u64,
    /// How late packets were, us.
    pub lateness: Histogram<u64>,
    /// Itself.
    pub own: Own,
}

/// A running far end.
pub struct FarEnd {
    orders: Sender<Order>,
    logs: Receiver<CallLog>,
    snapshot: Arc<Mutex<Snapshot>>,
    thread: Option<std::thread::JoinHandle<()>>,
    sip: SocketAddr,
}

/// The sockets of a far end, bound before the world is made so that it knows its addresses.
pub struct Sockets {
    sip: UdpSocket,
    rtp: Vec<UdpSocket>,
    streams: Streams,
    tcp: Option<SocketAddr>,
    tls: Option<SocketAddr>,
    core: Option<usize>,
    realtime: bool,
}

impl Sockets {
    /// Binds both; port 0 picks free ones.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(sip: SocketAddr, rtp: SocketAddr) -> std::io::Result<Self> {
        Self::bind_many(sip, rtp, 1)
    }

    /// Binds SIP and so many RTP sockets; port 0 picks free ones, another is the first of every second port.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind_many(sip: SocketAddr, rtp: SocketAddr, n: u16) -> std::io::Result<Self> {
        let step = |i: u16| if rtp.port() == 0 { 0 } else { rtp.port().saturating_add(2 * i) };
        let rtp: std::io::Result<Vec<UdpSocket>> =
            (0..n.max(1)).map(|i| UdpSocket::bind((rtp.ip(), step(i)))).collect();
        let (sip, rtp) = (UdpSocket::bind(sip)?, rtp?);
        for socket in std::iter::once(&sip).chain(&rtp) {
            socket.set_nonblocking(true)?;
            batch::prepare(socket, 8 << 20);
        }
        let streams = Streams::default();
        Ok(Self { sip, rtp, streams, tcp: None, tls: None, core: None, realtime: false })
    }

    /// Listens for SIP over TCP at the SIP socket's address, and over TLS at the port above it if it can be served.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(mut self, tls: Option<Tls>) -> std::io::Result<Self> {
        let at = self.sip_addr()?;
        let tcp = TcpListener::bind(at)?;
        self.tcp = Some(tcp.local_addr()?);
        self.streams.listen(tcp, Transport::Tcp)?;
        if tls.as_ref().is_some_and(Tls::serves) {
            let above = TcpListener::bind((at.ip(), at.port().saturating_add(1)))?;
            self.tls = Some(above.local_addr()?);
            self.streams.listen(above, Transport::Tls)?;
        } else {
            self.tls = tls.as_ref().map(|_| at);
        }
        self.streams.with_tls(tls);
        Ok(self)
    }

    /// Runs on this core, and under SCHED_FIFO if asked and allowed.
    #[must_use]
    pub fn placed(mut self, core: Option<usize>, realtime: bool) -> Self {
        (self.core, self.realtime) = (core, realtime);
        self
    }

    /// The SIP address.
    ///
    /// # Errors
    /// What the system says.
    pub fn sip_addr(&self) -> std::io::Result<SocketAddr> {
        self.sip.local_addr()
    }

    /// The addresses that peers reach its SIP at.
    #[must_use]
    pub fn advertised(&self) -> Advertised {
        Advertised { udp: self.sip_addr().ok(), tcp: self.tcp, tls: self.tls }
    }

    /// The first RTP address.
    ///
    /// # Errors
    /// What the system says.
    pub fn rtp_addr(&self) -> std::io::Result<SocketAddr> {
        self.rtp[0].local_addr()
    }

    /// All RTP addresses.
    ///
    /// # Errors
    /// What the system says.
    pub fn rtp_addrs(&self) -> std::io::Result<Vec<SocketAddr>> {
        self.rtp.iter().map(UdpSocket::local_addr).collect()
    }
}

impl FarEnd {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the system says of the sockets.
    pub fn start(sockets: Sockets, world: World) -> std::io::Result<Self> {
        let sip = sockets.sip_addr()?;
        let (orders, inbox) = channel();
        let (log_out, logs) = channel();
        let snapshot = Arc::new(Mutex::new(Snapshot::default()));
        let shared = snapshot.clone();
        let thread = std::thread::Builder::new()
            .name("farend".into())
            .spawn(move || Loop::new(sockets, world, inbox, log_out, shared).run())?;
        Ok(Self { orders, logs, snapshot, thread: Some(thread), sip })
    }

    /// Where its SIP listens.
    #[must_use]
    pub fn sip_addr(&self) -> SocketAddr {
        self.sip
    }

    /// Places a call.
    pub fn dial(&self, dial: Dial) {
        let _ = self.orders.send(Order::Dial(dial));
    }

    /// Places calls at a pace from now on; `None`: no more.
    pub fn campaign(&self, campaign: Option<Campaign>) {
        let _ = self.orders.send(Order::Campaign(campaign));
    }

    /// Everything at this moment; `None`: its thread has ended.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        let (ask, answer) = channel();
        self.orders.send(Order::Reading(ask)).ok()?;
        answer.recv_timeout(Duration::from_secs(5)).ok()
    }

    /// How often each number rang, and when.
    #[must_use]
    pub fn rang(&self) -> BTreeMap<String, Rang> {
        let (ask, answer) = channel();
        let _ = self.orders.send(Order::Rang(ask));
        answer.recv_timeout(Duration::from_secs(5)).unwrap_or_default()
    }

    /// Hangs up on everyone.
    pub fn clear_all(&self) {
        let _ = self.orders.send(Order::ClearAll);
    }

    /// The next finished call, waiting at most so long.
    #[must_use]
    pub fn next_log(&self, at_most: Duration) -> Option<CallLog> {
        self.logs.recv_timeout(at_most).ok()
    }

    /// How things stand.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().map(|s| s.clone()).unwrap_or_default()
    }

    /// Stops the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.orders.send(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.end();
    }
}

struct Loop {
    sockets: Sockets,
    world: World,
    orders: Receiver<Order>,
    logs: Sender<CallLog>,
    snapshot: Arc<Mutex<Snapshot>>,
    batch: Batch,
    origin: Instant,
    origin_wall_ns: i128,
    late_ticks: u64,
    ticks: u64,
    refused: u64,
}

impl Loop {
    fn new(
        sockets: Sockets,
        world: World,
        orders: Receiver<Order>,
        logs: Sender<CallLog>,
        snapshot: Arc<Mutex<Snapshot>>,
    ) -> Self {
        let (origin, wall) = (Instant::now(), wall_ns());
        Self {
            sockets,
            world,
            orders,
            logs,
            snapshot,
            batch: Batch::new(256),
            origin,
            origin_wall_ns: wall,
            late_ticks: 0,
            ticks: 0,
            refused: 0,
        }
    }

    fn now(&self) -> Now {
        let mono = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { mono: Mono(mono + 1_000_000), wall: Wall(i64::try_from(wall_ns() / 1_000_000).unwrap_or(0)) }
    }

    /// The kernel's receive time on our monotonic clock.
    fn kernel_time(&self, stamp: Option<i128>, now: Mono) -> Mono {
        let Some(ns) = stamp.and_then(|s| u64::try_from(s - self.origin_wall_ns).ok()) else { return now };
        Mono((ns + 1_000_000).min(now.0))
    }

    fn run(mut self) {
        if let Some(core) = self.sockets.core
            && !batch::pin(core)
        {
            eprintln!("the far end cannot be bound to core {core}");
        }
        if self.sockets.realtime && !batch::raise() {
            eprintln!("the far end may not run under SCHED_FIFO");
        }
        let mut next = Duration::from_millis(1);
        loop {
            let elapsed = self.origin.elapsed();
            if elapsed < next {
                std::thread::sleep(next - elapsed);
            } else if elapsed > next + Duration::from_millis(5) {
                self.late_ticks += 1;
                next = elapsed;
            }
            next += Duration::from_millis(1);
            self.ticks += 1;
            if !self.tick() {
                return;
            }
        }
    }

    fn tick(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            let now = self.now();
            match order {
                Order::Dial(dial) => {
                    self.world.dial(now, &dial);
                }
                Order::Campaign(campaign) => self.world.campaign(campaign),
                Order::Reading(ask) => drop(ask.send(self.reading(now))),
                Order::Rang(ask) => drop(ask.send(self.world.rang().clone())),
                Order::ClearAll => self.world.clear_all(now),
                Order::Stop => return false,
            }
        }
        self.receive();
        let now = self.now();
        self.world.handle(now, Input::Tick);
        self.transmit();
        for log in self.world.take_logs() {
            let _ = self.logs.send(log);
        }
        if self.ticks.is_multiple_of(50) {
            self.publish();
        }
        true
    }

    fn receive(&mut self) {
        self.receive_from(None);
        for port in 0..self.sockets.rtp.len() {
            self.receive_from(Some(port));
        }
        if self.sockets.streams.idle(self.ticks) {
            return;
        }
        for came in self.sockets.streams.poll() {
            let now = self.now();
            let input = match &came {
                Came::Bytes(flow, transport, from, bytes) => {
                    Input::Stream { flow: *flow, transport: *transport, from: *from, bytes }
                }
                Came::Closed(flow) => Input::Closed { flow: *flow },
                Came::Unreachable(transport, to) => Input::Unreachable { transport: *transport, to: *to },
            };
            self.world.handle(now, input);
        }
    }

    /// What is there at the SIP socket (`None`) or at an RTP one.
    fn receive_from(&mut self, rtp: Option<usize>) {
        loop {
            let socket = rtp.map_or(&self.sockets.sip, |i| &self.sockets.rtp[i]);
            let n = self.batch.receive(socket);
            if n == 0 {
                return;
            }
            let now = self.now();
            for i in 0..n {
                let Received { from, stamp, bytes } = self.batch.get(i);
                let input = match rtp {
                    Some(port) => {
                        let port = u16::try_from(port).expect("few ports");
                        Input::Rtp { port, from, at: self.kernel_time(stamp, now.mono), bytes }
                    }
                    None => Input::Sip { from, bytes },
                };
                self.world.handle(now, input);
            }
            if n < self.batch.capacity() {
                return;
            }
        }
    }

    fn transmit(&mut self) {
        for output in self.world.outputs() {
            match output {
                Output::Sip { to, bytes } => {
                    // A datagram that the kernel refuses is lost like any other: SIP retransmits.
                    let _ = self.sockets.sip.send_to(bytes, to);
                }
                Output::Stream { flow, transport, to, bytes } => {
                    self.sockets.streams.send(*flow, *transport, *to, bytes);
                }
                Output::Close { flow } => self.sockets.streams.close(*flow),
                Output::Rtp { .. } => {}
            }
        }
        for (i, socket) in (0u16..).zip(&self.sockets.rtp) {
            let packets = self.world.outputs().iter().filter_map(|output| match output {
                Output::Rtp { port, to, packet, length } if *port == i => Some((*to, &packet[..*length])),
                _ => None,
            });
            self.refused += self.batch.send(socket, packets);
        }
        self.world.sent();
    }

    fn own(&self) -> Own {
        Own {
            late_ticks: self.late_ticks,
            ticks: self.ticks,
            cpu_us: batch::thread_cpu_us(),
            dropped: self.sockets.rtp.iter().map(batch::dropped).sum(),
            refused: self.refused,
            frames_skipped: self.world.counts().frames_skipped,
        }
    }

    fn reading(&self, now: Now) -> Reading {
        Reading {
            at: self.origin.elapsed(),
            counts: self.world.counts(),
            streams: self.world.streams(),
            talk_ms: self.world.talk_ms(now.mono),
            lateness: self.world.lateness().clone(),
            own: self.own(),
        }
    }

    fn publish(&self) {
        if let Ok(mut s) = self.snapshot.lock() {
            *s = Snapshot {
                counts: self.world.counts(),
                live: self.world.live(),
                will_place: self.world.will_place(),
                own: self.own(),
            };
        }
    }
}

/// Binds the threads of a process (0: this one) to a core, but for those whose names begin so; how many it bound.
/// Threads that they start later are bound too.
#[must_use]
pub fn pin_threads(pid: u32, core: usize, but: &str) -> usize {
    let process = if pid == 0 { "self".to_owned() } else { pid.to_string() };
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let bound = tasks.filter(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id = task.file_name().to_str().and_then(|n| n.parse::<i32>().ok());
        (but.is_empty() || !name.starts_with(but)) && id.is_some_and(|id| batch::pin_thread(id, core))
    });
    bound.count()
}

fn wall_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(0))
}
