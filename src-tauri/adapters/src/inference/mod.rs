//! The API of a model's server: questions over HTTP/1.1, answers streamed as server-sent events.
//!
//! The connection comes from a [`Connect`], so that the same client works through an SSH tunnel and,
//! for the rehearsal and tests, straight to a port of this computer.

mod api;
mod chunk;
mod chunks;
mod connection;
mod key;
mod local_port;
mod sse;
mod thinking;

use async_trait::async_trait;
use tandem_domain::ports::ApiError;
use tokio::io::{AsyncRead, AsyncWrite};

pub use api::HttpModelApi;
pub use key::{ContainerKey, ServerKey};
pub use local_port::OpenPort;

/// A connection to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The way to a server.
#[async_trait]
pub trait Connect: Send + Sync {
    /// Opens a connection.
    async fn connect(&self) -> Result<Box<dyn Stream>, ApiError>;
}

/// The way to a TCP port that can be reached directly.
pub fn tcp(host: impl Into<String>, port: u16) -> impl Connect {
    Tcp {
        host: host.into(),
        port,
    }
}

struct Tcp {
    host: String,
    port: u16,
}

#[async_trait]
impl Connect for Tcp {
    async fn connect(&self) -> Result<Box<dyn Stream>, ApiError> {
        match tokio::net::TcpStream::connect((self.host.as_str(), self.port)).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Err(e) => Err(ApiError::NotListening {
                detail: e.to_string(),
            }),
        }
    }
}
