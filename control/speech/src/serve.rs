//! A farm: the program listens, and each connection is a worker of its own, as many at a time as were allowed. Who
//! connects by TCP shows a certificate (mutual TLS); a Unix socket is guarded by its folder.
//!
//! The first frame of a connection is [`READY`], from here: who is one too many, or whose certificate is not believed,
//! never reads it.

use crate::espeak::Espeak;
use crate::flite::Flite;
use crate::frame;
use crate::work::Worker;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A connection that is silent for so long is closed; who wants more connects again.
pub const IDLE: Duration = Duration::from_secs(600);
/// A handshake is done within this, and what is written is read.
const PATIENCE: Duration = Duration::from_secs(5);
/// Says that a worker listens.
pub const READY: &[u8] = b"carillon-speech 1";

/// Where a farm listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// `tls:host:port`.
    Tls(String),
    /// `unix:path`.
    Unix(PathBuf),
}

impl std::str::FromStr for Door {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("tls", address)) if address.contains(':') => Ok(Self::Tls(address.to_owned())),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => Err("tls:host:port or unix:path is wanted"),
        }
    }
}

/// Certificates of a farm, PEM files.
#[derive(Clone, Debug)]
pub struct Papers {
    /// Its own, with what signed it.
    pub certificate: PathBuf,
    /// The key to it.
    pub key: PathBuf,
    /// Who signs the certificates of those who may connect.
    pub authorities: PathBuf,
}

/// What workers work with.
#[derive(Clone, Debug)]
pub struct Farm {
    /// Each worker has a folder in it.
    pub folder: PathBuf,
    /// The recogniser's model.
    pub model: PathBuf,
    /// Load it at once.
    pub recognise: bool,
    /// Workers at a time.
    pub workers: usize,
}

/// A worker's place, given back when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Farm {
    /// Serves until the process ends.
    ///
    /// # Errors
    /// The door cannot be opened, or a certificate cannot be read.
    pub fn serve(self, door: &Door, papers: Option<&Papers>) -> io::Result<()> {
        let taken = Arc::new(AtomicUsize::new(0));
        let farm = Arc::new(self);
        match door {
            Door::Tls(address) => {
                let papers = papers.ok_or_else(|| invalid("tls: needs certificate, key and authorities"))?;
                let config = Arc::new(config(papers)?);
                let listener = TcpListener::bind(address)?;
                println!("ready on tls:{}", listener.local_addr()?);
                for (n, stream) in (0..).zip(listener.incoming()) {
                    let Some((stream, place)) = accepted(stream, &taken, farm.workers) else { continue };
                    let (farm, config) = (Arc::clone(&farm), Arc::clone(&config));
                    std::thread::spawn(move || {
                        let _place = place;
                        report(shaken(stream, config).and_then(|mut stream| farm.work(n, &mut stream)));
                    });
                }
            }
            Door::Unix(path) => {
                let listener = unix(path)?;
                println!("ready on unix:{}", path.display());
                for (n, stream) in (0..).zip(listener.incoming()) {
                    let Some((mut stream, place)) = accepted(stream, &taken, farm.workers) else { continue };
                    let farm = Arc::clone(&farm);
                    std::thread::spawn(move || {
                        let _place = place;
                        let timed = stream.set_read_timeout(Some(IDLE));
                        report(timed.and_then(|()| farm.work(n, &mut stream)));
                    });
                }
            }
        }
        Ok(())
    }

    /// One connection, to its end.
    fn work<S: Read + Write>(&self, n: u64, stream: &mut S) -> io::Result<()> {
        let folder = self.folder.join(format!("worker-{n}"));
        std::fs::create_dir_all(&folder)?;
        let (flite, espeak) = (Flite::new(&folder), Espeak::new(&folder));
        let model = self.model.clone();
        let mut worker = Worker { flite, espeak, folder: folder.clone(), model, recogniser: None };
        if self.recognise {
            worker.load().map_err(io::Error::other)?;
        }
        frame::write(stream, READY)?;
        let worked = worker.converse(stream);
        drop(std::fs::remove_dir_all(&folder));
        worked
    }
}

/// A connection with a place for it; one too many is closed.
fn accepted<S>(stream: io::Result<S>, taken: &Arc<AtomicUsize>, most: usize) -> Option<(S, Place)> {
    let Ok(stream) = stream else {
        // Out of descriptors: the listener outlives it.
        std::thread::sleep(Duration::from_millis(100));
        return None;
    };
    if taken.fetch_add(1, Ordering::AcqRel) >= most {
        taken.fetch_sub(1, Ordering::AcqRel);
        eprintln!("carillon-speech: all {most} workers are taken");
        return None;
    }
    Some((stream, Place(Arc::clone(taken))))
}

fn report(ended: io::Result<()>) {
    if let Err(error) = ended {
        eprintln!("carillon-speech: {error}");
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// One that a process left behind is in the way; one that somebody answers at is not ours to take.
fn unix(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        drop(std::fs::remove_file(path));
    }
    UnixListener::bind(path)
}

fn shaken(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    stream.sock.set_read_timeout(Some(IDLE))?;
    Ok(stream)
}

fn config(papers: &Papers) -> io::Result<ServerConfig> {
    let read = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| invalid(&format!("{}: {error}", path.display())))
    };
    let mut roots = RootCertStore::empty();
    for authority in read(&papers.authorities)? {
        roots.add(authority).map_err(|error| invalid(&error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| invalid(&error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&papers.key)
        .map_err(|error| invalid(&format!("{}: {error}", papers.key.display())))?;
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(&error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(read(&papers.certificate)?, key)
        .map_err(|error| invalid(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_named_by_their_kind() {
        let read = |text: &str| text.parse::<Door>().ok();
        assert_eq!(read("tls:0.0.0.0:7001"), Some(Door::Tls("0.0.0.0:7001".into())));
        assert_eq!(read("unix:/run/x.sock"), Some(Door::Unix("/run/x.sock".into())));
        for nonsense in ["tcp:1:2", "tls:host", "unix:", "", "7001"] {
            assert_eq!(read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn one_too_many_finds_no_place_until_another_goes() {
        let taken = Arc::new(AtomicUsize::new(0));
        let one = accepted(Ok(()), &taken, 1).expect("room");
        assert!(accepted(Ok(()), &taken, 1).is_none());
        drop(one);
        assert!(accepted(Ok(()), &taken, 1).is_some());
        assert_eq!(taken.load(Ordering::Acquire), 0);
    }
}
