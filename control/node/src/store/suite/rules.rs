//! One rule, one function; each starts from an empty store.

use super::fixture::{Bed, START, cap, order, record, told};
use control::order::{Disposition, Order, State};
use control::store::{Answer, Ask, Error, Keep, Lease, Room, Shelf, StoryLine, attempt_of};
use std::collections::BTreeSet;
use units::{AttemptId, CampaignId, OrderId, ServerId, TenantId, Wall};

const HOUR: u64 = 3_600_000;

pub(super) fn accept_is_idempotent_by_request_id_and_digest(bed: &mut Bed) {
    let first = bed.accept(order(1));
    let again = Order { id: OrderId(99), ..order(1) };
    let same = bed.ask(Ask::Accept {
        orders: vec![(again.clone(), [7; 32])],
        due: vec![Wall(0)],
        room: Room::UNBOUNDED,
    });
    assert!(matches!(same, Ok(Answer::Accepted(a)) if a == vec![(first, false)]));
    let other = bed.ask(Ask::Accept {
        orders: vec![(again.clone(), [8; 32])],
        due: vec![Wall(0)],
        room: Room::UNBOUNDED,
    });
    assert_eq!(other.err(), Some(Error::Conflict));
    // The same request twice in one question is one order.
    let twice = Order { id: OrderId(5), request_id: "new".into(), ..order(1) };
    let copy = Order { id: OrderId(6), ..twice.clone() };
    let both = bed.ask(Ask::Accept {
        orders: vec![(twice, [1; 32]), (copy, [1; 32])],
        due: vec![Wall(0); 2],
        room: Room::UNBOUNDED,
    });
    assert!(matches!(both, Ok(Answer::Accepted(a)) if a == vec![(OrderId(5), true), (OrderId(5), false)]));
    // Another tenant's request of the same name is its own.
    let theirs = Order { id: OrderId(7), tenant: TenantId(2), ..order(1) };
    let answer =
        bed.ask(Ask::Accept { orders: vec![(theirs, [9; 32])], due: vec![Wall(0)], room: Room::UNBOUNDED });
    assert!(matches!(answer, Ok(Answer::Accepted(a)) if a == vec![(OrderId(7), true)]));
}

pub(super) fn accept_is_all_or_none(bed: &mut Bed) {
    bed.accept(order(1));
    let clash = Order { id: OrderId(9), ..order(1) };
    let answer = bed.ask(Ask::Accept {
        orders: vec![(order(2), [7; 32]), (clash, [8; 32])],
        due: vec![Wall(0); 2],
        room: Room::UNBOUNDED,
    });
    assert_eq!(answer.err(), Some(Error::Conflict));
    assert!(matches!(bed.ask(Ask::Status { tenant: None, order: order(2).id }), Ok(Answer::Status(None))));
}

pub(super) fn a_request_id_is_free_again_after_seven_days(bed: &mut Bed) {
    bed.accept(order(1));
    bed.pass(7 * 24 * HOUR + 1);
    let again = Order { id: OrderId(99), ..order(1) };
    let answer =
        bed.ask(Ask::Accept { orders: vec![(again, [8; 32])], due: vec![Wall(0)], room: Room::UNBOUNDED });
    assert!(matches!(answer, Ok(Answer::Accepted(a)) if a == vec![(OrderId(99), true)]));
}

pub(super) fn claims_take_one_priority_in_order_of_due_time(bed: &mut Bed) {
    let late = bed.accept_due(order(1), Wall(START - 1_000));
    let early = bed.accept_due(order(2), Wall(START - 5_000));
    bed.accept_due(order(3), Wall(START + 1));
    let urgent = bed.accept(Order { priority: 9, ..order(4) });
    let ids = |c: Vec<control::store::Claimed>| c.iter().map(|c| c.order.id).collect::<Vec<_>>();
    assert_eq!(ids(bed.claim(9, 10)), vec![urgent]);
    assert_eq!(ids(bed.claim(5, 1)), vec![early]);
    assert_eq!(ids(bed.claim(5, 10)), vec![late], "what is due later is not claimed");
    bed.pass(1);
    assert_eq!(bed.claim(5, 10).len(), 1);
}

pub(super) fn an_order_is_claimed_once(bed: &mut Bed) {
    bed.accept(order(1));
    let claim = Ask::Claim {
        priority: 5,
        tenant: TenantId(1),
        due: bed.now.wall,
        max: 5,
        lease_ms: 10_000,
        owner: ServerId(1),
    };
    let answers = bed.run(vec![claim.clone(), claim]);
    let counts: Vec<usize> = answers
        .into_iter()
        .map(|a| match a {
            Ok(Answer::Claimed(c, None)) => c.len(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, vec![1, 0]);
}

pub(super) fn lines_stand_apart(bed: &mut Bed) {
    bed.accept(order(1));
    bed.accept_due(Order { tenant: TenantId(7), ..order(2) }, Wall(START + 9));
    bed.accept_due(Order { tenant: TenantId(7), ..order(3) }, Wall(START + 8));
    bed.accept(Order { priority: 0, ..order(4) });
    let Ok(Answer::Lines(lines)) = bed.ask(Ask::Lines) else { panic!("lines") };
    let expected = [(0, 1, 0), (5, 1, 0), (5, 7, 8)].map(|(p, t, at)| (p, TenantId(t), Wall(START + at)));
    assert_eq!(lines, expected);
    bed.pass(8);
    let (due, owner) = (bed.now.wall, ServerId(1));
    let claim = Ask::Claim { priority: 5, tenant: TenantId(7), due, max: 9, lease_ms: 1_000, owner };
    let Ok(Answer::Claimed(claimed, next)) = bed.ask(claim) else { panic!("a claim") };
    assert_eq!((claimed[0].order.id, claimed.len()), (order(3).id, 1), "what is due later is not claimed");
    assert_eq!(next, Some(Wall(START + 9)));
}

pub(super) fn a_lapsed_lease_comes_back_and_fences_its_holder(bed: &mut Bed) {
    bed.accept(order(1));
    let old = bed.claim_one();
    assert_eq!((old.lease.epoch, old.crashes), (1, 0));
    bed.pass(10_001);
    assert_eq!(
        bed.intent(&old.lease).err(),
        Some(Error::Fenced),
        "past its time, though nobody claimed it yet"
    );
    let new = bed.claim_one();
    assert_eq!((new.lease.epoch, new.crashes), (2, 1));
    assert_ne!(new.lease.attempt, old.lease.attempt);
    for answer in [
        bed.caps(&old.lease, vec![]),
        bed.intent(&old.lease),
        bed.finish(&old.lease, Disposition::Completed),
        bed.requeue(&old.lease, Wall(START), true, true),
        bed.ask(Ask::Progress { order: old.lease.order, epoch: 1, state: State::Talking }),
        bed.ask(Ask::AckIntent { attempt: old.lease.attempt, epoch: 1, dialog: vec![] }),
    ] {
        assert_eq!(answer.err(), Some(Error::Fenced));
    }
    assert!(matches!(bed.intent(&new.lease), Ok(Answer::Done)));
}

pub(super) fn a_dialled_order_never_lapses(bed: &mut Bed) {
    bed.accept(order(1));
    let held = bed.claim_one();
    assert!(bed.intent(&held.lease).is_ok());
    bed.pass(100 * HOUR);
    assert!(bed.claim(5, 10).is_empty());
    assert!(matches!(bed.finish(&held.lease, Disposition::Completed), Ok(Answer::Done)));
    assert_eq!(bed.state(held.order.id), (State::Done, Some(Disposition::Completed), 1));
    assert_eq!(bed.finish(&held.lease, Disposition::Busy).err(), Some(Error::Fenced), "an order ends once");
}

pub(super) fn caps_are_exactly_rolling(bed: &mut Bed) {
    let mut at = Vec::new();
    for n in 1..=4 {
        bed.accept(order(n));
        let held = bed.claim_one();
        let answer =
            bed.caps(&held.lease, vec![cap("number:a", 3, 24 * HOUR, 0), cap("tenant:1", 99, HOUR, 0)]);
        if n < 4 {
            assert!(matches!(answer, Ok(Answer::CapsTaken)), "{answer:?}");
            at.push(bed.now.wall.0);
            // Asked again under the same lease (the answer was lost), it is not counted twice.
            let again = bed.caps(&held.lease, vec![cap("number:a", 3, 24 * HOUR, 0)]);
            assert!(matches!(again, Ok(Answer::CapsTaken)));
            assert!(bed.intent(&held.lease).is_ok());
            bed.pass(HOUR);
        } else {
            let until = Wall(at[0] + 24 * 3_600_000);
            assert!(
                matches!(&answer, Ok(Answer::Capped { rule, until: u }) if rule == "number:a-3" && *u == until)
            );
            bed.now.wall = until;
            assert_eq!(bed.claim_one().order.id, order(4).id, "the lease lapsed meanwhile");
        }
    }
    // A day after the first, the first has rolled out of the window: one more, and only one.
    bed.accept(order(5));
    let held = bed.claim_one();
    assert!(matches!(bed.caps(&held.lease, vec![cap("number:a", 3, 24 * HOUR, 0)]), Ok(Answer::CapsTaken)));
    bed.accept(order(6));
    let held = bed.claim_one();
    let until = Wall(at[1] + 24 * 3_600_000);
    let answer = bed.caps(&held.lease, vec![cap("number:a", 3, 24 * HOUR, 0)]);
    assert!(matches!(answer, Ok(Answer::Capped { until: u, .. }) if u == until));
}

pub(super) fn min_gap_is_kept(bed: &mut Bed) {
    bed.accept(order(1));
    let held = bed.claim_one();
    assert!(matches!(bed.caps(&held.lease, vec![cap("n", 100, HOUR, 60_000)]), Ok(Answer::CapsTaken)));
    assert!(bed.intent(&held.lease).is_ok());
    bed.pass(59_999);
    bed.accept(order(2));
    let held = bed.claim_one();
    let answer = bed.caps(&held.lease, vec![cap("n", 100, HOUR, 60_000)]);
    assert!(matches!(answer, Ok(Answer::Capped { until, .. }) if until == Wall(START + 60_000)));
    bed.pass(1);
    assert!(matches!(bed.caps(&held.lease, vec![cap("n", 100, HOUR, 60_000)]), Ok(Answer::CapsTaken)));
}

pub(super) fn refunded_caps_are_free_again(bed: &mut Bed) {
    bed.accept(order(1));
    for _ in 0..3 {
        let held = bed.claim_one();
        assert!(matches!(bed.caps(&held.lease, vec![cap("n", 1, HOUR, 0)]), Ok(Answer::CapsTaken)));
        assert!(bed.requeue(&held.lease, bed.now.wall, true, false).is_ok());
    }
    // A lapsed claim under which nothing was dialled gives its caps back as well.
    let held = bed.claim_one();
    assert!(matches!(bed.caps(&held.lease, vec![cap("n", 1, HOUR, 0)]), Ok(Answer::CapsTaken)));
    bed.pass(10_001);
    let held = bed.claim_one();
    assert!(matches!(bed.caps(&held.lease, vec![cap("n", 1, HOUR, 0)]), Ok(Answer::CapsTaken)));
}

pub(super) fn a_cancelled_order_is_not_dialled(bed: &mut Bed) {
    let waiting = bed.accept(order(1));
    let cancel = |order| Ask::Cancel { tenant: TenantId(1), order };
    assert!(matches!(bed.ask(cancel(waiting)), Ok(Answer::Cancelled(true))));
    assert_eq!(bed.state(waiting), (State::Done, Some(Disposition::Cancelled), 0));
    assert_eq!(bed.ask(cancel(waiting)).err(), Some(Error::Conflict), "it is over already");
    assert!(bed.claim(5, 10).is_empty());
    let claimed = bed.accept(order(2));
    let held = bed.claim_one();
    assert!(matches!(bed.ask(cancel(claimed)), Ok(Answer::Cancelled(false))));
    assert!(matches!(bed.caps(&held.lease, vec![cap("n", 1, HOUR, 0)]), Ok(Answer::Cancelled(true))));
    assert!(matches!(bed.intent(&held.lease), Ok(Answer::Cancelled(true))));
    assert!(matches!(bed.requeue(&held.lease, Wall(START), true, false), Ok(Answer::Cancelled(true))));
    assert_eq!(bed.state(claimed), (State::Done, Some(Disposition::Cancelled), 0));
}

/// Method: deferred orders of two campaigns, one that is to be tried again at its own time, one not due yet; pages of two.
pub(super) fn a_campaign_that_goes_on_brings_its_orders_forward(bed: &mut Bed) {
    let of = |n, campaign| Order { campaign: Some(CampaignId(campaign)), ..order(n) };
    for (n, campaign) in [(1, 8), (2, 9), (3, 8), (4, 8), (5, 8)] {
        bed.accept(of(n, campaign));
    }
    let later = Wall(START + 600_000);
    for claimed in bed.claim(5, 10) {
        // The fifth was not reached: it is tried again later by its own rule, not held back.
        let (deferred, due) = (claimed.order.id != order(5).id, later);
        let (order, epoch, decision) = (claimed.lease.order, claimed.lease.epoch, None);
        let back = Ask::Requeue {
            order,
            epoch,
            due,
            deferred,
            decision,
            refund: true,
            counted: false,
            crashed: false,
        };
        assert!(bed.ask(back).is_ok());
    }
    bed.accept_due(of(6, 8), Wall(START + 9));
    let (mut all, mut after) = (0, Some((bed.now.wall, OrderId(0))));
    while let Some(from) = after {
        let campaign = CampaignId(8);
        let (priority, tenant, max) = (5, TenantId(1), 2);
        let ask = Ask::Hasten { priority, tenant, campaign, after: from, until: later, max };
        let Ok(Answer::Hastened(count, next)) = bed.ask(ask) else { panic!("hastened") };
        all += count;
        after = next;
    }
    assert_eq!(all, 3);
    let due: Vec<OrderId> = bed.claim(5, 10).iter().map(|c| c.order.id).collect();
    assert_eq!(due, [1, 3, 4].map(|n| order(n).id));
    bed.now = bed.now.plus(std::time::Duration::from_secs(601));
    assert_eq!(bed.claim(5, 10).len(), 6, "the others come by themselves, and the leases have lapsed");
}

pub(super) fn cancel_is_for_its_tenant_only(bed: &mut Bed) {
    let id = bed.accept(order(1));
    assert_eq!(bed.ask(Ask::Cancel { tenant: TenantId(2), order: id }).err(), Some(Error::NotFound));
    assert_eq!(bed.ask(Ask::Cancel { tenant: TenantId(1), order: OrderId(1) }).err(), Some(Error::NotFound));
    assert_eq!(bed.state(id).0, State::Scheduled);
}

pub(super) fn finish_queues_notices_once_and_in_order(bed: &mut Bed) {
    bed.accept(told(1));
    let held = bed.claim_one();
    assert!(bed.intent(&held.lease).is_ok());
    let talking = Ask::Progress { order: held.order.id, epoch: held.lease.epoch, state: State::Talking };
    assert!(bed.ask(talking).is_ok());
    assert!(bed.finish(&held.lease, Disposition::Completed).is_ok());
    let mut hooks = Vec::new();
    let mut mails = Vec::new();
    for _ in 0..5 {
        let Ok(Answer::Notices(due)) = bed.ask(Ask::Notices { max: 10 }) else { panic!("notices are read") };
        for notice in due {
            assert!(notice.body.contains("r-1"));
            match notice.to {
                control::order::ResultTo::Webhook(_) => hooks.push(notice.seq),
                control::order::ResultTo::Mail(_) => mails.push(notice.seq),
            }
            assert!(bed.ask(Ask::NoticeDone { id: notice.id, retry: None, given_up: false }).is_ok());
        }
    }
    assert_eq!((hooks, mails), (vec![2, 3, 4], vec![4]), "each once, in order; mail at the end only");
    // One that is to be tried again waits, hides its successors, and counts its tries.
    bed.accept(told(2));
    let held = bed.claim_one();
    assert!(bed.intent(&held.lease).is_ok());
    let Ok(Answer::Notices(due)) = bed.ask(Ask::Notices { max: 10 }) else { panic!() };
    let retry = Some(Wall(bed.now.wall.0 + 5_000));
    assert!(bed.ask(Ask::NoticeDone { id: due[0].id, retry, given_up: false }).is_ok());
    assert!(bed.finish(&held.lease, Disposition::Busy).is_ok());
    let Ok(Answer::Notices(early)) = bed.ask(Ask::Notices { max: 10 }) else { panic!() };
    assert!(early.iter().all(|n| matches!(n.to, control::order::ResultTo::Mail(_))));
    bed.pass(5_000);
    let Ok(Answer::Notices(again)) = bed.ask(Ask::Notices { max: 10 }) else { panic!() };
    assert_eq!(again.iter().map(|n| (n.seq, n.tries)).collect::<Vec<_>>(), vec![(2, 1)]);
}

pub(super) fn records_are_written_once(bed: &mut Bed) {
    assert!(bed.ask(Ask::Append(vec![record(1, 1), record(2, 1), record(1, 1)])).is_ok());
    assert!(bed.ask(Ask::Append(vec![record(2, 1), record(3, 2)])).is_ok());
    let ask = Ask::Records { tenant: None, order: None, after: 0, limit: 10 };
    let Ok(Answer::Records(all)) = bed.ask(ask) else { panic!("records are read") };
    assert_eq!(all.iter().map(|(_, r)| r.attempt.0).collect::<Vec<_>>(), vec![2, 3, 4]);
    let after = all[0].0;
    let ask = Ask::Records { tenant: Some(TenantId(1)), order: None, after, limit: 10 };
    let Ok(Answer::Records(page)) = bed.ask(ask) else { panic!() };
    assert_eq!(page, vec![all[1].clone()]);
    let ask = Ask::Records { tenant: None, order: Some(order(3).id), after: 0, limit: 10 };
    assert!(matches!(bed.ask(ask), Ok(Answer::Records(r)) if r.len() == 1));
}

pub(super) fn tenants_read_only_their_own(bed: &mut Bed) {
    let id = bed.accept(order(1));
    let status = |tenant| Ask::Status { tenant: Some(TenantId(tenant)), order: id };
    assert!(matches!(bed.ask(status(1)), Ok(Answer::Status(Some(_)))));
    assert!(matches!(bed.ask(status(2)), Ok(Answer::Status(None))));
    let list = Ask::List { tenant: Some(TenantId(2)), after: None, state: None, limit: 10 };
    assert!(matches!(bed.ask(list), Ok(Answer::List(l)) if l.is_empty()));
    assert!(bed.ask(Ask::Append(vec![record(1, 1)])).is_ok());
    let ask = Ask::Records { tenant: Some(TenantId(2)), order: Some(order(1).id), after: 0, limit: 10 };
    assert!(matches!(bed.ask(ask), Ok(Answer::Records(r)) if r.is_empty()));
}

pub(super) fn pages_walk_newest_first_without_gaps(bed: &mut Bed) {
    for n in 1..=7 {
        bed.accept(order(n));
        bed.pass(u64::from(n % 2));
    }
    let held = bed.claim(5, 1).remove(0);
    assert!(bed.finish(&held.lease, Disposition::Refused).is_ok());
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let Ok(Answer::List(page)) =
            bed.ask(Ask::List { tenant: Some(TenantId(1)), after, state: None, limit: 3 })
        else {
            panic!("a page is read")
        };
        let Some(last) = page.last() else { break };
        after = Some(last.order.id);
        seen.extend(page.iter().map(|s| (s.accepted, s.order.id)));
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by(|a, b| a > b), "newest first, each once");
    let done = Ask::List { tenant: None, after: None, state: Some(State::Done), limit: 10 };
    assert!(matches!(bed.ask(done), Ok(Answer::List(l)) if l.len() == 1 && l[0].order.id == held.order.id));
    let waiting = Ask::List { tenant: None, after: None, state: Some(State::Scheduled), limit: 10 };
    assert!(matches!(bed.ask(waiting), Ok(Answer::List(l)) if l.len() == 6));
}

pub(super) fn orphans_are_fenced_and_carry_their_journal(bed: &mut Bed) {
    for n in 1..=3 {
        bed.accept(order(n));
    }
    let held = bed.claim(5, 10);
    assert!(bed.intent(&held[1].lease).is_ok());
    assert!(bed.intent(&held[2].lease).is_ok());
    let ack = Ask::AckIntent { attempt: held[2].lease.attempt, epoch: held[2].lease.epoch, dialog: vec![9] };
    assert!(bed.ask(ack).is_ok());
    let Ok(Answer::Orphans(orphans)) = bed.ask(Ask::Orphans { owner: ServerId(1) }) else {
        panic!("orphans")
    };
    let told: BTreeSet<_> =
        orphans.iter().map(|o| (o.order.id, o.intent.is_some(), o.acked.clone(), o.attempts)).collect();
    let expected = BTreeSet::from([
        (held[0].order.id, false, None, 0),
        (held[1].order.id, true, None, 1),
        (held[2].order.id, true, Some(vec![9]), 1),
    ]);
    assert_eq!(told, expected);
    for claimed in &held {
        assert_eq!(bed.finish(&claimed.lease, Disposition::Completed).err(), Some(Error::Fenced));
    }
    for orphan in &orphans {
        assert_eq!(orphan.lease.attempt, attempt_of(orphan.order.id, 1), "it is still that attempt");
        assert!(bed.finish(&orphan.lease, Disposition::Unknown).is_ok());
    }
    assert!(matches!(bed.ask(Ask::Orphans { owner: ServerId(1) }), Ok(Answer::Orphans(o)) if o.is_empty()));
}

pub(super) fn adopted_orders_belong_to_the_new_owner(bed: &mut Bed) {
    bed.accept(order(1));
    let held = bed.claim_one();
    assert!(bed.intent(&held.lease).is_ok());
    let adopt = Ask::Adopt { from: ServerId(1), to: ServerId(2), life: 0 };
    assert!(matches!(bed.ask(adopt), Ok(Answer::Orphans(o)) if o.len() == 1));
    assert!(matches!(bed.ask(Ask::Orphans { owner: ServerId(1) }), Ok(Answer::Orphans(o)) if o.is_empty()));
    assert!(matches!(bed.ask(Ask::Orphans { owner: ServerId(2) }), Ok(Answer::Orphans(o)) if o.len() == 1));
}

pub(super) fn expired_orders_end_without_being_called(bed: &mut Bed) {
    bed.accept(Order { expires: Wall(START + 5), ..order(1) });
    bed.accept(order(2));
    assert!(matches!(bed.ask(Ask::Expire { max: 10 }), Ok(Answer::Expired(e)) if e.is_empty()));
    bed.pass(5);
    assert!(matches!(bed.ask(Ask::Expire { max: 10 }), Ok(Answer::Expired(e)) if e == vec![order(1).id]));
    assert_eq!(bed.state(order(1).id), (State::Done, Some(Disposition::Expired), 0));
    assert_eq!(bed.claim(5, 10).len(), 1, "the other is still there");
}

pub(super) fn next_due_is_the_earliest_of_all(bed: &mut Bed) {
    let next = |bed: &mut Bed| match bed.ask(Ask::NextDue) {
        Ok(Answer::NextDue(at)) => at.map(|w| w.0 - START),
        other => panic!("{other:?}"),
    };
    assert_eq!(next(bed), None);
    bed.accept_due(order(1), Wall(START + 500));
    assert_eq!(next(bed), Some(500));
    bed.accept_due(Order { priority: 0, ..order(2) }, Wall(START + 400));
    assert_eq!(next(bed), Some(400));
    bed.accept_due(Order { expires: Wall(START + 300), ..order(3) }, Wall(START + 900));
    assert_eq!(next(bed), Some(300), "an expiry comes first");
    bed.pass(600);
    assert_eq!(bed.claim(5, 10).len(), 1);
    assert!(matches!(bed.ask(Ask::Expire { max: 9 }), Ok(Answer::Expired(e)) if e.len() == 1));
    assert_eq!(bed.claim(0, 10).len(), 1);
    assert_eq!(next(bed), Some(10_600), "then the leases");
}

pub(super) fn uncounted_tries_give_the_attempt_back(bed: &mut Bed) {
    bed.accept(order(1));
    let held = bed.claim_one();
    assert!(bed.intent(&held.lease).is_ok());
    assert_eq!(bed.state(held.order.id), (State::Calling, None, 1));
    assert!(bed.requeue(&held.lease, bed.now.wall, false, false).is_ok());
    let held = bed.claim_one();
    assert_eq!((held.attempts, held.tries), (0, 1));
    assert!(bed.intent(&held.lease).is_ok());
    assert!(bed.requeue(&held.lease, bed.now.wall, false, true).is_ok());
    let held = bed.claim_one();
    assert_eq!((held.attempts, held.tries, held.crashes), (1, 0, 0));
}

pub(super) fn a_story_is_found_by_its_order(bed: &mut Bed) {
    let id = bed.accept(order(1));
    let held = bed.claim_one();
    let line = |at: i64, attempt: AttemptId, text: &str| StoryLine {
        at: Wall(START + at),
        attempt,
        kind: "sip".into(),
        text: text.into(),
    };
    let lines = vec![line(2, held.lease.attempt, "INVITE"), line(1, attempt_of(id, 0), "accepted")];
    assert!(bed.ask(Ask::Story(lines)).is_ok());
    assert!(bed.finish(&held.lease, Disposition::Failed).is_ok());
    let Ok(Answer::Story(told)) = bed.ask(Ask::StoryOf(id)) else { panic!("a story") };
    assert_eq!(told.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), vec!["accepted", "INVITE"]);
}

pub(super) fn retention_forgets_what_is_over_only(bed: &mut Bed) {
    bed.accept(order(1));
    let held = bed.claim_one();
    assert!(bed.finish(&held.lease, Disposition::Completed).is_ok());
    bed.accept(order(2));
    assert!(bed.ask(Ask::Append(vec![record(1, 1)])).is_ok());
    bed.pass(10 * 24 * HOUR);
    let now = bed.now.wall;
    assert!(bed.ask(Ask::Prune { orders: now, records: now, intake: now }).is_ok());
    assert!(matches!(bed.ask(Ask::Status { tenant: None, order: order(1).id }), Ok(Answer::Status(None))));
    assert_eq!(bed.state(order(2).id).0, State::Scheduled);
    let ask = Ask::Records { tenant: None, order: None, after: 0, limit: 10 };
    assert!(matches!(bed.ask(ask), Ok(Answer::Records(r)) if r.is_empty()));
}

pub(super) fn a_process_that_was_replaced_is_fenced(bed: &mut Bed) {
    let beat = |bed: &mut Bed, name: &str, epoch| {
        let (name, role, address) = (name.to_owned(), "control".to_owned(), "127.0.0.1:1".to_owned());
        bed.ask(Ask::Beat { name, role, address, epoch, load: None })
    };
    let Ok(Answer::Nodes(nodes)) = beat(bed, "a", 0) else { panic!("a beat") };
    assert_eq!((nodes[0].id, nodes[0].epoch), (ServerId(1), 1));
    assert!(beat(bed, "a", 1).is_ok());
    let Ok(Answer::Nodes(nodes)) = beat(bed, "b", 0) else { panic!() };
    assert_eq!(nodes.iter().map(|n| n.id.0).collect::<Vec<_>>(), vec![2, 1], "the asker first");
    let Ok(Answer::Nodes(nodes)) = beat(bed, "a", 0) else { panic!() };
    assert_eq!((nodes[0].id, nodes[0].epoch), (ServerId(1), 2), "same name, next life");
    assert_eq!(beat(bed, "a", 1).err(), Some(Error::Fenced));
}

pub(super) fn shards_have_one_owner_and_move_when_it_dies(bed: &mut Bed) {
    let turn = |bed: &mut Bed, name: &str, epoch| {
        let (name, role, address) = (name.to_owned(), "control".to_owned(), String::new());
        let Ok(Answer::Nodes(nodes)) = bed.ask(Ask::Beat { name, role, address, epoch, load: None }) else {
            panic!("a beat")
        };
        match bed.ask(Ask::KeepShards { owner: nodes[0].id, keep_ms: 2_000 }) {
            Ok(Answer::Shards(shards)) => shards,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(turn(bed, "a", 0).len(), 64);
    assert!(turn(bed, "b", 0).is_empty(), "nothing is free yet");
    bed.pass(500);
    let first = turn(bed, "a", 1);
    let second = turn(bed, "b", 1);
    assert_eq!((first.len(), second.len()), (32, 32), "the first gives half up, the second takes it");
    let all: BTreeSet<u8> = first.iter().chain(&second).map(|(shard, _)| *shard).collect();
    assert_eq!(all.len(), 64);
    assert_eq!(turn(bed, "a", 1), first, "and nothing wanders");
    // The first node dies: within its time and a beat the second has all of it, with new fencing numbers.
    bed.pass(1_500);
    assert_eq!(turn(bed, "b", 1).len(), 32);
    bed.pass(501);
    let taken = turn(bed, "b", 1);
    assert_eq!(taken.len(), 64);
    assert!(first.iter().all(|(shard, epoch)| taken.contains(&(*shard, epoch + 1))));
}

pub(super) fn shelves_keep_things_by_name(bed: &mut Bed) {
    let keep = |name: &str, value: Option<&[u8]>| Keep {
        shelf: Shelf::Tenants,
        name: name.to_owned(),
        value: value.map(<[u8]>::to_vec),
    };
    let changes = vec![
        keep("a/2", Some(&[2])),
        keep("a/1", Some(&[1])),
        keep("b/1", Some(&[3])),
        keep("a/Z", Some(&[9])),
    ];
    assert!(bed.ask(Ask::Keep(changes)).is_ok());
    assert!(bed.ask(Ask::Keep(vec![keep("a/1", Some(&[7])), keep("b/1", None)])).is_ok());
    let page = |bed: &mut Bed, after: Option<&str>, limit| {
        let (shelf, prefix, after) = (Shelf::Tenants, "a/".to_owned(), after.map(str::to_owned));
        match bed.ask(Ask::KeptFrom { shelf, prefix, after, limit }) {
            Ok(Answer::KeptFrom(things)) => {
                things.into_iter().map(|(name, value)| (name, value[0])).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page(bed, None, 2), [("a/1".to_owned(), 7), ("a/2".to_owned(), 2)]);
    assert_eq!(page(bed, Some("a/2"), 2), [("a/Z".to_owned(), 9)], "in order of octets");
    let gone = Ask::Kept { shelf: Shelf::Tenants, name: "b/1".into() };
    assert!(matches!(bed.ask(gone), Ok(Answer::Kept(None))));
    let elsewhere = Ask::Kept { shelf: Shelf::Campaigns, name: "a/1".into() };
    assert!(matches!(bed.ask(elsewhere), Ok(Answer::Kept(None))));
}

pub(super) fn a_claim_that_changes_hands_fences_who_claimed(bed: &mut Bed) {
    let id = bed.accept(order(1));
    let claimed = bed.claim_one();
    assert!(bed.caps(&claimed.lease, vec![cap("k", 1, 60_000, 0)]).is_ok());
    let take = |bed: &mut Bed, lease: &Lease| {
        bed.ask(Ask::Take { lease: lease.clone(), owner: ServerId(9), lease_ms: 5_000 })
    };
    let Ok(Answer::Claimed(taken, None)) = take(bed, &claimed.lease) else { panic!("it is taken over") };
    let own = &taken[0].lease;
    assert_eq!((own.order, own.attempt, own.epoch), (id, claimed.lease.attempt, claimed.lease.epoch + 1));
    assert_eq!(taken[0].order.to, order(1).to, "whom to call comes from the store");
    assert_eq!(take(bed, &claimed.lease).err(), Some(Error::Fenced), "once");
    let back = bed.requeue(&claimed.lease, Wall(START), true, false);
    assert_eq!(back.err(), Some(Error::Fenced), "who claimed it has nothing to say any more");
    assert_eq!(bed.caps(own, Vec::new()).map(|_| ()), Ok(()), "the caps stay taken");
    assert!(bed.intent(own).is_ok());
    assert_eq!(take(bed, own).err(), Some(Error::Fenced), "what was dialled stays where it is");
    match bed.ask(Ask::Orphans { owner: ServerId(9) }) {
        Ok(Answer::Orphans(orphans)) => assert_eq!(orphans.len(), 1, "it is the new owner's"),
        other => panic!("{other:?}"),
    }
    // Put back before it was taken over: then the offer is void.
    bed.accept(order(2));
    let claimed = bed.claim_one();
    assert!(bed.requeue(&claimed.lease, Wall(START), true, false).is_ok());
    assert_eq!(take(bed, &claimed.lease).err(), Some(Error::Fenced));
    let again = bed.claim_one();
    bed.pass(20_000);
    assert_eq!(take(bed, &again.lease).err(), Some(Error::Fenced), "a lease past its time");
}

pub(super) fn no_more_orders_wait_than_may(bed: &mut Bed) {
    let accept = |bed: &mut Bed, n: u32, tenant: u32, room: Room| {
        let order = Order { tenant: TenantId(tenant), ..order(n) };
        bed.ask(Ask::Accept { orders: vec![(order, [7; 32])], due: vec![Wall(START)], room }).map(|_| ())
    };
    let room = Room { tenant: 2, all: 3 };
    assert_eq!(accept(bed, 1, 1, room), Ok(()));
    assert_eq!(accept(bed, 2, 1, room), Ok(()));
    assert_eq!(accept(bed, 3, 1, room), Err(Error::Full { tenant: true }));
    assert_eq!(accept(bed, 2, 1, room), Ok(()), "a repeat is no new order");
    assert_eq!(accept(bed, 4, 2, room), Ok(()));
    assert_eq!(accept(bed, 5, 3, room), Err(Error::Full { tenant: false }));
    // Two in one batch see each other.
    let asks = [6, 7].map(|n| {
        let order = Order { tenant: TenantId(4), ..order(n) };
        Ask::Accept {
            orders: vec![(order, [7; 32])],
            due: vec![Wall(START)],
            room: Room { tenant: 1, all: 99 },
        }
    });
    let answers = bed.run(asks.into());
    assert!(answers[0].is_ok() && answers[1].is_err());
    // One ends, one may come.
    let claimed = bed.claim(5, 1).remove(0);
    assert_eq!(accept(bed, 8, 1, room), Err(Error::Full { tenant: true }), "it waits until it is over");
    assert!(bed.finish(&claimed.lease, Disposition::Completed).is_ok());
    assert_eq!(accept(bed, 8, 1, Room { tenant: 2, all: 99 }), Ok(()));
}

pub(super) fn a_transfers_order_is_claimed_as_it_is_accepted_or_not_at_all(bed: &mut Bed) {
    let second = |n: u32| Ask::Second {
        order: Box::new(order(n)),
        caps: vec![cap("agent", 1, HOUR, 0)],
        decision: "{}".into(),
        lease_ms: 10_000,
        owner: ServerId(1),
    };
    assert!(matches!(bed.ask(second(1)), Ok(Answer::CapsTaken)));
    assert!(bed.claim(5, 10).is_empty(), "nobody else can claim it");
    let lease = Lease {
        order: order(1).id,
        attempt: attempt_of(order(1).id, 1),
        epoch: 1,
        until: Wall(START + 10_000),
    };
    assert!(matches!(bed.intent(&lease), Ok(Answer::Done)));
    assert_eq!(bed.state(lease.order), (State::Calling, None, 1));
    // What a cap forbids leaves nothing behind.
    assert!(matches!(bed.ask(second(2)), Ok(Answer::Capped { rule, .. }) if rule == "agent-1"));
    assert!(matches!(bed.ask(Ask::Status { tenant: None, order: order(2).id }), Ok(Answer::Status(None))));
    assert!(matches!(bed.finish(&lease, Disposition::Completed), Ok(Answer::Done)));
    assert_eq!(bed.state(lease.order), (State::Done, Some(Disposition::Completed), 1));
    // One that was never dialled lapses; whoever claims it then sees what it is.
    bed.pass(HOUR + 1);
    assert!(matches!(bed.ask(second(3)), Ok(Answer::CapsTaken)));
    bed.pass(10_001);
    assert_eq!(bed.claim_one().lease.epoch, 2);
}
