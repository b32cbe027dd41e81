//! SIP as the configuration has it: endpoints, sockets, certificates.

use crate::serve::{ServeError, io};
use crate::shard::{self, Listener};
use control::config::Config;
use signalling::leg::Transport;
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, ServerAuth};
use std::net::{IpAddr, SocketAddr};
use units::Private;

/// The endpoint of a shard. Whom it listens to it learns from the shard's settings.
pub(crate) fn endpoint(config: &Config, shard: u16, ip: IpAddr, secret: [u8; 32]) -> Endpoint {
    let of = |transport| {
        let listen = config.sip.listen.iter().find(|l| l.transport == transport)?;
        Some(SocketAddr::new(ip, listen.addr.port()))
    };
    let advertised = Advertised { udp: of(Transport::Udp), tcp: of(Transport::Tcp), tls: of(Transport::Tls) };
    let mut own = EndpointConfig::new(shard, advertised, secret);
    own.limits = control::limits::endpoint(config);
    own.answer_unknown = config.sip.answer_unknown;
    let users = config.sip.users.iter().map(|(name, key)| (Private::new(name.clone()), key.clone()));
    let (realm, users) = (config.sip.realm.clone(), users.collect::<Vec<_>>());
    own.auth = (!users.is_empty()).then_some(ServerAuth { realm, users });
    Endpoint::new(own, crate::clock::seed())
}

/// The sockets to listen on.
pub(crate) fn bind(config: &Config) -> Result<Vec<(Transport, Listener)>, ServeError> {
    let mut sockets = Vec::new();
    for listen in &config.sip.listen {
        let what = format!("sip.listen {:?} {}", listen.transport, listen.addr);
        let listener = match listen.transport {
            Transport::Udp => {
                let socket = std::net::UdpSocket::bind(listen.addr).map_err(io(&*what))?;
                socket.set_nonblocking(true).map_err(io(&*what))?;
                Listener::Udp(socket)
            }
            Transport::Tcp | Transport::Tls => {
                let listener = std::net::TcpListener::bind(listen.addr).map_err(io(&*what))?;
                listener.set_nonblocking(true).map_err(io(&*what))?;
                Listener::Tcp(listener)
            }
        };
        sockets.push((listen.transport, listener));
    }
    Ok(sockets)
}

/// TLS, if anybody is spoken to by it.
pub(crate) fn tls(config: &Config) -> Result<Option<shard::Tls>, ServeError> {
    let speaks = config.sip.listen.iter().any(|l| l.transport == Transport::Tls)
        || config
            .trunks
            .iter()
            .any(|t| t.transport == Some(Transport::Tls) || (t.transport.is_none() && t.figures().is_none()));
    if !speaks {
        return Ok(None);
    }
    crate::tls::both(&config.sip).map(Some).map_err(|why| ServeError::Setting("sip.tls_certificate", why))
}
