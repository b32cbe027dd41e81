//! Calls over T1 and E1: two spans of one shard wired to each other, so that an ordered call comes in again.

use super::*;
use dataplane::report::SpanEvent;

const TEXT: &str = "
[[spans]]
number = 1
device = \"loopback:2\"
kind = \"e1\"
signalling = \"pri_cpe\"
[[spans]]
number = 2
device = \"loopback:1\"
kind = \"e1\"
signalling = \"pri_net\"
[[trunks]]
name = \"line\"
spans = [1]
prefixes = [\"*\"]
caller_id = \"+15550100\"
[[tenants]]
name = \"acme\"
id = 1
[[inbound]]
match = \"+15551234\"
tenant = \"acme\"
url = \"http://w/done.vxml\"
";

fn world() -> World {
    let mut world = World::new(Phone::Silent);
    let config = config::parse("t", TEXT).expect("reads");
    let settings = Arc::new(Settings::new(&config, addr(OURS).ip(), [7; 32]));
    world.shard = Shard::new(settings, endpoint(OURS, 1), Seed(1)).with_tdm(world.now, config.tdm());
    world.settle();
    world.run(1_000);
    assert_eq!(world.shard.tdm().free("line"), 30);
    world
}

fn order(world: &mut World, to: &str) {
    let json = serde_json::json!({
        "id": units::OrderId(5).to_string(), "tenant": 1, "request_id": "r", "origin": {"by": "campaign"},
        "to": to, "application": {"url": "http://w/menu.vxml"}, "when": "now", "expires": 0, "purpose": "survey",
    });
    let order: Order = serde_json::from_value(json).expect("an order");
    let lease = Lease { order: order.id, attempt: AttemptId(77), epoch: 1, until: Wall(i64::MAX) };
    let permit = Permit::mint(order.id, lease.attempt, 1, world.now.mono + Duration::from_secs(30));
    let slot = Slot::reserve(units::ServerId(1));
    let start = Start { permit, slot, order: Box::new(order), lease, trunks: None, again: false };
    world.later(0, Event::Shard(Input::Start(Box::new(start))));
}

#[test]
fn an_ordered_call_leaves_by_a_span_and_comes_in_by_another() {
    let mut world = world();
    order(&mut world, "+15551234");
    world.run(900);
    assert_eq!(world.shard.tdm().free("line"), 29);
    assert_eq!(world.shard.view(world.now).iter().map(|v| v.stage).collect::<Vec<_>>(), ["talking"; 2]);
    world.run(60_000);
    world.is_clean();
    assert_eq!(world.shard.tdm().free("line"), 30);
    // The document of the call that came in ends first and hangs up.
    let how: Vec<_> = world.finished.iter().map(|f| (f.direction, f.disposition, f.cause)).collect();
    assert!(how.contains(&(Direction::Inbound, Disposition::Completed, Cause::NORMAL)), "{how:?}");
    assert!(how.contains(&(Direction::Outbound, Disposition::Completed, Cause::NORMAL)), "{how:?}");
    let records = world.records();
    assert_eq!(records.len(), 2);
    assert!(records.iter().any(|r| r.trunk == "line" && r.talk_ms > 900));
    let intent = world.asked.iter().position(|a| matches!(a, Ask::Intent { .. })).expect("written");
    let ack = world.asked.iter().position(|a| matches!(a, Ask::AckIntent { .. })).expect("written");
    assert!(intent < ack);
}

#[test]
fn a_number_that_nobody_has_is_unallocated_by_its_cause() {
    let mut world = world();
    order(&mut world, "+15559999");
    world.run(60_000);
    world.is_clean();
    assert_eq!(world.finished[0].disposition, Disposition::Unallocated);
    assert_eq!(world.records()[0].disposition, Disposition::Unallocated);
}

#[test]
fn an_alarm_ends_the_calls_of_a_span_and_its_capacity_within_the_same_input() {
    let mut world = world();
    order(&mut world, "+15551234");
    world.run(900);
    let alarm = |span, dead| {
        let what = SpanEvent::Alarm { bits: u16::from(dead), dead, defect: dead };
        Input::Report(Report::Span { worker: 0, span, what })
    };
    world.shard.handle(world.now, alarm(0, true));
    assert_eq!(world.shard.tdm().free("line"), 0);
    world.settle();
    world.shard.handle(world.now, alarm(1, true));
    world.settle();
    world.run(60_000);
    world.is_clean();
    assert!(world.finished.iter().all(|f| f.cause == Cause::OUT_OF_ORDER), "{:?}", world.finished);
    for span in [0, 1] {
        world.shard.handle(world.now, alarm(span, false));
        world.settle();
    }
    world.run(10_000);
    assert_eq!(world.shard.tdm().free("line"), 30);
}
