//! A name server of the tests' own: a list of records, each question answered with those that fit (RFC 1035 §4).

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// A record: name, type, data.
pub(crate) struct Record {
    name: String,
    kind: u16,
    data: Vec<u8>,
}

impl Record {
    pub(crate) fn new(name: &str, kind: u16, data: Vec<u8>) -> Self {
        Self { name: name.to_owned(), kind, data }
    }
}

fn domain(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(u8::try_from(label.len()).expect("a short label"));
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("a short text")][..], text.as_bytes()].concat()
}

/// Data of a NAPTR record (RFC 3403 §4.1).
pub(crate) fn naptr(order: u16, flags: &str, services: &str, replacement: &str) -> Vec<u8> {
    let parts = [&order.to_be_bytes()[..], &50_u16.to_be_bytes()];
    [parts.concat(), text(flags), text(services), text(""), domain(replacement)].concat()
}

/// Data of an SRV record (RFC 2782).
pub(crate) fn srv(priority: u16, port: u16, target: &str) -> Vec<u8> {
    let numbers = [priority, 1, port].map(u16::to_be_bytes).concat();
    [numbers, domain(target)].concat()
}

/// A running name server; it ends with the test's process.
pub(crate) struct Names {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<(String, u16)>>>,
}

impl Names {
    /// Names and types that were asked for.
    pub(crate) fn asked(&self) -> Vec<(String, u16)> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// Starts one with these records.
pub(crate) fn server(records: Vec<Record>) -> Names {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let addr = socket.local_addr().expect("bound");
    let asked: Arc<Mutex<Vec<(String, u16)>>> = Arc::default();
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut octets = [0_u8; 1_500];
        while let Ok((n, peer)) = socket.recv_from(&mut octets) {
            if let Some((question, answer)) = answered(&octets[..n], &records) {
                seen.lock().expect("no panic").push(question);
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    Names { addr, asked }
}

fn answered(question: &[u8], records: &[Record]) -> Option<((String, u16), Vec<u8>)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let (name, kind) = (labels.join("."), u16::from_be_bytes(question.get(at..at + 2)?.try_into().ok()?));
    let known = records.iter().any(|r| r.name == name);
    let fit: Vec<&Record> = records.iter().filter(|r| r.name == name && r.kind == kind).collect();
    let mut out = question.get(..2)?.to_vec();
    // An authoritative answer; a name without a record of this type is no error.
    out.extend_from_slice(&[0x85, if known { 0x80 } else { 0x83 }, 0, 1, 0]);
    out.extend_from_slice(&[u8::try_from(fit.len()).ok()?, 0, 0, 0, 0]);
    out.extend_from_slice(question.get(12..at + 4)?);
    for record in fit {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&record.kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(record.data.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&record.data);
    }
    Some(((name, kind), out))
}
