//! Step `key`: Tandem's own SSH key on each machine, so that the password is not needed again.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ports::{Command, MachineServices, RemoteFile};
use crate::problem::{Code, Problem};
use crate::run::{Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::facts::same_twice;
use crate::step::ids;
use crate::step::machines::{exists, failed_on, found, must, on_all, undo_on_all};
use crate::step::services::{Services, StepContext};

const FILE: &str = ".ssh/authorized_keys";

/// See the module.
pub(crate) struct InstallKey {
    /// The line for `authorized_keys`.
    pub public_key: String,
}

/// What was there, for each machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyBefore {
    had_key: bool,
    had_file: bool,
    had_folder: bool,
}

impl InstallKey {
    async fn read(&self, machine: &MachineServices) -> Result<(KeyBefore, String), StepError> {
        let home = crate::step::machines::home(machine).await?;
        let path = format!("{home}/{FILE}");
        let on = failed_on(machine);
        let content = machine.shell.read(&path, false).await.map_err(on)?;
        let had_folder = exists(&*machine.shell, &format!("{home}/.ssh"))
            .await
            .map_err(on)?;
        let text = content
            .as_deref()
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned();
        let before = KeyBefore {
            had_key: text
                .lines()
                .any(|line| line.trim() == self.public_key.trim()),
            had_file: content.is_some(),
            had_folder,
        };
        Ok((before, text))
    }

    /// An error if two of the machines are one, before anything is changed on it twice at once.
    async fn distinct(cx: &StepContext) -> Result<(), StepError> {
        let mut seen: Vec<(String, &str)> = Vec::new();
        for machine in &cx.machines {
            let id = machine
                .shell
                .exec(&Command::new("cat", ["/etc/machine-id"]))
                .await;
            let id = id.map_err(failed_on(machine))?.text().trim().to_owned();
            if let Some((_, other)) = seen
                .iter()
                .find(|(known, _)| !id.is_empty() && *known == id)
            {
                return Err(same_twice(other, &machine.name).into());
            }
            seen.push((id, &machine.name));
        }
        Ok(())
    }

    async fn write(&self, machine: &MachineServices, text: String) -> Result<(), StepError> {
        let home = crate::step::machines::home(machine).await?;
        let file = RemoteFile {
            path: format!("{home}/{FILE}"),
            content: text.into_bytes(),
            mode: 0o600,
            sudo: false,
        };
        machine
            .shell
            .write(&file)
            .await
            .map_err(failed_on(machine))?;
        let folder = Command::new("chmod", ["700".to_owned(), format!("{home}/.ssh")]);
        must(
            machine,
            &folder,
            Code::Broken,
            "The folder `~/.ssh` was not closed to others.",
        )
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Step<Services> for InstallKey {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(ids::KEY),
            title: "Key".into(),
            will: "Adds Tandem's own key to the machines, so that you need not type the password again.".into(),
            exactly: vec![format!("~/{FILE}: add the line\n{}", self.public_key.trim())],
            undo: "Takes that one line out again.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        Self::distinct(cx).await?;
        let looked = on_all(&cx.machines, |_, s| {
            Box::pin(async move { Ok(self.read(s).await?.0) })
        })
        .await?;
        let done = looked.iter().all(|b| b.had_key);
        Ok(found(done, "The key is there.", &looked))
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                let (now, mut text) = self.read(machine).await?;
                if now.had_key {
                    return Ok(());
                }
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                text.push_str(self.public_key.trim());
                text.push('\n');
                self.write(machine, text).await
            })
        })
        .await?;
        Ok(Value::Null)
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        for machine in &cx.machines {
            if !self.read(machine).await?.0.had_key {
                return Err(Problem::new(
                    Code::KeyRefused,
                    "Tandem's key did not stay on the machine.",
                )
                .cause(format!("`~/{FILE}` does not hold it after it was written."))
                .on(machine.name.clone())
                .into());
            }
        }
        Ok("The key is in place on every machine.".into())
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        undo_on_all(&cx.machines, before, |was: KeyBefore, machine| {
            Box::pin(async move {
                if was.had_key {
                    return Ok(());
                }
                let (now, text) = self.read(machine).await?;
                let rest: String = text
                    .split_inclusive('\n')
                    .filter(|line| line.trim() != self.public_key.trim())
                    .collect();
                let home = crate::step::machines::home(machine).await?;
                if now.had_file && rest.is_empty() && !was.had_file {
                    let rm = Command::new("rm", ["-f".to_owned(), format!("{home}/{FILE}")]);
                    must(
                        machine,
                        &rm,
                        Code::Broken,
                        "The key's file was not removed.",
                    )
                    .await?;
                    if !was.had_folder {
                        // Left alone if something else moved in meanwhile.
                        let rmdir = Command::new("rmdir", [format!("{home}/.ssh")]);
                        let _ = machine.shell.exec(&rmdir).await;
                    }
                } else if now.had_key {
                    self.write(machine, rest).await?;
                }
                Ok(())
            })
        })
        .await?;
        Ok("The key is off the machines again.".into())
    }
}
