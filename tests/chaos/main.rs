//! Real processes and bad days: two control nodes and four media servers over PostgreSQL and NATS, and a customer who
//! counts what really rang. Goal: nothing accepted is lost, nobody is called twice, what is in doubt is counted.
//! Method: kill -9 at random moments under load; then the same judges while NATS or PostgreSQL is gone, and while a
//! process is stopped.
//!
//! `CARILLON_CHAOS_KILLS` (50) sets the kills; the long form is 1,000. `CARILLON_CHAOS_SEED` repeats a run's choices.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "chaos starts programs, owns sockets and waits for real time"
)]

mod customer;
mod judge;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use units::Seed;
use world::{Cluster, Orderer};

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Orders at a steady pace until told to stop; how many.
fn traffic(
    orderer: Orderer,
    first: u32,
    pace: Duration,
    stop: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<u32> {
    tokio::spawn(async move {
        let next = Arc::new(AtomicU32::new(first));
        let mut open = tokio::task::JoinSet::new();
        while !stop.load(Ordering::Relaxed) {
            let (orderer, n) = (orderer.clone(), next.fetch_add(1, Ordering::Relaxed));
            open.spawn(async move { orderer.order(n).await });
            tokio::time::sleep(pace).await;
        }
        while let Some(done) = open.join_next().await {
            done.expect("an order is taken in the end");
        }
        next.load(Ordering::Relaxed) - first
    })
}

/// One after the other, so that they do not share two cores.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_call_nobody_twice() {
    let _alone = ALONE.lock().await;
    let (kills, seed) = (number_of("CARILLON_CHAOS_KILLS", 50), number_of("CARILLON_CHAOS_SEED", 1));
    let Some(mut cluster) = Cluster::start(2, 4).await else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let orders = traffic(cluster.orderer(), 0, Duration::from_millis(150), stop.clone());
    let mut rng = Seed(seed).rng();
    let mut dead: Vec<(Instant, usize)> = Vec::new();
    let (mut killed, mut deaths) = (0, Vec::new());
    while killed < kills || !dead.is_empty() {
        let now = Instant::now();
        while let Some(i) = dead.iter().position(|(at, _)| *at <= now) {
            cluster.boot(dead.swap_remove(i).1);
        }
        // One of each role stays up, as an operator would see to.
        let up = |media: bool| {
            let of_role = cluster.processes.iter().filter(|p| p.is_media() == media);
            of_role.filter(|p| p.peer.is_some()).count()
        };
        let victim = usize::try_from(rng.below(6)).expect("small");
        let process = &cluster.processes[victim];
        if killed < kills && process.peer.is_some() && up(process.is_media()) > 1 {
            // Some come back before anybody notices, some after a neighbour has taken over.
            let away = if rng.below(2) == 0 { 100 + rng.below(400) } else { 2_500 + rng.below(2_000) };
            let process = &mut cluster.processes[victim];
            process.kill();
            deaths.push((Instant::now(), process.sip, process.is_media()));
            dead.push((Instant::now() + Duration::from_millis(away), victim));
            killed += 1;
        }
        tokio::time::sleep(Duration::from_millis(200 + rng.below(1_600))).await;
    }
    stop.store(true, Ordering::Relaxed);
    let orders = orders.await.expect("the third party goes on");
    println!("seed {seed}: {killed} kills, {orders} orders");
    let verdict = judge::judge(&cluster, Duration::from_secs(120)).await;
    judge::released(&cluster, &deaths, &verdict);
    verdict.print(killed);
    assert!(verdict.doubt <= killed * 8, "in doubt: {}", verdict.doubt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_nats_without_postgres_and_with_a_process_stopped() {
    let _alone = ALONE.lock().await;
    let Some(mut cluster) = Cluster::start(2, 2).await else { return };
    let orderer = cluster.orderer();
    let stop = Arc::new(AtomicBool::new(false));
    let orders = traffic(orderer.clone(), 0, Duration::from_millis(250), stop.clone());
    tokio::time::sleep(Duration::from_secs(3)).await;

    // NATS gone: offers and loads go through the store.
    cluster.nats.crash();
    let before = cluster.customer.calls().len();
    tokio::time::sleep(Duration::from_secs(8)).await;
    let without_nats = cluster.customer.calls().len() - before;
    assert!(without_nats >= 10, "calls without NATS: {without_nats}");
    cluster.nats.resume();
    tokio::time::sleep(Duration::from_secs(2)).await;

    // PostgreSQL gone: 503, never a false 202, and what talks goes on talking.
    cluster.postgres.crash();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut refused = 0;
    for n in 0..20 {
        match orderer.try_once(usize::try_from(n).expect("small"), 900_000 + n).await {
            Some((503, None)) => refused += 1,
            Some((code, id)) => panic!("without a store an order was answered {code}: {id:?}"),
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused > 0, "intake answers 503 while the store is away");
    tokio::time::sleep(Duration::from_secs(2)).await;
    cluster.postgres.resume();
    tokio::time::sleep(Duration::from_secs(4)).await;

    // A media server is stopped for longer than it takes to be called dead, then goes on.
    let media = cluster.processes.iter().find(|p| p.is_media()).and_then(|p| p.peer.as_ref()).expect("runs");
    media.tell(libc::SIGSTOP);
    tokio::time::sleep(Duration::from_secs(6)).await;
    media.tell(libc::SIGCONT);
    tokio::time::sleep(Duration::from_secs(3)).await;

    stop.store(true, Ordering::Relaxed);
    let orders = orders.await.expect("the third party goes on");
    let verdict = judge::judge(&cluster, Duration::from_secs(90)).await;
    println!(
        "{orders} orders; calls in 8 s without NATS: {without_nats}; answers 503 without a store: {refused}"
    );
    verdict.print(0);
}

/// Goal: a rolling upgrade cuts no call. Method: each process in turn is drained under load and started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_cuts_no_call() {
    let _alone = ALONE.lock().await;
    let Some(mut cluster) = Cluster::start(2, 2).await else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let orders = traffic(cluster.orderer(), 0, Duration::from_millis(250), stop.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    for n in 0..cluster.processes.len() {
        let mut peer = cluster.processes[n].peer.take().expect("runs");
        assert!(peer.signal(libc::SIGTERM).success(), "{} drains", cluster.processes[n].name);
        cluster.boot(n);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let servers = cluster.processes[0].show(&cluster.dir, "servers");
    let up = servers.as_array().map_or(0, |all| all.iter().filter(|s| s["state"] == "up").count());
    assert_eq!(up, cluster.processes.len(), "all are up: {servers}");
    stop.store(true, Ordering::Relaxed);
    let orders = orders.await.expect("the third party goes on");
    let verdict = judge::judge(&cluster, Duration::from_secs(60)).await;
    judge::accounts_agree(&cluster).await;
    verdict.print(0);
    println!("{orders} orders");
    assert_eq!(verdict.doubt, 0, "nothing is in doubt when nobody died");
    assert_eq!(verdict.over.get("completed").copied().unwrap_or(0), u64::from(orders), "{:?}", verdict.over);
}
