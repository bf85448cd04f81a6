//! Where the node program runs that is measured or tried: on this box, or on a machine of the lab.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tandem_domain::node::{
    CopyTicket, JobState, NodeLine, NodeRequest, NodeVersion, NodeWork, Refused, Serving,
};
use tandem_domain::problem::Problem;
use tandem_domain::secret::Secret;
use tokio::io::AsyncWriteExt as _;

use crate::{Lab, Output, Spark, USER, rails};

/// Why something could not be tried at all, in words for the person who asked for it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the program lies on a machine of the lab, below the user's home.
const ON_LAB: &str = ".local/share/tandem/tandem-node";

/// A home of its own on a machine, and the program to run there.
pub enum Place<'a> {
    /// This box.
    Here {
        /// The program.
        program: PathBuf,
        /// The home.
        home: PathBuf,
    },
    /// A machine of the lab.
    Lab {
        /// The lab.
        lab: &'a Lab,
        /// Which machine.
        spark: Spark,
    },
}

impl<'a> Place<'a> {
    /// On this box, in a home below `folder`.
    pub fn here(program: &Path, folder: &Path) -> Result<Self, Failure> {
        let home = folder.join("home");
        std::fs::create_dir_all(&home)?;
        Ok(Self::Here {
            program: program.to_owned(),
            home,
        })
    }

    /// On a machine of the lab, where the program is put first.
    pub async fn lab(lab: &'a Lab, spark: Spark, program: &Path) -> Result<Self, Failure> {
        let place = format!("/home/{USER}/{ON_LAB}");
        let script = "set -e\n\
            runuser -u \"$1\" -- mkdir -p \"$(dirname \"$2\")\"\n\
            cat > \"$2\"\nchmod 755 \"$2\"\nchown \"$1:\" \"$2\"";
        let said = lab
            .exec_with(
                spark,
                &["sh", "-c", script, "sh", USER, &place],
                &std::fs::read(program)?,
            )
            .await?;
        if !said.ok() {
            return Err(format!(
                "the program did not get to {}: {}",
                spark.name(),
                said.stderr
            )
            .into());
        }
        Ok(Self::Lab { lab, spark })
    }

    /// In words, for the circumstances.
    pub fn words(&self) -> String {
        match self {
            Self::Here { .. } => "this box, as a process of its own with its own home".to_owned(),
            Self::Lab { spark, .. } => format!(
                "{} of the lab, over its management link, as its user",
                spark.name()
            ),
        }
    }

    /// Runs the program with `input` on stdin to its end.
    pub async fn ask(&self, arguments: &[&str], input: &str) -> Result<Output, Failure> {
        match self {
            Self::Here { program, home } => {
                let mut child = tokio::process::Command::new(program)
                    .args(arguments)
                    .env("HOME", home)
                    .env_remove("HF_HOME")
                    .env_remove("XDG_RUNTIME_DIR")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .kill_on_drop(true)
                    .spawn()?;
                let mut stdin = child.stdin.take().expect("stdin is piped");
                // A program that does not read its input closes the pipe, which is its own affair.
                let _ = stdin.write_all(input.as_bytes()).await;
                drop(stdin);
                let done = child.wait_with_output().await?;
                Ok(Output {
                    status: done.status.code().unwrap_or(-1),
                    stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
                    stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
                })
            }
            Self::Lab { lab, spark } => {
                let (home, program) = (
                    format!("HOME=/home/{USER}"),
                    format!("/home/{USER}/{ON_LAB}"),
                );
                let mut line = vec!["runuser", "-u", USER, "--", "env", &home, &program];
                line.extend(arguments);
                Ok(lab.exec_with(*spark, &line, input.as_bytes()).await?)
            }
        }
    }

    /// The one line of an answer, which has to be a good one.
    pub async fn answer(&self, arguments: &[&str], input: &str) -> Result<Value, Failure> {
        let said = self.ask(arguments, input).await?;
        if !said.ok() {
            let what = arguments.join(" ");
            return Err(format!("`tandem-node {what}`: {}{}", said.stdout, said.stderr).into());
        }
        Ok(serde_json::from_str(&said.stdout)?)
    }

    /// What the program says of itself.
    pub async fn version(&self) -> Result<NodeVersion, Failure> {
        Ok(serde_json::from_value(
            self.answer(&["version"], "").await?,
        )?)
    }

    /// Starts a job, or goes on with what a killed one left; a refusal is an answer.
    pub async fn start(
        &self,
        job: &str,
        work: NodeWork,
        secret: Option<&Secret>,
    ) -> Result<Result<JobState, Problem>, Failure> {
        let request = serde_json::to_value(NodeRequest {
            token: secret.map(|s| s.reveal().to_owned()),
            work,
        })?;
        let kind = request["kind"].as_str().unwrap_or_default();
        let said = self
            .ask(&["start", kind, "--job", job], &request.to_string())
            .await?;
        if said.ok() {
            return Ok(Ok(serde_json::from_str(&said.stdout)?));
        }
        let refused: Refused = serde_json::from_str(&said.stdout)
            .map_err(|e| format!("{job} did not start ({e}): {}{}", said.stdout, said.stderr))?;
        Ok(Err(refused.problem))
    }

    /// Follows a job to its end from a line on; the last line is its end.
    pub async fn follow(&self, job: &str, after: u64) -> Result<Vec<NodeLine>, Failure> {
        let after = after.to_string();
        let said = self
            .ask(&["follow", "--job", job, "--after", &after], "")
            .await?;
        let lines = said.stdout.lines().map(serde_json::from_str);
        let lines: Vec<NodeLine> = lines.collect::<Result<_, _>>().map_err(|e| {
            format!(
                "`follow` of {job} cannot be read ({e}): {}{}",
                said.stdout, said.stderr
            )
        })?;
        match lines.last() {
            Some(line) if line.event.is_last() => Ok(lines),
            _ => Err(format!("`follow` of {job} has no end: {}", said.stderr).into()),
        }
    }

    /// Serves a repository on both rails of the first machine, also while a job there still fetches it. What
    /// comes back is what the other machine's copy is handed.
    pub async fn serve(&self, repo: &str, fetching: Option<&str>) -> Result<Secret, Failure> {
        let mut words = vec!["copy", "serve", "--repo", repo];
        let addresses = rails::addresses(Spark::A);
        for address in &addresses {
            words.extend(["--listen", address]);
        }
        words.extend(fetching.into_iter().flat_map(|job| ["--job", job]));
        let serving: Serving = serde_json::from_value(self.answer(&words, "").await?)?;
        Ok(CopyTicket::new(serving, None).seal())
    }
}
