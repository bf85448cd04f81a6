//! Step `docker`: the machines' user may use Docker.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::ports::{Command, ContainerError, MachineServices};
use crate::problem::Code;
use crate::run::{Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::ids;
use crate::step::machines::{found, must, on_all, undo_on_all};
use crate::step::services::{Services, StepContext};

/// See the module.
pub(crate) struct OpenDocker {
    /// The users, for the words.
    pub users: Vec<String>,
}

impl OpenDocker {
    /// Whether the engine answers this user. Anything else than a closed socket is a problem.
    async fn is_open(machine: &MachineServices) -> Result<bool, StepError> {
        match machine.containers.engine().await {
            Ok(_) => Ok(true),
            Err(ContainerError::Denied) => Ok(false),
            Err(e) => Err(e.problem(&machine.name, &machine.user).into()),
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
            exactly: users.iter().map(|user| format!("sudo usermod -aG docker {user}")).collect(),
            undo: "Takes the user out of the group again.".into(),
            privileged: true,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let open = on_all(&cx.machines, |_, s| Box::pin(Self::is_open(s))).await?;
        Ok(found(open.iter().all(|o| *o), "Docker answers.", &open))
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
            machine
                .containers
                .engine()
                .await
                .map_err(|e| e.problem(&machine.name, &machine.user))?;
        }
        Ok("Docker answers on every machine.".into())
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        undo_on_all(&cx.machines, before, |was_open: bool, machine| {
            Box::pin(async move {
                if was_open {
                    return Ok(());
                }
                let groups = Command::new("id", ["-nG", &machine.user]);
                let groups = must(
                    machine,
                    &groups,
                    Code::Broken,
                    "The user's groups were not read.",
                )
                .await?;
                if groups.text().split_whitespace().any(|g| g == "docker") {
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
        Ok("The user is out of the group `docker` again.".into())
    }
}
