//! The door for mail: listens, speaks SMTP or LMTP through `control::order::smtp`, and hands whole mails to
//! [`deliver`]. `250` is said only after the durable commit.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the door")]

mod deliver;
mod prove;

pub use deliver::deliver;
pub use prove::{Came, Dkim, Pins, Proof, Prover};

use crate::intake::Intake;
use control::order::smtp::{Output, Role, Session};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use units::TenantId;

/// What the door must be given.
#[derive(Clone)]
pub struct Door {
    /// Where orders go.
    pub intake: Arc<Intake>,
    /// SMTP or LMTP.
    pub role: Role,
    /// Who judges the signatures of mails; none: only AUTH and what a mail itself proves.
    pub prover: Option<Arc<Prover>>,
    /// Certificate for STARTTLS, if there is one.
    pub tls: Option<TlsAcceptor>,
    /// Sessions at a time; more are told to come later.
    pub sessions_max: usize,
}

/// RFC 5321 §4.5.3.2.7: a server waits at least five minutes for a command.
const IDLE: Duration = Duration::from_secs(300);

/// Serves until told to stop; sessions that are in a mail then have `grace` to end.
///
/// # Errors
/// The listener's, if it breaks for good. Running out of descriptors is waited out.
pub async fn serve(listener: TcpListener, door: Door, mut stop: watch::Receiver<bool>) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(door.sessions_max));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return Ok(()),
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(e) => {
                // EMFILE and its kin pass: a listener that ends here would have to be restarted by hand.
                tracing::warn!(error = %e, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tokio::spawn(turn_away(stream));
            continue;
        };
        let door = door.clone();
        let stop = stop.clone();
        tokio::spawn(async move {
            metrics::counter!("carillon_smtp_sessions_total").increment(1);
            if let Err(e) = converse(stream, peer, &door, stop).await {
                tracing::debug!(error = %e, "mail session ended early");
            }
            drop(place);
        });
    }
}

/// Comes when everything is to stop (the guard of the watch is not kept across a wait).
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|s| *s).await;
}

async fn turn_away(mut stream: TcpStream) {
    let _ = stream.write_all(b"421 4.3.2 Too many sessions, come later\r\n").await;
}

/// One connection: in the clear first, then, if the peer asks, under TLS.
async fn converse(
    mut stream: TcpStream,
    peer: IpAddr,
    door: &Door,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let settings = door.intake.settings.load_full();
    let mut session = Session::new(door.role, settings.directory.clone(), settings.mail, door.tls.is_some());
    if talk(&mut stream, peer, &mut session, door, stop.clone()).await? {
        let Some(tls) = &door.tls else { return Ok(()) };
        let mut stream = tokio::time::timeout(IDLE, tls.accept(stream)).await??;
        session.encrypted();
        talk(&mut stream, peer, &mut session, door, stop).await?;
        stream.shutdown().await?;
    }
    Ok(())
}

/// Runs the session on a stream; true if TLS is to be started on it.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    peer: IpAddr,
    session: &mut Session,
    door: &Door,
    mut stop: watch::Receiver<bool>,
) -> io::Result<bool> {
    let mut octets = vec![0u8; 16 << 10];
    loop {
        while let Some(output) = session.poll() {
            match output {
                Output::Send(reply) => stream.write_all(&reply).await?,
                Output::StartTls => {
                    stream.flush().await?;
                    return Ok(true);
                }
                Output::Authenticate { user, password } => {
                    session.authenticated(authenticate(door, peer, user.expose(), password.expose()));
                }
                Output::Mail(envelope, text) => {
                    // Behind a mail server the peer is that server, not the sender.
                    let sender = (door.role == Role::Smtp).then_some(peer);
                    let prover = door.prover.as_deref();
                    let replies = deliver(&door.intake, prover, sender, &envelope, &text).await;
                    session.settled(&replies);
                }
                Output::Close => {
                    stream.flush().await?;
                    return Ok(false);
                }
            }
        }
        stream.flush().await?;
        let read = tokio::select! {
            read = tokio::time::timeout(IDLE, stream.read(&mut octets)) => read,
            () = stopped(&mut stop) => {
                stream.write_all(b"421 4.3.2 Going down, come later\r\n").await?;
                return Ok(false);
            }
        };
        match read {
            Err(_) => {
                stream.write_all(b"421 4.4.2 Nothing was said for five minutes\r\n").await?;
                return Ok(false);
            }
            Ok(Ok(0)) => return Ok(false),
            Ok(Ok(n)) => session.receive(&octets[..n]),
            Ok(Err(e)) => return Err(e),
        }
    }
}

/// A tenant's name and any of its keys that may order.
fn authenticate(door: &Door, peer: IpAddr, user: &str, password: &str) -> Option<TenantId> {
    let settings = door.intake.settings.load();
    let (tenant, key) = crate::intake::whose_key(&settings, password, Some(peer))?;
    let tenant_of = &settings.tenants.get(&tenant)?.config;
    let may = tenant_of.keys.get(&key).is_some_and(|k| k.may(control::config::Scope::Order));
    (may && tenant_of.name.eq_ignore_ascii_case(user)).then_some(tenant)
}
