//! Rehearsal: two simulated machines in a folder, a Hub and a server, without root and without Docker.
//!
//! `FOLDER/spark-a` and `FOLDER/spark-b` each hold a home, what stands for `/etc`, images and
//! containers. Containers and jobs are processes of their own: they outlive the app and are found
//! again when the folder is opened the next time.

mod container_command;
mod containers;
mod docker_socket;
mod exec;
mod files;
mod links;
mod listing;
mod machine;
mod perftest;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tandem_adapters::inference::{Connect, ContainerKey, HttpModelApi, OpenPort, Stream, tcp};
use tandem_domain::ports::{ApiError, LocalPort, MachineServices, ModelApi, NodeBuild, Tunnels};
use tandem_domain::problem::{Code, Problem};

use crate::checkpoint;
use crate::hub::{Hub, HubConfig};
use containers::SimulatedContainers;
use docker_socket::SimulatedDockerSocket;
use links::Links;
use machine::{OneBuild, SimulatedMachine};

/// The names of the two machines.
pub const NAMES: [&str; 2] = ["spark-a", "spark-b"];

/// The way to a server of a simulated machine: the port is looked up at every call.
struct PortConnector {
    containers: Arc<SimulatedContainers>,
    port: u16,
}

#[async_trait]
impl Connect for PortConnector {
    async fn connect(&self) -> Result<Box<dyn Stream>, ApiError> {
        match self.containers.port(self.port) {
            Some(here) => tcp("127.0.0.1", here).connect().await,
            None => Err(ApiError::NotListening {
                detail: format!("no container serves port {}", self.port),
            }),
        }
    }
}

impl SimulatedContainers {
    /// The same containers for whoever outlives this.
    fn again(&self) -> Arc<Self> {
        Arc::new(Self {
            folder: self.folder.clone(),
            meeting: self.meeting.clone(),
            standin: self.standin.clone(),
        })
    }
}

#[async_trait]
impl Tunnels for SimulatedContainers {
    fn api(&self, port: u16) -> Arc<dyn ModelApi> {
        let containers = self.again();
        let key = Arc::new(ContainerKey::new(containers.clone()));
        let connector = PortConnector { containers, port };
        Arc::new(HttpModelApi::new(Arc::new(connector)).with_key(key))
    }

    async fn listen(&self, port: u16) -> Result<Box<dyn LocalPort>, ApiError> {
        let containers = self.again();
        let road = Arc::new(PortConnector { containers, port });
        Ok(Box::new(OpenPort::open(road, port).await?))
    }
}

/// Two simulated machines and their Hub. The Hub and the machines' Docker sockets end when this is dropped;
/// containers go on.
pub struct Rehearsal {
    machines: Vec<MachineServices>,
    hub: Hub,
    _engines: Vec<SimulatedDockerSocket>,
}

fn problem(what: &str) -> impl Fn(std::io::Error) -> Problem {
    let what = what.to_owned();
    move |error| {
        Problem::new(Code::Broken, "The rehearsal could not be set up.")
            .cause(format!("{what}: {error}."))
            .fix("Check that the folder can be written and that its disk has some room.")
    }
}

impl Rehearsal {
    /// Opens the rehearsal in a folder, which is made ready first if it is new.
    ///
    /// `node_program` is the build of `tandem-node` for this computer, `standin` the program
    /// `tandem-standin`; its image is a copy of it.
    pub async fn open(folder: &Path, node_program: &Path, standin: &Path) -> Result<Self, Problem> {
        std::fs::create_dir_all(folder).map_err(problem("the folder"))?;
        let folder = &folder.canonicalize().map_err(problem("the folder"))?;
        let repos = folder.join("hub");
        let writing = repos.clone();
        tokio::task::spawn_blocking(move || checkpoint::write_all(&writing))
            .await
            .map_err(|e| problem("the checkpoints")(std::io::Error::other(e)))?
            .map_err(problem("the checkpoints"))?;
        let program = tokio::fs::read(node_program)
            .await
            .map_err(problem("the node program"))?;
        let build = NodeBuild {
            path: node_program.to_owned(),
            sha256: hex::encode(Sha256::digest(&program)),
        };
        let user = std::env::var("USER").unwrap_or_else(|_| "rehearsal".into());
        let (mut machines, mut engines) = (Vec::new(), Vec::new());
        for (i, name) in NAMES.iter().enumerate() {
            let home = folder.join(name);
            for part in ["home", "bin", "root/etc", "containers", "images"] {
                std::fs::create_dir_all(home.join(part)).map_err(problem("a machine's folder"))?;
            }
            let links = Links::new(&home);
            links
                .lay_out(i as u8 + 1)
                .map_err(problem("a machine's network"))?;
            let containers = Arc::new(SimulatedContainers {
                folder: home.clone(),
                meeting: folder.join("meeting.json"),
                standin: standin.to_owned(),
            });
            let engine = SimulatedDockerSocket::open(containers.clone())
                .map_err(problem("a machine's Docker"))?;
            machines.push(MachineServices {
                id: format!("rehearsal-{name}").into(),
                name: (*name).to_owned(),
                user: user.clone(),
                shell: Arc::new(SimulatedMachine {
                    name: (*name).to_owned(),
                    folder: home,
                    links,
                    peer: Links::new(&folder.join(NAMES[1 - i])),
                    user: user.clone(),
                    docker: engine.socket().to_owned(),
                }),
                containers: containers.clone(),
                tunnels: containers,
                node_program: Arc::new(OneBuild(build.clone())),
            });
            engines.push(engine);
        }
        let hub = start_hub(&folder.join("hub.json"), repos)
            .await
            .map_err(problem("the Hub"))?;
        Ok(Self {
            machines,
            hub,
            _engines: engines,
        })
    }

    /// The two machines.
    pub fn machines(&self) -> Vec<MachineServices> {
        self.machines.clone()
    }

    /// The Hub to fetch from. It stays the same over restarts as long as its port is free.
    pub fn hub_endpoint(&self) -> String {
        self.hub.endpoint()
    }

    /// The Hub itself, for faults and counters.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
}

/// Starts the Hub on the ports it had before, so that a run that was interrupted finds it again.
async fn start_hub(kept: &Path, repos: PathBuf) -> std::io::Result<Hub> {
    let before: Option<(SocketAddr, SocketAddr)> = std::fs::read(kept)
        .ok()
        .and_then(|t| serde_json::from_slice(&t).ok());
    if let Some((bind, cdn)) = before {
        let config = HubConfig {
            bind,
            cdn: Some(cdn),
            repos: repos.clone(),
        };
        if let Ok(hub) = Hub::start(config).await {
            return Ok(hub);
        }
    }
    let hub = Hub::start(HubConfig {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        cdn: None,
        repos,
    })
    .await?;
    std::fs::write(
        kept,
        serde_json::to_vec(&(hub.address(), hub.cdn_address()))?,
    )?;
    Ok(hub)
}
