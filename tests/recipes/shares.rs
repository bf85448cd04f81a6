//! Two machines whose own lines are the bottleneck: each fetches its share, though the app and a worker die in
//! the middle, and the Hub gives the checkpoint once.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tandem_domain::node::FetchReceipt;
use tandem_domain::run::{Outcome, RunOutcome, RunSignal, StepId};
use tandem_domain::step::ids;
use tandem_domain::step::services::Driver;
use tandem_rehearsal::checkpoint::synthetic::{self, write_synthetic};
use tandem_tests::bed::Bed;
use tandem_tests::{Link, Spark, until};
use tokio_util::sync::CancellationToken;

use crate::stage::Stage;

/// What each machine's own link lets through, Mbit/s. The line behind them carries both.
const OWN: u32 = 120;
/// Of a checkpoint that is worth a measurement.
const BYTES: u64 = 460_000_000;

/// The steps that bring weights over a link with addresses, with what they say.
async fn driver(bed: &Bed) -> (Driver, Arc<Mutex<Vec<String>>>) {
    let journal = Arc::new(bed.store().await);
    let mut driver = bed.driver(journal, CancellationToken::new()).await;
    let needed = ["key", "program", "docker", "look", "network", "weights"];
    driver
        .steps
        .retain(|step| needed.contains(&step.plan().id.0.as_str()));
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&said);
    driver.listener = Arc::new(move |signal| {
        if let RunSignal::Log { machine, line, .. } = signal {
            let line = format!("{}: {line}", machine.as_deref().unwrap_or("both"));
            told.lock().expect("nothing panics holding it").push(line);
        }
    });
    (driver, said)
}

fn heard(said: &Mutex<Vec<String>>, words: &str) -> bool {
    let said = said.lock().expect("nothing panics holding it");
    said.iter().any(|line| line.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_machine_fetches_its_share_where_its_own_line_is_the_bottleneck() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    write_synthetic(&stage.folder.path().join("repos"), BYTES).expect("it is written");
    let mut bed = stage.bed().await;
    let served = &mut bed.setup.launch.artifacts[0];
    served.repo = synthetic::REPO.into();
    served.revision = synthetic::COMMIT.into();
    let bed = bed.begin("halves").await;
    for spark in Spark::BOTH {
        let own = Link::Management(spark);
        stage.lab.rate(own, Some(OWN)).await.expect("it is limited");
    }
    let given = || {
        let files = stage.hub.counters().read().files;
        let of = files.iter().filter(|(n, _)| n.starts_with(synthetic::REPO));
        of.map(|(_, count)| count.bytes).sum::<u64>()
    };

    let (first, said) = driver(&bed).await;
    let app = tokio::spawn(async move { first.go().await });
    let ended = || app.is_finished() || heard(&said, "crosses the private link");
    let shares = || async { (ended() || heard(&said, "each fetches its share")).then_some(()) };
    let chosen = until("the road is chosen", Duration::from_secs(120), shares).await;
    assert!(
        chosen.is_ok() && heard(&said, "each fetches its share"),
        "{:?}\n{}",
        said.lock(),
        bed.told().await
    );
    // What was read to find that out is not part of the fetch.
    let (probed, began) = (given(), Instant::now());
    let half = || async { (given() > probed + BYTES / 3).then_some(()) };
    until("a third is fetched", Duration::from_secs(60), half)
        .await
        .expect("weights come");
    // The app dies, and the worker of one machine with it; the other goes on.
    app.abort();
    let kill = "kill -9 $(pgrep -f '[t]andem-node work')";
    let killed = stage.lab.must(Spark::B, &["sh", "-c", kill]).await;
    killed.expect("it dies");

    let (again, said) = driver(&bed).await;
    let outcome = again.go().await;
    assert!(
        matches!(outcome, Outcome::Finished(RunOutcome::Completed)),
        "{}\n{:?}",
        bed.told().await,
        said.lock()
    );
    let took = began.elapsed().as_secs_f64();
    assert!(heard(&said, "goes on with the share"), "{:?}", said.lock());
    assert!(
        !heard(&said, "reads from the Hub for a few seconds"),
        "nothing is measured beside what is under way"
    );
    let receipt = bed.state().await.step(&StepId::from(ids::WEIGHTS)).receipt;
    let receipts: Vec<FetchReceipt> =
        serde_json::from_value(receipt.expect("a receipt")).expect("receipts");
    let bytes = receipts[0].bytes();
    let fetched: Vec<u64> = receipts.iter().map(|r| r.fetched).collect();
    let alone = bytes as f64 * 8e-6 / f64::from(OWN);
    eprintln!(
        "{bytes} bytes; over each line {fetched:?}; the Hub gave {} and {probed} before; {took:.1} s, over one line {alone:.1} s",
        given() - probed
    );
    assert!(
        fetched.iter().sum::<u64>() <= bytes + bytes / 200,
        "the checkpoint came over the lines once: {fetched:?} of {bytes}"
    );
    for one in &fetched {
        let part = *one as f64 / bytes as f64;
        assert!(
            (0.3..0.7).contains(&part),
            "a share each: {fetched:?} of {bytes}"
        );
    }
    // What was on its way to the worker that died was given and did not arrive.
    let gave = given() - probed;
    assert!(gave <= bytes + bytes / 20, "the Hub gave {gave} of {bytes}");
    let undone = driver(&bed).await.0.undo().await;
    assert!(
        matches!(undone, Outcome::Finished(RunOutcome::Undone)),
        "{}",
        bed.told().await
    );
    for spark in Spark::BOTH {
        let found = stage
            .lab
            .must(
                spark,
                &[
                    "sh",
                    "-c",
                    "find /home/nvidia/.cache -type f 2>/dev/null | wc -l",
                ],
            )
            .await;
        assert_eq!(found.expect("it is looked").trim(), "0", "nothing is left");
        let free = Link::Management(spark);
        stage.lab.rate(free, None).await.expect("it is free again");
    }
}
