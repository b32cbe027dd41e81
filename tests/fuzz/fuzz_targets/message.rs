//! SIP messages: framed, the mandatory fields typed, the rest of the fields read, and given to a listening endpoint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signalling::leg::Transport;
use signalling::sip::endpoint::{Advertised, Endpoint, EndpointConfig, FlowId, Input};
use signalling::sip::wire::core::request_uri;
use signalling::sip::wire::fields::{SessionExpires, q850, redirections};
use signalling::sip::wire::{Core, HeaderId, Limits, Message, NameAddr, values};
use units::{Mono, Now, Seed};

fuzz_target!(|octets: &[u8]| {
    let limits = Limits::default();
    if let Ok(m) = Message::parse(octets, &limits) {
        assert!(m.body().len() <= octets.len());
        let _ = (Core::read(&m), request_uri(&m), SessionExpires::read(&m), q850(&m));
        assert!(redirections(&m, 4).len() <= 4);
        for id in [HeaderId::Contact, HeaderId::ReferTo, HeaderId::Diversion] {
            let _ = m.all(id).flat_map(values).filter_map(NameAddr::parse).count();
        }
    }
    let own = "192.0.2.1:5060".parse().ok();
    let mut config = EndpointConfig::new(0, Advertised { udp: own, tcp: own, tls: None }, [1; 32]);
    config.answer_unknown = true;
    let mut endpoint = Endpoint::new(config, Seed(1));
    let from = "192.0.2.9:5060".parse().expect("an address");
    let now = Now { mono: Mono::from_ms(1_000), ..Now::default() };
    for (flow, transport) in [(0, Transport::Udp), (7, Transport::Tcp)] {
        let input = Input::Received { flow: FlowId(flow), transport, from, bytes: octets };
        endpoint.handle(now, input).expect("the network is no error");
        while endpoint.poll().is_some() {}
    }
    endpoint.handle(Now { mono: Mono::from_ms(300_000), ..now }, Input::Timer).expect("time is no error");
});
