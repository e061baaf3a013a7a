//! One suite for every implementation of the ports: what holds here, the rest
//! of Weir may rely on.
//!
//! An embedded store is made anew for each case. A nats-server, and a cluster
//! of three, are started once and shared by all cases; the cases of the queue
//! then run one after another, for a queue hands any job to anyone.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod doubt;
#[cfg(test)]
mod erase;
#[cfg(test)]
mod follow;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod leases;
#[cfg(test)]
mod log;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod records;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod world;

/// Gives the list of all cases to a macro, behind what else it is to have.
macro_rules! with_every_case {
    ($macro:ident $(($($with:tt)*))?) => {
        $macro! {
            ($($($with)*)?)
            log: [
                entries_are_read_back_in_the_order_they_were_chained,
                a_session_never_written_to_is_empty,
                an_append_that_follows_another_entry_than_the_last_is_refused,
                of_many_writers_exactly_one_wins_each_step,
                sessions_never_meet_whatever_their_ids,
                a_read_keeps_to_its_limits,
                a_purge_erases_what_is_before_a_place,
                after_a_purge_of_everything_the_chain_starts_anew_and_no_place_is_reused,
                an_entry_past_its_limit_is_too_large,
                a_live_tail_brings_what_was_stored_in_order_and_nothing_refused,
                a_live_tail_and_the_last_entry_miss_nothing_between_them,
            ],
            doubt: [
                an_append_is_stored_or_refused,
                an_append_whose_acknowledgement_was_lost_counts_once,
                an_append_that_was_lost_is_tried_again,
                an_append_in_doubt_is_refused_when_another_was_first,
                an_append_in_doubt_is_found_behind_a_later_entry,
            ],
            follow: [
                a_reader_from_the_start_sees_everything,
                a_reader_after_a_position_sees_the_rest,
                a_reader_at_a_position_sees_that_entry_first,
                a_reader_of_the_turn_sees_it_from_its_beginning,
                a_reader_from_now_sees_only_what_comes,
                a_reader_opened_while_entries_are_written_sees_each_once,
                a_slow_reader_misses_nothing,
                a_dropped_wait_loses_nothing,
                many_readers_see_the_same,
            ],
            gaps: [
                a_position_of_another_log_is_a_gap,
                a_position_of_another_session_is_a_gap,
                a_position_beyond_the_end_is_a_gap,
                a_purged_position_is_a_gap,
                a_start_that_was_purged_is_a_gap,
                a_log_that_is_all_gone_is_a_gap,
                a_tombstone_is_no_gap,
                an_entry_that_was_asked_for_and_is_gone_is_a_gap,
                a_turn_whose_beginning_is_gone_begins_with_a_gap,
                a_gap_names_the_first_entry_that_follows,
                a_log_that_expires_under_a_reader_is_a_gap,
            ],
            queue: [
                jobs_come_in_the_order_they_were_accepted,
                a_job_arrives_as_it_was_submitted,
                a_waiting_worker_gets_a_job_that_is_submitted_later,
                only_an_empty_session_admits_if_empty,
                only_the_newest_job_admits_if_last,
                a_session_is_full_at_its_depth,
                the_same_turn_is_accepted_once,
                the_same_turn_is_accepted_once_by_many_at_once,
                a_job_past_its_limit_is_too_large,
                pending_jobs_are_listed_in_order_with_the_one_that_runs,
                the_sessions_of_a_user_that_have_jobs_are_known_with_how_many,
                a_session_is_busy_until_its_last_job_is_acknowledged,
                the_first_job_of_a_session_is_known,
                a_cleared_session_has_no_jobs,
                a_session_cleared_under_its_worker_goes_on,
                a_job_that_cannot_be_read_is_filed_and_holds_nobody_up,
                a_job_of_another_format_is_filed_and_delivered_so_that_its_turn_can_end,
                a_job_without_a_turn_is_refused,
                many_workers_get_every_job,
            ],
            leases: [
                a_job_whose_lease_ended_comes_again,
                progress_keeps_a_job,
                a_job_given_back_comes_again_after_its_delay,
                an_acknowledged_job_never_comes_again,
                a_late_acknowledgement_counts_too,
                a_dropped_wait_loses_no_job,
            ],
            erase: [
                an_erased_session_is_gone_and_others_are_not,
                a_session_that_never_was_has_nothing_to_erase,
                erasing_twice_is_erasing_once,
                an_erasure_tells_how_much_it_removed,
                every_part_of_a_session_is_enough_to_erase_it,
                what_a_user_keeps_outlives_his_sessions,
                a_reader_of_an_erased_session_sees_no_gap,
                a_session_that_was_erased_may_be_lived_in_and_erased_again,
                nobody_speaks_behind_a_tombstone_unless_he_knows_it,
                a_turn_that_does_not_stop_speaking_is_erased,
            ],
            records: [
                a_value_is_read_back_with_its_revision,
                what_is_not_there_is_none,
                a_change_must_expect_the_revision_it_saw,
                only_one_of_many_creates_a_record,
                a_deleted_record_is_gone_and_its_revision_is_not_reused,
                keys_are_listed_below_a_prefix_in_order,
                records_are_read_below_a_prefix_in_order,
                a_record_that_vanishes_while_they_are_read_is_left_out,
                a_secret_is_nobodys,
                all_keys_of_a_bucket_are_listed_in_order,
                buckets_and_users_never_meet,
                a_record_past_its_limit_is_too_large,
            ],
        }
    };
}

/// A test for each case, with a store of its own from `fresh`.
macro_rules! test_each {
    ($with:tt $($module:ident: [$($case:ident),* $(,)?],)*) => {
        $(mod $module {
            $(test! { $with $case {
                let (broker, _place) = super::fresh().await;
                crate::$module::$case(&crate::world::World::new(broker)).await;
            } })*
        })*
    };
}

/// A test on a runtime with these settings.
macro_rules! test {
    (($($with:tt)*) $name:ident $body:block) => {
        #[tokio::test($($with)*)]
        async fn $name() $body
    };
}

/// A test for each module's cases, which share the broker from `fresh`.
macro_rules! test_modules {
    (() $($module:ident: [$($case:ident),* $(,)?],)*) => {
        $(#[tokio::test]
        async fn $module() {
            let (broker, _place) = fresh().await;
            let at_once = !crate::ONE_BY_ONE.contains(&stringify!($module));
            crate::world::run(&broker, cases!($module: [$($case),*]), at_once).await;
        })*
    };
}

/// One test for all cases, which share the broker from `fresh`.
macro_rules! test_all {
    (() $($module:ident: [$($case:ident),* $(,)?],)*) => {
        #[tokio::test]
        async fn every_case_holds() {
            let (broker, _place) = fresh().await;
            let (mut one_by_one, mut at_once) = (Vec::new(), Vec::new());
            $(if crate::ONE_BY_ONE.contains(&stringify!($module)) {
                one_by_one.extend(cases!($module: [$($case),*]));
            } else {
                at_once.extend(cases!($module: [$($case),*]));
            })*
            tokio::join!(
                crate::world::run(&broker, one_by_one, false),
                crate::world::run(&broker, at_once, true),
            );
        }
    };
}

macro_rules! cases {
    ($module:ident: [$($case:ident),*]) => {
        {
            let cases: Vec<crate::world::Case> = vec![$((
                concat!(stringify!($module), "::", stringify!($case)),
                |world| Box::pin(crate::$module::$case(world)),
            )),*];
            cases
        }
    };
}

/// What a queue holds is for anyone who asks.
#[cfg(test)]
const ONE_BY_ONE: [&str; 3] = ["queue", "leases", "erase"];

#[cfg(test)]
mod on_disk {
    use broker::Broker;
    use broker::sqlite::{Place, open};
    use tempfile::TempDir;

    async fn fresh() -> (Broker, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Folder(folder.path().to_owned());
        (open(place, crate::world::limits()).await.unwrap(), folder)
    }

    with_every_case!(test_each);
}

#[cfg(test)]
mod in_memory {
    use broker::Broker;
    use broker::sqlite::{Place, open};

    async fn fresh() -> (Broker, ()) {
        let limits = crate::world::limits();
        (open(Place::Memory, limits).await.unwrap(), ())
    }

    // Nothing here waits for anything but the clock.
    with_every_case!(test_each(start_paused = true));
}

#[cfg(test)]
mod one_server {
    use broker::Broker;
    use testkit::nats::Server;

    async fn fresh() -> (Broker, Server) {
        let server = Server::start().await.unwrap();
        let config = crate::world::config(server.url(), 1);
        (broker::nats::open(config).await.unwrap(), server)
    }

    with_every_case!(test_modules);
}

#[cfg(test)]
mod three_nodes {
    use broker::Broker;
    use testkit::nats::Cluster;

    async fn fresh() -> (Broker, Cluster) {
        let cluster = Cluster::start().await.unwrap();
        let config = crate::world::config(cluster.url(), 3);
        (broker::nats::open(config).await.unwrap(), cluster)
    }

    with_every_case!(test_all);
}
