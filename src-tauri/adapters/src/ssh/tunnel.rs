//! The servers on a machine's loopback, reached through its connection. Nothing listens here unless it is asked for.

use std::sync::Arc;

use async_trait::async_trait;
use tandem_domain::ports::{ApiError, Containers, LocalPort, ModelApi, Tunnels};

use super::SshMachine;
use crate::inference::{Connect, ContainerKey, HttpModelApi, OpenPort, Stream};

/// The port `Tunnels` of a machine.
pub struct SshTunnels {
    machine: Arc<SshMachine>,
    key: Arc<ContainerKey>,
}

impl SshTunnels {
    /// The servers of this machine, whose key its containers tell.
    pub fn new(machine: Arc<SshMachine>, containers: Arc<dyn Containers>) -> Self {
        let key = Arc::new(ContainerKey::new(containers));
        Self { machine, key }
    }

    fn road(&self, port: u16) -> Arc<dyn Connect> {
        let machine = Arc::clone(&self.machine);
        Arc::new(TunnelConnector { machine, port })
    }
}

#[async_trait]
impl Tunnels for SshTunnels {
    fn api(&self, port: u16) -> Arc<dyn ModelApi> {
        Arc::new(HttpModelApi::new(self.road(port)).with_key(self.key.clone()))
    }

    async fn listen(&self, port: u16) -> Result<Box<dyn LocalPort>, ApiError> {
        Ok(Box::new(OpenPort::open(self.road(port), port).await?))
    }
}

/// One port of the machine.
struct TunnelConnector {
    machine: Arc<SshMachine>,
    port: u16,
}

#[async_trait]
impl Connect for TunnelConnector {
    async fn connect(&self) -> Result<Box<dyn Stream>, ApiError> {
        match self.machine.port(self.port).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(russh::ChannelOpenFailure::AdministrativelyProhibited)) => {
                Err(ApiError::NotListening {
                    detail: "the SSH server does not allow tunnels (`AllowTcpForwarding`)".into(),
                })
            }
            Ok(Err(_)) => Err(ApiError::NotListening {
                detail: format!("nothing answers on port {} of the machine", self.port),
            }),
            Err(e) => Err(ApiError::Lost {
                detail: e.to_string(),
            }),
        }
    }
}
