//! One SMTP (RFC 5321) or LMTP (RFC 2033) session as a machine: octets in, replies and questions out. It frames and
//! checks; what a mail means is `mail`'s work, and whether it is durable is the shell's.
//!
//! Smuggling: a line ends with CRLF and nothing else, the mail with CRLF `.` CRLF and nothing else. A command with a
//! bare CR or LF ends the session; a mail with one is read to its true end, refused, and ends the session too.

use crate::limits::MailLimits;
use smtp_proto::{Error as ProtoError, MAIL_BODY_BINARYMIME, MAIL_SMTPUTF8, MailFrom, Request};
use std::collections::VecDeque;
use std::sync::Arc;
use units::{Private, TenantId};

pub use super::mailbox::{Action, Directory, Rcpt};

/// Who we are to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// RFC 5321: one reply for a mail.
    Smtp,
    /// RFC 2033: one reply for each recipient of a mail.
    Lmtp,
}

/// The envelope of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the peer calls itself.
    pub helo: String,
    /// Reverse path; empty for a bounce.
    pub from: Private<String>,
    /// Recipients, each of them one of our addresses.
    pub rcpts: Vec<Rcpt>,
    /// The tenant that authenticated itself.
    pub authenticated: Option<TenantId>,
    /// The session is encrypted.
    pub tls: bool,
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// RFC 5321 §4.2.
    pub code: u16,
    /// RFC 3463, e.g. `5.7.1`; empty where none belongs.
    pub enhanced: &'static str,
    /// Lines of text, without CR and LF.
    pub text: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: u16, enhanced: &'static str, text: impl Into<String>) -> Self {
        Self { code, enhanced, text: vec![text.into()] }
    }

    /// As it is sent. Text is cut to 400 octets a line, and controls in it become `?`: what a peer wrote may be in it.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut out = String::new();
        for (i, line) in self.text.iter().enumerate() {
            let sep = if i + 1 == self.text.len() { ' ' } else { '-' };
            let clean: String =
                line.chars().map(|c| if c.is_control() { '?' } else { c }).take(400).collect();
            let space = if self.enhanced.is_empty() { "" } else { " " };
            out.push_str(&format!("{}{sep}{}{space}{clean}\r\n", self.code, self.enhanced));
        }
        out.into_bytes()
    }
}

/// What the session wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these octets.
    Send(Vec<u8>),
    /// Start TLS on the connection, then call [`Session::encrypted`]. What was received after the command was dropped.
    StartTls,
    /// Check this tenant's credentials, then call [`Session::authenticated`].
    Authenticate {
        /// Name of the tenant.
        user: Private<String>,
        /// Its key.
        password: Private<String>,
    },
    /// A whole mail; answer with [`Session::settled`] after the durable commit.
    Mail(Box<Envelope>, Vec<u8>),
    /// Close the connection.
    Close,
}

/// See the module.
#[derive(Debug)]
pub struct Session {
    role: Role,
    directory: Arc<Directory>,
    limits: MailLimits,
    tls_offered: bool,
    tls: bool,
    authenticated: Option<TenantId>,
    helo: Option<String>,
    state: State,
    buffer: Vec<u8>,
    out: VecDeque<Output>,
    errors: u32,
    mails: u32,
    auth_failures: u32,
}

#[derive(Debug)]
enum State {
    /// Commands are read.
    Command,
    /// MAIL was taken; RCPTs may have been.
    Envelope { from: Private<String>, rcpts: Vec<Rcpt>, refused: u32 },
    /// The text of a mail is read, to CRLF `.` CRLF.
    Data { from: Private<String>, rcpts: Vec<Rcpt>, text: Text },
    /// A chunk of `left` octets is read (RFC 3030).
    Chunk { from: Private<String>, rcpts: Vec<Rcpt>, text: Vec<u8>, left: usize, last: bool, bad: bool },
    /// Between two chunks.
    Chunks { from: Private<String>, rcpts: Vec<Rcpt>, text: Vec<u8> },
    /// The shell looks at a mail that had so many recipients.
    Waiting(usize),
    /// The shell checks credentials.
    Checking,
    /// A line with credentials is awaited.
    Credentials,
    /// TLS is being started.
    Handshake,
    /// Over.
    Closed,
}

/// The text of a mail as it comes in: dots taken off, length and line ends checked.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    bare: bool,
    too_long: bool,
}

impl Session {
    /// A session on a new connection; its greeting is the first output.
    #[must_use]
    pub fn new(role: Role, directory: Arc<Directory>, limits: MailLimits, tls_offered: bool) -> Self {
        let mut session = Self {
            role,
            directory,
            limits,
            tls_offered,
            tls: false,
            authenticated: None,
            helo: None,
            state: State::Command,
            buffer: Vec::new(),
            out: VecDeque::new(),
            errors: 0,
            mails: 0,
            auth_failures: 0,
        };
        let kind = if role == Role::Smtp { "ESMTP" } else { "LMTP" };
        session.say(Reply::new(220, "", format!("{} {kind} Carillon", session.directory.hostname)));
        session
    }

    /// Takes octets from the peer.
    pub fn receive(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
        self.work();
    }

    /// The next thing to do; drain to `None` after each call.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// More octets can be used now. (A shell that is asked something reads no further, so the buffer stays bounded.)
    #[must_use]
    pub fn wants_octets(&self) -> bool {
        !matches!(self.state, State::Waiting(_) | State::Checking | State::Handshake | State::Closed)
    }

    /// TLS is up: RFC 3207 §4.2: all that was learnt before is forgotten.
    pub fn encrypted(&mut self) {
        self.tls = true;
        self.helo = None;
        self.authenticated = None;
        self.buffer.clear();
        self.state = State::Command;
    }

    /// The credentials were checked.
    pub fn authenticated(&mut self, tenant: Option<TenantId>) {
        if !matches!(self.state, State::Checking) {
            return;
        }
        self.state = State::Command;
        self.authenticated = tenant;
        if tenant.is_some() {
            self.say(Reply::new(235, "2.7.0", "Authenticated"));
        } else {
            self.auth_failures += 1;
            self.say(Reply::new(535, "5.7.8", "These credentials are not known"));
            if self.auth_failures >= self.limits.auth_failures_max {
                self.close(Reply::new(421, "4.7.0", "Too many failures"));
            }
        }
        self.work();
    }

    /// The mail was dealt with: one reply for each recipient (the first serves for all in SMTP).
    pub fn settled(&mut self, replies: &[Reply]) {
        let State::Waiting(rcpts) = self.state else { return };
        let unavailable = Reply::new(451, "4.3.0", "Not now, try again later");
        let count = if self.role == Role::Lmtp { rcpts } else { 1 };
        for i in 0..count {
            self.say(replies.get(i).cloned().unwrap_or_else(|| unavailable.clone()));
        }
        self.state = State::Command;
        self.mails += 1;
        if self.mails >= self.limits.mails_max {
            self.close(Reply::new(421, "4.7.0", "Enough for one connection"));
        }
        self.work();
    }

    fn say(&mut self, reply: Reply) {
        self.out.push_back(Output::Send(reply.octets()));
    }

    fn close(&mut self, reply: Reply) {
        self.say(reply);
        self.out.push_back(Output::Close);
        self.state = State::Closed;
        self.buffer.clear();
    }

    fn fault(&mut self, reply: Reply) {
        self.errors += 1;
        if self.errors > self.limits.errors_max {
            self.close(Reply::new(421, "4.7.0", "Too many errors"));
        } else {
            self.say(reply);
        }
    }

    /// Uses up what is buffered as far as the state allows.
    fn work(&mut self) {
        loop {
            let more = match &self.state {
                State::Command | State::Envelope { .. } | State::Chunks { .. } | State::Credentials => {
                    self.line()
                }
                State::Data { .. } => self.data(),
                State::Chunk { .. } => self.chunk(),
                State::Waiting(_) | State::Checking | State::Handshake | State::Closed => false,
            };
            if !more {
                return;
            }
        }
    }

    /// Takes one line; false if there is none yet.
    fn line(&mut self) -> bool {
        let Some(end) = self.buffer.iter().position(|b| *b == b'\n') else {
            if self.buffer.len() > self.limits.line_bytes_max {
                self.close(Reply::new(500, "5.5.6", "Line too long"));
            }
            return false;
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        if line.len() > self.limits.line_bytes_max {
            self.close(Reply::new(500, "5.5.6", "Line too long"));
            return false;
        }
        // RFC 5321 §2.3.8: CR and LF only together. Anything else is an attempt to be read in two ways.
        let crs = line.iter().filter(|b| **b == b'\r').count();
        if !line.ends_with(b"\r\n") || crs != 1 || line.contains(&0) {
            self.close(Reply::new(521, "5.5.2", "Lines end with CRLF"));
            return false;
        }
        if matches!(self.state, State::Credentials) {
            self.credentials(&line);
        } else {
            self.command(&line);
        }
        true
    }

    fn command(&mut self, line: &[u8]) {
        match Request::parse(&mut line.iter()) {
            Ok(request) => self.request(request.into_owned(), line),
            Err(e) => self.fault(proto_reply(&e)),
        }
    }

    fn request(&mut self, request: Request<String>, line: &[u8]) {
        match request {
            Request::Ehlo { host } if self.role == Role::Smtp => self.hello(host, true),
            Request::Helo { host } if self.role == Role::Smtp => self.hello(host, false),
            Request::Lhlo { host } if self.role == Role::Lmtp => self.hello(host, true),
            Request::Mail { from } => self.mail(from),
            Request::Rcpt { to } => self.rcpt(&to.address),
            Request::Data => self.start_data(),
            Request::Bdat { chunk_size, is_last } => self.start_chunk(chunk_size, is_last),
            Request::Rset => {
                self.state = State::Command;
                self.say(Reply::new(250, "2.0.0", "Forgotten"));
            }
            Request::Noop { .. } => self.say(Reply::new(250, "2.0.0", "OK")),
            Request::Vrfy { .. } => self.say(Reply::new(252, "2.5.2", "Try and see")),
            Request::Help { .. } => {
                self.say(Reply::new(214, "2.0.0", "An order is a mail to call+NAME@HOST"))
            }
            Request::Quit => self.close(Reply::new(221, "2.0.0", "Bye")),
            Request::StartTls => self.start_tls(line),
            Request::Auth { mechanism, initial_response } => self.auth(mechanism, &initial_response),
            _ => self.fault(Reply::new(502, "5.5.1", "Not here")),
        }
    }

    fn hello(&mut self, host: String, extended: bool) {
        let known = &self.directory.hostname;
        let mut text = vec![format!("{known} greets you")];
        if extended {
            text.extend(
                ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING"].map(str::to_owned),
            );
            text.push(format!("SIZE {}", self.limits.message_bytes_max));
            if self.tls_offered && !self.tls {
                text.push("STARTTLS".into());
            }
            if self.auth_open() {
                text.push("AUTH PLAIN".into());
            }
        }
        self.helo = Some(host);
        self.state = State::Command;
        // RFC 5321 §4.1.1.1: the greeting has no enhanced code.
        self.say(Reply { code: 250, enhanced: "", text });
    }

    /// AUTH is offered where nobody can listen: under TLS, or where the operator says that the wire is trusted.
    fn auth_open(&self) -> bool {
        self.authenticated.is_none() && (self.tls || self.directory.auth_in_clear)
    }

    fn mail(&mut self, from: MailFrom<String>) {
        if self.helo.is_none() {
            return self.fault(Reply::new(503, "5.5.1", "Say EHLO first"));
        }
        if !matches!(self.state, State::Command) {
            return self.fault(Reply::new(503, "5.5.1", "One mail at a time"));
        }
        if self.directory.tls_required && !self.tls {
            return self.fault(Reply::new(530, "5.7.0", "Say STARTTLS first"));
        }
        if from.size > self.limits.message_bytes_max {
            return self.fault(Reply::new(552, "5.3.4", "The mail is too large"));
        }
        if from.flags & MAIL_BODY_BINARYMIME != 0 {
            return self.fault(Reply::new(501, "5.5.4", "BINARYMIME is not offered"));
        }
        if !from.address.is_ascii() && from.flags & MAIL_SMTPUTF8 == 0 {
            return self.fault(Reply::new(553, "5.6.7", "Say SMTPUTF8 for such an address"));
        }
        if from.address.chars().any(char::is_control) {
            return self.fault(Reply::new(501, "5.1.7", "Not an address"));
        }
        self.state = State::Envelope { from: Private::new(from.address), rcpts: Vec::new(), refused: 0 };
        self.say(Reply::new(250, "2.1.0", "Sender taken"));
    }

    fn rcpt(&mut self, address: &str) {
        let max = self.limits.recipients_max;
        let found = self.directory.find(address);
        let State::Envelope { rcpts, refused, .. } = &mut self.state else {
            return self.fault(Reply::new(503, "5.5.1", "MAIL comes first"));
        };
        match found {
            Some(_) if rcpts.len() >= max => self.say(Reply::new(452, "4.5.3", "Too many recipients")),
            Some(rcpt) => {
                rcpts.push(rcpt);
                self.say(Reply::new(250, "2.1.5", "Recipient taken"));
            }
            None => {
                *refused += 1;
                // RFC 5321 §3.5: who tries names one by one learns little.
                self.fault(Reply::new(550, "5.1.1", "No such address here: write to call+NAME@HOST"));
            }
        }
    }

    /// The envelope, if it has recipients.
    fn take_envelope(&mut self) -> Option<(Private<String>, Vec<Rcpt>)> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Envelope { from, rcpts, .. } if !rcpts.is_empty() => Some((from, rcpts)),
            State::Envelope { .. } => {
                self.fault(Reply::new(554, "5.5.1", "No valid recipients"));
                None
            }
            other => {
                self.state = other;
                self.fault(Reply::new(503, "5.5.1", "MAIL and RCPT come first"));
                None
            }
        }
    }

    fn start_data(&mut self) {
        if matches!(self.state, State::Chunks { .. }) {
            // RFC 3030 §2: DATA and BDAT do not mix.
            return self.fault(Reply::new(503, "5.5.1", "BDAT was begun"));
        }
        if let Some((from, rcpts)) = self.take_envelope() {
            self.state = State::Data { from, rcpts, text: Text::default() };
            self.say(Reply::new(354, "", "Go on; end with a dot on a line by itself"));
        }
    }

    fn data(&mut self) -> bool {
        let max = self.limits.message_bytes_max;
        let State::Data { text, .. } = &mut self.state else { return false };
        let ended = text.take(&mut self.buffer, max);
        if !ended {
            return false;
        }
        if let State::Data { from, rcpts, text } = std::mem::replace(&mut self.state, State::Command) {
            if text.bare {
                self.close(Reply::new(554, "5.6.0", "The mail holds a bare CR or LF"));
            } else if text.too_long {
                self.refuse_all(rcpts.len(), &Reply::new(552, "5.3.4", "The mail is too large"));
            } else {
                self.hand_over(from, rcpts, text.bytes);
            }
        }
        true
    }

    fn refuse_all(&mut self, rcpts: usize, reply: &Reply) {
        let count = if self.role == Role::Lmtp { rcpts } else { 1 };
        for _ in 0..count {
            self.say(reply.clone());
        }
    }

    fn hand_over(&mut self, from: Private<String>, rcpts: Vec<Rcpt>, text: Vec<u8>) {
        self.state = State::Waiting(rcpts.len());
        let envelope = Envelope {
            helo: self.helo.clone().unwrap_or_default(),
            from,
            rcpts,
            authenticated: self.authenticated,
            tls: self.tls,
        };
        self.out.push_back(Output::Mail(Box::new(envelope), text));
    }

    fn start_chunk(&mut self, left: usize, last: bool) {
        let begun = match std::mem::replace(&mut self.state, State::Command) {
            State::Chunks { from, rcpts, text } => Some((from, rcpts, text, false)),
            State::Envelope { from, rcpts, .. } if !rcpts.is_empty() => {
                Some((from, rcpts, Vec::new(), false))
            }
            // RFC 3030 §2: the chunk comes whether we like it or not: it must be read and thrown away.
            State::Envelope { from, rcpts, .. } => Some((from, rcpts, Vec::new(), true)),
            _ => Some((Private::new(String::new()), Vec::new(), Vec::new(), true)),
        };
        if let Some((from, rcpts, text, bad)) = begun {
            let bad = bad || text.len().saturating_add(left) > self.limits.message_bytes_max;
            if bad && left > self.limits.message_bytes_max.saturating_mul(2) {
                return self.close(Reply::new(552, "5.3.4", "The chunk is too large"));
            }
            self.state = State::Chunk { from, rcpts, text, left, last, bad };
        }
    }

    fn chunk(&mut self) -> bool {
        let State::Chunk { text, left, bad, .. } = &mut self.state else { return false };
        let n = self.buffer.len().min(*left);
        if !*bad {
            text.extend_from_slice(&self.buffer[..n]);
        }
        self.buffer.drain(..n);
        *left -= n;
        if *left > 0 {
            return false;
        }
        if let State::Chunk { from, rcpts, text, last, bad, .. } =
            std::mem::replace(&mut self.state, State::Command)
        {
            self.end_chunk(from, rcpts, text, last, bad);
        }
        true
    }

    fn end_chunk(&mut self, from: Private<String>, rcpts: Vec<Rcpt>, text: Vec<u8>, last: bool, bad: bool) {
        if bad {
            self.fault(Reply::new(554, "5.5.1", "No mail was begun, or it is too large"));
        } else if last && has_bare(&text) {
            self.close(Reply::new(554, "5.6.0", "The mail holds a bare CR or LF"));
        } else if last {
            self.hand_over(from, rcpts, text);
        } else {
            self.say(Reply::new(250, "2.0.0", format!("{} octets", text.len())));
            self.state = State::Chunks { from, rcpts, text };
        }
    }

    fn start_tls(&mut self, _line: &[u8]) {
        if !self.tls_offered || self.tls {
            return self.fault(Reply::new(502, "5.5.1", "Not here"));
        }
        if !matches!(self.state, State::Command) {
            return self.fault(Reply::new(503, "5.5.1", "Not within a mail"));
        }
        // RFC 3207 §5, and the injection of 2011: what came in the clear behind the command is not obeyed.
        if !self.buffer.is_empty() {
            return self.close(Reply::new(503, "5.5.1", "Nothing may follow STARTTLS"));
        }
        self.say(Reply::new(220, "2.0.0", "Go on"));
        self.state = State::Handshake;
        self.out.push_back(Output::StartTls);
    }

    fn auth(&mut self, mechanism: u64, initial: &str) {
        if self.helo.is_none() || !matches!(self.state, State::Command) || self.authenticated.is_some() {
            return self.fault(Reply::new(503, "5.5.1", "Not now"));
        }
        if !self.auth_open() {
            return self.fault(Reply::new(538, "5.7.11", "Say STARTTLS first"));
        }
        if mechanism != smtp_proto::AUTH_PLAIN {
            return self.fault(Reply::new(504, "5.5.4", "Only PLAIN"));
        }
        if initial.is_empty() {
            self.state = State::Credentials;
            self.say(Reply::new(334, "", ""));
        } else {
            self.credentials(initial.as_bytes());
        }
    }

    fn credentials(&mut self, line: &[u8]) {
        self.state = State::Command;
        match plain(line.trim_ascii()) {
            Some((user, password)) => {
                self.state = State::Checking;
                self.out.push_back(Output::Authenticate { user: user.into(), password: password.into() });
            }
            None => self.fault(Reply::new(501, "5.5.2", "Not the credentials of PLAIN")),
        }
    }
}

/// RFC 4616: `authzid NUL authcid NUL passwd` in base64.
fn plain(base64: &[u8]) -> Option<(String, String)> {
    use base64::Engine;
    let octets = base64::engine::general_purpose::STANDARD.decode(base64).ok()?;
    let text = String::from_utf8(octets).ok()?;
    let mut parts = text.split('\0');
    let (authz, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let proxied = !authz.is_empty() && authz != user;
    (parts.next().is_none() && !proxied && !user.is_empty()).then(|| (user.to_owned(), password.to_owned()))
}

/// A CR without LF or an LF without CR.
#[must_use]
pub fn has_bare(text: &[u8]) -> bool {
    let mut last = 0u8;
    for &b in text {
        if (b == b'\n') != (last == b'\r') {
            return true;
        }
        last = b;
    }
    last == b'\r'
}

impl Text {
    /// Takes lines from the buffer; true when CRLF `.` CRLF has come. What follows stays in the buffer.
    fn take(&mut self, buffer: &mut Vec<u8>, max: usize) -> bool {
        let mut used = 0;
        let mut ended = false;
        while let Some(at) = buffer[used..].windows(2).position(|w| w == b"\r\n") {
            let line = &buffer[used..used + at];
            let after_crlf = self.bytes.is_empty() || self.bytes.ends_with(b"\r\n");
            used += at + 2;
            if after_crlf && line == b"." {
                ended = true;
                break;
            }
            // RFC 5321 §4.5.2: a leading dot is taken off.
            let line = if after_crlf { line.strip_prefix(b".").unwrap_or(line) } else { line };
            self.push(line, max);
            self.push(b"\r\n", max);
        }
        // A line that never ends is taken in pieces, so that the buffer stays small; its last octet may be the CR.
        if !ended && buffer.len() - used > 64 << 10 {
            let end = buffer.len() - 1;
            let piece: Vec<u8> = buffer[used..end].to_vec();
            self.push(&piece, max);
            used = end;
        }
        buffer.drain(..used);
        ended
    }

    fn push(&mut self, octets: &[u8], max: usize) {
        // Within a line, any CR or LF is a bare one.
        if octets != b"\r\n" && octets.iter().any(|b| *b == b'\r' || *b == b'\n') {
            self.bare = true;
        }
        if self.bytes.len() + octets.len() > max {
            // Kept: the last two octets, by which the next line start is known.
            self.too_long = true;
            let keep = self.bytes.len().saturating_sub(2);
            self.bytes.drain(..keep);
        }
        self.bytes.extend_from_slice(octets);
    }
}

fn proto_reply(e: &ProtoError) -> Reply {
    match e {
        ProtoError::UnknownCommand => Reply::new(500, "5.5.1", "No such command"),
        ProtoError::InvalidSenderAddress => Reply::new(501, "5.1.7", "Not a sender's address"),
        ProtoError::InvalidRecipientAddress => Reply::new(501, "5.1.3", "Not a recipient's address"),
        ProtoError::SyntaxError { syntax } => Reply::new(501, "5.5.2", format!("Write {syntax}")),
        ProtoError::InvalidParameter { param } => Reply::new(501, "5.5.4", format!("Not a value of {param}")),
        ProtoError::UnsupportedParameter { .. } => Reply::new(555, "5.5.4", "No such parameter here"),
        _ => Reply::new(500, "5.5.2", "Not understood"),
    }
}

#[cfg(test)]
#[path = "smtp_tests.rs"]
mod tests;
