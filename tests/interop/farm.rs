//! Recognisers on another machine: `carillon-speech --listen` as a process of its own, reached by mutual TLS with
//! certificates that openssl made.

use super::mrcp::papers;
use super::voice::{able, call, one_word};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::mrcp::Papers;
use support::peers::{Peer, free_port, ours};

fn farm(dir: &Path, own: &Papers, believes: &str) -> (Peer, u16) {
    let port = free_port();
    let mut command = Command::new(ours("carillon-speech"));
    command
        .args(["--recognise", "--workers", "2", "--listen", &format!("tls:127.0.0.1:{port}")])
        .args(["--certificate", &own.0, "--key", &own.1, "--authorities", believes, "--folder"])
        .arg(dir.join("farm"));
    let peer = Peer::start(dir, "farm", &mut command);
    peer.says("ready on tls:", Duration::from_secs(20));
    (peer, port)
}

/// What a document made of "yes" that is heard by this farm.
async fn asked(port: u16, own: &Papers, believes: &str, begin: &str) -> (Vec<String>, String) {
    let steps = format!("{begin}\n say yes.wav\n wait hangup 40s");
    let page = |addr| one_word(addr, "en-US", "", "<item>yes</item><item>no</item>");
    // Nobody listens at the first address.
    let extra = format!(
        "workers = 1\nrecognisers = 1\nfarm = [\"tls:127.0.0.1:9\", \"tls:127.0.0.1:{port}\"]\n\
         farm_certificate = \"{}\"\nfarm_key = \"{}\"\nfarm_authorities = \"{believes}\"",
        own.0, own.1
    );
    let (site, _, status, told) = call(&extra, &steps, page).await;
    (site.asked(), format!("{status}\n{told}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_behind_a_dead_machine_speaks_and_understands_by_mutual_tls() {
    let dir = tempfile::tempdir().expect("a folder");
    let (true, Some(us), Some(farms)) = (able(), papers(dir.path(), "us"), papers(dir.path(), "farms"))
    else {
        return;
    };
    let (peer, port) = farm(dir.path(), &farms, &us.0);
    let (found, told) = asked(port, &us, &farms.0, " hear start within 20s\n wait 1s").await;
    assert_eq!(found, ["/word?word=yes"], "{told}\n{}", peer.output());
    let stranger = papers(dir.path(), "stranger").expect("another");
    // No prompt is spoken either, so nobody waits for one.
    let (found, told) = asked(port, &stranger, &farms.0, " wait 3s").await;
    assert_eq!(
        found,
        ["/noresource"],
        "a certificate that the farm does not believe: {told}\n{}",
        peer.output()
    );
}
