//! The control channel of a media resource beside the voice stream (RFC 6787 §4.2): the m-line that we offer for a speech
//! engine, and the one that the engine answers with.
//!
//! We connect to the engine (`a=setup:active`), never the reverse, by a connection of its own.

use super::OCTETS_MAX;
use super::write::{line, value};
use sdp_types::Media;
use std::net::{IpAddr, SocketAddr};

/// What is asked of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `speechrecog`, `speechsynth` ... (RFC 6787 §3.1).
    pub resource: &'static str,
    /// The channel goes by TLS (`TCP/TLS/MRCPv2`).
    pub secure: bool,
}

/// What an engine has opened for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Names the channel in every message (`32AECB234338@speechsynth`).
    pub identifier: String,
    /// Where it waits for our connection.
    pub addr: SocketAddr,
}

/// Octets of the longest identifier that is taken.
const IDENTIFIER_MAX: usize = 256;

impl Control {
    fn proto(&self) -> &'static str {
        if self.secure { "TCP/TLS/MRCPv2" } else { "TCP/MRCPv2" }
    }

    /// The m-line of an offer; the audio line of the same offer gets [`mid`].
    pub(super) fn offer(&self) -> Media {
        let attributes = vec![
            value("setup", "active".into()),
            value("connection", "new".into()),
            value("resource", self.resource.into()),
            value("cmid", MID.into()),
        ];
        // RFC 4145 §4.1: who is active names port 9.
        line("application", 9, self.proto(), "1".into(), attributes)
    }

    /// Finds the channel in an answer. White space is not counted on: the RFC's own examples have too much of it.
    #[must_use]
    pub fn answered(&self, sdp: &[u8]) -> Option<Channel> {
        let text = std::str::from_utf8(sdp.get(..sdp.len().min(OCTETS_MAX))?).ok()?;
        let (mut session_ip, mut found, mut inside) = (None, Found::default(), Inside::Session);
        for line in text.lines().map(str::trim_end) {
            match (line.split_once('='), inside) {
                (Some(("m", media)), _) => {
                    if found.port.is_some() && found.identifier.is_some() {
                        break;
                    }
                    found = Found::default();
                    inside = Inside::Other;
                    let words: Vec<&str> = media.split_whitespace().collect();
                    if let ["application", port, proto, ..] = words[..]
                        && proto == self.proto()
                    {
                        // RFC 3264 §6: port 0 refuses it.
                        found.port = port.parse().ok().filter(|&p: &u16| p != 0);
                        inside = Inside::Control;
                    }
                }
                (Some(("c", connection)), Inside::Session) => session_ip = address(connection),
                (Some(("c", connection)), Inside::Control) => found.ip = address(connection),
                (Some(("a", attribute)), Inside::Control) => {
                    if let Some(identifier) = attribute.strip_prefix("channel:") {
                        found.identifier = self.identifier(identifier.trim());
                    }
                }
                _ => {}
            }
        }
        let addr = SocketAddr::new(found.ip.or(session_ip)?, found.port?);
        Some(Channel { identifier: found.identifier?, addr })
    }

    /// RFC 6787 §4.2: who, and after the at sign the resource that was asked for.
    fn identifier(&self, text: &str) -> Option<String> {
        let (who, resource) = text.split_once('@')?;
        let fine = !who.is_empty()
            && text.len() <= IDENTIFIER_MAX
            && text.chars().all(|c| c.is_ascii_graphic())
            && resource == self.resource;
        fine.then(|| text.to_owned())
    }
}

/// The name that ties the audio line to the channel.
const MID: &str = "1";

/// What the audio line says of itself.
pub(super) fn mid(audio: &mut Media) {
    audio.attributes.push(value("mid", MID.into()));
}

#[derive(Default)]
struct Found {
    port: Option<u16>,
    ip: Option<IpAddr>,
    identifier: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Session,
    Control,
    Other,
}

fn address(connection: &str) -> Option<IpAddr> {
    connection.split_whitespace().nth(2)?.parse::<IpAddr>().ok().filter(|ip| !ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::Rtp;
    use crate::sdp::{Description, Local};
    use units::Codec;

    const SYNTH: Control = Control { resource: "speechsynth", secure: false };
    const RECOG: Control = Control { resource: "speechrecog", secure: false };

    /// The answer of RFC 6787 §4.2, example 1, and lines that may follow.
    fn answer(port: u16, more: &str) -> String {
        format!(
            "v=0\r\no=- 2890842808 2890842808 IN IP4 192.0.2.11\r\ns=-\r\nc=IN IP4 192.0.2.11\r\nt=0 0\r\n\
             m=application {port} TCP/MRCPv2 1 \r\na=setup:passive\r\na=connection:new\r\n\
             a=channel:32AECB234338@speechsynth \r\na=cmid:1\r\nm=audio 48260 RTP/AVP 0\r\na=rtpmap:0 pcmu/8000\r\n\
             a=sendonly\r\na=mid:1\r\n{more}"
        )
    }

    #[test]
    fn rfc6787_4_2_the_offer_has_every_line_of_the_example() {
        let rtp = Rtp {
            addr: "192.0.2.12:49170".parse().expect("address"),
            rtcp: None,
            codecs: vec![Codec::Pcmu],
            telephone_event: None,
            sends: false,
            receives: true,
            srtp: None,
            ptime_ms: 20,
        };
        let text = String::from_utf8(Local::new(2).offer(&rtp, Some(&SYNTH))).expect("text");
        let mut at = 0;
        for line in [
            "c=IN IP4 192.0.2.12",
            "m=application 9 TCP/MRCPv2 1",
            "a=setup:active",
            "a=connection:new",
            "a=resource:speechsynth",
            "a=cmid:1",
            "m=audio 49170 RTP/AVP 0",
            "a=rtpmap:0 PCMU/8000",
            "a=recvonly",
            "a=mid:1",
        ] {
            let found = text[at..].find(&format!("{line}\r\n"));
            at += found.unwrap_or_else(|| panic!("{line} in its place:\n{text}"));
        }
        let secure = Control { secure: true, ..SYNTH };
        let text = String::from_utf8(Local::new(2).offer(&rtp, Some(&secure))).expect("text");
        assert!(text.contains("m=application 9 TCP/TLS/MRCPv2 1\r\n"), "{text}");
    }

    #[test]
    fn rfc6787_4_2_the_answer_names_channel_and_port_beside_the_audio() {
        let text = answer(32_416, "");
        let want = Channel {
            identifier: "32AECB234338@speechsynth".into(),
            addr: "192.0.2.11:32416".parse().expect("address"),
        };
        assert_eq!(SYNTH.answered(text.as_bytes()), Some(want));
        let audio = Description::parse(text.as_bytes()).expect("audio").rtp;
        assert_eq!((audio.addr.port(), audio.codecs), (48_260, vec![Codec::Pcmu]));
    }

    #[test]
    fn rfc6787_4_2_each_resource_has_its_own_line() {
        let two = "m=application 32417 TCP/MRCPv2 1\r\nc=IN IP4 192.0.2.99\r\na=channel:32AECB234338@speechrecog\r\na=cmid:1\r\n";
        let text = answer(32_416, two);
        let found = RECOG.answered(text.as_bytes()).expect("the second");
        assert_eq!(found.addr, "192.0.2.99:32417".parse().expect("address"));
        assert_eq!(SYNTH.answered(text.as_bytes()).map(|c| c.addr.port()), Some(32_416));
    }

    #[test]
    fn what_opens_no_channel_is_none() {
        assert_eq!(SYNTH.answered(answer(0, "").as_bytes()), None, "RFC 3264 §6: refused");
        assert_eq!(RECOG.answered(answer(1, "").as_bytes()), None, "another resource");
        let secure = Control { secure: true, ..SYNTH };
        assert_eq!(secure.answered(answer(1, "").as_bytes()), None, "a downgrade");
        assert_eq!(SYNTH.answered(b"\xff\xfe"), None);
        let long = format!("m=application 5 TCP/MRCPv2 1\r\na=channel:{}@speechsynth\r\n", "x".repeat(300));
        assert_eq!(SYNTH.answered(format!("c=IN IP4 192.0.2.1\r\n{long}").as_bytes()), None);
        assert_eq!(SYNTH.answered(b"m=application 5 TCP/MRCPv2 1\r\na=channel:1@speechsynth\r\n"), None);
    }
}
