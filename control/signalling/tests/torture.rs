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

fn corpora() -> Option<PathBuf> {
    let root = PathBuf::from(
        option_env!("CARILLON_CORPORA")
            .unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")),
    );
    let deeper = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/corpora"));
    [root, deeper].into_iter().map(|r| r.join("sip-torture")).find(|r| r.is_dir())
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
