//! Short questions to the node program of a machine, before or between runs.

use serde::de::DeserializeOwned;
use tandem_domain::machine::Facts;
use tandem_domain::node::{NodeEvent, NodeLine, NodeRequest, PROGRAM, Refusal, Refused};
use tandem_domain::ports::{Command, MachineError, MachineServices, NodePrograms as _, Output};
use tandem_domain::problem::{Code, Problem};

use super::workspace::Workspace;

/// How many bytes an answer of the node program may have.
const LONGEST_ANSWER: usize = 4 << 20;

impl Workspace {
    /// Reads a machine's facts.
    pub(super) async fn read_facts(&self, machine: &MachineServices) -> Result<Facts, Problem> {
        let facts = self
            .ask_node(machine, &["facts"], Vec::new(), |output| {
                serde_json::from_slice(&output.stdout).ok()
            })
            .await?;
        Ok(arrived(facts))
    }

    /// Carries out a piece of work that is over soon and asks for nobody to follow it. The Hub's token,
    /// where there is one, goes by stdin.
    pub(super) async fn run_node<T: DeserializeOwned>(
        &self,
        machine: &MachineServices,
        kind: &str,
        request: &NodeRequest,
    ) -> Result<T, Problem> {
        let stdin = serde_json::to_vec(request).expect("a request is plain data");
        let last = |output: &Output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines = text
                .lines()
                .filter_map(|l| serde_json::from_str::<NodeLine>(l).ok());
            lines.map(|l| l.event).find(NodeEvent::is_last)
        };
        match self.ask_node(machine, &["run", kind], stdin, last).await? {
            NodeEvent::Done { result } => serde_json::from_value(result)
                .map_err(|e| not_understood(machine).cause(format!("{e}."))),
            NodeEvent::Failed { problem } => Err(problem.on(machine.name.clone())),
            _ => Err(not_understood(machine).cause("It ended without a result.")),
        }
    }

    /// Runs the node program once and reads its answer. Where it is not installed, or is of a version
    /// that does not know the question, a copy is asked. What it understood and refused stays refused.
    pub(super) async fn ask_node<T>(
        &self,
        machine: &MachineServices,
        words: &[&str],
        stdin: Vec<u8>,
        read: impl Fn(&Output) -> Option<T>,
    ) -> Result<T, Problem> {
        let on = |e: MachineError| e.problem(&machine.name);
        let ask = |program: &str| {
            Command::new(program, words.iter().copied())
                .stdin(stdin.clone())
                .most(LONGEST_ANSWER)
        };
        let installed = machine.shell.exec(&ask(PROGRAM)).await.map_err(on)?;
        if let Some(answer) = read(&installed) {
            return Ok(answer);
        }
        if understood(&installed) {
            return Err(no_answer(machine, &installed));
        }
        let copy = self.copy_of_program(machine).await?;
        let output = machine.shell.exec(&ask(&copy.path)).await;
        let removed = copy.remove(machine).await;
        let output = output.map_err(on)?;
        removed?;
        read(&output).ok_or_else(|| no_answer(machine, &output))
    }

    /// Removes what an app that was killed in the middle of a question left behind.
    async fn remove_old_copies(&self, machine: &MachineServices) {
        let remove = Command::new("sh", ["-c", REMOVE_OLD, "sh", COPIES]);
        if let Err(error) = machine.shell.exec(&remove).await {
            tracing::warn!(%error, "older copies of the node program were not looked for");
        }
    }

    /// Puts a copy of the node program into `/tmp` of a machine, for one question.
    async fn copy_of_program(&self, machine: &MachineServices) -> Result<ProgramCopy, Problem> {
        let on = |e: MachineError| e.problem(&machine.name);
        let arch = machine
            .shell
            .exec(&Command::new("uname", ["-m"]))
            .await
            .map_err(on)?;
        let arch = arch.text().trim().to_owned();
        let build = self
            .programs
            .build(&arch)
            .ok_or_else(|| no_build(machine, &arch))?;
        self.remove_old_copies(machine).await;
        let folder = format!("{COPIES}{}", super::new_id());
        let path = format!("{folder}/tandem-node");
        machine
            .shell
            .upload(&build.path, &path, 0o700, &mut |_| {})
            .await
            .map_err(on)?;
        Ok(ProgramCopy { folder, path })
    }
}

/// The folders of copies begin with this.
const COPIES: &str = "/tmp/tandem-look-";
/// Removes the folders of `$1` that are this user's own, hold nothing but a copy of the program and are an hour old: an
/// app that was killed left them. Another Tandem's copy, which is asked right now, is younger.
const REMOVE_OLD: &str = r#"for d in "$1"*; do [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ] || continue
find "$d" -maxdepth 0 -mmin +60 -exec rm -f -- "$d/tandem-node" \; -exec rmdir -- "$d" \; 2>/dev/null; done; :"#;

/// A copy of the node program that is removed after it was asked, so that asking leaves nothing behind.
struct ProgramCopy {
    folder: String,
    /// Where it is.
    path: String,
}

impl ProgramCopy {
    /// Removes it with its folder.
    async fn remove(self, machine: &MachineServices) -> Result<(), Problem> {
        let remove = Command::new("rm", ["-rf", &self.folder]);
        let removed = machine.shell.exec(&remove).await;
        removed.map(drop).map_err(|e| e.problem(&machine.name))
    }
}

/// Whether the program knew the question, although it gave no answer: it refused, and not because it could
/// not read what it was asked.
fn understood(output: &Output) -> bool {
    let refused = serde_json::from_slice::<Refused>(&output.stdout);
    refused.is_ok_and(|r| Refusal::of(&r.problem) != Refusal::NotUnderstood)
}

/// What the program said that was no answer: a refusal, or nothing that it should say.
fn no_answer(machine: &MachineServices, output: &Output) -> Problem {
    match serde_json::from_slice(&output.stdout) {
        Ok(Refused { problem }) => problem.on(machine.name.clone()),
        Err(_) => not_understood(machine).cause(format!(
            "It ended with {}: {}",
            output.status,
            output.error_text()
        )),
    }
}

fn not_understood(machine: &MachineServices) -> Problem {
    Problem::new(
        Code::NodeProgram,
        "Tandem did not understand the node program's answer.",
    )
    .on(machine.name.clone())
}

fn no_build(machine: &MachineServices, arch: &str) -> Problem {
    let problem = Problem::new(
        Code::NodeProgram,
        "Tandem cannot read this machine's facts.",
    )
    .on(machine.name.clone());
    if arch == "aarch64" {
        problem
            .cause("The node program for a Spark was not built with this Tandem.")
            .fix_with("Build it, then add the machine again.", "make spark-node")
    } else {
        problem
            .cause(format!("It is `{arch}`, and this build of Tandem has no helper for that; a Spark is `aarch64`."))
            .fix("Check that the address is that of a Spark.")
    }
}

/// Notes how far the machine's clock is ahead of this computer's, now that its answer is here. The machine
/// looks at its clock last of all, so only the way of the answer lies between the two.
fn arrived(mut facts: Facts) -> Facts {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    facts.clock_ahead_ms = now
        .ok()
        .and_then(|d| i64::try_from(d.as_millis()).ok())
        .map(|here| facts.clock_ms - here);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: i32, stdout: &str) -> Output {
        Output {
            status,
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    fn refusal(code: Code) -> String {
        let problem = Problem::new(code, "Nothing was done.");
        serde_json::json!({"event": "failed", "problem": problem}).to_string()
    }

    #[test]
    fn only_a_question_that_is_not_known_is_put_to_a_copy() {
        for code in [Code::DiskFull, Code::Locked, Code::JobLost] {
            assert!(understood(&said(1, &refusal(code))), "{code:?} is a no");
        }
        for not_known in [
            said(1, &refusal(Code::BadInput)),
            said(127, ""),
            said(0, "{\"of\":\"another version\"}"),
        ] {
            assert!(
                !understood(&not_known),
                "{not_known:?} may be known to a copy"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_old_copies_that_hold_nothing_else_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["look-old", "look-new", "look-more"] {
            std::fs::create_dir(at(name)).expect("made");
            std::fs::write(at(name).join("tandem-node"), "x").expect("written");
        }
        std::fs::write(at("look-more").join("mine"), "x").expect("written");
        std::os::unix::fs::symlink(at("look-new"), at("look-link")).expect("linked");
        let run = |program: &str, args: &[&std::ffi::OsStr]| {
            let status = std::process::Command::new(program).args(args).status();
            assert!(status.expect("it runs").success(), "{program}");
        };
        for name in ["look-old", "look-more", "look-link"] {
            run(
                "touch",
                &[
                    "-h".as_ref(),
                    "-d".as_ref(),
                    "2 hours ago".as_ref(),
                    at(name).as_ref(),
                ],
            );
        }
        run(
            "sh",
            &[
                "-c".as_ref(),
                super::REMOVE_OLD.as_ref(),
                "sh".as_ref(),
                at("look-").as_ref(),
            ],
        );
        assert!(!at("look-old").exists());
        assert!(at("look-new/tandem-node").exists());
        assert!(
            at("look-more/mine").exists(),
            "what somebody put there stays"
        );
        assert!(at("look-link").exists());
    }
}
