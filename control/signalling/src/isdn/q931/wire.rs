//! Q.931 messages as octets: protocol discriminator, call reference, message type, information elements (§4.1 to
//! §4.5.1). What an element holds is read in [`super::ie`]; here it is octets with a name.

/// Protocol discriminators that are understood.
pub mod discriminator {
    /// Q.931 call control (§4.2).
    pub const CALL_CONTROL: u8 = 0x08;
    /// Maintenance (SERVICE) of NI-2 and of Q.931 annex F.
    pub const MAINTENANCE: u8 = 0x03;
}

/// A message type (Q.931 §4.4, table 4-2; SERVICE: annex F).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(pub u8);

macro_rules! kinds {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl Kind {
            $(#[doc = $text] pub const $name: Kind = Kind($code);)*

            /// Its name in the standard.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 { $($code => $text,)* _ => "unknown" }
            }

            /// Whether this stack knows it.
            #[must_use]
            pub fn is_known(self) -> bool {
                matches!(self.0, $($code)|*)
            }
        }
    };
}

kinds! {
    ALERTING = 0x01, "ALERTING";
    CALL_PROCEEDING = 0x02, "CALL PROCEEDING";
    PROGRESS = 0x03, "PROGRESS";
    SETUP = 0x05, "SETUP";
    CONNECT = 0x07, "CONNECT";
    SETUP_ACK = 0x0D, "SETUP ACKNOWLEDGE";
    CONNECT_ACK = 0x0F, "CONNECT ACKNOWLEDGE";
    DISCONNECT = 0x45, "DISCONNECT";
    RESTART = 0x46, "RESTART";
    RELEASE = 0x4D, "RELEASE";
    RESTART_ACK = 0x4E, "RESTART ACKNOWLEDGE";
    RELEASE_COMPLETE = 0x5A, "RELEASE COMPLETE";
    FACILITY = 0x62, "FACILITY";
    NOTIFY = 0x6E, "NOTIFY";
    STATUS_ENQUIRY = 0x75, "STATUS ENQUIRY";
    INFORMATION = 0x7B, "INFORMATION";
    STATUS = 0x7D, "STATUS";
}

impl Kind {
    /// SERVICE, under [`discriminator::MAINTENANCE`].
    pub const SERVICE: Kind = Kind(0x0F);
    /// SERVICE ACKNOWLEDGE, under [`discriminator::MAINTENANCE`].
    pub const SERVICE_ACK: Kind = Kind(0x07);
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A call reference (Q.931 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallRef {
    /// No call (one octet 0).
    Dummy,
    /// A call of ours or theirs, or all calls (value 0).
    Number {
        /// 0..=32767; 0 is the global call reference.
        value: u16,
        /// The flag: the message goes *to* the side that chose the value.
        to_origin: bool,
    },
}

/// One information element.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ie {
    /// 0..=7; 0 is Q.931's own.
    pub codeset: u8,
    /// Identifier; with bit 8 set it is of one octet (then the whole octet, and no body).
    pub id: u8,
    /// Contents, at most 255 octets.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Ie {
    // Contents may be numbers and names: they are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{:02x}[{}]", self.codeset, self.id, self.body.len())
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// See [`discriminator`].
    pub discriminator: u8,
    /// Whose.
    pub call_ref: CallRef,
    /// What.
    pub kind: Kind,
    /// Elements, as they came.
    pub ies: Vec<Ie>,
}

/// Why octets are no message (Q.931 §5.8.1 to §5.8.3.1: it is ignored).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Too short for a message type.
    Short,
    /// Another protocol.
    Discriminator,
    /// A call reference longer than two octets, or with spare bits set.
    CallRef,
}

/// Most elements that are read of one message; what follows is ignored.
const IES_MAX: usize = 64;

impl Message {
    /// Reads a message. Elements that run past its end are left out, which shows later as a missing element.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn parse(octets: &[u8]) -> Result<Self, Unreadable> {
        let [discriminator, len, rest @ ..] = octets else { return Err(Unreadable::Short) };
        if !matches!(*discriminator, discriminator::CALL_CONTROL | discriminator::MAINTENANCE) {
            return Err(Unreadable::Discriminator);
        }
        let (call_ref, rest) = match (len, rest) {
            (0, rest) => (CallRef::Dummy, rest),
            (1, [a, rest @ ..]) => {
                (CallRef::Number { value: u16::from(a & 0x7F), to_origin: a & 0x80 != 0 }, rest)
            }
            (2, [a, b, rest @ ..]) => {
                let value = u16::from_be_bytes([a & 0x7F, *b]);
                (CallRef::Number { value, to_origin: a & 0x80 != 0 }, rest)
            }
            (3.., _) => return Err(Unreadable::CallRef),
            _ => return Err(Unreadable::Short),
        };
        let [kind, rest @ ..] = rest else { return Err(Unreadable::Short) };
        Ok(Message { discriminator: *discriminator, call_ref, kind: Kind(*kind), ies: elements(rest) })
    }

    /// The octets: call references of two octets, as on every primary rate interface (§4.3).
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut out = vec![self.discriminator];
        match self.call_ref {
            CallRef::Dummy => out.push(0),
            CallRef::Number { value, to_origin } => {
                out.push(2);
                let [a, b] = (value & 0x7FFF).to_be_bytes();
                out.extend([a | (u8::from(to_origin) << 7), b]);
            }
        }
        out.push(self.kind.0);
        let mut ies: Vec<&Ie> = self.ies.iter().collect();
        // Q.931 §4.5.1: ascending order of identifiers; one-octet elements may stand anywhere and come first here.
        ies.sort_by_key(|ie| (ie.codeset, ie.id & 0x80 == 0, ie.id));
        for ie in ies {
            if ie.codeset != 0 {
                // §4.5.4: a non-locking shift for one element.
                out.push(0x98 | (ie.codeset & 7));
            }
            out.push(ie.id);
            if ie.id & 0x80 == 0 {
                let len = u8::try_from(ie.body.len()).unwrap_or(u8::MAX);
                out.push(len);
                out.extend_from_slice(&ie.body[..usize::from(len)]);
            }
        }
        out
    }

    /// The first element with this identifier in codeset 0 (§5.8.5.2: repeated ones are ignored).
    #[must_use]
    pub fn ie(&self, id: u8) -> Option<&[u8]> {
        self.all(id).next()
    }

    /// All elements with this identifier in codeset 0, in order.
    pub fn all(&self, id: u8) -> impl Iterator<Item = &[u8]> {
        self.ies.iter().filter(move |ie| ie.codeset == 0 && ie.id == id).map(|ie| ie.body.as_slice())
    }
}

fn elements(mut rest: &[u8]) -> Vec<Ie> {
    let mut ies = Vec::new();
    let (mut locked, mut next) = (0, None);
    while let [id, tail @ ..] = rest
        && ies.len() < IES_MAX
    {
        let codeset = next.take().unwrap_or(locked);
        match (id, tail) {
            (0x90..=0x97, _) => {
                // §4.5.3: a locking shift goes only to a higher codeset.
                locked = (id & 7).max(locked);
                rest = tail;
            }
            (0x98..=0x9F, _) => {
                next = Some(id & 7);
                rest = tail;
            }
            (0x80.., _) => {
                // Of types 1 the value stands in the low four bits; type 2 has none.
                ies.push(Ie { codeset, id: *id, body: Vec::new() });
                rest = tail;
            }
            (_, [len, body @ ..]) if body.len() >= usize::from(*len) => {
                let (body, after) = body.split_at(usize::from(*len));
                ies.push(Ie { codeset, id: *id, body: body.to_vec() });
                rest = after;
            }
            _ => break,
        }
    }
    ies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ie(codeset: u8, id: u8, body: &[u8]) -> Ie {
        Ie { codeset, id, body: body.to_vec() }
    }

    #[test]
    fn q931_4_messages_round_trip() {
        let call_ref = CallRef::Number { value: 0x1234, to_origin: true };
        let ies =
            vec![ie(0, 0xA1, &[]), ie(0, 0x04, &[0x80, 0x90, 0xA3]), ie(0, 0x70, b"\x81123"), ie(6, 1, b"x")];
        let m = Message { discriminator: 8, call_ref, kind: Kind::SETUP, ies };
        let octets = m.write();
        assert_eq!(&octets[..5], [8, 2, 0x92, 0x34, 5]);
        assert_eq!(Message::parse(&octets), Ok(m));
    }

    #[test]
    fn q931_5_8_what_is_no_message() {
        let check = |octets: &[u8], want| assert_eq!(Message::parse(octets), Err(want), "{octets:?}");
        check(&[], Unreadable::Short);
        check(&[8, 2, 0], Unreadable::Short);
        check(&[8, 0], Unreadable::Short);
        check(&[9, 2, 0, 1, 5], Unreadable::Discriminator);
        check(&[8, 3, 0, 0, 1, 5], Unreadable::CallRef);
    }

    #[test]
    fn q931_4_5_shifts_and_cut_elements() {
        let m = |ies: &[u8]| {
            let mut octets = vec![8, 2, 0, 1, 5];
            octets.extend_from_slice(ies);
            Message::parse(&octets).expect("a message").ies
        };
        assert_eq!(m(&[0x9E, 1, 1, 7, 0x08, 0]), [ie(6, 1, &[7]), ie(0, 8, &[])]);
        assert_eq!(m(&[0x96, 1, 1, 7, 0x91, 2, 0]), [ie(6, 1, &[7]), ie(6, 2, &[])]);
        assert_eq!(m(&[0x08, 5, 1, 2]), []);
        assert_eq!(m(&[0xA1, 0x08]), [ie(0, 0xA1, &[])]);
    }
}
