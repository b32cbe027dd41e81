//! Judges the whole: what was accepted, what rang, what was written down.

use crate::world::{Cluster, lock};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) accepted: u64,
    pub(crate) rang: u64,
    /// Ended as `unknown`: nobody can know whether the telephone was answered.
    pub(crate) doubt: u64,
    /// How many ended how.
    pub(crate) over: BTreeMap<String, u64>,
    pub(crate) records: u64,
    /// From the answer 202 to the INVITE at the customer, ms, in order.
    pub(crate) waited_ms: Vec<u128>,
    /// Released after a death, ms.
    pub(crate) released_ms: std::cell::RefCell<Vec<u128>>,
}

impl Verdict {
    pub(crate) fn print(&self, kills: u64) {
        let mut released = self.released_ms.borrow().clone();
        released.sort_unstable();
        println!(
            "kills {kills}: accepted {}, rang {}, lost 0, double 0, in doubt {}, records {}; {:?}; \
             released after a death: {} calls, worst {} ms; 202 to INVITE p50 {} ms, p99 {} ms",
            self.accepted,
            self.rang,
            self.doubt,
            self.records,
            self.over,
            released.len(),
            released.last().copied().unwrap_or(0),
            share(&self.waited_ms, 50),
            share(&self.waited_ms, 99)
        );
    }
}

/// Waits for the end of every order, and judges. Lost: an accepted order that does not end. Double: a number that rang under
/// two Call-IDs. Each attempt has one record, and what rang has one.
pub(crate) async fn judge(cluster: &Cluster, at_most: Duration) -> Verdict {
    let over = cluster.all_over(at_most).await;
    let rang = cluster.customer.rang();
    let twice: Vec<_> = rang.iter().filter(|(_, calls)| calls.len() > 1).collect();
    assert!(twice.is_empty(), "called twice: {twice:?}");
    let mut verdict = Verdict { accepted: count(over.len()), rang: count(rang.len()), ..Verdict::default() };
    for (number, how) in &over {
        *verdict.over.entry(how.clone()).or_default() += 1;
        verdict.doubt += u64::from(how == "unknown");
        if how == "completed" {
            assert!(rang.contains_key(number), "{number} was completed and never rang");
        }
    }
    for number in rang.keys() {
        assert!(over.contains_key(number), "{number} rang and was never accepted");
    }
    let all: u64 = cluster.postgres.query("SELECT count(*) FROM records").parse().expect("a number");
    let apart = cluster.postgres.query("SELECT count(DISTINCT attempt) FROM records").parse();
    assert_eq!(Ok(all), apart, "each attempt has one record");
    let with: u64 =
        cluster.postgres.query("SELECT count(DISTINCT order_id) FROM records").parse().expect("a number");
    assert!(with >= verdict.rang, "{} numbers rang, {with} orders have a record", verdict.rang);
    let waiting = cluster.postgres.query("SELECT coalesce(sum(n), 0) FROM waiting");
    assert_eq!(waiting, "0", "the count of waiting orders is exact");
    assert_eq!(cluster.postgres.query("SELECT count(*) FROM live"), "0", "no hot row is left");
    verdict.records = all;
    verdict.waited_ms = waited(cluster);
    verdict
}

/// Callees whom a killed server left connected are released within 10 s by somebody else. Those whose answer was never
/// acknowledged give up by themselves.
pub(crate) fn released(cluster: &Cluster, deaths: &[(Instant, SocketAddr, bool)], verdict: &Verdict) {
    for (at, sip, _) in deaths.iter().filter(|(.., media)| *media) {
        for (call, seen) in cluster.customer.calls() {
            let up = seen.from == *sip && seen.acked && seen.answered.is_some_and(|t| t < *at);
            let Some(over) = seen.over.filter(|over| up && *over > *at) else {
                assert!(!up || seen.over.is_some(), "{call} to {} was never released", seen.number);
                continue;
            };
            let ms = (over - *at).as_millis();
            verdict.released_ms.borrow_mut().push(ms);
            assert!(ms <= 10_000, "{call} was released after {ms} ms");
        }
    }
}

/// From the third party's 202 to the INVITE, both as this process saw them.
fn waited(cluster: &Cluster) -> Vec<u128> {
    let accepted = lock(&cluster.accepted).clone();
    let calls = cluster.customer.calls();
    let mut waited: Vec<u128> = calls
        .values()
        .filter_map(|seen| Some((seen.rang - accepted.get(&seen.number)?.1).as_millis()))
        .collect();
    waited.sort_unstable();
    waited
}

fn share(sorted: &[u128], percent: usize) -> u128 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// What the channels were busy and what the records say agree within 0.01 %, a millisecond a call aside.
pub(crate) async fn accounts_agree(cluster: &Cluster) {
    let (mut channels, mut records, mut unrecorded) = (0.0, 0.0, 0.0);
    for process in cluster.processes.iter().filter(|p| p.is_media()) {
        let asked = cluster.client.get(format!("http://{}/metrics", process.http)).send().await;
        let text = asked.expect("it runs").text().await.expect("text");
        let sum = |name: &str| {
            let lines = text.lines().filter(|l| l.starts_with(name));
            lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
        };
        channels += sum("carillon_channel_busy_ms_total");
        records += sum("carillon_record_busy_ms_total");
        unrecorded += sum("carillon_unrecorded_calls_total");
    }
    #[expect(clippy::cast_precision_loss, reason = "hundreds of calls")]
    let calls = cluster.customer.calls().len() as f64;
    println!("channels busy {channels} ms, records {records} ms, {unrecorded} calls without a record");
    assert!(records > 0.0 && unrecorded == 0.0);
    assert!((channels - records).abs() <= records * 0.0001 + calls, "{channels} against {records} ms");
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
