//! LAPD frames as octets: Q.921 §2 and §3. Address (two octets), control (one or two, modulo 128), information.
//! Flags, stuffing and FCS are the card's (`hw::tdm::hdlc`). Reading copies nothing and cannot panic.

/// Most octets of information in a frame (Q.921 §5.9.3, N201).
pub const N201: usize = 260;

/// Which side of the interface an entity is: it decides the meaning of the C/R bit (Q.921 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The exchange.
    Network,
    /// The subscriber, e.g. a PBX.
    User,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Side::Network => Side::User,
            Side::User => Side::Network,
        }
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Command (else response).
    pub command: bool,
    /// Service access point, 0..=63: 0 call control, 63 management.
    pub sapi: u8,
    /// Terminal endpoint, 0..=127; 0 on a primary rate interface.
    pub tei: u8,
    /// Poll (of a command) or final (of a response) bit.
    pub pf: bool,
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a frame is (Q.921 §3.6, table 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Numbered information.
    I {
        /// N(S), 0..=127.
        ns: u8,
        /// N(R), 0..=127.
        nr: u8,
        /// Information.
        info: &'a [u8],
    },
    /// Receive ready; N(R).
    Rr(u8),
    /// Receive not ready; N(R).
    Rnr(u8),
    /// Reject; N(R).
    Rej(u8),
    /// Set asynchronous balanced mode extended.
    Sabme,
    /// Disconnected mode.
    Dm,
    /// Disconnect.
    Disc,
    /// Unnumbered acknowledgement.
    Ua,
    /// Frame reject, with its information field.
    Frmr(&'a [u8]),
    /// Unnumbered information.
    Ui(&'a [u8]),
    /// Exchange identification.
    Xid(&'a [u8]),
}

/// Why octets are no frame that can be obeyed (Q.921 §3.6.11 and §5.8.5 name the first three; MDL-ERROR codes L, N, O).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Too short, or an address of another length (§2.9: discarded without notice).
    Discard,
    /// A control field that is not defined.
    Undefined,
    /// An S or U frame of the wrong length, or an information field that is not permitted.
    Length,
    /// Information longer than N201.
    TooLong,
}

impl<'a> Frame<'a> {
    /// Reads a frame sent by `from`, without flags and FCS.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn parse(octets: &'a [u8], from: Side) -> Result<Self, Invalid> {
        let [high, low, rest @ ..] = octets else { return Err(Invalid::Discard) };
        // Q.921 §3.2: the address field extension bit is 0 in the first octet and 1 in the second.
        if high & 1 != 0 || low & 1 != 1 {
            return Err(Invalid::Discard);
        }
        // Q.921 §3.3.2, table 1: commands of the network have C/R = 1, those of the user 0.
        let command = (high & 2 != 0) == (from == Side::Network);
        let (sapi, tei) = (high >> 2, low >> 1);
        let (kind, pf) = match rest {
            [] => return Err(Invalid::Discard),
            [first, second, info @ ..] if first & 1 == 0 => {
                if info.len() > N201 {
                    return Err(Invalid::TooLong);
                }
                (Kind::I { ns: first >> 1, nr: second >> 1, info }, second & 1 == 1)
            }
            [first, second] if first & 3 == 1 => (supervisory(*first, second >> 1)?, second & 1 == 1),
            [first, ..] if first & 3 != 3 => return Err(Invalid::Length),
            [first, info @ ..] => (unnumbered(first & !0x10, info)?, first & 0x10 != 0),
        };
        Ok(Frame { command, sapi, tei, pf, kind })
    }

    /// The octets of this frame as `from` sends it.
    #[must_use]
    pub fn write(&self, from: Side) -> Vec<u8> {
        let cr = u8::from(self.command == (from == Side::Network)) << 1;
        let mut out = Vec::with_capacity(4 + self.info().len());
        out.extend([(self.sapi << 2) | cr, (self.tei << 1) | 1]);
        let pf = u8::from(self.pf);
        match self.kind {
            Kind::I { ns, nr, .. } => out.extend([ns << 1, (nr << 1) | pf]),
            Kind::Rr(nr) => out.extend([0x01, (nr << 1) | pf]),
            Kind::Rnr(nr) => out.extend([0x05, (nr << 1) | pf]),
            Kind::Rej(nr) => out.extend([0x09, (nr << 1) | pf]),
            Kind::Sabme => out.push(0x6F | (pf << 4)),
            Kind::Dm => out.push(0x0F | (pf << 4)),
            Kind::Disc => out.push(0x43 | (pf << 4)),
            Kind::Ua => out.push(0x63 | (pf << 4)),
            Kind::Frmr(_) => out.push(0x87 | (pf << 4)),
            Kind::Ui(_) => out.push(0x03 | (pf << 4)),
            Kind::Xid(_) => out.push(0xAF | (pf << 4)),
        }
        out.extend_from_slice(self.info());
        out
    }

    /// The information field; empty where there is none.
    #[must_use]
    pub fn info(&self) -> &'a [u8] {
        match self.kind {
            Kind::I { info, .. } | Kind::Frmr(info) | Kind::Ui(info) | Kind::Xid(info) => info,
            _ => &[],
        }
    }
}

fn supervisory(first: u8, nr: u8) -> Result<Kind<'static>, Invalid> {
    match first {
        0x01 => Ok(Kind::Rr(nr)),
        0x05 => Ok(Kind::Rnr(nr)),
        0x09 => Ok(Kind::Rej(nr)),
        _ => Err(Invalid::Undefined),
    }
}

fn unnumbered(control: u8, info: &[u8]) -> Result<Kind<'_>, Invalid> {
    let kind = match control {
        0x6F => Kind::Sabme,
        0x0F => Kind::Dm,
        0x43 => Kind::Disc,
        0x63 => Kind::Ua,
        0x87 => Kind::Frmr(info),
        0x03 => Kind::Ui(info),
        0xAF => Kind::Xid(info),
        _ => return Err(Invalid::Undefined),
    };
    match kind {
        Kind::Sabme | Kind::Dm | Kind::Disc | Kind::Ua if !info.is_empty() => Err(Invalid::Length),
        Kind::Frmr(i) if i.len() != 5 => Err(Invalid::Length),
        _ if info.len() > N201 => Err(Invalid::TooLong),
        kind => Ok(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q921_3_6_every_kind_round_trips_from_both_sides() {
        let kinds = [
            Kind::I { ns: 127, nr: 1, info: b"x" },
            Kind::Rr(5),
            Kind::Rnr(127),
            Kind::Rej(0),
            Kind::Sabme,
            Kind::Dm,
            Kind::Disc,
            Kind::Ua,
            Kind::Frmr(&[1, 2, 3, 4, 5]),
            Kind::Ui(b"ui"),
            Kind::Xid(b""),
        ];
        for from in [Side::Network, Side::User] {
            for kind in kinds {
                for (command, pf) in [(true, true), (true, false), (false, true), (false, false)] {
                    let frame = Frame { command, sapi: 0, tei: 0, pf, kind };
                    let octets = frame.write(from);
                    assert_eq!(Frame::parse(&octets, from), Ok(frame));
                    let seen = Frame::parse(&octets, from.other()).expect("only C/R differs");
                    assert_eq!(seen.command, !command);
                }
            }
        }
    }

    #[test]
    fn q921_table_1_octets_of_sabme_ua_and_rr() {
        let f = |command, pf, kind| Frame { command, sapi: 0, tei: 0, pf, kind };
        assert_eq!(f(true, true, Kind::Sabme).write(Side::User), [0x00, 0x01, 0x7F]);
        assert_eq!(f(true, true, Kind::Sabme).write(Side::Network), [0x02, 0x01, 0x7F]);
        assert_eq!(f(false, true, Kind::Ua).write(Side::Network), [0x00, 0x01, 0x73]);
        assert_eq!(f(false, true, Kind::Rr(3)).write(Side::User), [0x02, 0x01, 0x01, 0x07]);
    }

    #[test]
    fn q921_5_8_5_what_is_no_frame_is_told_apart() {
        let check =
            |octets: &[u8], want| assert_eq!(Frame::parse(octets, Side::User), Err(want), "{octets:?}");
        check(&[], Invalid::Discard);
        check(&[0, 1], Invalid::Discard);
        check(&[1, 1, 0x7F], Invalid::Discard);
        check(&[0, 0, 0x7F], Invalid::Discard);
        check(&[0, 1, 0x7F, 0], Invalid::Length);
        check(&[0, 1, 0x01], Invalid::Length);
        check(&[0, 1, 0x01, 2, 3], Invalid::Length);
        check(&[0, 1, 0x0D, 2], Invalid::Undefined);
        check(&[0, 1, 0xEF], Invalid::Undefined);
        check(&[0, 1, 0x97, 1], Invalid::Length);
        let mut long = vec![0, 1, 0, 0];
        long.extend([0; N201 + 1]);
        check(&long, Invalid::TooLong);
    }
}
