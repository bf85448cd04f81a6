//! The image on the lab and in a rehearsal: over the line once, then from one Docker to the other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tandem_domain::ports::{Command, Image, MachineServices};
use tandem_domain::procedure::Procedure;
use tandem_domain::run::{Outcome, RunId, RunOutcome, RunSignal, StepId};
use tandem_domain::step::services::{Driver, Services};
use tandem_tests::bed::{Bed, RealClock, planned, request};
use tandem_tests::{IMAGE, Link, Snapshot, Spark, enabled, given, until};
use tokio_util::sync::CancellationToken;

use crate::link::opened;
use crate::stage::{Stage, differences, snapshots};

/// Those that an image needs: the measurement of the link and what comes after it take their time.
const STEPS: [&str; 5] = ["key", "program", "docker", "network", "image"];
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJlaGVhcnNhbHM rehearsal";
const JOBS: &str = "/home/nvidia/.local/share/tandem/jobs";

/// The image's name without its tag, as the registry is asked.
fn name() -> &'static str {
    IMAGE.split(':').next().unwrap_or_default()
}

async fn id(stage: &Stage, spark: Spark) -> String {
    let words = ["docker", "image", "inspect", "-f", "{{.Id}}", IMAGE];
    stage.lab.must(spark, &words).await.expect("it is there")
}

/// Kills the worker of the step's job on the second machine once part of the image is there.
async fn kill_in_the_middle(stage: &Stage, bed: &Bed) {
    let folder = format!("{JOBS}/{}-image", bed.run);
    let script = format!(
        "set -e; cd {folder}; test $(stat -c %b spool/*.tandem-partial) -gt 2000; \
         kill -KILL $(sed -n 's/.*\"pid\":\\([0-9]*\\).*/\\1/p' worker.json)"
    );
    let struck = || async {
        let said = stage.lab.exec(Spark::B, &["sh", "-c", &script]).await;
        said.is_ok_and(|s| s.ok()).then_some(())
    };
    until("a part of the image", Duration::from_secs(120), struck)
        .await
        .expect("it comes slowly enough to be struck");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_pulled_once_crosses_the_private_link_and_a_killed_worker_goes_on() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    let before = snapshots(&stage.lab).await;
    let bed = stage.bed().await;
    // Slow enough for a blow in the middle.
    let slow = stage.lab.rate(Link::Cable, Some(40)).await;
    slow.expect("the cable is slow");
    let going = {
        let bed = bed.clone();
        tokio::spawn(async move { bed.go_through(&STEPS).await })
    };
    kill_in_the_middle(&stage, &bed).await;
    let fast = stage.lab.rate(Link::Cable, None).await;
    fast.expect("the cable is fast again");
    assert_eq!(
        going.await.expect("the run ends"),
        RunOutcome::Completed,
        "{}",
        bed.told().await
    );
    assert!(given(Spark::A, name()) >= 2, "the head pulled both layers");
    assert_eq!(given(Spark::B, name()), 0, "the other asked for none");
    assert_eq!(id(&stage, Spark::A).await, id(&stage, Spark::B).await);
    for spark in Spark::BOTH {
        let left = stage.lab.exec(spark, &["test", "-e", JOBS]).await;
        assert!(
            left.is_ok_and(|l| !l.ok()),
            "{}: no file of the image is left",
            spark.name()
        );
    }
    assert_eq!(bed.undo().await, RunOutcome::Undone, "{}", bed.told().await);
    let left = differences(&before, &snapshots(&stage.lab).await, Snapshot::changes);
    assert!(
        left.is_empty(),
        "both machines are as they were:\n{}",
        left.join("\n")
    );
}

async fn image_of(machine: &MachineServices) -> Image {
    let image = machine.containers.image(IMAGE).await.expect("it answers");
    image.expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_copies_it_as_well() {
    if !enabled() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let rehearsal = opened(folder.path()).await;
    let machines = rehearsal.machines();
    let bed = Bed {
        folder: folder.path().to_owned(),
        run: String::new(),
        host_keys: Vec::new(),
        setup: planned(request(rehearsal.hub_endpoint())),
        password: None,
        sparks: vec![0, 1],
        recipe: "setup".into(),
    };
    let bed = bed.begin("r1").await;
    let store = Arc::new(bed.store().await);
    let said = Arc::new(Mutex::new(Vec::new()));
    let heard = said.clone();
    let recipe = Procedure::Setup(Box::new(bed.setup.clone()));
    let mut driver = Driver {
        run: RunId(bed.run.clone()),
        steps: recipe.steps(&bed.setup_machines(), KEY, None),
        machines: machines.clone(),
        journal: store.clone(),
        clock: Arc::new(RealClock::start()),
        services: Services {
            bench: store,
            hub_token: None,
            registry: None,
            download: Default::default(),
        },
        cancel: CancellationToken::new(),
        listener: Arc::new(move |signal| {
            if let RunSignal::Log { line, .. } = signal {
                heard.lock().expect("nothing panics holding it").push(line);
            }
        }),
    };
    let wanted = |id: StepId| STEPS.contains(&id.0.as_str());
    driver.steps.retain(|s| wanted(s.plan().id));
    let outcome = driver.go().await;
    let said = said.lock().expect("nothing panics holding it").clone();
    assert_eq!(
        outcome,
        Outcome::Finished(RunOutcome::Completed),
        "{}\n{said:?}",
        bed.told().await
    );
    assert!(
        said.iter()
            .any(|l| l.contains("came over the private link")),
        "{said:?}"
    );
    assert_eq!(image_of(&machines[0]).await, image_of(&machines[1]).await);
    for machine in &machines {
        let look = Command::new("sh", ["-c", "test -e ~/.local/share/tandem/jobs"]);
        let left = machine.shell.exec(&look).await.expect("it runs");
        assert!(!left.ok(), "{}: no file of it is left", machine.name);
    }
}
