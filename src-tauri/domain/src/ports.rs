//! The outside world as the steps see it: small traits, each a set of questions and acts.
//!
//! Real ones speak SSH, Docker and HTTP (`tandem-adapters`); rehearsed ones run on this computer
//! (`tandem-rehearsal`). Every call may be repeated and none retries by itself. Dropping a future
//! ends the call: a remote command is killed, a stream is closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::chat::{ChatDelta, ChatFinish, ChatRequest};
use crate::deploy::{ContainerSpec, ContainerState};
use crate::problem::{Code, Problem, Retry};
use crate::run::{RunEvent, RunId, StepId, StepProgress};

/// A command on a machine: a program and its arguments, never a shell string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, found on the PATH or by its absolute path; `~/` stands for the home folder.
    pub program: String,
    /// Its arguments, quoted by the port. `~/` is not expanded here.
    pub args: Vec<String>,
    /// What it reads. Secrets go this way only.
    pub stdin: Vec<u8>,
    /// Whether it runs as root.
    pub sudo: bool,
    /// How long it may take. `None` waits for ever.
    pub timeout: Option<Duration>,
}

impl Command {
    /// A command with a limit of 60 s, as the machine's user, with nothing on stdin.
    pub fn new<A: Into<String>>(
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            sudo: false,
            timeout: Some(Duration::from_secs(60)),
        }
    }

    /// The same as root.
    #[must_use]
    pub fn sudo(mut self) -> Self {
        self.sudo = true;
        self
    }

    /// The same with this on stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The same with this limit.
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + n when ended by signal n.
    pub status: i32,
    /// All of its stdout (of [`Machine::lines`]: empty, the lines were handed over).
    pub stdout: Vec<u8>,
    /// All of its stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.status == 0
    }

    /// Its stdout as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its stderr as text, trimmed.
    pub fn error_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim().to_owned()
    }
}

/// A file to be written on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Absolute, or `~/…` for the user's home.
    pub path: String,
    /// Its content.
    pub content: Vec<u8>,
    /// Its permission bits, e.g. `0o600`.
    pub mode: u32,
    /// Whether root writes it.
    pub sudo: bool,
}

/// Why an act on a machine did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// Nothing answers at the address.
    #[error("no answer from {address}: {detail}")]
    Unreachable { address: String, detail: String },
    /// Something answers that is not an SSH server, or none we can speak with.
    #[error("{address} did not answer as an SSH server: {detail}")]
    NotSsh { address: String, detail: String },
    /// The host key is another than the pinned one.
    #[error("the host key of {address} changed from {pinned} to {shown}")]
    HostKeyChanged {
        address: String,
        pinned: String,
        shown: String,
    },
    /// The password was refused.
    #[error("{user}@{address} did not accept the password")]
    WrongPassword { user: String, address: String },
    /// No key was accepted and no password was given.
    #[error("{user}@{address} accepted no key ({tried} tried)")]
    KeyRefused {
        user: String,
        address: String,
        tried: usize,
    },
    /// The connection ended.
    #[error("the connection was lost while {during}")]
    Lost { during: String },
    /// The command took too long and was ended.
    #[error("`{program}` did not end within {seconds} s")]
    TimedOut { program: String, seconds: u64 },
    /// The user may not become root.
    #[error("sudo refused: {detail}")]
    SudoRefused { detail: String },
    /// Becoming root needs a password and none is in memory.
    #[error("sudo asks for a password")]
    SudoPasswordNeeded,
    /// A file could not be read or written.
    #[error("could not {act} `{path}`: {detail}")]
    File {
        act: &'static str,
        path: String,
        detail: String,
    },
    /// The disk is full.
    #[error("no space left for `{path}`")]
    DiskFull { path: String },
}

impl MachineError {
    /// The error in words, for a machine of this name.
    pub fn problem(&self, machine: &str) -> Problem {
        let p = match self {
            Self::Unreachable { address, detail } => Problem::new(Code::Unreachable, format!("`{address}` did not answer."))
                .cause(format!("The connection could not be opened: {detail}."))
                .fix("Check that the machine is on, that it is on the same network as this computer, and that the address is right.")
                .retry(Retry::Now),
            Self::NotSsh { address, detail } => Problem::new(Code::NotSsh, format!("`{address}` answered, but not as an SSH server."))
                .cause(format!("{detail}."))
                .fix("Check the address and the port; a Spark listens on port 22."),
            Self::HostKeyChanged { address, pinned, shown } => {
                Problem::new(Code::HostKeyChanged, format!("Tandem did not connect to `{address}`."))
                    .cause(format!("Its host key was {pinned} and is now {shown}. Either the machine was set up afresh, or another one answers at this address."))
                    .fix("If you know why the key changed, remove the machine here and add it again. Otherwise find out which machine answers.")
            }
            Self::WrongPassword { user, address } => Problem::new(Code::WrongPassword, format!("`{address}` did not let `{user}` in."))
                .cause("The password was not accepted.")
                .fix("Type the password you use on that machine itself, and check the user name."),
            Self::KeyRefused { user, address, tried } => Problem::new(Code::KeyRefused, format!("`{address}` did not let `{user}` in."))
                .cause(match tried {
                    0 => "No key was at hand and no password was given.".to_owned(),
                    1 => "The one key that was offered was not accepted, and no password was given.".to_owned(),
                    n => format!("None of the {n} keys that were offered was accepted, and no password was given."),
                })
                .fix("Give the password once; Tandem then installs a key of its own."),
            Self::Lost { during } => Problem::new(Code::ConnectionLost, "The connection to the machine was lost.")
                .cause(format!("It ended while {during}."))
                .fix("Check the network; then resume. What was under way on the machine goes on there.")
                .retry(Retry::Now),
            Self::TimedOut { program, seconds } => Problem::new(Code::TimedOut, format!("`{program}` did not end."))
                .cause(format!("It was given {seconds} s."))
                .retry(Retry::Now),
            Self::SudoRefused { detail } => Problem::new(Code::SudoRefused, "The user may not do this as root.")
                .cause(format!("sudo answered: {detail}."))
                .fix("Add the user to the group `sudo` from an account that is in it, then try again."),
            Self::SudoPasswordNeeded => Problem::new(Code::SudoPasswordNeeded, "This step needs the password of the machine's user.")
                .cause("sudo asks for it, and Tandem keeps passwords only until it is closed.")
                .fix("Type the password, then go on."),
            Self::File { act, path, detail } => Problem::new(Code::Broken, format!("Tandem could not {act} `{path}`."))
                .cause(format!("{detail}."))
                .severity(crate::problem::Severity::Error),
            Self::DiskFull { path } => Problem::new(Code::DiskFull, format!("`{path}` could not be written."))
                .cause("The disk is full.")
                .fix("Free some space on the machine, then resume; what is there already is kept.")
                .retry(Retry::Now),
        };
        p.on(machine)
    }
}

/// One Linux machine.
#[async_trait]
pub trait Machine: Send + Sync {
    /// The name people know it by.
    fn name(&self) -> &str;

    /// Runs a command to its end and gives back all it printed. A status other than 0 is not an error here.
    async fn exec(&self, command: &Command) -> Result<Output, MachineError>;

    /// Runs a command and hands over each line of its stdout as it comes, without the line end.
    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError>;

    /// Reads a whole file; `None` where there is none. `sudo` reads as root.
    async fn read(&self, path: &str, sudo: bool) -> Result<Option<Vec<u8>>, MachineError>;

    /// Writes beside the target and renames, so that a reader sees the old file or the new one.
    /// Makes missing folders.
    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError>;

    /// Sends a file of this computer, as [`Machine::write`] does but without holding it in memory.
    async fn upload(
        &self,
        local: &std::path::Path,
        path: &str,
        mode: u32,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError>;

    /// Forgets the connection, so that the next call makes a new one with the machine's groups of then.
    async fn reconnect(&self);
}

/// The Docker engine of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Engine {
    /// For example `29.2.1`.
    pub version: String,
    /// For example `nvidia`, `runc`.
    pub runtimes: Vec<String>,
    /// Where it keeps images.
    pub root: String,
}

/// An image on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:…`, the same on two machines exactly if the images are the same.
    pub id: String,
    /// Bytes on disk.
    pub size: u64,
}

/// Progress of a pull: bytes over all layers known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullProgress {
    /// Bytes here.
    pub done: u64,
    /// Bytes announced so far; grows while layers are discovered.
    pub total: u64,
}

/// Why an act on containers did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// The machine itself.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The socket is there but closed to the user.
    #[error("permission denied on Docker's socket")]
    Denied,
    /// The socket is there but nobody answers.
    #[error("Docker's engine does not answer: {detail}")]
    NotRunning { detail: String },
    /// There is no socket.
    #[error("Docker is not installed")]
    Missing,
    /// The registry has no such image.
    #[error("no image `{image}`: {detail}")]
    NoSuchImage { image: String, detail: String },
    /// The name is in use.
    #[error("a container named `{name}` exists already")]
    NameTaken { name: String },
    /// The engine refused.
    #[error("Docker could not {act}: {detail}")]
    Refused { act: &'static str, detail: String },
}

impl ContainerError {
    /// The error in words.
    pub fn problem(&self, machine: &str, user: &str) -> Problem {
        match self {
            Self::Machine(e) => return e.problem(machine),
            Self::Denied => Problem::new(Code::DockerDenied, "Tandem may not use Docker on this machine.")
                .cause(format!("`{user}` is not in the group `docker`."))
                .fix_with(
                    "Add the user to the group; connections made from then on may use Docker.",
                    format!("sudo usermod -aG docker {user}"),
                ),
            Self::NotRunning { detail } => Problem::new(Code::DockerNotRunning, "Docker does not answer on this machine.")
                .cause(format!("{detail}."))
                .fix_with("Start it.", "sudo systemctl start docker")
                .retry(Retry::Now),
            Self::Missing => Problem::new(Code::DockerMissing, "Docker is not installed on this machine.")
                .cause("There is no `/var/run/docker.sock`.")
                .fix("Install Docker Engine from Docker's own packages; the snap does not work with GPUs. On a Spark it is part of DGX OS."),
            Self::NoSuchImage { image, detail } => Problem::new(Code::ImagePull, format!("The image `{image}` was not pulled."))
                .cause(format!("{detail}."))
                .fix("Check the image's name in the settings of the run, and that the machine reaches the registry.")
                .retry(Retry::Now),
            Self::NameTaken { name } => Problem::new(Code::ContainerForeign, format!("The container `{name}` was not started."))
                .cause("A container of that name exists already.")
                .fix_with("Remove it if you do not need it.", format!("docker rm -f {name}")),
            Self::Refused { act, detail } => Problem::new(Code::DockerNotRunning, format!("Docker could not {act}."))
                .cause(format!("{detail}."))
                .retry(Retry::Now),
        }
        .on(machine)
    }
}

/// The containers of one machine.
#[async_trait]
pub trait Containers: Send + Sync {
    /// Asks the engine who it is.
    async fn engine(&self) -> Result<Engine, ContainerError>;

    /// Looks an image up; `None` if the machine does not have it.
    async fn image(&self, reference: &str) -> Result<Option<Image>, ContainerError>;

    /// Pulls an image. A repeat goes on from the layers that are there.
    async fn pull(
        &self,
        reference: &str,
        on_progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError>;

    /// Removes an image; `false` if there was none.
    async fn remove_image(&self, reference: &str) -> Result<bool, ContainerError>;

    /// Creates and starts a container and gives back its id. A name in use is an error.
    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError>;

    /// Looks a container up by name.
    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, ContainerError>;

    /// The last lines of a container's log, oldest first, stdout and stderr together.
    async fn logs(&self, name: &str, tail: usize) -> Result<Vec<String>, ContainerError>;

    /// Hands over every line of a container's log from its start, until the container ends.
    async fn follow(
        &self,
        name: &str,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError>;

    /// Stops and removes a container with its anonymous volumes; `false` if there was none.
    async fn remove(&self, name: &str) -> Result<bool, ContainerError>;
}

/// A model that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedModel {
    /// The name to send in requests.
    pub id: String,
    /// Tokens of context, where the server says.
    pub max_model_len: Option<u32>,
}

/// Why a model's API did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nothing listens yet.
    #[error("the server does not listen: {detail}")]
    NotListening { detail: String },
    /// The answer is an error of the server's.
    #[error("the server answered {status}: {message}")]
    Status { status: u16, message: String },
    /// The answer is not what the API promises.
    #[error("the answer made no sense: {detail}")]
    Garbled { detail: String },
    /// It took too long.
    #[error("no answer within {seconds} s")]
    TimedOut { seconds: u64 },
    /// The connection ended in the middle.
    #[error("the connection to the server was lost: {detail}")]
    Lost { detail: String },
}

/// The OpenAI-style API of one server, reached through the machine's tunnel.
#[async_trait]
pub trait ModelApi: Send + Sync {
    /// GET /health. vLLM goes on to answer 200 for minutes after a lost worker: not a sign of life.
    async fn health(&self) -> Result<(), ApiError>;

    /// GET /v1/models.
    async fn models(&self) -> Result<Vec<ServedModel>, ApiError>;

    /// GET /metrics, in Prometheus text.
    async fn metrics(&self) -> Result<String, ApiError>;

    /// POST /v1/chat/completions, streamed. Every chunk is handed over with its time since the request.
    async fn chat(
        &self,
        request: &ChatRequest,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<ChatFinish, ApiError>;
}

/// Everything about one machine that a step may use.
#[derive(Clone)]
pub struct Station {
    /// Its identity in the store.
    pub id: String,
    /// The name people know it by.
    pub name: String,
    /// The user we are there.
    pub user: String,
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// Its containers.
    pub containers: Arc<dyn Containers>,
    /// Its servers, by port.
    pub tunnels: Arc<dyn Tunnels>,
    /// Which build of the node program to send there.
    pub node_program: Arc<dyn NodePrograms>,
}

/// Reaches servers that listen on a machine's loopback.
pub trait Tunnels: Send + Sync {
    /// The API behind this port of the machine. Nothing is opened until the first call.
    fn api(&self, port: u16) -> Arc<dyn ModelApi>;
}

/// The builds of the node program that came with the app.
pub trait NodePrograms: Send + Sync {
    /// The build for an architecture as `uname -m` names it, with its sha256 in hex.
    fn build(&self, arch: &str) -> Option<NodeBuild>;
}

/// One build of the node program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBuild {
    /// The file on this computer.
    pub path: std::path::PathBuf,
    /// Its sha256 in hex.
    pub sha256: String,
}

/// Time, as an argument.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970, for people and the journal. Never used to decide.
    fn now_ms(&self) -> i64;
    /// Since an arbitrary start, never backwards.
    fn monotonic(&self) -> Duration;
    /// Waits.
    fn wait(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()>;
}

/// The journal could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// Where runs are written down. Rows are only ever added; a written event has reached the disk.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Writes the event with the next sequence number and gives it back with that number.
    async fn append(&self, run: &RunId, event: RunEvent) -> Result<RunEvent, JournalError>;
    /// All events of a run, in order.
    async fn events(&self, run: &RunId) -> Result<Vec<RunEvent>, JournalError>;
    /// Keeps the latest progress of a step. May be lost.
    async fn progress(
        &self,
        run: &RunId,
        step: &StepId,
        progress: &StepProgress,
    ) -> Result<(), JournalError>;
}

/// Where measured things are kept.
#[async_trait]
pub trait BenchStore: Send + Sync {
    /// Saves a run of a benchmark.
    async fn save(&self, result: &crate::bench::BenchResult) -> Result<(), JournalError>;

    /// The newest measurement whose circumstances say `launch` = this; see [`crate::deploy::launch`].
    async fn of_launch(
        &self,
        launch: &str,
    ) -> Result<Option<crate::bench::BenchResult>, JournalError>;
}

/// Free-form facts of a benchmark: image digest, driver, revision.
pub type Circumstances = BTreeMap<String, String>;
