//! SIP's sockets: UDP in the shard's own loop, each TCP or TLS connection in a task of its own.

use super::{Inbox, Listener, Post};
use signalling::leg::Transport;
use signalling::sip::endpoint::{FlowId, Output};
use signalling::sip::locate::Target;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;

/// TLS for both directions.
#[derive(Clone)]
pub struct Tls {
    /// For who connects to us.
    pub acceptor: Option<tokio_rustls::TlsAcceptor>,
    /// For whom we connect to.
    pub connector: tokio_rustls::TlsConnector,
}

/// A UDP socket with its name.
pub(super) struct Udp {
    pub(super) flow: FlowId,
    pub(super) socket: Arc<UdpSocket>,
}

pub(super) struct Sip {
    udp: Vec<Arc<UdpSocket>>,
    listeners: Vec<(Transport, TcpListener)>,
    tls: Option<Tls>,
    streams: BTreeMap<FlowId, (SocketAddr, mpsc::Sender<Vec<u8>>)>,
    /// Connections that are being made, with what waits for them.
    opening: BTreeMap<SocketAddr, Vec<Vec<u8>>>,
    /// Names of peers, which their certificates must bear.
    names: BTreeMap<SocketAddr, String>,
    next: Arc<AtomicU32>,
}

/// Flows below this are UDP sockets.
const STREAM_FIRST: u32 = 1_024;
/// Messages that wait for a stream.
const STREAM_QUEUE_MAX: usize = 1_024;
/// Streams at a time.
const STREAMS_MAX: usize = 10_000;
/// A connection is made within this; a peer that is silent leaves time for another way within two seconds.
const CONNECT_MAX: Duration = Duration::from_millis(1_500);
/// A TLS handshake is done within this.
const HANDSHAKE_MAX: Duration = Duration::from_secs(4);
/// Octets read from a stream at a time.
const READ_OCTETS: usize = 16_384;

impl Sip {
    pub(super) fn new(sockets: Vec<(Transport, Listener)>, tls: Option<Tls>) -> std::io::Result<Self> {
        let (mut udp, mut listeners) = (Vec::new(), Vec::new());
        for (transport, listener) in sockets {
            match listener {
                Listener::Udp(socket) => udp.push(Arc::new(UdpSocket::from_std(socket)?)),
                Listener::Tcp(listener) => listeners.push((transport, TcpListener::from_std(listener)?)),
            }
        }
        let next = Arc::new(AtomicU32::new(STREAM_FIRST));
        let (streams, opening, names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { udp, listeners, tls, streams, opening, names, next })
    }

    /// Starts accepting; the UDP sockets come back for the shard's loop.
    pub(super) fn start(&mut self, post: &Post) -> Vec<Udp> {
        for (transport, listener) in self.listeners.drain(..) {
            let (post, next, tls) = (post.clone(), Arc::clone(&self.next), self.tls.clone());
            tokio::task::spawn_local(accept(transport, listener, post, next, tls));
        }
        let named = self.udp.iter().zip(0..);
        named.map(|(socket, n)| Udp { flow: FlowId(n), socket: Arc::clone(socket) }).collect()
    }

    pub(super) fn carry_out(&mut self, output: Output, post: &Post) {
        match output {
            Output::Transmit { flow, transport, to, bytes } => match transport {
                Transport::Udp => self.send_datagram(flow, to, &bytes, post),
                Transport::Tcp | Transport::Tls => self.send_stream(flow, transport, to, bytes, post),
            },
            // The writer ends when nobody can give it anything, and the connection with it.
            Output::Close { flow } => drop(self.streams.remove(&flow)),
            Output::PeerState { peer, up } => {
                metrics::gauge!("carillon_peer_up", "peer" => peer.to_string()).set(f64::from(u8::from(up)));
                tracing::info!(%peer, up, "a peer changed state");
            }
            Output::PeerLoad { peer, reduce_percent, validity_ms } => {
                tracing::info!(%peer, reduce_percent, validity_ms, "a peer asks for fewer new calls");
            }
            Output::Registered { name, registered, status } => {
                metrics::gauge!("carillon_trunk_registered", "trunk" => name.clone())
                    .set(f64::from(u8::from(registered)));
                tracing::info!(trunk = name, registered, status, "registration");
            }
            Output::Leg(..) | Output::Dialog(..) => {}
        }
    }

    fn send_datagram(&mut self, flow: Option<FlowId>, to: SocketAddr, octets: &[u8], post: &Post) {
        let named = flow.and_then(|f| usize::try_from(f.0).ok()).and_then(|i| self.udp.get(i));
        let Some(socket) = named.or_else(|| self.udp.iter().find(|s| same_family(s, to))) else {
            tracing::warn!("no UDP socket reaches this peer");
            return;
        };
        match socket.try_send_to(octets, to) {
            // A full buffer loses a datagram as the network may; SIP sends again.
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => {
                let post = post.clone();
                tokio::task::spawn_local(async move {
                    drop(post.send(Inbox::Unreachable(Transport::Udp, to)).await);
                });
            }
        }
    }

    fn send_stream(
        &mut self,
        flow: Option<FlowId>,
        transport: Transport,
        to: SocketAddr,
        octets: Vec<u8>,
        post: &Post,
    ) {
        let by_flow = flow.and_then(|f| self.streams.get(&f));
        let open = by_flow.or_else(|| self.streams.values().find(|(peer, _)| *peer == to));
        if let Some((_, writer)) = open {
            // A peer that does not read loses what does not fit; its transactions time out.
            drop(writer.try_send(octets));
            return;
        }
        if let Some(waiting) = self.opening.get_mut(&to) {
            if waiting.len() < STREAM_QUEUE_MAX {
                waiting.push(octets);
            }
            return;
        }
        if self.streams.len() + self.opening.len() >= STREAMS_MAX {
            return;
        }
        self.opening.insert(to, vec![octets]);
        let (post, tls) = (post.clone(), self.tls.clone());
        let flow = FlowId(self.next.fetch_add(1, Ordering::Relaxed));
        let name = self.names.get(&to).cloned();
        tokio::task::spawn_local(connect((transport, to, name), flow, post, tls));
    }

    pub(super) fn opened(&mut self, flow: FlowId, to: SocketAddr, writer: mpsc::Sender<Vec<u8>>) {
        for octets in self.opening.remove(&to).unwrap_or_default() {
            drop(writer.try_send(octets));
        }
        if self.streams.len() < STREAMS_MAX {
            self.streams.insert(flow, (to, writer));
        }
    }

    /// These addresses were found for a host name.
    pub(super) fn named(&mut self, host: &str, targets: &[Target]) {
        if self.names.len() < STREAMS_MAX {
            self.names.extend(targets.iter().map(|target| (target.addr, host.to_owned())));
        }
    }

    pub(super) fn closed(&mut self, flow: FlowId) {
        self.streams.remove(&flow);
    }

    pub(super) fn unreachable(&mut self, to: SocketAddr) {
        self.opening.remove(&to);
    }
}

fn same_family(socket: &UdpSocket, to: SocketAddr) -> bool {
    socket.local_addr().is_ok_and(|own| own.is_ipv4() == to.is_ipv4())
}

/// The index of a socket that has something to read.
pub(super) async fn readable(sockets: &[Udp]) -> usize {
    let waits = sockets.iter().map(|s| Box::pin(s.socket.readable()));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(waits).await.1
}

async fn accept(
    transport: Transport,
    listener: TcpListener,
    post: Post,
    next: Arc<AtomicU32>,
    tls: Option<Tls>,
) {
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            // Out of descriptors: the listener outlives it.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let flow = FlowId(next.fetch_add(1, Ordering::Relaxed));
        let (post, acceptor) = (post.clone(), tls.as_ref().and_then(|t| t.acceptor.clone()));
        tokio::task::spawn_local(async move {
            match (transport, acceptor) {
                (Transport::Tls, Some(acceptor)) => {
                    let shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        converse(stream, transport, from, flow, post).await;
                    }
                }
                (Transport::Tls, None) => {}
                _ => converse(stream, transport, from, flow, post).await,
            }
        });
    }
}

async fn connect(
    (transport, to, name): (Transport, SocketAddr, Option<String>),
    flow: FlowId,
    post: Post,
    tls: Option<Tls>,
) {
    let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(to)).await;
    let Ok(Ok(stream)) = connected else {
        drop(post.send(Inbox::Unreachable(transport, to)).await);
        return;
    };
    match (transport, tls) {
        (Transport::Tls, Some(tls)) => {
            // RFC 5922 §4: the certificate must name whom we set out to reach, not whom DNS led us to.
            let named = name.and_then(|name| rustls_pki_types::ServerName::try_from(name).ok());
            let name = named.unwrap_or_else(|| rustls_pki_types::ServerName::from(to.ip()));
            match tokio::time::timeout(HANDSHAKE_MAX, tls.connector.connect(name, stream)).await {
                Ok(Ok(stream)) => converse(stream, transport, to, flow, post).await,
                _ => drop(post.send(Inbox::Unreachable(transport, to)).await),
            }
        }
        (Transport::Tls, None) => drop(post.send(Inbox::Unreachable(transport, to)).await),
        _ => converse(stream, transport, to, flow, post).await,
    }
}

/// Moves octets both ways until one side ends.
async fn converse<S: AsyncRead + AsyncWrite>(
    stream: S,
    transport: Transport,
    peer: SocketAddr,
    flow: FlowId,
    post: Post,
) {
    let (mut read, mut write) = tokio::io::split(stream);
    let (writer, mut outgoing) = mpsc::channel::<Vec<u8>>(STREAM_QUEUE_MAX);
    if post.send(Inbox::FlowOpened(flow, peer, writer)).await.is_err() {
        return;
    }
    let mut buffer = vec![0; READ_OCTETS];
    loop {
        tokio::select! {
            length = read.read(&mut buffer) => {
                let Ok(length @ 1..) = length else { break };
                let octets = buffer[..length].to_vec();
                if post.send(Inbox::Stream(flow, transport, peer, octets)).await.is_err() {
                    break;
                }
            }
            octets = outgoing.recv() => {
                let Some(octets) = octets else { break };
                if write.write_all(&octets).await.is_err() {
                    break;
                }
            }
        }
    }
    drop(post.send(Inbox::FlowClosed(flow)).await);
}
