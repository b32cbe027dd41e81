//! A customer who answers by voice: a simulated telephone plays what Debian's voices said, through G.711; the document
//! asks in synthesised speech, and the branch that belongs to the words runs.

use bench::demo::mail::Mailbox;
use bench::demo::server::{Server, Setup};
use bench::farend::io::{FarEnd, Sockets};
use bench::farend::world::endpoint;
use bench::farend::{CallLog, Scenario, World, WorldConfig, mulaw};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::peers::ours;
use support::repo::tool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use units::Seed;

/// What the ear takes for the end of a prompt.
const QUIET_MS: u32 = 900;

/// A web server of one document that remembers what it was asked.
pub(crate) struct Site {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub(crate) async fn start(document: impl Fn(SocketAddr) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let document: Arc<str> = document(addr).into();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (document, seen) = (Arc::clone(&document), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut request = vec![0; 8_192];
                    let Ok(n) = stream.read(&mut request).await else { return };
                    let request = String::from_utf8_lossy(&request[..n]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    let body = if path.starts_with("/app") {
                        document.to_string()
                    } else {
                        seen.lock().expect("no panic").push(path);
                        "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><form><block><exit/></block></form></vxml>".to_owned()
                    };
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/voicexml+xml\r\nContent-Length: {}\r\n\
                         Connection: close\r\n\r\n",
                        body.len()
                    );
                    // Who has gone needs no answer.
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                });
            }
        });
        Self { addr, asked }
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

/// A phrase by flite, as mu-law WAV of 8 kHz that begins with its first sound and ends in silence.
fn say(dir: &Path, text: &str) -> Vec<u8> {
    let file = dir.join("say.wav");
    let done = Command::new("flite").args(["-voice", "rms", "-t", text, "-o"]).arg(&file).status();
    assert!(done.expect("flite runs").success());
    let octets = std::fs::read(&file).expect("flite wrote it");
    let sound = hw::audio::read("say.wav", &octets, hw::audio::Listen::Mix, &hw::audio::Limits::default());
    let samples = sound.expect("a WAV").at_8_khz().samples;
    let first = samples.iter().position(|s| s.unsigned_abs() > 400).unwrap_or(0);
    let mut octets: Vec<u8> = samples[first..].iter().map(|&s| mulaw::encode(s)).collect();
    octets.resize(octets.len() + 4_000, 0xff);
    mulaw::wav(&octets)
}

/// One call to a customer who does these steps; the third party's server, the customer's log, the order's end.
pub(crate) async fn call(
    extra: &str,
    steps: &str,
    document: impl Fn(SocketAddr) -> String,
) -> (Site, CallLog, Value, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sockets = Sockets::bind(any, any).expect("loopback");
    let text = format!("person p\n ring 0.2s\n answer\n{steps}");
    let files = |name: &str| Some(say(dir.path(), &name.trim_end_matches(".wav").replace('_', " ")));
    let config = WorldConfig {
        sip: sockets.sip_addr().expect("bound"),
        rtp: sockets.rtp_addr().expect("bound"),
        scenario: Arc::new(Scenario::parse(&text, &files).expect("valid")),
        keep_audio: true,
        quiet_ms: QUIET_MS,
        seed: Seed(7),
    };
    let customer = FarEnd::start(sockets, World::new(config.clone(), endpoint(&config))).expect("a thread");
    let (site, mailbox) = (Site::start(document).await, Mailbox::start().await.expect("a mailbox"));
    let (program, speech) = (ours("carillon"), ours("carillon-speech"));
    let extra = format!(
        "[speech]\n{}\n",
        extra
            .replace("@SPEECH@", &speech.display().to_string())
            .replace("@DIR@", &dir.path().display().to_string())
    );
    let setup = Setup {
        program: Some(&program),
        dir: dir.path(),
        trunk: customer.sip_addr(),
        mailbox: mailbox.addr(),
        extra: &extra,
    };
    let server = Server::start(&setup).expect("carillon starts");
    server.ready(Duration::from_secs(30)).await.expect("carillon comes up");
    // The recogniser loads its model.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let application = format!("http://{}/app.vxml", site.addr);
    let body = json!({ "to": "+15550100", "application": application, "purpose": "transactional" });
    let (code, answer) = server.post_call("voice-1", &body).await.expect("the API answers");
    assert_eq!(code, 202, "{answer}");
    let log = customer.next_log(Duration::from_secs(90)).expect("a call ends");
    let mut status = Value::Null;
    for _ in 0..100 {
        status = server.status(answer["id"].as_str().expect("an id")).await.expect("the API answers");
        if status["state"] == "done" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut told = std::fs::read_to_string(server.log_path()).unwrap_or_default();
    let kept = std::fs::read_dir(dir.path().join("tuning")).map_or(0, Iterator::count);
    told.push_str(&format!("\nsealed utterances: {}\nfiles to tune by: {kept}", utterances(dir.path())));
    customer.stop();
    (site, log, status, told)
}

/// Utterances that a document had kept (`recordutterance`): none lies there in the clear.
fn utterances(dir: &Path) -> usize {
    let (mut folders, mut found) = (vec![dir.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.contains("-u") && name.ends_with(".wav") {
                assert!(
                    !std::fs::read(&path).expect("a file").starts_with(b"RIFF"),
                    "{name} lies in the clear"
                );
                found += 1;
            }
        }
    }
    found
}

pub(crate) fn able() -> bool {
    let model = Path::new(speech_model()).exists();
    if !model {
        println!("SKIPPED: pocketsphinx-en-us is not installed");
    }
    model && tool("flite").is_some()
}

fn speech_model() -> &'static str {
    "/usr/share/pocketsphinx/model/en-us"
}

fn document(addr: SocketAddr) -> String {
    format!(
        r#"<?xml version="1.0"?>
<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml" xml:lang="en-US">
  <property name="inputmodes" value="voice"/>
  <property name="timeout" value="8s"/>
  <form>
    <property name="carillon.tuning.consent" value="true"/>
    <property name="recordutterance" value="true"/>
    <field name="agree" type="boolean">
      <prompt>Good day. This is the delivery service with a rather long announcement that nobody wants to hear to
      its very end, because it goes on and on. May we come tomorrow?</prompt>
      <noinput><goto next="http://{addr}/noinput"/></noinput>
      <nomatch><goto next="http://{addr}/nomatch"/></nomatch>
    </field>
    <field name="code" type="digits?length=4">
      <prompt>Please say your code.</prompt>
      <noinput><goto next="http://{addr}/noinput"/></noinput>
      <nomatch><goto next="http://{addr}/nomatch"/></nomatch>
    </field>
    <block>
      <if cond="agree"><submit next="http://{addr}/yes" namelist="code"/>
      <else/><submit next="http://{addr}/no" namelist="code"/></if>
    </block>
    <catch event="error"><goto next="http://{addr}/error"/></catch>
  </form>
</vxml>"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_says_yes_and_digits_and_cuts_the_prompt_by_voice() {
    if !able() {
        return;
    }
    let steps = " hear start within 20s\n wait 2s\n say yes.wav\n hear prompt within 10s\n hear prompt within 20s\n \
                 wait 0.3s\n say four_seven_one_one.wav\n wait hangup 30s";
    let (site, log, status, told) =
        call("program = \"@SPEECH@\"\nrecognisers = 1\ntuning = \"@DIR@/tuning\"", steps, document).await;
    println!("{:?} {log:?}", site.asked());
    assert_eq!(site.asked(), ["/yes?code=4711"], "{status}\n{told}");
    assert_eq!(status["disposition"], "completed", "{status}");
    assert!(told.ends_with("files to tune by: 4"), "two utterances, each with what was understood: {told}");
    assert!(told.contains("sealed utterances: 2\n"), "{told}");
    // From the first sound of the telephone to the last of the prompt.
    let cut_ms = log.talkover_us.first().expect("a prompt was cut") / 1_000;
    println!("the prompt stopped {cut_ms} ms after the customer began to speak");
    assert!(cut_ms <= 100, "{cut_ms} ms");
}

/// A document that only asks for a word of a grammar, and says by its next request what came of it.
pub(crate) fn one_word(addr: SocketAddr, lang: &str, properties: &str, words: &str) -> String {
    format!(
        r#"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml" xml:lang="{lang}">
  <property name="inputmodes" value="voice"/><property name="timeout" value="6s"/>{properties}
  <form>
    <field name="word">
      <grammar version="1.0" root="r" mode="voice" xml:lang="{lang}"><rule id="r"><one-of>{words}</one-of></rule></grammar>
      <prompt>Good day, this is a prompt of some length, so that it can be spoken into while it goes on.</prompt>
      <noinput><goto next="http://{addr}/noinput"/></noinput>
      <nomatch><goto next="http://{addr}/nomatch"/></nomatch>
    </field>
    <block><submit next="http://{addr}/word" namelist="word"/></block>
    <catch event="error.noresource"><goto next="http://{addr}/noresource"/></catch>
    <catch event="error.unsupported.language"><goto next="http://{addr}/nolanguage"/></catch>
  </form>
</vxml>"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hotword_cuts_by_its_match_and_other_words_do_not() {
    if !able() {
        return;
    }
    let steps =
        " hear start within 20s\n wait 0.5s\n say banana.wav\n wait 2s\n say operator.wav\n wait hangup 30s";
    let hotword = "<property name=\"bargeintype\" value=\"hotword\"/>";
    let page = |addr| one_word(addr, "en-US", hotword, "<item>operator</item>");
    let (site, log, status, told) = call("program = \"@SPEECH@\"\nrecognisers = 1", steps, page).await;
    println!("{log:?}");
    assert_eq!(site.asked(), ["/word?word=operator"], "{status}\n{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recogniser_that_dies_costs_this_call_an_event_and_no_more() {
    if !able() {
        return;
    }
    let steps = " wait 1s\n say yes.wav\n wait hangup 30s";
    let page = |addr| one_word(addr, "en-US", "", "<item>yes</item>");
    let (site, _, status, told) = call("program = \"/bin/false\"\nrecognisers = 1", steps, page).await;
    assert_eq!(site.asked(), ["/noresource"], "{status}\n{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_engine_understands_german() {
    let (Some(python), Some(_)) = (tool("python3"), tool("flite")) else { return };
    let port = support::peers::free_port();
    let script = support::repo::root().join("docs/speech-engine.py");
    let mut engine = Command::new(python)
        .arg(script)
        .args([
            &port.to_string(),
            "sh -c 'test -s \"$0\" && test \"$1\" = de-DE && echo Ja bitte' {wav} {lang}",
        ])
        .spawn()
        .expect("python starts");
    let steps = " hear start within 20s\n wait 1s\n say yes.wav\n wait hangup 30s";
    let page = |addr| one_word(addr, "de-DE", "", "<item>ja bitte</item><item>nein</item>");
    let extra = format!("program = \"@SPEECH@\"\nengine = \"http://127.0.0.1:{port}\"\nengine_speaks = true");
    let (site, _, status, told) = call(&extra, steps, page).await;
    // Our own child; that it has ended is as good.
    let _ = engine.kill();
    let _ = engine.wait();
    // A submission is form-encoded: a space is a plus.
    assert_eq!(site.asked(), ["/word?word=ja+bitte"], "{status}\n{told}");
}
