//! What can befall the weights on their way, made to happen on the lab: after each fault the released node
//! program goes on where it was, fetches nothing good again, takes nothing wrong for right, and has told a
//! person what happened, why, and what to do.
//!
//! The lab is started once for all of it. One test, the cable that stays out, has to wait until the program
//! gives up; those that need the first machine alone run beside it. With a word on the command line only
//! the tests run that have it in their names.

#![allow(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

mod apps;
mod cable;
mod clock;
mod disk;
mod hub;
mod power;
mod proxy;
mod scene;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use scene::Scene;

/// A test with its name.
struct Test {
    name: &'static str,
    run: for<'a> fn(&'a Scene) -> LocalBoxFuture<'a, ()>,
}

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$(Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |scene| $module::$name(scene).boxed_local(),
        }),*]
    };
}

#[tokio::main]
async fn main() -> ExitCode {
    if !tandem_tests::enabled() {
        return ExitCode::SUCCESS;
    }
    let word = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let asked = |tests: Vec<Test>| -> Vec<Test> {
        let fits = |t: &Test| word.as_ref().is_none_or(|w| t.name.contains(w.as_str()));
        tests.into_iter().filter(fits).collect()
    };
    // These restart machines, which nothing else outlives.
    let alone = asked(Vec::from(tests![
        power::it_goes_in_the_middle_of_a_shard,
        power::it_goes_on_the_machine_that_copies,
        power::the_machine_that_is_copied_from_restarts,
    ]));
    let cable = asked(Vec::from(tests![
        cable::it_is_pulled_for_good_and_then_for_a_moment
    ]));
    let beside = asked(Vec::from(tests![
        hub::a_page_comes_instead_of_a_listing_and_of_shards,
        hub::bodies_are_short_and_connections_drop,
        hub::a_shard_has_another_hash_than_announced,
        hub::a_file_changes_under_its_name,
        hub::signed_addresses_expire_on_the_way,
        hub::a_proxy_ignores_ranges,
        clock::it_is_wrong,
        disk::it_is_full_before_and_in_the_middle,
        disk::the_cache_is_read_only,
        disk::blobs_belong_to_root,
        apps::two_at_once,
        apps::the_laptop_sleeps,
    ]));
    if alone.len() + cable.len() + beside.len() == 0 {
        return ExitCode::SUCCESS;
    }
    let scene = Scene::set().await;
    let mut failed = run(&scene, &alone).await;
    if !cable.is_empty() {
        // Before the others use the Hub.
        power::stock(&scene).await;
    }
    let (one, others) = futures::join!(run(&scene, &cable), run(&scene, &beside));
    failed.extend(one);
    failed.extend(others);
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

/// Runs one after the other and gives back the names of those that failed.
async fn run(scene: &Scene, tests: &[Test]) -> Vec<&'static str> {
    let mut failed = Vec::new();
    for test in tests {
        let began = Instant::now();
        let good = AssertUnwindSafe((test.run)(scene)).catch_unwind().await;
        let seconds = began.elapsed().as_secs_f64();
        let word = if good.is_ok() { "ok" } else { "FAILED" };
        eprintln!("test {} ... {word} ({seconds:.1} s)", test.name);
        if good.is_err() {
            failed.push(test.name);
        }
    }
    failed
}
