//! Power that goes, and machines that restart, in the middle of a fetch and of a copy.

use tandem_domain::node::{JobState, NodeEvent};
use tandem_domain::problem::Code;
use tandem_tests::{Link, Spark, USER};

use crate::scene::{COMMIT, COPIED, IN_FLIGHT, Job, Scene, told};

/// Mbit/s of the line, and of each rail half of it.
const LINE: u32 = 40;
/// What comes in the time that may lie between two flushes to the disk. A loss of power takes no more.
const UNSAFE: u64 = 2 * LINE as u64 * 125_000;

/// Where the copies' checkpoint lies on both machines.
fn home() -> String {
    format!("/home/{USER}/.cache/huggingface")
}

pub(crate) async fn it_goes_in_the_middle_of_a_shard(scene: &Scene) {
    let job = scene.fetch(Spark::A, "power", &home());
    let link = Link::Management(Spark::A);
    scene.lab.rate(link, Some(LINE)).await.unwrap();
    job.start().await;
    scene.served_is(scene.total * 6 / 10).await;
    scene.lab.power_off(Spark::A).await.unwrap();
    scene.lab.rate(link, None).await.unwrap();
    scene.lab.power_on(Spark::A).await.unwrap();
    let last = job.follow(0).await.pop().unwrap();
    assert_eq!(last.event, NodeEvent::Lost, "the watcher is told");
    assert!(
        job.nothing_wrong().await > 0,
        "what was finished before is there"
    );
    job.completes().await;
    let again = scene.served() - scene.total;
    println!(
        "weights power: {again} bytes again, {} may be",
        UNSAFE + IN_FLIGHT
    );
    assert!(
        again <= UNSAFE + IN_FLIGHT,
        "{again} bytes were fetched again"
    );
}

/// What the second machine copies from, fetched if it is not there, and a cable with addresses.
pub(crate) async fn stock(scene: &Scene) -> String {
    let home = home();
    let job = scene.stock(&home);
    let place = scene.place(Spark::A);
    let started = place.start(&job.name, job.work.clone(), None).await;
    started.unwrap().unwrap();
    let last = job.follow(0).await.pop().unwrap();
    assert!(matches!(last.event, NodeEvent::Done { .. }), "{last:?}");
    scene.lab.address_rails().await.unwrap();
    home
}

/// Empties the second machine's cache and slows the cable down.
pub(crate) async fn empty(scene: &Scene, home: &str) {
    scene.sh(Spark::B, "rm -rf \"$1\"", &[home]).await;
    scene.lab.rate(Link::Cable, Some(LINE / 2)).await.unwrap();
}

pub(crate) async fn it_goes_on_the_machine_that_copies(scene: &Scene) {
    let home = stock(scene).await;
    empty(scene, &home).await;
    let job = scene.copy("copy-power", &home);
    let before = scene.crossed().await;
    let ticket = scene.place(Spark::A).serve(COPIED, None).await.unwrap();
    job.start_with(Some(&ticket)).await;
    scene.crossed_is(before, scene.total * 6 / 10).await;
    scene.lab.power_off(Spark::B).await.unwrap();
    scene.lab.rate(Link::Cable, None).await.unwrap();
    scene.lab.power_on(Spark::B).await.unwrap();
    scene.lab.address_rails().await.unwrap();
    let last = job.follow(0).await.pop().unwrap();
    assert_eq!(last.event, NodeEvent::Lost, "the watcher is told");
    job.nothing_wrong().await;
    let ticket = scene.place(Spark::A).serve(COPIED, None).await.unwrap();
    let started = job.start_with(Some(&ticket)).await;
    crossed_once(&job, &started, before, UNSAFE + IN_FLIGHT).await;
}

pub(crate) async fn the_machine_that_is_copied_from_restarts(scene: &Scene) {
    let home = stock(scene).await;
    empty(scene, &home).await;
    let job = scene.copy("copy-restart", &home);
    let before = scene.crossed().await;
    let ticket = scene.place(Spark::A).serve(COPIED, None).await.unwrap();
    let started = job.start_with(Some(&ticket)).await;
    scene.crossed_is(before, scene.total / 2).await;
    scene.lab.reboot(Spark::A).await.unwrap();
    scene.lab.rate(Link::Cable, None).await.unwrap();
    scene.lab.address_rails().await.unwrap();
    let problem = job.failed(&started).await;
    told(&problem, Code::LinkFails);
    job.nothing_wrong().await;
    let ticket = scene.place(Spark::A).serve(COPIED, None).await.unwrap();
    let started = job.start_with(Some(&ticket)).await;
    crossed_once(&job, &started, before, IN_FLIGHT).await;
}

/// The copy comes to a good end, after which the checkpoint has crossed the cable once, but for so many bytes
/// and what frames and questions take, and nothing of it came from the Hub instead.
pub(crate) async fn crossed_once(job: &Job<'_>, started: &JobState, before: u64, again: u64) {
    let receipt = job.done(started).await;
    job.same_files(COMMIT).await;
    assert_eq!(receipt.fetched, 0, "nothing came over the line again");
    let crossed = job.scene.crossed().await - before;
    let whole = receipt.bytes() + receipt.bytes() / 50;
    println!(
        "weights {}: {} bytes again over the cable, {again} may be",
        job.name,
        crossed.saturating_sub(whole)
    );
    assert!(
        crossed <= whole + again,
        "{crossed} bytes crossed the cable for {}",
        receipt.bytes()
    );
}
