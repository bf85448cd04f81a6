//! Step `key`: Tandem's own SSH key on each machine, so that the password is not needed again.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ports::{Command, MachineServices};
use crate::problem::{Code, Problem};
use crate::run::{Step, StepCheck, StepError, StepId, StepPlan};
use crate::step::facts::same_twice;
use crate::step::ids;
use crate::step::machines::{exists, failed_on, found, must, on_all, undo_on_all};
use crate::step::services::{Services, StepContext};

const FILE: &str = ".ssh/authorized_keys";

/// What the key may be used for: commands, files, and tunnels to servers and to Docker's socket, which is all that
/// Tandem uses. No terminal, no agent, no X11. The option `permitopen` is not among them: sshd then opens no socket by its
/// path, as Docker's is, and it holds up nobody who may run commands.
pub const OPTIONS: &str = "restrict,port-forwarding";

/// Appends the line `$1`, unless a line with the key `$2` is there. In one write behind whatever is there by then,
/// so that what somebody else adds at the same time stays; a link stays a link, and a mode what it is.
const ADD: &str = r#"set -eu
umask 077
mkdir -p -- "$HOME/.ssh"
f=$HOME/.ssh/authorized_keys
exec 9>>"$f"
flock -w 20 9
if grep -aqF -- "$2" "$f"; then exit 0; fi
if [ -s "$f" ] && [ "$(tail -c 1 -- "$f" | od -An -tx1 | tr -d ' ')" != 0a ]; then
  printf '\n%s\n' "$1" >&9
else
  printf '%s\n' "$1" >&9
fi
"#;

/// Takes the lines `$1` and `$2` out, byte for byte, and the line end before a last one that was put behind a line
/// without one (`$3` is 0). A file (`$4` is 0) and a folder (`$5` is 0) that were not there go, if they are empty.
/// Where a line stands behind ours, the rest of the file moves up in place, so that a link, an owner and a mode stay.
const REMOVE: &str = r#"set -eu
export LC_ALL=C
f=$HOME/.ssh/authorized_keys
[ -e "$f" ] || exit 0
exec 9>>"$f"
flock -w 20 9
for line in "$1" "$2"; do
  while found=$(grep -abFx -m 1 -- "$line" "$f"); do
    at=${found%%:*}
    end=$((at + ${#line} + 1))
    size=$(stat -Lc %s -- "$f")
    if [ "$end" -ge "$size" ]; then
      if [ "$3" = 0 ] && [ "$at" -gt 0 ]; then at=$((at - 1)); fi
      truncate -s "$at" -- "$f"
    else
      tail -c "+$((end + 1))" -- "$f" | dd of="$f" seek="$at" oflag=seek_bytes conv=notrunc status=none
      truncate -s "$((size - end + at))" -- "$f"
    fi
  done
done
if [ "$4" = 0 ] && [ ! -s "$f" ] && [ ! -L "$f" ]; then
  rm -f -- "$f"
  [ "$5" != 0 ] || rmdir -- "$HOME/.ssh" 2>/dev/null || true
fi
"#;

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
    /// Whether the file was empty or ended with a line end.
    #[serde(default = "ended")]
    ended: bool,
}

/// An earlier Tandem did not note it, and left the line end there.
fn ended() -> bool {
    true
}

impl InstallKey {
    /// The line as it is added.
    fn line(&self) -> String {
        format!("{OPTIONS} {}", self.public_key.trim())
    }

    /// What tells the key from every other, whatever stands around it.
    fn key(&self) -> &str {
        let mut words = self.public_key.split_whitespace();
        words.nth(1).unwrap_or_else(|| self.public_key.trim())
    }

    async fn read(&self, machine: &MachineServices) -> Result<KeyBefore, StepError> {
        let home = crate::step::machines::home(machine).await?;
        let path = format!("{home}/{FILE}");
        let on = failed_on(machine);
        let content = machine.shell.read(&path, false).await.map_err(on)?;
        let had_folder = exists(&*machine.shell, &format!("{home}/.ssh"))
            .await
            .map_err(on)?;
        // Bytes, not text: a comment of another key may be in any encoding.
        let bytes = content.as_deref().unwrap_or_default();
        let key = self.key().as_bytes();
        let holds = |line: &[u8]| {
            !line.starts_with(b"#") && line.windows(key.len()).any(|part| part == key)
        };
        Ok(KeyBefore {
            had_key: bytes.split(|b| *b == b'\n').any(holds),
            had_file: content.is_some(),
            had_folder,
            ended: bytes.last().is_none_or(|last| *last == b'\n'),
        })
    }

    /// Runs one of the programs above.
    async fn run(
        &self,
        machine: &MachineServices,
        program: &str,
        args: &[&str],
        failed: &str,
    ) -> Result<(), StepError> {
        let all = [&["-c", program, "tandem"], args].concat();
        let command = Command::new("sh", all);
        must(machine, &command, Code::FileAccess, failed)
            .await
            .map(drop)
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
}

#[async_trait]
impl Step<Services> for InstallKey {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId::from(ids::KEY),
            title: "Key".into(),
            will: "Adds Tandem's own key to the machines, so that you need not type the password again.".into(),
            exactly: vec![format!("~/{FILE}: add the line\n{}", self.line())],
            undo: "Takes that one line out again. Everything else in the file stays, byte for byte.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        Self::distinct(cx).await?;
        let looked = on_all(&cx.machines, |_, s| Box::pin(self.read(s))).await?;
        let done = looked.iter().all(|b| b.had_key);
        Ok(found(done, "The key is there.", &looked))
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                let failed = "Tandem's key was not added.";
                self.run(machine, ADD, &[&self.line(), self.key()], failed)
                    .await
            })
        })
        .await?;
        Ok(Value::Null)
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        for machine in &cx.machines {
            if !self.read(machine).await?.had_key {
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
                let digit = |yes| if yes { "1" } else { "0" };
                let args = [
                    &*self.line(),
                    // As an earlier Tandem added it.
                    self.public_key.trim(),
                    digit(was.ended),
                    digit(was.had_file),
                    digit(was.had_folder),
                ];
                let failed = "Tandem's key was not taken out.";
                self.run(machine, REMOVE, &args, failed).await
            })
        })
        .await?;
        Ok("The key is off the machines again.".into())
    }
}

#[cfg(test)]
mod tests;
