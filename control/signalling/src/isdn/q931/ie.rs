//! Contents of information elements (Q.931 §4.5.5 ff.) as values that cannot hold nonsense, read from and written to
//! [`Ie`]. Every `read` answers `None` for contents in error (§5.8.6.2), and cannot panic.

use super::wire::{Ie, Message};
use units::{Cause, Private};

/// Element identifiers of codeset 0.
pub mod id {
    /// Bearer capability.
    pub const BEARER: u8 = 0x04;
    /// Cause.
    pub const CAUSE: u8 = 0x08;
    /// Call state.
    pub const CALL_STATE: u8 = 0x14;
    /// Channel identification.
    pub const CHANNEL: u8 = 0x18;
    /// Facility (Q.932).
    pub const FACILITY: u8 = 0x1C;
    /// Progress indicator.
    pub const PROGRESS: u8 = 0x1E;
    /// Notification indicator.
    pub const NOTIFICATION: u8 = 0x27;
    /// Display.
    pub const DISPLAY: u8 = 0x28;
    /// Keypad facility.
    pub const KEYPAD: u8 = 0x2C;
    /// Connected number (Q.951.5).
    pub const CONNECTED: u8 = 0x4C;
    /// Calling party number.
    pub const CALLING: u8 = 0x6C;
    /// Called party number.
    pub const CALLED: u8 = 0x70;
    /// Redirecting number (Q.952.7; NI-2: original called number is 0x73).
    pub const REDIRECTING: u8 = 0x74;
    /// Restart indicator.
    pub const RESTART: u8 = 0x79;
    /// Change status, in SERVICE (NI-2).
    pub const CHANGE_STATUS: u8 = 0x01;
    /// Sending complete.
    pub const SENDING_COMPLETE: u8 = 0xA1;
}

/// Whether an element must be understood (§5.8.7.1: identifiers with bits 8 to 5 zero), but is not.
#[must_use]
pub fn must_be_understood(ie: &Ie) -> bool {
    ie.codeset == 0 && ie.id & 0xF0 == 0 && !matches!(ie.id, id::BEARER | id::CAUSE)
}

/// One element of codeset 0.
#[must_use]
pub fn make(id: u8, body: Vec<u8>) -> Ie {
    Ie { codeset: 0, id, body }
}

/// Octets of a group with extension bits: those up to and with the first that has bit 8 set, and the rest.
fn group(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = body.iter().position(|o| o & 0x80 != 0)?;
    Some(body.split_at(end + 1))
}

/// Where a cause or a progress indicator comes from (§4.5.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location(pub u8);

impl Location {
    /// User.
    pub const USER: Location = Location(0);
    /// Private network serving the local user.
    pub const PRIVATE_LOCAL: Location = Location(1);
    /// Public network serving the local user.
    pub const PUBLIC_LOCAL: Location = Location(2);
}

/// Writes a cause (§4.5.12).
#[must_use]
pub fn cause(location: Location, cause: Cause, diagnostics: &[u8]) -> Ie {
    let mut body = vec![0x80 | (location.0 & 0x0F), 0x80 | (cause.0 & 0x7F)];
    body.extend_from_slice(diagnostics);
    make(id::CAUSE, body)
}

/// Reads a cause; only the ITU-T coding is told, others are "normal, unspecified".
#[must_use]
pub fn read_cause(body: &[u8]) -> Option<Cause> {
    let (first, rest) = group(body)?;
    let value = rest.first()? & 0x7F;
    match (first[0] >> 5) & 3 {
        0 if value > 0 => Some(Cause(value)),
        0 => None,
        _ => Some(Cause::NORMAL_UNSPECIFIED),
    }
}

/// The cause of a message, or this one where there is none that can be read.
#[must_use]
pub fn cause_of(message: &Message, otherwise: Cause) -> Cause {
    message.ie(id::CAUSE).and_then(read_cause).unwrap_or(otherwise)
}

/// What is asked to be carried (§4.5.5). Only what a voice server can serve is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bearer {
    /// Speech.
    Speech(Law),
    /// 3.1 kHz audio.
    Audio(Law),
    /// Unrestricted digital information, or anything else that is no voice.
    Other,
}

/// Companding named in a bearer capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Law {
    /// G.711 mu-law: octet 5 is 0xA2.
    Mu,
    /// G.711 A-law: 0xA3.
    A,
}

/// Writes a bearer capability: circuit mode, 64 kbit/s.
#[must_use]
pub fn bearer(bearer: Bearer) -> Ie {
    let law = |law| if law == Law::Mu { 0xA2 } else { 0xA3 };
    let body = match bearer {
        Bearer::Speech(l) => vec![0x80, 0x90, law(l)],
        Bearer::Audio(l) => vec![0x90, 0x90, law(l)],
        Bearer::Other => vec![0x88, 0x90],
    };
    make(id::BEARER, body)
}

/// Reads a bearer capability. Speech without a companding is taken for `law`.
#[must_use]
pub fn read_bearer(body: &[u8], law: Law) -> Option<Bearer> {
    let (octet_3, rest) = group(body)?;
    let (_octet_4, rest) = group(rest)?;
    let law = match rest.first() {
        Some(o) if o & 0x7F == 0x22 => Law::Mu,
        Some(o) if o & 0x7F == 0x23 => Law::A,
        _ => law,
    };
    Some(match octet_3[0] & 0x7F {
        0x00 => Bearer::Speech(law),
        0x10 => Bearer::Audio(law),
        _ => Bearer::Other,
    })
}

/// A channel identification of a primary rate interface (§4.5.13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelId {
    /// The interface, where one D-channel serves several (NFAS).
    pub interface: Option<u8>,
    /// Only the named channel is acceptable.
    pub exclusive: bool,
    /// The D-channel itself is meant.
    pub d_channel: bool,
    /// Which.
    pub which: Which,
}

/// Which channels a channel identification names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// None.
    No,
    /// Any.
    Any,
    /// These, in order.
    These(Vec<u8>),
}

impl ChannelId {
    /// One channel.
    #[must_use]
    pub fn one(interface: Option<u8>, channel: u8, exclusive: bool) -> Self {
        Self { interface, exclusive, d_channel: false, which: Which::These(vec![channel]) }
    }

    /// The channel, if it names exactly one.
    #[must_use]
    pub fn channel(&self) -> Option<u8> {
        match &self.which {
            Which::These(all) if all.len() == 1 => all.first().copied(),
            _ => None,
        }
    }

    /// Writes it, by channel numbers (§4.5.13, octet 3.2 0x83).
    #[must_use]
    pub fn write(&self) -> Ie {
        let select = match self.which {
            Which::No => 0,
            Which::These(_) => 1,
            Which::Any => 3,
        };
        let interface = u8::from(self.interface.is_some()) << 6;
        let flags = (u8::from(self.exclusive) << 3) | (u8::from(self.d_channel) << 2);
        let mut body = vec![0xA0 | interface | flags | select];
        body.extend(self.interface.map(|i| 0x80 | i));
        if let Which::These(all) = &self.which
            && !all.is_empty()
        {
            body.push(0x83);
            let last = all.len().saturating_sub(1);
            body.extend(all.iter().enumerate().map(|(n, c)| c & 0x7F | (u8::from(n == last) << 7)));
        }
        make(id::CHANNEL, body)
    }

    /// Reads it, by numbers or by a slot map.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let (first, mut rest) = body.split_first()?;
        // A basic rate interface's coding, or an octet 3 that goes on.
        if first & 0xA0 != 0xA0 {
            return None;
        }
        let mut interface = None;
        if first & 0x40 != 0 {
            let (octets, after) = group(rest)?;
            interface = Some(octets.first()? & 0x7F);
            rest = after;
        }
        let which = match first & 3 {
            0 => Which::No,
            3 => Which::Any,
            1 => channels(rest, first & 4 != 0)?,
            _ => return None,
        };
        Some(Self { interface, exclusive: first & 8 != 0, d_channel: first & 4 != 0, which })
    }
}

/// Octets 3.2 and 3.3. A D-channel need not be named by number.
fn channels(rest: &[u8], d_channel: bool) -> Option<Which> {
    let [kind, rest @ ..] = rest else {
        return d_channel.then_some(Which::These(Vec::new()));
    };
    if kind & 0xEF != 0x83 {
        return None;
    }
    let all: Vec<u8> = if kind & 0x10 == 0 {
        let (octets, _) = group(rest).unwrap_or((rest, &[]));
        octets.iter().map(|o| o & 0x7F).collect()
    } else {
        // Slot map: the last octet's lowest bit is channel 1 (or 0 of a 2,048 kbit/s interface, figure 4-21).
        let bits = rest.iter().rev().enumerate();
        let base = if rest.len() >= 4 { 0 } else { 1 };
        bits.flat_map(|(n, o)| (0..8).filter(move |b| o >> b & 1 == 1).map(move |b| (n * 8 + b, base)))
            .filter_map(|(n, base)| u8::try_from(n + base).ok())
            .collect()
    };
    let fits = !all.is_empty() && all.iter().all(|c| (1..=31).contains(c));
    fits.then_some(Which::These(all))
}

/// A party's number with its octets 3 to 3b (§4.5.8, §4.5.10; redirecting: Q.952.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Type of number, 0..=7: 0 unknown, 1 international, 2 national, 4 subscriber.
    pub ton: u8,
    /// Numbering plan, 0..=15: 1 E.164, 9 private, 0 unknown.
    pub plan: u8,
    /// Presentation, 0..=3: 0 allowed, 1 restricted, 2 not available.
    pub presentation: u8,
    /// Screening, 0..=3: 0 user provided, 1 verified, 3 by the network.
    pub screening: u8,
    /// Reason of redirection, 0..=15: 1 busy, 2 no reply, 15 unconditional.
    pub reason: u8,
    /// The digits (IA5).
    pub digits: Private<String>,
}

/// Most digits of a number that are read.
const DIGITS_MAX: usize = 32;

impl Number {
    /// E.164 digits of this type, presentation allowed.
    #[must_use]
    pub fn new(ton: u8, digits: &str) -> Self {
        let digits = Private::new(digits.to_owned());
        Self { ton, plan: 1, presentation: 0, screening: 0, reason: 0, digits }
    }

    /// Writes it as this element; a called number has octet 3 only, a redirecting one has 3a and 3b.
    #[must_use]
    pub fn write(&self, element: u8) -> Ie {
        let octet_3 = ((self.ton & 7) << 4) | (self.plan & 15);
        let octet_3a = ((self.presentation & 3) << 5) | (self.screening & 3);
        let mut body = match element {
            id::CALLED => vec![0x80 | octet_3],
            id::REDIRECTING => vec![octet_3, octet_3a, 0x80 | (self.reason & 15)],
            _ => vec![octet_3, 0x80 | octet_3a],
        };
        body.extend(self.digits.expose().bytes().filter(u8::is_ascii_graphic).take(DIGITS_MAX));
        make(element, body)
    }

    /// Reads it, whatever octets of group 3 there are.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let (head, digits) = group(body)?;
        let ok = digits.len() <= DIGITS_MAX && digits.iter().all(u8::is_ascii_graphic);
        let digits = ok.then(|| digits.iter().map(|&d| char::from(d)).collect::<String>())?;
        let octet_3a = head.get(1).copied().unwrap_or(0);
        Some(Self {
            ton: (head[0] >> 4) & 7,
            plan: head[0] & 15,
            presentation: (octet_3a >> 5) & 3,
            screening: octet_3a & 3,
            reason: head.get(2).copied().unwrap_or(0) & 15,
            digits: Private::new(digits),
        })
    }

    /// With a `+` where the type says international.
    #[must_use]
    pub fn text(&self) -> String {
        let plus = if self.ton == 1 { "+" } else { "" };
        format!("{plus}{}", self.digits.expose())
    }
}

/// Writes a progress indicator (§4.5.23): 1 not end-to-end ISDN, 8 in-band information is now available.
#[must_use]
pub fn progress(location: Location, description: u8) -> Ie {
    make(id::PROGRESS, vec![0x80 | (location.0 & 15), 0x80 | (description & 0x7F)])
}

/// Whether a message says that there is something to hear (§5.1.6: descriptions 1 and 8).
#[must_use]
pub fn has_inband(message: &Message) -> bool {
    let describes = |body: &[u8]| group(body).and_then(|(_, rest)| rest.first()).map(|o| o & 0x7F);
    message.all(id::PROGRESS).filter_map(describes).any(|d| d == 1 || d == 8)
}

/// Reads a call state (§4.5.7): the low six bits, ITU-T coding.
#[must_use]
pub fn read_call_state(body: &[u8]) -> Option<u8> {
    body.first().filter(|o| *o & 0xC0 == 0).map(|o| o & 0x3F)
}

/// What a RESTART concerns (§4.5.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// The channels that a channel identification names.
    Channels,
    /// One interface.
    Interface,
    /// All that the D-channel serves.
    All,
}

/// Writes a restart indicator.
#[must_use]
pub fn restart(what: Restart) -> Ie {
    let class = match what {
        Restart::Channels => 0,
        Restart::Interface => 6,
        Restart::All => 7,
    };
    make(id::RESTART, vec![0x80 | class])
}

/// Reads a restart indicator.
#[must_use]
pub fn read_restart(body: &[u8]) -> Option<Restart> {
    match body.first()? & 7 {
        0 => Some(Restart::Channels),
        6 => Some(Restart::Interface),
        7 => Some(Restart::All),
        _ => None,
    }
}

/// Reads a display (§4.5.16), printable ASCII only; NI-2 puts an octet 0xB1 (type) before the text.
#[must_use]
pub fn read_display(body: &[u8]) -> Private<String> {
    let text = body.iter().map(|o| o & 0x7F).zip(body).filter(|(_, whole)| **whole < 0x80);
    Private::new(
        text.filter(|(o, _)| (0x20..0x7F).contains(o)).map(|(o, _)| char::from(o)).take(82).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q931_4_5_13_channels_by_number_and_by_map() {
        let one = ChannelId::one(None, 5, true);
        assert_eq!(one.write().body, [0xA9, 0x83, 0x85]);
        let nfas = ChannelId::one(Some(2), 23, false);
        assert_eq!(nfas.write().body, [0xE1, 0x82, 0x83, 0x97]);
        for id in
            [one, nfas, ChannelId { interface: None, exclusive: false, d_channel: false, which: Which::Any }]
        {
            assert_eq!(ChannelId::read(&id.write().body), Some(id));
        }
        let map = |body: &[u8]| ChannelId::read(body).map(|c| c.which);
        assert_eq!(map(&[0xA9, 0x93, 0, 0, 0x11]), Some(Which::These(vec![1, 5])));
        assert_eq!(map(&[0xA9, 0x93, 0x80, 0, 0, 2]), Some(Which::These(vec![1, 31])));
        for bad in [
            &[][..],
            &[0x81],
            &[0xA9],
            &[0xA9, 0x83],
            &[0xA9, 0x83, 0xA0],
            &[0xA2],
            &[0xE9],
            &[0xA9, 0x84, 1],
        ] {
            assert_eq!(map(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn q931_4_5_8_numbers_with_one_to_three_octets_before_the_digits() {
        let mut n = Number::new(2, "5551234");
        assert_eq!(n.write(id::CALLED).body, b"\xA15551234");
        (n.presentation, n.screening, n.reason) = (1, 3, 15);
        assert_eq!(n.write(id::REDIRECTING).body, b"\x21\x23\x8F5551234");
        assert_eq!(Number::read(&n.write(id::REDIRECTING).body), Some(n.clone()));
        assert_eq!(Number::read(&n.write(id::CALLING).body), Some(Number { reason: 0, ..n }));
        assert_eq!(Number::read(b""), None);
        assert_eq!(Number::read(b"\x21"), None);
        assert_eq!(Number::read(b"\x8112\n"), None);
        assert_eq!(Number::new(1, "4930123").text(), "+4930123");
    }

    #[test]
    fn q850_causes() {
        let ie = cause(Location::PUBLIC_LOCAL, Cause::BUSY, &[]);
        assert_eq!((ie.body.as_slice(), read_cause(&ie.body)), (&[0x82, 0x91][..], Some(Cause::BUSY)));
        assert_eq!(read_cause(&[0x02, 0x81, 0x90]), Some(Cause::NORMAL), "octet 3a is skipped");
        assert_eq!(read_cause(&[0xE2, 0x91]), Some(Cause::NORMAL_UNSPECIFIED), "another coding");
        assert_eq!((read_cause(&[]), read_cause(&[0x80]), read_cause(&[0x80, 0x80])), (None, None, None));
    }

    #[test]
    fn q931_4_5_5_voice_and_data_are_told_apart() {
        let read = |b: Bearer| read_bearer(&bearer(b).body, Law::A);
        for b in [Bearer::Speech(Law::Mu), Bearer::Audio(Law::A), Bearer::Other] {
            assert_eq!(read(b), Some(b));
        }
        assert_eq!(read_bearer(&[0x80, 0x90], Law::A), Some(Bearer::Speech(Law::A)));
        assert_eq!(read_bearer(&[0x80], Law::A), None);
    }

    #[test]
    fn display_is_plain_text_and_ni2s_type_octet_is_skipped() {
        assert_eq!(read_display(b"\xB1Alice \x07B").expose(), "Alice B");
    }
}
