//! What a call is conducted with: the words between the calls of a shard and its doors ([`Token`], [`Output`],
//! [`Finished`], [`Fact`]), the settings in force, and the surroundings of a call while it is handled (`Ctx`). Below
//! both [`crate::call`] and [`crate::shard`]: a call knows this page and not the shard that keeps it.

mod entrance;
mod letter;
mod settings;

pub use entrance::{Entrance, Entry};
pub use letter::Denied;
pub(crate) use letter::{Departed, Letter};
pub use settings::{ScriptClock, Settings};

use crate::order::{Disposition, Order};
use crate::permit::Released;
use crate::record::Direction;
use crate::store::{Ask, Lease, StoryLine};
use crate::trunk::Board;
use dataplane::command::{Command, PromptHandle};
use signalling::leg::{Action, Rtp, Srtp};
use signalling::sip::endpoint::Output as SipOutput;
use signalling::tdm::Output as TdmOutput;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use units::{
    AttemptId, BearerId, CallId, Cause, Codec, LegId, Mono, Now, OrderId, Private, Rng, Samples, Seed,
    TenantId,
};
use vxml::Documents;
use vxml::session::{Caching, FetchId, FetchRequest, Hypothesis, Listen, ListenId, Recording, Speech};

/// Names a question to a door; the answer brings it back. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Place,
    Document,
    /// The application root of the first document.
    Root,
    Intent,
    Ack,
    Record,
    Fetch(FetchId),
    Prompt(u32),
    /// Sound that is wanted ahead.
    Ahead(FetchId),
}

/// What the doors are to do.
#[derive(Debug)]
pub enum Output {
    /// SIP leaves, a flow closes, or a peer's state changed. Never `Output::Leg`.
    Sip(SipOutput),
    /// Find a place for a bearer, so that its address can be offered, if it can be had on the worker of this other one;
    /// answer by `Input::Reserved`.
    Reserve(Token, Option<BearerId>),
    /// Find a place for a bearer on a timeslot of a span; answer by `Input::Reserved`.
    ReserveSlot(Token),
    /// Open a bearer on a timeslot.
    OpenSlot {
        /// Which.
        bearer: BearerId,
        /// Span, from 1.
        span: u16,
        /// Slot, from 1.
        slot: u8,
    },
    /// Send a D-channel frame. Never a leg's word.
    Tdm(TdmOutput),
    /// A document wants to transfer its caller: may this be dialled? Answer by `Input::Start` for this very order, or by
    /// `Input::Denied`.
    Second(Box<Order>),
    /// A reserved place is not needed.
    Release(BearerId),
    /// The far side is known: open the bearer.
    Open {
        /// Which.
        bearer: BearerId,
        /// What was agreed.
        far: Box<Rtp>,
        /// Our keys, if SRTP was.
        keys: Option<Srtp>,
    },
    /// The far side of an open bearer is new.
    Respec {
        /// Which.
        bearer: BearerId,
        /// What was agreed.
        far: Box<Rtp>,
        /// Our keys, if SRTP was.
        keys: Option<Srtp>,
    },
    /// Pass on to the bearer's worker.
    Command(Command),
    /// Record: lend buffers and command the worker. `Input::Captured` follows once.
    Capture {
        /// Which bearer.
        bearer: BearerId,
        /// Name to keep it under.
        name: String,
        /// Media type asked for; empty: the door's choice.
        media_type: String,
        /// Longest.
        length_max: Samples,
        /// Silence that ends it.
        final_silence: Samples,
        /// A digit ends it.
        digit_ends: bool,
    },
    /// Hear what the caller says: lend a ring, listen along, hold it against grammars. `Input::Heard` follows, at any time
    /// and more than once, until it is recognised or stopped.
    Hear(Box<Hear>),
    /// Hear no more.
    StopHear {
        /// Which bearer.
        bearer: BearerId,
        /// Names the listening.
        id: ListenId,
    },
    /// Fetch by the tenant's rules; answer by `Input::Fetched`.
    Fetch {
        /// Names the answer.
        token: Token,
        /// Whose rules, cookies of which call.
        call: CallId,
        /// Whose rules.
        tenant: TenantId,
        /// `cid:` URLs are looked up in this order.
        order: Option<OrderId>,
        /// What.
        request: FetchRequest,
    },
    /// Its answer is not wanted any more.
    CancelFetch(Token),
    /// Make a prompt resident; answer by `Input::Prompt`.
    Load {
        /// Names the answer.
        token: Token,
        /// For its cookies.
        call: CallId,
        /// Whose rules.
        tenant: TenantId,
        /// `cid:` URLs are looked up in this order.
        order: Option<OrderId>,
        /// What.
        wanted: Wanted,
        /// Rendered for this codec.
        codec: Codec,
    },
    /// One use of a prompt has ended.
    Unload(PromptHandle),
    /// Ask the store; with a token, answer by `Input::Stored`.
    Ask(Option<Token>, Ask),
    /// A call is over. Its record is durable.
    Finished(Box<Finished>),
    /// Something for logs and counters.
    Fact(Fact),
}

/// What is to be heard.
#[derive(Debug)]
pub struct Hear {
    /// On which bearer.
    pub bearer: BearerId,
    /// Whose rules.
    pub tenant: TenantId,
    /// The name under which the utterance is kept, if the document wants it kept.
    pub keep: Option<String>,
    /// Grammars, properties, language.
    pub listen: Listen,
}

/// What was heard of a caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Somebody began to speak.
    Started,
    /// The utterance is over, with what it may have been, best first; none: nothing that a grammar holds.
    Recognised(Vec<Hypothesis>, Option<Recording>),
    /// It was longer than `maxspeechtimeout`.
    TooMuch,
    /// No recogniser is there, or it broke, or the grammar is too much for it.
    NoResource,
    /// No recogniser speaks this language.
    NoLanguage,
}

/// How a call went, for the desk.
#[derive(Debug)]
pub struct Finished {
    /// Which; what was kept for it (cookies) may go.
    pub call: CallId,
    /// Which attempt.
    pub attempt: AttemptId,
    /// The claim it ran under, for ordered calls.
    pub lease: Option<Lease>,
    /// Which way it went.
    pub direction: Direction,
    /// Whose.
    pub tenant: TenantId,
    /// Who was called, or who called.
    pub customer: Private<String>,
    /// How it counts.
    pub disposition: Disposition,
    /// Q.850.
    pub cause: Cause,
    /// SIP status, if one ended it.
    pub status: Option<u16>,
    /// The network asked for so many seconds of patience.
    pub retry_after_s: Option<u32>,
    /// It rang.
    pub alerted: bool,
    /// An INVITE left.
    pub dialled: bool,
    /// It was answered.
    pub answered: bool,
    /// In words, free of private data.
    pub why: Option<String>,
    /// Values and recordings, JSON; private.
    pub result: Option<String>,
    /// Its capacity.
    pub released: Released,
}

/// Something for logs and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An incoming call was refused.
    Refused {
        /// With this.
        cause: Cause,
        /// In words.
        why: &'static str,
    },
    /// The SIP endpoint would not take an input.
    SipRefused(String),
    /// A report came for a bearer that no call has.
    Stray(BearerId),
    /// A call leaves by this trunk.
    TrunkTaken(String),
    /// It does not use it any more.
    TrunkReturned {
        /// Name.
        trunk: String,
        /// The trunk failed it.
        failed: bool,
    },
    /// A call broke and was buried.
    Buried(AttemptId),
    /// The journal of a former life holds no dialog for this attempt: no BYE can be sent.
    NoDialog(AttemptId),
}

/// What a call asks of its leg's machine.
#[derive(Debug)]
pub(crate) enum LegAsk {
    Do(Action),
    Acked,
}

/// What a prompt store is to make resident.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Audio from a URL.
    Url {
        /// Absolute URL.
        url: String,
        /// Give up after, ms.
        timeout_ms: u64,
        /// Cache wishes.
        caching: Caching,
    },
    /// A recording of this call, by its name.
    Recording(String),
    /// Text to be spoken.
    Text(Box<Speech>),
}

/// A resident prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its handle; goes back by [`Output::Unload`].
    pub prompt: PromptHandle,
    /// How long it is.
    pub length: Samples,
}

/// What every call may reach while it is handled.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) bearers: BTreeMap<BearerId, CallId>,
    /// Parsed documents, shared by the calls of a tenant.
    pub(crate) documents: Documents,
    pub(crate) seed: Seed,
    /// Names of inbound calls and of transfers.
    pub(crate) rng: Rng,
    /// The trunks as they are now.
    pub(crate) trunks: Board,
    /// Legs that their calls have given up: they clear by themselves.
    pub(crate) left_legs: Vec<LegId>,
    /// Letters between calls: to whom, from whom.
    pub(crate) letters: VecDeque<(CallId, CallId, Letter)>,
    pub(crate) tokens: BTreeMap<Token, (CallId, Purpose)>,
    pub(crate) new_legs: Vec<(LegId, CallId)>,
    pub(crate) leg_asks: VecDeque<(LegId, LegAsk)>,
    pub(crate) lines: Vec<StoryLine>,
    /// Stories being written.
    pub(crate) stories: BTreeMap<AttemptId, Story>,
    pub(crate) next_token: u64,
    pub(crate) next_leg: u64,
}

/// How much a story has told already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Story {
    lines: u32,
    left_out: u32,
}

/// Story lines of one call. A document that runs in circles, or a far end that talks without end, fills no store: what
/// is more is counted.
pub(crate) const STORY_LINES_MAX: u32 = 1_000;

/// The surroundings of a call while it is handled.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Now,
    pub(crate) settings: &'a Settings,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) common: &'a mut Common,
}

impl Ctx<'_> {
    pub(crate) fn after_ms(&self, ms: u64) -> Mono {
        self.now.mono + Duration::from_millis(ms)
    }

    pub(crate) fn story(&mut self, attempt: AttemptId, kind: &str, text: String) {
        let story = self.common.stories.entry(attempt).or_default();
        if story.lines >= STORY_LINES_MAX {
            story.left_out = story.left_out.saturating_add(1);
            return;
        }
        story.lines += 1;
        self.common.lines.push(StoryLine { at: self.now.wall, attempt, kind: kind.to_owned(), text });
    }

    /// A line that is told in any case: what a call ended by. There are few of them.
    pub(crate) fn story_end(&mut self, attempt: AttemptId, kind: &str, text: String) {
        self.common.lines.push(StoryLine { at: self.now.wall, attempt, kind: kind.to_owned(), text });
    }

    /// The story is over; what was left out of it is told as a number.
    pub(crate) fn close_story(&mut self, attempt: AttemptId) {
        let left_out = self.common.stories.remove(&attempt).map_or(0, |story| story.left_out);
        if left_out > 0 {
            let text = format!("{left_out} lines more were left out: a story has {STORY_LINES_MAX}");
            self.story_end(attempt, "call", text);
        }
    }

    pub(crate) fn token(&mut self, call: CallId, purpose: Purpose) -> Token {
        self.common.next_token += 1;
        let token = Token(self.common.next_token);
        self.common.tokens.insert(token, (call, purpose));
        token
    }

    pub(crate) fn forget(&mut self, token: Token) {
        self.common.tokens.remove(&token);
    }

    pub(crate) fn ask(&mut self, token: Token, ask: Ask) {
        self.out.push_back(Output::Ask(Some(token), ask));
    }

    pub(crate) fn tell(&mut self, ask: Ask) {
        self.out.push_back(Output::Ask(None, ask));
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.out.push_back(Output::Command(command));
    }

    pub(crate) fn new_leg(&mut self, call: CallId) -> LegId {
        self.common.next_leg += 1;
        // The endpoint names incoming legs itself, from the other end of the range.
        let leg = LegId(self.common.next_leg);
        self.common.new_legs.push((leg, call));
        leg
    }

    pub(crate) fn leg(&mut self, leg: Option<LegId>, action: Action) {
        if let Some(leg) = leg {
            self.common.leg_asks.push_back((leg, LegAsk::Do(action)));
        }
    }

    pub(crate) fn letter(&mut self, to: CallId, from: CallId, letter: Letter) {
        self.common.letters.push_back((to, from, letter));
    }

    pub(crate) fn acked(&mut self, leg: LegId) {
        self.common.leg_asks.push_back((leg, LegAsk::Acked));
    }
}
