//! SIP to speech engines: one endpoint of its own on one UDP socket, apart from the shards and their trunks.

use super::Inner;
use signalling::leg::{Action, Indication, Media, Place, Rtp, Transport};
use signalling::sdp::Channel;
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, FlowId, Input, Net, Output, Probe};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use units::{Cause, LegId};

/// What a session wants of it.
#[derive(Debug)]
pub(super) enum Order {
    /// Call an engine.
    Open {
        /// Ours, and new.
        leg: LegId,
        /// Number of the server.
        server: usize,
        /// Whom and with what.
        place: Box<Place>,
        /// Who is told.
        tell: mpsc::Sender<Told>,
    },
    /// Hang up.
    Close(LegId),
}

/// What a session is told.
#[derive(Debug)]
pub(super) enum Told {
    /// The control channel.
    Channel(Channel),
    /// Where its sound goes to and comes from.
    Answered(Rtp),
    /// It is over, or never was.
    Ended,
}

/// The socket with its endpoint.
pub(super) struct Signalling {
    socket: UdpSocket,
    endpoint: Endpoint,
    legs: BTreeMap<LegId, mpsc::Sender<Told>>,
    /// Addresses that are probed, with the number of their server.
    probed: BTreeMap<SocketAddr, usize>,
}

/// Between two OPTIONS to a server.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Octets of a datagram.
const DATAGRAM_MAX: usize = 65_536;
/// A socket that fails is not asked again at once.
const PAUSE: Duration = Duration::from_millis(20);

impl Signalling {
    pub(super) fn bind(ip: IpAddr) -> std::io::Result<Self> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(ip, 0))?;
        socket.set_nonblocking(true)?;
        let own = socket.local_addr()?;
        let advertised = Advertised { udp: Some(own), ..Advertised::default() };
        let mut config = EndpointConfig::new(0, advertised, crate::clock::random());
        // A session lives as long as a listening: nothing to refresh.
        config.session_expires_s = None;
        let endpoint = Endpoint::new(config, crate::clock::seed());
        let (legs, probed) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { socket: UdpSocket::from_std(socket)?, endpoint, legs, probed })
    }

    /// Until nobody has the pool any more.
    pub(super) async fn run(
        mut self,
        servers: Vec<String>,
        mut orders: mpsc::Receiver<Order>,
        pool: Weak<Inner>,
    ) {
        self.meet(&servers).await;
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            self.carry_out(&pool).await;
            let due = self.endpoint.deadline().map(|(at, _)| crate::clock::instant(at));
            let timer = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => {
                        let bytes = buffer.get(..length).unwrap_or_default();
                        let (flow, transport) = (FlowId(0), Transport::Udp);
                        self.handle(Input::Received { flow, transport, from, bytes });
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
                () = timer => self.handle(Input::Timer),
            }
        }
    }

    /// Listens to the servers alone, and asks each from now on whether it lives.
    async fn meet(&mut self, servers: &[String]) {
        for (n, server) in servers.iter().enumerate() {
            let found = tokio::net::lookup_host(server.as_str()).await;
            let found =
                found.inspect_err(|error| tracing::error!(server, %error, "a speech engine's address"));
            // Two names of one address are one engine for OPTIONS.
            self.probed.extend(found.into_iter().flatten().take(1).map(|addr| (addr, n)));
        }
        self.listen();
    }

    fn listen(&mut self) {
        let peers = self.probed.keys().map(|addr| Net::host(addr.ip())).collect();
        let probe = |to: &SocketAddr| Probe { transport: Transport::Udp, to: *to, every: PROBE_EVERY };
        let probes = self.probed.keys().map(probe).collect();
        self.handle(Input::Peers { peers, probes, registrations: Vec::new() });
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Open { leg, server, place, tell } => {
                // A name that leads elsewhere by now: who is called may answer.
                if !self.probed.keys().any(|addr| addr.ip() == place.hop.ip()) {
                    self.probed.insert(place.hop, server);
                    self.listen();
                }
                self.legs.insert(leg, tell);
                self.handle(Input::Leg(leg, Action::Place(place)));
            }
            Order::Close(leg) => {
                if self.legs.remove(&leg).is_some() {
                    self.handle(Input::Leg(leg, Action::Clear(Cause::NORMAL)));
                }
            }
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        // The only errors are actions for legs that ended meanwhile.
        if let Err(error) = self.endpoint.handle(crate::clock::now(), input) {
            tracing::debug!(?error, "mrcp");
        }
    }

    async fn carry_out(&mut self, pool: &Weak<Inner>) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { to, bytes, .. } => {
                    // What is lost is sent again.
                    drop(self.socket.send_to(&bytes, to).await);
                }
                Output::Leg(leg, indication) => self.tell(leg, indication),
                Output::PeerState { peer, up } => {
                    if let (Some(pool), Some(&server)) = (pool.upgrade(), self.probed.get(&peer)) {
                        pool.lives(server, up);
                    }
                }
                Output::Close { .. }
                | Output::Dialog(..)
                | Output::Registered { .. }
                | Output::PeerLoad { .. } => {}
            }
        }
    }

    fn tell(&mut self, leg: LegId, indication: Indication) {
        let told = match indication {
            Indication::Engine(channel) => Told::Channel(channel),
            Indication::Answered { media: Media::Rtp(rtp) } => Told::Answered(rtp),
            // Nothing is journalled: an engine's session ends with us.
            Indication::AckDue => return self.handle(Input::AckJournalled(leg)),
            Indication::Ended(_) => {
                if let Some(tell) = self.legs.remove(&leg) {
                    drop(tell.try_send(Told::Ended));
                }
                return;
            }
            _ => return,
        };
        let gone = self.legs.get(&leg).is_some_and(|tell| tell.try_send(told).is_err());
        if gone {
            self.order(Order::Close(leg));
        }
    }
}
