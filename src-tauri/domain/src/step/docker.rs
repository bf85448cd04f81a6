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
    async fn is_open(station: &MachineServices) -> Result<bool, StepError> {
        match station.containers.engine().await {
            Ok(_) => Ok(true),
            Err(ContainerError::Denied) => Ok(false),
            Err(e) => Err(e.problem(&station.name, &station.user).into()),
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
        let open = on_all(&cx.stations, |_, s| Box::pin(Self::is_open(s))).await?;
        Ok(found(open.iter().all(|o| *o), "Docker answers.", &open))
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        on_all(&cx.stations, |_, station| {
            Box::pin(async move {
                if Self::is_open(station).await? {
                    return Ok(());
                }
                let usermod = Command::new("usermod", ["-aG", "docker", &station.user]).sudo();
                must(
                    station,
                    &usermod,
                    Code::DockerDenied,
                    "The user was not added to the group `docker`.",
                )
                .await?;
                // A connection keeps the groups it was opened with.
                station.machine.reconnect().await;
                Ok(())
            })
        })
        .await?;
        Ok(json!({}))
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        for station in &cx.stations {
            station
                .containers
                .engine()
                .await
                .map_err(|e| e.problem(&station.name, &station.user))?;
        }
        Ok("Docker answers on every machine.".into())
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        undo_on_all(&cx.stations, before, |was_open: bool, station| {
            Box::pin(async move {
                if was_open {
                    return Ok(());
                }
                let groups = Command::new("id", ["-nG", &station.user]);
                let groups = must(
                    station,
                    &groups,
                    Code::Broken,
                    "The user's groups were not read.",
                )
                .await?;
                if groups.text().split_whitespace().any(|g| g == "docker") {
                    let out = Command::new("gpasswd", ["-d", &station.user, "docker"]).sudo();
                    must(
                        station,
                        &out,
                        Code::DockerDenied,
                        "The user was not taken out of the group `docker`.",
                    )
                    .await?;
                }
                station.machine.reconnect().await;
                Ok(())
            })
        })
        .await?;
        Ok("The user is out of the group `docker` again.".into())
    }
}
