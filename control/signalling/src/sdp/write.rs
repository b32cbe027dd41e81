//! Our descriptions: an offer, or an answer that mirrors an offer.

use super::control::{self, Control};
use super::{Description, Error, agree};
use crate::leg::Rtp;
use base64::Engine as _;
use sdp_types::{AddrType, Attribute, Connection, Media, NetType, Origin, Session, Time};
use serde::{Deserialize, Serialize};

/// Tag of the one crypto attribute that we offer (RFC 4568 §4).
pub const CRYPTO_TAG: u32 = 1;

/// Our side of one session: its id stays, its version grows with every change (RFC 3264 §5, §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Session id of the `o=` line, below 2^63.
    pub id: u64,
    /// Version of the next description.
    pub version: u64,
}

impl Local {
    /// A session with this id.
    #[must_use]
    pub fn new(id: u64) -> Self {
        Self { id: id >> 1, version: 1 }
    }

    /// An offer of this media, keys under [`CRYPTO_TAG`]; to a speech engine also of its control channel.
    pub fn offer(&mut self, ours: &Rtp, engine: Option<&Control>) -> Vec<u8> {
        let types = ours.codecs.iter().map(|c| (c.payload_type(), *c)).collect::<Vec<_>>();
        let mut media = audio(ours, &types, ours.telephone_event, CRYPTO_TAG);
        let Some(engine) = engine else { return self.write(ours, vec![media]) };
        control::mid(&mut media);
        self.write(ours, vec![engine.offer(), media])
    }

    /// The answer to an offer, with the far side's media cut to what was agreed: one codec.
    ///
    /// # Errors
    /// [`Error::NothingInCommon`].
    pub fn answer(&mut self, ours: &Rtp, offer: &Description) -> Result<(Vec<u8>, Rtp), Error> {
        let mut agreed = agree(ours, &offer.rtp)?;
        agreed.codecs.truncate(1);
        let types: Vec<_> =
            offer.payload_types.iter().copied().filter(|(_, c)| agreed.codecs.contains(c)).collect();
        let answer = Rtp {
            // RFC 3264 §6.1: what the offerer does not receive we do not send, and the reverse.
            sends: ours.sends && offer.rtp.receives,
            receives: ours.receives && offer.rtp.sends,
            srtp: offer.rtp.srtp.as_ref().and(ours.srtp.clone()).map(|mut s| {
                s.tag_bits = offer.rtp.srtp.as_ref().map_or(s.tag_bits, |t| t.tag_bits);
                s
            }),
            rtcp: ours.rtcp.filter(|&r| r != ours.addr || offer.rtcp_mux),
            ..ours.clone()
        };
        let tag = offer.crypto_tag.unwrap_or(CRYPTO_TAG);
        let lines = offer.lines.iter().enumerate().map(|(i, line)| {
            if i == offer.index { audio(&answer, &types, agreed.telephone_event, tag) } else { refused(line) }
        });
        let medias = lines.collect();
        Ok((self.write(ours, medias), agreed))
    }

    fn write(&mut self, ours: &Rtp, medias: Vec<Media>) -> Vec<u8> {
        let mut session = Session::new(Origin::with_ip_addr(self.id, self.version, ours.addr.ip()), "-");
        self.version += 1;
        session.connection = Some(Connection::from_ip_addr(ours.addr.ip()));
        session.times.push(Time { start_time: 0, stop_time: 0, repeats: Vec::new() });
        session.medias = medias;
        let mut bytes = Vec::with_capacity(320);
        session.write(&mut bytes).expect("a vector takes all octets");
        bytes
    }
}

fn audio(ours: &Rtp, types: &[(u8, units::Codec)], event: Option<u8>, crypto_tag: u32) -> Media {
    let fmt =
        types.iter().map(|(pt, _)| *pt).chain(event).map(|pt| pt.to_string()).collect::<Vec<_>>().join(" ");
    let proto = if ours.srtp.is_some() { "RTP/SAVP" } else { "RTP/AVP" };
    let mut attributes: Vec<Attribute> =
        types.iter().map(|(pt, c)| value("rtpmap", format!("{pt} {}/8000", c.name()))).collect();
    if let Some(pt) = event {
        attributes.push(value("rtpmap", format!("{pt} telephone-event/8000")));
        attributes.push(value("fmtp", format!("{pt} 0-15")));
    }
    attributes.push(value("ptime", ours.ptime_ms.to_string()));
    match ours.rtcp {
        Some(rtcp) if rtcp == ours.addr => attributes.push(flag("rtcp-mux")),
        Some(rtcp) => attributes.push(value("rtcp", format!("{} {}", rtcp.port(), in_address(rtcp.ip())))),
        None => {}
    }
    if let Some(srtp) = &ours.srtp {
        let key = base64::engine::general_purpose::STANDARD.encode(srtp.key_salt);
        let suite = format!("{crypto_tag} AES_CM_128_HMAC_SHA1_{} inline:{key}", srtp.tag_bits);
        attributes.push(value("crypto", suite));
    }
    attributes.push(flag(match (ours.sends, ours.receives) {
        (true, true) => "sendrecv",
        (true, false) => "sendonly",
        (false, true) => "recvonly",
        (false, false) => "inactive",
    }));
    line("audio", ours.addr.port(), proto, fmt, attributes)
}

/// RFC 3264 §6: a refused stream keeps its place and has port 0.
fn refused(l: &super::Line) -> Media {
    line(&l.media, 0, &l.proto, l.fmt.clone(), Vec::new())
}

pub(super) fn line(media: &str, port: u16, proto: &str, fmt: String, attributes: Vec<Attribute>) -> Media {
    Media {
        media: media.to_owned(),
        port,
        num_ports: None,
        proto: proto.to_owned(),
        fmt,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes,
    }
}

fn in_address(ip: std::net::IpAddr) -> String {
    let kind = match AddrType::from(ip) {
        AddrType::Ip6 => "IP6",
        _ => "IP4",
    };
    format!("{} {kind} {ip}", NetType::In)
}

fn flag(name: &str) -> Attribute {
    Attribute { attribute: name.to_owned(), value: None }
}

pub(super) fn value(name: &str, value: String) -> Attribute {
    Attribute { attribute: name.to_owned(), value: Some(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::Srtp;
    use units::Codec;

    fn ours() -> Rtp {
        Rtp {
            addr: "192.0.2.9:6000".parse().expect("address"),
            rtcp: None,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            telephone_event: Some(101),
            sends: true,
            receives: true,
            srtp: None,
            ptime_ms: 20,
        }
    }

    #[test]
    fn an_offer_reads_back_as_it_was_meant() {
        for addr in ["192.0.2.9:6000", "[2001:db8::1]:6000"] {
            let mut rtp = Rtp {
                addr: addr.parse().expect("address"),
                srtp: Some(Srtp { optional: false, tag_bits: 80, key_salt: [7; 30] }),
                ..ours()
            };
            rtp.rtcp = Some(rtp.addr);
            let bytes = Local::new(2).offer(&rtp, None);
            assert_eq!(Description::parse(&bytes).map(|d| d.rtp), Ok(rtp));
        }
    }

    #[test]
    fn rfc3264_6_an_answer_mirrors_lines_and_picks_one_codec() {
        let offer = Description::parse(
            b"v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=video 9 RTP/AVP 96\r\n\
              m=audio 4000 RTP/AVP 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=sendonly\r\n",
        )
        .expect("audio");
        let (bytes, agreed) = Local::new(2).answer(&ours(), &offer).expect("agreed");
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.contains("m=video 0 RTP/AVP 96\r\nm=audio 6000 RTP/AVP 8 96\r\n"), "{text}");
        assert!(text.contains("a=recvonly"), "{text}");
        assert_eq!((agreed.codecs, agreed.telephone_event), (vec![Codec::Pcma], Some(96)));
    }

    #[test]
    fn rfc3264_8_the_version_grows() {
        let mut local = Local::new(2);
        let (one, two) = (local.offer(&ours(), None), local.offer(&ours(), None));
        assert!(String::from_utf8_lossy(&one).contains("o=- 1 1 IN"));
        assert!(String::from_utf8_lossy(&two).contains("o=- 1 2 IN"));
    }
}
