//! Seeded smoke fuzz of everything that reads octets from outside. Goal: no panic, and what is read back is what the reader says.
//! Method: mutations of valid inputs (`support::fuzz`); long runs by `CARILLON_FUZZ_TURNS`.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "the corpora are files")]

#[expect(unreachable_pub, reason = "the coverage-guided targets of another crate include it, too")]
mod orders;

use support::fuzz::fuzz;
use support::repo::corpora;

fn files(part: &str, ext: &str) -> Option<Vec<Vec<u8>>> {
    let dir = corpora(part)?;
    let mut names: Vec<_> = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).collect();
    names.retain(|p| p.extension().is_some_and(|e| e == ext));
    names.sort();
    Some(names.iter().filter_map(|p| std::fs::read(p).ok()).filter(|b| b.len() < 20_000).collect())
}

#[test]
fn sip_messages() {
    let Some(corpus) = files("corpora/sip-torture/rfc4475", "dat") else { return };
    let words = ["\r\n", "SIP/2.0", ";tag=", "sip:", "<", "Via: ", "Content-Length: 9", "\"", "%00", "[::1]"];
    let limits = signalling::sip::wire::Limits::default();
    fuzz("sip", &corpus, &words, |b| {
        if let Ok(m) = signalling::sip::wire::Message::parse(b, &limits) {
            let _ = signalling::sip::wire::Core::read(&m);
        }
    });
}

/// The same octets in pieces of any size hold the same messages as in one, and never more octets than came.
#[test]
fn sip_streams() {
    use signalling::sip::wire::frame::{Cut, Framer};
    let Some(corpus) = files("corpora/sip-torture/rfc4475", "dat") else { return };
    let words = ["\r\n\r\n", "Content-Length: 0\r\n", "l: 99999999999", "SIP/2.0 999 x\r\n", "\r\n"];
    let limits = signalling::sip::wire::Limits::default();
    let messages = |octets: &[u8], piece: usize| {
        let (mut framer, mut cut) = (Framer::default(), Vec::new());
        for part in octets.chunks(piece) {
            framer.push(part);
            loop {
                match framer.next(&limits) {
                    Cut::Message(n) => {
                        cut.push(framer.bytes()[..n].to_vec());
                        framer.consume(n);
                    }
                    Cut::Ping => {}
                    Cut::More => break,
                    Cut::Last(_) | Cut::Broken => return cut,
                }
            }
        }
        cut
    };
    fuzz("sip streams", &corpus, &words, |b| {
        let whole = messages(b, b.len().max(1));
        assert!(whole.iter().map(Vec::len).sum::<usize>() <= b.len());
        assert_eq!(messages(b, 7), whole);
    });
}

#[test]
fn session_descriptions() {
    use signalling::leg::Rtp;
    use signalling::sdp::{Description, Local, agree};
    let ours = Rtp {
        addr: std::net::SocketAddr::from(([192, 0, 2, 1], 4_000)),
        rtcp: None,
        codecs: vec![units::Codec::Pcmu, units::Codec::Pcma],
        telephone_event: Some(101),
        sends: true,
        receives: true,
        srtp: None,
        ptime_ms: 20,
    };
    let offer = Local::new(1).offer(&ours, None);
    let engine = signalling::sdp::Control { resource: "speechrecog", secure: false };
    let answer = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
        m=application 32416 TCP/MRCPv2 1\r\na=setup:passive\r\na=channel:32AECB234338@speechrecog\r\na=cmid:1\r\n\
        m=audio 48260 RTP/AVP 0\r\na=mid:1\r\n";
    let secure = b"v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\nm=audio 9 RTP/SAVP 8 96\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n\
        a=rtpmap:96 telephone-event/8000\r\na=ptime:20\r\na=sendonly\r\nm=video 0 RTP/AVP 97\r\n";
    let words =
        ["m=audio 0 ", "a=rtcp:", "RTP/SAVP", "a=inactive\r\n", "IN IP4 0.0.0.0", "0-15", "65536", "\r\n"];
    fuzz("sdp", &[offer, secure.to_vec(), answer.to_vec()], &words, |b| {
        if let Some(channel) = engine.answered(b) {
            assert!(channel.identifier.ends_with("@speechrecog") && channel.addr.port() != 0);
        }
        if let Ok(description) = Description::parse(b) {
            let _ = agree(&ours, &description.rtp);
        }
    });
}

/// A speech engine's octets: whole messages through a channel that has asked something. Whatever comes, each request
/// ends at most once, and what was read is read again from what is written of it.
#[test]
fn mrcp_channels() {
    use speech::mrcp::channel::{Ask, Channel, Told};
    use speech::mrcp::wire::{Message, Start, State};
    let field = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let own = || field("Channel-Identifier", "1@speechrecog");
    let message = |start, more: Vec<(String, String)>, body: &str| {
        let fields = std::iter::once(own()).chain(more).collect();
        Message { start, fields, body: body.as_bytes().to_vec() }.write()
    };
    let nlsml = "<result><interpretation confidence=\"0.5\"><input>yes</input></interpretation></result>";
    let event = |name: &str, state| Start::Event { name: name.into(), id: 1, state };
    let fields =
        vec![field("Completion-Cause", "000 success"), field("Content-Type", "application/nlsml+xml")];
    let whole = [
        message(Start::Response { id: 1, status: 200, state: State::InProgress }, vec![], ""),
        message(event("START-OF-INPUT", State::InProgress), vec![], ""),
        message(event("RECOGNITION-COMPLETE", State::Complete), fields, nlsml),
    ];
    let words = [
        "MRCP/2.0 ",
        " COMPLETE\r\n",
        "Content-Length:",
        "\r\n\r\n",
        " 200 ",
        "Completion-Cause:",
        "4294967296",
    ];
    let corpus = [whole[0].clone(), whole[2].clone(), whole.concat()];
    fuzz("mrcp", &corpus, &words, |b| {
        let mut channel = Channel::new("1@speechrecog".into(), 1);
        let grammars = vec!["g@form-level.store".to_owned()];
        let recognize = Ask::Recognize { grammars, fields: Vec::new(), start_timers: true };
        channel.ask(units::Now::default(), recognize).expect("the first");
        for part in b.chunks(61) {
            channel.receive(part);
        }
        let told: Vec<Told> = std::iter::from_fn(|| channel.poll()).collect();
        let ends = told.iter().filter(|t| matches!(t, Told::Failed { .. } | Told::Done { .. })).count();
        assert!(ends <= 1, "{told:?}");
        if let Ok(Some((message, taken))) = Message::read(b) {
            assert!(taken <= b.len());
            let again = message.write();
            assert_eq!(Message::read(&again).ok().flatten().map(|(m, _)| m.start), Some(message.start));
        }
    });
}

#[test]
fn results_of_recognisers_and_lexicons() {
    use speech::mrcp::result::{READINGS_MAX, read};
    let nlsml = "<?xml version=\"1.0\"?><result xmlns=\"urn:ietf:params:xml:ns:mrcpv2\" grammar=\"session:a@b.store\">\
        <interpretation confidence=\"0.9\"><instance><a><b>c</b></a></instance><input mode=\"speech\">yes</input>\
        </interpretation><interpretation><instance/><input><nomatch/></input></interpretation></result>";
    let emma = "<emma:emma version=\"1.0\" xmlns:emma=\"http://www.w3.org/2003/04/emma\"><emma:one-of id=\"r\">\
        <emma:interpretation id=\"i\" emma:confidence=\"0.75\" emma:tokens=\"to boston\"><city>Boston</city>\
        </emma:interpretation></emma:one-of></emma:emma>";
    let words = [
        "<interpretation>",
        "</interpretation>",
        "<nomatch/>",
        "emma:confidence=\"nan\"",
        "&amp;",
        "<![CDATA[",
    ];
    for (kind, text) in [("application/nlsml+xml", nlsml), ("application/emma+xml", emma)] {
        fuzz(kind, &[text.as_bytes().to_vec()], &words, |b| {
            let readings = read(kind, b);
            assert!(readings.len() <= READINGS_MAX);
            assert!(readings.iter().all(|r| (0.0..=1.0).contains(&r.confidence)));
        });
    }
    let lexicon = "<lexicon alphabet=\"ipa\"><lexeme><grapheme>New York</grapheme><phoneme>a</phoneme></lexeme>\
        <lexeme><grapheme>b</grapheme><alias>c d</alias></lexeme></lexicon>";
    let words = ["<lexeme>", "</lexeme>", "<grapheme>", "</grapheme>", "<alias>x</alias>", "alphabet="];
    fuzz("pls", &[lexicon.as_bytes().to_vec()], &words, |b| {
        let pieces = speech::pls::Lexicon::read(b).pieces("to New York, b and b New");
        assert!(!pieces.is_empty());
        for phoneme in pieces.iter().filter_map(|p| p.phoneme.as_ref()) {
            let _ = (speech::phones::espeak(phoneme), speech::phones::flite(phoneme));
        }
    });
}

#[test]
fn rtp_and_events() {
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7];
    packet.extend_from_slice(&[0xff; 160]);
    let event = vec![0x80, 101, 0, 1, 0, 0, 0, 160, 0, 0, 0, 7, 5, 0x8a, 1, 0x40];
    fuzz("rtp", &[packet, event], &[], |b| {
        if let Ok(p) = dataplane::rtp::parse(b) {
            assert!(p.payload.len() <= b.len());
            let _ = dataplane::event::parse(p.payload);
        }
    });
}

#[test]
fn voicexml_documents() {
    let Some(corpus) = files("conformance/vxml20/vxml", "vxml") else { return };
    let words =
        ["<form>", "</form>", "<!DOCTYPE x [", "<!ENTITY a \"b\">", "&amp;", "<![CDATA[", "xmlns=", "<?xml "];
    let (url, limits) = (url(), vxml::Limits::default());
    fuzz("vxml", &corpus, &words, |b| {
        for lenient in [false, true] {
            let (document, problems) = vxml::document::parse(&url, b, lenient, &limits);
            assert!(document.is_some() || !problems.is_empty(), "refused without a word");
        }
    });
}

fn url() -> url::Url {
    url::Url::parse("http://example.com/a.vxml").expect("a URL")
}

#[test]
fn smtp_sessions() {
    let good = b"EHLO a\r\nMAIL FROM:<ops@acme.example> SIZE=100 BODY=8BITMIME\r\nRCPT TO:<call+acme@d.example>\r\nDATA\r\n\
        From: a@b.example\r\n\r\n..dot\r\n.\r\nRSET\r\nNOOP\r\nVRFY x\r\nQUIT\r\n";
    let chunks = b"LHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<status+acme@d.example>\r\nBDAT 5\r\nabcdeBDAT 3 LAST\r\nf\r\nAUTH PLAIN AGFjbWUAeA==\r\nAUTH LOGIN\r\n\
        STARTTLS\r\nHELP\r\n";
    let words = [
        "\r\n.\r\n",
        "\n.\n",
        "\r",
        "\n",
        "BDAT 9999999999\r\n",
        "DATA\r\n",
        "SMTPUTF8",
        "<",
        ">",
        "MAIL FROM:<x@y.z>\r\n",
    ];
    fuzz("smtp", &[good.to_vec(), chunks.to_vec()], &words, orders::smtp);
}

#[test]
fn mails() {
    let mail = b"From: ops@acme.example\r\nTo: call+acme@dispatch.example\r\nMessage-ID: <1@acme.example>\r\n\
        Date: Mon, 02 Mar 2026 15:00:00 +0000\r\nSubject: x\r\nCall-To: tel:+15551234567\r\n\
        Call-Application: https://a.example/x.vxml\r\nCall-Purpose: survey\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/json\r\nContent-ID: <p>\r\n\r\n{}\r\n--b--\r\n";
    let words = [
        "\r\n",
        "--b",
        "From: x@y\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "=?utf-8?B?",
        "\n",
        "\r",
        "Content-ID: <p>\r\n",
        "Content-Type: message/rfc822\r\n\r\n",
    ];
    fuzz("mail", &[mail.to_vec()], &words, orders::mail);
}

#[test]
fn every_body_form() {
    let json = br#"{"to":["+15551234567",{"to":"sip:a@b","params":{"x":"y"}}],"application":"https://a.example/x.vxml","purpose":"survey","at":"+5m",
        "params":{"a":"b"},"result_to":["mailto:a@b.example"],"priority":3,"expires":"2027-11-22T18:00:00Z","repeat":"FREQ=DAILY;COUNT=2"}"#;
    let yaml = b"to:\n  - +15551234567\n  - to: sip:a@b\napplication: \"https://a.example/x.vxml\"\npurpose: survey\nparams: {a: b, c: 'd'}\nmessage: |\n  two\n  lines\n";
    let xml = b"<?xml version=\"1.0\"?><call><to>+15551234567</to><to>+15551234568</to><application>https://a.example/x.vxml</application>\
        <purpose>survey</purpose><params><a>b</a></params><message><![CDATA[x & y]]></message></call>";
    let block = b"To: +15551234567\nApplication: app:x\nPurpose: debt\nParam-Name: Ann\nPriority: 3\n\nHello there.\n";
    let corpus = [json.to_vec(), yaml.to_vec(), xml.to_vec(), block.to_vec()];
    let words = [
        "{",
        "}",
        "\"to\":",
        "[",
        "null",
        "1e999",
        "\\u0000",
        "- ",
        ": ",
        "&a ",
        "*a",
        "!!",
        "<to>",
        "</to>",
        "&lt;",
        "<!DOCTYPE x [",
        "local 09:00",
        "\n",
    ];
    fuzz("forms", &corpus, &words, orders::forms);
}

#[test]
fn lists_of_contacts() {
    let csv = b"to,tz,lang,not_before,param.name\r\n+15551234567,Europe/Berlin,de,,\"Ann \"\"A\"\" Lee\"\r\n+15551234568,,,,\"two\nlines\"\n";
    let jsonl = b"{\"to\":\"+15551234567\",\"tz\":\"UTC\"}\n\n{\"to\":\"+15551234568\",\"params\":{\"a\":1}}";
    let words = ["\"", "\r\n", "\n", ",", "\"\"", "{", "}", "to,to\n", "\u{feff}"];
    fuzz("rows", &[csv.to_vec(), jsonl.to_vec()], &words, orders::rows);
}

#[test]
fn signature_headers() {
    let http = b"sig1=(\"@method\" \"@target-uri\" \"date\");created=1800000000;keyid=\"acme/robot\";alg=\"ed25519\"\n\
        sig1=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:\nZGVhZA==\n";
    let own = b"keyid=\"robot\"; alg=\"ed25519\"; sig=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:\n\
        eyJ2IjoxLCJ0ZW5hbnQiOiJhY21lIn0=\nx\n";
    let digest = b"sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, md5=:AAAA:\nx\nx\n";
    let words = ["=:", ":", ";created=", "\"", "(", ")", "sig1=", "\n", ", ", "expires=9999999999"];
    fuzz("signatures", &[http.to_vec(), own.to_vec(), digest.to_vec()], &words, orders::signatures);
}

#[test]
fn audio_files() {
    let wav = bench::farend::mulaw::wav(&[0x55; 400]);
    let limits = hw::audio::Limits::default();
    fuzz("wav", &[wav], &["RIFF", "data", "fmt ", "\x7f\x7f\x7f\x7f"], |b| {
        let _ = hw::audio::wav::Wav::parse(b, &limits);
    });
}

#[test]
fn configurations_and_scenarios() {
    let config = b"[node]\nname = \"a\"\n[[tenants]]\nname = \"x\"\nid = 1\n[[trunks]]\nname = \"t\"\naddress = \"127.0.0.1:5060\"\nprefixes = [\"+\"]\n";
    fuzz("config", &[config.to_vec()], &["[", "]", "= \"30s\"", "= 80", "\n"], |b| {
        if let Ok(text) = std::str::from_utf8(b) {
            let _ = control::config::parse("fuzz", text);
        }
    });
    let scenario = b"network loss 2%\nperson a share 3\n ring 1s..2s\n answer\n press 12#\n hangup\n";
    fuzz("scenario", &[scenario.to_vec()], &["person", "..", "%", "s", "#"], |b| {
        if let Ok(text) = std::str::from_utf8(b) {
            let _ = bench::farend::Scenario::parse(text, &|_| None);
        }
    });
}

#[test]
fn isdn_frames_messages_and_tdm_packets() {
    use hw::tdm::oe::{PACKET_MAX, Packet, Port};
    use signalling::isdn::q921::{Frame, Side};
    use signalling::isdn::q931::{Message, ie};
    let setup = b"\x02\x01\x00\x00\x08\x02\x00\x01\x05\xa1\x04\x03\x80\x90\xa3\x18\x03\xa9\x83\x81\x1e\x02\x80\x83\x28\x02\xb1A\x6c\x04\x21\x8155\x70\x03\x8155\x74\x05\x21\x81\x8f55";
    let release = b"\x00\x01\x02\x04\x08\x02\x80\x01\x4d\x08\x02\x80\x90";
    fuzz("isdn", &[setup.to_vec(), release.to_vec()], &["\u{5}", "\u{0}"], |b| {
        for from in [Side::Network, Side::User] {
            if let Ok(frame) = Frame::parse(b, from) {
                assert_eq!(frame.write(from), b, "a frame is written as it was read");
                let Ok(message) = Message::parse(frame.info()) else { continue };
                let again = Message::parse(&message.write()).expect("our own");
                assert_eq!(again.ies.len(), message.ies.len());
                for e in &message.ies {
                    let _ = signalling::isdn::q931::facility::Component::read(&e.body);
                    drop((ie::ChannelId::read(&e.body), ie::Number::read(&e.body), ie::read_cause(&e.body)));
                    drop((
                        ie::read_bearer(&e.body, ie::Law::A),
                        ie::read_restart(&e.body),
                        ie::read_display(&e.body),
                    ));
                }
            }
        }
    });
    fuzz("hdlc", &[b"\x7e\x02\x01\x00\x00\x7e".to_vec()], &["~"], |b| {
        let mut decoder = hw::tdm::hdlc::Decoder::new();
        decoder.feed(b, &mut |frame| assert!(frame.is_err() || frame.is_ok_and(|f| f.len() <= 272)));
    });
    let mut packet = [0; PACKET_MAX];
    let mut port = Port::new(hw::card::SpanKind::T1, 0, &[24], hw::tdm::oe::Buffer::WIRE);
    let len = port.send(&[0x55; 192], &mut packet);
    fuzz("tdmoe", &[packet[..len].to_vec()], &[], |b| {
        if let Some(packet) = Packet::parse(b) {
            port.receive(&packet);
            port.hear(&mut [0; 192]);
            while port.poll().is_some() || port.receive_frame(24, &mut [0; 272]).is_some() {}
        }
    });
}
