//! The person's own SSH agent: it signs, the keys stay in it.

use std::path::Path;

use russh::keys::PublicKey;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};

use super::config::AgentChoice;

/// A connection to an agent.
pub(super) type Agent = AgentClient<Box<dyn AgentStream + Send + Unpin + 'static>>;

/// The agent and the keys it holds; `None` where no agent answers.
pub(super) async fn keys(choice: &AgentChoice) -> Option<(Agent, Vec<PublicKey>)> {
    let socket = match choice {
        AgentChoice::None => return None,
        AgentChoice::Environment => None,
        AgentChoice::Socket(path) => Some(path.as_path()),
    };
    let mut agent = connect(socket).await?;
    let identities = match agent.request_identities().await {
        Ok(identities) => identities,
        Err(e) => {
            tracing::info!(error = %e, "the agent did not list its keys");
            return None;
        }
    };
    let keys = identities
        .into_iter()
        .filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, .. } => Some(key),
            // A Spark trusts keys, not authorities.
            AgentIdentity::Certificate { .. } => None,
        })
        .collect();
    Some((agent, keys))
}

#[cfg(unix)]
async fn connect(socket: Option<&Path>) -> Option<Agent> {
    let connected = match socket {
        Some(path) => AgentClient::connect_uds(path).await,
        None => AgentClient::connect_env().await,
    };
    connected.ok().map(AgentClient::dynamic)
}

#[cfg(windows)]
async fn connect(socket: Option<&Path>) -> Option<Agent> {
    // Where the OpenSSH that comes with Windows listens.
    let pipe = socket.unwrap_or_else(|| Path::new(r"\\.\pipe\openssh-ssh-agent"));
    AgentClient::connect_named_pipe(pipe)
        .await
        .ok()
        .map(AgentClient::dynamic)
}
