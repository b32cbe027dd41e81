//! The tests both stores pass: one function per rule, given a fresh store. [`super::sqlite`] and the PostgreSQL store run
//! the same list.

mod bench;
mod cluster;
mod desk;
mod durable;
pub(crate) mod fixture;
mod model;
mod pg;
mod rules;
mod soak;

use super::sqlite::Sqlite;
use fixture::Bed;

/// The rules, as tests on a fresh SQLite store each and as a list for a store that is dear to set up.
macro_rules! suite {
    ($($rule:ident),+ $(,)?) => {
        const ALL: &[(&str, fn(&mut Bed))] = &[$((stringify!($rule), rules::$rule)),+];

        mod sqlite {
            $(
                #[test]
                fn $rule() {
                    super::rules::$rule(&mut super::Bed::new(super::Sqlite::in_memory()));
                }
            )+
        }
    };
}

suite!(
    accept_is_idempotent_by_request_id_and_digest,
    accept_is_all_or_none,
    a_request_id_is_free_again_after_seven_days,
    claims_take_one_priority_in_order_of_due_time,
    an_order_is_claimed_once,
    lines_stand_apart,
    a_lapsed_lease_comes_back_and_fences_its_holder,
    a_dialled_order_never_lapses,
    caps_are_exactly_rolling,
    min_gap_is_kept,
    refunded_caps_are_free_again,
    a_cancelled_order_is_not_dialled,
    a_campaign_that_goes_on_brings_its_orders_forward,
    cancel_is_for_its_tenant_only,
    finish_queues_notices_once_and_in_order,
    records_are_written_once,
    tenants_read_only_their_own,
    pages_walk_newest_first_without_gaps,
    orphans_are_fenced_and_carry_their_journal,
    adopted_orders_belong_to_the_new_owner,
    expired_orders_end_without_being_called,
    next_due_is_the_earliest_of_all,
    uncounted_tries_give_the_attempt_back,
    a_story_is_found_by_its_order,
    retention_forgets_what_is_over_only,
    a_process_that_was_replaced_is_fenced,
    shards_have_one_owner_and_move_when_it_dies,
    shelves_keep_things_by_name,
    a_claim_that_changes_hands_fences_who_claimed,
    no_more_orders_wait_than_may,
    a_transfers_order_is_claimed_as_it_is_accepted_or_not_at_all,
);
