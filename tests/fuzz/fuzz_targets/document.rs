//! VoiceXML documents: parsed, checked, run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vxml::Limits;

fuzz_target!(|octets: &[u8]| {
    let url = url::Url::parse("http://app/start").expect("a URL");
    for lenient in [false, true] {
        let (document, problems) = vxml::document::parse(&url, octets, lenient, &Limits::default());
        assert!(document.is_some() || !problems.is_empty(), "refused without a word");
        let _ = vxml::check::check(&url, octets, None, lenient, &Limits::default());
    }
    carillon_fuzz::run(octets);
});
