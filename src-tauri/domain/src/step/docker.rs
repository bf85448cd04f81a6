//! Step `docker`: the machines' user may use Docker.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ports::{Command, ContainerError, GpuSupport, MachineServices};
use crate::problem::Code;
use crate::run::{Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::ids;
use crate::step::machines::{failed_on, found, must, on_all, undo_on_all};
use crate::step::services::{Services, StepContext};

/// Prints what a container needs of NVIDIA's toolkit and driver, where it is there.
const LOOK: &str = r#"if command -v nvidia-container-runtime-hook || [ -x /usr/bin/nvidia-container-runtime-hook ]; then echo hook; fi
grep -E '^ *mode *=' /etc/nvidia-container-runtime/config.toml 2>/dev/null
nvidia-smi -L 2>&1 | head -n 2"#;

/// Reads what [`LOOK`] printed.
fn gpu_support(said: &str) -> GpuSupport {
    let mode = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("mode")?.trim().strip_prefix('='));
    GpuSupport {
        hook: said.lines().any(|line| line == "hook"),
        cdi: mode.is_some_and(|mode| mode.trim().trim_matches('"') == "cdi"),
        driver_mismatch: said.contains("Driver/library version mismatch"),
    }
}

/// See the module.
pub(crate) struct OpenDocker {
    /// The users, for the words.
    pub users: Vec<String>,
}

/// What was there on one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum DockerBefore {
    /// Whether Docker answered the user, and whether the user was in the group: a socket can be closed to a member
    /// for another reason.
    Noted { open: bool, member: bool },
    /// An earlier Tandem noted only whether Docker answered.
    Open(bool),
}

impl DockerBefore {
    /// Whether the run put the user into the group.
    fn is_ours(&self) -> bool {
        match self {
            Self::Noted { open, member } => !open && !member,
            Self::Open(open) => !open,
        }
    }
}

/// Whether the machine's user is in the group, by the machine's list of groups.
async fn is_member(machine: &MachineServices) -> Result<bool, StepError> {
    let groups = Command::new("id", ["-nG", &machine.user]);
    let failed = "The user's groups were not read.";
    let groups = must(machine, &groups, Code::Broken, failed).await?;
    Ok(groups.text().split_whitespace().any(|g| g == "docker"))
}

impl OpenDocker {
    /// Whether the engine answers this user. Anything else than a closed socket is a problem, and so is an engine
    /// that cannot serve: better told now than after the weights have come.
    async fn is_open(machine: &MachineServices) -> Result<bool, StepError> {
        let info = match machine.containers.engine().await {
            Ok(info) => info,
            Err(ContainerError::Denied) => return Ok(false),
            Err(e) => return Err(e.problem(&machine.name, &machine.user).into()),
        };
        let look = Command::new("sh", ["-c", LOOK]);
        let said = machine.shell.exec(&look).await;
        let said = said.map_err(failed_on(machine))?.text();
        match info.unfit(&gpu_support(&said)) {
            Some(problem) => Err(problem.on(machine.name.clone()).into()),
            None => Ok(true),
        }
    }
}

#[async_trait]
impl Step<Services> for OpenDocker {
    fn plan(&self) -> StepPlan {
        let mut users = self.users.clone();
        users.dedup();
        StepPlan {
            id: StepId::from(ids::DOCKER),
            title: "Docker".into(),
            will: "Lets your user on the machines use Docker, if it may not yet. Who may use Docker can become root there.".into(),
            exactly: users.iter().map(|user| format!("sudo usermod -aG docker {}", crate::shell::quote(user))).collect(),
            undo: "Takes the user out of the group again, if this run put the user in.".into(),
            privileged: true,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let before = on_all(&cx.machines, |_, s| {
            Box::pin(async move {
                Ok(DockerBefore::Noted {
                    open: Self::is_open(s).await?,
                    member: is_member(s).await?,
                })
            })
        })
        .await?;
        let is_open = |b: &DockerBefore| matches!(b, DockerBefore::Noted { open: true, .. });
        Ok(found(
            before.iter().all(is_open),
            "Docker answers.",
            &before,
        ))
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                if Self::is_open(machine).await? {
                    return Ok(());
                }
                let usermod = Command::new("usermod", ["-aG", "docker", &machine.user]).sudo();
                must(
                    machine,
                    &usermod,
                    Code::DockerDenied,
                    "The user was not added to the group `docker`.",
                )
                .await?;
                // A connection keeps the groups it was opened with.
                machine.shell.reconnect().await;
                Ok(())
            })
        })
        .await?;
        Ok(json!({}))
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        for machine in &cx.machines {
            if !Self::is_open(machine).await? {
                let denied = ContainerError::Denied;
                return Err(denied.problem(&machine.name, &machine.user).into());
            }
        }
        Ok("Docker answers on every machine.".into())
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        undo_on_all(&cx.machines, before, |was: DockerBefore, machine| {
            Box::pin(async move {
                if !was.is_ours() {
                    return Ok(());
                }
                if is_member(machine).await? {
                    let out = Command::new("gpasswd", ["-d", &machine.user, "docker"]).sudo();
                    must(
                        machine,
                        &out,
                        Code::DockerDenied,
                        "The user was not taken out of the group `docker`.",
                    )
                    .await?;
                }
                machine.shell.reconnect().await;
                Ok(())
            })
        })
        .await?;
        Ok("The group `docker` has the members it had.".into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::ports::MachineError;
    use crate::run::{Event, Journal as _, Outcome, RunEvent, RunId, RunOutcome};
    use crate::step::doubles::{Commanded, TestRun, machine};

    /// A machine whose user is in these groups, and whose commands are remembered.
    struct Groups {
        names: Mutex<Vec<&'static str>>,
        said: Mutex<Vec<String>>,
    }

    impl Commanded for Groups {
        fn run(&self, command: &Command) -> Result<String, MachineError> {
            let line = format!("{} {}", command.program, command.args.join(" "));
            let mut names = self.names.lock().unwrap();
            if command.program == "gpasswd" {
                names.retain(|name| *name != "docker");
            }
            self.said.lock().unwrap().push(line);
            Ok(names.join(" "))
        }
    }

    #[tokio::test]
    async fn only_whom_the_run_put_into_the_group_is_taken_out() {
        let before = |value: Value| async move {
            let groups = Arc::new(Groups {
                names: Mutex::new(vec!["user", "docker"]),
                said: Mutex::default(),
            });
            let machines = vec![machine("spark", groups.clone(), &Arc::default())];
            let run = TestRun::default();
            let begun = RunEvent {
                seq: 0,
                at: 0,
                step: Some(StepId::from(ids::DOCKER)),
                event: Event::Applying {
                    before: json!([value]).to_string(),
                },
            };
            run.journal
                .append(&RunId("r".into()), 0, begun)
                .await
                .unwrap();
            let driver = run.driver(vec![Arc::new(OpenDocker { users: vec![] })], machines);
            let undone = driver.undo().await;
            assert_eq!(undone, Outcome::Finished(RunOutcome::Undone));
            groups.names.lock().unwrap().contains(&"docker")
        };
        assert!(!before(json!({"open": false, "member": false})).await);
        assert!(
            before(json!({"open": false, "member": true})).await,
            "a member before"
        );
        assert!(
            before(json!({"open": true, "member": false})).await,
            "nothing was done"
        );
        assert!(!before(json!(false)).await, "as an earlier Tandem noted it");
        assert!(before(json!(true)).await);
    }

    #[test]
    fn what_the_look_prints_is_read() {
        let spark = "/usr/bin/nvidia-container-runtime-hook\nhook\nmode = \"auto\"\nGPU 0: NVIDIA GB10 (UUID: GPU-1)\n";
        let expected = GpuSupport {
            hook: true,
            ..GpuSupport::default()
        };
        assert_eq!(gpu_support(spark), expected);
        let cdi = gpu_support("hook\n  mode = \"cdi\"\n");
        assert!(cdi.cdi && cdi.hook);
        let updated = gpu_support("Failed to initialize NVML: Driver/library version mismatch\n");
        assert!(updated.driver_mismatch && !updated.hook);
        assert_eq!(
            gpu_support("sh: 1: nvidia-smi: not found\n"),
            GpuSupport::default()
        );
    }
}
