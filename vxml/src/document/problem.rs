//! What can be wrong with a document, in words, and the section of the standard that says so.

use super::names::Tag;
use std::fmt;

/// The namespace of VoiceXML 2.0 and 2.1.
pub(crate) const NAMESPACE: &str = "http://www.w3.org/2001/vxml";

/// Something wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub rule: Rule,
}

/// The rule that a document breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The octets are no text in the encoding they claim.
    Encoding,
    /// The declaration names an encoding that is not spoken here.
    UnknownEncoding(Box<str>),
    /// XML 1.0 well-formedness; what the parser says.
    Malformed(Box<str>),
    /// An entity other than XML's own five.
    Entity(Box<str>),
    /// A DTD that declares entities.
    Dtd,
    /// A limit of ours, by its name.
    Limit(&'static str),
    /// The outermost element is not `<vxml>`.
    NotVxml,
    /// The namespace is missing or another one.
    Namespace,
    /// `version` is neither 2.0 nor 2.1.
    Version(Box<str>),
    /// No such element.
    UnknownElement(Box<str>),
    /// The element may not stand there.
    Misplaced(Tag, Tag),
    /// No such attribute.
    UnknownAttribute(Tag, Box<str>),
    /// The attribute must be given.
    Missing(Tag, &'static str),
    /// Exactly one (`true`) or at most one of these must be given.
    Choose(Tag, &'static [&'static str], bool, &'static str),
    /// A value that the attribute cannot have.
    Value(Tag, &'static str, Box<str>),
    /// Two dialogs, or two form items of a form, with one name.
    Duplicate(Tag, &'static str, Box<str>),
    /// A key of a choice's own in a menu that numbers its choices.
    MenuKey(Box<str>),
    /// A name that refers to nothing in the document.
    Dangling(Tag, Box<str>),
    /// An expression or program that does not compile.
    Script(Box<str>),
    /// A grammar that does not parse.
    Grammar(Box<str>),
}

impl Rule {
    /// Whether a session that meets it must refuse the document.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Rule::Dangling(..) | Rule::Script(_) | Rule::Grammar(_) | Rule::Value(..))
    }

    /// The section of the standard that it violates.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Rule::Encoding | Rule::UnknownEncoding(_) => "XML 1.0 §4.3.3",
            Rule::Malformed(_) => "XML 1.0 §2.1",
            Rule::Entity(_) => "XML 1.0 §4.1",
            Rule::Dtd => "XML 1.0 §4.2",
            Rule::Limit(_) => "limits of the platform",
            Rule::NotVxml | Rule::Namespace | Rule::Version(_) => "VoiceXML 2.0 §1.5.1",
            Rule::UnknownElement(_) => "VoiceXML 2.0 §1.4",
            Rule::Misplaced(..) | Rule::UnknownAttribute(..) | Rule::Missing(..) => "VoiceXML 2.0 appendix B",
            Rule::Choose(_, _, _, section) => section,
            Rule::Value(tag, name, _) => value_section(*tag, name),
            Rule::Duplicate(tag, ..) if tag.is_form_item() => "VoiceXML 2.0 §2.3",
            Rule::Duplicate(..) => "VoiceXML 2.0 §2.1",
            Rule::MenuKey(_) => "VoiceXML 2.0 §2.2.1",
            Rule::Dangling(tag, _) => reference_section(*tag),
            Rule::Script(_) => "VoiceXML 2.0 §5.1",
            Rule::Grammar(_) => "SRGS 1.0 §4",
        }
    }
}

/// Where it is written which values an attribute may have.
fn value_section(tag: Tag, name: &str) -> &'static str {
    match (tag, name) {
        (_, "timeout" | "maxtime" | "finalsilence" | "connecttimeout" | "fetchtimeout") => {
            "VoiceXML 2.0 §6.5"
        }
        (Tag::Break, _) => "SSML 1.0 §3.2.3",
        (Tag::Property, _) => "VoiceXML 2.0 §6.3",
        (_, "fetchhint" | "maxage" | "maxstale") => "VoiceXML 2.0 §6.1.1",
        (_, "dtmf") => "VoiceXML 2.0 §2.2.2",
        (Tag::Var, "name") => "VoiceXML 2.0 §5.1.1",
        (_, "name") => "VoiceXML 2.0 §2.3",
        (_, "count") => "VoiceXML 2.0 §5.2.2",
        _ => "VoiceXML 2.0 appendix B",
    }
}

/// Where it is written what an element may refer to.
fn reference_section(tag: Tag) -> &'static str {
    match tag {
        Tag::Filled => "VoiceXML 2.0 §2.4",
        Tag::Choice => "VoiceXML 2.0 §2.2.2",
        Tag::Link => "VoiceXML 2.0 §2.5",
        Tag::Submit => "VoiceXML 2.0 §5.3.8",
        Tag::Subdialog => "VoiceXML 2.0 §2.3.4",
        _ => "VoiceXML 2.0 §5.3.7",
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Encoding => f.write_str("these octets are no text in the document's encoding"),
            Rule::UnknownEncoding(name) => write!(
                f,
                "the encoding '{name}' is not read here (UTF-8, UTF-16, ISO-8859-1, US-ASCII and windows-1252 are)"
            ),
            Rule::Malformed(what) => write!(f, "not well-formed: {what}"),
            Rule::Entity(name) => write!(f, "entity '{name}' is not known; DTDs are not read"),
            Rule::Dtd => f.write_str("the DTD declares entities, and DTDs are not read"),
            Rule::Limit(name) => write!(f, "larger than the limit {name}"),
            Rule::NotVxml => f.write_str("the outermost element must be <vxml>"),
            Rule::Namespace => write!(f, "the namespace must be {NAMESPACE}"),
            Rule::Version(v) => write!(f, "version '{v}' is not 2.0 or 2.1"),
            Rule::UnknownElement(name) => write!(f, "there is no element <{name}>"),
            Rule::Misplaced(Tag::Text, parent) => write!(f, "text may not stand in <{}>", parent.name()),
            Rule::Misplaced(child, parent) => {
                write!(f, "<{}> may not stand in <{}>", child.name(), parent.name())
            }
            Rule::UnknownAttribute(tag, name) => write!(f, "<{}> has no attribute '{name}'", tag.name()),
            Rule::Missing(tag, name) => write!(f, "<{}> needs '{name}'", tag.name()),
            Rule::Choose(tag, of, one, _) => {
                let how = if *one { "exactly one" } else { "at most one" };
                write!(f, "<{}> takes {how} of {}", tag.name(), of.join(", "))
            }
            Rule::Value(tag, name, v) => write!(f, "'{v}' is no value for '{name}' of <{}>", tag.name()),
            Rule::Duplicate(tag, attribute, name) => {
                write!(f, "the {attribute} '{name}' of <{}> is used twice", tag.name())
            }
            Rule::MenuKey(keys) => write!(
                f,
                "the menu numbers its choices (dtmf=\"true\"), so a choice's own key can be '*', '#' or '0', not '{keys}'"
            ),
            Rule::Dangling(tag, name) => write!(f, "<{}> refers to '{name}', which is not there", tag.name()),
            Rule::Script(what) | Rule::Grammar(what) => f.write_str(what),
        }
    }
}
