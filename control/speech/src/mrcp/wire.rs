//! Messages of the control channel (RFC 6787 §5): one start line, header fields, a body, and a length that counts all of
//! it, itself included.
//!
//! No input panics. What is longer than [`MESSAGE_MAX`] or has more than [`FIELDS_MAX`] fields is refused.

use std::fmt::Write;

/// Octets of the longest message that is taken: a result with a large N-best list.
pub const MESSAGE_MAX: usize = 1 << 20;
/// Header fields of a message.
pub const FIELDS_MAX: usize = 64;
/// Octets of the longest start line.
const START_MAX: usize = 256;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub start: Start,
    /// Names as they came, values trimmed.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// RFC 6787 §5.2 to §5.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// From client to server.
    Request {
        /// `RECOGNIZE`, `SPEAK` ...
        method: String,
        /// Counts up.
        id: u32,
    },
    /// The first answer to it.
    Response {
        /// Of the request.
        id: u32,
        /// 200 ...
        status: u16,
        /// How it stands.
        state: State,
    },
    /// What happens while it is in progress.
    Event {
        /// `START-OF-INPUT` ...
        name: String,
        /// Of the request.
        id: u32,
        /// How it stands.
        state: State,
    },
}

/// How a request stands (RFC 6787 §5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Queued behind others.
    Pending,
    /// Being worked on; events follow.
    InProgress,
    /// Over.
    Complete,
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The start line is none.
    Start,
    /// The length is impossible, or does not count what is there.
    Length,
    /// A header field is none.
    Field,
    /// Longer than is taken.
    TooLarge,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Pending => "PENDING",
            State::InProgress => "IN-PROGRESS",
            State::Complete => "COMPLETE",
        }
    }

    fn read(text: &str) -> Result<Self, Error> {
        [State::Pending, State::InProgress, State::Complete]
            .into_iter()
            .find(|s| s.name() == text)
            .ok_or(Error::Start)
    }
}

impl Message {
    /// A field, whatever the case of its name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Reads one message off the front; how many octets it took. `None`: more must come.
    ///
    /// # Errors
    /// [`Error`]; the connection is of no more use then.
    pub fn read(octets: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(end) = octets.iter().take(START_MAX).position(|&b| b == b'\n') else {
            return if octets.len() >= START_MAX { Err(Error::Start) } else { Ok(None) };
        };
        let line = std::str::from_utf8(&octets[..end]).map_err(|_| Error::Start)?.trim_end_matches('\r');
        let words: Vec<&str> = line.split(' ').filter(|w| !w.is_empty()).collect();
        let ["MRCP/2.0", length, rest @ ..] = &words[..] else { return Err(Error::Start) };
        let length: usize = length.parse().map_err(|_| Error::Length)?;
        if length > MESSAGE_MAX {
            return Err(Error::TooLarge);
        }
        if length <= end {
            return Err(Error::Length);
        }
        let start = start(rest)?;
        let Some(all) = octets.get(..length) else { return Ok(None) };
        let (fields, body) = fields(&all[end + 1..])?;
        // RFC 6787 §6.2.11: where there is a Content-Length it counts the body.
        let message = Self { start, fields, body: body.to_vec() };
        let counted = message.field("Content-Length").map(|v| v.parse::<usize>().map_err(|_| Error::Length));
        match counted.transpose()? {
            Some(counted) if counted != message.body.len() => Err(Error::Length),
            None if !message.body.is_empty() => Err(Error::Length),
            _ => Ok(Some((message, length))),
        }
    }

    /// Writes it; `Content-Length` is added where there is a body. Line ends in fields are taken out: they would begin
    /// other fields.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut rest = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| rest.write_fmt(line).expect("a string takes all");
        match &self.start {
            Start::Request { method, id } => line(format_args!(" {method} {id}\r\n")),
            Start::Response { id, status, state } => {
                line(format_args!(" {id} {status:03} {}\r\n", state.name()));
            }
            Start::Event { name, id, state } => line(format_args!(" {name} {id} {}\r\n", state.name())),
        }
        let one_line = |text: &str| text.replace(['\r', '\n'], " ");
        for (name, value) in &self.fields {
            if !name.eq_ignore_ascii_case("Content-Length") {
                line(format_args!("{}:{}\r\n", one_line(name), one_line(value)));
            }
        }
        if !self.body.is_empty() {
            line(format_args!("Content-Length:{}\r\n", self.body.len()));
        }
        rest.push_str("\r\n");
        let counted = "MRCP/2.0 ".len() + rest.len() + self.body.len();
        // RFC 6787 §5.1: the length counts its own digits, too.
        let mut length = counted;
        while counted + length.to_string().len() != length {
            length = counted + length.to_string().len();
        }
        let mut octets = format!("MRCP/2.0 {length}{rest}").into_bytes();
        octets.extend_from_slice(&self.body);
        octets
    }
}

fn start(words: &[&str]) -> Result<Start, Error> {
    let number = |text: &str| text.parse::<u32>().map_err(|_| Error::Start);
    match words {
        [method, id] => Ok(Start::Request { method: name(method)?, id: number(id)? }),
        [id, status, state] if id.starts_with(|c: char| c.is_ascii_digit()) => {
            let status = status.parse().ok().filter(|s| (100..700).contains(s)).ok_or(Error::Start)?;
            Ok(Start::Response { id: number(id)?, status, state: State::read(state)? })
        }
        // RFC 6787 §9.20 prints its own events with a status between the number and the state.
        [event, id, state] | [event, id, "200", state] => {
            Ok(Start::Event { name: name(event)?, id: number(id)?, state: State::read(state)? })
        }
        _ => Err(Error::Start),
    }
}

fn name(text: &str) -> Result<String, Error> {
    let fine = !text.is_empty() && text.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    if fine { Ok(text.to_owned()) } else { Err(Error::Start) }
}

type Fields = Vec<(String, String)>;

/// Fields up to an empty line, and what is behind it. A line that begins with a space goes on with the one before.
fn fields(octets: &[u8]) -> Result<(Fields, &[u8]), Error> {
    let mut fields = Fields::new();
    let mut rest = octets;
    loop {
        let end = rest.iter().position(|&b| b == b'\n').ok_or(Error::Field)?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| Error::Field)?.trim_end_matches('\r');
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((fields, rest));
        }
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut().ok_or(Error::Field)?;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Error::Field)?;
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(Error::Field);
        }
        if fields.len() == FIELDS_MAX {
            return Err(Error::TooLarge);
        }
        fields.push((name.to_owned(), value.trim().to_owned()));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An example as the RFC prints it: with dots where lengths stand, and lines that end as lines do.
    pub(crate) fn example(text: &str) -> Vec<u8> {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let head = head.replace("Content-Length:...", &format!("Content-Length:{}", body.len()));
        let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let without = head.replacen("...", "", 1).len() + body.len();
        let length =
            (without..).find(|l| without + l.to_string().len() == *l).expect("some length counts itself");
        let mut octets = head.replacen("...", &length.to_string(), 1).into_bytes();
        octets.extend_from_slice(body.as_bytes());
        octets
    }

    pub(crate) const RECOGNIZE: &str = "MRCP/2.0 ... RECOGNIZE 543257
Channel-Identifier:32AECB23433801@speechrecog
Confidence-Threshold:0.9
Content-Type:application/srgs+xml
Content-ID:<request1@form-level.store>
Content-Length:...

<?xml version=\"1.0\"?><grammar xmlns=\"http://www.w3.org/2001/06/grammar\" xml:lang=\"en-US\" root=\"request\"/>";
    pub(crate) const COMPLETE: &str = "MRCP/2.0 ... RECOGNITION-COMPLETE 543257 COMPLETE
Channel-Identifier:32AECB23433801@speechrecog
Completion-Cause:000 success
Waveform-URI:<http://web.media.com/session123/audio.wav>;
 size=424252;duration=2543
Content-Type:application/nlsml+xml
Content-Length:...

<?xml version=\"1.0\"?>
<result xmlns=\"urn:ietf:params:xml:ns:mrcpv2\" xmlns:ex=\"http://www.example.com/example\"
 grammar=\"session:request1@form-level.store\"><interpretation><instance name=\"Person\"><ex:Person>
<ex:Name> Andre Roy </ex:Name></ex:Person></instance><input> may I speak to Andre Roy </input></interpretation></result>";

    #[test]
    fn rfc6787_5_messages_are_read_and_written_as_they_were() {
        let check = |text: &str, want: Start, fields: usize| {
            let octets = example(text);
            let (message, taken) = Message::read(&octets).expect("legal").expect("whole");
            assert_eq!(
                (taken, &message.start, message.fields.len()),
                (octets.len(), &want, fields),
                "{text}"
            );
            let (again, _) = Message::read(&message.write()).expect("legal").expect("whole");
            assert_eq!((again.start, again.body), (message.start, message.body));
        };
        let request = |method: &str, id| Start::Request { method: method.into(), id };
        let event = |name: &str, id, state| Start::Event { name: name.into(), id, state };
        check(RECOGNIZE, request("RECOGNIZE", 543_257), 5);
        check(COMPLETE, event("RECOGNITION-COMPLETE", 543_257, State::Complete), 5);
        check(
            "MRCP/2.0 ... 543257 200 IN-PROGRESS\nChannel-Identifier:32AECB23433801@speechrecog\n",
            Start::Response { id: 543_257, status: 200, state: State::InProgress },
            1,
        );
        check(
            "MRCP/2.0 ... START-OF-INPUT 543257 IN-PROGRESS\nChannel-Identifier:32AECB23433801@speechrecog\n",
            event("START-OF-INPUT", 543_257, State::InProgress),
            1,
        );
        check(
            "MRCP/2.0 ... BARGE-IN-OCCURRED 543259\nChannel-Identifier:32AECB23433802@speechsynth\nProxy-Sync-Id:987654321\n",
            request("BARGE-IN-OCCURRED", 543_259),
            2,
        );
        check(
            "MRCP/2.0 ... SPEAK-COMPLETE 543257 COMPLETE\nChannel-Identifier:32AECB23433802@speechsynth\n\
             Completion-Cause:000 normal\nSpeech-Marker:timestamp=857207685213\n",
            event("SPEAK-COMPLETE", 543_257, State::Complete),
            3,
        );
    }

    #[test]
    fn rfc6787_5_1_the_length_counts_itself() {
        for body in [0, 30, 850, 851, 852, 853, 854, 855, 900, 9_850] {
            let start = Start::Request { method: "SPEAK".into(), id: 1 };
            let message = Message { start, fields: Vec::new(), body: vec![b'x'; body] };
            let octets = message.write();
            let words: Vec<&[u8]> = octets.splitn(3, |b| *b == b' ').collect();
            assert_eq!(std::str::from_utf8(words[1]).expect("digits"), octets.len().to_string());
        }
    }

    #[test]
    fn pieces_wait_and_nonsense_is_refused() {
        let octets = example(COMPLETE);
        for n in 0..octets.len() {
            assert_eq!(Message::read(&octets[..n]), Ok(None), "{n}");
        }
        let check = |text: &str, want: Error| assert_eq!(Message::read(text.as_bytes()), Err(want), "{text}");
        check("SIP/2.0 200 OK\r\n\r\n", Error::Start);
        check("MRCP/2.0 x STOP 1\r\n\r\n", Error::Length);
        check("MRCP/2.0 3 STOP 1\r\n\r\n", Error::Length);
        check("MRCP/2.0 99999999 STOP 1\r\n\r\n", Error::TooLarge);
        check("MRCP/2.0 23 STOP 1\r\nno colon\r\n", Error::Field);
        check("MRCP/2.0 30 1 999 COMPLETE\r\n\r\n", Error::Start);
        check("MRCP/2.0 25 STOP 1\r\n\r\nbody", Error::Length);
        check(&"x".repeat(300), Error::Start);
    }

    #[test]
    fn random_octets_and_mutations_never_panic() {
        let mut rng = units::Seed(67).rng();
        let good = example(COMPLETE);
        for _ in 0..20_000 {
            let mut octets = good.clone();
            for _ in 0..=rng.below(6) {
                let at =
                    usize::try_from(rng.below(u64::try_from(octets.len()).expect("short"))).expect("short");
                octets[at] = u8::try_from(rng.below(256)).expect("below 256");
            }
            if let Ok(Some((message, _))) = Message::read(&octets) {
                let _ = super::super::result::read(
                    message.field("Content-Type").unwrap_or_default(),
                    &message.body,
                );
            }
        }
    }
}
