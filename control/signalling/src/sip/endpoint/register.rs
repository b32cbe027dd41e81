//! REGISTER for trunks that want us to (RFC 3261 §10.2): writes the requests that `sip::register` asks for and reads
//! their answers. Call-ID and numbers stay for the life of a registration (§10.2.4).

use super::alarms::Who;
use super::request::via_word;
use super::tx::Owner;
use super::{Endpoint, Hop, Output};
use crate::sip::auth::Challenge;
use crate::sip::register::{Client, Input, Output as Asked, Registration};
use crate::sip::wire::core::seconds;
use crate::sip::wire::{HeaderId, Message, NameAddr, Scheme, Writer, values};
use std::collections::BTreeMap;
use units::{Mono, Now, Seed};

/// Registrations, by numbers that are never used again.
#[derive(Debug, Default)]
pub(super) struct Registered {
    entries: BTreeMap<usize, Entry>,
    next: usize,
}

#[derive(Debug)]
struct Entry {
    wanted: Registration,
    client: Client,
    cseq: u32,
    armed: Option<Mono>,
    /// The challenge that the next request answers.
    challenge: Option<Challenge>,
    /// It goes with the answer to its last request.
    stopped: bool,
}

impl Endpoint {
    /// Keeps these registered from now on, and takes the others away.
    pub(super) fn set_registrations(&mut self, now: Now, wanted: Vec<Registration>) {
        let kept = |entry: &Entry| wanted.iter().any(|w| w.is_like(&entry.wanted));
        let gone: Vec<usize> =
            self.registered.entries.iter().filter(|(_, e)| !e.stopped && !kept(e)).map(|(n, _)| *n).collect();
        for n in gone {
            // What is not bound needs not be taken away.
            if self.registered.entries.get(&n).is_some_and(|e| !e.client.is_registered()) {
                self.registered.entries.remove(&n);
            } else if let Some(entry) = self.registered.entries.get_mut(&n) {
                entry.stopped = true;
                self.drive_registration(now, n, Input::Stop);
            }
        }
        for wanted in wanted {
            if self.registered.entries.values().any(|e| !e.stopped && e.wanted.is_like(&wanted)) {
                continue;
            }
            self.registered.next += 1;
            let n = self.registered.next;
            let client = Client::new(wanted.expires_s, now.mono, Seed(self.rng.next_u64()));
            // RFC 3261 §10.2.4: numbers grow under one Call-ID, which a restart keeps; so they begin with the time.
            let seconds = u32::try_from((now.wall.0 / 1_000) & 0x7fff_ffff).unwrap_or(0);
            let entry = Entry { wanted, client, cseq: seconds, armed: None, challenge: None, stopped: false };
            self.registered.entries.insert(n, entry);
            self.drive_registration(now, n, Input::Due);
        }
    }

    pub(super) fn registration_due(&mut self, now: Now, n: usize) {
        if let Some(entry) = self.registered.entries.get_mut(&n) {
            entry.armed = None;
            self.drive_registration(now, n, Input::Due);
        }
    }

    fn drive_registration(&mut self, now: Now, n: usize, input: Input) {
        let Some(entry) = self.registered.entries.get_mut(&n) else { return };
        entry.client.handle(now, input);
        while let Some(asked) = self.registered.entries.get_mut(&n).and_then(|e| e.client.poll()) {
            match asked {
                Asked::Send { expires_s } => self.send_register(now, n, expires_s),
                Asked::State { registered, status } => {
                    if let Some(entry) = self.registered.entries.get(&n) {
                        let name = entry.wanted.name.clone();
                        self.out.push_back(Output::Registered { name, registered, status });
                    }
                }
            }
        }
        if let Some(entry) = self.registered.entries.get_mut(&n) {
            entry.armed = self.alarms.arm(Who::Registration(n), entry.armed, entry.client.deadline());
        }
    }

    fn send_register(&mut self, now: Now, n: usize, expires_s: u32) {
        let Some(entry) = self.registered.entries.get_mut(&n) else { return };
        entry.cseq += 1;
        let (challenge, cseq, wanted) = (entry.challenge.take(), entry.cseq, entry.wanted.clone());
        let hop = Hop { transport: wanted.transport, to: wanted.to, flow: None };
        let Some((bytes, branch)) = self.register(&wanted, cseq, expires_s, challenge.as_ref()) else {
            return;
        };
        self.start_client(now, Owner::Registration(n), hop, &branch, "REGISTER", bytes);
    }

    fn register(
        &self,
        wanted: &Registration,
        cseq: u32,
        expires_s: u32,
        challenge: Option<&Challenge>,
    ) -> Option<(Vec<u8>, String)> {
        let (own, word) = (self.own(wanted.transport), via_word(wanted.transport));
        let aor = wanted.aor.expose();
        let name = self.namer.name("register", &[aor.as_bytes(), wanted.name.as_bytes()]);
        let call_id = format!("{:x}.{name}@carillon", self.config.shard);
        let tag = name.get(16..).unwrap_or_default();
        let branch = self.namer.branch(&call_id, tag, cseq, "REGISTER");
        let uri = format!("sip:{}", wanted.domain);
        let mut w = Writer::request("REGISTER", &uri);
        w.field(HeaderId::Via, format_args!("SIP/2.0/{word} {own};branch={branch};rport"));
        w.field(HeaderId::MaxForwards, 70);
        w.field(HeaderId::From, format_args!("<{aor}>;tag={tag}"));
        w.field(HeaderId::To, format_args!("<{aor}>"));
        w.field(HeaderId::CallId, &call_id);
        w.field(HeaderId::CSeq, format_args!("{cseq} REGISTER"));
        w.field(HeaderId::Contact, self.contact(Some(wanted.user.expose()), wanted.transport, Scheme::Sip));
        w.field(HeaderId::Expires, expires_s);
        if let (Some(challenge), Some(credentials)) = (challenge, &wanted.credentials) {
            let cnonce = self.namer.name("cnonce", &[call_id.as_bytes(), &cseq.to_be_bytes()]);
            w.field(challenge.answer_in, challenge.answer(credentials, "REGISTER", &uri, &cnonce));
        }
        w.field(HeaderId::UserAgent, &self.config.user_agent);
        w.finish("", b"").ok().map(|bytes| (bytes, branch))
    }

    /// An answer to one of our REGISTERs.
    pub(super) fn register_answered(&mut self, now: Now, n: usize, m: &Message<'_>) {
        let Some(status) = m.status().filter(|s| *s >= 200) else { return };
        let Some(entry) = self.registered.entries.get_mut(&n) else { return };
        let credentials = entry.wanted.credentials.as_ref().filter(|_| matches!(status, 401 | 407));
        let challenge = credentials.and_then(|c| Challenge::find(m, c.realm.as_deref()));
        let challenged = challenge.is_some();
        entry.challenge = challenge;
        let user = entry.wanted.user.clone();
        let number = |id| m.first(id).and_then(seconds);
        let input = Input::Answered {
            status,
            expires_s: granted(m, user.expose()).or_else(|| number(HeaderId::Expires)),
            min_expires_s: number(HeaderId::MinExpires),
            retry_after_s: number(HeaderId::RetryAfter),
            challenged,
        };
        let over = entry.stopped && !challenged;
        self.drive_registration(now, n, input);
        if over {
            self.registered.entries.remove(&n);
        }
    }

    /// Nobody answered one of our REGISTERs.
    pub(super) fn register_unanswered(&mut self, now: Now, n: usize) {
        self.drive_registration(now, n, Input::Unanswered);
        if self.registered.entries.get(&n).is_some_and(|e| e.stopped) {
            self.registered.entries.remove(&n);
        }
    }
}

/// RFC 3261 §10.2.4: the `expires` of our own Contact among all that are bound.
fn granted(m: &Message<'_>, user: &str) -> Option<u32> {
    let contacts = m.all(HeaderId::Contact).flat_map(values).filter_map(NameAddr::parse);
    let mut ours = contacts.filter(|c| c.uri.user == Some(user));
    ours.find_map(|c| c.params.get("expires")?.parse().ok())
}
