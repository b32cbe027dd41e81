//! The simulated media server: the production worker on a simulated net, and what the real host does around it: places,
//! lending, prompts.

use dataplane::command::{Command, PromptHandle, SpecHandle};
use dataplane::limits::Limits;
use dataplane::net::sim::{SimNet, SimPacket};
use dataplane::pool::{Lent, Prompt};
use dataplane::report::Report;
use dataplane::spec::{Direction, Spec};
use dataplane::worker::{ControlEnds, Worker, links};
use signalling::leg::Rtp;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use units::{BearerId, Codec, Now, Rng, Seed};

/// See the module.
pub struct Media {
    worker: Worker<SimNet>,
    ends: ControlEnds,
    ip: IpAddr,
    generations: Vec<u16>,
    free: Vec<u32>,
    specs: Vec<u32>,
    prompts: BTreeMap<String, (PromptHandle, Arc<Prompt>)>,
    rng: Rng,
    open: usize,
}

impl Media {
    pub fn new(ip: IpAddr, bearers: u32, seed: Seed) -> Self {
        let limits = Limits { bearers, ..Limits::default() };
        let (ends, worker_ends) = links(&limits);
        let places = limits.places();
        let worker = Worker::new(0, limits, SimNet::new(places), vec![worker_ends]);
        Self {
            worker,
            ends,
            ip,
            generations: vec![0; places as usize],
            free: (0..places).rev().collect(),
            specs: (0..limits.specs).rev().collect(),
            prompts: BTreeMap::new(),
            rng: seed.rng(),
            open: 0,
        }
    }

    fn local(&self, index: u32) -> SocketAddr {
        SocketAddr::new(self.ip, 20_000 + u16::try_from(index * 2).expect("few bearers"))
    }

    /// A place for a bearer and its address.
    pub fn reserve(&mut self) -> Option<(BearerId, SocketAddr)> {
        let index = self.free.pop()?;
        let generation = self.generations[index as usize];
        Some((BearerId { worker: 0, generation, index }, self.local(index)))
    }

    /// A place that was never opened comes back.
    pub fn release(&mut self, bearer: BearerId) {
        self.generations[bearer.index as usize] = bearer.generation.wrapping_add(1);
        self.free.push(bearer.index);
    }

    fn spec(&mut self, bearer: BearerId, far: &Rtp) -> SpecHandle {
        let codec = far.codecs.first().copied().unwrap_or(Codec::Pcmu);
        let mut spec = Spec::rtp(self.local(bearer.index), far.addr, codec, Seed(self.rng.next_u64()));
        if let Some(event) = far.telephone_event {
            spec = spec.with_events(event);
        }
        spec.direction = match (far.receives, far.sends) {
            (true, true) => Direction::SendReceive,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::ReceiveOnly,
            (false, false) => Direction::Inactive,
        };
        let handle = SpecHandle(self.specs.pop().expect("as many specifications as bearers can use"));
        self.ends.lends.push(Lent::Spec(handle, Box::new(spec))).expect("a ring as long as the table");
        handle
    }

    pub fn open(&mut self, bearer: BearerId, far: &Rtp) {
        let spec = self.spec(bearer, far);
        self.open += 1;
        self.command(Command::Open { bearer, spec });
    }

    pub fn respec(&mut self, bearer: BearerId, far: &Rtp) {
        let spec = self.spec(bearer, far);
        self.command(Command::Respec { bearer, spec });
    }

    pub fn command(&mut self, command: Command) {
        self.ends.commands.push(command).expect("the ring is drained every millisecond");
    }

    /// Makes octets resident under a name, once.
    pub fn prompt(&mut self, name: &str, samples: &[i16]) -> (PromptHandle, Arc<Prompt>) {
        if let Some(known) = self.prompts.get(name) {
            return known.clone();
        }
        let handle = PromptHandle(u32::try_from(self.prompts.len()).expect("few prompts"));
        let prompt = Arc::new(Prompt::from_linear(samples));
        self.ends.lends.push(Lent::Prompt(handle, prompt.clone())).expect("a ring as long as the table");
        self.prompts.insert(name.to_owned(), (handle, prompt.clone()));
        (handle, prompt)
    }

    pub fn deliver(&mut self, local: SocketAddr, remote: SocketAddr, bytes: Vec<u8>) {
        self.worker.net_mut().deliver(SimPacket { local, remote, bytes });
    }

    /// One millisecond: the worker ticks; what it sent and what it reports.
    pub fn tick(&mut self, now: Now, sent: &mut Vec<SimPacket>) -> Vec<Report> {
        self.worker.tick(now);
        while let Some(packet) = self.worker.net_mut().sent() {
            sent.push(packet);
        }
        while self.ends.returns.pop().is_ok() {}
        let mut reports = Vec::new();
        while let Ok(report) = self.ends.reports.pop() {
            match report {
                Report::SpecReturned { spec, .. } => self.specs.push(spec.0),
                Report::Closed { bearer, .. } | Report::OpenFailed { bearer } => {
                    self.open -= 1;
                    self.release(bearer);
                }
                _ => {}
            }
            reports.push(report);
        }
        reports
    }

    /// Bearers that are open.
    pub fn open_bearers(&self) -> usize {
        self.open
    }

    /// Places that are taken: none at the end of a simulation.
    pub fn taken(&self) -> usize {
        self.generations.len() - self.free.len()
    }
}
