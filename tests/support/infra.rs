//! PostgreSQL and NATS from Debian's packages, started by the test on free ports in its folder, ended with the value.

use super::peers::{Peer, free_port, until};
use super::repo::tool;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A PostgreSQL server with one empty database.
pub struct Postgres {
    peer: Option<Peer>,
    bin: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Postgres {
    /// `None` with a word why, if this machine has none.
    pub fn start(dir: &Path) -> Option<Self> {
        let bin = newest_bin()?;
        let dir = dir.join("postgres");
        std::fs::create_dir_all(&dir).expect("the test's folder");
        let mut server = Self { peer: None, bin, dir, port: free_port() };
        // PostgreSQL refuses to run as root; Debian's package made a user for it, who must get at the folder.
        for folder in server.dir.ancestors().take_while(|f| f.starts_with(std::env::temp_dir())) {
            open_to_all(folder);
        }
        let data = server.data();
        let made = server
            .command("initdb")
            .args(["-D", &data, "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(made.expect("initdb starts").success(), "initdb");
        server.resume();
        Some(server)
    }

    fn data(&self) -> String {
        self.dir.join("data").display().to_string()
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        // SAFETY: asks the kernel who we are, and nothing else.
        let root = unsafe { libc::geteuid() } == 0;
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }

    /// Starts it, or starts it again.
    pub fn resume(&mut self) {
        let (data, sockets, port) = (self.data(), self.dir.display().to_string(), self.port.to_string());
        let mut command = self.command("postgres");
        command.args(["-D", &data, "-k", &sockets, "-p", &port]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=60"]);
        self.peer = Some(Peer::start(&self.dir, "postgres", &mut command));
        let up = until(Duration::from_secs(30), || {
            let ready = self.bin.join("pg_isready");
            let asked =
                Command::new(ready).args(["-h", "127.0.0.1", "-p", &port]).stdout(Stdio::null()).status();
            asked.is_ok_and(|s| s.success())
        });
        assert!(
            up,
            "PostgreSQL does not come up:\n{}",
            self.peer.as_ref().map_or_else(String::new, Peer::output)
        );
    }

    /// As if its machine lost power, as far as its clients can tell.
    pub fn crash(&mut self) {
        let data = self.data();
        let stopped = self
            .command("pg_ctl")
            .args(["-D", &data, "-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(stopped.is_ok_and(|s| s.success()), "pg_ctl stops it");
        self.peer = None;
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The first column of the first row of a query.
    pub fn query(&self, sql: &str) -> String {
        let out = Command::new(self.bin.join("psql"))
            .args(["-d", &self.url(), "-Atqc", sql])
            .output()
            .expect("psql starts");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.peer.is_some() {
            self.crash();
        }
    }
}

fn newest_bin() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut bins: Vec<(u32, PathBuf)> = versions
        .filter_map(|v| Some((v.file_name().to_str()?.parse().ok()?, v.path().join("bin"))))
        .filter(|(version, bin): &(u32, PathBuf)| *version >= 15 && bin.join("postgres").is_file())
        .collect();
    bins.sort();
    let newest = bins.pop().map(|(_, bin)| bin);
    if newest.is_none() {
        println!("SKIPPED: PostgreSQL 15 or newer is not installed");
    }
    newest
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // A folder that is not ours is open already, or initdb says so.
    let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777));
}

/// A NATS server.
pub struct Nats {
    peer: Option<Peer>,
    program: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Nats {
    /// `None` with a word why, if this machine has none.
    pub fn start(dir: &Path) -> Option<Self> {
        let program = tool("nats-server")?;
        let mut server = Self { peer: None, program, dir: dir.to_owned(), port: free_port() };
        server.resume();
        Some(server)
    }

    /// Starts it, or starts it again.
    pub fn resume(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string()]);
        let peer = Peer::start(&self.dir, "nats", &mut command);
        peer.says("Server is ready", Duration::from_secs(20));
        self.peer = Some(peer);
    }

    /// Gone, at once.
    pub fn crash(&mut self) {
        if let Some(peer) = self.peer.take() {
            peer.kill();
        }
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}
