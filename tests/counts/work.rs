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

const PLAIN: &str = include_str!("../../vxml/examples/documents/plain.vxml");

const SCRIPT: &str = include_str!("../../vxml/examples/documents/script.vxml");

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

const INVITE: &[u8; 1_046] = include_bytes!("../../control/signalling/examples/invite.sip");

/// Parses an INVITE of 1,046 octets and reads every typed field.
fn invites(times: u32) {
    for _ in 0..times {
        let m = Message::parse(black_box(INVITE), &signalling::sip::wire::Limits::default()).expect("framed");
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
