//! Choosing a backend at start: the one asked for, else the next best that the host allows, with the reasons.

use super::plain::Plain;
use super::sockets::{self, Shared, Steering};
use super::{AnyNet, Backend, Choice, PortRange, Refusal};
use std::net::IpAddr;

/// What was chosen.
pub(crate) struct Chosen {
    pub(crate) backend: Backend,
    /// One per worker.
    pub(crate) nets: Vec<AnyNet>,
    /// What has to live as long as the nets.
    pub(crate) steering: Option<Steering>,
    /// What was tried before, and why it was not taken.
    pub(crate) passed: Vec<(Backend, Refusal)>,
}

/// What the choice depends on.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) choice: Choice,
    pub(crate) ip: IpAddr,
    pub(crate) range: PortRange,
    pub(crate) workers: u16,
    pub(crate) places: u32,
}

/// Tries the backends in the order of `spec/media`: the one asked for, `sockets`, `plain`; the last always works.
pub(crate) fn choose(ask: &Ask) -> Chosen {
    let mut passed = Vec::new();
    let first = match ask.choice {
        Choice::Auto => Backend::Sockets,
        Choice::Only(backend) => backend,
    };
    for backend in [first, Backend::Sockets] {
        if backend == Backend::Plain {
            break;
        }
        if passed.iter().any(|(b, _)| *b == backend) {
            continue;
        }
        match make(backend, ask) {
            Ok((nets, steering)) => return Chosen { backend, nets, steering: Some(steering), passed },
            Err(refusal) => passed.push((backend, refusal)),
        }
    }
    let nets = (0..ask.workers).map(|_| AnyNet::Plain(Plain::new(ask.places))).collect();
    Chosen { backend: Backend::Plain, nets, steering: None, passed }
}

fn make(backend: Backend, ask: &Ask) -> Result<(Vec<AnyNet>, Steering), Refusal> {
    let (steering, pairs) = sockets::prepare(ask.ip, &ask.range, ask.workers)?;
    let net = |pair| match backend {
        Backend::Plain | Backend::Sockets => AnyNet::Sockets(Shared::new(pair, &ask.range, ask.places)),
    };
    Ok((pairs.into_iter().map(net).collect(), steering))
}
