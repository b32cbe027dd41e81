//! A Carillon set up for load on loopback: what the headline, the dispatch load and the promises run against.

use super::web::{Site, WebOptions};
use crate::demo::server::{Addresses, KEY, Server, program};
use crate::ports;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How large it is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Calls at a time.
    pub calls: usize,
    /// Calls a second.
    pub rate: f64,
    /// Net backend: auto, sockets, xdp or plain.
    pub backend: String,
    /// Its interface, for xdp.
    pub interface: Option<String>,
    /// Where orders are dialled to; `None`: nowhere.
    pub trunk: Option<SocketAddr>,
}

/// A running server, its web server, and its folder, which goes with it.
pub struct Running {
    /// The server.
    pub server: Server,
    /// Where the application is.
    pub web: SocketAddr,
    /// The web server's counts.
    pub site: Site,
    /// Files of the run.
    pub dir: PathBuf,
    kept: bool,
}

impl Running {
    /// Starts both and waits until they answer.
    ///
    /// # Errors
    /// What keeps them from it.
    pub async fn start(
        carillon: Option<&Path>,
        name: &str,
        size: &Size,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (site, web) = Site::start(WebOptions::good(any)).await?;
        let dir = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        super::ivr::write(&dir)?;
        let at = Addresses::free()?;
        let server = Server::launch(
            &program(carillon)?,
            &dir,
            at,
            &config(&dir, at, media_ports(size.calls)?, web, size),
        )?;
        server.ready(Duration::from_secs(30)).await?;
        Ok(Self { server, web, site, dir, kept: false })
    }

    /// Its files stay.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Ends it.
    pub async fn stop(self) {
        self.server.stop().await;
        if !self.kept {
            // What cannot be removed lies in the system's temporary folder.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Media ports for these calls: two a call and some room, of 22,000 that there are.
fn media_ports(calls: usize) -> std::io::Result<[u16; 2]> {
    let wanted = u16::try_from((calls + calls / 10 + 64) * 2).unwrap_or(u16::MAX).min(22_000);
    let low = ports::range(wanted)?;
    Ok([low, low + wanted - 1])
}

fn config(dir: &Path, at: Addresses, [low, high]: [u16; 2], web: SocketAddr, size: &Size) -> String {
    let Addresses { http, smtp, sip } = at;
    let dir = dir.display();
    let calls = size.calls + size.calls / 20 + 10;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 10,000")]
    let rate = (size.rate * 2.0).ceil() as u64 + 10;
    let interface = size.interface.as_ref().map_or(String::new(), |i| format!("interface = \"{i}\"\n"));
    let trunk = size.trunk.map_or(String::new(), |trunk| {
        format!(
            "[[trunks]]\nname = \"far\"\naddress = \"{trunk}\"\nprefixes = [\"+1555\"]\ncaller_id = \"+15550000\"\n\
             calls_max = {calls}\nrate = \"{rate}/s\"\n"
        )
    });
    format!(
        r#"# Written by carillon-bench: a server for load, everything on loopback.
[node]
name = "bench"
state = "{dir}"
admin_socket = "{dir}/admin.sock"
drain_max = "2s"
log = "warn"

[sip]
listen = ["udp:{sip}", "tcp:{sip}"]
trusted = ["127.0.0.1"]

[media]
workers = 1
backend = "{backend}"
{interface}rtp_ports = [{low}, {high}]
recordings = "{dir}/recordings"

[smtp]
listen = "{smtp}"
hostname = "dispatch.example"

[http]
listen = "{http}"

[policy]
allow_prefixes = ["+1555"]
attempts_max = 1
attempts_a_day_max = 1000000

[store]
url = "sqlite:{dir}/carillon.db"

[fetch]
plain_http = true
allow_networks = ["127.0.0.0/8"]
per_host_max = 512

[speech]
workers = 0

[limits]
calls_max = {calls}
calls_rate = "{rate}/s"
inbound_share = "100%"

[[tenants]]
name = "acme"
id = 1
keys = {{ bench = "{KEY}" }}
mail_from = ["ops@acme.example"]
mail_level_min = 0
orders_rate = "100000/s"
requests_rate = "100000/s"
orders_waiting_max = 10000000

[[inbound]]
match = "*"
tenant = "acme"
url = "http://{web}/app.vxml"

{trunk}"#,
        backend = size.backend
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_carillon_takes() {
        let at = Addresses::free().expect("loopback");
        for trunk in [None, Some(at.sip)] {
            let size =
                Size { calls: 500, rate: 250.0, backend: "auto".into(), interface: Some("lo".into()), trunk };
            let text = config(Path::new("/tmp/x"), at, media_ports(500).expect("ports"), at.http, &size);
            if let Err(e) = control::config::parse("carillon.toml", &text) {
                panic!("{e:?}\n{text}");
            }
        }
    }
}
