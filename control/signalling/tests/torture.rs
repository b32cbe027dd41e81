//! RFC 4475 and RFC 5118: every message gets the answer that it is owed, over UDP and over TCP, and a good call still
//! works after each. Goal: the table of expectations beside the messages. Method: one endpoint, the tester a peer.

mod net;

use net::{addr, config};
use signalling::leg::Transport;
use signalling::sip::endpoint::{Endpoint, FlowId, Input, Output};
use std::path::PathBuf;
use units::{Mono, Now, Seed};

/// What went out, for a message that came in.
#[derive(Debug, Default)]
struct Answer {
    statuses: Vec<u16>,
    closed: bool,
    texts: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "where the test data lies is told by the environment")]
fn corpora() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").to_owned();
    let root = PathBuf::from(std::env::var("CARILLON_CORPORA").unwrap_or(beside));
    Some(root.join("sip-torture")).filter(|r| r.is_dir())
}

#[expect(clippy::disallowed_methods, reason = "test data is read from files")]
fn read(path: &std::path::Path) -> Vec<u8> {
    std::fs::read(path).expect("the corpus is whole")
}

fn feed(endpoint: &mut Endpoint, transport: Transport, flow: u32, bytes: &[u8]) -> Answer {
    let now = Now { mono: Mono::from_ms(1_000 + 10 * u64::from(flow)), ..Now::default() };
    let input = Input::Received { flow: FlowId(flow), transport, from: addr(0), bytes };
    endpoint.handle(now, input).expect("the network is no error");
    let mut answer = Answer::default();
    while let Some(output) = endpoint.poll() {
        match output {
            Output::Transmit { bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some(status) =
                    text.strip_prefix("SIP/2.0 ").and_then(|t| t.get(..3)).and_then(|s| s.parse().ok())
                {
                    answer.statuses.push(status);
                }
                answer.texts.push(text);
            }
            Output::Close { .. } => answer.closed = true,
            _ => {}
        }
    }
    answer
}

fn alive(endpoint: &mut Endpoint, transport: Transport, flow: u32) {
    let call = format!(
        "OPTIONS sip:a@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKalive{flow}\r\nFrom: <sip:b@x>;tag=1\r\n\
         To: <sip:a@192.0.2.2>\r\nCall-ID: alive{flow}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(feed(endpoint, transport, flow, call.as_bytes()).statuses, [200], "alive");
}

/// Whether the answers satisfy a pattern such as `400|not400`, `405|501`, `2..`, `silent`, `any`.
fn satisfies(want: &str, answer: &Answer) -> bool {
    let last = answer.statuses.iter().copied().rfind(|&s| s > 100);
    want.split('|').any(|w| match w {
        "any" => true,
        "silent" => answer.statuses.is_empty(),
        // A call that waits for its callee has only been tried so far; it was taken all the same.
        "not400" => last.map_or(answer.statuses == [100], |s| s != 400),
        "2.." => last.is_some_and(|s| s / 100 == 2),
        code => last.is_some_and(|s| code.parse() == Ok(s)),
    })
}

/// Where a stream means something else than a datagram (RFC 3261 §18.3): what is owed there.
fn over_tcp(file: &str, want: &str) -> String {
    match file {
        // More octets are announced than came, or the archive's copy has no empty line: the stream waits, and closes.
        "clerr" | "4.6-ipv6-in-sdp" | "baddn" => "silent",
        // The length cannot be known: answered, then the stream is closed.
        "ncl" | "mcl01" | "inv2543" => "400",
        _ => want,
    }
    .to_owned()
}

fn run(table: &str, folder: &str, column: usize, transport: Transport) -> Option<(usize, Vec<String>)> {
    let Some(root) = corpora() else {
        println!("SKIPPED: the corpus sip-torture is absent");
        return None;
    };
    let table = String::from_utf8(read(&root.join(table))).expect("a table is text");
    let (mut tried, mut wrong) = (0, vec![]);
    let mut endpoint = Endpoint::new(config(1), Seed(1));
    for (n, row) in (1u32..).zip(table.lines().filter(|l| !l.starts_with('#') && !l.is_empty())) {
        let columns: Vec<&str> = row.split('\t').collect();
        let (file, want) = (columns[0], columns[column]);
        let want = if transport == Transport::Udp { want.to_owned() } else { over_tcp(file, want) };
        let bytes = read(&root.join(folder).join(format!("{file}.dat")));
        let answer = feed(&mut endpoint, transport, 2 * n, &bytes);
        tried += 1;
        if !satisfies(&want, &answer) {
            wrong.push(format!("{file}: want {want}, got {:?}", answer.statuses));
        }
        alive(&mut endpoint, transport, 2 * n + 1);
    }
    Some((tried, wrong))
}

#[test]
fn a_stream_that_never_ends_its_message_is_closed_in_time() {
    let mut endpoint = Endpoint::new(config(1), Seed(1));
    let part = b"OPTIONS sip:a SIP/2.0\r\nl: 9\r\n\r\n";
    assert!(feed(&mut endpoint, Transport::Tcp, 1, part).statuses.is_empty());
    let (at, _) = endpoint.deadline().expect("it is waited for");
    endpoint.handle(Now { mono: at, ..Now::default() }, Input::Timer).expect("time is no error");
    assert!(matches!(endpoint.poll(), Some(Output::Close { flow: FlowId(1) })));
}

#[test]
fn rfc4475_all_49_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        if let Some((tried, wrong)) = run("expected.tsv", "rfc4475", 4, transport) {
            assert_eq!((tried, wrong), (49, vec![]), "{transport:?}");
        }
    }
}

#[test]
fn rfc5118_all_15_over_udp_and_tcp() {
    for transport in [Transport::Udp, Transport::Tcp] {
        if let Some((tried, wrong)) = run("expected-5118.tsv", "rfc5118", 2, transport) {
            assert_eq!((tried, wrong), (15, vec![]), "{transport:?}");
        }
    }
}

#[test]
fn rfc4475_bext01_names_what_is_not_supported_and_invut_what_is_taken() {
    let Some(root) = corpora() else { return println!("SKIPPED: the corpus sip-torture is absent") };
    for (file, field) in
        [("bext01", "Unsupported: nothingSupportsThis"), ("invut", "Accept: application/sdp")]
    {
        let mut endpoint = Endpoint::new(config(1), Seed(1));
        let answer =
            feed(&mut endpoint, Transport::Udp, 1, &read(&root.join("rfc4475").join(format!("{file}.dat"))));
        assert!(answer.texts[0].contains(field), "{:?}", answer.texts);
    }
}

/// Messages to mutate: the corpus, and calls of our own.
fn seeds() -> Vec<Vec<u8>> {
    let mut all = vec![];
    for (table, folder) in [("expected.tsv", "rfc4475"), ("expected-5118.tsv", "rfc5118")] {
        let Some(root) = corpora() else { break };
        let table = String::from_utf8(read(&root.join(table))).expect("a table is text");
        let files = table.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split('\t').next());
        all.extend(files.map(|f| read(&root.join(folder).join(format!("{f}.dat")))));
    }
    let mut w = net::World::calm();
    let legs = w.call(7);
    w.act(0, legs[0], signalling::leg::Action::Reoffer(net::media(4_000)));
    w.act(0, legs[0], signalling::leg::Action::Clear(units::Cause::NORMAL));
    w.run(1_000);
    all.extend(w.sides.iter().flat_map(|s| s.sent.clone()));
    all
}

fn mutate(rng: &mut units::Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let below = |rng: &mut units::Rng, n: usize| {
        usize::try_from(rng.below(u64::try_from(n.max(1)).expect("small"))).expect("small")
    };
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    for _ in 0..=below(rng, 6) {
        let (at, other) = (below(rng, bytes.len()), &seeds[below(rng, seeds.len())]);
        match rng.below(6) {
            0 if !bytes.is_empty() => bytes[at] = u8::try_from(rng.below(256)).expect("a byte"),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + below(rng, 40)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let from = below(rng, other.len());
                let to = (from + below(rng, 80)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            4 => {
                const TOKENS: [&[u8]; 12] = [
                    b"\r\n",
                    b"\r\n\r\n",
                    b";",
                    b",",
                    b"\"",
                    b"<",
                    b">",
                    b"\\",
                    b"%00",
                    b"@",
                    b": ",
                    b"99999999999",
                ];
                bytes.splice(at..at, TOKENS[below(rng, 12)].iter().copied());
            }
            _ => {
                let end = (at + below(rng, 200)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

#[test]
fn fifty_thousand_mutated_messages_panic_nothing_and_hold_no_memory() {
    // Method: a call in progress and one endpoint that hears them all, by datagram and by stream, with its time passing.
    let seeds = seeds();
    let mut rng = Seed(4475).rng();
    let mut config = config(1);
    config.answer_unknown = true;
    let mut endpoint = Endpoint::new(config, Seed(1));
    for n in 0..50_000u32 {
        let bytes = mutate(&mut rng, &seeds);
        let transport = if n % 4 == 0 { Transport::Tcp } else { Transport::Udp };
        let now = Now { mono: Mono::from_ms(u64::from(n) * 20), ..Now::default() };
        let input = Input::Received { flow: FlowId(n % 64), transport, from: addr(0), bytes: &bytes };
        endpoint.handle(now, input).expect("the network is no error");
        while endpoint.poll().is_some() {}
        endpoint.handle(now, Input::Timer).expect("time is no error");
        while endpoint.poll().is_some() {}
    }
    let end = Now { mono: Mono::from_ms(50_000 * 20 + 10_000_000), ..Now::default() };
    for _ in 0..200 {
        endpoint.handle(end, Input::Timer).expect("time is no error");
        while endpoint.poll().is_some() {}
    }
    let later = Now { mono: Mono::from_ms(50_000 * 20 + 20_000_000), ..Now::default() };
    endpoint.handle(later, Input::Timer).expect("time is no error");
    while endpoint.poll().is_some() {}
    let last = Now { mono: Mono::from_ms(50_000 * 20 + 30_000_000), ..Now::default() };
    endpoint.handle(last, Input::Timer).expect("time is no error");
    assert_eq!(endpoint.live().legs, 0);
    assert_eq!(endpoint.live().transactions, 0);
}
