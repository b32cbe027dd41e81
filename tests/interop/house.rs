//! A carillon with doors of the test's own choosing: LMTP with a name server of the test, HTTPS, a database to look at.

use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::peers::{Peer, free_port, free_ports, ours};

/// The tenant's key.
pub(crate) const KEY: &str = "interop-key-of-acme";
/// The operator's key.
pub(crate) const OPERATOR: &str = "interop-key-of-the-operator";

/// A running carillon. Ended when dropped.
pub(crate) struct House {
    pub(crate) http: u16,
    pub(crate) smtp: u16,
    pub(crate) peer: Peer,
    pub(crate) client: reqwest::Client,
}

/// Starts one: `smtp` and `http` are further lines of these sections, `tenant` of the tenant, `more` further sections.
pub(crate) async fn house(dir: &Path, smtp: &str, http: &str, tenant: &str, more: &str) -> House {
    drop(rustls::crypto::ring::default_provider().install_default());
    let (http_port, smtp_port, sip) = (free_port(), free_port(), free_port());
    let low = free_ports(200);
    let d = dir.display();
    let config = format!(
        "[node]\nname = \"doors\"\nstate = \"{d}/state\"\nadmin_socket = \"{d}/admin.sock\"\ndrain_max = \"1s\"\n\
         [sip]\nlisten = [\"udp:127.0.0.1:{sip}\"]\n\
         [media]\nworkers = 1\nrealtime = false\nrtp_ports = [{low}, {}]\nrecordings = \"{d}/recordings\"\n\
         [speech]\nworkers = 0\n[limits]\ncalls_max = 50\n[policy]\nallow_prefixes = [\"+1\"]\n\
         [smtp]\nlisten = \"127.0.0.1:{smtp_port}\"\nhostname = \"dispatch.example\"\n{smtp}\n\
         [http]\nlisten = \"127.0.0.1:{http_port}\"\noperator_key = \"{OPERATOR}\"\n{http}\n\
         [store]\nurl = \"sqlite:{d}/carillon.db\"\n[fetch]\nplain_http = true\nallow_networks = [\"127.0.0.0/8\"]\n\
         [vxml]\napplications = {{ hello = \"http://127.0.0.1:9/hello.vxml\" }}\n\
         [[trunks]]\nname = \"t\"\naddress = \"127.0.0.1:9\"\nprefixes = [\"*\"]\ncaller_id = \"+15550100\"\n\
         [[tenants]]\nname = \"acme\"\nid = 1\nkeys = {{ main = \"{KEY}\" }}\nmail_from = [\"@acme.example\"]\n\
         orders_rate = \"10000/s\"\nrequests_rate = \"10000/s\"\n{tenant}\n{more}\n",
        low + 199
    );
    let path = dir.join("carillon.toml");
    std::fs::write(&path, config).expect("a file");
    let mut command = Command::new(ours("carillon"));
    command.arg("serve").arg("--config").arg(&path);
    let peer = Peer::start(dir, "carillon", &mut command);
    peer.says("ready", Duration::from_secs(60));
    House { http: http_port, smtp: smtp_port, peer, client: reqwest::Client::new() }
}

impl House {
    /// Reads a path of the API with the tenant's key.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        let answer = self.client.get(url).bearer_auth(KEY).send().await.expect("the API answers");
        let text = answer.text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    }

    /// Waits until the tenant has so many calls; they.
    pub(crate) async fn calls(&self, count: usize, at_most: Duration) -> Vec<Value> {
        let end = Instant::now() + at_most;
        loop {
            let all = self.get("/v1/calls").await["calls"].as_array().cloned().unwrap_or_default();
            if all.len() >= count {
                return all;
            }
            assert!(Instant::now() < end, "{} of {count} calls:\n{}", all.len(), self.peer.output());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A name server that knows some TXT records, on a port of its own; it ends with the test's process.
pub(crate) fn name_server(records: BTreeMap<String, String>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let addr = socket.local_addr().expect("bound");
    std::thread::spawn(move || {
        let mut octets = [0_u8; 1_500];
        while let Ok((n, peer)) = socket.recv_from(&mut octets) {
            if let Some(answer) = answered(&octets[..n], &records) {
                let _ = socket.send_to(&answer, peer);
            }
        }
    });
    addr
}

/// RFC 1035 §4: one question, one answer; TXT (16) of a known name, else no such name.
fn answered(question: &[u8], records: &BTreeMap<String, String>) -> Option<Vec<u8>> {
    let (mut at, mut name) = (12, String::new());
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let asked = question.get(at..at + 4)?;
    let record = records.get(&name).filter(|_| asked[1] == 16);
    let mut out = question.get(..2)?.to_vec();
    out.extend_from_slice(&[0x85, if record.is_some() { 0x80 } else { 0x83 }]);
    out.extend_from_slice(&[0, 1, 0, u8::from(record.is_some()), 0, 0, 0, 0]);
    out.extend_from_slice(question.get(12..at + 4)?);
    if let Some(text) = record {
        // Texts are cut to strings of 255 octets.
        let strings: Vec<u8> = text
            .as_bytes()
            .chunks(255)
            .flat_map(|c| {
                std::iter::once(u8::try_from(c.len()).expect("at most 255")).chain(c.iter().copied())
            })
            .collect();
        out.extend_from_slice(&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
        out.extend_from_slice(&u16::try_from(strings.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&strings);
    }
    Some(out)
}

/// Runs a program to its end, at most so long; whether it was content, and what it said.
pub(crate) fn run(seconds: u32, command: &mut Command) -> (bool, String) {
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let out = Command::new("timeout")
        .arg(seconds.to_string())
        .arg(program)
        .args(arguments)
        .output()
        .expect("it runs");
    let said = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&said).into_owned())
}
