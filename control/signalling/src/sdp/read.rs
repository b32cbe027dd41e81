//! A far description read: its usable audio stream, and the shape of all its m-lines, which an answer must mirror.

use super::{Error, LINES_MAX, OCTETS_MAX};
use crate::leg::{Rtp, Srtp};
use base64::Engine as _;
use sdp_types::{Attribute, Connection, Media, Session};
use std::net::{IpAddr, SocketAddr};
use units::Codec;

/// One m-line, as far as an answer must repeat it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `audio`, `video`, ...
    pub media: String,
    /// Profile, e.g. `RTP/AVP`.
    pub proto: String,
    /// Formats as written.
    pub fmt: String,
}

/// A far description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The usable audio stream.
    pub rtp: Rtp,
    /// Which m-line it is.
    pub index: usize,
    /// All m-lines.
    pub lines: Vec<Line>,
    /// Tag of the crypto attribute that `rtp.srtp` is from (RFC 4568 §4).
    pub crypto_tag: Option<u32>,
    /// Whether rtcp-mux was offered or accepted.
    pub rtcp_mux: bool,
    /// Payload type and codec as written, for payload types that are not the static ones.
    pub payload_types: Vec<(u8, Codec)>,
}

impl Description {
    /// Reads a description and finds its first usable audio stream.
    ///
    /// # Errors
    /// [`Error::Unreadable`], [`Error::NoAudio`], [`Error::NothingInCommon`] if no codec of ours is in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > OCTETS_MAX {
            return Err(Error::Unreadable);
        }
        let session = Session::parse(bytes).map_err(|_| Error::Unreadable)?;
        if session.medias.len() > LINES_MAX {
            return Err(Error::Unreadable);
        }
        let usable = |m: &Media| {
            m.media == "audio" && m.port != 0 && matches!(m.proto.as_str(), "RTP/AVP" | "RTP/SAVP")
        };
        let index = session.medias.iter().position(usable).ok_or(Error::NoAudio)?;
        let media = session.medias.get(index).ok_or(Error::NoAudio)?;
        let line = |m: &Media| Line { media: m.media.clone(), proto: m.proto.clone(), fmt: m.fmt.clone() };
        let (payload_types, telephone_event) = formats(media);
        // RFC 4568 §6: keys belong to the secure profile. Offered beside RTP/AVP they would be best effort, which is none.
        let crypto = crypto(media).filter(|_| media.proto == "RTP/SAVP");
        let rtp =
            stream(&session, media, &payload_types, telephone_event, crypto.as_ref().map(|c| c.1.clone()))?;
        Ok(Self {
            rtp,
            index,
            lines: session.medias.iter().map(line).collect(),
            crypto_tag: crypto.map(|c| c.0),
            rtcp_mux: attribute(&media.attributes, "rtcp-mux").is_some(),
            payload_types,
        })
    }
}

fn stream(
    session: &Session,
    media: &Media,
    payload_types: &[(u8, Codec)],
    telephone_event: Option<u8>,
    srtp: Option<Srtp>,
) -> Result<Rtp, Error> {
    let ip = media.connections.iter().chain(&session.connection).find_map(address).ok_or(Error::NoAudio)?;
    let codecs: Vec<Codec> = payload_types.iter().map(|p| p.1).collect();
    if codecs.is_empty() || (media.proto == "RTP/SAVP" && srtp.is_none()) {
        return Err(Error::NothingInCommon);
    }
    let (sends, receives) = direction(session, media);
    let addr = SocketAddr::new(ip, media.port);
    let ptime = attribute(&media.attributes, "ptime").and_then(|v| v.trim().parse().ok());
    Ok(Rtp {
        addr,
        rtcp: rtcp(media, addr),
        codecs,
        telephone_event,
        // RFC 3264 §8.4 and RFC 2543: an address of zeros is an old hold; nothing may be sent to it.
        sends,
        receives: receives && !ip.is_unspecified(),
        srtp,
        ptime_ms: ptime.filter(|p| (10..=60).contains(p)).unwrap_or(20),
    })
}

/// Payload types with a codec that we speak, in order and each codec once, and that of telephone-event.
fn formats(media: &Media) -> (Vec<(u8, Codec)>, Option<u8>) {
    let mut codecs: Vec<(u8, Codec)> = Vec::new();
    let mut event = None;
    for pt in media.fmt.split_ascii_whitespace().filter_map(|f| f.parse::<u8>().ok()).filter(|&p| p < 128) {
        let name = rtpmap(media, pt);
        let codec = match name {
            Some((name, "8000")) => Codec::from_name(name),
            Some(_) => None,
            // RFC 3551 §6: static payload types need no rtpmap.
            None => [Codec::Pcmu, Codec::Pcma, Codec::G722].into_iter().find(|c| c.payload_type() == pt),
        };
        if let Some(codec) = codec.filter(|c| codecs.iter().all(|(_, have)| have != c)) {
            codecs.push((pt, codec));
        }
        if name.is_some_and(|(n, rate)| n.eq_ignore_ascii_case("telephone-event") && rate == "8000") {
            event = event.or(Some(pt));
        }
    }
    (codecs, event)
}

/// Name and clock rate of a payload type; a channel count is dropped.
fn rtpmap(media: &Media, pt: u8) -> Option<(&str, &str)> {
    let maps = media.attributes.iter().filter(|a| a.attribute == "rtpmap").filter_map(|a| a.value.as_deref());
    let value = maps.filter_map(|v| v.split_once(' ')).find(|(n, _)| n.parse() == Ok(pt))?.1;
    let mut parts = value.trim().split('/');
    Some((parts.next()?, parts.next()?))
}

fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.attribute == name).map(|a| a.value.as_deref().unwrap_or_default())
}

/// Whether the far side sends, and receives: the media's attribute, else the session's, else both.
fn direction(session: &Session, media: &Media) -> (bool, bool) {
    let of = |list: &[Attribute]| {
        list.iter().find_map(|a| match a.attribute.as_str() {
            "sendrecv" => Some((true, true)),
            "sendonly" => Some((true, false)),
            "recvonly" => Some((false, true)),
            "inactive" => Some((false, false)),
            _ => None,
        })
    };
    of(&media.attributes).or_else(|| of(&session.attributes)).unwrap_or((true, true))
}

fn address(c: &Connection) -> Option<IpAddr> {
    c.connection_address.split('/').next()?.parse::<IpAddr>().ok().filter(|ip| !ip.is_multicast())
}

/// RFC 3605 and RFC 5761.
fn rtcp(media: &Media, addr: SocketAddr) -> Option<SocketAddr> {
    if attribute(&media.attributes, "rtcp-mux").is_some() {
        return Some(addr);
    }
    let mut words = attribute(&media.attributes, "rtcp")?.split_ascii_whitespace();
    let port = words.next()?.parse().ok().filter(|&p: &u16| p != 0)?;
    let ip = words.nth(2).and_then(|ip| ip.parse().ok()).unwrap_or(addr.ip());
    Some(SocketAddr::new(ip, port))
}

/// The first crypto attribute that we can use: `tag AES_CM_128_HMAC_SHA1_80|32 inline:key` (RFC 4568 §9.1).
fn crypto(media: &Media) -> Option<(u32, Srtp)> {
    media.attributes.iter().filter(|a| a.attribute == "crypto").filter_map(|a| a.value.as_deref()).find_map(
        |v| {
            let mut words = v.split_ascii_whitespace();
            let tag = words.next()?.parse().ok().filter(|&t: &u32| t < 1_000_000_000)?;
            let tag_bits = match words.next()? {
                "AES_CM_128_HMAC_SHA1_80" => 80,
                "AES_CM_128_HMAC_SHA1_32" => 32,
                _ => return None,
            };
            let mut inline = words.next()?.strip_prefix("inline:")?.split('|');
            let (key, mut rest) = (inline.next()?, inline);
            // RFC 4568 §6.1: a lifetime may follow; an MKI would stand in every packet, and we write none.
            if rest.any(|part| part.contains(':')) {
                return None;
            }
            // RFC 4568 §6.3: a session parameter that we do not know makes the whole attribute unusable.
            if words.next().is_some() {
                return None;
            }
            let key = base64::engine::general_purpose::STANDARD.decode(key).ok()?;
            Some((tag, Srtp { optional: false, tag_bits, key_salt: key.try_into().ok()? }))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sdp(media: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}")
    }

    fn read(media: &str) -> Result<Description, Error> {
        Description::parse(sdp(media).as_bytes())
    }

    #[test]
    fn rfc3551_6_static_types_need_no_map_and_order_is_kept() {
        let d =
            read("m=audio 4000 RTP/AVP 18 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:30\r\n")
                .expect("audio");
        assert_eq!(d.rtp.codecs, [Codec::Pcma, Codec::Pcmu]);
        assert_eq!(
            (d.rtp.telephone_event, d.rtp.ptime_ms, d.rtp.addr),
            (Some(101), 30, "192.0.2.1:4000".parse().expect("address"))
        );
    }

    #[test]
    fn rfc3264_6_the_first_usable_audio_counts() {
        let d = read("m=video 4002 RTP/AVP 96\r\nm=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0\r\n")
            .expect("audio");
        assert_eq!((d.index, d.lines.len()), (2, 3));
        assert_eq!(read("m=video 4002 RTP/AVP 96\r\n"), Err(Error::NoAudio));
        assert_eq!(read("m=audio 4002 RTP/AVP 18\r\n"), Err(Error::NothingInCommon));
        assert_eq!(Description::parse(b"hello"), Err(Error::Unreadable));
    }

    #[test]
    fn rfc3264_8_4_hold_in_both_spellings() {
        for (line, want) in [
            ("a=sendonly", (true, false)),
            ("a=inactive", (false, false)),
            ("c=IN IP4 0.0.0.0", (true, false)),
        ] {
            let d = read(&format!("m=audio 4000 RTP/AVP 0\r\n{line}\r\n")).expect("audio");
            assert_eq!((d.rtp.sends, d.rtp.receives), want, "{line}");
        }
    }

    #[test]
    fn rfc4568_9_1_the_first_suite_that_we_know() {
        let key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let d = read(&format!(
            "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:{key}\r\na=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:{key}|2^20\r\n"
        ));
        let d = d.expect("audio");
        assert_eq!((d.crypto_tag, d.rtp.srtp.map(|s| s.tag_bits)), (Some(2), Some(32)));
        assert_eq!(read("m=audio 4000 RTP/SAVP 0\r\n"), Err(Error::NothingInCommon));
        let mki = format!(
            "m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4\r\n"
        );
        assert_eq!(read(&mki), Err(Error::NothingInCommon), "RFC 4568 §6.1: an MKI");
        let beside = format!("m=audio 4000 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
        assert_eq!(read(&beside).expect("audio").rtp.srtp, None, "keys beside the plain profile are none");
    }

    #[test]
    fn rfc5761_and_rfc3605_where_rtcp_goes() {
        let at = |l: &str| {
            read(&format!("m=audio 4000 RTP/AVP 0\r\n{l}\r\n"))
                .expect("audio")
                .rtp
                .rtcp
                .map(|a| a.to_string())
        };
        assert_eq!(at("a=rtcp-mux").as_deref(), Some("192.0.2.1:4000"));
        assert_eq!(at("a=rtcp:4009 IN IP4 192.0.2.7").as_deref(), Some("192.0.2.7:4009"));
        assert_eq!(at("a=x"), None);
    }
}
