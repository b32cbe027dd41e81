//! The same rules on PostgreSQL: a private server from Debian's package in a temporary folder, on a Unix socket.

use super::ALL;
use super::fixture::{Bed, START, order};
use super::model::Model;
use crate::store::Postgres;
use control::order::State;
use control::store::{Answer, Ask, Error, Room, Store};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use units::{Mono, Now, ServerId, TenantId, Wall};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// A server that ends with the value.
pub(super) struct Server {
    child: Child,
    args: Vec<String>,
    folder: tempfile::TempDir,
    databases: u32,
}

impl Server {
    /// `None` with a word why, if this machine has none.
    pub(super) fn start(durable: bool) -> Option<Self> {
        if !Path::new(BIN).join("postgres").exists() {
            println!("SKIPPED: PostgreSQL 15 is not installed ({BIN})");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        // PostgreSQL refuses to run as root; Debian's package made a user for it.
        assert!(run("chmod", &["777", &text(folder.path())]), "the folder is ours");
        let data = folder.path().join("data");
        let made =
            as_postgres("initdb", &["-D", &text(&data), "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8"])
                .stdout(Stdio::null())
                .status();
        assert!(made.expect("initdb starts").success());
        let fsync = if durable { "fsync=on" } else { "fsync=off" };
        let args = ["-D", &text(&data), "-k", &text(folder.path()), "-c", "listen_addresses=", "-c", fsync];
        let args = args.map(str::to_owned).to_vec();
        let child = boot(&args);
        let server = Self { child, args, folder, databases: 0 };
        server.wait();
        Some(server)
    }

    /// As if its machine lost power.
    fn stop(&mut self) {
        let data: PathBuf = self.folder.path().join("data");
        let stop = as_postgres("pg_ctl", &["-D", &text(&data), "-m", "immediate", "stop"])
            .stdout(Stdio::null())
            .status();
        if !stop.is_ok_and(|s| s.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    fn start_again(&mut self) {
        self.child = boot(&self.args);
        self.wait();
    }

    fn wait(&self) {
        for _ in 0..600 {
            let ready = Command::new(format!("{BIN}/pg_isready"))
                .args(["-h", &text(self.folder.path())])
                .stdout(Stdio::null())
                .status();
            if ready.is_ok_and(|s| s.success()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("PostgreSQL does not come up");
    }

    /// A new empty database with the layout, by its connection string.
    pub(super) fn database(&mut self) -> String {
        self.databases += 1;
        if self.databases == 1 {
            let steps = Postgres::migrate(&self.create("blank", "template1"));
            assert!(steps.expect("an empty database takes the layout") > 0);
        }
        self.create(&format!("t{}", self.databases), "blank")
    }

    fn create(&self, name: &str, template: &str) -> String {
        let host = text(self.folder.path());
        let args = ["-h", &host, "-U", "postgres", "-T", template, name];
        assert!(run(&format!("{BIN}/createdb"), &args), "{name} is new");
        format!("host={host} user=postgres dbname={name}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn boot(args: &[String]) -> Child {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let child = as_postgres("postgres", &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.expect("postgres starts")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).status().is_ok_and(|s| s.success())
}

fn as_postgres(program: &str, args: &[&str]) -> Command {
    let program = format!("{BIN}/{program}");
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    let mut command = if root {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", &program]);
        command
    } else {
        Command::new(program)
    };
    command.args(args).current_dir("/");
    command
}

#[test]
fn postgres_keeps_the_same_rules() {
    let Some(mut server) = Server::start(false) else { return };
    let url = server.database();
    for (name, rule) in ALL {
        println!("{name}");
        rule(&mut Bed::new(Postgres::open(&url).expect("it opens")));
        empty(&url);
    }
    for seed in 0..2 {
        Model::new(Postgres::open(&url).expect("it opens"), seed).run(300);
        empty(&url);
    }
    two_writers_claim_nothing_twice(&url);
    empty(&url);
    an_absent_database_accepts_nothing(&mut server, &url);
    assert!(psql(&url, "INSERT INTO layout VALUES (999)"));
    assert!(Postgres::open(&url).is_err(), "a newer program wrote it");
}

fn psql(url: &str, sql: &str) -> bool {
    run(&format!("{BIN}/psql"), &["-d", url, "-qc", sql])
}

fn empty(url: &str) {
    let all = "TRUNCATE orders, intake, ready, live, caps, records, story, notices, servers, shards, shelf, waiting RESTART IDENTITY";
    assert!(psql(url, all));
}

/// Goal: while PostgreSQL is away nothing is accepted, and when it is back (after a crash) everything answered is there.
fn an_absent_database_accepts_nothing(server: &mut Server, url: &str) {
    let mut bed = Bed::new(Postgres::open(url).expect("it opens"));
    let stored = bed.accept(order(1));
    server.stop();
    for _ in 0..3 {
        let answer = bed.ask(Ask::Accept {
            orders: vec![(order(2), [0; 32])],
            due: vec![Wall(START)],
            room: Room::UNBOUNDED,
        });
        assert_eq!(answer.err(), Some(Error::Unavailable));
        bed.pass(400);
    }
    server.start_again();
    bed.pass(1_000);
    assert_eq!(bed.state(stored).0, State::Scheduled);
    bed.accept(order(2));
}

/// Goal: with two nodes claiming from one line at once, no order is claimed twice and none is left.
fn two_writers_claim_nothing_twice(url: &str) {
    const ORDERS: u32 = 400;
    let mut bed = Bed::new(Postgres::open(url).expect("it opens"));
    (0..ORDERS).for_each(|n| {
        bed.accept(order(n));
    });
    let claim = |owner: u32, url: String| {
        let mut store = Postgres::open(&url).expect("it opens");
        let now = Now { mono: Mono(0), wall: Wall(START) };
        let mut claimed = Vec::new();
        loop {
            let (tenant, due, owner) = (TenantId(1), now.wall, ServerId(owner));
            let ask = Ask::Claim { priority: 5, tenant, due, max: 7, lease_ms: 60_000, owner };
            match store.run(now, vec![ask]).pop() {
                Some(Ok(Answer::Claimed(batch, None))) if batch.is_empty() => return claimed,
                Some(Ok(Answer::Claimed(batch, _))) => claimed.extend(batch.into_iter().map(|c| c.order.id)),
                other => panic!("{other:?}"),
            }
        }
    };
    let other = url.to_owned();
    let thread = std::thread::spawn(move || claim(2, other));
    let mut all = claim(1, url.to_owned());
    all.extend(thread.join().expect("no panic"));
    let apart: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), apart.len()), (400, 400));
}
