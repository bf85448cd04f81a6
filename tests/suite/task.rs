//! A program that is run to its end, with all that it wrote.

use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How long one may take. A test that waits for ever shall not take the others with it.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    pub(crate) words: Vec<String>,
    pub(crate) folder: PathBuf,
    pub(crate) env: Vec<(String, String)>,
}

impl Command {
    pub(crate) fn new(program: impl Into<PathBuf>, words: &[&str], folder: &Path) -> Self {
        Self {
            program: program.into(),
            words: words.iter().map(|&w| w.to_owned()).collect(),
            folder: folder.to_owned(),
            env: Vec::new(),
        }
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }
}

/// A command with its name in the table.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) name: String,
    pub(crate) command: Command,
    /// How many tests it runs, where that is known.
    pub(crate) tests: Option<usize>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) took: Duration,
    pub(crate) good: bool,
    /// stdout and stderr as they came.
    pub(crate) output: String,
}

impl Task {
    pub(crate) fn new(name: impl Into<String>, command: Command) -> Self {
        Self {
            name: name.into(),
            command,
            tests: None,
        }
    }

    /// Runs it to its end, or ends it after [`LIMIT`].
    pub(crate) async fn run(&self) -> Ended {
        let began = Instant::now();
        let (good, output) = match self.finish().await {
            Ok(ended) => ended,
            Err(why) => (false, format!("{}: {why}", self.command.program.display())),
        };
        Ended {
            took: began.elapsed(),
            good,
            output,
        }
    }

    async fn finish(&self) -> std::io::Result<(bool, String)> {
        // A file takes both outputs in their order, and whoever inherits it holds nothing up.
        let mut file = tempfile::tempfile()?;
        let mut child = tokio::process::Command::new(&self.command.program)
            .args(&self.command.words)
            .envs(self.command.env.iter().map(|(n, v)| (n, v)))
            .current_dir(&self.command.folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file.try_clone()?)
            .kill_on_drop(true)
            .spawn()?;
        let mut late = String::new();
        let good = match tokio::time::timeout(LIMIT, child.wait()).await {
            Ok(status) => status?.success(),
            Err(_) => {
                child.kill().await?;
                late = format!("\nended after {} minutes", LIMIT.as_secs() / 60);
                false
            }
        };
        let mut bytes = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok((good, String::from_utf8_lossy(&bytes).into_owned() + &late))
    }
}
