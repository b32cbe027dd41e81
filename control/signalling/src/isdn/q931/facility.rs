//! Facility elements (Q.932 §8.2.3): the components of the two call transfers that exchanges offer, and the outcome of
//! each. Everything else in an element is passed over. `read` answers `None` for what it cannot follow, and cannot panic.
//!
//! Explicit call transfer of EuroISDN is EN 300 369-1 §7.2 (explicit linkage), the two B-channel transfer of National
//! ISDN 2 is GR-2865 (`InitiateTransfer`).

use super::ie::{self, id};
use super::wire::Ie;

/// Operations that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// EN 300 369-1: a number for a call, by which another call can name it.
    EctLinkIdRequest,
    /// EN 300 369-1: join this call with the one of this link.
    ExplicitEctExecute,
    /// GR-2865: join this call with the one of this call reference.
    InitiateTransfer,
}

impl Operation {
    /// Its object identifier, as contents octets (X.690 §8.19).
    const fn oid(self) -> &'static [u8] {
        match self {
            // {itu-t identified-organization etsi(0) 369 operations-and-errors(1) 4}, and 1.
            Self::EctLinkIdRequest => &[0x04, 0x00, 0x82, 0x71, 0x01, 0x04],
            Self::ExplicitEctExecute => &[0x04, 0x00, 0x82, 0x71, 0x01, 0x01],
            // {iso member-body us(840) ansi-t1(10005) operations(0) 8}.
            Self::InitiateTransfer => &[0x2A, 0x86, 0x48, 0xCE, 0x15, 0x00, 0x08],
        }
    }

    fn of(oid: &[u8]) -> Option<Self> {
        [Self::EctLinkIdRequest, Self::ExplicitEctExecute, Self::InitiateTransfer]
            .into_iter()
            .find(|o| o.oid() == oid)
    }
}

/// One component (X.880, as Q.932 table 8-3 has it).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// Do something.
    Invoke {
        /// Names it in the answer, 0..=32767.
        invoke: u16,
        /// What; `None`: something unknown.
        operation: Option<Operation>,
        /// Link or call reference.
        argument: Option<u16>,
    },
    /// It was done.
    Done {
        /// Of which invocation.
        invoke: u16,
        /// Link.
        result: Option<u16>,
    },
    /// It was not done.
    Failed {
        /// Of which invocation.
        invoke: u16,
    },
}

/// Networking extensions are not used: the profile is that of remote operations (Q.932 §8.2.3.1).
const PROFILE: u8 = 0x91;
/// Universal tags (X.690 §8).
const INTEGER: u8 = 0x02;
const NULL: u8 = 0x05;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// Context tags of components.
const INVOKE: u8 = 0xA1;
const RETURN_RESULT: u8 = 0xA2;
const RETURN_ERROR: u8 = 0xA3;
const REJECT: u8 = 0xA4;

impl Component {
    /// Writes it as an element.
    #[must_use]
    pub fn write(&self) -> Ie {
        let (tag, contents) = match *self {
            Self::Invoke { invoke, operation, argument } => {
                let mut body = tlv(INTEGER, &integer(invoke));
                body.extend(operation.map(|o| tlv(OID, o.oid())).unwrap_or_default());
                let argument = argument.map(|a| tlv(INTEGER, &integer(a)));
                match (operation, argument) {
                    (Some(Operation::InitiateTransfer), Some(a)) => body.extend(tlv(SEQUENCE, &a)),
                    (_, Some(a)) => body.extend(a),
                    (_, None) => {}
                }
                (INVOKE, body)
            }
            Self::Done { invoke, result } => {
                let mut body = tlv(INTEGER, &integer(invoke));
                if let Some(result) = result {
                    let mut inner = tlv(OID, Operation::EctLinkIdRequest.oid());
                    inner.extend(tlv(INTEGER, &integer(result)));
                    body.extend(tlv(SEQUENCE, &inner));
                }
                (RETURN_RESULT, body)
            }
            Self::Failed { invoke } => {
                let mut body = tlv(INTEGER, &integer(invoke));
                // Q.950 table 4: not available (3).
                body.extend(tlv(INTEGER, &[3]));
                (RETURN_ERROR, body)
            }
        };
        let mut body = vec![PROFILE];
        body.extend(tlv(tag, &contents));
        ie::make(id::FACILITY, body)
    }

    /// Reads the first component of an element.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        // Octet 3 and what belongs to it ends with the first extension bit; headers of a network (0xAA, 0x8B ...) are passed over.
        let end = body.iter().position(|o| o & 0x80 != 0)?;
        let mut rest = body.get(end + 1..)?;
        while let Some((tag, contents, after)) = take(rest) {
            if (INVOKE..=REJECT).contains(&tag) {
                return component(tag, contents);
            }
            rest = after;
        }
        None
    }
}

fn component(tag: u8, contents: &[u8]) -> Option<Component> {
    let (first, number, rest) = take(contents)?;
    let invoke = match first {
        INTEGER => value(number)?,
        // A reject may not know what it rejects.
        NULL => 0,
        _ => return None,
    };
    Some(match tag {
        INVOKE => {
            let (_, name, rest) = take(rest)?;
            Component::Invoke { invoke, operation: Operation::of(name), argument: first_integer(rest) }
        }
        RETURN_RESULT => {
            let inner = take(rest).filter(|(tag, ..)| *tag == SEQUENCE).and_then(|(_, inner, _)| take(inner));
            Component::Done { invoke, result: inner.and_then(|(_, _, rest)| first_integer(rest)) }
        }
        _ => Component::Failed { invoke },
    })
}

/// The integer that comes next, in a sequence or not.
fn first_integer(rest: &[u8]) -> Option<u16> {
    match take(rest)? {
        (INTEGER, number, _) => value(number),
        (SEQUENCE, inner, _) => {
            take(inner).filter(|(tag, ..)| *tag == INTEGER).and_then(|(_, n, _)| value(n))
        }
        _ => None,
    }
}

/// Tag, contents and what follows; lengths of the short form and of one octet (X.690 §8.1.3), since an element is short.
fn take(octets: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = octets.split_first()?;
    let (len, rest) = rest.split_first()?;
    let (len, rest) = match len {
        0..=0x7F => (len, rest),
        0x81 => rest.split_first()?,
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(usize::from(*len))?;
    Some((*tag, contents, rest))
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut all = vec![tag, u8::try_from(contents.len()).expect("what is written here is short")];
    all.extend_from_slice(contents);
    all
}

/// An integer (X.690 §8.3): the shortest octets whose first bit is 0.
fn integer(value: u16) -> Vec<u8> {
    let [high, low] = value.to_be_bytes();
    match (high, low) {
        (0, 0..=0x7F) => vec![low],
        (0..=0x7F, _) => vec![high, low],
        _ => vec![0, high, low],
    }
}

fn value(octets: &[u8]) -> Option<u16> {
    let octets = match octets {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    match octets {
        [low] => Some(u16::from(*low)),
        [high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    /// As another stack writes them.
    #[test]
    fn gr2865_and_en300369_components_are_written_and_read_as_others_do() {
        let (transfer, link, execute) =
            (Operation::InitiateTransfer, Operation::EctLinkIdRequest, Operation::ExplicitEctExecute);
        let check = |component: Component, octets: &[u8]| {
            assert_eq!(component.write().body, octets);
            assert_eq!(Component::read(octets), Some(component));
        };
        let invoke =
            |invoke, operation, argument| Component::Invoke { invoke, operation: Some(operation), argument };
        check(
            invoke(1, transfer, Some(2)),
            &[0x91, 0xA1, 0x11, 2, 1, 1, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x15, 0, 8, 0x30, 3, 2, 1, 2],
        );
        check(invoke(1, link, None), &[0x91, 0xA1, 0x0B, 2, 1, 1, 6, 6, 4, 0, 0x82, 0x71, 1, 4]);
        check(
            invoke(2, execute, Some(1)),
            &[0x91, 0xA1, 0x0E, 2, 1, 2, 6, 6, 4, 0, 0x82, 0x71, 1, 1, 2, 1, 1],
        );
        check(
            Component::Done { invoke: 1, result: Some(1) },
            &[0x91, 0xA2, 0x10, 2, 1, 1, 0x30, 0x0B, 6, 6, 4, 0, 0x82, 0x71, 1, 4, 2, 1, 1],
        );
        check(Component::Done { invoke: 7, result: None }, &[0x91, 0xA2, 3, 2, 1, 7]);
        check(Component::Failed { invoke: 0x4321 }, &[0x91, 0xA3, 7, 2, 2, 0x43, 0x21, 2, 1, 3]);
        assert_eq!(
            Component::read(&[0x91, 0xA4, 5, 5, 0, 0x80, 1, 2]),
            Some(Component::Failed { invoke: 0 })
        );
    }

    #[test]
    fn whatever_comes_is_read_or_not_and_never_panics() {
        let mut rng = Seed(932).rng();
        let whole = Component::Invoke {
            invoke: 300,
            operation: Some(Operation::InitiateTransfer),
            argument: Some(0xFFFF),
        };
        let whole = whole.write().body;
        for _ in 0..20_000 {
            let mut octets = whole.clone();
            octets.truncate(usize::try_from(rng.below(22)).expect("small"));
            if let Some(n) = octets.len().checked_sub(1) {
                let at = usize::try_from(rng.below(u64::try_from(n + 1).expect("small"))).expect("small");
                octets[at] = u8::try_from(rng.below(256)).expect("an octet");
            }
            let _ = Component::read(&octets);
        }
    }
}
