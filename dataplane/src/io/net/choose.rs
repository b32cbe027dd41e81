//! Choosing a backend at start: the one asked for, else the next best that the host allows, with the reasons.

use super::plain::Plain;
use super::sockets::{self, Shared, Steering};
use super::uring::Uring;
use super::xdp::Xdp;
use super::{AnyNet, Backend, Choice, PortRange, Refusal, Step};
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
    pub(crate) interface: Option<String>,
}

/// Tries the backends in the order of `spec/media`: the one asked for, `sockets`, `plain`; the last always works.
pub(crate) fn choose(ask: &Ask) -> Chosen {
    let mut passed = Vec::new();
    let first = match ask.choice {
        Choice::Auto if ask.interface.is_some() => Backend::Xdp,
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
    let nets = (0..ask.workers).map(|_| AnyNet::Plain(Box::new(Plain::new(ask.places)))).collect();
    Chosen { backend: Backend::Plain, nets, steering: None, passed }
}

fn make(backend: Backend, ask: &Ask) -> Result<(Vec<AnyNet>, Steering), Refusal> {
    let interface = match (backend, &ask.interface) {
        (Backend::Xdp, None) => return Err(Refusal { step: Step::Interface, errno: 0 }),
        (Backend::Xdp, Some(_)) if ask.workers > 1 => return Err(Refusal { step: Step::Workers, errno: 0 }),
        (_, interface) => interface.as_deref().unwrap_or(""),
    };
    let (steering, pairs) = sockets::prepare(ask.ip, &ask.range, ask.workers)?;
    let net = |pair| match backend {
        Backend::Plain | Backend::Sockets => {
            Ok(AnyNet::Sockets(Box::new(Shared::new(pair, &ask.range, ask.places))))
        }
        Backend::Uring => Uring::new(pair, &ask.range, ask.places).map(|net| AnyNet::Uring(Box::new(net))),
        Backend::Xdp => {
            Xdp::new(interface, ask.ip, &ask.range, pair, ask.places).map(|net| AnyNet::Xdp(Box::new(net)))
        }
    };
    Ok((pairs.into_iter().map(net).collect::<Result<_, _>>()?, steering))
}
