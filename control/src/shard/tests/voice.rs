//! Callers who speak: what is asked of the recogniser beyond the doors, and what its words lead to.

use super::*;
use crate::conduct::Heard;
use dataplane::command::Cut;
use vxml::session::{Hypothesis, ListenId};

const VOICE: &str = "<vxml version='2.1' xmlns='http://www.w3.org/2001/vxml' xml:lang='en-US'><form>
  <property name='inputmodes' value='voice'/>
  <field name='a' type='boolean'><prompt><audio src='ask.wav'/></prompt>
  <filled><submit next='done.vxml' namelist='a'/></filled>
  <noinput><submit next='done.vxml?noinput'/></noinput><nomatch><submit next='done.vxml?nomatch'/></nomatch></field>
  <catch event='error.noresource'><submit next='done.vxml?noresource'/></catch></form></vxml>";

fn world(hears: bool) -> World {
    let mut world = World::new(Phone::Answers(0));
    world.documents.insert("http://w/voice.vxml", VOICE);
    let text =
        "[[trunks]]\nname=\"t\"\naddress=\"127.0.0.1:5070\"\nprefixes=[\"*\"]\ncaller_id=\"+15550100\"\n
        [[tenants]]\nname=\"acme\"\nid=1\n";
    let mut settings = Settings::new(&config::parse("t", text).expect("reads"), addr(OURS).ip(), [7; 32]);
    settings.hears = hears;
    world.later(0, Event::Shard(Input::Settings(Arc::new(settings))));
    world.run(1);
    world.order("http://w/voice.vxml");
    world
}

/// Runs until the caller is listened to; where and by which name.
fn listened(world: &mut World) -> (BearerId, ListenId) {
    world.run(3_000);
    assert_eq!(world.hearing.len(), 1, "{:?}", world.hearing);
    world.hearing[0]
}

fn ends_at(mut world: World, page: &str) {
    world.run(20_000);
    assert!(world.fetched.iter().any(|f| f.contains(page)), "{page}: {:?}", world.fetched);
    assert!(world.hearing.is_empty(), "nobody listens any more");
    world.is_clean();
}

#[test]
fn a_word_that_was_recognised_fills_the_field() {
    let mut world = world(true);
    let (bearer, id) = listened(&mut world);
    let cuts = world.commands.iter().any(|c| matches!(c, Command::Play { cut: Cut::DigitOrVoice, .. }));
    assert!(cuts, "speech cuts the prompt in the worker");
    let yes = Hypothesis { tokens: vec!["yes".into()], confidence: 0.9, interpretation: None };
    world.later(0, Event::Shard(Input::Heard(bearer, id, Heard::Started)));
    world.later(500, Event::Shard(Input::Heard(bearer, id, Heard::Recognised(vec![yes], None))));
    world.hearing.clear();
    ends_at(world, "done.vxml?a=true");
}

#[test]
fn what_is_uncertain_is_a_nomatch_and_silence_a_noinput() {
    let mut unsure = world(true);
    let (bearer, id) = listened(&mut unsure);
    let no = Hypothesis { tokens: vec!["no".into()], confidence: 0.2, interpretation: None };
    unsure.later(0, Event::Shard(Input::Heard(bearer, id, Heard::Recognised(vec![no], None))));
    unsure.hearing.clear();
    ends_at(unsure, "done.vxml?nomatch");
    let mut silent = world(true);
    listened(&mut silent);
    // The interpreter's own timer; the recogniser is told to stop.
    ends_at(silent, "done.vxml?noinput");
}

#[test]
fn without_a_recogniser_or_with_a_dead_one_the_document_is_told() {
    let without = world(false);
    ends_at(without, "done.vxml?noresource");
    let mut dead = world(true);
    let (bearer, id) = listened(&mut dead);
    dead.later(0, Event::Shard(Input::Heard(bearer, id, Heard::NoResource)));
    // What comes late, twice or for another listening is nothing.
    dead.later(1, Event::Shard(Input::Heard(bearer, id, Heard::NoResource)));
    dead.later(1, Event::Shard(Input::Heard(bearer, ListenId(99), Heard::TooMuch)));
    dead.hearing.clear();
    ends_at(dead, "done.vxml?noresource");
}

#[test]
fn who_hangs_up_is_not_listened_to_any_more() {
    let mut world = world(true);
    world.manner = Phone::Answers(2_000);
    world.run(20_000);
    assert!(world.hearing.is_empty());
    world.is_clean();
}
