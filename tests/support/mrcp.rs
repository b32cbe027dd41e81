//! A speech engine for tests that speaks MRCPv2 (RFC 6787): SIP by UDP, a control channel by TCP or TLS, RTP. Its messages
//! are put together here by hand, as the RFC prints them, and not by the code under test. It hears energy and answers the
//! words it was given; with a fault it misbehaves as told.

use hw::dsp::g711::mu_to_linear;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How it misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not at all.
    None,
    /// It refuses calls.
    Busy,
    /// It never answers RECOGNIZE.
    Late,
    /// It tells everything twice.
    Twice,
    /// Its result is no MRCP.
    Nonsense,
    /// It hangs up on the control channel when somebody speaks.
    Dies,
}

/// Certificate and key, PEM files.
pub type Papers = (String, String);

/// A running engine. It ends with the test.
pub struct Engine {
    sip: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    pub packets: Arc<AtomicU32>,
}

#[derive(Clone)]
struct Parts {
    fault: Fault,
    words: &'static str,
    tls: Option<Arc<rustls::ServerConfig>>,
    seen: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    packets: Arc<AtomicU32>,
}

/// Packets of 20 ms that end an utterance.
const SILENT: u32 = 30;
/// Packets in a row that begin one.
const VOICED: u32 = 3;
/// Mean of a packet's samples above which somebody speaks.
const LOUD: u32 = 300;

impl Engine {
    /// Starts it on a free port of loopback.
    pub fn start(fault: Fault, words: &'static str, papers: Option<&Papers>) -> Engine {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let sip = socket.local_addr().expect("bound");
        let (seen, over, packets) = (Arc::default(), Arc::default(), Arc::default());
        let tls = papers.map(|papers| Arc::new(config(papers)));
        let parts = Parts {
            fault,
            words,
            tls,
            seen: Arc::clone(&seen),
            over: Arc::clone(&over),
            packets: Arc::clone(&packets),
        };
        thread::spawn(move || signalling(&socket, &parts));
        Engine { sip, seen, over, packets }
    }

    /// `host:port` of its SIP.
    pub fn address(&self) -> String {
        self.sip.to_string()
    }

    /// What it was asked, start lines and fields and bodies, one text a message.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn config((certificate, key): &Papers) -> rustls::ServerConfig {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).expect("a PEM file").collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.expect("certificates"), key)
        .expect("a pair")
}

impl Parts {
    fn note(&self, text: impl Into<String>) {
        self.seen.lock().expect("no panic").push(text.into());
    }
}

/// The value of a header field of SIP, whose lines end as they should.
fn field<'m>(message: &'m str, name: &str) -> &'m str {
    let found = message.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    });
    found.unwrap_or_default()
}

fn signalling(socket: &UdpSocket, parts: &Parts) {
    let mut buffer = [0; 8_192];
    let mut answers: Vec<(String, String)> = Vec::new();
    while !parts.over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let method = text.split(' ').next().unwrap_or_default().to_owned();
        let via = field(&text, "Via").to_owned();
        if method == "ACK" || method == "SIP/2.0" {
            continue;
        }
        if let Some((_, answer)) = answers.iter().find(|(known, _)| *known == via) {
            socket.send_to(answer.as_bytes(), from).expect("loopback takes it");
            continue;
        }
        if method != "OPTIONS" {
            parts.note(text.clone());
        }
        let (status, body) = match method.as_str() {
            "INVITE" if parts.fault == Fault::Busy => ("486 Busy Here", String::new()),
            "INVITE" => ("200 OK", session(&text, parts)),
            _ => ("200 OK", String::new()),
        };
        let to = field(&text, "To");
        let tag = if to.contains("tag=") { "" } else { ";tag=engine" };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let (call_id, cseq, who) = (field(&text, "Call-ID"), field(&text, "CSeq"), field(&text, "From"));
        let own = socket.local_addr().expect("bound");
        let answer = format!(
            "SIP/2.0 {status}\r\nVia: {via}\r\nFrom: {who}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
             Contact: <sip:mresources@{own}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.send_to(answer.as_bytes(), from).expect("loopback takes it");
        answers.push((via, answer));
    }
}

/// Opens what the offer asks for; the answer's description.
fn session(invite: &str, parts: &Parts) -> String {
    let line = |start: &str| {
        invite.lines().find_map(|l| l.strip_prefix(start)).unwrap_or_default().trim().to_owned()
    };
    let resource = line("a=resource:");
    let proto = if parts.tls.is_some() { "TCP/TLS/MRCPv2" } else { "TCP/MRCPv2" };
    assert_eq!(line("m=application "), format!("9 {proto} 1"), "RFC 6787 §4.2: {invite}");
    assert_eq!((line("a=setup:"), line("a=connection:")), ("active".to_owned(), "new".to_owned()));
    let port: u16 = line("m=audio ").split(' ').next().and_then(|p| p.parse().ok()).expect("an audio line");
    let far = SocketAddr::new(line("c=IN IP4 ").parse().expect("an address"), port);
    let control = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let sound = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    sound.set_nonblocking(true).expect("a socket");
    let (control_port, sound_port) =
        (control.local_addr().expect("bound").port(), sound.local_addr().expect("bound").port());
    let identifier = format!("32AECB23{control_port}@{resource}");
    let direction = if resource == "speechsynth" { "sendonly" } else { "recvonly" };
    let parts = parts.clone();
    let name = identifier.clone();
    thread::spawn(move || {
        let Ok((stream, _)) = control.accept() else { return };
        stream.set_read_timeout(Some(Duration::from_millis(5))).expect("a timeout");
        let mut stream: Box<dyn Stream> = match &parts.tls {
            Some(tls) => {
                let server = rustls::ServerConnection::new(Arc::clone(tls)).expect("sound");
                Box::new(rustls::StreamOwned::new(server, stream))
            }
            None => Box::new(stream),
        };
        Talk { parts, name, sound, far, working: None, loud: 0, quiet: 0, spoken: false }.run(&mut stream);
    });
    format!(
        "v=0\r\no=- 2890842808 2890842808 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=application {control_port} {proto} 1\r\na=setup:passive\r\na=connection:new\r\na=channel:{identifier}\r\n\
         a=cmid:1\r\nm=audio {sound_port} RTP/AVP 0\r\na=rtpmap:0 pcmu/8000\r\na={direction}\r\na=mid:1\r\n"
    )
}

trait Stream: Read + Write {}
impl Stream for TcpStream {}
impl Stream for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {}

/// One session's channel and sound.
struct Talk {
    parts: Parts,
    name: String,
    sound: UdpSocket,
    far: SocketAddr,
    /// The RECOGNIZE in progress.
    working: Option<String>,
    loud: u32,
    quiet: u32,
    spoken: bool,
}

impl Talk {
    fn run(mut self, stream: &mut Box<dyn Stream>) {
        let (mut input, mut buffer) = (Vec::new(), [0; 4_096]);
        while !self.parts.over.load(Ordering::Relaxed) {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => input.extend_from_slice(&buffer[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            while let Some(message) = whole(&mut input) {
                self.parts.note(message.clone());
                self.asked(stream, &message);
            }
            if !self.listen(stream) {
                return;
            }
        }
    }

    fn asked(&mut self, stream: &mut Box<dyn Stream>, message: &str) {
        let words: Vec<&str> = message.lines().next().unwrap_or_default().split(' ').collect();
        let [_, _, method, id] = words[..] else { panic!("no request: {message}") };
        assert_eq!(field(message, "Channel-Identifier"), self.name, "RFC 6787 §6.2.1");
        match method {
            "RECOGNIZE" if self.parts.fault == Fault::Late => {}
            "RECOGNIZE" => {
                (self.working, self.loud, self.quiet, self.spoken) = (Some(id.to_owned()), 0, 0, false);
                self.say(stream, &format!("{id} 200 IN-PROGRESS"), "", "");
            }
            "DEFINE-GRAMMAR" => {
                self.say(stream, &format!("{id} 200 COMPLETE"), "Completion-Cause:000 success\r\n", "");
            }
            "SPEAK" => {
                self.say(
                    stream,
                    &format!("{id} 200 IN-PROGRESS"),
                    "Speech-Marker:timestamp=857206027059\r\n",
                    "",
                );
                self.speak();
                self.say(
                    stream,
                    &format!("SPEAK-COMPLETE {id} COMPLETE"),
                    "Completion-Cause:000 normal\r\n",
                    "",
                );
            }
            _ => {
                self.working = None;
                self.say(stream, &format!("{id} 200 COMPLETE"), "", "");
            }
        }
    }

    /// Four seconds of a tone, in real time.
    fn speak(&self) {
        let begun = Instant::now();
        for n in 0..200_u16 {
            let mut packet = vec![0x80, 0];
            packet.extend(n.to_be_bytes());
            packet.extend((u32::from(n) * 160).to_be_bytes());
            packet.extend([1, 2, 3, 4]);
            packet.extend((0..160_u16).map(|k| if k % 16 < 8 { 0x8f_u8 } else { 0x0f }));
            self.sound.send_to(&packet, self.far).expect("loopback takes it");
            let next = begun + Duration::from_millis(20) * u32::from(n + 1);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// False: it hangs up.
    fn listen(&mut self, stream: &mut Box<dyn Stream>) -> bool {
        let mut buffer = [0; 2_048];
        while let Ok((length, _)) = self.sound.recv_from(&mut buffer) {
            self.parts.packets.fetch_add(1, Ordering::Relaxed);
            let payload = &buffer[12.min(length)..length];
            let sum: u32 = payload.iter().map(|&o| u32::from(mu_to_linear(o).unsigned_abs())).sum();
            let loud = sum / u32::try_from(payload.len().max(1)).expect("a packet") > LOUD;
            (self.loud, self.quiet) = if loud { (self.loud + 1, 0) } else { (0, self.quiet + 1) };
            let Some(id) = self.working.clone() else { continue };
            if self.loud == VOICED && !self.spoken {
                self.spoken = true;
                if self.parts.fault == Fault::Dies {
                    return false;
                }
                self.tell(stream, &format!("START-OF-INPUT {id} IN-PROGRESS"), "Input-Type:speech\r\n", "");
            }
            if self.spoken && self.quiet == SILENT {
                self.working = None;
                self.complete(stream, &id);
            }
        }
        true
    }

    fn complete(&self, stream: &mut Box<dyn Stream>, id: &str) {
        if self.parts.fault == Fault::Nonsense {
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("open");
        }
        let body = format!(
            "<?xml version=\"1.0\"?>\n<result xmlns=\"urn:ietf:params:xml:ns:mrcpv2\" grammar=\"session:g0@form-level.store\">\n\
             <interpretation confidence=\"0.91\"><instance>{0}</instance><input mode=\"speech\">{0}</input></interpretation>\n\
             </result>",
            self.parts.words
        );
        let fields = "Completion-Cause:000 success\r\nContent-Type:application/nlsml+xml\r\n";
        self.tell(stream, &format!("RECOGNITION-COMPLETE {id} COMPLETE"), fields, &body);
    }

    /// An event, twice if it is so.
    fn tell(&self, stream: &mut Box<dyn Stream>, start: &str, fields: &str, body: &str) {
        let times = if self.parts.fault == Fault::Twice { 2 } else { 1 };
        for _ in 0..times {
            self.say(stream, start, fields, body);
        }
    }

    fn say(&self, stream: &mut Box<dyn Stream>, start: &str, fields: &str, body: &str) {
        let length =
            if body.is_empty() { String::new() } else { format!("Content-Length:{}\r\n", body.len()) };
        let rest = format!(" {start}\r\nChannel-Identifier:{}\r\n{fields}{length}\r\n{body}", self.name);
        let mut counted = "MRCP/2.0 ".len() + rest.len();
        while "MRCP/2.0 ".len() + rest.len() + counted.to_string().len() != counted {
            counted = "MRCP/2.0 ".len() + rest.len() + counted.to_string().len();
        }
        // Who has hung up needs no answer.
        let _ = stream.write_all(format!("MRCP/2.0 {counted}{rest}").as_bytes());
        let _ = stream.flush();
    }
}

/// A whole message off the front.
fn whole(input: &mut Vec<u8>) -> Option<String> {
    let text = String::from_utf8_lossy(input);
    let length: usize = text.split(' ').nth(1)?.parse().expect("RFC 6787 §5.1: a length");
    assert!(text.starts_with("MRCP/2.0 "), "{text}");
    if input.len() < length {
        return None;
    }
    Some(String::from_utf8_lossy(&input.drain(..length).collect::<Vec<u8>>()).into_owned())
}
