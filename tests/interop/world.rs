//! What every interop test starts: the sample application's web server, a mailbox, and `carillon serve`.

use bench::demo::mail::Mailbox;
use bench::demo::server::{Addresses, Server, Setup};
use bench::demo::web::Web;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use support::peers::ours;

/// One running product with its surroundings. The folder lives as long as this.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) web: Web,
    pub(crate) mailbox: Mailbox,
    pub(crate) dir: tempfile::TempDir,
}

/// Starts it with a trunk and further configuration; `@APP@` in it becomes the application's URL.
pub(crate) async fn running(trunk: SocketAddr, extra: &str) -> Running {
    running_sip(trunk, extra, "").await
}

/// The same with further lines of `[sip]`.
pub(crate) async fn running_sip(trunk: SocketAddr, extra: &str, sip: &str) -> Running {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let web = Web::start().await.expect("a web server");
    let mailbox = Mailbox::start().await.expect("a mailbox");
    let extra = extra.replace("@APP@", &web.application());
    let program = ours("carillon");
    let setup =
        Setup { program: Some(&program), dir: dir.path(), trunk, mailbox: mailbox.addr(), extra: &extra };
    let at = Addresses::free().expect("loopback has ports");
    let text = setup.text(at).expect("ports").replacen("\n[media]", &format!("{sip}\n[media]"), 1);
    let server = Server::launch(&program, dir.path(), at, &text).expect("carillon starts");
    server.ready(Duration::from_secs(30)).await.expect("carillon comes up");
    Running { server, web, mailbox, dir }
}

impl Running {
    /// Waits until an order is done; its status.
    pub(crate) async fn done(&self, id: &str, at_most: Duration) -> Value {
        let end = std::time::Instant::now() + at_most;
        loop {
            let status = self.server.status(id).await.expect("the API answers");
            if status.get("state").and_then(Value::as_str) == Some("done") {
                return status;
            }
            let log = std::fs::read_to_string(self.server.log_path()).unwrap_or_default();
            assert!(std::time::Instant::now() < end, "not done in {at_most:?}: {status}\n{log}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
