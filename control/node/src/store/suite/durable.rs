//! What is said to be stored is stored: kills, a full disk, and the thread that groups commits.

use super::fixture::{Bed, START, order};
use crate::store::{Handle, Limits, Sqlite};
use control::order::State;
use control::store::{Answer, Ask, Error, Room, Store};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use units::{Mono, Now, OrderId, Wall};

const VICTIM: &str = "CARILLON_TEST_VICTIM";
const NOW: Now = Now { mono: Mono(0), wall: Wall(START) };

/// Not a test by itself: the process that is killed. Accepts orders in batches, claims and dials some, and says what
/// was answered only after the answer.
#[test]
fn victim() {
    let Ok(path) = std::env::var(VICTIM) else {
        println!("SKIPPED: kills_lose_no_answered_order starts this one");
        return;
    };
    let mut store = Sqlite::open(path.as_ref()).expect("it opens");
    let mut out = std::io::stdout();
    let first = next_number(&mut store);
    for n in first.. {
        let batch: Vec<u32> = (0..4).map(|i| n * 4 + i).collect();
        let asks = batch.iter().map(|n| Ask::Accept {
            orders: vec![(order(*n), [0; 32])],
            due: vec![NOW.wall],
            room: Room::UNBOUNDED,
        });
        let answers = store.run(NOW, asks.collect());
        for (n, answer) in batch.iter().zip(answers) {
            assert!(answer.is_ok());
            writeln!(out, "+{n}").expect("the parent listens");
        }
        let claim = Ask::Claim {
            priority: 5,
            tenant: units::TenantId(1),
            due: NOW.wall,
            max: 1,
            lease_ms: 60_000,
            owner: units::ServerId(1),
        };
        let Some(Ok(Answer::Claimed(claimed, _))) = store.run(NOW, vec![claim]).pop() else {
            panic!("a claim")
        };
        for c in claimed {
            let (server, trunk) = (units::ServerId(1), "t".to_owned());
            let intent = Ask::Intent { lease: c.lease.clone(), server, trunk, dialog: vec![1] };
            assert!(matches!(store.run(NOW, vec![intent]).pop(), Some(Ok(Answer::Done))));
            writeln!(out, "!{}", c.order.id.0 >> 64).expect("the parent listens");
        }
    }
}

fn next_number(store: &mut Sqlite) -> u32 {
    let list = Ask::List { tenant: None, after: None, state: None, limit: 1 };
    match store.run(NOW, vec![list]).pop() {
        Some(Ok(Answer::List(l))) => {
            l.first().map_or(0, |s| u32::try_from(s.order.id.0 >> 64).unwrap_or(0) / 4 + 1)
        }
        other => panic!("{other:?}"),
    }
}

/// Goal: after kill -9 at any point, every answered acceptance and every answered intent is there, once. Method: a child
/// process is killed after a varying number of its answers, again and again on one file.
#[test]
fn kills_lose_no_answered_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let (mut accepted, mut dialled) = (BTreeSet::new(), BTreeSet::new());
    for kill in 0..8_usize {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--nocapture", "store::suite::durable::victim"])
            .env(VICTIM, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut read = |line: String| match (line.strip_prefix('+'), line.strip_prefix('!')) {
            (Some(n), _) => accepted.insert(n.parse::<u32>().expect("a number")),
            (_, Some(n)) => dialled.insert(n.parse::<u32>().expect("a number")),
            _ => false,
        };
        let mut heard = 0;
        while heard < 15 + kill * 9 {
            heard += usize::from(read(lines.next().expect("it goes on").expect("text")));
        }
        child.kill().expect("kill -9");
        child.wait().expect("it is gone");
        for line in lines.map_while(Result::ok) {
            read(line);
        }
        let mut bed = Bed::new(Sqlite::open(&path).expect("it opens after the kill"));
        for n in &accepted {
            let (state, ..) = bed.state(order(*n).id);
            assert!(
                !dialled.contains(n) || state == State::Calling,
                "order {n} was dialled and is {state:?}"
            );
        }
    }
    assert!(accepted.len() > 100 && dialled.len() > 10);
}

/// Goal: a full disk refuses new work and nothing else: no false acceptance, what was there stays, room heals it.
#[test]
fn a_full_disk_accepts_nothing_and_heals() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Sqlite::open(&folder.path().join("store.db")).expect("it opens");
    let pages = store.pages().expect("it says");
    store.limit_pages(pages + 30).expect("a quota");
    let accept = |n: u32| Ask::Accept {
        orders: vec![(order(n), [0; 32])],
        due: vec![NOW.wall],
        room: Room::UNBOUNDED,
    };
    let mut stored = 0;
    let refused = loop {
        match store.run(NOW, vec![accept(stored)]).pop() {
            Some(Ok(_)) => stored += 1,
            Some(Err(error)) => break error,
            None => panic!("an answer for each"),
        }
        assert!(stored < 10_000, "the quota works");
    };
    assert_eq!(refused, Error::Unavailable);
    let status = |n: u32| Ask::Status { tenant: None, order: order(n).id };
    assert!(matches!(store.run(NOW, vec![status(stored)]).pop(), Some(Ok(Answer::Status(None)))));
    assert!(matches!(store.run(NOW, vec![status(stored - 1)]).pop(), Some(Ok(Answer::Status(Some(_))))));
    store.limit_pages(pages + 3_000).expect("room");
    assert!(matches!(store.run(NOW, vec![accept(stored)]).pop(), Some(Ok(_))));
}

/// Goal: many askers at once are answered each, and share commits.
#[test]
fn the_handle_answers_everybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path).expect("it opens");
    let reader = Sqlite::reader(&path).expect("a second connection");
    let handle = Handle::start(store, Some(reader), Limits::default(), || Box::new(|| NOW)).expect("threads");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let asks = (0..300).map(|n| {
            let handle = handle.clone();
            async move {
                let accept = Ask::Accept {
                    orders: vec![(order(n), [0; 32])],
                    due: vec![NOW.wall],
                    room: Room::UNBOUNDED,
                };
                assert!(handle.ask(accept).await.is_ok());
                let status = Ask::Status { tenant: None, order: order(n).id };
                matches!(handle.ask(status).await, Ok(Answer::Status(Some(_))))
            }
        });
        let seen = futures::future::join_all(asks).await;
        assert_eq!(seen.iter().filter(|s| **s).count(), 300, "who was answered reads what was written");
        let absent = handle.ask(Ask::Status { tenant: None, order: OrderId(1) }).await;
        assert!(matches!(absent, Ok(Answer::Status(None))));
    });
}
