//! linphone (Debian's `linphone-cli`, driven by its commands) calls in, is bridged to a simulated telephone and hears it:
//! judged by the tone that it recorded. What it says itself is not judged: over loopback it names the host's own address in
//! its offer and sends from another, which our workers refuse, as they must by default (RTP from a foreign source).

use crate::third_party::customer;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, free_port};
use support::repo::tool;
use support::tone::{frames_with, heard, wav};

#[tokio::test(flavor = "multi_thread")]
async fn linphone_calls_in_and_hears_the_agent() {
    let Some(linphone) = tool("linphonec") else { return };
    let steps = "person agent\n ring 0.3s\n answer\n wait 1s\n tone ced 2s\n wait 2s\n hangup";
    let agent = customer(steps);
    let web: SocketAddr = crate::transfer::serve(crate::transfer::document("bridge")).await;
    let inbound =
        format!("\n[[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"http://{web}/t.vxml\"\n");
    let run = crate::world::running(agent.sip_addr(), &inbound).await;
    let home = run.dir.path().join("linphone");
    std::fs::create_dir_all(home.join(".local/share/linphone")).expect("a folder");
    let port = free_port();
    let settings = format!(
        "[sip]\nsip_port={port}\nsip_tcp_port={port}\nsip_tls_port=0\nuse_ipv6=0\n[video]\n\
         automatically_initiate=0\nautomatically_accept=0\n"
    );
    std::fs::write(home.join("rc"), settings).expect("a file");
    std::fs::write(home.join("says.wav"), wav(1_000.0, 60)).expect("a file");
    let said = format!(
        "(sleep 2; echo 'ipv6 disable'; sleep 0.3; echo 'soundcard use files'; sleep 0.3; echo 'play {0}/says.wav'; sleep 0.3; \
         echo 'record {0}/heard.wav'; echo 'call sip:+15559000@{1}'; sleep 14; echo terminate; sleep 1; echo quit) | \
         timeout 30 {2} -c {0}/rc",
        home.display(),
        run.server.sip_addr(),
        linphone.display()
    );
    let mut command = Command::new("sh");
    command.arg("-c").arg(said).env("HOME", &home);
    let mut phone = Peer::start(run.dir.path(), "linphonec", &mut command);
    let log = agent.next_log(Duration::from_secs(40)).expect("the second call ends");
    phone.wait(Duration::from_secs(40));
    let log_of_ours = std::fs::read_to_string(run.server.log_path()).unwrap_or_default();
    assert!(log.answered && log.complete, "{log:?}\n{}\n{log_of_ours}", phone.output());
    let heard = frames_with(&heard(&home.join("heard.wav")), 2_100.0);
    println!("{heard} frames of 100 reached linphone");
    assert!(heard >= 80, "{heard}\n{}\n{log_of_ours}", phone.output());
}
