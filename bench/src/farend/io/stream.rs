//! SIP over TCP and TLS: connections that the far end's thread polls once a tick. Opening one happens on a thread of its
//! own, so that an unreachable server holds up no call.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use signalling::leg::Transport;
use signalling::sip::endpoint::FlowId;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

/// A connection is given up after so long.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Connections at a time.
const CONNECTIONS_MAX: usize = 4096;

/// What came from a stream.
pub(super) enum Came {
    /// Octets.
    Bytes(FlowId, Transport, SocketAddr, Vec<u8>),
    /// It closed.
    Closed(FlowId),
    /// Nobody answers there.
    Unreachable(Transport, SocketAddr),
}

enum Wire {
    Opening(Receiver<std::io::Result<TcpStream>>),
    Plain(TcpStream),
    Tls(TcpStream, Box<rustls::Connection>),
}

struct Connection {
    wire: Wire,
    transport: Transport,
    peer: SocketAddr,
    waiting: Vec<u8>,
}

/// TLS for both directions.
#[derive(Clone)]
pub struct Tls {
    server: Option<Arc<rustls::ServerConfig>>,
    client: Arc<rustls::ClientConfig>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Streams {
    listeners: Vec<(TcpListener, Transport)>,
    tls: Option<Tls>,
    connections: HashMap<FlowId, Connection>,
    next: u32,
}

impl Tls {
    /// From PEM files: our certificate and key (for those who call us), and the authority that servers are checked
    /// against; without one, any certificate is taken: this is a load tool on a test network.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(certificate: Option<(&Path, &Path)>, authority: Option<&Path>) -> Result<Self, String> {
        use rustls::pki_types::pem::PemObject;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = |path: &Path| {
            CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|e| format!("{}: {e}", path.display()))
        };
        let server = match certificate {
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
                let config = rustls::ServerConfig::builder().with_no_client_auth();
                let config = config
                    .with_single_cert(certificates(chain)?, key)
                    .map_err(|e| format!("{}: {e}", chain.display()))?;
                Some(Arc::new(config))
            }
            None => None,
        };
        let builder = rustls::ClientConfig::builder();
        let client = match authority {
            Some(path) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add_parsable_certificates(certificates(path)?);
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            None => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone)).with_no_client_auth()
            }
        };
        Ok(Self { server, client: Arc::new(client) })
    }

    /// Whether calls can come in over TLS.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.server.is_some()
    }
}

impl Streams {
    /// Listens for TCP, and for TLS if it can be served.
    pub(super) fn listen(&mut self, listener: TcpListener, transport: Transport) -> std::io::Result<()> {
        listener.set_nonblocking(true)?;
        self.listeners.push((listener, transport));
        Ok(())
    }

    pub(super) fn with_tls(&mut self, tls: Option<Tls>) {
        self.tls = tls;
    }

    /// Whether there is nothing to poll at this tick; newcomers may wait some ms.
    pub(super) fn idle(&self, tick: u64) -> bool {
        self.connections.is_empty() && (self.listeners.is_empty() || !tick.is_multiple_of(8))
    }

    /// Sends a message: by the flow, or by one to `to` that is up or is opened now.
    pub(super) fn send(&mut self, flow: Option<FlowId>, transport: Transport, to: SocketAddr, bytes: &[u8]) {
        let known = flow.filter(|f| self.connections.contains_key(f));
        let by_peer = || {
            let mut all = self.connections.iter();
            all.find(|(_, c)| c.peer == to && c.transport == transport).map(|(f, _)| *f)
        };
        let flow = match known.or_else(by_peer) {
            Some(flow) => flow,
            None => self.open(transport, to),
        };
        if let Some(c) = self.connections.get_mut(&flow) {
            c.waiting.extend_from_slice(bytes);
        }
    }

    /// Closes a flow.
    pub(super) fn close(&mut self, flow: FlowId) {
        self.connections.remove(&flow);
    }

    fn flow(&mut self) -> FlowId {
        // Flow 0 is the UDP socket.
        self.next += 1;
        FlowId(self.next)
    }

    fn open(&mut self, transport: Transport, to: SocketAddr) -> FlowId {
        let (done, opened) = channel();
        std::thread::spawn(move || {
            // Nobody waits for it any more: then the connection closes here.
            let _ = done.send(TcpStream::connect_timeout(&to, CONNECT_MAX));
        });
        let flow = self.flow();
        let wire = Wire::Opening(opened);
        self.connections.insert(flow, Connection { wire, transport, peer: to, waiting: Vec::new() });
        flow
    }

    /// Accepts, reads and writes what can be without waiting.
    pub(super) fn poll(&mut self) -> Vec<Came> {
        self.accept();
        let mut came = Vec::new();
        let mut gone = Vec::new();
        for (&flow, c) in &mut self.connections {
            let opening = c.opening();
            let mut bytes = Vec::new();
            let alive = c.turn(self.tls.as_ref(), &mut bytes);
            if !bytes.is_empty() {
                came.push(Came::Bytes(flow, c.transport, c.peer, bytes));
            }
            if !alive {
                gone.push(flow);
                came.push(match opening {
                    true => Came::Unreachable(c.transport, c.peer),
                    false => Came::Closed(flow),
                });
            }
        }
        for flow in gone {
            self.connections.remove(&flow);
        }
        came
    }

    fn accept(&mut self) {
        let mut new = Vec::new();
        for (listener, transport) in &self.listeners {
            while let Ok((stream, peer)) = listener.accept() {
                new.push((stream, peer, *transport));
            }
        }
        for (stream, peer, transport) in new {
            let room = self.connections.len() < CONNECTIONS_MAX;
            let server = self.tls.as_ref().and_then(|t| t.server.clone());
            let Some(wire) = Wire::accepted(stream, transport, server).filter(|_| room) else { continue };
            let flow = self.flow();
            self.connections.insert(flow, Connection { wire, transport, peer, waiting: Vec::new() });
        }
    }
}

impl Wire {
    fn accepted(
        stream: TcpStream,
        transport: Transport,
        server: Option<Arc<rustls::ServerConfig>>,
    ) -> Option<Self> {
        ready(&stream)?;
        if transport != Transport::Tls {
            return Some(Self::Plain(stream));
        }
        let tls = rustls::ServerConnection::new(server?).ok()?;
        Some(Self::Tls(stream, Box::new(tls.into())))
    }

    fn opened(stream: TcpStream, transport: Transport, peer: SocketAddr, tls: Option<&Tls>) -> Option<Self> {
        ready(&stream)?;
        if transport != Transport::Tls {
            return Some(Self::Plain(stream));
        }
        let name = ServerName::IpAddress(peer.ip().into());
        let tls = rustls::ClientConnection::new(tls?.client.clone(), name).ok()?;
        Some(Self::Tls(stream, Box::new(tls.into())))
    }
}

fn ready(stream: &TcpStream) -> Option<()> {
    stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).ok()
}

impl Connection {
    /// Not up yet: if it ends now, nobody that we may trust answers there.
    fn opening(&self) -> bool {
        match &self.wire {
            Wire::Opening(_) => true,
            Wire::Plain(_) => false,
            Wire::Tls(_, tls) => matches!(**tls, rustls::Connection::Client(_)) && tls.is_handshaking(),
        }
    }

    /// One round of reading and writing; false: it is over.
    fn turn(&mut self, tls: Option<&Tls>, bytes: &mut Vec<u8>) -> bool {
        if let Wire::Opening(opened) = &self.wire {
            let stream = match opened.try_recv() {
                Ok(Ok(stream)) => stream,
                Err(TryRecvError::Empty) => return true,
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => return false,
            };
            let Some(wire) = Wire::opened(stream, self.transport, self.peer, tls) else { return false };
            self.wire = wire;
        }
        match &mut self.wire {
            Wire::Opening(_) => true,
            Wire::Plain(stream) => write(stream, &mut self.waiting) && read(stream, bytes),
            Wire::Tls(stream, tls) => secure(stream, tls, &mut self.waiting, bytes).is_ok(),
        }
    }
}

fn write(stream: &mut TcpStream, waiting: &mut Vec<u8>) -> bool {
    while !waiting.is_empty() {
        match stream.write(waiting) {
            Ok(n) => drop(waiting.drain(..n)),
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
    true
}

fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16_384];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn secure(
    stream: &mut TcpStream,
    tls: &mut rustls::Connection,
    waiting: &mut Vec<u8>,
    bytes: &mut Vec<u8>,
) -> std::io::Result<()> {
    let patient = |e: std::io::Error| if e.kind() == ErrorKind::WouldBlock { Ok(0) } else { Err(e) };
    if !waiting.is_empty() {
        tls.writer().write_all(waiting)?;
        waiting.clear();
    }
    let mut over = false;
    loop {
        match tls.read_tls(stream) {
            Ok(0) => {
                over = true;
                break;
            }
            Ok(_) => {
                tls.process_new_packets().map_err(std::io::Error::other)?;
                decrypted(tls, bytes);
            }
            Err(e) => {
                patient(e)?;
                break;
            }
        }
    }
    while tls.wants_write() {
        if tls.write_tls(stream).or_else(patient)? == 0 {
            break;
        }
    }
    if over { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// Takes out what has been decrypted.
fn decrypted(tls: &mut rustls::Connection, bytes: &mut Vec<u8>) {
    let mut plain = [0; 16_384];
    while let Ok(n) = tls.reader().read(&mut plain) {
        if n == 0 {
            return;
        }
        bytes.extend_from_slice(&plain[..n]);
    }
}

/// Takes every certificate; signatures are checked all the same.
#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
