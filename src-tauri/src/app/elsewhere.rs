//! What is served, for programs that are not Tandem: an address on this computer, the key, and proof that the key counts.

use std::sync::Arc;

use tandem_adapters::inference::{ContainerKey, HttpModelApi, tcp};
use tandem_domain::container::SERVER;
use tandem_domain::engine;
use tandem_domain::ids::MachineId;
use tandem_domain::ports::{ApiError, LocalPort, MachineServices, ModelApi, ServedModel};
use tandem_domain::problem::{Code, Problem, Retry};

use super::{App, lock};
use crate::wire::Serving;
use crate::wire::elsewhere::{Access, TrafficTest};

/// An open port of this computer and what it leads to.
pub(super) struct Opened {
    machine: MachineId,
    port: u16,
    at: Box<dyn LocalPort>,
}

impl App {
    /// Where and how what is served can be used.
    pub async fn access(&self) -> Result<Access, Problem> {
        let (_, serving, machine, _) = self.served().await?;
        Ok(self.access_to(&serving, &machine))
    }

    fn access_to(&self, serving: &Serving, machine: &MachineServices) -> Access {
        let mut opened = lock(&self.inner.opened);
        // What leads to another server leads nowhere now.
        if opened
            .as_ref()
            .is_some_and(|o| (&o.machine, o.port) != (&serving.machine, serving.port))
        {
            *opened = None;
        }
        Access {
            model: serving.model.clone(),
            machine: machine.name.clone(),
            port: serving.port,
            local: opened.as_ref().map(|o| o.at.port()),
            messages: engine::of(serving.engine).answers_messages(),
        }
    }

    /// Opens an address on this computer that leads to the server through the tunnel, until Tandem ends or it is closed.
    pub async fn open_local(&self) -> Result<Access, Problem> {
        let (_, serving, machine, _) = self.served().await?;
        self.open_to(&serving, &machine).await
    }

    async fn open_to(
        &self,
        serving: &Serving,
        machine: &MachineServices,
    ) -> Result<Access, Problem> {
        let access = self.access_to(serving, machine);
        if access.local.is_some() {
            return Ok(access);
        }
        let at = machine.tunnels.listen(serving.port).await.map_err(|e| {
            Problem::new(Code::BadInput, "No address was opened on this computer.")
                .cause(format!("{e}."))
                .fix("Try again.")
                .retry(Retry::Now)
        })?;
        *lock(&self.inner.opened) = Some(Opened {
            machine: serving.machine.clone(),
            port: serving.port,
            at,
        });
        Ok(self.access_to(serving, machine))
    }

    /// Closes that address, with what goes through it.
    pub fn close_local(&self) {
        *lock(&self.inner.opened) = None;
    }

    /// The key that the server asks for; `None` where it asks for none.
    pub async fn server_key(&self) -> Result<Option<String>, Problem> {
        let (_, _, machine, _) = self.served().await?;
        let key = machine.containers.api_key(SERVER).await;
        let key = key.map_err(|e| e.problem(&machine.name, &machine.user))?;
        Ok(key.map(|key| key.reveal().to_owned()))
    }

    /// Asks the server for its models the way that other programs do: without the key, then with it.
    pub async fn test_traffic(&self) -> Result<TrafficTest, Problem> {
        let (_, serving, machine, _) = self.served().await?;
        let port = self.open_to(&serving, &machine).await?.local;
        let port = port.ok_or_else(super::nothing_served)?;
        let road = Arc::new(tcp("127.0.0.1", port));
        let key = Arc::new(ContainerKey::new(machine.containers));
        let stranger = HttpModelApi::new(road.clone());
        let holder = HttpModelApi::new(road).with_key(key);
        let without = status(stranger.models().await)?;
        let with = status(holder.models().await)?;
        Ok(TrafficTest {
            without,
            with,
            guarded: without == 401 && with == 200,
        })
    }
}

/// The status of an answer.
fn status(answer: Result<Vec<ServedModel>, ApiError>) -> Result<u16, Problem> {
    match answer {
        Ok(_) => Ok(200),
        Err(ApiError::Status { status, .. }) => Ok(status),
        Err(error) => Err(
            Problem::new(Code::NothingServed, "The server was not reached.")
                .cause(format!("{error}."))
                .fix("Look at its log on Serve, then try again.")
                .retry(Retry::Now),
        ),
    }
}
