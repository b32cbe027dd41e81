//! The program that computes a parse's value when its tags are more than plain assignments.

use super::{Act, Computed, native};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

/// A program under construction: one variable per rule instance, inner rules first.
pub(super) struct Program {
    body: String,
    slots: usize,
    /// Grammars that have their variable.
    grammars: BTreeMap<u32, ()>,
}

impl Program {
    pub(super) fn new(score: f32) -> Self {
        let score = if score.is_finite() { score } else { 1.0 };
        let body = format!("(function(){{\nvar $k={score};\n{PRELUDE}");
        Self { body, slots: 0, grammars: BTreeMap::new() }
    }

    /// Adds a rule instance; its variable.
    pub(super) fn rule(&mut self, source: u32, header: &[Arc<str>], acts: &[Act]) -> usize {
        if self.grammars.insert(source, ()).is_none() {
            let header = quote(&header.join("\n;\n"));
            writeln!(
                self.body,
                "var $g{source}=(function(){{eval({header});return function($c){{return eval($c)}}}})();"
            )
            .expect("a string takes all");
        }
        let (slot, code) = (self.slots, function(acts));
        self.slots += 1;
        // Values of other rules are handed in: the code sees its grammar's names and nothing of this program.
        let mut inner = String::new();
        for act in acts {
            if let Act::Child { value: Computed::Slot(child), .. } = act {
                write!(inner, "${child},").expect("a string takes all");
            }
        }
        writeln!(self.body, "var ${slot}=$g{source}({})([{inner}],$m,$k);", quote(&code))
            .expect("a string takes all");
        slot
    }

    /// The whole expression.
    pub(super) fn finish(self, slot: usize) -> String {
        format!("{}return ${slot};\n}})()", self.body)
    }
}

/// The function of one rule instance.
fn function(acts: &[Act]) -> String {
    let mut code = String::from("(function($v,$m,$k){var out={},$r=$m($k),rules=$r.rules,meta=$r.meta;");
    // An engine may take the second `var` of a name, in another eval, for a new variable: so it is the function's.
    for name in declared_twice(acts) {
        write!(code, "var {name};").expect("a string takes all");
    }
    let mut slots = 0;
    for act in acts {
        match act {
            Act::Tag { code: tag, text } => {
                write!(code, "$r.text={};eval({});", quote(text), quote(tag)).expect("a string takes all");
            }
            Act::Child { rule, value, text } => {
                let value = match value {
                    Computed::Value(value) => value.to_string().replace("\"__proto__\":", "[\"__proto__\"]:"),
                    Computed::Slot(_) => {
                        slots += 1;
                        format!("$v[{}]", slots - 1)
                    }
                };
                write!(code, "$r.add({},{value},{});", quote(rule), quote(text)).expect("a string takes all");
            }
        }
    }
    code.push_str("return out;})");
    code
}

/// Names that more than one tag declares by `var`.
fn declared_twice(acts: &[Act]) -> BTreeSet<&str> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for act in acts {
        let Act::Tag { code, .. } = act else { continue };
        let names: BTreeSet<&str> = code.split("var").skip(1).filter_map(variable).collect();
        for name in names {
            if !once.insert(name) {
                twice.insert(name);
            }
        }
    }
    twice
}

/// The name that stands after `var`, if it is a plain one.
fn variable(after: &str) -> Option<&str> {
    let name = after.strip_prefix(char::is_whitespace)?.trim_start();
    let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
    let name = &name[..end];
    let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (legal && !["out", "rules", "meta"].contains(&name) && !native::RESERVED.contains(&name)).then_some(name)
}

/// An ECMAScript string literal.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                write!(quoted, "\\u{:04x}", u32::from(c)).expect("a string takes all");
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Makes the `rules` and `meta` of one rule instance (SISR 1.0 §3.3).
const PRELUDE: &str = "var $m=function($k){\
var l,t,rules={},meta={},hide=function(o,n,f){Object.defineProperty(o,n,{value:f,writable:true,configurable:true})};\
var r={rules:rules,meta:meta,text:'',add:function(n,v,x){l=v;t=x;\
Object.defineProperty(rules,n,{value:v,writable:true,configurable:true,enumerable:true});\
Object.defineProperty(meta,n,{value:{text:x,score:$k},writable:true,configurable:true,enumerable:true});}};\
hide(rules,'latest',function(){return l});\
hide(meta,'latest',function(){return {text:t,score:$k}});\
hide(meta,'current',function(){return {text:r.text,score:$k}});\
return r};\n";
