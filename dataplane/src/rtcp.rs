//! RTCP (RFC 3550 §6): sender and receiver reports with a canonical name about every five seconds, BYE at the end; what
//! the far side reports is read strictly.

use crate::rtp::Refused;

/// The longest packet written: SR with one block, SDES, BYE.
pub const PACKET_MAX: usize = 28 + 24 + 28 + 8;

/// Mean interval of reports, ms (RFC 3550 §6.2: five seconds at least).
pub const INTERVAL_MS: u64 = 5000;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
/// NTP counts from 1900 (RFC 3550 §4).
const NTP_UNIX_S: u64 = 2_208_988_800;

/// What we tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Our source.
    pub ssrc: u32,
    /// UTC now, ms since 1970.
    pub wall_ms: u64,
    /// Our RTP timestamp now.
    pub timestamp: u32,
    /// Packets sent; none: a receiver report.
    pub packets: u32,
    /// Payload octets sent.
    pub octets: u32,
    /// About the far side, if it was heard.
    pub block: Option<Block>,
    /// This is the last one.
    pub bye: bool,
}

/// A reception report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Whose reception.
    pub ssrc: u32,
    /// Share lost since the last report, in 1/256.
    pub fraction: u8,
    /// Lost in all, 24 bits signed.
    pub lost: i32,
    /// Highest sequence number with cycles.
    pub highest: u32,
    /// Jitter in timestamp units.
    pub jitter: u32,
    /// The middle 32 bits of the last sender report's NTP time.
    pub last_sr: u32,
    /// Since then, 1/65536 s.
    pub delay: u32,
}

/// A clock reading in NTP form.
#[must_use]
pub fn ntp(wall_ms: u64) -> u64 {
    let seconds = (wall_ms / 1000).wrapping_add(NTP_UNIX_S);
    (seconds << 32) | (((wall_ms % 1000) << 32) / 1000)
}

/// The middle 32 bits of an NTP time.
#[must_use]
pub fn middle(ntp: u64) -> u32 {
    u32::try_from((ntp >> 16) & 0xffff_ffff).expect("masked")
}

struct Writer<'a> {
    into: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.into[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    /// A packet's first word; `words` counts the words behind it.
    fn head(&mut self, count: u8, kind: u8, words: u16) {
        let [a, b] = words.to_be_bytes();
        self.put(&[0x80 | count, kind, a, b]);
    }
}

/// Writes a compound packet; its length, at most [`PACKET_MAX`].
///
/// # Panics
/// If `into` is shorter than that.
pub fn write(into: &mut [u8], told: &Told) -> usize {
    let mut w = Writer { into, at: 0 };
    let blocks = u8::from(told.block.is_some());
    let extra = 6 * u16::from(blocks);
    if told.packets > 0 {
        w.head(blocks, SR, 6 + extra);
        w.word(told.ssrc);
        w.put(&ntp(told.wall_ms).to_be_bytes());
        w.word(told.timestamp);
        w.word(told.packets);
        w.word(told.octets);
    } else {
        w.head(blocks, RR, 1 + extra);
        w.word(told.ssrc);
    }
    if let Some(b) = &told.block {
        w.word(b.ssrc);
        let [_, lost @ ..] = b.lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
        w.put(&[b.fraction]);
        w.put(&lost);
        w.word(b.highest);
        w.word(b.jitter);
        w.word(b.last_sr);
        w.word(b.delay);
    }
    // RFC 7022 §4.2: a short-term name per session, random and no address; our source is random already.
    w.head(1, SDES, 5);
    w.word(told.ssrc);
    w.put(&[1, 12]);
    for octet in told
        .ssrc
        .to_be_bytes()
        .into_iter()
        .chain((told.ssrc ^ 0x5bd1_e995).rotate_left(7).to_be_bytes())
        .take(6)
    {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        w.put(&[HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
    }
    w.put(&[0, 0]);
    if told.bye {
        w.head(1, BYE, 1);
        w.word(told.ssrc);
    }
    w.at
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The middle of the sender report's NTP time.
    pub sender_ntp: Option<u32>,
    /// The report about us.
    pub about_us: Option<Block>,
    /// The far side said BYE.
    pub bye: bool,
}

/// Reads a compound packet. `ours` is our source.
///
/// # Errors
/// [`Refused::Rtcp`] if a version, length or first type is wrong (RFC 3550 §A.2).
pub fn read(bytes: &[u8], ours: u32) -> Result<Read, Refused> {
    let mut read = Read::default();
    let mut rest = bytes;
    let mut first = true;
    while !rest.is_empty() {
        let head: [u8; 4] = rest.get(..4).and_then(|h| h.try_into().ok()).ok_or(Refused::Rtcp)?;
        let len = 4 * (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1);
        let packet = rest.get(..len).ok_or(Refused::Rtcp)?;
        if head[0] >> 6 != 2 || (first && head[1] != SR && head[1] != RR) {
            return Err(Refused::Rtcp);
        }
        let count = usize::from(head[0] & 0x1f);
        match head[1] {
            SR => {
                let ntp: [u8; 4] = packet.get(10..14).and_then(|n| n.try_into().ok()).ok_or(Refused::Rtcp)?;
                read.sender_ntp = Some(u32::from_be_bytes(ntp));
                read.about_us = blocks(packet, 28, count, ours)?.or(read.about_us);
            }
            RR => read.about_us = blocks(packet, 8, count, ours)?.or(read.about_us),
            BYE => read.bye = true,
            _ => {}
        }
        rest = &rest[len..];
        first = false;
    }
    if first { Err(Refused::Rtcp) } else { Ok(read) }
}

fn blocks(packet: &[u8], start: usize, count: usize, ours: u32) -> Result<Option<Block>, Refused> {
    let all = packet.get(start..start + 24 * count).ok_or(Refused::Rtcp)?;
    let (blocks, _) = all.as_chunks::<24>();
    let block = |b: &[u8; 24]| {
        let word = |i: usize| u32::from_be_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        Block {
            ssrc: word(0),
            fraction: b[4],
            lost: i32::from_be_bytes([b[5], b[6], b[7], 0]) >> 8,
            highest: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay: word(20),
        }
    };
    Ok(blocks.iter().map(block).find(|b| b.ssrc == ours))
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    #[test]
    fn rfc3550_6_4_what_is_written_is_read() {
        let block =
            Block { ssrc: 7, fraction: 12, lost: -3, highest: 70_000, jitter: 9, last_sr: 5, delay: 6 };
        for packets in [0, 5] {
            let told = Told {
                ssrc: 3,
                wall_ms: 1_500,
                timestamp: 8,
                packets,
                octets: 800,
                block: Some(block),
                bye: true,
            };
            let mut bytes = [0; PACKET_MAX];
            let n = write(&mut bytes, &told);
            let back = read(&bytes[..n], 7).expect("ours");
            assert_eq!((back.about_us, back.bye), (Some(block), true));
            assert_eq!(back.sender_ntp, (packets > 0).then(|| middle(ntp(1_500))));
            for cut in 1..n {
                // Cut at a packet's end it is still a compound packet; anywhere else it is refused.
                let _ = read(&bytes[..cut], 7);
            }
            assert_eq!(read(&bytes[..n - 1], 7), Err(Refused::Rtcp));
        }
        assert_eq!(ntp(500) & 0xffff_ffff, 0x8000_0000);
    }

    #[test]
    fn any_octets_are_survived() {
        let mut rng = Seed(6).rng();
        for _ in 0..100_000 {
            let len = usize::try_from(rng.below(120)).expect("small");
            let mut bytes: Vec<u8> =
                (0..len).map(|_| u8::try_from(rng.below(256)).expect("an octet")).collect();
            if len > 4 {
                bytes[0] = 0x80 | (bytes[0] & 0x1f);
                bytes[1] = 200 + bytes[1] % 4;
                bytes[2] = 0;
                bytes[3] %= 16;
            }
            let _ = read(&bytes, 1);
        }
        assert_eq!(read(&[], 1), Err(Refused::Rtcp));
    }
}
