//! Which trunk is chosen, by rank, weight, room and health.

use super::*;
use crate::config;
use signalling::leg::Transport;

fn board(text: &str) -> (Board, Plan) {
    let config = config::parse("t", text).expect("reads");
    let plan = Plan::new(&config.trunks, &config.trunk_groups, &[], "+1", Some("+1")).expect("a way");
    let mut board = Board::new(BoardLimits::default(), Seed(1));
    board.configure(Mono(0), &config.trunks, &config.trunk_groups);
    (board, plan)
}

/// A trunk's text.
fn trunk(name: &str, more: &str) -> String {
    let port = 5_000 + u32::from(name.bytes().next().expect("a letter"));
    format!("[[trunks]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\nprefixes = [\"*\"]\n{more}\n")
}

fn pick(board: &mut Board, ms: u64, plan: &Plan) -> Result<(String, Circuit), Busy> {
    board.pick(Mono::from_ms(ms), plan).map(|(trunk, _, circuit)| (trunk.name.clone(), circuit))
}

#[test]
fn equals_share_by_weight_and_the_next_rank_gets_the_overflow() {
    let text = trunk("a", "weight = 30\ncalls_max = 300\nrate = \"9999/s\"")
        + &trunk("b", "weight = 10\ncalls_max = 100\nrate = \"9999/s\"")
        + &trunk("c", "priority = 200\ncalls_max = 3\nrate = \"9999/s\"");
    let (mut board, plan) = board(&text);
    let mut circuits = Vec::new();
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        let (name, circuit) = pick(&mut board, 1, &plan).expect("there is room");
        *counts.entry(name).or_default() += 1;
        circuits.push(circuit);
    }
    assert!((130..=170).contains(&counts["a"]) && !counts.contains_key("c"), "{counts:?}");
    while let Ok((_, circuit)) = pick(&mut board, 2, &plan) {
        circuits.push(circuit);
    }
    assert_eq!(circuits.len(), 403, "all that there is, and no more");
    assert_eq!(board.view(Mono(0)).iter().map(|t| t.calls).collect::<Vec<_>>(), [300, 100, 3]);
    for circuit in circuits {
        board.release(Mono(0), circuit, End::Fine);
    }
    assert!(board.view(Mono(0)).iter().all(|t| t.calls == 0));
}

#[test]
fn set_ups_are_paced_and_who_comes_too_fast_hears_when() {
    let (mut board, plan) = board(&trunk("a", "rate = \"2/s\""));
    let (_, first) = pick(&mut board, 1_000, &plan).expect("a token");
    let busy = pick(&mut board, 1_000, &plan).map(|_| ()).expect_err("none left");
    assert_eq!(busy.retry_at, Some(Mono::from_ms(1_500)));
    let (_, second) = pick(&mut board, 1_500, &plan).expect("the next");
    board.release(Mono(0), first, End::Fine);
    board.release(Mono(0), second, End::Fine);
}

#[test]
fn a_group_bounds_its_members_together() {
    let group = "[[trunk_groups]]\nname = \"g\"\ncalls_max = 1\n";
    let text = group.to_owned() + &trunk("a", "group = \"g\"") + &trunk("b", "group = \"g\"");
    let (mut board, plan) = board(&text);
    assert_eq!(board.room(Mono(0)), (1, 50_000));
    let (_, one) = pick(&mut board, 1, &plan).expect("room");
    assert_eq!(pick(&mut board, 1, &plan).map(|_| ()), Err(Busy { retry_at: None }));
    board.release(Mono(0), one, End::Fine);
    let (_, one) = pick(&mut board, 100, &plan).expect("room again");
    board.release(Mono(0), one, End::Fine);
}

#[test]
fn a_trunk_that_fails_is_left_out_and_tried_by_one_call_later() {
    let (mut board, plan) = board(&(trunk("a", "priority = 1") + &trunk("b", "")));
    for n in 0..3 {
        let (name, circuit) = pick(&mut board, n * 100, &plan).expect("up");
        assert_eq!(name, "a");
        board.release(Mono::from_ms(n * 100), circuit, End::Failed { retry_after_s: None });
    }
    let (name, circuit) = pick(&mut board, 1_000, &plan).expect("the other");
    assert_eq!(name, "b");
    board.release(Mono(0), circuit, End::Fine);
    assert_eq!(board.view(Mono::from_ms(1_000))[0].why, "its calls failed; tried again in 5 s");
    assert_eq!(board.deadline(Mono::from_ms(1_000)), Some(Mono::from_ms(5_200)));
    let (name, mut trial) = pick(&mut board, 5_200, &plan).expect("on trial");
    assert_eq!(name, "a");
    let (name, other) = pick(&mut board, 5_300, &plan).expect("one at a time");
    assert_eq!(name, "b");
    board.heard(Mono::from_ms(5_400), &mut trial, End::Fine);
    assert_eq!(
        board.view(Mono::from_ms(5_400))[0].state,
        "up",
        "as soon as it rings, not when the call ends"
    );
    board.release(Mono(0), trial, End::Fine);
    board.release(Mono(0), other, End::Fine);
}

#[test]
fn rfc7339_5_4_a_peer_that_asks_for_less_gets_less() {
    let (mut board, plan) = board(&trunk("a", "rate = \"9999/s\"\ncalls_max = 9999"));
    board.reduce(Mono(0), "127.0.0.1:5097".parse().expect("an address"), 50, 1_000);
    let circuits: Vec<Circuit> =
        (0..400).filter_map(|_| pick(&mut board, 500, &plan).ok().map(|(_, c)| c)).collect();
    assert!((150..=250).contains(&circuits.len()), "{}", circuits.len());
    assert!(pick(&mut board, 1_000, &plan).map(|(_, c)| board.release(Mono(0), c, End::Unused)).is_ok());
    for circuit in circuits {
        board.release(Mono(0), circuit, End::Fine);
    }
}

#[test]
fn a_probed_trunk_is_out_while_it_does_not_answer() {
    let (mut board, plan) = board(&trunk("a", "probe = \"10s\""));
    let address = "127.0.0.1:5097".parse().expect("an address");
    board.peer(address, false);
    assert_eq!(board.room(Mono(0)), (0, 0));
    assert!(pick(&mut board, 1, &plan).is_err());
    board.peer(address, true);
    assert_eq!(board.room(Mono(0)), (1_000, 50_000));
}

/// RFC 3263 §4.3: the addresses of one name are tried in turn, and one that failed is left out for a while.
#[test]
fn rfc3263_4_3_the_addresses_of_a_name_are_tried_in_turn() {
    let text = "[[trunks]]\nname = \"n\"\naddress = \"sip.example.com\"\nprefixes = [\"*\"]\n";
    let (mut board, mut plan) = board(text);
    assert!(pick(&mut board, 1, &plan).is_err(), "nobody knows where it is");
    assert_eq!(board.view(Mono(0))[0].why, "its name has not been resolved");
    let target =
        |host: u8| Target { transport: Transport::Tcp, addr: SocketAddr::from(([192, 0, 2, host], 5060)) };
    board.located("n", vec![target(1), target(2)]);
    board.located("n", Vec::new());
    let mut places = Vec::new();
    while let Ok((trunk, target, circuit)) = board.pick(Mono::from_ms(1_000), &plan) {
        plan.tried.push((trunk.name.clone(), target.addr));
        places.push(target);
        board.release(Mono::from_ms(1_000), circuit, End::Failed { retry_after_s: None });
    }
    assert_eq!(places, [target(1), target(2)]);
    plan.tried.clear();
    board.located("n", vec![target(1), target(3)]);
    let (_, chosen, circuit) = board.pick(Mono::from_ms(2_000), &plan).expect("a new one");
    assert_eq!(chosen, target(3), "the first has failed just now");
    board.release(Mono::from_ms(2_000), circuit, End::Fine);
    assert_eq!(board.addresses().count(), 2);
}

#[test]
fn a_trunk_that_wants_us_registered_waits_for_it() {
    let (mut board, plan) = board(&trunk("a", "user = \"u\"\npassword = \"p\"\nregister = {}"));
    assert_eq!((board.registrations().len(), board.view(Mono(0))[0].state.as_str()), (1, "down"));
    assert_eq!(board.registrations()[0].aor.expose(), "sip:u@127.0.0.1:5097");
    assert!(pick(&mut board, 1, &plan).is_err());
    board.registered("a", true);
    let (_, circuit) = pick(&mut board, 1, &plan).expect("registered");
    board.release(Mono(0), circuit, End::Fine);
    board.registered("a", false);
    assert_eq!(board.view(Mono(0))[0].why, "we are not registered there");
}

#[test]
fn a_trunk_that_left_the_configuration_goes_with_its_last_call() {
    let (mut board, plan) = board(&(trunk("a", "") + &trunk("b", "weight = 0")));
    let (name, circuit) = pick(&mut board, 1, &plan).expect("room");
    assert_eq!(name, "a");
    let only = config::parse("t", &trunk("b", "")).expect("reads");
    board.configure(Mono(0), &only.trunks, &[]);
    assert_eq!(board.view(Mono(0))[0].state, "removed");
    let (name, other) = pick(&mut board, 1, &plan).expect("the one that stayed");
    assert_eq!(name, "b");
    board.release(Mono(0), circuit, End::Fine);
    board.release(Mono(0), other, End::Fine);
    assert_eq!(board.view(Mono(0)).len(), 1);
}
