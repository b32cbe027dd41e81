//! Who is at the other end of a connection: the address, and, under mutual TLS, the certificate.

use axum::extract::connect_info::Connected;
use axum::http::HeaderMap;
use axum::serve::{IncomingStream, Listener};
use control::config::Network;
use sha2::{Digest, Sha256};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// SHA-256 of the certificate it showed, if one was asked for and shown; its issuer was checked.
    pub certificate: Option<[u8; 32]>,
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self { addr: *stream.remote_addr(), certificate: None }
    }
}

impl Connected<IncomingStream<'_, Tls>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Tls>) -> Self {
        let shown = stream.io().get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let certificate = shown.map(|c| Sha256::digest(c.as_ref()).into());
        Self { addr: *stream.remote_addr(), certificate }
    }
}

/// The address a request comes from: the peer's, or what a believed proxy says of it.
pub(super) fn address(peer: Option<Peer>, headers: &HeaderMap, proxies: &[Network]) -> Option<IpAddr> {
    let ip = peer?.addr.ip();
    if !proxies.iter().any(|n| n.holds(ip)) {
        return Some(ip);
    }
    // The last entry is the proxy's own; those before it are whatever the client wrote.
    let said = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    said.rsplit(',').next()?.trim().parse().ok()
}

/// A handshake takes no longer.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at a time, and connections that wait to be served.
const HANDSHAKES_MAX: usize = 256;

/// A listener that speaks TLS. Handshakes run beside each other: a slow peer keeps nobody waiting.
pub struct Tls {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    local: SocketAddr,
}

impl Tls {
    /// Takes connections of a listener from now on.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn over(listener: TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        let local = listener.local_addr()?;
        let (served, ready) = mpsc::channel(HANDSHAKES_MAX);
        let places = std::sync::Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
        tokio::spawn(async move {
            while !served.is_closed() {
                let (stream, peer) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "accept failed");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                };
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (acceptor, served) = (acceptor.clone(), served.clone());
                tokio::spawn(async move {
                    let shaken = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        // A door that closed meanwhile serves nobody.
                        drop(served.send((stream, peer)).await);
                    }
                    drop(place);
                });
            }
        });
        Ok(Self { ready, local })
    }
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_believed_proxy_is_believed() {
        let peer = |a: &str| Some(Peer { addr: a.parse().unwrap(), certificate: None });
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "10.0.0.9, 203.0.113.7".parse().unwrap());
        let proxies = ["127.0.0.1".parse().unwrap()];
        let of = |p, list: &[Network]| address(p, &headers, list).map(|ip| ip.to_string());
        assert_eq!(of(peer("192.0.2.1:9"), &proxies).as_deref(), Some("192.0.2.1"));
        assert_eq!(of(peer("127.0.0.1:9"), &proxies).as_deref(), Some("203.0.113.7"));
        assert_eq!(of(peer("127.0.0.1:9"), &[]).as_deref(), Some("127.0.0.1"));
        assert_eq!(of(None, &proxies), None);
    }
}
