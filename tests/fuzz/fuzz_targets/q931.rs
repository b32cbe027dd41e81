//! Q.931: a message of any octets; what is read is written and read again, and elements of any contents are read or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signalling::isdn::q931::facility::Component;
use signalling::isdn::q931::{Message, ie};

fuzz_target!(|octets: &[u8]| {
    let Ok(message) = Message::parse(octets) else { return };
    let again = Message::parse(&message.write()).expect("our own");
    assert_eq!(again.ies.len(), message.ies.len());
    for e in &message.ies {
        let _ = (ie::ChannelId::read(&e.body), ie::Number::read(&e.body), ie::read_cause(&e.body));
        let _ = (ie::read_bearer(&e.body, ie::Law::A), ie::read_restart(&e.body), ie::read_display(&e.body));
        let _ = Component::read(&e.body);
    }
});
