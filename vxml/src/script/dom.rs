//! The read-only DOM of `<data>` (VoiceXML 2.1 §5): XML parsed here, made into objects by a program in the engine.

use super::{Expr, ScopeId, Scopes};
use crate::limits::Limits;
use crate::script::Chain;
use engine::Value;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::reader::Reader;
use std::sync::OnceLock;

/// What is wrong with fetched data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataError {
    /// It is no XML that we read; why.
    Malformed(String),
    /// The document does not let this application read it.
    Denied,
    /// The engine refused.
    Script(engine::ScriptError),
}

/// An element under construction: name, attributes, children, namespace, prefixes it binds.
struct Open {
    name: String,
    attributes: Vec<Value>,
    children: Vec<Value>,
    namespace: Value,
    bound: Vec<(String, String)>,
}

/// Makes a variable that holds the document read from fetched XML. `host` is whom the application's documents come
/// from, for `<?access-control?>`.
pub(crate) fn define(
    scopes: &mut Scopes,
    chain: &Chain,
    scope: ScopeId,
    name: &str,
    body: &[u8],
    host: &str,
    limits: &Limits,
) -> Result<(), DataError> {
    static PROGRAM: OnceLock<Expr> = OnceLock::new();
    let text =
        crate::document::decode(body).ok_or_else(|| DataError::Malformed("not in its encoding".into()))?;
    let tree = Reading::new(limits).run(&text, host)?;
    scopes.define(scope, "$data", tree);
    let program = PROGRAM.get_or_init(|| Expr::new(include_str!("dom.js").trim()));
    let made = scopes.eval_into(program, chain, scope, name).map_err(DataError::Script);
    scopes.define(scope, "$data", Value::Undefined);
    made
}

struct Reading<'a> {
    limits: &'a Limits,
    open: Vec<Open>,
    root: Option<Value>,
    nodes: usize,
    allowed: Option<bool>,
}

impl<'a> Reading<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, open: Vec::new(), root: None, nodes: 0, allowed: None }
    }

    fn run(mut self, text: &str, host: &str) -> Result<Value, DataError> {
        let bad = |e: &dyn std::fmt::Display| DataError::Malformed(e.to_string());
        let mut reader = Reader::from_str(text);
        loop {
            match reader.read_event().map_err(|e| bad(&e))? {
                Xml::Start(e) => self.start(&e)?,
                Xml::Empty(e) => {
                    self.start(&e)?;
                    self.end();
                }
                Xml::End(_) => self.end(),
                Xml::Text(t) => self.leaf(3.0, &t.decode().map_err(|e| bad(&e))?)?,
                Xml::CData(t) => self.leaf(3.0, &t.decode().map_err(|e| bad(&e))?)?,
                Xml::Comment(t) => self.leaf(8.0, &t.decode().map_err(|e| bad(&e))?)?,
                Xml::GeneralRef(r) => {
                    let name = String::from_utf8_lossy(&r).into_owned();
                    let text = unescape(&format!("&{name};")).map_err(|e| bad(&e))?.into_owned();
                    self.leaf(3.0, &text)?;
                }
                Xml::PI(p) => self.instruction(&String::from_utf8_lossy(&p), host),
                Xml::DocType(_) | Xml::Decl(_) => {}
                Xml::Eof => break,
            }
        }
        if self.allowed == Some(false) {
            return Err(DataError::Denied);
        }
        match (self.root, self.open.is_empty()) {
            (Some(root), true) => Ok(root),
            _ => Err(DataError::Malformed("there is no root element, or it is not closed".into())),
        }
    }

    /// `<?access-control allow="*.example.com" deny="..."?>`: who may read it.
    fn instruction(&mut self, text: &str, host: &str) {
        let Some(rest) = text.strip_prefix("access-control") else { return };
        let list = |name: &str| -> Vec<String> {
            let start = rest.find(&format!("{name}=")).map(|i| &rest[i + name.len() + 1..]);
            let value = start.and_then(|s| s.get(1..)?.split(['"', '\'']).next());
            value.unwrap_or("").split_whitespace().map(str::to_owned).collect()
        };
        let fits = |pattern: &String| match pattern.strip_prefix('*') {
            Some(tail) => host.ends_with(tail),
            None => pattern == host,
        };
        let allowed = list("allow").iter().any(fits) && !list("deny").iter().any(fits);
        self.allowed = Some(allowed);
    }

    fn count(&mut self) -> Result<(), DataError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes_max {
            return Err(DataError::Malformed("more nodes than nodes_max".into()));
        }
        Ok(())
    }

    fn start(&mut self, e: &BytesStart<'_>) -> Result<(), DataError> {
        self.count()?;
        if self.open.len() >= self.limits.depth_max {
            return Err(DataError::Malformed("deeper than depth_max".into()));
        }
        let name = String::from_utf8_lossy(e.name().as_ref()).into_owned();
        let mut pairs = Vec::new();
        let mut bound = Vec::new();
        for a in e.attributes() {
            let a = a.map_err(|e| DataError::Malformed(e.to_string()))?;
            let key = String::from_utf8_lossy(a.key.as_ref()).into_owned();
            let raw = String::from_utf8_lossy(&a.value).into_owned();
            let value = unescape(&raw).map_err(|e| DataError::Malformed(e.to_string()))?.into_owned();
            if key == "xmlns" {
                bound.push((String::new(), value.clone()));
            } else if let Some(p) = key.strip_prefix("xmlns:") {
                bound.push((p.to_owned(), value.clone()));
            }
            pairs.push((key, value));
        }
        let mut open =
            Open { name, attributes: Vec::new(), children: Vec::new(), namespace: Value::Null, bound };
        open.namespace = self.namespace(&open, open.name.split_once(':').map_or("", |(p, _)| p));
        open.attributes = pairs
            .into_iter()
            .map(|(k, v)| {
                let ns = k.split_once(':').map_or(Value::Null, |(p, _)| self.namespace(&open, p));
                Value::Array(vec![Value::String(k), Value::String(v), ns])
            })
            .collect();
        self.open.push(open);
        Ok(())
    }

    fn namespace(&self, own: &Open, prefix: &str) -> Value {
        let outer = self.open.iter().rev().flat_map(|o| &o.bound);
        let found = own.bound.iter().chain(outer).find(|(p, _)| p == prefix);
        found.map_or(Value::Null, |(_, uri)| Value::text(uri))
    }

    fn end(&mut self) {
        let Some(o) = self.open.pop() else { return };
        let element = Value::Array(vec![
            Value::Number(1.0),
            Value::String(o.name),
            Value::Array(o.attributes),
            Value::Array(o.children),
            o.namespace,
        ]);
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    /// Text or a comment; adjacent text is one node.
    fn leaf(&mut self, kind: f64, text: &str) -> Result<(), DataError> {
        self.count()?;
        let Some(parent) = self.open.last_mut() else { return Ok(()) };
        if let Some(Value::Array(last)) = parent.children.last_mut()
            && let [Value::Number(k), Value::String(s)] = &mut last[..]
            && (*k - 3.0).abs() < 0.5
            && (kind - 3.0).abs() < 0.5
        {
            s.push_str(text);
            return Ok(());
        }
        parent.children.push(Value::Array(vec![Value::Number(kind), Value::text(text)]));
        Ok(())
    }
}
