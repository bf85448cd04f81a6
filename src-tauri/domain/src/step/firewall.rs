//! Step `firewall`: what the containers listen on is reached over the private link and loopback alone.
//!
//! The table of [`Firewall`] is loaded before the first program that listens on the link, and looked at again before each
//! start, for a person or another program may have flushed it, and a restart has. It goes where the server goes.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::container::firewall::{self, Firewall, TABLE};
use crate::container::{ContainerSpec, SERVER};
use crate::engine;
use crate::ports::{Command, ContainerError, MachineError, MachineServices, Output};
use crate::problem::{Code, Problem};
use crate::recipe::plan::LaunchPlan;
use crate::run::{Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::machines::{exists, failed_on, found, must, on_all};
use crate::step::services::{Services, StepContext};
use crate::step::{ids, owned};

/// Where Debian and Ubuntu install it.
const NFT: &str = "/usr/sbin/nft";
const NOT_LOADED: &str = "The firewall table was not loaded.";

/// See the module.
pub(crate) struct CloseToOthers {
    /// What is launched later.
    pub launch: Arc<LaunchPlan>,
    /// The machines, by their names.
    pub names: Vec<String>,
}

impl CloseToOthers {
    fn firewall(&self, rank: usize) -> Result<Firewall, Problem> {
        of_rank(&self.launch, rank)
    }
}

/// The table of one rank's machine.
pub(crate) fn of_rank(launch: &LaunchPlan, rank: usize) -> Result<Firewall, Problem> {
    let ports = engine::of(launch.engine).open_ports(launch);
    Firewall::new(launch.network.as_ref(), rank, &ports)
}

/// Lists the table as root; `None` where that needs a password that is not known now.
async fn list(machine: &MachineServices) -> Result<Option<Output>, StepError> {
    let [family, name] = TABLE;
    let list = Command::new("nft", ["list", "table", family, name]).sudo();
    match machine.shell.exec(&list).await {
        Ok(output) => Ok(Some(output)),
        Err(MachineError::SudoPasswordNeeded) => Ok(None),
        Err(e) => Err(failed_on(machine)(e)),
    }
}

async fn is_loaded(machine: &MachineServices, firewall: &Firewall) -> Result<bool, StepError> {
    let listed = list(machine).await?;
    Ok(listed.is_some_and(|listed| listed.ok() && firewall.is(&listed.text())))
}

async fn load(machine: &MachineServices, text: String) -> Result<Output, StepError> {
    let load = Command::new("nft", ["-f", "-"]).sudo().stdin(text);
    must(machine, &load, Code::NetworkPlan, NOT_LOADED).await
}

/// Loads the table where it is not, or not as it should be. Safe to repeat.
pub(crate) async fn ensure(
    machine: &MachineServices,
    launch: &LaunchPlan,
    rank: usize,
) -> Result<(), StepError> {
    let firewall = of_rank(launch, rank)?;
    if is_loaded(machine, &firewall).await? {
        return Ok(());
    }
    if !exists(&*machine.shell, NFT)
        .await
        .map_err(failed_on(machine))?
    {
        return Err(Problem::new(Code::NetworkPlan, NOT_LOADED)
            .cause("The program `nft` is not installed, and without its table anybody on the network could reach the port at which the machines meet.")
            .fix_with("Install it, then resume.", "sudo apt-get install nftables")
            .on(machine.name.clone())
            .into());
    }
    load(machine, firewall.text()).await?;
    Ok(())
}

/// Starts a container behind the table, and adds to it whatever else the container will listen on.
pub(crate) async fn start(
    cx: &StepContext,
    machine: &MachineServices,
    launch: &LaunchPlan,
    rank: usize,
    spec: &ContainerSpec,
) -> Result<Result<(), ContainerError>, StepError> {
    ensure(machine, launch, rank).await?;
    let id = match machine.containers.start(spec).await {
        Ok(id) => id,
        Err(e) => return Ok(Err(e)),
    };
    for cgroup in firewall::cgroups(&id) {
        let processes = format!("/sys/fs/cgroup/{cgroup}/cgroup.procs");
        let there = exists(&*machine.shell, &processes).await;
        if there.map_err(failed_on(machine))? {
            let added = load(machine, firewall::own_cgroup(&cgroup)).await;
            if let Err(StepError::Problem(problem)) = added {
                unknown_ports(cx, machine, &problem.details.join(" "));
            } else {
                added?;
            }
            return Ok(Ok(()));
        }
    }
    unknown_ports(cx, machine, "its cgroups are not those of version 2");
    Ok(Ok(()))
}

fn unknown_ports(cx: &StepContext, machine: &MachineServices, why: &str) {
    cx.log(
        Some(&machine.name),
        format!(
            "Warning: ports that the container opens on every interface beside those of the plan can be reached from other networks, because this machine's kernel cannot tell them apart: {}.",
            why.trim_end_matches('.')
        ),
    );
}

/// Removes the table, unless a server of ours still stands behind it. Safe to repeat.
async fn take_away(machine: &MachineServices) -> Result<(), StepError> {
    let server = owned::find(machine, SERVER).await?;
    if server.is_some_and(|s| owned::label(&s).is_some()) {
        return Ok(());
    }
    if exists(&*machine.shell, NFT)
        .await
        .map_err(failed_on(machine))?
    {
        load(machine, firewall::removal()).await?;
    }
    Ok(())
}

/// The same after a server was stopped. Without a password that root needs, the table stays until the machine's
/// next start: it closes ports that nobody opens then.
pub async fn end_with_server(machine: &MachineServices) {
    let _ = take_away(machine).await;
}

#[async_trait]
impl Step<Services> for CloseToOthers {
    fn plan(&self) -> StepPlan {
        let each = self.names.iter().enumerate();
        let exactly = each.map(|(rank, name)| {
            let text = self.firewall(rank).map(|f| f.text()).unwrap_or_default();
            format!("{name}: sudo nft -f -\n{}", text.trim_end())
        });
        let mut exactly: Vec<String> = exactly.collect();
        exactly.push(format!(
            "and once a container runs\nsudo nft -f -\n{}",
            firewall::own_cgroup(&firewall::cgroups("ID")[0]).trim_end()
        ));
        StepPlan {
            id: StepId::from(ids::FIREWALL),
            title: "Firewall".into(),
            will: "Loads one nftables table: what the containers listen on is reached over the private link and from the machine itself, and from no other network. SSH and whatever else runs there are reached as before. A restart of the machine ends the table, and the server with it.".into(),
            exactly,
            undo: "Removes the table.".into(),
            privileged: true,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let loaded = on_all(&cx.machines, |rank, machine| {
            Box::pin(async move {
                let firewall = self.firewall(rank)?;
                match list(machine).await? {
                    Some(listed) => Ok(listed.ok() && firewall.is(&listed.text())),
                    // A server of ours was started behind it, and only root can see more.
                    None => Ok(owned::find(machine, SERVER)
                        .await?
                        .is_some_and(|s| s.running)),
                }
            })
        })
        .await?;
        let words = "The table is loaded on every machine.";
        Ok(found(loaded.iter().all(|l| *l), words, &loaded))
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        on_all(&cx.machines, |rank, machine| {
            Box::pin(ensure(machine, &self.launch, rank))
        })
        .await?;
        Ok(Value::Null)
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        for (rank, machine) in cx.machines.iter().enumerate() {
            if !is_loaded(machine, &self.firewall(rank)?).await? {
                return Err(Problem::new(Code::NetworkPlan, NOT_LOADED)
                    .cause("The kernel lists another table than the one that was given to it.")
                    .fix("See whether another firewall program removes it, then resume.")
                    .on(machine.name.clone())
                    .into());
            }
        }
        Ok("What the containers listen on is reached over the private link and from the machine itself alone.".into())
    }

    async fn undo(
        &self,
        cx: &StepContext,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        on_all(&cx.machines, |_, s| Box::pin(take_away(s))).await?;
        Ok("The firewall table is removed where no server of Tandem runs.".into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::launch::samples;
    use crate::run::{Outcome, RunOutcome, Status};
    use crate::step::doubles::{Nftables, Server, TestRun, machine};

    struct Scene {
        machines: [Arc<Nftables>; 2],
        server: Arc<Server>,
        run: TestRun,
    }

    impl Scene {
        fn new() -> Self {
            Self {
                machines: Default::default(),
                server: Arc::default(),
                run: TestRun::default(),
            }
        }

        fn driver(&self) -> crate::step::services::Driver {
            let link = samples::link();
            let step = CloseToOthers {
                launch: Arc::new(samples::plan(2, Some(&link))),
                names: vec!["a".into(), "b".into()],
            };
            let named = ["a", "b"].iter().zip(&self.machines);
            let machines = named.map(|(name, nft)| machine(name, nft.clone(), &self.server));
            self.run.driver(vec![Arc::new(step)], machines.collect())
        }

        async fn status(&self) -> Status {
            self.run.step(&StepId::from(ids::FIREWALL)).await.status
        }

        fn tables(&self) -> [String; 2] {
            self.machines
                .each_ref()
                .map(|m| m.table.lock().unwrap().clone())
        }
    }

    #[tokio::test]
    async fn it_is_loaded_found_done_loaded_again_after_a_flush_and_removed() {
        let scene = Scene::new();
        let done = Outcome::Finished(RunOutcome::Completed);
        assert_eq!(scene.driver().go().await, done);
        let [a, b] = scene.tables();
        assert!(a.contains("192.168.100.10") && b.contains("192.168.100.11"));
        assert!(a.contains("tcp dport { 29501 } drop"), "{a}");
        let second = Scene {
            run: TestRun::default(),
            ..scene
        };
        assert_eq!(second.driver().go().await, done);
        assert_eq!(second.status().await, Status::AlreadyDone);
        let loads = |scene: &Scene| scene.machines[0].loaded.load(Ordering::Relaxed);
        assert_eq!(loads(&second), 1);
        second.machines[0].table.lock().unwrap().clear();
        assert_eq!(second.driver().go().await, done);
        assert_eq!(loads(&second), 2, "another program had flushed it");
        let undone = Outcome::Finished(RunOutcome::Undone);
        assert_eq!(second.driver().undo().await, undone);
        assert_eq!(second.tables(), ["", ""]);
    }

    #[tokio::test]
    async fn before_every_start_the_table_is_looked_at() {
        let scene = Scene::new();
        let link = samples::link();
        let launch = samples::plan(2, Some(&link));
        let machine = machine("a", scene.machines[0].clone(), &scene.server);
        ensure(&machine, &launch, 0).await.expect("loaded");
        ensure(&machine, &launch, 0).await.expect("found");
        assert_eq!(scene.machines[0].loaded.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_second_run_needs_no_password_while_a_server_stands_behind_the_table() {
        let scene = Scene::new();
        for machine in &scene.machines {
            machine.locked.store(true, Ordering::Relaxed);
        }
        scene.server.0.store(true, Ordering::Relaxed);
        let done = Outcome::Finished(RunOutcome::Completed);
        assert_eq!(scene.driver().go().await, done);
        assert_eq!(scene.status().await, Status::AlreadyDone);
    }

    #[test]
    fn the_plan_shows_the_text_that_is_loaded() {
        let link = samples::link();
        let step = CloseToOthers {
            launch: Arc::new(samples::plan(2, Some(&link))),
            names: vec!["a".into(), "b".into()],
        };
        let plan = step.plan();
        for (rank, shown) in plan.exactly.iter().take(2).enumerate() {
            let text = step.firewall(rank).expect("sound").text();
            assert!(shown.contains(text.trim_end()), "{shown}");
        }
        assert!(plan.exactly[2].contains("socket cgroupv2 level 2"));
        assert!(plan.privileged);
    }
}
