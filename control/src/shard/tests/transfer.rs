//! `<transfer>` over a whole shard: the second call is a call of its own, both come to an end whatever happens, and the
//! document hears what VoiceXML 2.0 §2.3.7 and 2.1 §7 say.

use super::*;
use crate::store::attempt_of;

const HEAD: &str = "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml'>";

/// A document with one transfer, which exits with what the transfer brought.
fn transfer(attributes: &str, inside: &str) -> &'static str {
    let text = format!(
        "{HEAD}<catch event='error'><var name='e' expr='_event'/><exit namelist='e'/></catch>
        <catch event='connection.disconnect.transfer'><var name='e' expr='_event'/><exit namelist='e'/></catch>
        <form><transfer name='t' dest='tel:+15559876' {attributes}>{inside}
        <filled><var name='r' expr=\"t + ' ' + t$.duration + ' ' + t$.inputmode + ' ' + t$.utterance\"/>
        <exit namelist='r'/></filled></transfer></form></vxml>"
    );
    Box::leak(text.into_boxed_str())
}

impl World {
    /// What the desk would do.
    pub(super) fn wished(&mut self, order: Order) {
        self.wishes.push(order.clone());
        let parent = order.parent().expect("a transfer has a call it is for");
        if let Err(why) = self.grant {
            return self.later(3, Event::Shard(Input::Denied(parent, order.id, why)));
        }
        let attempt = attempt_of(order.id, 1);
        let lease = Lease { order: order.id, attempt, epoch: 1, until: Wall(i64::MAX) };
        let permit = Permit::mint(order.id, attempt, 1, self.now.mono + Duration::from_secs(2));
        let slot = Slot::reserve(units::ServerId(1));
        let start = Start { permit, slot, order: Box::new(order), lease, trunks: None, again: false };
        self.later(3, Event::Shard(Input::Start(Box::new(start))));
    }

    fn transferring(attributes: &str, inside: &str, second: Phone) -> Self {
        let mut world = World::new(Phone::Answers(0));
        world.second = second;
        world.documents.insert("http://w/t.vxml", transfer(attributes, inside));
        world.order("http://w/t.vxml");
        world
    }

    /// Runs to the end: both calls are over, each with one record, one end and its slot back; the first one's result.
    fn result(&mut self) -> String {
        self.run(400_000);
        self.is_clean();
        let calls = if self.invites > 1 || !self.referred.is_empty() { 2 } else { 1 };
        assert_eq!(self.records().len(), calls, "each call has one record");
        let first = self.finished.iter().find(|f| f.attempt == AttemptId(77)).expect("the first call ended");
        first.result.clone().unwrap_or_default()
    }

    fn joined(&self) -> (usize, usize) {
        let count = |f: fn(&Command) -> bool| self.commands.iter().filter(|c| f(c)).count();
        (count(|c| matches!(c, Command::Bridge { .. })), count(|c| matches!(c, Command::Unbridge { .. })))
    }

    fn digit(&mut self, ms: u64, index: u32, key: char) {
        let bearer = self.bearers()[usize::try_from(index).expect("small")];
        let digit = Digit::try_from(key).expect("a digit");
        let (via, length) = (DigitVia::Event, Samples(400));
        self.later(ms, Event::Shard(Input::Report(Report::Digit { bearer, digit, via, length })));
    }

    /// Bearers of the calls, the first call's first.
    fn bearers(&self) -> Vec<BearerId> {
        self.shard.calls.values().filter_map(|c| c.bearer).collect()
    }

    fn second_record(&self) -> Record {
        self.records().into_iter().find(|r| r.direction == Direction::Transfer).expect("it has one").clone()
    }
}

fn has(result: &str, what: &str) {
    assert!(result.contains(what), "{result} has no {what}");
}

#[test]
fn voicexml_2_3_7_2_a_bridge_ends_when_the_callee_hangs_up() {
    let mut world = World::transferring("bridge='true'", "", Phone::Answers(9_000));
    let result = world.result();
    has(&result, "far_end_disconnect 8.9");
    assert_eq!(world.joined().0, 1);
    let record = world.second_record();
    assert_eq!((record.parent, record.disposition), (Some(AttemptId(77)), Disposition::Completed));
    assert!(record.by_peer && record.to.expose() == "+15559876" && record.talk_ms > 8_000);
    let intents = world.asked.iter().filter(|a| matches!(a, Ask::Intent { .. })).count();
    assert_eq!(intents, 2, "the second call has an intent of its own");
    let second = &world.wishes[0];
    assert_eq!((second.priority, second.purpose), (9, crate::order::Purpose::Survey));
}

#[test]
fn voicexml_2_3_7_2_who_does_not_answer_is_told_as_what_it_was() {
    let check = |second, want: &str, disposition| {
        let mut world = World::transferring("bridge='true' connecttimeout='5s'", "", second);
        has(&world.result(), want);
        assert_eq!(world.joined(), (0, 0));
        assert_eq!(world.second_record().disposition, disposition, "{want}");
    };
    check(Phone::Refuses(486), "busy 0", Disposition::Busy);
    check(Phone::Refuses(603), "busy 0", Disposition::Rejected);
    check(Phone::Refuses(503), "network_busy 0", Disposition::Congestion);
    check(Phone::Silent, "noanswer 0", Disposition::NoAnswer);
    check(Phone::Refuses(404), "error.connection.baddestination", Disposition::Unallocated);
    check(Phone::Refuses(500), "error.connection.sip.500", Disposition::Failed);
}

#[test]
fn voicexml_2_3_7_2_maxtime_cuts_the_bridge() {
    let mut world = World::transferring("bridge='true' maxtime='7s'", "", Phone::Answers(0));
    has(&world.result(), "maxtime_disconnect 7 ");
    assert_eq!(world.joined(), (1, 2));
    assert!(!world.second_record().by_peer);
}

#[test]
fn voicexml_2_3_7_2_a_key_of_the_grammar_releases_the_bridge_and_others_pass_to_the_callee() {
    let grammar = "<grammar mode='dtmf' version='1.0' root='r' xmlns='http://www.w3.org/2001/06/grammar'>
        <rule id='r'><item repeat='2'>*</item></rule></grammar>";
    let mut world = World::transferring("bridge='true'", grammar, Phone::Answers(0));
    world.run(2_000);
    world.digit(0, 0, '5');
    world.digit(500, 1, '7');
    world.digit(1_000, 0, '*');
    world.digit(1_100, 0, '*');
    let result = world.result();
    has(&result, "near_end_disconnect");
    has(&result, "dtmf **");
    let sent: Vec<char> = world
        .commands
        .iter()
        .filter_map(|c| if let Command::SendDigit { digit, .. } = c { Some(digit.as_char()) } else { None })
        .collect();
    assert_eq!(sent, ['5', '7', '*', '*'], "keys cross the bridge both ways");
}

#[test]
fn a_caller_who_hangs_up_in_a_bridge_takes_the_callee_along() {
    let mut world = World::transferring("bridge='true'", "", Phone::Answers(0));
    world.manner = Phone::Answers(6_000);
    let result = world.result();
    assert_eq!(result, "", "the document ended with the call");
    assert_eq!(world.ended.len(), 2, "both telephones are free");
    assert!(!world.second_record().by_peer, "the second leg was ended by us");
    let mut early = World::transferring("bridge='true'", "", Phone::Silent);
    early.manner = Phone::Answers(3_000);
    early.result();
    assert_eq!(early.second_record().disposition, Disposition::Cancelled);
}

#[test]
fn policy_refuses_a_transfer_before_anyone_is_dialled() {
    let check = |why, want| {
        let mut world = World::transferring("bridge='true'", "", Phone::Answers(0));
        world.grant = Err(why);
        has(&world.result(), want);
        assert_eq!(world.invites, 1, "nobody else was dialled");
    };
    check(Denied::Policy, "error.connection.noauthorization");
    check(Denied::NoRoute, "error.connection.noroute");
    check(Denied::NoResource, "error.connection.noresource");
    let mut blind = World::transferring("", "", Phone::Answers(0));
    blind.grant = Err(Denied::Policy);
    has(&blind.result(), "error.connection.noauthorization");
    assert!(blind.referred.is_empty(), "no REFER left");
}

#[test]
fn transferaudio_is_heard_until_the_answer_and_ringback_where_there_is_none() {
    let mut world = World::transferring("bridge='true' transferaudio='wait.wav'", "", Phone::Silent);
    world.run(4_500);
    assert!(world.played.iter().filter(|p| p.ends_with("wait.wav")).count() >= 2, "{:?}", world.played);
    world.result();
    let tone =
        |c: &Command| matches!(c, Command::Tone { tone: Some(dataplane::command::Tone::Ringback), .. });
    let mut world = World::transferring("bridge='true'", "", Phone::Silent);
    world.result();
    assert_eq!(world.commands.iter().filter(|c| tone(c)).count(), 1);
}

#[test]
fn voicexml_2_3_7_1_a_blind_transfer_is_referred_under_a_permit_and_recorded() {
    let mut world = World::transferring("bridge='false'", "", Phone::Answers(0));
    world.refer = vec![202, 200];
    has(&world.result(), "connection.disconnect.transfer");
    assert_eq!((world.invites, world.referred.as_slice()), (1, &["tel:+15559876".to_owned()][..]));
    let record = world.second_record();
    assert_eq!((record.disposition, record.status), (Disposition::Completed, Some(200)));
    let mut refused = World::transferring("bridge='false'", "", Phone::Answers(0));
    refused.refer = vec![202, 486];
    has(&refused.result(), "busy 0");
    assert_eq!(refused.second_record().disposition, Disposition::Busy);
}

#[test]
fn voicexml21_7_a_consultation_refers_the_caller_to_the_dialog_that_was_answered() {
    let mut world = World::transferring("type='consultation'", "", Phone::Answers(0));
    world.refer = vec![202, 200];
    has(&world.result(), "connection.disconnect.transfer");
    assert_eq!(world.invites, 2);
    let to = &world.referred[0];
    assert!(to.contains(PHONE) && to.contains("Replaces="), "{to}");
    assert_eq!(world.joined(), (0, 0), "the two hear each other without us");
}

#[test]
fn voicexml21_7_a_consultation_that_fails_leaves_the_caller_with_the_document() {
    let mut world = World::transferring("type='consultation'", "", Phone::Refuses(486));
    has(&world.result(), "busy 0");
    assert!(world.referred.is_empty());
}

/// Goal: a telephone that knows no REFER is served all the same. Method: 603 to the REFER; then the callee hangs up after
/// a while, and the caller is released with it, long after the document is over.
#[test]
fn voicexml21_7_where_the_refer_is_refused_the_two_are_bridged_and_the_document_leaves() {
    let mut world = World::transferring("type='consultation'", "", Phone::Answers(30_000));
    world.refer = vec![603];
    world.run(20_000);
    let stages: Vec<&str> = world.shard.view(world.now).iter().map(|v| v.stage).collect();
    assert_eq!(stages, ["joined", "joined"]);
    has(&world.result(), "connection.disconnect.transfer");
    assert_eq!(world.ended.len(), 2);
    let first = world.records().into_iter().find(|r| r.direction == Direction::Outbound).expect("one");
    assert!(first.talk_ms > 25_000, "the caller stayed on the line");
}

#[test]
fn a_second_call_that_breaks_takes_nobody_along_and_a_first_one_takes_its_second() {
    let mut world = World::transferring("bridge='true'", "", Phone::Answers(0));
    world.run(3_000);
    let second = world.shard.calls.values().find(|c| c.direction() == Direction::Transfer).expect("up").id;
    world.shard.current = Some(second);
    world.shard.bury(world.now);
    world.settle();
    has(&world.result(), "network_disconnect");
    let mut world = World::transferring("bridge='true'", "", Phone::Answers(0));
    world.run(3_000);
    let first = world.shard.calls.values().find(|c| c.direction() == Direction::Outbound).expect("up").id;
    world.shard.current = Some(first);
    world.shard.bury(world.now);
    world.settle();
    world.result();
    assert_eq!(world.ended.len(), 2);
}

#[test]
fn draining_hard_ends_both_and_a_late_permit_dials_nobody() {
    let mut world = World::transferring("bridge='true'", "", Phone::Answers(0));
    world.run(3_000);
    world.later(0, Event::Shard(Input::Drain(true)));
    world.result();
    assert_eq!(world.ended.len(), 2);
    // The caller leaves while policy is asked: the permit comes too late.
    let mut world = World::transferring("bridge='true'", "", Phone::Answers(0));
    world.grant = Err(Denied::Policy);
    world.manner = Phone::Answers(1_500);
    world.run(300);
    world.grant = Ok(());
    let asked = world.wishes.first().cloned();
    world.run(60_000);
    if let Some(order) = asked {
        world.wished(order);
    }
    world.run(60_000);
    assert_eq!(world.invites, 1);
    assert_eq!(world.shard.calls(), 0);
}
