//! Step `program`: the node program on each machine.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::node::{NodeVersion, PROGRAM, PROTOCOL};
use crate::ports::{Command, MachineServices, NodeBuild};
use crate::problem::{Code, Problem};
use crate::run::{ProgressPart, Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::ids;
use crate::step::machines::{exists, failed_on, found, home, must, on_all, undo_on_all};
use crate::step::services::{Services, StepContext};

/// See the module.
pub(crate) struct SendProgram;

/// Which folders were there, outermost first, and whether the program was.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ProgramBefore {
    folders: Vec<bool>,
    program: bool,
}

const FOLDERS: [&str; 3] = [".local", ".local/share", ".local/share/tandem"];

impl SendProgram {
    /// The build for a machine.
    pub(crate) async fn build(machine: &MachineServices) -> Result<NodeBuild, StepError> {
        let uname = Command::new("uname", ["-m"]);
        let output = must(
            machine,
            &uname,
            Code::NodeProgram,
            "The machine's kind was not found.",
        )
        .await?;
        let arch = output.text().trim().to_owned();
        machine.node_program.build(&arch).ok_or_else(|| {
            Problem::new(
                Code::NodeProgram,
                "Tandem has no node program for this machine.",
            )
            .cause(format!("The machine is `{arch}`; a Spark is `aarch64`."))
            .fix("Check that the address is that of a Spark.")
            .on(machine.name.clone())
            .into()
        })
    }

    /// Whether exactly this build is there and runs.
    async fn is_there(machine: &MachineServices, build: &NodeBuild) -> Result<bool, StepError> {
        let home = home(machine).await?;
        let path = PROGRAM.replacen('~', &home, 1);
        let on = failed_on(machine);
        let sum = machine
            .shell
            .exec(&Command::new("sha256sum", [path]))
            .await
            .map_err(on)?;
        if !sum.ok() || !sum.text().starts_with(&build.sha256) {
            return Ok(false);
        }
        let version = machine
            .shell
            .exec(&Command::new(PROGRAM, ["version"]))
            .await
            .map_err(on)?;
        let version: Option<NodeVersion> = serde_json::from_slice(&version.stdout).ok();
        Ok(version.is_some_and(|v| v.protocol == PROTOCOL))
    }
}

#[async_trait]
impl Step<Services> for SendProgram {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(ids::PROGRAM),
            title: "Helper".into(),
            will: "Copies a small program to the machines that reads facts and moves weights. It runs only while it works and listens to nothing.".into(),
            exactly: vec![format!("{PROGRAM} (about 10 MB)")],
            undo: "Removes it.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let looked = on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                let build = Self::build(machine).await?;
                let ready = Self::is_there(machine, &build).await?;
                let home = home(machine).await?;
                let on = failed_on(machine);
                let mut folders = Vec::new();
                for folder in FOLDERS {
                    let path = format!("{home}/{folder}");
                    folders.push(exists(&*machine.shell, &path).await.map_err(on)?);
                }
                let path = PROGRAM.replacen('~', &home, 1);
                let program = exists(&*machine.shell, &path).await.map_err(on)?;
                Ok((ready, ProgramBefore { folders, program }))
            })
        })
        .await?;
        let (ready, before): (Vec<bool>, Vec<ProgramBefore>) = looked.into_iter().unzip();
        let done = ready.iter().all(|r| *r);
        Ok(found(done, "The right version is there.", &before))
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        cx.unless_cancelled(on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                let build = Self::build(machine).await?;
                if Self::is_there(machine, &build).await? {
                    return Ok(());
                }
                let mut report = |sent: u64| {
                    cx.progress(ProgressPart {
                        machine: machine.name.clone(),
                        done: sent,
                        total: None,
                        unit: "bytes".into(),
                        rate: None,
                        doing: "copying".into(),
                        held: None,
                    });
                };
                machine
                    .shell
                    .upload(&build.path, PROGRAM, 0o755, &mut report)
                    .await
                    .map_err(failed_on(machine))
            })
        }))
        .await?;
        Ok(Value::Null)
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        for machine in &cx.machines {
            let build = Self::build(machine).await?;
            if !Self::is_there(machine, &build).await? {
                return Err(Problem::new(
                    Code::NodeProgram,
                    "The node program does not run on the machine.",
                )
                .cause("What arrived is not what was sent, or the machine cannot run it.")
                .fix("Resume; it is copied again.")
                .on(machine.name.clone())
                .into());
            }
        }
        Ok("It is there, byte for byte, and runs.".into())
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        undo_on_all(&cx.machines, before, |was: ProgramBefore, machine| {
            Box::pin(async move {
                if was.program {
                    return Ok(());
                }
                let home = home(machine).await?;
                let rm = Command::new("rm", ["-f".to_owned(), PROGRAM.replacen('~', &home, 1)]);
                must(
                    machine,
                    &rm,
                    Code::Broken,
                    "The node program was not removed.",
                )
                .await?;
                let jobs = Command::new("rmdir", [format!("{home}/.local/share/tandem/jobs")]);
                let _ = machine.shell.exec(&jobs).await;
                for (folder, existed) in FOLDERS.iter().zip(&was.folders).rev() {
                    if !existed {
                        // Left alone if something else lives there by now.
                        let rmdir = Command::new("rmdir", [format!("{home}/{folder}")]);
                        let _ = machine.shell.exec(&rmdir).await;
                    }
                }
                Ok(())
            })
        })
        .await?;
        Ok("The node program is off the machines again.".into())
    }
}
