//! Which attributes and children each element may have: VoiceXML 2.0 appendix B as amended by 2.1, and SSML 1.0.

use super::names::Tag;

const FETCH: &[&str] = &["fetchhint", "fetchtimeout", "maxage", "maxstale"];
const FETCH_FA: &[&str] = &["fetchaudio", "fetchhint", "fetchtimeout", "maxage", "maxstale"];
const EVENT: &[&str] = &["event", "eventexpr", "message", "messageexpr"];
const ITEM: &[&str] = &["name", "expr", "cond"];
const NONE: &[&str] = &[];

/// The attributes of an element, in groups.
fn attributes(tag: Tag) -> [&'static [&'static str]; 3] {
    match tag {
        Tag::Assign | Tag::Var => [&["name", "expr"], NONE, NONE],
        Tag::Block | Tag::Initial => [ITEM, NONE, NONE],
        Tag::Catch => [&["event", "count", "cond"], NONE, NONE],
        Tag::Error | Tag::Help | Tag::Noinput | Tag::Nomatch => [&["count", "cond"], NONE, NONE],
        Tag::Choice => [&["dtmf", "accept", "next", "expr"], EVENT, FETCH_FA],
        Tag::Clear => [&["namelist"], NONE, NONE],
        Tag::Data => [&["src", "srcexpr", "name", "method", "namelist", "enctype"], FETCH_FA, NONE],
        Tag::Disconnect => [&["namelist"], NONE, NONE],
        Tag::If | Tag::Elseif => [&["cond"], NONE, NONE],
        Tag::Exit => [&["expr", "namelist"], NONE, NONE],
        Tag::Field => [ITEM, &["type", "slot", "modal"], NONE],
        Tag::Filled => [&["mode", "namelist"], NONE, NONE],
        Tag::Foreach => [&["item", "array"], NONE, NONE],
        Tag::Form => [&["id", "scope"], NONE, NONE],
        Tag::Goto => [&["next", "expr", "nextitem", "expritem"], FETCH_FA, NONE],
        Tag::Grammar => [
            &["version", "mode", "root", "tag-format", "xml:lang", "xml:base"],
            &["src", "srcexpr", "scope", "type", "weight"],
            FETCH,
        ],
        Tag::Link => [&["next", "expr", "dtmf"], EVENT, FETCH_FA],
        Tag::Log => [&["label", "expr"], NONE, NONE],
        Tag::Menu => [&["id", "scope", "dtmf", "accept"], NONE, NONE],
        Tag::Object => [ITEM, &["classid", "codebase", "codetype", "data", "type", "archive"], FETCH],
        Tag::Option => [&["dtmf", "accept", "value"], NONE, NONE],
        Tag::Param => [&["name", "expr", "value", "valuetype", "type"], NONE, NONE],
        Tag::Prompt => [
            &["bargein", "bargeintype", "cond", "count", "timeout"],
            &["xml:lang", "xml:base", "version"],
            NONE,
        ],
        Tag::Property => [&["name", "value"], NONE, NONE],
        Tag::Record => [ITEM, &["modal", "beep", "maxtime", "finalsilence", "dtmfterm", "type"], NONE],
        Tag::Return => [&["namelist"], EVENT, NONE],
        Tag::Script => [&["src", "srcexpr", "charset"], FETCH, NONE],
        Tag::Subdialog => [ITEM, &["src", "srcexpr", "namelist", "method", "enctype"], FETCH_FA],
        Tag::Submit => [&["next", "expr", "namelist", "method", "enctype"], FETCH_FA, NONE],
        Tag::Throw => [EVENT, NONE, NONE],
        Tag::Transfer => [
            ITEM,
            &[
                "dest",
                "destexpr",
                "bridge",
                "type",
                "connecttimeout",
                "maxtime",
                "transferaudio",
                "aai",
                "aaiexpr",
            ],
            NONE,
        ],
        Tag::Value => [&["expr"], NONE, NONE],
        Tag::Vxml => [&["version", "xml:base", "xml:lang", "application"], NONE, NONE],
        tag => [speech_attributes(tag), if tag == Tag::Audio { FETCH } else { NONE }, NONE],
    }
}

/// The attributes of speech markup (SSML 1.0 §3) and of `<meta>`.
fn speech_attributes(tag: Tag) -> &'static [&'static str] {
    match tag {
        Tag::Audio => &["src", "expr"],
        Tag::Break => &["time", "strength", "size"],
        Tag::Desc | Tag::P | Tag::S | Tag::Paragraph | Tag::Sentence => &["xml:lang"],
        Tag::Emphasis => &["level"],
        Tag::Lexicon => &["uri", "type"],
        Tag::Mark => &["name", "nameexpr"],
        Tag::Meta => &["name", "content", "http-equiv"],
        Tag::Phoneme => &["ph", "alphabet"],
        Tag::Prosody => &["pitch", "contour", "range", "rate", "duration", "volume"],
        Tag::SayAs => &["interpret-as", "format", "detail", "type"],
        Tag::Sub => &["alias"],
        Tag::Voice => &["gender", "age", "variant", "name", "xml:lang"],
        _ => NONE,
    }
}

/// Whether the element knows the attribute. Namespaced ones of other namespaces are let pass by the parser.
pub(crate) fn allows(tag: Tag, attribute: &str) -> bool {
    attributes(tag).iter().any(|group| group.contains(&attribute))
        || attribute == "id" && tag.is_ssml()
        || tag == Tag::Metadata
}

/// Attributes that must be there.
pub(crate) fn required(tag: Tag) -> &'static [&'static str] {
    match tag {
        Tag::Vxml => &["version"],
        Tag::Assign => &["name", "expr"],
        Tag::Value => &["expr"],
        Tag::If | Tag::Elseif => &["cond"],
        Tag::Param | Tag::Var => &["name"],
        Tag::Property => &["name", "value"],
        Tag::Foreach => &["array"],
        Tag::Sub => &["alias"],
        Tag::Phoneme => &["ph"],
        _ => NONE,
    }
}

/// A group of attributes of which exactly one, or at most one, must be given, with the section that says so.
pub(crate) struct Choose {
    /// The alternatives.
    pub(crate) of: &'static [&'static str],
    /// None at all is wrong too.
    pub(crate) one: bool,
    /// Where it is written.
    pub(crate) section: &'static str,
}

/// The exclusions of an element.
pub(crate) fn choices(tag: Tag) -> &'static [Choose] {
    match tag {
        Tag::Choice => &[Choose {
            of: &["next", "expr", "event", "eventexpr"],
            one: true,
            section: "VoiceXML 2.0 §2.2.2",
        }],
        Tag::Link => {
            &[Choose {
                of: &["next", "expr", "event", "eventexpr"], one: true, section: "VoiceXML 2.0 §2.5"
            }]
        }
        Tag::Goto => &[Choose {
            of: &["next", "expr", "nextitem", "expritem"],
            one: true,
            section: "VoiceXML 2.0 §5.3.7",
        }],
        Tag::Submit => &[Choose { of: &["next", "expr"], one: true, section: "VoiceXML 2.0 §5.3.8" }],
        Tag::Subdialog => &[Choose { of: &["src", "srcexpr"], one: true, section: "VoiceXML 2.0 §2.3.4" }],
        Tag::Exit => &[Choose { of: &["expr", "namelist"], one: false, section: "VoiceXML 2.0 §5.3.9" }],
        Tag::Return => &[
            Choose { of: &["event", "eventexpr", "namelist"], one: false, section: "VoiceXML 2.0 §5.3.10" },
            Choose { of: &["message", "messageexpr"], one: false, section: "VoiceXML 2.0 §5.3.10" },
        ],
        Tag::Throw => &[
            Choose { of: &["event", "eventexpr"], one: true, section: "VoiceXML 2.0 §5.2.1" },
            Choose { of: &["message", "messageexpr"], one: false, section: "VoiceXML 2.0 §5.2.1" },
        ],
        Tag::Audio => &[Choose { of: &["src", "expr"], one: true, section: "VoiceXML 2.0 §4.1.3" }],
        Tag::Transfer => &[
            Choose { of: &["dest", "destexpr"], one: true, section: "VoiceXML 2.0 §2.3.7" },
            Choose { of: &["aai", "aaiexpr"], one: false, section: "VoiceXML 2.0 §2.3.7" },
            Choose { of: &["bridge", "type"], one: false, section: "VoiceXML 2.1 §7" },
        ],
        Tag::Param => &[Choose { of: &["expr", "value"], one: true, section: "VoiceXML 2.0 §6.4" }],
        Tag::Mark => &[Choose { of: &["name", "nameexpr"], one: true, section: "VoiceXML 2.1 §4" }],
        Tag::Data => &[Choose { of: &["src", "srcexpr"], one: true, section: "VoiceXML 2.1 §5" }],
        _ => &[],
    }
}

/// Executable content (VoiceXML 2.0 §5.3).
fn is_executable(t: Tag) -> bool {
    use Tag::{
        Assign, Audio, Clear, Data, Disconnect, Enumerate, Exit, Foreach, Goto, If, Log, Prompt, Reprompt,
        Return, Script, Submit, Text, Throw, Value, Var,
    };
    matches!(
        t,
        Assign
            | Audio
            | Clear
            | Data
            | Disconnect
            | Enumerate
            | Exit
            | Foreach
            | Goto
            | If
            | Log
            | Prompt
            | Reprompt
            | Return
            | Script
            | Submit
            | Text
            | Throw
            | Value
            | Var
    )
}

/// What may stand among spoken text.
fn is_speech(t: Tag) -> bool {
    use Tag::{
        Audio, Break, Emphasis, Enumerate, Foreach, Mark, P, Paragraph, Phoneme, Prosody, S, SayAs, Sentence,
        Sub, Text, Value, Voice,
    };
    matches!(
        t,
        Text | Audio
            | Break
            | Emphasis
            | Enumerate
            | Foreach
            | Mark
            | P
            | Phoneme
            | Prosody
            | S
            | SayAs
            | Sub
            | Value
            | Voice
            | Paragraph
            | Sentence
    )
}

/// What every input item may hold.
fn is_of_item(t: Tag) -> bool {
    use Tag::{Audio, Enumerate, Filled, Grammar, Link, Prompt, Property, Text, Value};
    t.is_catch()
        || matches!(t, Property | Link | Grammar | Filled | Prompt | Text | Audio | Value | Enumerate)
}

/// Whether `child` may stand directly in `parent`.
pub(crate) fn nests(parent: Tag, child: Tag) -> bool {
    use Tag::{
        Audio, Block, Choice, Data, Desc, Else, Elseif, Emphasis, Enumerate, Field, Filled, Foreach, Form,
        Grammar, If, Initial, Lexicon, Link, Log, Menu, Meta, Metadata, Object, Option, P, Param, Phoneme,
        Prompt, Property, Prosody, Record, S, SayAs, Script, Sub, Subdialog, Text, Transfer, Value, Var,
        Voice, Vxml,
    };
    match parent {
        Vxml => {
            child.is_catch()
                || matches!(child, Form | Menu | Link | Meta | Metadata | Property | Script | Var | Data)
        }
        Form => {
            child.is_catch()
                || child.is_form_item()
                || matches!(child, Filled | Grammar | Link | Property | Script | Var | Data)
        }
        Menu => {
            child.is_catch()
                || matches!(child, Audio | Choice | Enumerate | Prompt | Property | Script | Text | Value)
        }
        Field => is_of_item(child) || child == Option,
        Initial => is_of_item(child) && child != Filled,
        Record | Transfer => is_of_item(child),
        Object | Subdialog => child == Param || is_of_item(child) && child != Grammar,
        Block | Filled | Tag::Catch | Tag::Error | Tag::Help | Tag::Noinput | Tag::Nomatch => {
            is_executable(child)
        }
        If => is_executable(child) || matches!(child, Else | Elseif),
        Foreach => is_executable(child) || is_speech(child),
        Prompt => is_speech(child) || matches!(child, Lexicon | Meta | Metadata),
        Audio => is_speech(child) || child == Desc,
        P | S | Voice | Prosody | Emphasis | Enumerate | Tag::Paragraph | Tag::Sentence => is_speech(child),
        Choice => child == Grammar || is_speech(child),
        Link => child == Grammar,
        Option | Script | SayAs | Sub | Phoneme | Desc => matches!(child, Text | Value),
        Log => matches!(child, Text | Value | Foreach),
        Metadata | Tag::Other | Grammar => true,
        _ => child == Text,
    }
}
