//! What can be wrong with a grammar, and which VoiceXML event that is.

use super::limits::Limit;
use std::fmt;

/// A place in a grammar document, both counted from 1; 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column, characters.
    pub column: u32,
}

/// A grammar that cannot be used: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrammarError {
    /// Where in the document.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// What is wrong. Sections are those of SRGS 1.0 unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A named limit was hit.
    TooLarge(Limit),
    /// Octets that are not text in the declared encoding.
    BadEncoding,
    /// An encoding that is not spoken: UTF-8, UTF-16, ISO-8859-1 and US-ASCII are.
    UnsupportedEncoding(Box<str>),
    /// Neither XML nor ABNF, or a media type that is no grammar: `error.unsupported.format`.
    UnknownFormat,
    /// Not well-formed XML.
    NotWellFormed,
    /// An entity other than the five of XML: there is no DTD here.
    UnknownEntity(Box<str>),
    /// The root element is not `grammar` in the SRGS namespace (§4.2).
    NotAGrammar,
    /// An element where it must not stand.
    UnexpectedElement(Box<str>),
    /// A required attribute is missing.
    MissingAttribute(&'static str),
    /// An attribute or declaration with an impossible value.
    BadValue(&'static str),
    /// The self-identifying header is wrong (§4.1).
    BadHeader,
    /// A version other than 1.0.
    BadVersion,
    /// A header declaration that is unknown, repeated or misplaced (§4).
    BadDeclaration,
    /// The ABNF text is not a grammar here: what was expected.
    Syntax(&'static str),
    /// A voice grammar needs a language (§4.5).
    MissingLanguage,
    /// The same rule twice (§3.1).
    DuplicateRule(Box<str>),
    /// A rule named NULL, VOID or GARBAGE, or no legal name (§3.1).
    BadRuleName(Box<str>),
    /// A rule without expansion (§3.1).
    EmptyRule,
    /// A reference to a rule that is not there (§2.2.1), or the declared root is not.
    UndefinedRule(Box<str>),
    /// A reference without fragment to a grammar without root (§2.2.2), or no rule to start from.
    NoRoot,
    /// A reference to a private rule of another grammar (§3.2).
    PrivateRule(Box<str>),
    /// A reference to a grammar that could not be had.
    Unresolved(Box<str>),
    /// The referenced grammar is of the other mode (§4.6).
    ModeMismatch,
    /// The referenced grammar is not of the declared media type (§2.2.2).
    MediaTypeMismatch,
    /// A token that no key can press (appendix E).
    BadDtmfToken(Box<str>),
    /// No such builtin type: VoiceXML `error.unsupported.builtin`.
    UnsupportedBuiltin(Box<str>),
    /// A builtin's voice form in a language that is not spoken here: `error.unsupported.language`.
    UnsupportedLanguage(Box<str>),
    /// A builtin's parameter is impossible (VoiceXML 2.0 appendix P): `error.badfetch`.
    BadParameter(Box<str>),
}

impl GrammarError {
    /// A fault without place.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self { place: Place::default(), fault }
    }

    /// A fault at a place.
    #[must_use]
    pub fn at(place: Place, fault: Fault) -> Self {
        Self { place, fault }
    }

    /// The VoiceXML event this is (VoiceXML 2.0 §5.2.6).
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self.fault {
            Fault::UnsupportedBuiltin(_) => "error.unsupported.builtin",
            Fault::UnsupportedLanguage(_) => "error.unsupported.language",
            Fault::UnknownFormat => "error.unsupported.format",
            _ => "error.badfetch",
        }
    }
}

impl From<Fault> for GrammarError {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

impl fmt::Display for GrammarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.line > 0 {
            write!(f, "line {}, column {}: ", self.place.line, self.place.column)?;
        }
        write!(f, "{}", self.fault)
    }
}

impl std::error::Error for GrammarError {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::TooLarge(limit) => write!(f, "grammar too large: limit {limit:?}"),
            Fault::BadEncoding => f.write_str("octets are not text in the declared encoding"),
            Fault::UnsupportedEncoding(name) => write!(f, "encoding {name} is not supported"),
            Fault::UnknownFormat => f.write_str("neither SRGS XML nor SRGS ABNF"),
            Fault::NotWellFormed => f.write_str("not well-formed XML"),
            Fault::UnknownEntity(name) => write!(f, "unknown entity {name}"),
            Fault::NotAGrammar => f.write_str("the root element is not an SRGS grammar (SRGS 4.2)"),
            Fault::UnexpectedElement(name) => write!(f, "element {name} must not stand here"),
            Fault::MissingAttribute(name) => write!(f, "attribute {name} is missing"),
            Fault::BadValue(name) => write!(f, "{name} has an impossible value"),
            Fault::BadHeader => f.write_str("the ABNF self-identifying header is wrong (SRGS 4.1)"),
            Fault::BadVersion => f.write_str("the version must be 1.0"),
            Fault::BadDeclaration => f.write_str("a declaration is unknown, repeated or misplaced (SRGS 4)"),
            Fault::Syntax(expected) => write!(f, "expected {expected}"),
            Fault::MissingLanguage => f.write_str("a voice grammar needs a language (SRGS 4.5)"),
            Fault::DuplicateRule(name) => write!(f, "rule {name} is defined twice (SRGS 3.1)"),
            Fault::BadRuleName(name) => write!(f, "{name} cannot name a rule (SRGS 3.1)"),
            Fault::EmptyRule => f.write_str("a rule needs an expansion (SRGS 3.1)"),
            Fault::UndefinedRule(name) => write!(f, "rule {name} is not defined (SRGS 2.2)"),
            Fault::NoRoot => f.write_str("the grammar has no root rule (SRGS 4.7)"),
            Fault::PrivateRule(name) => write!(f, "rule {name} is private (SRGS 3.2)"),
            Fault::Unresolved(uri) => write!(f, "grammar {uri} could not be had"),
            Fault::ModeMismatch => f.write_str("a reference between voice and DTMF grammars (SRGS 4.6)"),
            Fault::MediaTypeMismatch => f.write_str("the grammar is not of the declared type (SRGS 2.2.2)"),
            Fault::BadDtmfToken(text) => write!(f, "{text} is no DTMF key (SRGS appendix E)"),
            Fault::UnsupportedBuiltin(name) => write!(f, "builtin {name} does not exist"),
            Fault::UnsupportedLanguage(lang) => write!(f, "language {lang} is not supported by the builtins"),
            Fault::BadParameter(name) => write!(f, "builtin parameter {name} is impossible (VoiceXML 2.0 P)"),
        }
    }
}

/// Matching was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchError(
    /// The bound that was hit.
    pub Limit,
);

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "matching given up: limit {:?}", self.0)
    }
}

impl std::error::Error for MatchError {}
