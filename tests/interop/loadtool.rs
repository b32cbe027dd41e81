//! The load tool against a server that is bad on purpose, and against programs that others wrote: each fault is found
//! with its number, and what is good is found good.

use bench::farend::io::{FarEnd, Sockets};
use bench::farend::pacer::Pace;
use bench::farend::world::{Campaign, endpoint};
use bench::farend::{CallLog, Scenario, World, WorldConfig, mulaw, tones};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::peers::{Peer, free_port, ours};
use support::repo::tool;
use units::Seed;

/// Two prompts that sound unlike each other, of two seconds each.
fn prompt(name: &str) -> Option<Vec<u8>> {
    let seed = Seed(if name == "a.wav" { 1 } else { 2 });
    let mut audio = tones::speech(2000, seed);
    audio[14_400..].copy_from_slice(&tones::sine(440.0, 200));
    Some(mulaw::wav(&audio))
}

fn far_end(scenario: &str, seed: u64, ports: u16) -> FarEnd {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::bind_many(any, any, ports).expect("loopback");
    let config = WorldConfig {
        sip: sockets.sip_addr().expect("bound"),
        rtp: sockets.rtp_addr().expect("bound"),
        scenario: Arc::new(Scenario::parse(scenario, &prompt).expect("valid")),
        keep_audio: false,
        quiet_ms: 500,
        seed: Seed(seed),
    };
    let world = World::new(config.clone(), endpoint(&config)).with_ports(sockets.rtp_addrs().expect("bound"));
    FarEnd::start(sockets, world).expect("a thread")
}

/// `n` calls to a server that does as `server` says, all at once; the callers' logs.
fn calls(server: &str, caller: &str, n: u16) -> Vec<CallLog> {
    let far = far_end(server, 7, 1);
    let callers = far_end(caller, 2, n);
    let pace = Pace { rate: 200.0, hold: 0, calls: n.into() };
    let to = format!("sip:ivr@{}", far.sip_addr());
    let from = format!("sip:caller{{n}}@{}", callers.sip_addr());
    callers.campaign(Some(Campaign { pace, to, from, hop: far.sip_addr() }));
    let logs: Vec<CallLog> =
        (0..n).map(|_| callers.next_log(Duration::from_secs(30)).expect("a call ends")).collect();
    assert_eq!(callers.snapshot().counts.ambiguous, 0, "every call has a port of its own");
    logs
}

fn sum(logs: &[CallLog], f: fn(&CallLog) -> u64) -> u64 {
    logs.iter().map(f).sum()
}

/// The middle one of what each call tells once.
fn middle(logs: &[CallLog], f: fn(&CallLog) -> Option<u64>) -> u64 {
    let mut all: Vec<u64> = logs.iter().filter_map(f).collect();
    assert_eq!(all.len(), logs.len(), "each call tells one: {logs:?}");
    all.sort_unstable();
    all[all.len() / 2]
}

const KNOWS: &str = "prompt a a.wav\nprompt b b.wav\nperson caller\n";

#[test]
fn a_server_that_drops_two_packets_of_a_hundred_is_found_out() {
    let server = "network loss 2%\nperson ivr\n answer\n wait 5s\n hangup";
    let logs = calls(server, "person caller\n wait hangup 9s", 40);
    let (came, missing) = (sum(&logs, |l| l.hearing.packets), sum(&logs, |l| l.hearing.missing));
    let permille = missing * 10_000 / (came + missing);
    // About 10,000 packets: three standard deviations are 42 of 10,000.
    assert!((155..=245).contains(&permille), "{missing} of {} missing", came + missing);
    assert_eq!((sum(&logs, |l| l.hearing.wrong), sum(&logs, |l| l.hearing.duplicated)), (0, 0));
}

#[test]
fn doubled_and_disordered_packets_are_told_apart() {
    let server = "network duplicate 5% reorder 3%\nperson ivr\n answer\n wait 5s\n hangup";
    let logs = calls(server, "person caller\n wait hangup 9s", 40);
    let packets = sum(&logs, |l| l.hearing.packets);
    let share = |n: u64| n * 10_000 / packets;
    let (doubled, disordered) = (sum(&logs, |l| l.hearing.duplicated), sum(&logs, |l| l.hearing.reordered));
    assert!((430..=570).contains(&share(doubled)), "{doubled} of {packets} doubled");
    // A packet that is held back 25 ms comes behind its successor, unless that is held back too.
    assert!((210..=360).contains(&share(disordered)), "{disordered} of {packets} out of order");
    assert!(sum(&logs, |l| l.hearing.missing) * 1000 < packets, "held back is not missing");
}

#[test]
fn late_prompts_slow_reactions_and_talk_over_have_their_times() {
    let server = "person ivr\n answer\n wait 1.2s\n say a.wav\n hear digits 1 within 9s\n wait 0.4s\n hush\n wait 0.7s\n\
                  say b.wav\n wait said\n wait 0.8s\n hangup";
    let caller = format!(
        "{KNOWS} hear start within 5s\n wait 0.5s\n press 1\n hear prompt a\n hear prompt b within 9s\n wait hangup 9s"
    );
    let logs = calls(server, &caller, 10);
    assert!(logs.iter().all(|l| l.complete), "{logs:?}");
    let ms = |us: u64| us / 1000;
    // The machine may be loaded: what is told is never early, and not late by more than it.
    let sound = ms(middle(&logs, |l| l.first_sound_us));
    assert!((1180..1500).contains(&sound), "first sound after {sound} ms, owed 1200");
    let over = ms(middle(&logs, |l| l.talkover_us.first().copied()));
    assert!((380..700).contains(&over), "talked over for {over} ms, owed 400");
    // 0.4 s and 0.7 s after the key came.
    let reaction = ms(middle(&logs, |l| l.reactions_us.first().copied()));
    assert!((1080..1500).contains(&reaction), "reacted after {reaction} ms, owed 1100");
}

#[test]
fn another_prompt_a_cut_one_and_doubled_keys_are_found_in_each_call() {
    let wrong = "person ivr\n answer\n wait 0.2s\n say b.wav\n wait 4s\n hangup";
    let logs = calls(wrong, &format!("{KNOWS} hear prompt a within 6s\n hangup"), 5);
    assert_eq!(sum(&logs, |l| l.wrong_prompts.into()), 5, "{logs:?}");
    assert!(logs.iter().all(|l| l.stuck.as_deref().is_some_and(|s| s.ends_with("heard b"))), "{logs:?}");

    let cut = "person ivr\n answer\n wait 0.2s\n say a.wav\n wait 1.1s\n hush\n wait 3s\n hangup";
    let logs = calls(cut, &format!("{KNOWS} hear prompt a within 6s\n hangup"), 5);
    assert_eq!(sum(&logs, |l| l.cut_prompts.into()), 5, "{logs:?}");

    let doubled = "person ivr\n answer\n wait 0.2s\n press 44711\n wait 4s\n hangup";
    let logs = calls(doubled, "person caller\n hear digits 4711 within 6s\n hangup", 5);
    assert_eq!(sum(&logs, |l| l.doubled_digits.into()), 5, "{logs:?}");
    let right = "person ivr\n answer\n wait 0.2s\n press 4711\n wait 4s\n hangup";
    let logs = calls(right, "person caller\n hear digits 4711 within 6s\n hangup", 5);
    assert!(logs.iter().all(|l| l.complete && l.doubled_digits + l.wrong_digits == 0), "{logs:?}");
}

#[test]
fn people_whom_everybody_meets_behave_as_they_are_called() {
    for (kind, answered, status) in [
        ("busy", false, Some(486)),
        ("sit", false, Some(404)),
        ("reject", false, Some(603)),
        ("fax", true, None),
    ] {
        let caller = "person caller\n abandon 20s\n hear start within 9s\n hangup";
        let logs = calls(&format!("person x like {kind}"), caller, 2);
        for log in &logs {
            assert_eq!((log.answered, log.status), (answered, status), "{kind}: {log:?}");
        }
    }
    let logs = calls("person x like noanswer", "person caller\n abandon 1.5s\n hangup", 2);
    assert!(logs.iter().all(|l| !l.answered && l.complete), "{logs:?}");
}

/// Files of a CLI run.
fn scenario(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    for file in ["a.wav", "b.wav"] {
        std::fs::write(dir.join(file), prompt(file).expect("known")).expect("a file");
    }
    let path = dir.join(name);
    std::fs::write(&path, text).expect("a file");
    path
}

fn bench(dir: &Path, name: &str, words: &[&str]) -> Peer {
    Peer::start(dir, name, Command::new(ours("carillon-bench")).args(words))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("a result")).expect("JSON")
}

/// A certificate for 127.0.0.1 and its key; `None`: there is no openssl.
fn certificate(dir: &Path) -> Option<(String, String)> {
    let openssl = tool("openssl")?;
    let file = |name: &str| dir.join(name).to_str().expect("a path").to_owned();
    let (key, chain) = (file("key.pem"), file("chain.pem"));
    let made = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=bench",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &chain,
        ])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((chain, key))
}

/// A `pstn` of this program that answers and says a prompt; its SIP address.
fn network(dir: &Path) -> (Peer, String) {
    let people =
        scenario(dir, "people.txt", "person ivr\n answer\n wait 0.3s\n say a.wav\n wait 30s\n hangup");
    let sip = format!("127.0.0.1:{}", free_port());
    let people = people.to_str().expect("a path");
    let rang = dir.join("rang.csv");
    let mut words = vec![
        "pstn",
        "--scenario",
        people,
        "--sip",
        &sip,
        "--rang",
        rang.to_str().expect("a path"),
        "--plain",
    ];
    let own = certificate(dir);
    if let Some((chain, key)) = &own {
        words.extend(["--tls-certificate", chain, "--tls-key", key]);
    }
    let peer = bench(dir, "pstn", &words);
    peer.says("the network answers", Duration::from_secs(20));
    (peer, sip)
}

#[test]
fn the_command_calls_over_udp_tcp_and_tls_and_writes_json_csv_and_a_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut pstn, sip) = network(dir.path());
    let caller = scenario(dir.path(), "caller.txt", &format!("{KNOWS} hear prompt a within 9s\n hangup"));
    let above = sip.rsplit_once(':').map_or(0, |(_, port)| port.parse::<u16>().expect("a port")) + 1;
    let secure = format!("127.0.0.1:{above}");
    let chain = dir.path().join("chain.pem").to_str().expect("a path").to_owned();
    let (agent_at, pid) = (format!("127.0.0.1:{}", free_port()), pstn.pid().to_string());
    let agent = bench(dir.path(), "agent", &["agent", "--listen", &agent_at, "--pid", &pid]);
    agent.says("is told at", Duration::from_secs(20));
    let agent_url = format!("http://{agent_at}/");
    let ways = if Path::new(&chain).is_file() { vec!["udp", "tcp", "tls"] } else { vec!["udp", "tcp"] };
    for &over in &ways {
        let target = if over == "tls" { &secure } else { &sip };
        let file = |end: &str| dir.path().join(format!("{over}.{end}")).to_str().expect("a path").to_owned();
        let (json_file, html, csv) = (file("json"), file("html"), file("csv"));
        let mut words = vec![
            "call",
            "--scenario",
            caller.to_str().expect("a path"),
            "--target",
            target,
            "--transport",
            over,
            "--to",
            "+1555{n}",
            "--calls",
            "4",
            "--rtp-ports",
            "4",
            "--rate",
            "20",
            "--json",
            &json_file,
            "--html",
            &html,
            "--csv",
            &csv,
            "--server-agent",
            &agent_url,
            "--plain",
        ];
        if over == "tls" {
            words.extend(["--tls-authority", &chain]);
        }
        let mut call = bench(dir.path(), over, &words);
        call.wait(Duration::from_secs(60));
        let r = json(Path::new(&json_file));
        assert_eq!(
            (&r["calls"], &r["complete"], &r["prompts"]["a"]),
            (&4.into(), &4.into(), &4.into()),
            "{r}"
        );
        assert!(r["seed"] == 1 && r["machine"]["cores"].as_u64() >= Some(1), "{r}");
        assert!(r["server"]["threads"].as_u64() >= Some(1) && r["server"]["cpu_ms"].is_u64(), "{r}");
        assert_eq!(std::fs::read_to_string(&csv).expect("rows").lines().count(), 5);
        assert!(std::fs::read_to_string(&html).expect("a page").contains("<svg"));
    }
    let worse = dir.path().join("udp.json").to_str().expect("a path").to_owned();
    let mut compare = bench(dir.path(), "compare", &["compare", &worse, &worse]);
    assert!(compare.wait(Duration::from_secs(20)).success(), "{}", compare.output());
    pstn.signal(libc::SIGINT);
    let rang = std::fs::read_to_string(dir.path().join("rang.csv")).expect("what rang");
    assert_eq!(
        rang.lines().filter(|l| l.starts_with("+1555") && l.contains(&format!(",{},", ways.len()))).count(),
        4,
        "{rang}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_the_calls_and_nothing_panics() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut pstn, sip) = network(dir.path());
    let caller = scenario(dir.path(), "caller.txt", "person caller\n wait hangup 60s");
    let mut child = Command::new(ours("carillon-bench"))
        .args([
            "call",
            "--scenario",
            caller.to_str().expect("a path"),
            "--target",
            &sip,
            "--hold",
            "3",
            "--plain",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    lines.read_line(&mut line).expect("a first line");
    drop(lines);
    let begun = Instant::now();
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(begun.elapsed() < Duration::from_secs(30) && !told.contains("panicked"), "{told}");
    pstn.signal(libc::SIGINT);
    assert!(pstn.output().contains("\"calls\": 3"), "each call was ended by BYE:\n{}", pstn.output());
}

#[test]
fn what_is_wrong_is_said_in_one_message() {
    let dir = tempfile::tempdir().expect("a folder");
    let bad = scenario(dir.path(), "bad.txt", "person x\n answer\n dance");
    let good = scenario(dir.path(), "good.txt", "person x\n hangup");
    let called = scenario(dir.path(), "called.txt", "person x\n ring 1s\n answer");
    let target = format!("127.0.0.1:{}", free_port());
    for (file, extra, status, word) in [
        (&bad, vec!["--calls", "1"], 2, "bad.txt: line 3: `dance` is no step"),
        (&good, vec!["--rate", "0"], 2, "--rate 0: 0 < rate"),
        (&called, vec!["--calls", "1"], 2, "line 2: ring 1s: only who is called"),
        (&good, vec!["--calls", "1", "--server-pid", "4294967"], 2, "nothing to measure"),
        (&good, vec!["--calls", "1", "--transport", "tcp"], 1, "never answered"),
    ] {
        let mut words =
            vec!["call", "--plain", "--scenario", file.to_str().expect("a path"), "--target", &target];
        words.extend(extra);
        let mut peer = bench(dir.path(), "wrong", &words);
        let ended = peer.wait(Duration::from_secs(60));
        let told = peer.output();
        assert!(ended.code() == Some(status) && !told.contains("panicked"), "{word}: {ended}\n{told}");
        assert!(told.contains(word) || (status == 1 && told.contains("refused")), "{word}:\n{told}");
    }
}

#[test]
fn sipp_answers_and_echoes_and_sipp_calls() {
    let Some(sipp) = tool("sipp") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let (sip, media) = (free_port().to_string(), free_port().to_string());
    let mut command = Command::new(&sipp);
    command.current_dir(dir.path()).args([
        "-sn",
        "uas",
        "-i",
        "127.0.0.1",
        "-mi",
        "127.0.0.1",
        "-nostdin",
        "-rtp_echo",
    ]);
    let _uas = Peer::start(dir.path(), "uas", command.args(["-p", &sip, "-mp", &media, "-timeout", "60"]));
    let caller = scenario(
        dir.path(),
        "caller.txt",
        &format!("{KNOWS} wait 0.3s\n say a.wav\n hear prompt a within 9s\n hangup"),
    );
    let result = dir.path().join("r.json");
    let target = format!("127.0.0.1:{sip}");
    let words = [
        "call",
        "--scenario",
        caller.to_str().expect("a path"),
        "--target",
        &target,
        "--calls",
        "5",
        "--rtp-ports",
        "5",
        "--quiet-ms",
        "500",
        "--json",
        result.to_str().expect("a path"),
        "--plain",
    ];
    let mut call = bench(dir.path(), "call", &words);
    call.wait(Duration::from_secs(60));
    let r = json(&result);
    assert_eq!(
        (&r["complete"], &r["prompts"]["a"], &r["streams"]["missing"]),
        (&5.into(), &5.into(), &0.into()),
        "{r}"
    );

    let (mut pstn, ours) = network(dir.path());
    let mut command = Command::new(sipp);
    command.current_dir(dir.path()).args([
        "-sn",
        "uac",
        &ours,
        "-i",
        "127.0.0.1",
        "-nostdin",
        "-m",
        "5",
        "-d",
        "1200",
    ]);
    let mut uac =
        Peer::start(dir.path(), "uac", command.args(["-p", &free_port().to_string(), "-timeout", "40"]));
    assert!(uac.wait(Duration::from_secs(60)).success(), "{}", uac.output());
    pstn.signal(libc::SIGINT);
    assert!(pstn.output().contains("\"answered\": 5"), "{}", pstn.output());
}

#[test]
fn baresip_answers_and_is_heard() {
    let Some(baresip) = tool("baresip") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let home = dir.path().join("baresip");
    std::fs::create_dir_all(&home).expect("a folder");
    let tone: Vec<u8> = tones::sine(440.0, 20_000);
    let says = home.join("says.wav");
    std::fs::write(&says, linear(&tone)).expect("a file");
    let sip = free_port();
    let loads: String =
        ["g711.so", "account.so", "aufile.so", "menu.so"].iter().map(|m| format!("module {m}\n")).collect();
    let config = format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{sip}\nmodule_path /usr/lib/baresip/modules\n{loads}\
         audio_source aufile,{}\naudio_player aufile,{}\naudio_alert aufile,/dev/null\n",
        says.display(),
        home.join("heard.wav").display()
    );
    std::fs::write(home.join("config"), config).expect("a file");
    let account = "<sip:called@127.0.0.1>;regint=0;audio_codecs=pcmu;answermode=auto\n";
    std::fs::write(home.join("accounts"), account).expect("a file");
    let mut command = Command::new(baresip);
    let peer = Peer::start(dir.path(), "baresip", command.arg("-f").arg(&home).args(["-t", "40"]));
    peer.says("baresip is ready", Duration::from_secs(20));
    let caller =
        scenario(dir.path(), "caller.txt", "person caller\n hear start within 9s\n wait 2s\n hangup");
    let result = dir.path().join("r.json");
    let target = format!("127.0.0.1:{sip}");
    let words = [
        "call",
        "--scenario",
        caller.to_str().expect("a path"),
        "--target",
        &target,
        "--to",
        "called",
        "--calls",
        "1",
        "--json",
        result.to_str().expect("a path"),
        "--plain",
    ];
    let mut call = bench(dir.path(), "call", &words);
    call.wait(Duration::from_secs(60));
    let r = json(&result);
    assert_eq!((&r["complete"], &r["streams"]["wrong"]), (&1.into(), &0.into()), "{r}\n{}", peer.output());
    assert!(r["streams"]["packets"].as_u64() > Some(50), "{r}");
}

/// A WAV of 16 bits.
fn linear(mu: &[u8]) -> Vec<u8> {
    let octets = u32::try_from(mu.len() * 2).expect("short");
    let mut wav = b"RIFF".to_vec();
    wav.extend_from_slice(&(octets + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&8000u32.to_le_bytes());
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&octets.to_le_bytes());
    mu.iter().for_each(|&o| wav.extend_from_slice(&mulaw::decode(o).to_le_bytes()));
    wav
}

/// The headline and the dispatch load, small: the whole program under them.
#[test]
fn complete_voicexml_calls_are_held_and_orders_ring_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (headline, dispatch) = (dir.path().join("headline.json"), dir.path().join("dispatch.json"));
    let words = [
        "headline",
        "--hold",
        "10",
        "--seconds",
        "5",
        "--no-pin",
        "--plain",
        "--backend",
        "plain",
        "--late-max",
        "100",
        "--json",
        headline.to_str().expect("a path"),
    ];
    let mut peer = bench(dir.path(), "headline", &words);
    peer.wait(Duration::from_secs(150));
    let r = json(&headline);
    assert!(r["prompts"]["first"].as_u64() >= Some(5) && r["prompts"].get("not declared").is_none(), "{r}");
    assert_eq!(r["streams"]["missing"], 0, "{r}");
    assert!(r["points"][0]["held"].as_f64() > Some(8.0), "{r}");
    assert!(r["calls_by_disposition"]["completed"].as_f64() > Some(0.0), "{r}");
    assert!(r["server"]["cpu_us_by_thread"].as_object().is_some_and(|t| !t.is_empty()), "{r}");

    let words = ["dispatch", "--orders", "50", "--json", dispatch.to_str().expect("a path")];
    let mut peer = bench(dir.path(), "dispatch", &words);
    assert!(peer.wait(Duration::from_secs(90)).success(), "{}", peer.output());
    let r = json(&dispatch);
    assert_eq!((&r["rang"], &r["numbers_that_rang_more_than_once"]), (&50.into(), &0.into()), "{r}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_are_given_as_orders_and_refusals_are_told_by_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let house = crate::house::house(dir.path(), "", "", "mail_level_min = 0", "").await;
    let smtp = format!("127.0.0.1:{}", house.smtp);
    let given = |name: &'static str, tenant: &str| {
        let result = dir.path().join(format!("{name}.json"));
        let to = format!("call+{tenant}@dispatch.example");
        let mut words =
            vec!["orders", "--smtp", &smtp, "--mail-to", &to, "--orders", "20", "--connections", "4"];
        words.extend(["--json", result.to_str().expect("a path")]);
        bench(dir.path(), name, &words).wait(Duration::from_secs(90));
        json(&result)
    };
    let well = given("known", "acme");
    assert_eq!((&well["accepted"], &well["latency_us"]["n"]), (&20.into(), &20.into()), "{well}");
    assert_eq!(house.calls(20, Duration::from_secs(20)).await.len(), 20);
    let refused = given("unknown", "nobody");
    assert_eq!(refused["accepted"], 0, "{refused}");
    assert_eq!(refused["refused"].as_object().map(serde_json::Map::len), Some(1), "{refused}");
}
