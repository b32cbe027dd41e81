//! The load tool judged: two far ends call each other, one of them does wrong on purpose, and the numbers are right.

use bench::farend::io::{FarEnd, Sockets};
use bench::farend::world::{Dial, endpoint};
use bench::farend::{CallLog, Scenario, World, WorldConfig, mulaw};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use units::Seed;

/// Two seconds of a tone that counts as a prompt.
fn prompt(_: &str) -> Option<Vec<u8>> {
    let octets: Vec<u8> = (0..16_000)
        .map(|n| {
            let v = (f64::from(n) * std::f64::consts::TAU * 440.0 / 8000.0).sin() * 6000.0;
            #[expect(clippy::cast_possible_truncation, reason = "bounded by 6,000")]
            mulaw::encode(v as i16)
        })
        .collect();
    Some(mulaw::wav(&octets))
}

fn far_end(scenario: &str, seed: u64) -> (FarEnd, Arc<Scenario>) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::bind(any, any).expect("loopback");
    let scenario = Arc::new(Scenario::parse(scenario, &prompt).expect("valid"));
    let config = WorldConfig {
        sip: sockets.sip_addr().expect("bound"),
        rtp: sockets.rtp_addr().expect("bound"),
        scenario: scenario.clone(),
        keep_audio: false,
        quiet_ms: 400,
        seed: Seed(seed),
    };
    (FarEnd::start(sockets, World::new(config.clone(), endpoint(&config))).expect("a thread"), scenario)
}

/// Calls from one far end to `n` others, one each: streams are told apart by the server's address. The callers' logs.
fn calls(server: &str, caller: &str, n: u64) -> Vec<CallLog> {
    let servers: Vec<FarEnd> = (0..n).map(|i| far_end(server, 100 + i).0).collect();
    let (far, scenario) = far_end(caller, 2);
    for server in &servers {
        far.dial(Dial {
            to: format!("sip:ivr@{}", server.sip_addr()),
            from: format!("sip:caller@{}", far.sip_addr()),
            hop: server.sip_addr(),
            person: scenario.people[0].clone(),
        });
    }
    (0..n).map(|_| far.next_log(Duration::from_secs(30)).expect("a call ends")).collect()
}

const GOOD: &str = "person ivr\n ring 0.1s\n answer\n wait 0.2s\n say p.wav\n wait 4s\n hangup";
const CALLER: &str = "person caller\n hear prompt within 10s\n wait 0.2s\n hangup";

#[test]
fn a_good_server_is_found_good() {
    let logs = calls(GOOD, CALLER, 10);
    for log in &logs {
        assert!(log.complete && log.answered, "{log:?}");
        assert_eq!((log.hearing.missing, log.hearing.wrong, log.hearing.duplicated), (0, 0, 0), "{log:?}");
        assert_eq!(log.hearing.prompts, 1, "{log:?}");
        assert!(log.first_sound_us.is_some_and(|us| us > 100_000), "{log:?}");
    }
}

#[test]
fn a_server_that_drops_and_doubles_packets_is_found_out_with_the_right_numbers() {
    let bad = format!("network loss 10% duplicate 5%\n{GOOD}");
    let logs = calls(&bad, CALLER, 20);
    let sum = |f: fn(&CallLog) -> u64| logs.iter().map(f).sum::<u64>();
    let (packets, missing, doubled) =
        (sum(|l| l.hearing.packets), sum(|l| l.hearing.missing), sum(|l| l.hearing.duplicated));
    let (lost, twice) = (missing * 1000 / (packets + missing), doubled * 1000 / packets);
    // About 3,000 packets: three standard deviations are 1.6 and 1.2 points.
    assert!((84..=116).contains(&lost), "{lost} of 1,000 lost");
    assert!((38..=62).contains(&twice), "{twice} of 1,000 doubled");
}

#[test]
fn a_server_that_refuses_is_reported_with_its_status() {
    for status in [404, 486, 503, 603] {
        let logs = calls(&format!("person no\n reject {status}"), CALLER, 1);
        assert_eq!(logs[0].status, Some(status), "{:?}", logs[0]);
        assert!(!logs[0].answered);
    }
}
