//! IP and UDP headers written before a payload, for the backends that send whole packets (RFC 791, RFC 8200, RFC 768).

use std::net::{IpAddr, SocketAddr};

/// Room before the payload: the longer of the two header pairs.
pub(crate) const HEADROOM: usize = 48;

/// Sum of 16-bit words, not folded (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut total: u64 = words.iter().map(|w| u64::from(u32::from_be_bytes(*w))).sum();
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        total += u64::from(u32::from_be_bytes(last));
    }
    total
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded")
}

/// Writes the headers for the `len` octets at [`HEADROOM`] of `buffer`; where the packet begins, or `None` if the
/// families differ. `id` is the IPv4 identification.
pub(crate) fn encapsulate(
    buffer: &mut [u8],
    len: usize,
    from: SocketAddr,
    to: SocketAddr,
    id: u16,
) -> Option<usize> {
    let udp_len = u16::try_from(len + 8).ok()?;
    let udp = HEADROOM - 8;
    buffer[udp..udp + 2].copy_from_slice(&from.port().to_be_bytes());
    buffer[udp + 2..udp + 4].copy_from_slice(&to.port().to_be_bytes());
    buffer[udp + 4..udp + 6].copy_from_slice(&udp_len.to_be_bytes());
    buffer[udp + 6..udp + 8].fill(0);
    let (start, addresses) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let start = udp - 20;
            let total = (udp_len + 20).to_be_bytes();
            let id = id.to_be_bytes();
            // DF is set: our packets are far below any MTU. DSCP 46, expedited forwarding (RFC 4594 §4.1).
            let head = [0x45, 0xb8, total[0], total[1], id[0], id[1], 0x40, 0, 64, 17, 0, 0];
            buffer[start..start + 12].copy_from_slice(&head);
            buffer[start + 12..start + 16].copy_from_slice(&from.octets());
            buffer[start + 16..start + 20].copy_from_slice(&to.octets());
            let checksum = fold(sum(&buffer[start..udp]));
            buffer[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
            (start, start + 12)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let start = udp - 40;
            let total = udp_len.to_be_bytes();
            buffer[start..start + 8].copy_from_slice(&[0x6b, 0x80, 0, 0, total[0], total[1], 17, 64]);
            buffer[start + 8..start + 24].copy_from_slice(&from.octets());
            buffer[start + 24..start + 40].copy_from_slice(&to.octets());
            (start, start + 8)
        }
        _ => return None,
    };
    if from.ip().is_unspecified() {
        // The kernel will choose the source, which the checksum covers: none is sent (RFC 768; IPv4 only).
        return from.is_ipv4().then_some(start);
    }
    let pseudo = sum(&buffer[addresses..udp]) + 17 + u64::from(udp_len);
    // RFC 768: a checksum of zero is sent as all ones, zero means none.
    let checksum = match fold(pseudo + sum(&buffer[udp..HEADROOM + len])) {
        0 => 0xffff,
        other => other,
    };
    buffer[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
    Some(start)
}

/// Reads a whole IPv4 or IPv6 packet of UDP: from, to, and where the payload lies. The headers were matched by our XDP
/// program; lengths are checked here.
pub(crate) fn decapsulate(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, std::ops::Range<usize>)> {
    let (from, to, udp): (IpAddr, IpAddr, usize) = match packet.first()? >> 4 {
        4 => {
            let from: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            (from.into(), to.into(), 20)
        }
        6 => {
            let from: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (from.into(), to.into(), 40)
        }
        _ => return None,
    };
    let head: [u8; 8] = packet.get(udp..udp + 8)?.try_into().ok()?;
    let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
    let end = udp + len;
    if len < 8 || end > packet.len() {
        return None;
    }
    let from = SocketAddr::new(from, u16::from_be_bytes([head[0], head[1]]));
    let to = SocketAddr::new(to, u16::from_be_bytes([head[2], head[3]]));
    Some((from, to, udp + 8..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc1071_what_is_written_sums_to_nothing_and_is_read() {
        for (from, to, ip) in
            [("10.0.0.1:4000", "10.0.0.2:5001", 20), ("[fd00::1]:4000", "[fd00::2]:5001", 40)]
        {
            let (from, to) = (from.parse().expect("address"), to.parse().expect("address"));
            let mut buffer = [7; HEADROOM + 173];
            let start = encapsulate(&mut buffer, 173, from, to, 9).expect("one family");
            let packet = &buffer[start..];
            if ip == 20 {
                assert_eq!(fold(sum(&packet[..20])), 0);
            }
            let addresses = if ip == 20 { 12..20 } else { 8..40 };
            let whole = sum(&packet[addresses]) + 17 + 181 + sum(&packet[ip..]);
            assert_eq!(fold(whole), 0);
            assert_eq!(decapsulate(packet), Some((from, to, ip + 8..ip + 181)));
            assert_eq!(decapsulate(&packet[..100]), None);
        }
        let (v4, v6) = ("10.0.0.1:1".parse().expect("v4"), "[::1]:1".parse().expect("v6"));
        assert_eq!(encapsulate(&mut [0; 100], 1, v4, v6, 0), None);
    }
}
