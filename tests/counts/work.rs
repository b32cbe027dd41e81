//! The works that are counted.

use dataplane::command::{Command, Cut, Detectors, PromptHandle, SpecHandle};
use dataplane::net::sim::{SimNet, SimPacket};
use dataplane::pool::{Lent, Prompt};
use dataplane::rtp::{Header, write_header};
use dataplane::spec::Spec;
use dataplane::worker::{Worker, links};
use hw::dsp::dtmf::Detector;
use signalling::sip::wire::core::request_uri;
use signalling::sip::wire::{Core, HeaderId, Message, NameAddr, values};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use units::{BearerId, Codec, Mono, Now, Samples, Seed};
use vxml::grammar::{Matcher, Mode, Network};
use vxml::runner::fetched;
use vxml::session::{Fetched, Input, Output};
use vxml::{Documents, Session, SessionConfig};

/// A work that is done so many times.
pub(crate) type Work = fn(u32);

/// All works by name.
pub(crate) const ALL: &[(&str, Work)] = &[
    ("session", |n| sessions(PLAIN, n)),
    ("session_script", |n| sessions(SCRIPT, n)),
    ("visit", visits),
    ("grammar", grammars),
    ("digit", digits),
    ("invite", invites),
    ("dtmf", dtmf),
    ("bearer", bearers),
];

const PLAIN: &str = r##"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml">
<var name="tries" expr="0"/><var name="who" expr="'caller'"/>
<catch event="noinput"><reprompt/></catch>
<form id="f"><block><assign name="tries" expr="tries + 1"/>Welcome.</block>
<field name="pin" type="digits?length=4"><prompt>Your number?</prompt>
<filled><if cond="pin == '1234'"><goto next="#f"/></if></filled></field></form></vxml>"##;

const SCRIPT: &str = r##"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml">
<script>function pad(n) { return n &lt; 10 ? '0' + n : '' + n; } var list = [1, 2, 3];</script>
<form id="f"><var name="t" expr="pad(list.length)"/>
<field name="pin" type="digits?length=4"><prompt>Your number? <value expr="t"/></prompt></field></form></vxml>"##;

fn start(text: &str, documents: &mut Documents) -> Session {
    let url = format!("http://h/{}", text.len());
    let mut session = Session::new(SessionConfig::new(url.as_str()), Now::default());
    let answer: Fetched = Fetched { validator: Some("1".into()), ..fetched(&url, "", text.as_bytes()) };
    while let Some(output) = session.poll() {
        if let Output::Fetch { id, .. } = output {
            let input = Input::Fetched { id, result: Ok(answer.clone()) };
            session.handle(documents, Now::default(), input).expect("the session runs");
        }
    }
    session
}

fn sessions(text: &str, times: u32) {
    let mut documents = Documents::new(4);
    (0..times).for_each(|_| drop(black_box(start(text, &mut documents))));
}

/// Each round visits two form items.
fn visits(times: u32) {
    let text = format!(
        r##"<vxml version="2.1" xmlns="http://www.w3.org/2001/vxml"><var name="n" expr="0"/>
<form id="f"><block><assign name="n" expr="n + 1"/><if cond="n == {}"><exit/></if></block>
<block name="b" cond="n &lt; 50000"><goto next="#f"/></block></form></vxml>"##,
        times / 2
    );
    drop(black_box(start(&text, &mut Documents::new(4))));
}

fn digits_network() -> Network {
    Network::from_builtin("digits?length=16", Mode::Dtmf, "en-US", &vxml::grammar::Limits::default())
        .expect("a builtin")
}

fn grammars(times: u32) {
    (0..times).for_each(|_| drop(black_box(digits_network())));
}

fn digits(times: u32) {
    let network = Arc::new(digits_network());
    let mut matcher = Matcher::new(network.clone()).expect("small");
    for i in 0..times {
        if i % 16 == 0 {
            matcher = Matcher::new(network.clone()).expect("small");
        }
        black_box(matcher.push("7").expect("small"));
    }
}

fn invite() -> Vec<u8> {
    let sdp = "v=0\r\no=- 3905012345 3905012345 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=audio 30000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
    let head = "INVITE sip:+12025550123@192.0.2.2:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKabc123;rport\r\n\
        Record-Route: <sip:192.0.2.9;lr>\r\nMax-Forwards: 70\r\nFrom: \"Office\" <sip:+12025550100@192.0.2.10>;tag=1928301774\r\n\
        To: <sip:+12025550123@192.0.2.2>\r\nCall-ID: a84b4c76e66710@192.0.2.10\r\nCSeq: 314159 INVITE\r\n\
        Contact: <sip:+12025550100@192.0.2.10:5060>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO\r\n\
        Supported: 100rel, timer, replaces\r\nSession-Expires: 1800\r\nP-Asserted-Identity: <sip:+12025550100@192.0.2.10>\r\n\
        Content-Type: application/sdp\r\nUser-Agent: ";
    let tail = format!("\r\nContent-Length: {}\r\n\r\n{sdp}", sdp.len());
    let pad = 1_046 - head.len() - tail.len();
    format!("{head}{}{tail}", "x".repeat(pad)).into_bytes()
}

/// Parses an INVITE of 1,046 octets and reads every typed field.
fn invites(times: u32) {
    let bytes = invite();
    for _ in 0..times {
        let m = Message::parse(black_box(&bytes), &signalling::sip::wire::Limits::default()).expect("framed");
        let core = Core::read(&m).expect("sound");
        let uri = request_uri(&m).expect("a URI");
        let contacts = [HeaderId::Contact, HeaderId::RecordRoute, HeaderId::AssertedIdentity];
        let named =
            contacts.iter().flat_map(|&id| m.all(id)).flat_map(values).filter_map(NameAddr::parse).count();
        black_box(core.call_id.len() + uri.text.len() + named);
    }
}

/// Mu-law noise, decoded and listened to for digits, 160 samples at a time.
fn dtmf(times: u32) {
    let mut rng = Seed(1).rng();
    let octets: Vec<u8> = (0..160).map(|_| u8::try_from(rng.below(256)).expect("small")).collect();
    let mut detector = Detector::default();
    let mut heard = 0;
    for _ in 0..times {
        let mut samples = [0_i16; 160];
        hw::dsp::g711::Law::Mu.decode(black_box(&octets), &mut samples);
        detector.feed(&samples, &mut |_| heard += 1);
    }
    black_box(heard);
}

/// 100 bearers with a prompt, RTP both ways and DTMF detection, through so many periods of 20 ms: one frame of one
/// bearer is a hundredth, which the caller's limit takes into account.
fn bearers(times: u32) {
    const BEARERS: u32 = 100;
    let limits = dataplane::limits::Limits { bearers: BEARERS, prompts: 4, specs: 128, ..Default::default() };
    let (mut control, ends) = links(&limits);
    let mut net = SimNet::new(limits.places());
    net.silence();
    let mut worker = Worker::new(0, limits, net, vec![ends]);
    let prompt = Arc::new(Prompt::from_linear(&[1000; 8000]));
    control.lends.push(Lent::Prompt(PromptHandle(0), prompt)).expect("room");
    let address =
        |host, i: u32| SocketAddr::from(([10, 0, 0, host], u16::try_from(10_000 + 2 * i).expect("a port")));
    for i in 0..BEARERS {
        let bearer = BearerId { worker: 0, generation: 0, index: i };
        let mut spec = Spec::rtp(address(1, i), address(2, i), Codec::Pcmu, Seed(u64::from(i)));
        spec.detectors = Detectors { dtmf: true, ..Detectors::default() };
        control.lends.push(Lent::Spec(SpecHandle(i), Box::new(spec.prepared()))).expect("room");
        control.commands.push(Command::Open { bearer, spec: SpecHandle(i) }).expect("room");
        let (offset, length, cut) = (Samples(0), Samples(u32::MAX), Cut::Never);
        let prompt = PromptHandle(0);
        control.commands.push(Command::Play { bearer, item: 0, prompt, offset, length, cut }).expect("room");
    }
    for ms in 0..20 * times {
        if ms % 20 == 0 {
            for i in 0..BEARERS {
                let (n, mut bytes) = (ms / 20, vec![0x91; 172]);
                let sequence = u16::try_from(n).expect("few");
                let header = Header { marker: false, payload_type: 0, sequence, timestamp: n * 160, ssrc: i };
                write_header(&mut bytes, &header);
                worker.net_mut().deliver(SimPacket { local: address(1, i), remote: address(2, i), bytes });
            }
        }
        worker.tick(Now { mono: Mono::from_ms(u64::from(ms)), ..Now::default() });
        while control.reports.pop().is_ok() {}
    }
}
