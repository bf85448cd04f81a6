//! The private link's steps alone, on the lab: whatever happens in the middle, both machines end as they
//! were or as planned, and never between.

use std::sync::Arc;
use std::time::Duration;

use tandem_domain::problem::Problem;
use tandem_domain::run::{RunOutcome, Status, StepId};
use tandem_domain::step::network::AddressLink;
use tandem_domain::step::services::Driver;
use tandem_tests::bed::Bed;
use tandem_tests::{Spark, until};
use tokio_util::sync::CancellationToken;

use crate::stage::Stage;

mod cable;
mod healing;
mod managed;
mod refused;

const FILE: &str = "/etc/netplan/90-tandem.yaml";
const FOLDER: &str = "/var/lib/tandem-network";

impl Stage {
    /// Both machines are as they were, with nothing of ours left.
    async fn as_before(&self, what: &str) {
        let looked = until(what, Duration::from_secs(40), || async {
            let left = self.left().await;
            let armed = self.armed(Spark::A).await || self.armed(Spark::B).await;
            (left.is_empty() && !armed).then_some(())
        });
        if let Err(error) = looked.await {
            panic!("{error}: {:#?}", self.left().await);
        }
    }

    async fn armed(&self, spark: Spark) -> bool {
        let found = self.lab.exec(spark, &["test", "-e", FOLDER]).await;
        found.is_ok_and(|f| f.ok())
    }

    async fn has_file(&self, spark: Spark) -> bool {
        let found = self.lab.exec(spark, &["test", "-e", FILE]).await;
        found.is_ok_and(|f| f.ok())
    }

    /// Somebody writes a file of their own on a machine.
    async fn write(&self, spark: Spark, path: &str, text: &str) {
        let cat = "cat > \"$0\" && chmod 600 \"$0\"";
        let argv = ["sh", "-c", cat, path];
        let written = self.lab.exec_with(spark, &argv, text.as_bytes());
        assert!(written.await.expect("it runs").ok(), "it is written");
    }

    /// Waits until the file is there, and so the change under way.
    async fn changing(&self, spark: Spark) {
        let changed = until("the change to begin", Duration::from_secs(30), || async {
            self.has_file(spark).await.then_some(())
        });
        changed.await.expect("the change begins");
    }
}

/// A driver that carries out the addressing alone, and puts back by itself after so many seconds.
async fn driver(bed: &Bed, delay: u64) -> Driver {
    let mut driver = only(bed, &[]).await;
    let plan = bed.setup.launch.network.clone().expect("a plan for two");
    let names = Spark::BOTH.map(|s| s.name().to_owned()).to_vec();
    let step = AddressLink::new(plan, names).putting_back_after(Duration::from_secs(delay));
    driver.steps = vec![Arc::new(step)];
    driver
}

/// A driver that carries out these steps of the set-up and no other.
async fn only(bed: &Bed, steps: &[&str]) -> Driver {
    let journal = Arc::new(bed.store().await);
    let mut driver = bed.driver(journal, CancellationToken::new()).await;
    let wanted = |id: &StepId| steps.contains(&id.0.as_str());
    driver.steps.retain(|step| wanted(&step.plan().id));
    assert_eq!(driver.steps.len(), steps.len(), "{steps:?} are steps");
    driver
}

async fn go(bed: &Bed, delay: u64) {
    driver(bed, delay).await.go().await;
}

async fn status(bed: &Bed) -> Status {
    status_of(bed, "network").await
}

async fn status_of(bed: &Bed, step: &str) -> Status {
    bed.state().await.step(&StepId(step.into())).status
}

/// Runs into a fault and gives back what the person is told.
async fn told(bed: &Bed) -> Problem {
    go(bed, 90).await;
    failed(bed).await
}

/// What the person is told of a run that failed.
async fn failed(bed: &Bed) -> Problem {
    let outcome = bed.state().await.outcome;
    assert_eq!(outcome, Some(RunOutcome::Failed), "{}", bed.told().await);
    bed.problem().await
}
