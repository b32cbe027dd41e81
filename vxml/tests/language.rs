//! Our own tests of VoiceXML 2.0 and 2.1, written from the standards' text for what the W3C's suite leaves out. Data
//! first: small documents, a scripted caller, and the story expected; each case is named by the section it tests.
//!
//! A case file holds cases like this (further documents follow as `--- NAME`):
//! ```text
//! === vxml20_2_3_1 what it says
//! <form>...</form>
//! >>> press 1; say yes
//! <<< What is heard. | log:what is logged | [exit]
//! ```

use vxml::runner::{Line, Run, RunConfig, fetched, parse_script};
use vxml::session::{FetchError, FetchRequest, Fetched};
use vxml::{Documents, SessionConfig};

struct Case<'a> {
    name: &'a str,
    documents: Vec<(&'a str, String)>,
    script: String,
    expected: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    text.split("\n=== ").skip(1).map(case).collect()
}

fn case(text: &str) -> Case<'_> {
    let (name, rest) = text.split_once('\n').expect("a case has a name");
    let (body, expected) = rest.split_once("\n<<< ").expect("a case has an expectation");
    let (body, script) = body.split_once("\n>>> ").unwrap_or((body, ""));
    let documents = body.split("\n--- ").enumerate().map(|(i, d)| {
        let (name, body) =
            if i == 0 { ("start", d) } else { d.split_once('\n').expect("a document has a name") };
        let bare = body.trim_start().starts_with("<vxml")
            || !matches!(name.rsplit_once('.'), None | Some((_, "vxml")));
        let whole = if bare {
            body.to_owned()
        } else {
            format!(
                "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\" xml:lang=\"en-US\">{body}</vxml>"
            )
        };
        (name, whole)
    });
    Case {
        name,
        documents: documents.collect(),
        script: script.replace(';', "\n"),
        expected: expected.trim(),
    }
}

fn run(case: &Case<'_>) -> String {
    let steps = parse_script(&case.script).expect("the script is one");
    let mut steps = steps.into_iter();
    let mut cache = Documents::new(64);
    let mut session = SessionConfig::new("http://app/start");
    session.lenient = case.name.contains("lenient");
    session.connection.remote_uri = "tel:+15551234".to_owned().into();
    session.connection.local_uri = "sip:100@host".to_owned().into();
    session.objects = vec!["carillon:keys".into()];
    if case.name.contains("nobody speaks") {
        session.languages = vec!["en".into()];
    }
    let mut config = RunConfig::new(session);
    config.minutes_max = 30;
    let fetch = |r: &FetchRequest| -> Result<Fetched, FetchError> {
        let path = r.url.strip_prefix("http://app/").ok_or(FetchError::Unreachable)?;
        let name = path.split('?').next().unwrap_or("");
        let body = case.documents.iter().find(|(n, _)| *n == name).ok_or(FetchError::Status(404))?;
        Ok(fetched(&r.url, "", body.1.as_bytes()))
    };
    let lines = Run::new(config, &mut cache, fetch, |_| steps.next()).finish().0;
    let shown: Vec<String> = lines.iter().filter_map(|l| show(l, case.expected)).collect();
    shown.join(" | ")
}

fn show(line: &Line, expected: &str) -> Option<String> {
    let json = &line.0;
    let wanted = |what: &str| expected.contains(what);
    Some(match line.kind() {
        "prompt" => line.text().to_owned(),
        "log" => match json["label"].as_str() {
            Some(label) => format!("log:{label}={}", line.text()),
            None => format!("log:{}", line.text()),
        },
        "event" if wanted("event:") => format!("event:{}", line.text()),
        "input" if wanted("input:") => format!("input:{}", line.text()),
        "listen" if wanted("listen") => "listen".to_owned(),
        "fetch" if wanted("fetch:") => {
            let method = json["method"].as_str().unwrap_or("").to_lowercase();
            format!("fetch:{method} {}", json["url"].as_str().unwrap_or("").replace("http://app/", ""))
        }
        "transfer" => format!("transfer:{}", json["transfer"].as_str().unwrap_or("")),
        "record" => "record".to_owned(),
        "disconnect" => format!("[disconnect {}]", json["values"]),
        "error" => format!("[{}]", line.text()),
        "exit" => match (json["reason"].as_str().unwrap_or(""), json["values"].as_object()) {
            (reason, Some(v)) if !v.is_empty() => format!("[{reason} {}]", json["values"]),
            (reason, _) => format!("[{reason}]"),
        },
        _ => return None,
    })
}

fn check(text: &str) {
    let all = cases(text);
    assert!(!all.is_empty());
    let mut wrong = Vec::new();
    for case in &all {
        let got = run(case);
        if got != case.expected {
            wrong.push(format!("{}\n  expected {}\n  got      {got}", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {} fail:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

#[test]
fn forms_items_and_events() {
    check(include_str!("language/forms.txt"));
}

#[test]
fn input_and_grammars() {
    check(include_str!("language/input.txt"));
}

#[test]
fn recordings_silence_objects_and_languages() {
    check(include_str!("language/media.txt"));
}

#[test]
fn prompts_and_markup() {
    check(include_str!("language/prompts.txt"));
}

#[test]
fn variables_scripts_and_data() {
    check(include_str!("language/script.txt"));
}

#[test]
fn transitions_and_fetching() {
    check(include_str!("language/transitions.txt"));
}
