//! The bridge between documents and the script engine: an expression at every place where a value crosses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|expression: &str| {
    let e = carillon_fuzz::attribute(expression);
    let document = format!(
        "<vxml version=\"2.1\" xmlns=\"http://www.w3.org/2001/vxml\"><var name=\"x\" expr=\"1\"/>\
         <catch event=\"error\"><log expr=\"_message\"/></catch><form>\
         <block><var name=\"y\" expr=\"{e}\"/><log expr=\"y\"/><assign name=\"x\" expr=\"{e}\"/></block>\
         <block><if cond=\"{e}\"><prompt><value expr=\"{e}\"/></prompt></if>\
         <foreach item=\"i\" array=\"{e}\"><log expr=\"i\"/></foreach></block>\
         <subdialog name=\"s\" src=\"#b\"><param name=\"p\" expr=\"{e}\"/></subdialog>\
         <block><exit expr=\"{e}\"/></block></form>\
         <form id=\"b\"><var name=\"p\"/><block><return namelist=\"p\"/></block></form></vxml>"
    );
    carillon_fuzz::run(document.as_bytes());
});
