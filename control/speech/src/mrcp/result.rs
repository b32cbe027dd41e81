//! What a recogniser's result says: NLSML (RFC 6787 §6.3) or EMMA (W3C 1.0), as readings with what they mean.

use crate::frame::Reading;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

/// Readings of one result.
pub const READINGS_MAX: usize = 100;
/// Elements inside each other.
const DEPTH_MAX: usize = 32;
/// Elements of one result.
const ELEMENTS_MAX: usize = 10_000;

/// Reads a result by its media type; best first, none if nothing matched. What is malformed gives what was read before.
#[must_use]
pub fn read(media_type: &str, body: &[u8]) -> Vec<Reading> {
    let Ok(text) = std::str::from_utf8(body) else { return Vec::new() };
    let kind = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut readings = match kind.as_str() {
        "application/nlsml+xml" | "application/x-nlsml" => gather(text, "instance"),
        "application/emma+xml" => gather(text, "interpretation"),
        _ => Vec::new(),
    };
    readings.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    readings
}

/// An element being read.
struct Node {
    name: String,
    text: String,
    children: Vec<(String, Value)>,
}

/// The interpretation being read.
struct Current {
    confidence: Option<f32>,
    said: String,
    meaning: Option<Value>,
    matched: bool,
}

/// Both are lists of `interpretation`; in NLSML the meaning stands in `instance`, in EMMA in the interpretation itself.
fn gather(text: &str, meaning_in: &str) -> Vec<Reading> {
    let mut reader = Reader::from_str(text);
    let mut readings = Vec::new();
    let mut current: Option<Current> = None;
    let mut open: Vec<Node> = Vec::new();
    let mut elements = 0;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                elements += 1;
                if open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                    break;
                }
                let node = Node { name: local(&start), text: String::new(), children: Vec::new() };
                begin(&node.name, &start, &mut current);
                open.push(node);
            }
            Event::Empty(start) => {
                let name = local(&start);
                if let (Some(current), "nomatch" | "noinput") = (&mut current, name.as_str()) {
                    current.matched = false;
                }
                if let Some(parent) = open.last_mut().filter(|p| p.children.len() < ELEMENTS_MAX) {
                    parent.children.push((name, Value::String(String::new())));
                }
            }
            Event::Text(piece) => {
                if let (Some(node), Ok(piece)) = (open.last_mut(), piece.decode()) {
                    node.text.push_str(&piece);
                }
            }
            Event::GeneralRef(reference) => {
                let named = reference.decode().ok();
                let known = named.as_deref().and_then(quick_xml::escape::resolve_predefined_entity);
                if let (Some(node), Some(known)) = (open.last_mut(), known) {
                    node.text.push_str(known);
                }
            }
            Event::End(_) => {
                let Some(node) = open.pop() else { break };
                end(node, meaning_in, &mut open, &mut current, &mut readings);
            }
            Event::Eof => break,
            _ => {}
        }
        if readings.len() >= READINGS_MAX {
            break;
        }
    }
    readings
}

fn local(start: &BytesStart<'_>) -> String {
    String::from_utf8_lossy(start.local_name().as_ref()).into_owned()
}

fn begin(name: &str, start: &BytesStart<'_>, current: &mut Option<Current>) {
    let attribute = |wanted: &str| {
        let all = start.attributes().filter_map(Result::ok);
        let mut named = all.filter(|a| a.key.local_name().as_ref() == wanted.as_bytes());
        named.next().map(|a| String::from_utf8_lossy(&a.value).into_owned())
    };
    match name {
        "interpretation" => {
            // RFC 6787 §6.3.2: 0.0 to 1.0; MRCPv1 engines still say 0 to 100.
            let confidence = attribute("confidence").and_then(|c| c.trim().parse::<f32>().ok());
            let confidence = confidence.map(|c| if c > 1.0 { c / 100.0 } else { c }.clamp(0.0, 1.0));
            let said = attribute("tokens").unwrap_or_default();
            let matched = attribute("uninterpreted").is_none_or(|u| u != "true")
                && attribute("no-input").is_none_or(|n| n != "true");
            *current = Some(Current { confidence, said, meaning: None, matched });
        }
        "nomatch" | "noinput" => {
            if let Some(current) = current {
                current.matched = false;
            }
        }
        _ => {}
    }
}

fn end(
    node: Node,
    meaning_in: &str,
    open: &mut [Node],
    current: &mut Option<Current>,
    readings: &mut Vec<Reading>,
) {
    let folded = node.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(now) = current {
        if node.name == "input" && !folded.is_empty() {
            now.said = folded.clone();
        }
        if node.name == meaning_in && (!node.children.is_empty() || !folded.is_empty()) {
            now.meaning = Some(value(&node, &folded));
        }
    }
    if node.name == "interpretation" {
        if let Some(now) = current.take().filter(|c| c.matched) {
            let words: Vec<String> = now.said.split_whitespace().map(str::to_lowercase).collect();
            if !words.is_empty() || now.meaning.is_some() {
                let confidence = now.confidence.filter(|c| c.is_finite()).unwrap_or(1.0);
                readings.push(Reading { words, confidence, interpretation: now.meaning });
            }
        }
        return;
    }
    let value = value(&node, &folded);
    if let Some(parent) = open.last_mut() {
        parent.children.push((node.name, value));
    }
}

/// Elements as an object; one that comes twice as a list; text as text.
fn value(node: &Node, text: &str) -> Value {
    if node.children.is_empty() {
        return Value::String(text.to_owned());
    }
    let mut object = Map::new();
    for (name, value) in &node.children {
        match object.get_mut(name) {
            Some(Value::Array(all)) => all.push(value.clone()),
            Some(one) => *one = Value::Array(vec![one.clone(), value.clone()]),
            None => drop(object.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rfc6787_6_3_nlsml() {
        let octets = super::super::wire::tests::example(super::super::wire::tests::COMPLETE);
        let (message, _) = super::super::wire::Message::read(&octets).expect("legal").expect("whole");
        let readings = read("application/nlsml+xml", &message.body);
        assert_eq!(readings.len(), 1);
        assert_eq!(readings[0].words.join(" "), "may i speak to andre roy");
        assert_eq!(readings[0].interpretation, Some(json!({"Person": {"Name": "Andre Roy"}})));
        let several = "<result><interpretation confidence=\"0.5\"><input>no</input></interpretation>\
            <interpretation confidence=\"80\"><instance>true</instance><input mode=\"speech\">yes</input></interpretation></result>";
        let readings = read("application/nlsml+xml; charset=utf-8", several.as_bytes());
        assert_eq!(readings.iter().map(|r| r.words.join(" ")).collect::<Vec<_>>(), ["yes", "no"]);
        assert_eq!(readings[0].interpretation, Some(json!("true")));
        let nothing =
            "<result><interpretation><instance/><input><nomatch/></input></interpretation></result>";
        assert_eq!(read("application/nlsml+xml", nothing.as_bytes()), []);
    }

    #[test]
    fn emma_1_0_one_of() {
        let text = "<emma:emma version=\"1.0\" xmlns:emma=\"http://www.w3.org/2003/04/emma\"><emma:one-of id=\"r1\">\
            <emma:interpretation id=\"int1\" emma:confidence=\"0.75\" emma:tokens=\"flights from boston to denver\">\
            <origin>Boston</origin><destination>Denver</destination></emma:interpretation>\
            <emma:interpretation id=\"int2\" emma:confidence=\"0.68\" emma:tokens=\"flights from austin to denver\">\
            <origin>Austin</origin><destination>Denver</destination></emma:interpretation></emma:one-of></emma:emma>";
        let readings = read("application/emma+xml", text.as_bytes());
        assert_eq!(readings.len(), 2);
        assert_eq!(readings[0].interpretation, Some(json!({"origin": "Boston", "destination": "Denver"})));
        assert_eq!(readings[1].words[2], "austin");
        let none = "<emma:emma xmlns:emma=\"e\"><emma:interpretation id=\"i\" emma:uninterpreted=\"true\" \
            emma:tokens=\"xyz\"/></emma:emma>";
        assert_eq!(read("application/emma+xml", none.as_bytes()), []);
    }

    #[test]
    fn what_is_malformed_ends_and_never_overflows() {
        assert_eq!(read("application/nlsml+xml", b"<result><interpretation>"), []);
        assert_eq!(read("text/plain", b"yes"), []);
        assert_eq!(read("application/nlsml+xml", &[0xff, 0xfe]), []);
        let deep = "<a>".repeat(100_000);
        assert_eq!(read("application/emma+xml", deep.as_bytes()), []);
        let many = format!("<r>{}</r>", "<interpretation><input>a</input></interpretation>".repeat(1_000));
        assert_eq!(read("application/nlsml+xml", many.as_bytes()).len(), READINGS_MAX);
    }
}
