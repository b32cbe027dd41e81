//! RFC 4475 and RFC 5118, live: each message over UDP and over TCP to a listening server whose tester is a configured
//! trunk; each gets the answer that it is owed, and the server is alive after each.
//!
//! Over UDP a response goes to the address it came from and the port in the top Via (RFC 3261 §18.2.2), so the tester
//! listens on that port; where the kernel has given it to somebody else the message is told as skipped.

use bench::demo::server::{Server, Setup};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;
use support::peers::ours;
use support::repo::corpora;

/// Silence is believed after this.
const SILENCE: Duration = Duration::from_millis(400);
/// An answer that is owed comes within this, on a machine that is busy with other things too.
const PATIENCE: Duration = Duration::from_secs(5);

fn patience(want: &str) -> Duration {
    if want.split('|').any(|w| w == "silent" || w == "any") { SILENCE } else { PATIENCE }
}

/// The Call-ID of a message: an answer to an earlier one is still retransmitted, and is none to this.
fn call_id(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    let mut lines = text.lines().filter_map(|l| l.split_once(':'));
    let found = lines.find(|(name, _)| matches!(name.trim().to_ascii_lowercase().as_str(), "call-id" | "i"));
    found.map(|(_, value)| value.trim().to_owned()).filter(|v| !v.is_empty())
}

fn status(bytes: &[u8]) -> Option<u16> {
    std::str::from_utf8(bytes.strip_prefix(b"SIP/2.0 ")?.get(..3)?).ok()?.parse().ok()
}

/// Whether the answers satisfy a pattern such as `400|not400`, `405|501`, `2..`, `silent`, `any`.
fn satisfies(want: &str, statuses: &[u16]) -> bool {
    let last = statuses.iter().copied().rfind(|&s| s > 100);
    want.split('|').any(|w| match w {
        "any" => true,
        "silent" => statuses.is_empty(),
        "not400" => last.map_or(statuses == [100], |s| s != 400),
        "2.." => last.is_some_and(|s| s / 100 == 2),
        code => last.is_some_and(|s| code.parse() == Ok(s)),
    })
}

/// Where a stream means something else than a datagram (RFC 3261 §18.3).
fn over_tcp<'a>(file: &str, want: &'a str) -> &'a str {
    match file {
        // More octets are announced than came, or the archive's copy has no empty line: the stream waits.
        "clerr" | "4.6-ipv6-in-sdp" | "baddn" => "silent",
        // The length cannot be known: answered, then the stream is closed.
        "ncl" | "mcl01" | "inv2543" => "400",
        _ => want,
    }
}

/// The port that the top Via names; 5060 where it names none.
fn via_port(message: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(message);
    let via = text.lines().find(|l| {
        let name = l.split(':').next().unwrap_or("").trim().to_ascii_lowercase();
        name == "via" || name == "v"
    });
    let sent_by = via.and_then(|l| l.split_once(';')).map_or("", |(head, _)| head);
    let host = sent_by.split_whitespace().last().unwrap_or("");
    let after = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    after.rsplit_once(':').and_then(|(_, p)| p.parse().ok()).unwrap_or(5060)
}

fn udp(server: SocketAddr, message: &[u8], want: &str) -> Option<Vec<u16>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, via_port(message))).ok()?;
    socket.set_read_timeout(Some(patience(want))).expect("a timeout");
    let call = call_id(message);
    socket.send_to(message, server).expect("loopback takes it");
    let (mut statuses, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(n) = socket.recv(&mut buffer) {
        let ours = call.as_ref().is_none_or(|c| String::from_utf8_lossy(&buffer[..n]).contains(c.as_str()));
        if !ours {
            continue;
        }
        statuses.extend(status(&buffer[..n]));
        if statuses.last().is_some_and(|&s| s >= 200) || statuses.len() > 3 {
            break;
        }
    }
    Some(statuses)
}

fn tcp(server: SocketAddr, message: &[u8], want: &str) -> Vec<u16> {
    let mut stream = TcpStream::connect(server).expect("the server listens");
    stream.set_read_timeout(Some(patience(want))).expect("a timeout");
    stream.write_all(message).expect("it takes octets");
    let (mut statuses, mut buffer) = (Vec::new(), [0; 8192]);
    while let Ok(n) = stream.read(&mut buffer) {
        if n == 0 {
            break;
        }
        statuses.extend(status(&buffer[..n]));
        if statuses.last().is_some_and(|&s| s >= 200) {
            break;
        }
    }
    statuses
}

fn alive(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    let me = socket.local_addr().expect("bound");
    let options = format!(
        "OPTIONS sip:a@{server} SIP/2.0\r\nVia: SIP/2.0/UDP {me};rport;branch=z9hG4bK{0}\r\nFrom: <sip:t@{me}>;tag=1\r\n\
         To: <sip:a@{server}>\r\nCall-ID: alive-{0}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        me.port()
    );
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    socket.send_to(options.as_bytes(), server).expect("loopback takes it");
    let mut buffer = [0; 4096];
    socket.recv(&mut buffer).is_ok_and(|n| status(&buffer[..n]) == Some(200))
}

/// The copy with the true length has the branch of the printed one, of which it would be a retransmission.
fn rebranch(message: &mut Vec<u8>) {
    let cookie = b"branch=z9hG4bK";
    if let Some(at) = message.windows(cookie.len()).position(|w| w == cookie) {
        message.splice(at + cookie.len()..at + cookie.len(), *b"fixed");
    }
}

fn rows(root: &Path, table: &str, column: usize) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root.join(table)).expect("a table");
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .map(|l| l.split('\t').collect::<Vec<_>>())
        .map(|c| (c[0].to_owned(), c[column].to_owned()))
        .collect()
}

/// Each transport has a server of its own: over the second one the same message would be a retransmission of the first.
fn run(table: &str, folder: &str, column: usize, owed: usize, stream: bool) {
    let Some(root) = corpora("corpora/sip-torture") else { return };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let program = ours("carillon");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let setup =
        Setup { program: Some(&program), dir: dir.path(), trunk: nowhere, mailbox: nowhere, extra: "" };
    let server = Server::start(&setup).expect("carillon starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(server.ready(Duration::from_secs(30))).expect("carillon comes up");
    let sip = server.sip_addr();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (file, want) in rows(&root, table, column) {
        let mut message =
            std::fs::read(root.join(folder).join(format!("{file}.dat"))).expect("the corpus is whole");
        if file.ends_with("fixed-length") {
            rebranch(&mut message);
        }
        tried += 1;
        let want = if stream { over_tcp(&file, &want) } else { &want };
        let answer = if stream { Some(tcp(sip, &message, want)) } else { udp(sip, &message, want) };
        match answer {
            Some(statuses) if satisfies(want, &statuses) => {}
            Some(statuses) => wrong.push(format!("{file}: want {want}, got {statuses:?}")),
            None => println!("SKIPPED: {file}: port {} belongs to somebody else", via_port(&message)),
        }
        assert!(alive(sip), "{file} killed it");
    }
    assert_eq!((tried, wrong), (owed, Vec::<String>::new()));
}

#[test]
fn rfc4475_live_over_udp() {
    run("expected.tsv", "rfc4475", 4, 49, false);
}

#[test]
fn rfc4475_live_over_tcp() {
    run("expected.tsv", "rfc4475", 4, 49, true);
}

#[test]
fn rfc5118_live_over_udp() {
    run("expected-5118.tsv", "rfc5118", 2, 15, false);
}

#[test]
fn rfc5118_live_over_tcp() {
    run("expected-5118.tsv", "rfc5118", 2, 15, true);
}
