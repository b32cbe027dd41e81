//! Real programs as peers: started by the test on loopback ports it picks, their output kept, ended by their own id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running program; ended when dropped.
pub struct Peer {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Peer {
    /// Starts a program with its output in `dir/name.log`.
    pub fn start(dir: &Path, name: &str, command: &mut Command) -> Peer {
        let log = dir.join(format!("{name}.log"));
        let sink = File::create(&log).expect("a log in the test's folder");
        let child = command
            .stdin(Stdio::null())
            .stdout(sink.try_clone().expect("a second handle"))
            .stderr(sink)
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        Peer { child, log, name: name.to_owned() }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for its end.
    pub fn wait(&mut self, at_most: Duration) -> ExitStatus {
        let mut status = None;
        let ended = until(at_most, || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        assert!(ended, "{} did not end in {at_most:?}:\n{}", self.name, self.output());
        status.expect("it ended")
    }

    /// Waits until its output holds a word.
    pub fn says(&self, word: &str, at_most: Duration) {
        let found = until(at_most, || self.output().contains(word));
        assert!(found, "{} did not say `{word}` in {at_most:?}:\n{}", self.name, self.output());
    }

    /// Asks it to end (SIGTERM or SIGINT) and waits.
    pub fn signal(&mut self, signal: i32) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: the child is ours and has not been waited for.
        unsafe { libc::kill(pid, signal) };
        self.wait(Duration::from_secs(20))
    }
}

impl Peer {
    /// Sends it a signal and does not wait.
    pub fn tell(&self, signal: i32) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: the child is ours and has not been waited for.
        unsafe { libc::kill(pid, signal) };
    }

    /// `kill -9`, and gone.
    pub fn kill(mut self) {
        // A process that was stopped dies of it too; one that ended by itself is as dead.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks every 20 ms whether something has come true; bounded waiting on another process, not synchronisation.
pub fn until(at_most: Duration, mut what: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + at_most;
    loop {
        if what() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A free port on loopback for UDP or TCP, even, with the next one free too (RTP and RTCP, TLS); nobody else's for as
/// long as this test runs.
pub fn free_port() -> u16 {
    bench::ports::pair().expect("loopback has ports")
}

/// So many free ports in a row on loopback: the first.
pub fn free_ports(n: u16) -> u16 {
    bench::ports::range(n).expect("loopback has ports")
}

/// A program of this workspace, built beside the running test.
pub fn ours(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let dir = test.parent().and_then(Path::parent).expect("target/profile/deps/test");
    let path = dir.join(name);
    assert!(path.is_file(), "{} is not built: cargo build --workspace --profile ci", path.display());
    path
}

/// A capture of loopback by tshark.
pub struct Capture {
    peer: Peer,
    file: PathBuf,
}

impl Capture {
    /// Starts capturing what this filter (libpcap's) lets through; returns once it does.
    pub fn start(dir: &Path, filter: &str) -> Option<Capture> {
        let tshark = super::repo::tool("tshark")?;
        let file = dir.join("capture.pcap");
        let mut command = Command::new(tshark);
        command.args(["-i", "lo", "-F", "pcap", "-f", filter, "-w"]).arg(&file);
        let peer = Peer::start(dir, "tshark", &mut command);
        peer.says("Capturing on", Duration::from_secs(20));
        // The file's header is written when the capture is really open.
        let open = until(Duration::from_secs(10), || file.metadata().is_ok_and(|m| m.len() >= 24));
        assert!(open, "tshark opened no file:\n{}", peer.output());
        Some(Capture { peer, file })
    }

    /// Stops and reads the RTP streams in it: `tshark -z rtp,streams`, with these ports taken as RTP.
    pub fn rtp_streams(mut self, ports: &[u16]) -> Vec<RtpStream> {
        self.peer.signal(libc::SIGINT);
        let mut command = Command::new(super::repo::tool("tshark").expect("it was there at the start"));
        command.arg("-r").arg(&self.file).args(["-q", "-z", "rtp,streams"]);
        for port in ports {
            command.args(["-d", &format!("udp.port=={port},rtp")]);
        }
        let out = command.output().expect("tshark runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        println!("{text}");
        text.lines().filter_map(RtpStream::read).collect()
    }
}

/// A line of `tshark -z rtp,streams`.
#[derive(Clone, Debug, PartialEq)]
pub struct RtpStream {
    pub from_port: u16,
    pub to_port: u16,
    pub packets: u32,
    pub lost: i32,
    pub mean_jitter_ms: f64,
    pub max_delta_ms: f64,
}

impl RtpStream {
    fn read(line: &str) -> Option<Self> {
        let w: Vec<&str> = line.split_whitespace().collect();
        let ssrc = w.iter().position(|x| x.starts_with("0x"))?;
        // Start, end, source, port, destination, port, SSRC, payload, packets, lost (share), min/mean/max delta,
        // min/mean/max jitter.
        let ports = (w.get(ssrc.checked_sub(3)?)?, w.get(ssrc - 1)?);
        let open = w.iter().position(|x| x.starts_with('(') && x.contains('%'))?;
        let number = |i: usize| w.get(i).and_then(|x| x.parse::<f64>().ok());
        Some(Self {
            from_port: ports.0.parse().ok()?,
            to_port: ports.1.parse().ok()?,
            packets: w.get(open - 2)?.parse().ok()?,
            lost: w.get(open - 1)?.parse().ok()?,
            max_delta_ms: number(open + 3)?,
            mean_jitter_ms: number(open + 5)?,
        })
    }
}
