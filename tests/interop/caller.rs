//! baresip calls a configured number, hears the sample application's welcome, and hangs up.

use crate::world::running;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::peers::{Peer, until};
use support::repo::tool;
use support::tone::wav;

const INBOUND: &str = "\n[[inbound]]\nmatch = \"+15559000\"\ntenant = \"acme\"\nurl = \"@APP@\"\n";

/// baresip that dials a target over UDP, speaks a quiet tone, and ends after so many seconds.
pub(crate) fn dial(dir: &Path, target: &str, seconds: u32) -> Option<Peer> {
    let baresip = tool("baresip")?;
    let home = dir.join("baresip");
    std::fs::create_dir_all(&home).expect("a folder");
    let modules = ["g711.so", "account.so", "aufile.so", "menu.so"];
    let loads: String = modules.iter().map(|m| format!("module {m}\n")).collect();
    let heard = home.join("heard");
    std::fs::create_dir_all(&heard).expect("a folder");
    let says = home.join("says.wav");
    std::fs::write(&says, wav(300.0, 120)).expect("a file");
    let config = format!(
        "poll_method epoll\nnet_interface 127.0.0.1\nsip_listen 127.0.0.1:0\nmodule_path /usr/lib/baresip/modules\n{loads}\
         audio_source aufile,{}\naudio_player aufile,{}/heard.wav\naudio_alert aufile,/dev/null\n",
        says.display(),
        heard.display()
    );
    std::fs::write(home.join("config"), config).expect("a file");
    std::fs::write(home.join("accounts"), "<sip:caller@127.0.0.1>;regint=0;audio_codecs=pcmu\n")
        .expect("a file");
    let mut command = Command::new(baresip);
    command.args(["-f"]).arg(&home).args(["-t", &seconds.to_string(), "-e", &format!("/dial {target}")]);
    Some(Peer::start(dir, "baresip", &mut command))
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_calls_in_and_hears_the_application() {
    let run = running(SocketAddr::from(([127, 0, 0, 1], 9)), INBOUND).await;
    let target = format!("sip:+15559000@{}", run.server.sip_addr());
    let Some(mut peer) = dial(run.dir.path(), &target, 8) else { return };
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
