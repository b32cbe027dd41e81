//! What a call does for its document: read before anybody is called, recorded for, kept from running away.

use super::*;
use crate::call::Captured;
use dataplane::report::CaptureEnd;
use vxml::session::Recording;

const HEAD: &str = "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml'";

fn page(attributes: &str, body: &str) -> &'static str {
    Box::leak(format!("{HEAD} {attributes}>{body}</vxml>").into_boxed_str())
}

impl World {
    fn with(pages: &[(&'static str, &'static str)]) -> Self {
        let mut world = World::new(Phone::Answers(0));
        world.documents.extend(pages.iter().copied());
        world.order(pages[0].0);
        world
    }

    fn story(&self) -> Vec<&StoryLine> {
        let lines = |a: &'_ Ask| if let Ask::Story(lines) = a { Some(lines.len()) } else { None };
        assert!(self.asked.iter().filter_map(lines).all(|n| n > 0));
        self.asked
            .iter()
            .filter_map(|a| if let Ask::Story(l) = a { Some(l) } else { None })
            .flatten()
            .collect()
    }

    fn why(&mut self) -> String {
        self.run(600_000);
        self.is_clean();
        self.finished[0].why.clone().unwrap_or_default()
    }
}

#[test]
fn a_document_that_cannot_be_used_rings_no_telephone_and_says_where() {
    let check = |pages: &[(&'static str, &'static str)], want: &str| {
        let mut world = World::with(pages);
        let why = world.why();
        assert!(why.contains(want), "{why}");
        assert_eq!(world.invites, 0);
        let over = &world.finished[0];
        assert_eq!((over.disposition, over.dialled), (Disposition::ApplicationError, false));
    };
    let broken = page("", "<form>\n<blok/></form>");
    check(&[("http://w/a.vxml", broken)], "document http://w/a.vxml:2:1: ");
    let leaf = page("application='root.vxml'", "<form/>");
    check(
        &[("http://w/a.vxml", leaf), ("http://w/root.vxml", broken)],
        "application root http://w/root.vxml:2:1: ",
    );
    check(&[("http://w/b.vxml", leaf)], "application root: HTTP 404");
}

#[test]
fn what_was_fetched_before_the_call_is_not_fetched_again_and_parsed_once() {
    let leaf = page("application='root.vxml'", "<form><block><exit expr='x'/></block></form>");
    let root = page("", "<var name='x' expr='42'/>");
    let mut world = World::with(&[("http://w/leaf.vxml", leaf), ("http://w/root.vxml", root)]);
    world.why();
    assert_eq!(world.finished[0].result.as_deref(), Some("{\"values\":{\"\":42},\"recordings\":[]}"));
    assert_eq!(world.fetched, ["http://w/leaf.vxml", "http://w/root.vxml"]);
    assert_eq!(world.shard.common.documents.len(), 2, "both are kept for the next call");
}

#[test]
fn a_story_is_bounded_and_counts_what_it_left_out() {
    let mut items = String::from("[0");
    (1..3_000).for_each(|_| items.push_str(",0"));
    let body = format!(
        "<form><block><var name='l' expr='{items}]'/><foreach item='i' array='l'><log>round</log></foreach><exit/></block></form>"
    );
    let mut world = World::with(&[("http://w/loop.vxml", page("", &body))]);
    world.why();
    let story = world.story();
    assert!((900..1_020).contains(&story.len()), "{} lines", story.len());
    let told = story.iter().find(|l| l.text.contains("lines more were left out")).expect("it says so");
    assert!(told.text.starts_with("20"), "{}", told.text);
    assert!(story.iter().any(|l| l.text == "exit: exit"), "the end is told in any case");
    assert!(world.shard.common.stories.is_empty());
}

#[test]
fn a_silent_caller_whom_no_handler_minds_is_let_go_and_the_story_says_why() {
    let body = "<form><field name='a' type='digits'><prompt><audio src='ask.wav'/></prompt></field></form>";
    let mut world = World::with(&[("http://w/silent.vxml", page("", body))]);
    let why = world.why();
    assert_eq!(why, "error.max_noinput_count_exceeded");
    let record = world.records()[0].clone();
    assert_eq!((record.disposition, record.by_peer), (Disposition::ApplicationError, false));
    assert!((70_000..120_000).contains(&record.talk_ms), "ten times its timeout: {} ms", record.talk_ms);
    assert!(world.story().iter().any(|l| l.text.contains("10 no-inputs in a row without a handler")));
}

#[test]
fn vxml20_2_3_6_several_keys_of_a_grammar_end_a_recording_with_what_was_said() {
    let body = "<form><record name='r' dtmfterm='false' maxtime='60s'>
        <grammar mode='dtmf' version='1.0' root='g' xmlns='http://www.w3.org/2001/06/grammar'>
        <rule id='g'>9 9</rule></grammar>
        <filled><var name='d' expr=\"r$.duration + ' ' + r$.utterance\"/><exit namelist='d'/></filled></record></form>";
    let mut world = World::with(&[("http://w/record.vxml", page("", body))]);
    world.run(5_000);
    assert_eq!(world.capturing.len(), 1, "it records");
    for ms in [0, 300] {
        let bearer = world.capturing[0].1;
        let (digit, via, length) = (Digit::try_from('9').expect("one"), DigitVia::Event, Samples(800));
        world.later(ms, Event::Shard(Input::Report(Report::Digit { bearer, digit, via, length })));
    }
    world.why();
    let result = world.finished[0].result.clone().unwrap_or_default();
    assert!(result.contains("1500 9 9") || result.contains("1500 99"), "{result}");
    assert!(result.contains("\"recordings\":[\"att_"), "{result}");
}

#[test]
fn vxml20_2_3_6_what_was_said_before_a_hang_up_reaches_the_documents_last_word() {
    let body = "<catch event='connection.disconnect.hangup'><var name='d' expr='r$.duration'/><exit namelist='d'/></catch>
        <form><record name='r'><filled><exit expr='1'/></filled></record></form>";
    let mut world = World::with(&[("http://w/record.vxml", page("", body))]);
    world.manner = Phone::Answers(6_000);
    world.why();
    let over = &world.finished[0];
    assert_eq!(over.disposition, Disposition::Completed);
    let result = over.result.clone().unwrap_or_default();
    assert!(result.contains("\"d\":1500"), "{result}");
}

#[test]
fn vxml20_2_3_5_an_object_presses_keys_on_the_line() {
    let body = "<form><object name='o' classid='carillon:keys'><param name='keys' value='1,42#'/>
        <filled><exit expr='o.sent'/></filled></object></form>";
    let mut world = World::with(&[("http://w/keys.vxml", page("", body))]);
    world.why();
    let pressed: String = world
        .commands
        .iter()
        .filter_map(|c| if let Command::SendDigit { digit, .. } = c { Some(digit.as_char()) } else { None })
        .collect();
    assert_eq!(pressed, "142#");
    assert_eq!(world.finished[0].result.as_deref(), Some("{\"values\":{\"\":4},\"recordings\":[]}"));
    let talked = world.records()[0].talk_ms;
    assert!((1_600..2_500).contains(&talked), "a comma pauses: {talked} ms");
}

/// Goal: whatever is refused at once, asked for again and again, ends the call and not the server. Method: each of them in
/// a document that catches everything and begins anew.
#[test]
fn a_document_that_asks_again_for_what_is_refused_at_once_ends_by_a_named_limit() {
    for item in [
        "<transfer name='t' bridge='true' dest='tel:1'/>",
        "<object name='o' classid='carillon:keys'><param name='keys' value='x'/></object>",
        "<object name='o' classid='carillon:keys'><param name='keys' expr=\"''\"/><filled><clear/></filled></object>",
        "<field name='f'><grammar version='1.0' root='r' xmlns='http://www.w3.org/2001/06/grammar'>
            <rule id='r'>yes</rule></grammar><property name='inputmodes' value='voice'/></field>",
    ] {
        let body = format!("<catch event='error'><goto next='#f'/></catch><form id='f'>{item}</form>");
        let mut world = World::with(&[("http://w/again.vxml", page("", &body))]);
        let why = world.why();
        assert_eq!(why, "error.max_loop_count_exceeded", "{item}");
        assert!(world.story().len() < 1_010, "{} lines", world.story().len());
    }
}

impl World {
    /// A capture that is stopped has 1.5 s of sound.
    pub(super) fn captured(&mut self, bearer: BearerId) {
        let Some(at) = self.capturing.iter().position(|(_, b)| *b == bearer) else { return };
        let (name, _) = self.capturing.remove(at);
        let recording =
            Recording { name, size: 12_000, duration_ms: 1_500, media_type: "audio/x-wav".into() };
        let captured = Captured {
            end: CaptureEnd::Stopped,
            length: Samples(12_000),
            sound: true,
            recording: Some(recording),
        };
        self.later(20, Event::Shard(Input::Captured(bearer, captured)));
    }
}
