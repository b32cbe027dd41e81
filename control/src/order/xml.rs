//! The XML form, for systems that speak nothing else: one element for each field, repeated for a list; `params` and
//! recipients hold elements in turn. No document type, no entities but the five of XML 1.0, no processing instructions.

use super::form::Fields;
use super::refusal::{Reason, Refusal};
use crate::limits::OrderLimits;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// Fields whose elements may be repeated.
const LISTS: [&str; 3] = ["to", "resources", "result_to"];

/// Reads `<order>` or `<call>`.
///
/// # Errors
/// One [`Refusal`] of the body, or of the element that stands twice.
pub fn xml(body: &[u8], limits: &OrderLimits) -> Result<Fields, Refusal> {
    if body.len() > limits.body_bytes_max {
        return Err(Refusal::new("body", Reason::TooLong { max: limits.body_bytes_max }));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed(body, 0))?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut open: Vec<Element> = Vec::new();
    loop {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(0);
        let wrong = || malformed(body, at);
        match reader.read_event().map_err(|_| wrong())? {
            Event::Start(tag) => {
                if open.len() >= limits.depth_max {
                    return Err(Refusal::new("body", Reason::TooMany { max: limits.depth_max }));
                }
                // Values stand in elements only; an attribute that nobody reads would hide something.
                if tag.attributes().any(|a| a.is_ok_and(|a| !a.key.as_ref().starts_with(b"xmlns"))) {
                    return Err(wrong());
                }
                open.push(Element::new(std::str::from_utf8(tag.local_name().as_ref()).map_err(|_| wrong())?));
            }
            Event::Empty(tag) => {
                let name = tag.local_name().as_ref().to_vec();
                let name = String::from_utf8(name).map_err(|_| wrong())?;
                open.last_mut().ok_or_else(wrong)?.add(name, Value::Null)?;
            }
            Event::End(_) => {
                let done = open.pop().ok_or_else(wrong)?;
                match open.last_mut() {
                    Some(parent) => {
                        let name = done.name.clone();
                        parent.add(name, done.value().ok_or_else(wrong)?)?;
                    }
                    None => return root(done, &mut reader).ok_or_else(wrong),
                }
            }
            Event::Text(t) => {
                let text = t.decode().map_err(|_| wrong())?;
                push(&mut open, &text).ok_or_else(wrong)?;
            }
            Event::CData(t) => {
                let text = t.decode().map_err(|_| wrong())?;
                push(&mut open, &text).ok_or_else(wrong)?;
            }
            Event::GeneralRef(r) => {
                let c = entity(&r.decode().map_err(|_| wrong())?).ok_or_else(wrong)?;
                push(&mut open, c.encode_utf8(&mut [0; 4])).ok_or_else(wrong)?;
            }
            Event::Decl(_) | Event::Comment(_) => {}
            Event::DocType(_) | Event::PI(_) | Event::Eof => return Err(wrong()),
        }
    }
}

fn malformed(body: &[u8], at: usize) -> Refusal {
    let before = &body[..at.min(body.len())];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|b| **b != b'\n').count();
    Refusal::new("body", Reason::Malformed { what: "XML", line, column })
}

/// XML 1.0 §4.6 and §4.1: the predefined entities and character references.
fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|c| !c.is_control() || "\t\n\r".contains(*c))
        }
    }
}

fn push(open: &mut [Element], text: &str) -> Option<()> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return None,
    }
    Some(())
}

/// The root's fields, if nothing follows it.
fn root(done: Element, reader: &mut Reader<&[u8]>) -> Option<Fields> {
    loop {
        match reader.read_event().ok()? {
            Event::Eof => break,
            Event::Comment(_) => {}
            Event::Text(t) if t.decode().ok()?.trim().is_empty() => {}
            _ => return None,
        }
    }
    let named = matches!(done.name.as_str(), "order" | "call");
    (named && done.text.trim().is_empty()).then_some(done.children)
}

struct Element {
    name: String,
    text: String,
    children: Map<String, Value>,
}

impl Element {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), text: String::new(), children: Map::new() }
    }

    fn add(&mut self, name: String, value: Value) -> Result<(), Refusal> {
        let listed = LISTS.contains(&name.as_str()) && matches!(self.name.as_str(), "order" | "call");
        match self.children.get_mut(&name) {
            None if listed => drop(self.children.insert(name, Value::Array(vec![value]))),
            None => drop(self.children.insert(name, value)),
            Some(Value::Array(items)) if listed => items.push(value),
            Some(_) => return Err(Refusal::new(name, Reason::Twice)),
        }
        Ok(())
    }

    /// A text, or an object; both at once is nothing.
    fn value(self) -> Option<Value> {
        if self.children.is_empty() {
            return Some(Value::from(self.text.trim().to_owned()));
        }
        self.text.trim().is_empty().then_some(Value::Object(self.children))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use units::Seed;

    fn read(text: &str) -> Result<Value, Refusal> {
        xml(text.as_bytes(), &OrderLimits::default()).map(Value::Object)
    }

    #[test]
    fn an_order_in_xml() {
        let text = "<?xml version=\"1.0\"?>\n<order xmlns=\"urn:x\"><!-- c --><to>+15551234567</to><to><to>sip:b@h</to>\
                    <params><a>1</a></params></to><application>https://a.example/?a=1&amp;b=2</application>\
                    <purpose>survey</purpose><message><![CDATA[a < b]]> &#x41;</message><lenient>true</lenient><policy/></order>\n";
        assert_eq!(
            read(text),
            Ok(json!({"to": ["+15551234567", {"to": "sip:b@h", "params": {"a": "1"}}],
                "application": "https://a.example/?a=1&b=2", "purpose": "survey", "message": "a < b A",
                "lenient": "true", "policy": null}))
        );
    }

    #[test]
    fn what_is_no_plain_order_is_refused() {
        let bomb = "<!DOCTYPE o [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><order><to>&b;</to></order>";
        for bad in [
            bomb,
            "<order><to>&nbsp;</to></order>",
            "<order>",
            "<order></call>",
            "<html/>",
            "",
            "<order/>",
            "<order><to x=\"1\">a</to></order>",
            "<order>text<to>a</to></order>",
            "<order><to>a</to></order><order/>",
            "<?php x?><order/>",
            "<order><at>1</at><at>2</at></order>",
            "<order><to>&#0;</to></order>",
            "<order><!DOCTYPE x></order>",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(&"<order>".repeat(10_000)).is_err());
        assert_eq!(read("<order><at>1</at><at>2</at></order>"), Err(Refusal::new("at", Reason::Twice)));
    }

    #[test]
    fn mutated_xml_never_panics() {
        let good = "<order><to>+1555&amp;</to><to><params><a>é</a></params></to><m><![CDATA[x]]></m></order>";
        let mut rng = Seed(4).rng();
        let mut refused = 0;
        for _ in 0..5_000 {
            let mut text = good.as_bytes().to_vec();
            for _ in 0..=rng.below(5) {
                let at = usize::try_from(rng.below(text.len() as u64)).unwrap();
                match rng.below(3) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(at, b"<>&;/![]?-\"'"[usize::try_from(rng.below(12)).unwrap()]),
                    _ => text[at] = u8::try_from(rng.below(256)).unwrap(),
                }
            }
            refused += usize::from(xml(&text, &OrderLimits::default()).is_err());
        }
        assert!(refused > 1_000);
    }
}
