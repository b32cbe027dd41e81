//! baresip calls a configured number, hears the sample application's welcome, and hangs up.

use crate::world::running;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, until};
use support::repo::tool;

const INBOUND: &str = "\n[[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"@APP@\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_in_and_hears_the_application() {
    let Some(baresip) = tool("baresip") else { return };
    let run = running(SocketAddr::from(([127, 0, 0, 1], 9)), INBOUND).await;
    let home = run.dir.path().join("baresip");
    std::fs::create_dir_all(&home).expect("a folder");
    let modules = ["g711.so", "account.so", "aufile.so", "menu.so"];
    let loads: String = modules.iter().map(|m| format!("module {m}\n")).collect();
    let heard = home.join("heard");
    std::fs::create_dir_all(&heard).expect("a folder");
    let says = home.join("says.wav");
    std::fs::write(&says, tone()).expect("a file");
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:0\nmodule_path /usr/lib/baresip/modules\n{loads}\
         audio_source aufile,{}\naudio_player aufile,{}/heard.wav\naudio_alert aufile,/dev/null\n",
        says.display(),
        heard.display()
    );
    std::fs::write(home.join("config"), config).expect("a file");
    std::fs::write(home.join("accounts"), "<sip:caller@127.0.0.1>;regint=0;audio_codecs=pcmu\n")
        .expect("a file");
    let target = format!("/dial sip:+15559000@{}", run.server.sip_addr());
    let mut command = Command::new(baresip);
    command.args(["-f"]).arg(&home).args(["-t", "8", "-e", &target]);
    let mut peer = Peer::start(run.dir.path(), "baresip", &mut command);
    peer.says("established", Duration::from_secs(15));
    let fetched = until(Duration::from_secs(5), || {
        run.web.seen(|s| {
            s.fetched.iter().any(|f| f == "app.vxml") && s.fetched.iter().any(|f| f == "welcome.wav")
        })
    });
    assert!(fetched, "the application was not fetched: {:?}", run.web.seen(|s| s.fetched.clone()));
    peer.wait(Duration::from_secs(30));
    assert!(!peer.output().contains("terminated by signal"), "{}", peer.output());
}

/// Two minutes of a quiet tone, 8 kHz, 16 bits, mono.
fn tone() -> Vec<u8> {
    let octets: u32 = 120 * 8000 * 2;
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&(octets + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8000u32.to_le_bytes());
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&octets.to_le_bytes());
    for n in 0..octets / 2 {
        let v = (f64::from(n) * std::f64::consts::TAU * 300.0 / 8000.0).sin() * 300.0;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by 300")]
        wav.extend_from_slice(&(v as i16).to_le_bytes());
    }
    wav
}
