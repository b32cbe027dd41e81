//! A customer opts out by a key: the application came with the order, the far end presses nine, and nobody calls again.

use crate::third_party::customer;
use crate::world::running;
use bench::demo::server::KEY;
use std::time::Duration;

const APPLICATION: &str = "<?xml version=\"1.0\"?><vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><form>\
<field name=\"d\" type=\"digits?length=1\"><prompt>Press nine to be called no more.</prompt>\
<filled><var name=\"opt_out\" expr=\"d == '9'\"/><exit namelist=\"opt_out d\"/></filled></field></form></vxml>";

#[tokio::test(flavor = "multi_thread")]
async fn nine_is_no_more_calls() {
    let customer = customer("person a\n answer\n hear prompt\n press 9\n wait hangup 30s");
    let run = running(customer.sip_addr(), "").await;
    let base = format!("http://{}", run.server.http_addr());
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::new();
    let order = "{\"to\":\"+15550100\",\"application\":\"cid:app\",\"purpose\":\"transactional\"}";
    let post = |key: &'static str, application: &str| {
        let body = format!(
            "--b\r\nContent-Type: application/json\r\n\r\n{order}\r\n--b\r\nContent-Type: application/voicexml+xml\r\n\
             Content-ID: <app>\r\n\r\n{application}\r\n--b--\r\n"
        );
        let request = client.post(format!("{base}/v1/calls")).bearer_auth(KEY).header("idempotency-key", key);
        request.header("content-type", "multipart/mixed; boundary=b").body(body).send()
    };
    let broken = post("broken", "<vxml version=\"2.1\"><form>").await.expect("an answer");
    let said = (broken.status().as_u16(), broken.text().await.expect("a body"));
    assert!(said.0 == 400 && said.1.contains("VoiceXML"), "a broken document refuses its order: {said:?}");

    let taken = post("first", APPLICATION).await.expect("an answer");
    let text = taken.text().await.expect("a body");
    let taken: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let id = taken["id"].as_str().unwrap_or_else(|| panic!("{text}"));
    let status = run.done(id, Duration::from_secs(60)).await;
    assert_eq!(status["disposition"], "completed", "{status}");
    assert_eq!(status["result"]["values"]["d"], "9", "opened for its owner: {status}");

    let list =
        client.get(format!("{base}/v1/suppressions")).bearer_auth(KEY).send().await.expect("an answer");
    let list: serde_json::Value = serde_json::from_str(&list.text().await.expect("a body")).expect("JSON");
    let entry = &list["suppressions"][0];
    assert_eq!(
        (entry["number"].as_str(), entry["source"].as_str()),
        (Some("+15550100"), Some("keypad")),
        "{list}"
    );
    let again = post("second", APPLICATION).await.expect("an answer");
    assert_eq!(again.status().as_u16(), 403, "nobody calls again");

    let database = std::fs::read(run.dir.path().join("carillon.db")).expect("a file");
    let journal = std::fs::read(run.dir.path().join("carillon.db-wal")).unwrap_or_default();
    let holds = |octets: &[u8], word: &[u8]| octets.windows(word.len()).any(|w| w == word);
    assert!([&database, &journal].iter().any(|o| holds(o, b"sealed:1:")), "values lie sealed");
    assert!(![&database, &journal].iter().any(|o| holds(o, b"\"opt_out\":")), "and only sealed");
}
