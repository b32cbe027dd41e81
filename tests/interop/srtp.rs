//! TLS with SRTP, both mandatory on either side, against baresip: it calls in and it is called. What it says and what it
//! hears is bridged to a simulated telephone that speaks plain RTP, and judged at both ends. A baresip that wants no keys
//! is refused where they are required, and taken where they are optional.

use crate::third_party::customer;
use bench::demo::mail::Mailbox;
use bench::demo::server::{Addresses, Server, Setup};
use bench::farend::Scenario;
use bench::farend::world::Dial;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, free_port, ours, until};
use support::repo::tool;
use support::tone::{frames_with, heard, wav};

/// What baresip says, Hz.
const ITS_TONE: f64 = 1_000.0;
/// What the simulated telephone says (`tone ced`), Hz.
const OUR_TONE: f64 = 2_100.0;

/// A certificate for loopback that signs itself: certificate, key, and both in one file.
fn certificate(dir: &Path, name: &str) -> Option<[PathBuf; 3]> {
    let openssl = tool("openssl")?;
    let [cert, key, both] = ["crt", "key", "pem"].map(|end| dir.join(format!("{name}.{end}")));
    let made = Command::new(openssl)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output();
    if !made.is_ok_and(|m| m.status.success()) {
        println!("SKIPPED: openssl makes no certificate here");
        return None;
    }
    let read = |path: &Path| std::fs::read(path).expect("openssl wrote it");
    std::fs::write(&both, [read(&key), read(&cert)].concat()).expect("a file");
    Some([cert, key, both])
}

/// A baresip that listens on `port` (UDP, TCP) and the next one (TLS), and keeps what it heard.
struct Phone {
    peer: Peer,
    home: PathBuf,
}

impl Phone {
    fn start(dir: &Path, port: u16, pem: &Path, account: &str, dial: Option<&str>) -> Option<Self> {
        let baresip = tool("baresip")?;
        let home = dir.join("baresip");
        std::fs::create_dir_all(&home).expect("a folder");
        std::fs::write(home.join("says.wav"), wav(ITS_TONE, 60)).expect("a file");
        // Accounts name what the modules before them brought.
        let modules = ["g711.so", "srtp.so", "sndfile.so", "aufile.so", "account.so", "menu.so"];
        let loads: String = modules.iter().map(|m| format!("module {m}\n")).collect();
        let config = format!(
            "poll_method epoll\nnet_interface 127.0.0.1\nsip_listen 127.0.0.1:{port}\nsip_certificate {}\n\
             module_path /usr/lib/baresip/modules\n{loads}snd_path {}\naudio_source aufile,{}\n\
             audio_player aufile,/dev/null\naudio_alert aufile,/dev/null\n",
            pem.display(),
            home.display(),
            home.join("says.wav").display()
        );
        std::fs::write(home.join("config"), config).expect("a file");
        std::fs::write(home.join("accounts"), format!("{account}\n")).expect("a file");
        let mut command = Command::new(baresip);
        command.arg("-f").arg(&home).args(["-t", "40"]);
        if let Some(target) = dial {
            command.args(["-e", &format!("/dial {target}")]);
        }
        let peer = Peer::start(dir, "baresip", &mut command);
        peer.says("baresip is ready", Duration::from_secs(15));
        Some(Self { peer, home })
    }

    /// What it heard, as mu-law.
    fn heard(&self) -> Vec<u8> {
        let files = std::fs::read_dir(&self.home).expect("its folder");
        let names = files.flatten().map(|entry| entry.path());
        let dump = names.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).max();
        dump.map(|path| heard(&path)).unwrap_or_default()
    }
}

/// Serves a document that bridges whoever calls to +15559990001.
async fn bridging() -> SocketAddr {
    crate::transfer::serve(crate::transfer::document("bridge")).await
}

/// The product: it takes calls by TLS on the second address, with these trunks.
async fn product(dir: &Path, own: &[PathBuf; 3], authority: &Path, trunks: &str) -> (Server, SocketAddr) {
    let web = bridging().await;
    let mailbox = Mailbox::start().await.expect("a mailbox");
    let at = Addresses::free().expect("loopback has ports");
    let tls = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let extra = format!(
        "{trunks}\n[[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"http://{web}/t.vxml\"\n"
    );
    let program = ours("carillon");
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let setup = Setup { program: Some(&program), dir, trunk: nobody, mailbox: mailbox.addr(), extra: &extra };
    let listen = format!("\"tcp:{}\"", at.sip);
    let more = format!(
        "{listen}, \"tls:{tls}\"]\ntls_certificate = \"{}\"\ntls_key = \"{}\"\ntls_authorities = \"{}\"\n",
        own[0].display(),
        own[1].display(),
        authority.display()
    );
    let text = setup.text(at).expect("ports").replacen(&format!("{listen}]"), &more, 1);
    let server = Server::launch(&program, dir, at, &text).expect("carillon starts");
    server.ready(Duration::from_secs(30)).await.expect("carillon comes up");
    (server, tls)
}

fn trunk(name: &str, address: SocketAddr, more: &str) -> String {
    format!("[[trunks]]\nname = \"{name}\"\naddress = \"{address}\"\ncaller_id = \"+15550000\"\n{more}\n")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A port for baresip's UDP and TCP, and the next one for its TLS.
fn ports() -> u16 {
    // RTP and RTCP of nobody: the pair is what is wanted.
    free_port()
}

const KEYED: &str = ";regint=0;audio_codecs=pcmu;mediaenc=srtp-mand";
const PLAIN: &str = ";regint=0;audio_codecs=pcmu";

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_in_by_tls_and_srtp_and_both_ends_hear_each_other() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (Some(own), Some(its)) = (certificate(dir.path(), "own"), certificate(dir.path(), "its")) else {
        return;
    };
    let steps = "person agent\n ring 0.3s\n answer\n wait 1s\n tone ced 2s\n wait 2s\n hangup";
    let agent = customer(steps);
    let port = ports();
    let trunks = trunk("agents", agent.sip_addr(), "prefixes = [\"+1555\"]")
        + &trunk("secure", loopback(port + 1), "transport = \"tls\"\nsrtp = \"required\"");
    let (server, tls) = product(dir.path(), &own, &its[0], &trunks).await;
    let account = format!("<sip:caller@127.0.0.1;transport=tls>{KEYED}");
    let target = format!("sip:+15559000@{tls};transport=tls");
    let Some(phone) = Phone::start(dir.path(), port, &its[2], &account, Some(&target)) else { return };
    let log = agent.next_log(Duration::from_secs(40)).expect("the second call ends");
    assert!(log.answered && log.complete, "{log:?}\n{}", phone.peer.output());
    phone.peer.says("terminated", Duration::from_secs(10));
    let said = frames_with(&log.audio, ITS_TONE);
    // Its file is whole when it has closed it.
    until(Duration::from_secs(5), || frames_with(&phone.heard(), OUR_TONE) >= 80);
    let heard = frames_with(&phone.heard(), OUR_TONE);
    println!("{said} frames of baresip's tone came through, {heard} of 100 reached it");
    let log = std::fs::read_to_string(server.log_path()).unwrap_or_default();
    assert!(said >= 100 && heard >= 80, "{said} {heard}\n{}\n{log}", phone.peer.output());
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_is_called_by_tls_and_srtp_and_both_ends_hear_each_other() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (Some(own), Some(its)) = (certificate(dir.path(), "own"), certificate(dir.path(), "its")) else {
        return;
    };
    let steps = "person caller\n wait 4s\n tone ced 2s\n wait 2s\n hangup";
    let caller = customer(steps);
    let port = ports();
    let more = "prefixes = [\"+1555\"]\ntransport = \"tls\"\nsrtp = \"required\"";
    let trunks = trunk("callers", caller.sip_addr(), "") + &trunk("secure", loopback(port + 1), more);
    let (server, _) = product(dir.path(), &own, &its[0], &trunks).await;
    let account = format!("<sip:+15559990001@127.0.0.1;transport=tls>{KEYED};answermode=auto");
    let Some(phone) = Phone::start(dir.path(), port, &its[2], &account, None) else { return };
    let person = Scenario::parse(steps, &|_| None).expect("valid").people[0].clone();
    caller.dial(Dial {
        to: format!("sip:+15559000@{}", server.sip_addr()),
        from: format!("sip:+15551111@{}", caller.sip_addr()),
        hop: server.sip_addr(),
        person,
    });
    let log = caller.next_log(Duration::from_secs(40)).expect("the call ends");
    assert!(log.answered, "{log:?}\n{}", phone.peer.output());
    phone.peer.says("terminated", Duration::from_secs(10));
    let said = frames_with(&log.audio, ITS_TONE);
    until(Duration::from_secs(5), || frames_with(&phone.heard(), OUR_TONE) >= 80);
    let heard = frames_with(&phone.heard(), OUR_TONE);
    println!("{said} frames of baresip's tone came through, {heard} of 100 reached it");
    let log = std::fs::read_to_string(server.log_path()).unwrap_or_default();
    assert!(said >= 100 && heard >= 80, "{said} {heard}\n{}\n{log}", phone.peer.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_without_keys_is_refused_where_they_are_required_and_called_plainly_where_they_are_not() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (Some(own), Some(its)) = (certificate(dir.path(), "own"), certificate(dir.path(), "its")) else {
        return;
    };
    let steps = "person caller\n wait 4s\n tone ced 2s\n wait 2s\n hangup";
    let caller = customer(steps);
    let port = ports();
    let more = "prefixes = [\"+1555\"]\ntransport = \"tls\"\nsrtp = \"optional\"";
    let trunks = trunk("callers", caller.sip_addr(), "transport = \"udp\"")
        + &trunk("secure", loopback(port + 1), more)
        + &trunk("strict", loopback(9), "transport = \"tls\"\nsrtp = \"required\"");
    let (server, tls) = product(dir.path(), &own, &its[0], &trunks).await;
    // It dials in at once, at an address where the strictest trunk rules, and waits for calls.
    let account = format!("<sip:+15559990001@127.0.0.1;transport=tls>{PLAIN};answermode=auto");
    let target = format!("sip:+15559000@{tls};transport=tls");
    let Some(phone) = Phone::start(dir.path(), port, &its[2], &account, Some(&target)) else { return };
    phone.peer.says("488", Duration::from_secs(15));
    assert!(!phone.peer.output().contains("Call established"), "{}", phone.peer.output());
    let person = Scenario::parse(steps, &|_| None).expect("valid").people[0].clone();
    caller.dial(Dial {
        to: format!("sip:+15559000@{}", server.sip_addr()),
        from: format!("sip:+15551111@{}", caller.sip_addr()),
        hop: server.sip_addr(),
        person,
    });
    let log = caller.next_log(Duration::from_secs(40)).expect("the call ends");
    let heard = until(Duration::from_secs(10), || frames_with(&phone.heard(), OUR_TONE) >= 80);
    assert!(log.answered && heard, "{log:?}\n{}", phone.peer.output());
    assert!(frames_with(&log.audio, ITS_TONE) >= 100, "{log:?}");
}
