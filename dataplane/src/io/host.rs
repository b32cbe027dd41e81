//! The whole dataplane of a process: [`Host`] starts and stops the workers, a [`ControlEnd`] is one shard's hand on
//! all of them. See [`crate::io`] for an example.
//!
//! A control end reserves places, lends and takes back, and passes commands and reports on. Nothing in it blocks, and
//! it needs no runtime: poll it when its doorbell rings.

use super::doorbell::{self, Doorbell};
use super::gauge::Gauges;
use super::net::choose::{Ask, Chosen, choose};
use super::net::sockets::Steering;
use super::net::{AnyNet, Backend, Choice, PortRange, Refusal, Step, ports};
use super::thread::{Shell, Standing, cores};
use crate::command::{CaptureHandle, Command, PromptHandle, SpecHandle};
use crate::dchannel::Frame;
use crate::limits::{Limits, PHASES};
use crate::pool::{CaptureSink, Lent, Prompt};
use crate::register::{Loop, Order};
use crate::report::Report;
use crate::spec::{Medium, Sockets, Spec};
use crate::worker::{self, ControlEnds, Worker};
use hw::card::Card;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use units::{BearerId, Rng, Seed};

/// How a dataplane is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which backend.
    pub backend: Choice,
    /// The address that media comes to.
    pub ip: IpAddr,
    /// The interface that `xdp` would listen on; without one it is not tried.
    pub interface: Option<String>,
    /// Its ports.
    pub ports: RangeInclusive<u16>,
    /// The cores to pin workers to, one each; empty: all that the process may use but the first (at least one).
    pub cores: Vec<usize>,
    /// Control shards: how many [`ControlEnd`]s there will be.
    pub shards: u16,
    /// `SCHED_FIFO` priority; 0: the ordinary class.
    pub priority: i32,
    /// Sizes of each worker.
    pub limits: Limits,
    /// Where the randomness of ports begins; from the kernel in production.
    pub seed: Seed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Choice::Auto,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            interface: None,
            ports: 16_384..=32_767,
            cores: Vec::new(),
            shards: 1,
            priority: 50,
            limits: Limits::default(),
            seed: Seed(0),
        }
    }
}

/// A card with its D-channels (span from 0, slot from 1).
pub struct Board {
    /// The card.
    pub card: Box<dyn Card>,
    /// Slots that carry HDLC.
    pub d_channels: Vec<(u16, u8)>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Board({}, {:?})", self.card.info().name, self.d_channels)
    }
}

/// The dataplane cannot start.
#[derive(Debug)]
pub enum HostError {
    /// No doorbell or thread could be made.
    Kernel(std::io::Error),
    /// More shards than places, or none.
    Shards,
    /// Another program on this host takes the packets of the port range, whatever the backend.
    PortsTaken,
    /// A worker died while starting.
    Worker(usize),
    /// More cards than workers.
    Cards,
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostError::Kernel(e) => write!(f, "the kernel refuses a thread or descriptor: {e}"),
            HostError::Shards => f.write_str("there must be at least one shard, and a place for each"),
            HostError::PortsTaken => f.write_str(
                "another program on this host (a second Carillon?) takes the packets of the media ports: choose others",
            ),
            HostError::Cards => f.write_str("each card needs a worker of its own: raise media.workers"),
            HostError::Worker(i) => write!(f, "worker {i} died while starting"),
        }
    }
}

impl std::error::Error for HostError {}

impl From<std::io::Error> for HostError {
    fn from(e: std::io::Error) -> Self {
        HostError::Kernel(e)
    }
}

/// A running worker, as `carillon show workers` prints it.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// Its number.
    pub id: u16,
    /// How its thread stands.
    pub standing: Standing,
    /// How its packets travel.
    pub backend: Backend,
    /// What would have been better, and why the host does not allow it.
    pub passed: Vec<(Backend, Refusal)>,
    /// Octets of its tables per bearer: hot and cold.
    pub bearer_octets: (usize, usize),
    /// What it shows while it runs.
    pub gauges: Arc<Gauges>,
}

impl std::fmt::Display for WorkerInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = |e: i32| std::io::Error::from_raw_os_error(e);
        write!(f, "worker {}: net {}", self.id, self.backend)?;
        for (backend, why) in &self.passed {
            write!(f, " (not {backend}: {why})")?;
        }
        match self.standing.pinned {
            Ok(core) => write!(f, ", core {core}")?,
            Err(e) => write!(f, ", not pinned ({})", reason(e))?,
        }
        match self.standing.realtime {
            Ok(0) => f.write_str(", ordinary scheduling as configured")?,
            Ok(p) => write!(f, ", SCHED_FIFO {p}")?,
            Err(e) => {
                write!(f, ", ordinary scheduling: SCHED_FIFO refused ({}); ticks will be late", reason(e))?
            }
        }
        match self.standing.locked {
            Ok(octets) => write!(f, ", {} KiB locked", octets / 1024),
            Err(e) => write!(f, ", memory not locked ({})", reason(e)),
        }
    }
}

/// See the module. Dropping it stops the workers.
#[derive(Debug)]
pub struct Host {
    workers: Vec<WorkerInfo>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    _steering: Option<Steering>,
}

impl Host {
    /// Starts the workers; one control end per shard comes back.
    ///
    /// # Errors
    /// See [`HostError`].
    pub fn start(config: Config) -> Result<(Host, Vec<ControlEnd>), HostError> {
        Self::start_with_cards(config, Vec::new())
    }

    /// As [`Self::start`], with cards: the first for the first worker, and so on. Their D-channels and what they tell of
    /// their spans belong to the first shard.
    ///
    /// # Errors
    /// See [`HostError`]; [`HostError::Cards`] if there are more of them than workers.
    pub fn start_with_cards(config: Config, cards: Vec<Board>) -> Result<(Host, Vec<ControlEnd>), HostError> {
        let count = cards.len();
        let mut cards = cards.into_iter();
        if config.shards == 0 || u32::from(config.shards) * PHASES > config.limits.places() {
            return Err(HostError::Shards);
        }
        let config = Config { cores: chosen_cores(&config.cores), ..config };
        if count > config.cores.len() {
            return Err(HostError::Cards);
        }
        let mut limits = config.limits;
        limits.shards = config.shards;
        let bells = (0..config.shards).map(|_| doorbell::doorbell()).collect::<std::io::Result<Vec<_>>>()?;
        let mut links: Vec<Vec<ControlEnds>> = bells.iter().map(|_| Vec::new()).collect();
        let ask = Ask {
            choice: config.backend,
            ip: config.ip,
            range: PortRange { first: *config.ports.start(), last: *config.ports.end() },
            workers: u16::try_from(config.cores.len()).map_err(|_| HostError::Shards)?,
            places: limits.places(),
            interface: config.interface.clone(),
        };
        let Chosen { backend, nets, steering, passed } = choose(&ask);
        if passed.iter().any(|(_, why)| why.step == Step::Taken) {
            return Err(HostError::PortsTaken);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut host = Host { workers: Vec::new(), threads: Vec::new(), stop, _steering: steering };
        for (id, (&core, net)) in config.cores.iter().zip(nets).enumerate() {
            let mut ends = Vec::new();
            for shard in &mut links {
                let (control, worker) = worker::links(&limits);
                shard.push(control);
                ends.push(worker);
            }
            let shell = Shell {
                core,
                priority: config.priority,
                ringers: bells.iter().map(Doorbell::ringer).collect(),
                gauges: Arc::new(Gauges::default()),
                stop: Arc::clone(&host.stop),
            };
            let gauges = Arc::clone(&shell.gauges);
            let standing = host.spawn(id, limits, shell, ends, (net, cards.next()))?;
            let number = u16::try_from(id).map_err(|_| HostError::Worker(id))?;
            let bearer_octets = worker::bearer_octets();
            let passed = passed.clone();
            host.workers.push(WorkerInfo { id: number, standing, backend, passed, bearer_octets, gauges });
        }
        let steered = backend != Backend::Plain;
        let ends = links.into_iter().zip(bells).enumerate();
        let ends = ends
            .map(|(shard, (links, bell))| ControlEnd::new(shard, links, bell, &config, steered))
            .collect();
        Ok((host, ends))
    }

    fn spawn(
        &mut self,
        id: usize,
        limits: Limits,
        shell: Shell,
        ends: Vec<worker::LinkEnds>,
        (net, board): (AnyNet, Option<Board>),
    ) -> Result<Standing, HostError> {
        let number = u16::try_from(id).map_err(|_| HostError::Worker(id))?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("media-{id}")).spawn(move || {
            let worker = Worker::new(number, limits, net, ends);
            let mut worker = match board {
                Some(board) => worker.with_board(board.card, &board.d_channels),
                None => worker,
            };
            let standing = shell.settle(&worker);
            if tell.send(standing).is_ok() {
                shell.run(&mut worker);
            }
        })?;
        self.threads.push(thread);
        told.recv().map_err(|_| HostError::Worker(id))
    }

    /// The running workers.
    #[must_use]
    pub fn workers(&self) -> &[WorkerInfo] {
        &self.workers
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so on standard error; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// All cores that the process may use but the first, or that one if it is the only one.
fn chosen_cores(asked: &[usize]) -> Vec<usize> {
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let all = cores();
    if all.len() > 1 { all[1..].to_vec() } else { all }
}

/// A reserved place: where a bearer may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The bearer it will be.
    pub bearer: BearerId,
    /// Its RTP address for the SDP; RTCP is the next port.
    pub local: SocketAddr,
}

/// Why a control end says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// No place is free.
    Places,
    /// No port is free, or the kernel refuses a socket; errno.
    Ports(i32),
    /// All handles of this kind are out.
    Handles,
    /// A command ring is full: release the call, "congestion".
    Ring,
    /// No such worker, or not a reserved place.
    Unknown,
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Busy::Places => f.write_str("no bearer is free"),
            Busy::Ports(errno) => {
                write!(f, "no media port is free: {}", std::io::Error::from_raw_os_error(*errno))
            }
            Busy::Handles => f.write_str("too many things are lent"),
            Busy::Ring => f.write_str("a worker's command ring is full"),
            Busy::Unknown => f.write_str("no such bearer"),
        }
    }
}

impl std::error::Error for Busy {}

/// One shard's hand on all workers. See the module.
#[derive(Debug)]
pub struct ControlEnd {
    links: Vec<Hand>,
    bell: Doorbell,
    prompts: Handles,
    /// Workers that have yet to give a prompt back.
    prompt_returns: Vec<u16>,
    next_link: usize,
    ip: IpAddr,
    ports: RangeInclusive<u16>,
    rng: Rng,
}

/// The hand on one worker.
#[derive(Debug)]
struct Hand {
    ends: ControlEnds,
    /// This shard's places, by phase.
    free: Vec<Vec<u32>>,
    open: u32,
    places: Vec<Held>,
    first_stride: (u32, u32),
    specs: Handles,
    captures: Handles,
    /// Free RTP ports of this shard on this worker, where ports are steered.
    ports: Option<Vec<u16>>,
}

/// What the lender keeps of a place.
#[derive(Debug, Default)]
struct Held {
    generation: u16,
    bound: Option<Bound>,
}

/// How a place's port is held.
#[derive(Debug)]
enum Bound {
    /// By sockets of its own.
    Own(ports::Pair),
    /// By being taken out of the list of a steered range.
    Steered(u16),
}

impl Bound {
    fn port(&self) -> u16 {
        match self {
            Bound::Own(pair) => pair.local.port(),
            Bound::Steered(port) => *port,
        }
    }

    fn sockets(&self) -> Option<Sockets> {
        match self {
            Bound::Own(pair) => Some(Sockets { rtp: pair.rtp.as_raw_fd(), rtcp: pair.rtcp.as_raw_fd() }),
            Bound::Steered(_) => None,
        }
    }
}

/// Free handles of one kind.
#[derive(Debug)]
struct Handles(Vec<u32>);

impl Handles {
    fn new(n: u32) -> Self {
        Self((0..n).rev().collect())
    }

    fn take(&mut self) -> Result<u32, Busy> {
        self.0.pop().ok_or(Busy::Handles)
    }
}

impl ControlEnd {
    fn new(shard: usize, links: Vec<ControlEnds>, bell: Doorbell, config: &Config, steered: bool) -> Self {
        let shard = u32::try_from(shard).expect("shards are few");
        let prompts = config.limits.prompts;
        let workers = u32::try_from(links.len()).expect("cores are few");
        let share = |worker| ports::Share { worker, workers, shard, shards: u32::from(config.shards) };
        let ports = |worker| steered.then(|| ports::steered(&config.ports, share(worker)));
        Self {
            links: (0..).zip(links).map(|(w, ends)| Hand::new(ends, shard, config, ports(w))).collect(),
            bell,
            prompts: Handles::new(prompts),
            prompt_returns: vec![0; usize::try_from(prompts).expect("fits memory")],
            next_link: 0,
            ip: config.ip,
            ports: config.ports.clone(),
            rng: config.seed.derive(u64::from(shard)).rng(),
        }
    }

    /// A place for a bearer and its address: on the worker of `beside` (for a bridge), or on the least used one.
    ///
    /// # Errors
    /// [`Busy::Places`], [`Busy::Ports`].
    pub fn reserve(&mut self, beside: Option<BearerId>) -> Result<Place, Busy> {
        let worker = match beside {
            Some(bearer) => usize::from(bearer.worker),
            None => (0..self.links.len()).min_by_key(|&w| self.links[w].open).ok_or(Busy::Unknown)?,
        };
        let hand = self.links.get_mut(worker).ok_or(Busy::Unknown)?;
        let bound = match &mut hand.ports {
            Some(free) => Bound::Steered(ports::draw(free, &mut self.rng).ok_or(Busy::Ports(0))?),
            None => ports::bind_pair(self.ip, &self.ports, &mut self.rng)
                .map(Bound::Own)
                .map_err(|e| Busy::Ports(e.raw_os_error().unwrap_or(0)))?,
        };
        let local = SocketAddr::new(self.ip, bound.port());
        let Some(index) = hand.take_place() else {
            hand.give_port(&bound);
            return Err(Busy::Places);
        };
        let held = hand.held(index).ok_or(Busy::Unknown)?;
        held.bound = Some(bound);
        let generation = held.generation;
        let worker = u16::try_from(worker).map_err(|_| Busy::Unknown)?;
        Ok(Place { bearer: BearerId { worker, generation, index }, local })
    }

    /// A place for a timeslot of the card of `worker`: no port is taken.
    ///
    /// # Errors
    /// [`Busy::Places`], [`Busy::Unknown`].
    pub fn reserve_timeslot(&mut self, worker: u16) -> Result<BearerId, Busy> {
        let hand = self.hand(worker)?;
        let index = hand.take_place().ok_or(Busy::Places)?;
        let generation = hand.held(index).ok_or(Busy::Unknown)?.generation;
        Ok(BearerId { worker, generation, index })
    }

    /// Gives back a place that was never opened.
    pub fn release(&mut self, bearer: BearerId) {
        if let Some(hand) = self.links.get_mut(usize::from(bearer.worker)) {
            hand.free_place(bearer);
        }
    }

    /// Opens a reserved place: lends the specification and sends [`Command::Open`].
    ///
    /// # Errors
    /// [`Busy::Handles`], [`Busy::Ring`], [`Busy::Unknown`]; the place stays reserved.
    pub fn open(&mut self, bearer: BearerId, spec: Spec) -> Result<(), Busy> {
        let spec = self.lend_spec(bearer, spec)?;
        self.send(Command::Open { bearer, spec })
    }

    /// Changes an open bearer: lends the specification and sends [`Command::Respec`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn respec(&mut self, bearer: BearerId, spec: Spec) -> Result<(), Busy> {
        let spec = self.lend_spec(bearer, spec)?;
        self.send(Command::Respec { bearer, spec })
    }

    /// Lends a specification for a bearer; its local address and sockets are those of the reservation.
    ///
    /// # Errors
    /// [`Busy::Handles`], [`Busy::Ring`], [`Busy::Unknown`].
    pub fn lend_spec(&mut self, bearer: BearerId, mut spec: Spec) -> Result<SpecHandle, Busy> {
        let ip = self.ip;
        let hand = self.hand(bearer.worker)?;
        let held = hand.held(bearer.index).filter(|h| h.generation == bearer.generation);
        let held = held.ok_or(Busy::Unknown)?;
        if let Medium::Rtp(rtp) = &mut spec.medium {
            let bound = held.bound.as_ref().ok_or(Busy::Unknown)?;
            rtp.local = SocketAddr::new(ip, bound.port());
            rtp.sockets = bound.sockets();
        }
        let handle = SpecHandle(hand.specs.take()?);
        hand.lend(Lent::Spec(handle, Box::new(spec.prepared())))
            .inspect_err(|_| hand.specs.0.push(handle.0))?;
        Ok(handle)
    }

    /// Lends a prompt to every worker. It is kept until [`Command::ReturnPrompt`] is answered.
    ///
    /// # Errors
    /// [`Busy::Handles`].
    pub fn lend_prompt(&mut self, prompt: Arc<Prompt>) -> Result<PromptHandle, Busy> {
        let handle = PromptHandle(self.prompts.take()?);
        for hand in &mut self.links {
            // The lend rings hold everything that can be out at once.
            hand.lend(Lent::Prompt(handle, Arc::clone(&prompt)))?;
        }
        Ok(handle)
    }

    /// Lends a capture's sink to the worker of a bearer.
    ///
    /// # Errors
    /// [`Busy::Handles`], [`Busy::Unknown`].
    pub fn lend_capture(&mut self, bearer: BearerId, sink: CaptureSink) -> Result<CaptureHandle, Busy> {
        let hand = self.hand(bearer.worker)?;
        // A tap comes back without a report.
        hand.take_back();
        let handle = CaptureHandle(hand.captures.take()?);
        hand.lend(Lent::Capture(handle, Box::new(sink))).inspect_err(|_| hand.captures.0.push(handle.0))?;
        Ok(handle)
    }

    /// Sends a command to the worker it concerns; [`Command::ReturnPrompt`] goes to all.
    ///
    /// # Errors
    /// [`Busy::Ring`], [`Busy::Unknown`].
    pub fn send(&mut self, command: Command) -> Result<(), Busy> {
        let Some(bearer) = command.bearer() else {
            if let Command::ReturnPrompt { prompt } = command
                && let Some(left) =
                    usize::try_from(prompt.0).ok().and_then(|i| self.prompt_returns.get_mut(i))
            {
                *left = u16::try_from(self.links.len()).unwrap_or(u16::MAX);
            }
            return self.links.iter_mut().try_for_each(|hand| hand.command(command));
        };
        self.hand(bearer.worker)?.command(command)
    }

    /// Sets the signalling bits of a slot of a worker's card.
    ///
    /// # Errors
    /// [`Busy::Ring`], [`Busy::Unknown`].
    pub fn set_bits(&mut self, worker: u16, span: u16, slot: u8, abcd: u8) -> Result<(), Busy> {
        self.hand(worker)?.command(Command::SetBits { span, slot, abcd })
    }

    /// Tells the register of a slot of a worker's card what to do.
    ///
    /// # Errors
    /// [`Busy::Ring`], [`Busy::Unknown`].
    pub fn register(&mut self, worker: u16, span: u16, slot: u8, order: Order) -> Result<(), Busy> {
        self.hand(worker)?.command(Command::Register { span, slot, order })
    }

    /// Loops a span of a worker's card, or no longer.
    ///
    /// # Errors
    /// [`Busy::Ring`], [`Busy::Unknown`].
    pub fn set_loop(&mut self, worker: u16, span: u16, how: Loop) -> Result<(), Busy> {
        self.hand(worker)?.command(Command::Loop { span, how })
    }

    /// Sends a D-channel frame by the card of a worker. A full ring loses it, as the line may: Q.921 sends again.
    ///
    /// # Errors
    /// [`Busy::Ring`], [`Busy::Unknown`].
    pub fn send_frame(&mut self, worker: u16, frame: Frame) -> Result<(), Busy> {
        self.hand(worker)?.ends.frames.push(frame).map_err(|_| Busy::Ring)
    }

    /// The next D-channel frame of any worker's card, with the worker.
    pub fn poll_frame(&mut self) -> Option<(u16, Frame)> {
        (0..).zip(&mut self.links).find_map(|(worker, hand)| Some((worker, hand.ends.heard.pop().ok()?)))
    }

    /// Joins two bearers, each hears the other: on one worker by [`Command::Bridge`], on two by a splice ring.
    ///
    /// # Errors
    /// [`Busy::Ring`], [`Busy::Unknown`].
    pub fn bridge(&mut self, a: BearerId, b: BearerId) -> Result<(), Busy> {
        if a.worker == b.worker {
            return self.send(Command::Bridge { a, b });
        }
        let (for_a, for_b) = worker::splice();
        self.hand(a.worker)?.lend(Lent::Splice(a, Box::new(for_a)))?;
        self.hand(b.worker)?.lend(Lent::Splice(b, Box::new(for_b)))
    }

    /// The next report of any worker; `None`: nothing now.
    pub fn poll(&mut self) -> Option<Report> {
        for _ in 0..self.links.len() {
            let at = self.next_link;
            self.next_link = (at + 1) % self.links.len();
            while let Ok(report) = self.links[at].ends.reports.pop() {
                if self.note(at, &report) {
                    return Some(report);
                }
            }
        }
        None
    }

    /// Asks for the doorbell at the next report. Poll to `None` after this and before sleeping.
    pub fn arm(&self) {
        self.bell.clear();
        self.bell.arm();
    }

    /// What to await: readable when rung.
    #[must_use]
    pub fn doorbell(&self) -> &Doorbell {
        &self.bell
    }

    /// Places that are taken, of all workers.
    #[must_use]
    pub fn open_places(&self) -> u32 {
        self.links.iter().map(|h| h.open).sum()
    }

    fn hand(&mut self, worker: u16) -> Result<&mut Hand, Busy> {
        self.links.get_mut(usize::from(worker)).ok_or(Busy::Unknown)
    }

    /// Keeps the books of a report; false if it is not for others.
    fn note(&mut self, link: usize, report: &Report) -> bool {
        let hand = &mut self.links[link];
        match *report {
            Report::SpecReturned { .. } | Report::CaptureEnded { .. } => hand.take_back(),
            Report::OpenFailed { bearer } | Report::Closed { bearer, .. } => hand.free_place(bearer),
            Report::PromptReturned { prompt } => {
                hand.take_back();
                let Some(left) = usize::try_from(prompt.0).ok().and_then(|i| self.prompt_returns.get_mut(i))
                else {
                    return true;
                };
                *left = left.saturating_sub(1);
                if *left > 0 {
                    return false;
                }
                self.prompts.0.push(prompt.0);
            }
            _ => {}
        }
        true
    }
}

impl Hand {
    fn new(ends: ControlEnds, shard: u32, config: &Config, ports: Option<Vec<u16>>) -> Self {
        let limits = &config.limits;
        let (stride, per_phase) = (u32::from(config.shards), limits.phase_places());
        // Within each phase the shards' places alternate.
        let free = (0..PHASES)
            .map(|phase| {
                (0..per_phase).rev().filter(|i| i % stride == shard).map(|i| phase * per_phase + i).collect()
            })
            .collect();
        let places = (0..limits.places()).map(|_| Held::default()).collect();
        Self {
            ends,
            free,
            open: 0,
            places,
            first_stride: (shard, stride),
            specs: Handles::new(limits.specs),
            captures: Handles::new(limits.captures),
            ports,
        }
    }

    /// A place of the phase that has most of them free, so that ticks stay even.
    fn take_place(&mut self) -> Option<u32> {
        let place = self.free.iter_mut().max_by_key(|places| places.len())?.pop()?;
        self.open += 1;
        Some(place)
    }

    fn free_place(&mut self, bearer: BearerId) {
        let per_phase = u32::try_from(self.places.len()).expect("places are 32 bits") / PHASES;
        let (shard, stride) = self.first_stride;
        let ours = (bearer.index % per_phase) % stride == shard;
        let Some(held) = self.held(bearer.index).filter(|h| ours && h.generation == bearer.generation) else {
            return;
        };
        held.generation = held.generation.wrapping_add(1);
        let bound = held.bound.take();
        self.open = self.open.saturating_sub(1);
        let phase = usize::try_from(bearer.index / per_phase).expect("below 20");
        self.free[phase].push(bearer.index);
        if let Some(bound) = bound {
            self.give_port(&bound);
        }
    }

    fn give_port(&mut self, bound: &Bound) {
        if let (Some(free), Bound::Steered(port)) = (&mut self.ports, bound) {
            free.push(*port);
        }
    }

    fn held(&mut self, index: u32) -> Option<&mut Held> {
        self.places.get_mut(usize::try_from(index).ok()?)
    }

    fn lend(&mut self, thing: Lent) -> Result<(), Busy> {
        self.ends.lends.push(thing).map_err(|_| Busy::Ring)
    }

    fn command(&mut self, command: Command) -> Result<(), Busy> {
        self.ends.commands.push(command).map_err(|_| Busy::Ring)
    }

    /// Takes in what came back: here, and only here, lent things are freed.
    fn take_back(&mut self) {
        while let Ok(thing) = self.ends.returns.pop() {
            match thing {
                Lent::Spec(handle, _) => self.specs.0.push(handle.0),
                Lent::Capture(handle, _) => self.captures.0.push(handle.0),
                Lent::Prompt(..) | Lent::Splice(..) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
