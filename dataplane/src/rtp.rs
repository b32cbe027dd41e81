//! RTP packets (RFC 3550 §5.1): strict parsing of what arrives, writing of what leaves. No allocation, no panic on any
//! input.

/// Octets of the fixed header.
pub const HEADER: usize = 12;

/// The longest packet that is sent or accepted: header, a 60 ms frame, an SRTP tag, and room for extensions.
pub const PACKET_MAX: usize = 640;

/// Why a packet was dropped; also the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refused {
    /// Shorter than its header says.
    Truncated,
    /// Longer than [`PACKET_MAX`].
    Oversized,
    /// Not RTP version 2.
    Version,
    /// A payload type that was not agreed, or a payload of impossible length.
    Payload,
    /// Not from the address of the SDP.
    Source,
    /// A sequence number seen before, or too old to tell.
    Replay,
    /// A sequence number far from the stream's, on probation.
    Jump,
    /// An SSRC that is not the stream's, on probation.
    Ssrc,
    /// SRTP authentication failed.
    Authentication,
    /// For a place where no bearer listens.
    Nobody,
    /// RTCP that cannot be read.
    Rtcp,
}

/// How many kinds of refusal there are.
pub const REFUSED_KINDS: usize = 11;

/// A packet that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0..=127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, 8 kHz for all our codecs.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// What it carries, padding removed.
    pub payload: &'a [u8],
}

/// The fields of a header that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0..=127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Octets of the header with its contributing sources and extension; `None` if the packet is too short for them.
#[must_use]
pub fn header_octets(bytes: &[u8]) -> Option<usize> {
    let first = *bytes.first()?;
    let mut at = HEADER + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        // RFC 3550 §5.3.1: 16 bits of profile, then the length in words.
        at += 4 + 4 * usize::from(be16(bytes, at + 2)?);
    }
    (at <= bytes.len()).then_some(at)
}

/// Reads a packet.
///
/// # Errors
/// [`Refused::Truncated`], [`Refused::Oversized`] or [`Refused::Version`].
pub fn parse(bytes: &[u8]) -> Result<Packet<'_>, Refused> {
    if bytes.len() > PACKET_MAX {
        return Err(Refused::Oversized);
    }
    if bytes.len() < HEADER {
        return Err(Refused::Truncated);
    }
    if bytes[0] >> 6 != 2 {
        return Err(Refused::Version);
    }
    let start = header_octets(bytes).ok_or(Refused::Truncated)?;
    let mut end = bytes.len();
    if bytes[0] & 0x20 != 0 {
        // RFC 3550 §5.1: the last octet counts the padding, itself included.
        let padding = usize::from(bytes[end - 1]);
        if padding == 0 || padding > end - start {
            return Err(Refused::Truncated);
        }
        end -= padding;
    }
    Ok(Packet {
        marker: bytes[1] & 0x80 != 0,
        payload_type: bytes[1] & 0x7f,
        sequence: be16(bytes, 2).ok_or(Refused::Truncated)?,
        timestamp: be32(bytes, 4).ok_or(Refused::Truncated)?,
        ssrc: be32(bytes, 8).ok_or(Refused::Truncated)?,
        payload: &bytes[start..end],
    })
}

/// Writes a header without contributing sources, extension or padding into the first [`HEADER`] octets.
///
/// # Panics
/// If `into` is shorter than that: the caller owns the buffer.
pub fn write_header(into: &mut [u8], header: &Header) {
    into[0] = 0x80;
    into[1] = (header.payload_type & 0x7f) | (u8::from(header.marker) << 7);
    into[2..4].copy_from_slice(&header.sequence.to_be_bytes());
    into[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    into[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> [u8; 16] {
        let mut bytes = [7; 16];
        let header =
            Header { marker: true, payload_type: 8, sequence: 513, timestamp: 99, ssrc: 0xdead_beef };
        write_header(&mut bytes, &header);
        bytes
    }

    #[test]
    fn rfc3550_5_1_what_is_written_is_read() {
        let bytes = sample();
        let p = parse(&bytes).expect("well formed");
        assert_eq!(
            (p.marker, p.payload_type, p.sequence, p.timestamp, p.ssrc),
            (true, 8, 513, 99, 0xdead_beef)
        );
        assert_eq!(p.payload, [7; 4]);
    }

    #[test]
    fn rfc3550_5_1_malformed_packets_are_refused_by_kind() {
        let check = |f: &dyn Fn(&mut Vec<u8>), expected| {
            let mut bytes = sample().to_vec();
            f(&mut bytes);
            assert_eq!(parse(&bytes).map(|p| p.payload.len()), expected);
        };
        check(&|b| b.truncate(11), Err(Refused::Truncated));
        check(&|b| b[0] = 0x40, Err(Refused::Version));
        check(&|b| b[0] = 0x8f, Err(Refused::Truncated));
        check(&|b| b[0] = 0x90, Err(Refused::Truncated));
        check(&|b| b.resize(PACKET_MAX + 1, 0), Err(Refused::Oversized));
        check(&|b| b[0] = 0xa0, Err(Refused::Truncated)); // padding 7 of 4 octets
        check(
            &|b| {
                b[0] = 0xa0;
                b[15] = 3;
            },
            Ok(1),
        );
        check(&|b| b[0] = 0x81, Ok(0)); // one contributing source
    }
}
