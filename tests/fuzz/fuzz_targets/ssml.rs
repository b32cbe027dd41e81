//! Markup in prompts (SSML 1.0), played to a caller.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|inner: &str| {
    let document = format!(
        "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\" xml:lang=\"en\"><form><field name=\"f\" \
         type=\"digits\"><prompt>{inner}</prompt><option dtmf=\"1\">one</option></field></form></vxml>"
    );
    carillon_fuzz::run(document.as_bytes());
});
