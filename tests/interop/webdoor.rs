//! The web door against other people's programs: schemathesis over the served description, Chromium on the pages, curl with
//! client certificates. Goal: no server error whatever is sent, pages that people can read, certificates that count as
//! keys. Method: the programs run against a carillon on loopback.

use crate::house::{KEY, OPERATOR, house, run};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::repo::tool;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_server_error() {
    let Some(st) = tool("schemathesis") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let house = house(dir.path(), "", "", "", "").await;
    let url = format!("http://127.0.0.1:{}/openapi.json", house.http);
    for key in [KEY, OPERATOR] {
        let mut command = Command::new(&st);
        command.args(["run", &url, "-H", &format!("Authorization: Bearer {key}")]);
        command.args([
            "--checks",
            "not_a_server_error",
            "--max-examples",
            "15",
            "--seed",
            "7",
            "--request-timeout",
            "30",
        ]);
        command.args(["--exclude-path-regex", "events"]);
        let (content, said) = run(400, &mut command);
        println!("{said}");
        assert!(content, "{said}");
    }
    let health =
        house.client.get(format!("http://127.0.0.1:{}/healthz", house.http)).send().await.expect("it lives");
    assert_eq!(health.status().as_u16(), 200);
}

/// A proxy that adds a cookie to each request, since a browser without hands cannot sign in; one request a connection.
fn with_cookie(to: u16, cookie: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let cookie = cookie.clone();
            std::thread::spawn(move || {
                let _ = passed_on(stream, to, &cookie);
            });
        }
    });
    port
}

fn passed_on(mut from: TcpStream, to: u16, cookie: &str) -> std::io::Result<()> {
    let (mut head, mut octet) = (Vec::new(), [0_u8]);
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        from.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    let text = String::from_utf8_lossy(&head);
    let first = text.lines().next().unwrap_or_default();
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    write!(server, "{first}\r\nHost: 127.0.0.1:{to}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    from.write_all(&answer)
}

fn photographed(chromium: &Path, dir: &Path, url: &str, name: &str) -> Vec<u8> {
    let file = dir.join(format!("{name}.png"));
    let mut command = Command::new(chromium);
    command.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--window-size=900,1100",
    ]);
    command.arg(format!("--user-data-dir={}", dir.join("profile").display()));
    command.arg(format!("--screenshot={}", file.display())).arg(url);
    let (_, said) = run(90, &mut command);
    let picture = std::fs::read(&file).unwrap_or_else(|e| panic!("{name}: {e}\n{said}"));
    if let Some(folder) = std::env::var_os("CARILLON_SCREENSHOTS") {
        let _ = std::fs::write(Path::new(&folder).join(format!("{name}.png")), &picture);
    }
    picture
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_shows_the_pages_without_script() {
    let Some(chromium) = tool("chromium") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let house = house(dir.path(), "", "", "", "").await;
    let base = format!("http://127.0.0.1:{}", house.http);
    let no_redirects =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let form = format!("key={KEY}");
    let signed = no_redirects
        .post(format!("{base}/console/login"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .expect("it answers");
    let cookie = signed.headers().get("set-cookie").and_then(|c| c.to_str().ok()).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let order = "{\"to\":\"+12125550100\",\"application\":\"app:hello\",\"purpose\":\"survey\",\"at\":\"+1h\",\
                 \"repeat\":\"FREQ=DAILY;COUNT=2\"}";
    let accepted = house
        .client
        .post(format!("{base}/v1/calls"))
        .bearer_auth(KEY)
        .header("idempotency-key", "page")
        .header("content-type", "application/json")
        .body(order)
        .send()
        .await
        .expect("it answers");
    let text = accepted.text().await.expect("a body");
    let accepted: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let id = accepted["id"].as_str().unwrap_or_else(|| panic!("{text}"));
    let campaign = accepted["campaign"].as_str().expect("a series");
    let way = house.get("/v1/suppressions/+12125550100").await;
    let stop = way["opt_out"]["url"].as_str().expect("a way out").to_owned();
    let proxy = with_cookie(house.http, cookie);
    for (path, name) in [
        ("/console/login".to_owned(), "login"),
        ("/console/order".to_owned(), "order"),
        ("/console/calls".to_owned(), "calls"),
        (format!("/console/calls/{id}"), "call"),
        (format!("/console/campaigns/{campaign}"), "campaign"),
        (stop, "stop"),
    ] {
        let picture = photographed(&chromium, dir.path(), &format!("http://127.0.0.1:{proxy}{path}"), name);
        assert!(picture.starts_with(b"\x89PNG") && picture.len() > 8_000, "{name}: {} octets", picture.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_with_a_client_certificate_is_its_tenant() {
    let (Some(curl), Some(openssl)) = (tool("curl"), tool("openssl")) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let d = dir.path().display().to_string();
    let sh = |line: String| {
        let (done, said) = run(
            60,
            Command::new("sh").args(["-c", &line.replace("openssl", &openssl.display().to_string())]),
        );
        assert!(done, "{line}\n{said}");
        said
    };
    for (name, cn) in [("ca", "Clients"), ("server", "127.0.0.1")] {
        sh(format!(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={cn} -addext subjectAltName=IP:127.0.0.1 -keyout {d}/{name}.key -out {d}/{name}.pem"
        ));
    }
    sh(format!("openssl req -newkey rsa:2048 -nodes -subj /CN=acme -keyout {d}/acme.key -out {d}/acme.csr"));
    // With an extension it is of X.509's version 3; version 1 is refused (RFC 5280 §4.1.2.1).
    std::fs::write(dir.path().join("client.ext"), "extendedKeyUsage=clientAuth\n").expect("a file");
    sh(format!(
        "openssl x509 -req -in {d}/acme.csr -CA {d}/ca.pem -CAkey {d}/ca.key -CAcreateserial -days 2 \
         -extfile {d}/client.ext -out {d}/acme.pem"
    ));
    let print = sh(format!("openssl x509 -in {d}/acme.pem -noout -fingerprint -sha256"));
    let print = print.trim().rsplit('=').next().unwrap_or_default().to_owned();
    let http = format!(
        "tls_certificate = \"{d}/server.pem\"\ntls_key = \"{d}/server.key\"\nclient_ca = \"{d}/ca.pem\""
    );
    let house = house(dir.path(), "", &http, &format!("certificates = [\"{print}\"]"), "").await;
    let url = format!("https://127.0.0.1:{}/v1/tenants", house.http);
    let ask = |more: &[&str]| {
        let mut command = Command::new(&curl);
        command.args([
            "-sS",
            "--max-time",
            "20",
            "--cacert",
            &format!("{d}/server.pem"),
            "-o",
            "-",
            "-w",
            " %{http_code}",
        ]);
        run(30, command.args(more).arg(&url)).1
    };
    let (cert, key) = (format!("{d}/acme.pem"), format!("{d}/acme.key"));
    let with = ask(&["--cert", &cert, "--key", &key]);
    assert!(with.ends_with(" 200") && with.contains("\"acme\""), "{with}");
    let without = ask(&[]);
    assert!(without.ends_with(" 401"), "{without}");
    let bearer = ask(&["-H", &format!("Authorization: Bearer {KEY}")]);
    assert!(bearer.ends_with(" 200"), "a key does as well: {bearer}");
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A web server that answers every request with this list.
fn list_server(kind: &'static str, body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut octets = [0_u8; 4_096];
            let _ = stream.read(&mut octets);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_looked_at_feeds_customers_and_orders() {
    let dir = tempfile::tempdir().expect("a folder");
    let people = list_server(
        "text/csv",
        "number,zone,opt_out\r\n+12125550100,Asia/Tokyo,no\r\n+12125550101,,yes\r\nbad,,\r\n".into(),
    );
    let wanted = "{\"request_id\":7,\"to\":\"+12125550102\",\"at\":\"+1h\"}\n{\"to\":\"+12125550103\"}\n";
    let orders = list_server("application/jsonl", wanted.into());
    let more = format!(
        "[[sources]]\nname = \"people\"\ntenant = \"acme\"\nurl = \"http://127.0.0.1:{people}/\"\nfeeds = \"customers\"\nevery = \"1s\"\n\
         [[sources]]\nname = \"wanted\"\ntenant = \"acme\"\nurl = \"http://127.0.0.1:{orders}/\"\nfeeds = \"orders\"\nevery = \"1s\"\n\
         order = {{ application = \"app:hello\", purpose = \"survey\" }}\n"
    );
    let house = house(dir.path(), "", "", "", &more).await;
    let calls = house.calls(1, Duration::from_secs(20)).await;
    assert_eq!((calls[0]["request_id"].as_str(), calls[0]["to"].as_str()), (Some("7"), Some("+12125550102")));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        house.calls(1, Duration::from_secs(1)).await.len(),
        1,
        "a row that was ordered is not ordered again"
    );
    let known = house.get("/v1/customers/+12125550100").await;
    assert_eq!(
        (known["zone"].as_str(), known["source"].as_str()),
        (Some("Asia/Tokyo"), Some("people")),
        "{known}"
    );
    let out = house.get("/v1/suppressions").await;
    assert_eq!(out["suppressions"][0]["number"], "+12125550101", "{out}");
    assert!(house.peer.output().contains("a row was refused"), "{}", house.peer.output());
}

/// The production form of `[[sources]]`: somebody else's PostgreSQL, whose types are not ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_that_is_looked_at_feeds_customers_and_orders() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(postgres) = support::infra::Postgres::start(dir.path()) else { return };
    postgres.query(
        "CREATE TABLE people (phone text, tz text, gone boolean, visits int, since timestamptz DEFAULT now());
         INSERT INTO people VALUES ('+12125550100', 'Asia/Tokyo', false, 1), ('+12125550101', NULL, true, 2), ('12', NULL, false, 3);
         CREATE TABLE wanted (id serial, phone text, name text);
         INSERT INTO wanted (phone, name) VALUES ('+12125550102', 'Ann \"A\" Lee')",
    );
    let url = postgres.url();
    let more = format!(
        "[[sources]]\nname = \"people\"\ntenant = \"acme\"\nurl = \"{url}\"\nfeeds = \"customers\"\nevery = \"1s\"\n\
         query = \"SELECT phone AS number, tz AS zone, gone AS opt_out FROM people\"\n\
         [[sources]]\nname = \"wanted\"\ntenant = \"acme\"\nurl = \"{url}\"\nfeeds = \"orders\"\nevery = \"1s\"\n\
         query = \"SELECT id AS request_id, phone AS to, json_build_object('name', name) AS params FROM wanted;\"\n\
         order = {{ application = \"app:hello\", purpose = \"survey\", at = \"+1h\" }}\n"
    );
    let house = house(dir.path(), "", "", "", &more).await;
    let calls = house.calls(1, Duration::from_secs(30)).await;
    assert_eq!((calls[0]["request_id"].as_str(), calls[0]["to"].as_str()), (Some("1"), Some("+12125550102")));
    postgres.query("INSERT INTO wanted (phone, name) VALUES ('+12125550103', 'Bob')");
    assert_eq!(
        house.calls(2, Duration::from_secs(30)).await.len(),
        2,
        "the new row, and not the old one again"
    );
    let known = house.get("/v1/customers/+12125550100").await;
    assert_eq!(
        (known["zone"].as_str(), known["source"].as_str()),
        (Some("Asia/Tokyo"), Some("people")),
        "{known}"
    );
    let out = house.get("/v1/suppressions/+12125550101").await;
    assert_eq!(out["suppressed"], true, "{out}");
    assert!(house.peer.output().contains("a row was refused"), "{}", house.peer.output());
}

/// What a mailbox provider does for its user (RFC 8058), by a program that is not ours.
#[tokio::test(flavor = "multi_thread")]
async fn curl_clicks_once_and_nobody_calls_again() {
    let Some(curl) = tool("curl") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let public = "https://dispatch.example/";
    let house = house(dir.path(), "", &format!("public_url = \"{public}\""), "", "").await;
    let way = house.get("/v1/suppressions/+12125550100").await;
    let fields = &way["mail_fields"];
    let link = way["opt_out"]["url"].as_str().expect("a link");
    let mail = way["opt_out"]["mail"].as_str().expect("an address");
    assert_eq!(fields["List-Unsubscribe"], format!("<{link}>, <mailto:{mail}>").as_str());
    let path = link.strip_prefix("https://dispatch.example").expect("the public address");
    let click = |url: String| {
        let mut command = Command::new(&curl);
        command.args(["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}"]);
        run(30, command.args(["-F", "List-Unsubscribe=One-Click"]).arg(url)).1
    };
    assert_eq!(click(format!("http://127.0.0.1:{}{path}", house.http)), "200 0");
    let out = house.get("/v1/suppressions/+12125550100").await;
    assert_eq!(
        (out["suppressed"].as_bool(), out["entries"][0]["source"].as_str()),
        (Some(true), Some("link"))
    );
    assert!(!house.peer.output().contains("2125550100"), "no number in the log");
}
