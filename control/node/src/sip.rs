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
                deepen(&socket);
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

/// Octets that wait in the kernel while the shard does something else: some thousand messages. The usual buffer holds a
/// hundred, which at 2,000 calls a second is the time of one turn; what does not fit comes again half a second later.
const BUFFER_OCTETS: libc::c_int = 4 << 20;

/// Makes a socket's buffers so large, or as large as the kernel allows.
fn deepen(socket: &std::net::UdpSocket) {
    use std::os::fd::AsRawFd;
    for (forced, usual) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        let set = |option| {
            // SAFETY: the socket is open, and the value is an int of the size that is told, alive during the call.
            unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    option,
                    std::ptr::from_ref(&BUFFER_OCTETS).cast(),
                    libc::socklen_t::try_from(size_of::<libc::c_int>()).expect("four octets"),
                )
            }
        };
        // Above the system's limit only with CAP_NET_ADMIN; up to it for everybody.
        if set(forced) != 0 {
            set(usual);
        }
    }
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
