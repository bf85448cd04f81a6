//! The outside world as the steps see it: small traits, each a set of questions and acts.
//!
//! Real ones speak SSH, Docker and HTTP (`tandem-adapters`); rehearsed ones run on this computer
//! (`tandem-rehearsal`). Every call may be repeated and none retries by itself. Dropping a future
//! ends the call: a remote command is killed, a stream is closed.

mod containers;
mod machine;
mod refusals;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::chat::{ChatDelta, ChatFinish, ChatRequest};
use crate::ids::MachineId;

pub use containers::{
    ContainerError, Containers, DockerInfo, GpuSupport, Image, KeptImage, PullProgress, Stock,
    tagged,
};
pub use machine::{
    Command, LONGEST_LINE, Machine, MachineError, Output, PassedOver, RemoteFile, TooLong,
};
pub use registry::{Registry, RegistryError};

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
    NotListening {
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// The answer is an error of the server's.
    #[error("the server answered {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("the answer made no sense: {detail}")]
    Garbled {
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// It took too long.
    #[error("no answer within {seconds} s")]
    TimedOut {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The connection ended in the middle.
    #[error("the connection to the server was lost: {detail}")]
    Lost {
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
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

    /// The version of the program that serves. `None` where it does not tell.
    async fn version(&self) -> Result<Option<String>, ApiError> {
        Ok(None)
    }

    /// The tokens of this request's prompt with the template, by the served model's own tokenizer. `None` where the
    /// server has no such answer.
    async fn prompt_tokens(&self, _request: &ChatRequest) -> Result<Option<u32>, ApiError> {
        Ok(None)
    }

    /// The same server over connections that are kept for the next request, as a measurement needs. `None` where that is
    /// no other.
    fn kept(&self) -> Option<Arc<dyn ModelApi>> {
        None
    }

    /// POST /v1/chat/completions, streamed. Every chunk is handed over with its time since the request.
    async fn chat(
        &self,
        request: &ChatRequest,
        on_delta: &mut (dyn FnMut(ChatDelta) + Send),
    ) -> Result<ChatFinish, ApiError>;
}

/// Everything about one machine that a step may use.
#[derive(Clone)]
pub struct MachineServices {
    /// Its identity in the store.
    pub id: MachineId,
    /// The name people know it by.
    pub name: String,
    /// The user we are there.
    pub user: String,
    /// Its commands and files.
    pub shell: Arc<dyn Machine>,
    /// Its containers.
    pub containers: Arc<dyn Containers>,
    /// Its servers, by port.
    pub tunnels: Arc<dyn Tunnels>,
    /// Which build of the node program to send there.
    pub node_program: Arc<dyn NodePrograms>,
}

/// Reaches servers that listen on a machine's loopback.
#[async_trait]
pub trait Tunnels: Send + Sync {
    /// The API behind this port of the machine. Nothing is opened until the first call.
    fn api(&self, port: u16) -> Arc<dyn ModelApi>;

    /// Opens a port on this computer's loopback that leads to this port of the machine, for other programs: of the same
    /// number, or of another where that is taken here. The machine is not asked.
    async fn listen(&self, port: u16) -> Result<Box<dyn LocalPort>, ApiError>;
}

/// A port of this computer's loopback that leads to a server of a machine. Dropping it closes it, with what goes through
/// it.
pub trait LocalPort: Send + Sync {
    /// Its number.
    fn port(&self) -> u16;
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
