//! The cable between the machines, pulled in the middle of a copy.

use std::time::Duration;

use tandem_domain::problem::Code;
use tandem_tests::{Link, Spark};

use crate::power::{crossed_once, empty, stock};
use crate::scene::{COPIED, IN_FLIGHT, Scene, told};

pub(crate) async fn it_is_pulled_for_good_and_then_for_a_moment(scene: &Scene) {
    let home = stock(scene).await;
    empty(scene, &home).await;
    let job = scene.copy("copy-cable", &home);
    let before = scene.crossed().await;
    let ticket = scene.place(Spark::A).serve(COPIED, None).await.unwrap();
    let started = job.start_with(Some(&ticket)).await;
    scene.crossed_is(before, scene.total / 3).await;
    scene.lab.cut(Link::Cable).await.unwrap();
    let problem = job.failed(&started).await;
    told(&problem, Code::LinkFails);
    let fix = &problem.fix.as_ref().unwrap().sentence;
    assert!(fix.contains("cable"), "{problem}");
    job.nothing_wrong().await;
    scene.lab.mend(Link::Cable).await.unwrap();

    // Somebody's foot: it goes on by itself, in the same job.
    let ticket = scene.place(Spark::A).serve(COPIED, None).await.unwrap();
    let started = job.start_with(Some(&ticket)).await;
    scene.crossed_is(before, scene.total * 2 / 3).await;
    scene.lab.cut(Link::Cable).await.unwrap();
    // As long as the fault lasts, and longer than a stretch takes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.lab.mend(Link::Cable).await.unwrap();
    scene.lab.rate(Link::Cable, None).await.unwrap();
    crossed_once(&job, &started, before, 2 * IN_FLIGHT).await;
}
