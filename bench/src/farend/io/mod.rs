//! The door of the far end: one thread that owns a SIP socket and an RTP socket, ticks every millisecond, and moves
//! packets in batches with the kernel's receive times.
#![allow(unsafe_code, reason = "the door")]

mod batch;

use super::CallLog;
use super::world::{Counts, Dial, Input, Output, World};
use batch::{Batch, Received};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use units::{Mono, Now, Wall};

/// What the thread is asked to do.
enum Order {
    Dial(Dial),
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
    /// How often each number rang.
    pub rang: BTreeMap<String, u32>,
    /// Ticks that began more than 5 ms late: the far end itself was the bottleneck.
    pub late_ticks: u64,
    /// Ticks in all.
    pub ticks: u64,
    /// CPU time of its thread, us.
    pub cpu_us: u64,
}

/// A running far end.
pub struct FarEnd {
    orders: Sender<Order>,
    logs: Receiver<CallLog>,
    snapshot: Arc<Mutex<Snapshot>>,
    thread: Option<std::thread::JoinHandle<()>>,
    sip: SocketAddr,
}

/// The two sockets of a far end, bound before the world is made so that it knows its addresses.
pub struct Sockets {
    sip: UdpSocket,
    rtp: UdpSocket,
}

impl Sockets {
    /// Binds both; port 0 picks free ones.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(sip: SocketAddr, rtp: SocketAddr) -> std::io::Result<Self> {
        let sockets = Self { sip: UdpSocket::bind(sip)?, rtp: UdpSocket::bind(rtp)? };
        for socket in [&sockets.sip, &sockets.rtp] {
            socket.set_nonblocking(true)?;
            batch::prepare(socket, 8 << 20);
        }
        Ok(sockets)
    }

    /// The SIP address.
    ///
    /// # Errors
    /// What the system says.
    pub fn sip_addr(&self) -> std::io::Result<SocketAddr> {
        self.sip.local_addr()
    }

    /// The RTP address.
    ///
    /// # Errors
    /// What the system says.
    pub fn rtp_addr(&self) -> std::io::Result<SocketAddr> {
        self.rtp.local_addr()
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
        if self.ticks.is_multiple_of(64) {
            self.publish();
        }
        true
    }

    fn receive(&mut self) {
        for rtp in [false, true] {
            loop {
                let socket = if rtp { &self.sockets.rtp } else { &self.sockets.sip };
                let n = self.batch.receive(socket);
                let now = self.now();
                for i in 0..n {
                    let Received { from, stamp, bytes } = self.batch.get(i);
                    let input = if rtp {
                        Input::Rtp { from, at: self.kernel_time(stamp, now.mono), bytes }
                    } else {
                        Input::Sip { from, bytes }
                    };
                    self.world.handle(now, input);
                }
                if n < self.batch.capacity() {
                    break;
                }
            }
        }
    }

    fn transmit(&mut self) {
        let outputs: Vec<Output> = self.world.drain().collect();
        let mut rtp = Vec::with_capacity(outputs.len());
        for output in &outputs {
            match output {
                Output::Sip { to, bytes } => {
                    // A datagram that the kernel refuses is lost like any other: SIP retransmits.
                    let _ = self.sockets.sip.send_to(bytes, to);
                }
                Output::Rtp { to, packet, length } => rtp.push((*to, &packet[..*length])),
            }
        }
        self.batch.send(&self.sockets.rtp, &rtp);
    }

    fn publish(&self) {
        if let Ok(mut s) = self.snapshot.lock() {
            *s = Snapshot {
                counts: self.world.counts(),
                live: self.world.live(),
                rang: self.world.rang().clone(),
                late_ticks: self.late_ticks,
                ticks: self.ticks,
                cpu_us: batch::thread_cpu_us(),
            };
        }
    }
}

fn wall_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(0))
}
