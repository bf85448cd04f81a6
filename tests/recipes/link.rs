//! The cable alone: addressed and measured, taken over by a set-up, and measured again after a restart that
//! happens once though the app dies in the middle of it.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tandem_adapters::store::{NewRun, Store};
use tandem_domain::machine::SetupMachine;
use tandem_domain::network::verdict::LinkState;
use tandem_domain::ports::{Command, MachineServices};
use tandem_domain::procedure::Procedure;
use tandem_domain::procedure::link::LinkRequest;
use tandem_domain::run::{Event, Journal as _, RunId, RunOutcome, RunState, Status, StepId};
use tandem_domain::step::link_test::LinkTestReceipt;
use tandem_domain::step::services::{Driver, Services};
use tandem_rehearsal::machines::Rehearsal;
use tandem_tests::bed::{Bed, RealClock, request};
use tandem_tests::{Lab, Spark, built, enabled, until};
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(90);

fn of(state: &RunState, step: &str) -> Status {
    state.step(&StepId(step.into())).status
}

fn measured(state: &RunState) -> LinkTestReceipt {
    let receipt = state.step(&StepId::of::<LinkTestReceipt>()).receipt;
    serde_json::from_value(receipt.expect("a receipt")).expect("a report")
}

/// Counts from now on how often a machine starts.
async fn count_starts(lab: &Lab, spark: Spark) {
    let unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo one >> /var/lib/lab-starts'\n\
                [Install]\nWantedBy=multi-user.target\n";
    let path = "/etc/systemd/system/lab-starts.service";
    let write = ["sh", "-c", "cat > \"$0\"", path];
    let written = lab.exec_with(spark, &write, unit.as_bytes()).await;
    assert!(written.expect("it runs").ok(), "the unit is written");
    for enable in [
        &["touch", "/var/lib/lab-starts"][..],
        &["systemctl", "--quiet", "enable", "lab-starts.service"],
    ] {
        lab.must(spark, enable).await.expect("it is counted");
    }
}

async fn starts(lab: &Lab, spark: Spark) -> usize {
    let counted = lab.must(spark, &["cat", "/var/lib/lab-starts"]).await;
    counted.expect("it was counted").lines().count()
}

async fn boot(lab: &Lab, spark: Spark) -> Option<String> {
    let asked = ["cat", "/proc/sys/kernel/random/boot_id"];
    let said = lab.must(spark, &asked);
    // A machine that goes down stops all its processes for a moment, and `nsenter` stops itself with the one it
    // started; nobody wakes it, and the machine waits for it. Given up here, it is killed and the machine ends.
    let said = tokio::time::timeout(Duration::from_secs(5), said).await;
    said.ok()?.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_alone_then_restarted_once_though_the_app_is_killed() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.expect("the lab starts");
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = request("http://10.77.0.1:1".to_owned());
    let link = Bed::new(folder.path(), nowhere)
        .await
        .only_the_link("link")
        .await;
    let outcome = link.go().await;
    assert_eq!(outcome, RunOutcome::Completed, "{}", link.told().await);
    let state = link.state().await;
    for step in ["key", "program", "network", "prove"] {
        assert_eq!(of(&state, step), Status::Verified, "{step}");
    }
    let earlier = measured(&state);
    assert_eq!(earlier.report.verdict.state, LinkState::Good);
    let groups = lab.must(Spark::A, &["id", "-nG", "nvidia"]).await;
    let groups = groups.expect("it has groups");
    assert!(
        !groups.split_whitespace().any(|g| g == "docker"),
        "nobody was let into Docker: {groups}"
    );

    // A set-up that follows finds both steps done, by what the machines themselves say.
    let setup = Bed {
        recipe: "setup".into(),
        ..link.clone()
    };
    let setup = setup.begin("setup").await;
    let recipe = Procedure::Setup(Box::new(setup.setup.clone()));
    let mut driver = setup
        .driver(Arc::new(setup.store().await), CancellationToken::new())
        .await;
    driver.steps = recipe
        .steps(
            &setup.setup_machines(),
            "ssh-ed25519 KEY",
            Some(earlier.clone()),
        )
        .into_iter()
        .filter(|s| ["network", "prove"].contains(&s.plan().id.0.as_str()))
        .collect();
    driver.go().await;
    let after = setup.state().await;
    for step in ["network", "prove"] {
        assert_eq!(
            of(&after, step),
            Status::AlreadyDone,
            "{}",
            setup.told().await
        );
    }
    assert_eq!(
        measured(&after).report.at,
        earlier.report.at,
        "no new figure"
    );

    for spark in Spark::BOTH {
        count_starts(&lab, spark).await;
    }
    let restart = setup.only_the_link("restart").await;
    killed_in_the_restart(&lab, &restart).await;
    let outcome = restart.go().await;
    assert_eq!(outcome, RunOutcome::Completed, "{}", restart.told().await);
    for spark in Spark::BOTH {
        assert_eq!(
            starts(&lab, spark).await,
            1,
            "{} restarted once",
            spark.name()
        );
    }
    let state = restart.state().await;
    assert_eq!(of(&state, "network"), Status::AlreadyDone, "addresses stay");
    let again = measured(&state);
    assert!(again.report.at > earlier.report.at, "it was measured anew");
    assert_ne!(again.mark, earlier.mark, "a new start is another mark");
}

/// Lives of the app until one of them is killed while the machines are restarting.
async fn killed_in_the_restart(lab: &Lab, bed: &Bed) {
    let file = bed.save();
    let before = boot(lab, Spark::A).await;
    for _ in 0..12 {
        let intended = bed.events().await.iter().any(|e| {
            e.step.as_ref().is_some_and(|s| s.0 == "restart")
                && matches!(e.event, Event::Applying { .. })
        });
        let mut life = tokio::process::Command::new(env!("CARGO_BIN_EXE_one-life"))
            .arg(&file)
            .arg("go")
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        if !intended {
            let ended = life.wait().await.expect("it ends");
            assert_eq!(ended.signal(), Some(9), "it dies after its first new write");
            continue;
        }
        let down = until("a machine to go down", SOON, || async {
            (boot(lab, Spark::A).await != before).then_some(())
        });
        down.await.expect("it restarts");
        life.kill().await.expect("it is killed");
        return;
    }
    panic!("the restart never began:\n{}", bed.told().await);
}

/// Carries one run of a recipe out on these machines and gives back what it came to.
async fn run_once(
    run: &str,
    recipe: &Procedure,
    facts: &[SetupMachine],
    machines: Vec<MachineServices>,
    store: &Store,
) -> RunState {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJlaGVhcnNhbHM rehearsal";
    let plan = recipe.plan(facts, key);
    let new = NewRun {
        id: RunId(run.into()),
        title: plan.summary.clone(),
        params: recipe.choices(),
        plan,
        started_at: 0,
        simulated: true,
    };
    store
        .create_run(&new)
        .await
        .expect("the run is written down");
    let driver = Driver {
        run: RunId(run.into()),
        steps: recipe.steps(facts, key, None),
        machines,
        journal: Arc::new(store.clone()),
        clock: Arc::new(RealClock::start()),
        services: Services {
            bench: Arc::new(store.clone()),
            hub_token: None,
            registry: None,
            download: Default::default(),
        },
        cancel: CancellationToken::new(),
        listener: Arc::new(|_| {}),
    };
    driver.go().await;
    let events = store.events(&new.id).await.expect("the journal is read");
    RunState::fold(&events)
}

/// The machines of a rehearsal as the recipes see them.
pub(crate) async fn rehearsed(machines: &[MachineServices]) -> Vec<SetupMachine> {
    let mut all = Vec::new();
    for machine in machines {
        let program = tandem_domain::node::PROGRAM;
        let facts = Command::new(program, ["facts"]);
        let said = machine.shell.exec(&facts).await.expect("it answers");
        all.push(SetupMachine {
            name: machine.name.clone(),
            user: machine.user.clone(),
            facts: serde_json::from_slice(&said.stdout).unwrap_or_default(),
        });
    }
    all
}

/// Two simulated machines in a folder, with the programs that are built.
pub(crate) async fn opened(folder: &Path) -> Rehearsal {
    let node = built("tandem-node").await.expect("it is built");
    let standin = built("tandem-standin").await.expect("it is built");
    let opened = Rehearsal::open(folder, &node, &standin).await;
    opened.expect("a rehearsal")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_links_and_restarts_as_well() {
    if !enabled() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let rehearsal = opened(folder.path()).await;
    let machines = rehearsal.machines();
    let store = Store::open(folder.path().join("tandem.db"))
        .await
        .expect("the store opens");
    let network = request("http://10.77.0.1:1".to_owned())
        .network
        .expect("a plan for two");
    let mut boots = Vec::new();
    for (run, restart) in [("link", false), ("restart", true)] {
        let recipe = Procedure::Link(LinkRequest {
            machines: machines.iter().map(|s| s.id.clone()).collect(),
            network: network.clone(),
            restart,
        });
        let facts = rehearsed(&machines).await;
        let state = run_once(run, &recipe, &facts, machines.clone(), &store).await;
        assert_eq!(
            state.outcome,
            Some(RunOutcome::Completed),
            "{run}: {state:?}"
        );
        let report = measured(&state).report;
        assert!(report.simulated, "what stands in says so");
        boots.push(measured(&state).mark);
    }
    assert_ne!(boots[0], boots[1], "the machines were started again");
}
