//! Workers that speak and hear (`carillon-speech`): processes of our own, or connections to a farm of other machines by
//! mutual TLS. Both speak the same frames; either way one worker does one thing at a time.

use control::config::Speech;
use speech::frame::FRAME_OCTETS_MAX;
use speech::serve::Door;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

/// Octets to a worker.
pub(crate) type Input = Box<dyn AsyncWrite + Send + Sync + Unpin>;
/// Octets of a worker.
pub(crate) type Output = Box<dyn AsyncRead + Send + Sync + Unpin>;

/// A worker that was reached.
pub(crate) struct Link {
    input: Input,
    /// `None` while somebody waits for an answer.
    pub(crate) output: Option<Output>,
    child: Option<Child>,
    used: Instant,
}

/// Where workers are.
pub(crate) enum Source {
    /// Started here.
    Own {
        /// `carillon-speech`.
        program: PathBuf,
        /// Each gets a folder in this one.
        folder: PathBuf,
    },
    /// Connected to.
    Farm {
        /// `tls:host:port` or `unix:path`, tried in turn.
        places: Vec<String>,
        /// With our certificate.
        tls: TlsConnector,
    },
}

/// A connection and its handshake are done within this.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A farm closes what is silent for [`speech::serve::IDLE`]: a connection that is nearly so old is not used again.
const IDLE_MAX: Duration = Duration::from_secs(speech::serve::IDLE.as_secs() / 2);

/// Workers of one kind.
pub(crate) struct Workers {
    source: Source,
    /// What folders of own workers begin with.
    name: &'static str,
    /// Further words of the command line.
    arguments: Vec<String>,
    next: AtomicUsize,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workers({})", self.name)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link(own: {}, waiting: {})", self.child.is_some(), self.output.is_none())
    }
}

impl Source {
    /// As the configuration says.
    ///
    /// # Errors
    /// A certificate that cannot be read, in words.
    pub(crate) fn of(config: &Speech, folder: &Path) -> Result<Self, String> {
        if config.farm.is_empty() {
            return Ok(Self::Own { program: program(&config.program), folder: folder.to_owned() });
        }
        let own = config.farm_certificate.as_deref().zip(config.farm_key.as_deref());
        let tls = crate::tls::client(config.farm_authorities.as_deref(), own)?;
        Ok(Self::Farm { places: config.farm.clone(), tls })
    }
}

impl Workers {
    pub(crate) fn new(source: Source, name: &'static str, arguments: Vec<String>) -> Self {
        Self { source, name, arguments, next: AtomicUsize::new(0) }
    }

    /// Starts or reaches one; `None`: none starts, or no machine of the farm answers.
    pub(crate) async fn begin(&self) -> Option<Link> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        match &self.source {
            Source::Own { program, folder } => {
                let folder = folder.join(format!("{}-{n}", self.name));
                tokio::fs::create_dir_all(&folder).await.ok()?;
                let mut child = Command::new(program)
                    .arg("--folder")
                    .arg(&folder)
                    .args(&self.arguments)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()
                    .inspect_err(|error| tracing::error!(program = %program.display(), %error, "speech"))
                    .ok()?;
                let (input, output) = (child.stdin.take()?, child.stdout.take()?);
                Some(Link::new(Box::new(input), Box::new(output), Some(child)))
            }
            Source::Farm { places, tls } => {
                for place in (0..places.len()).filter_map(|more| places.get((n + more) % places.len())) {
                    match tokio::time::timeout(CONNECT_MAX, connect(place, tls)).await {
                        Ok(Ok(link)) => return Some(link),
                        Ok(Err(error)) => tracing::warn!(place, %error, "a machine of the speech farm"),
                        Err(_) => tracing::warn!(place, "a machine of the speech farm does not answer"),
                    }
                }
                None
            }
        }
    }
}

async fn connect(place: &str, tls: &TlsConnector) -> std::io::Result<Link> {
    let door = place.parse::<Door>().map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let (mut output, input): (Output, Input) = match door {
        Door::Unix(path) => {
            let (output, input) = tokio::io::split(UnixStream::connect(path).await?);
            (Box::new(output), Box::new(input))
        }
        Door::Tls(address) => {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let (output, input) = tokio::io::split(tls.connect(crate::tls::name(&address)?, stream).await?);
            (Box::new(output), Box::new(input))
        }
    };
    // A farm that is full, or does not believe our certificate, says nothing: its first octets are the proof.
    if frame(&mut output).await.as_deref() != Some(speech::serve::READY) {
        return Err(std::io::ErrorKind::ConnectionRefused.into());
    }
    Ok(Link::new(input, output, None))
}

impl Link {
    fn new(input: Input, output: Output, child: Option<Child>) -> Self {
        Self { input, output: Some(output), child, used: Instant::now() }
    }

    /// Sends one frame.
    pub(crate) async fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(octets.len()).map_err(|_| std::io::ErrorKind::InvalidInput)?;
        self.input.write_u32(length).await?;
        self.input.write_all(octets).await?;
        self.used = Instant::now();
        self.input.flush().await
    }

    /// Reads one frame; `None`: the worker is broken, or somebody else waits for it.
    pub(crate) async fn read(&mut self) -> Option<Vec<u8>> {
        frame(self.output.as_mut()?).await
    }

    /// It may be asked.
    pub(crate) fn sound(&mut self) -> bool {
        let alive = match &mut self.child {
            Some(child) => child.try_wait().is_ok_and(|ended| ended.is_none()),
            None => self.used.elapsed() < IDLE_MAX,
        };
        alive && self.output.is_some()
    }
}

/// One frame of a worker; `None`: the worker is broken.
pub(crate) async fn frame(output: &mut Output) -> Option<Vec<u8>> {
    let length = usize::try_from(output.read_u32().await.ok()?).ok()?;
    if length > FRAME_OCTETS_MAX {
        return None;
    }
    let mut octets = vec![0; length];
    output.read_exact(&mut octets).await.ok()?;
    Some(octets)
}

/// Beside our own program, where a package puts both.
fn program(configured: &str) -> PathBuf {
    if !configured.is_empty() {
        return PathBuf::from(configured);
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("carillon-speech"));
    beside.filter(|p| p.exists()).unwrap_or_else(|| PathBuf::from("carillon-speech"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use speech::frame::{Ask, Speak, Spoken};
    use speech::serve::Farm;

    /// A farm of one worker behind a Unix socket; it lives as long as the test.
    fn farm(folder: &Path, name: &str) -> String {
        let path = folder.join(format!("{name}.sock"));
        let farm = Farm { folder: folder.join(name), model: PathBuf::new(), recognise: false, workers: 1 };
        let door = Door::Unix(path.clone());
        #[expect(clippy::disallowed_methods, reason = "the farm's own thread")]
        std::thread::spawn(move || farm.serve(&door, None));
        format!("unix:{}", path.display())
    }

    #[tokio::test]
    async fn a_full_machine_of_a_farm_is_followed_by_the_next_and_a_worker_answers() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (farm(folder.path(), "one"), farm(folder.path(), "two"));
        let tls = crate::tls::client(None, None).expect("nothing to read");
        let nobody = format!("unix:{}", folder.path().join("nobody.sock").display());
        let source = Source::Farm { places: vec![nobody, one, two], tls };
        let workers = Workers::new(source, "ear", Vec::new());
        for _ in 0..100 {
            if ["one.sock", "two.sock"].iter().all(|s| folder.path().join(s).exists()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let first = workers.begin().await.expect("one");
        let mut second = workers.begin().await.expect("two, for one is full");
        assert!(workers.begin().await.is_none(), "both are full");
        // Nothing to speak needs no voice.
        let ask = serde_json::to_vec(&Ask::Speak(Speak::default())).expect("plain");
        second.write(&ask).await.expect("it reads");
        let spoken: Spoken = serde_json::from_slice(&second.read().await.expect("an answer")).expect("ours");
        assert_eq!(spoken, Spoken::Sound { hz: 8_000 });
        drop(first);
        let mut again = None;
        for _ in 0..100 {
            again = workers.begin().await;
            if again.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(again.is_some_and(|mut link| link.sound()), "a place was given back");
    }
}
