//! The seam between the interpreter and its host: two closed, serialisable enums and the machine between them.
//!
//! The interpreter owns documents, scopes, counters, timeouts and grammar matching. The host owns voice, network and
//! time. Nothing here blocks: every wait is an [`Input`] that comes later or a deadline that passes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use units::Digit;

use crate::grammar::Network;

/// Names a fetch; the host answers each once with [`Input::Fetched`] unless cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FetchId(pub u32);

/// Names one queue of prompts that is played as a whole; ended once by [`Input::PlayEnded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlayId(pub u32);

/// Names one listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ListenId(pub u32);

/// What a fetched resource is for; the host chooses `Accept`, limits and whether to keep bytes or decode them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A VoiceXML document.
    Document,
    /// An ECMAScript file.
    Script,
    /// An SRGS grammar.
    Grammar,
    /// XML for `<data>`.
    Data,
    /// Sound, wanted ahead of its prompt only (`audiofetchhint`): the host makes it ready, and its octets are not looked at.
    Audio,
}

/// VoiceXML 2.0 §6.1.2 caching wishes; `None` where the document left them undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Caching {
    /// Oldest acceptable age, seconds.
    pub maxage_s: Option<u64>,
    /// Acceptable staleness past expiry, seconds.
    pub maxstale_s: Option<u64>,
}

/// One part of a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormField {
    /// The name in the namelist, or `object.property`.
    pub name: String,
    /// Its value.
    pub value: FieldValue,
}

/// A submitted value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldValue {
    /// ECMAScript `ToString` of the value.
    Text(String),
    /// A recording that the host holds under this name ([`Input::Recorded`]).
    Recording(String),
}

/// How a submission travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// Fields in the query.
    #[default]
    Get,
    /// Fields as `application/x-www-form-urlencoded`.
    PostUrlencoded,
    /// Fields as `multipart/form-data`.
    PostMultipart,
}

/// What the host is to fetch. The URL is absolute; for `Get` the query already holds the fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// Absolute URL without fragment.
    pub url: String,
    /// What it is for.
    pub resource: Resource,
    /// GET or POST.
    pub method: Method,
    /// Fields of a POST, in namelist order.
    pub fields: Vec<FormField>,
    /// Give up after this many ms (`fetchtimeout`).
    pub timeout_ms: u64,
    /// Cache wishes.
    pub caching: Caching,
    /// Audio to play while waiting, with its delay and minimum, ms (`fetchaudio*`, §6.1.4).
    pub fetchaudio: Option<FetchAudio>,
    /// Merely a hint (`fetchhint="prefetch"`): may be dropped under load.
    pub prefetch: bool,
}

/// `fetchaudio` with its two properties (VoiceXML 2.0 §6.3.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchAudio {
    /// Absolute URL of the audio.
    pub url: String,
    /// Silence before it starts, ms.
    pub delay_ms: u64,
    /// Once started, played at least so long, ms.
    pub minimum_ms: u64,
}

/// A fetched resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// URL after redirects; relative references resolve against it.
    pub url: String,
    /// Media type without parameters, lower case, empty if unknown.
    pub media_type: String,
    /// Charset parameter, if any.
    pub charset: Option<String>,
    /// The octets, shared with the host's cache.
    pub body: Arc<[u8]>,
    /// Validator for caches of what was parsed from it (ETag, Last-Modified or a hash).
    pub validator: Option<String>,
}

/// Why a fetch failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchError {
    /// HTTP said so: 404 becomes `error.badfetch.http.404`.
    Status(u16),
    /// `fetchtimeout` passed.
    Timeout,
    /// The name did not resolve, the connection failed, or it broke.
    Unreachable,
    /// Not allowed by policy of the host (address range, port, scheme).
    Forbidden,
    /// Larger than the host's limit.
    TooLarge,
    /// Sent from place to place more often than the host follows.
    TooManyRedirects,
    /// The URL is none, or its scheme is not spoken: `error.unsupported.uri`.
    BadUri,
}

/// A plain piece of a prompt: SSML is already resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Segment {
    /// Audio from a URL. If it cannot be had, the host plays `fallback` instead (VoiceXML 2.0 §4.1.3).
    Audio {
        /// Absolute URL.
        url: String,
        /// `fetchtimeout`, ms.
        timeout_ms: u64,
        /// Cache wishes.
        caching: Caching,
        /// What is played when the audio is missing or unplayable.
        fallback: Vec<Segment>,
    },
    /// A recording of this session, by the name the host gave.
    Recording {
        /// The host's name.
        name: String,
    },
    /// Text for synthesis with everything resolved.
    Text(Speech),
    /// Silence.
    Break {
        /// Milliseconds.
        ms: u64,
    },
    /// A bookmark (SSML `<mark>`): when it is passed the host reports [`Input::Mark`].
    Mark {
        /// Its name.
        name: String,
    },
}

/// Text to be spoken, with the voice and the prosody that hold for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speech {
    /// The text; white space folded.
    pub text: String,
    /// RFC 5646 language in force.
    pub lang: String,
    /// `<voice>`: gender, age, variant, name as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub voice: BTreeMap<String, String>,
    /// `<prosody>` and `<emphasis>` in force: rate, pitch, volume, range, contour, duration, emphasis as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prosody: BTreeMap<String, String>,
    /// `<say-as>` in force: interpret-as, format, detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub say_as: Option<SayAs>,
    /// `<phoneme>`: alphabet and string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phoneme: Option<(String, String)>,
    /// `<lexicon>` of the prompt (SSML 1.0 §3.1.4): absolute URLs, in the document's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lexicons: Vec<String>,
}

/// SSML 1.0 §3.1.8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SayAs {
    /// `interpret-as`.
    pub interpret_as: String,
    /// `format`.
    pub format: Option<String>,
    /// `detail`.
    pub detail: Option<String>,
}

/// What cuts a prompt (VoiceXML 2.0 §4.1.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bargein {
    /// Nothing.
    None,
    /// Any speech or digit.
    #[default]
    Speech,
    /// Only a complete match of a grammar.
    Hotword,
}

/// One prompt of a play, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prompt {
    /// What cuts it.
    pub bargein: Bargein,
    /// Its pieces.
    pub segments: Vec<Segment>,
}

/// What the host's recognisers are to listen for, and how long. The interpreter itself collects and times digits
/// ([`Input::Digit`]) and decides no-input; a voice engine is told the same limits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listen {
    /// Its name.
    pub id: ListenId,
    /// Voice grammars as weighted networks, highest precedence first. Empty: no voice input.
    #[serde(skip)]
    pub voice: Vec<Arc<Network>>,
    /// Whether digits are wanted at all (`inputmodes`).
    pub dtmf: bool,
    /// Properties in force that a recogniser needs, standard and vendor ones alike (`confidencelevel` ...).
    pub properties: BTreeMap<String, String>,
    /// Language of the listening.
    pub lang: String,
    /// Most results in an N-best list.
    pub maxnbest: u32,
    /// Keep the caller's utterance as a recording (`recordutterance`, VoiceXML 2.1 §7).
    pub record_utterance: bool,
    /// Speech cuts prompts only when a grammar matched.
    pub hotword: bool,
}

/// `<record>` (VoiceXML 2.0 §2.3.6). Ended early by [`Output::StopListen`] with its name when a grammar matched; also
/// then the host answers [`Input::Recorded`] with what it kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Its name; listening and recording share names.
    pub id: ListenId,
    /// Beep before.
    pub beep: bool,
    /// Longest recording, ms.
    pub maxtime_ms: u64,
    /// Silence that ends it, ms.
    pub finalsilence_ms: u64,
    /// Any digit ends it. Otherwise digits during the recording are told by [`Input::Digit`].
    pub dtmfterm: bool,
    /// Wait this long for the first sound, ms.
    pub timeout_ms: u64,
    /// Media type asked for, empty for the platform's.
    pub media_type: String,
    /// Grammars that are active meanwhile, if any are: their match ends the recording.
    pub listen: Option<Box<Listen>>,
}

/// How to transfer (VoiceXML 2.0 §2.3.7, 2.1 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// A second leg, bridged.
    Bridge,
    /// Hand the caller over.
    Blind,
    /// Hand over once the other end has answered.
    Consultation,
}

/// `<transfer>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Its name.
    pub id: ListenId,
    /// How.
    pub kind: TransferKind,
    /// `tel:` or `sip:` URI. Private: do not log.
    pub dest: units::Private<String>,
    /// Give up ringing after, ms.
    pub connecttimeout_ms: u64,
    /// Cut a bridge after, ms; 0: never.
    pub maxtime_ms: u64,
    /// Absolute URL of audio played while it rings.
    pub transferaudio: Option<String>,
    /// Application-to-application information.
    pub aai: Option<String>,
    /// During a bridge digits and speech are still wanted (a grammar is active).
    pub listen: Option<Box<Listen>>,
}

/// How a transfer ended (VoiceXML 2.0 §2.3.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferEnd {
    /// Busy.
    Busy,
    /// `connecttimeout` passed.
    Noanswer,
    /// Congestion.
    NetworkBusy,
    /// A grammar of the document matched: the caller ended it.
    NearEndDisconnect,
    /// The third person hung up.
    FarEndDisconnect,
    /// The network cut it.
    NetworkDisconnect,
    /// `maxtime` passed.
    MaxtimeDisconnect,
    /// Blind or consultation transfer is done: `connection.disconnect.transfer`.
    Transferred,
    /// Anything else.
    Unknown,
    /// `error.connection.noauthorization`.
    NoAuthorization,
    /// `error.connection.baddestination`.
    BadDestination,
    /// `error.connection.noroute`.
    NoRoute,
    /// `error.connection.noresource`.
    NoResource,
    /// `error.unsupported.transfer.*`.
    Unsupported,
    /// `error.connection.sip.NNN`: a status that has no name of its own (§2.3.7.3, `error.connection.protocol.nnn`).
    Protocol(u16),
}

/// What the interpreter asks of its host.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "out")]
pub enum Output {
    /// Fetch this.
    Fetch {
        /// Its name.
        id: FetchId,
        /// What.
        request: FetchRequest,
    },
    /// The answer to that fetch is no longer wanted.
    CancelFetch {
        /// Its name.
        id: FetchId,
    },
    /// Play these prompts in order, after whatever still plays.
    Play {
        /// Its name.
        id: PlayId,
        /// The prompts.
        prompts: Vec<Prompt>,
    },
    /// Stop playing at once and answer `PlayEnded` for all that was queued.
    StopPlay,
    /// Listen from now (also while a prompt plays, if it may be cut).
    Listen(Listen),
    /// Stop listening; no more `Recognised` for it. If it names a recording: stop it and answer `Recorded`.
    StopListen {
        /// Its name.
        id: ListenId,
    },
    /// Record the caller after what plays has ended.
    Record(Record),
    /// Transfer the caller.
    Transfer(Transfer),
    /// A bridged transfer is to end now (a grammar matched).
    EndTransfer {
        /// Its name.
        id: ListenId,
    },
    /// Run an object that the host has registered (VoiceXML 2.0 §2.3.5); answered once by [`Input::ObjectDone`].
    Object {
        /// Its name; objects and listenings share names.
        id: ListenId,
        /// `classid`, one of those registered.
        class: String,
        /// `<param>`s by name, as JSON.
        params: Vec<(String, serde_json::Value)>,
    },
    /// Hang up on the caller; the session goes on with its final processing and ends by `Exit`.
    Disconnect {
        /// `namelist` values (VoiceXML 2.1 §8), by name, as JSON.
        values: Vec<(String, serde_json::Value)>,
    },
    /// `<log>`, or the interpreter's own remark.
    Log(LogLine),
    /// A step of the session's story, for `carillon vxml run --json` and `carillon show call`.
    Trace(Trace),
    /// The session is over. Nothing follows.
    Exit(Exit),
}

/// A `<log>` line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `label`.
    pub label: Option<String>,
    /// Text.
    pub text: String,
}

/// A step of the story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "trace")]
pub enum Trace {
    /// A document became current.
    Document {
        /// Its URL.
        url: String,
    },
    /// A form item is visited.
    Visit {
        /// The form or menu.
        dialog: String,
        /// The form item.
        item: String,
    },
    /// An event was thrown.
    Event {
        /// Its name.
        name: String,
        /// Its message.
        message: Option<String>,
    },
    /// A prompt that nobody can hear any more: the call is over.
    Unheard {
        /// Its words.
        text: String,
    },
    /// Input matched, or did not.
    Input {
        /// `dtmf` or `voice`.
        mode: String,
        /// What was said; private.
        utterance: units::Private<String>,
        /// Whether a grammar matched.
        matched: bool,
    },
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// Why.
    pub reason: ExitReason,
    /// `namelist` or `expr` of `<exit>` as JSON; `expr` under the empty name.
    pub values: Vec<(String, serde_json::Value)>,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// `<exit>`.
    Exit,
    /// Nothing was left to do.
    EndOfDocument,
    /// The document hung up.
    Disconnect,
    /// The caller hung up.
    HangUp,
    /// Handed over to another place by a transfer.
    Transferred,
    /// An event nobody caught but the default handler; its name and message.
    Error {
        /// Event.
        event: String,
        /// Message.
        message: String,
    },
}

/// How a play ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayEnd {
    /// Heard to its end.
    Finished,
    /// Cut by the caller (barge-in).
    Barged,
    /// Stopped by `StopPlay`, or the call ended.
    Stopped,
    /// Could not be played; its fallbacks neither.
    Failed,
}

/// One recognition hypothesis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hypothesis {
    /// Words as the engine heard them, in order.
    pub tokens: Vec<String>,
    /// 0.0 ..= 1.0.
    pub confidence: f32,
    /// A semantic result the engine computed itself (MRCP NLSML/EMMA), as JSON; else the interpreter's SISR runs.
    pub interpretation: Option<serde_json::Value>,
}

/// What the host tells the interpreter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "in")]
pub enum Input {
    /// A fetch is done.
    Fetched {
        /// Its name.
        id: FetchId,
        /// How.
        result: Result<Fetched, FetchError>,
    },
    /// The caller pressed a key. Digits may come at any time (type-ahead).
    Digit {
        /// Which.
        digit: Digit,
    },
    /// The recogniser has heard speech begin: prompts with speech barge-in have been cut.
    SpeechStarted {
        /// Listening.
        id: ListenId,
    },
    /// The recogniser is done. Empty: nothing matched (`nomatch`).
    Recognised {
        /// Listening.
        id: ListenId,
        /// Best first.
        nbest: Vec<Hypothesis>,
        /// The utterance's recording, if asked for.
        recording: Option<Recording>,
    },
    /// The utterance was longer than `maxspeechtimeout`.
    TooMuchSpeech {
        /// Listening.
        id: ListenId,
    },
    /// The recogniser is gone or overloaded: `error.noresource`.
    NoResource {
        /// Listening.
        id: ListenId,
    },
    /// The recogniser does not speak the language of a grammar: `error.unsupported.language`.
    NoLanguage {
        /// Listening.
        id: ListenId,
    },
    /// A `<mark>` was passed.
    Mark {
        /// The play it belongs to.
        play: PlayId,
        /// Its name.
        name: String,
    },
    /// A play ended.
    PlayEnded {
        /// Which.
        id: PlayId,
        /// How.
        end: PlayEnd,
        /// Milliseconds heard of it in all.
        heard_ms: u64,
        /// The last mark passed, and the milliseconds since.
        mark: Option<(String, u64)>,
    },
    /// A recording ended.
    Recorded {
        /// Which.
        id: ListenId,
        /// What was kept; `None`: no sound came (`noinput`).
        recording: Option<Recording>,
        /// The digit that ended it.
        termchar: Option<Digit>,
        /// `maxtime` ended it.
        maxtime: bool,
    },
    /// A transfer ended.
    TransferEnded {
        /// Which.
        id: ListenId,
        /// How.
        end: TransferEnd,
        /// Bridged time, ms.
        duration_ms: u64,
    },
    /// An object is done.
    ObjectDone {
        /// Which.
        id: ListenId,
        /// What becomes the item's variable, or the event to throw with its message.
        result: Result<serde_json::Value, (String, String)>,
    },
    /// The caller hung up: `connection.disconnect.hangup`, then final processing.
    HangUp,
    /// A deadline of [`Session::deadline`](crate::Session) has passed.
    Timer,
}

/// A recording that the host keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The host's name for it; appears in `<audio expr>` and `<submit>`.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// Milliseconds.
    pub duration_ms: u64,
    /// Media type.
    pub media_type: String,
}

/// What the session's timer is for; all are the interpreter's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// Nothing was said or pressed (`timeout`).
    NoInput,
    /// Between digits (`interdigittimeout`).
    InterDigit,
    /// After a complete digit string (`termtimeout`).
    Term,
}

/// What `session.connection` says (VoiceXML 2.0 §5.1.4).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// `local.uri`.
    pub local_uri: units::Private<String>,
    /// `remote.uri`.
    pub remote_uri: units::Private<String>,
    /// `protocol.name`, e.g. `sip`.
    pub protocol_name: String,
    /// `protocol.version`.
    pub protocol_version: String,
    /// SIP header fields the application may see (`protocol.sip.headers`).
    pub headers: Vec<(String, String)>,
    /// `redirect[]`: uri, pi, si, reason.
    pub redirect: Vec<Redirect>,
    /// `aai`.
    pub aai: Option<String>,
    /// `originator`: `remote` for calls we take, `local` for calls we make.
    pub originator_is_local: bool,
}

/// One entry of `session.connection.redirect`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// Who redirected.
    pub uri: units::Private<String>,
    /// Presentation indicator.
    pub pi: String,
    /// Screening indicator.
    pub si: String,
    /// Reason.
    pub reason: String,
}
