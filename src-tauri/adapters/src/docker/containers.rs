//! The containers of a machine: the port `Containers`.

use std::sync::Arc;

use async_trait::async_trait;
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions, LogsOptions,
    RemoveContainerOptionsBuilder, RemoveImageOptions, StartContainerOptions,
    StopContainerOptionsBuilder,
};
use futures::StreamExt;
use tandem_domain::container::{ContainerSpec, ContainerState, KEY_LABEL};
use tandem_domain::ports::{
    Command, ContainerError, Containers, DockerInfo, Image, Machine, PullProgress, Stock, tagged,
};
use tandem_domain::secret::Secret;
use tokio::sync::OnceCell;

use super::error::{DockerFailure, closed, sort};
use super::log::{LogReading, OutputStream, Tail};
use super::pull::Layers;
use super::transport::{self, SOCKET, TransportError};
use super::{listing, spec};
use crate::ssh::SshMachine;

/// How long a container may take to end by itself before it is killed.
const STOP_SECONDS: i32 = 10;
/// Looks at `$1` and says in one word why it cannot be reached.
const LOOK: &str = r#"if [ -S "$1" ]; then if [ -w "$1" ] && [ -r "$1" ]; then echo silent; else echo denied; fi
elif [ -S "/run/user/$(id -u)/docker.sock" ]; then echo rootless
elif command -v dockerd >/dev/null || command -v docker >/dev/null || [ -x /usr/sbin/dockerd ]; then echo stopped
else echo missing; fi"#;
/// Prints those of its arguments that exist.
const EXISTING: &str = r#"for d; do if [ -e "$d" ]; then printf '%s\n' "$d"; fi; done"#;

/// The containers of a machine, through its SSH connection.
pub struct SshContainers {
    machine: Arc<SshMachine>,
    docker: OnceCell<Docker>,
}

impl SshContainers {
    /// The containers of this machine. Nothing is asked until the first call.
    pub fn new(machine: Arc<SshMachine>) -> Self {
        Self {
            machine,
            docker: OnceCell::new(),
        }
    }

    /// The client, once it has agreed with the engine on a version.
    async fn docker(&self) -> Result<&Docker, ContainerError> {
        let agree = || async {
            transport::client(Arc::clone(&self.machine))?
                .negotiate_version()
                .await
        };
        match self.docker.get_or_try_init(agree).await {
            Ok(docker) => Ok(docker),
            Err(e) => Err(self.refused("agree on a version", e).await),
        }
    }

    /// The domain's error for a request that failed.
    async fn refused(&self, act: &'static str, error: Error) -> ContainerError {
        match sort(&error) {
            DockerFailure::Answer { message, .. } => ContainerError::Refused {
                act,
                detail: message,
            },
            DockerFailure::Transport(transport_error) => {
                self.transport_error(transport_error).await
            }
        }
    }

    /// Looks at the socket to tell why the transport_error to the engine is closed.
    async fn transport_error(&self, transport_error: TransportError) -> ContainerError {
        let forbidden = match transport_error {
            TransportError::Machine(e) => return e.into(),
            TransportError::Closed { forbidden } => forbidden,
            TransportError::Silent(_) => false,
        };
        let look = Command::new("sh", ["-c", LOOK, "sh", SOCKET]);
        match self.machine.exec(&look).await {
            Err(e) => e.into(),
            Ok(output) if forbidden && output.text().trim() == "silent" => {
                ContainerError::NotRunning {
                    detail: "the SSH server does not open sockets (`AllowStreamLocalForwarding`)"
                        .into(),
                }
            }
            Ok(output) => closed(output.text().trim()),
        }
    }

    /// Which of these devices the machine has.
    async fn existing(&self, devices: &[String]) -> Result<Vec<String>, ContainerError> {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let fixed = ["-c", EXISTING, "sh"].map(String::from);
        let look = Command::new("sh", fixed.into_iter().chain(devices.iter().cloned()));
        let output = self.machine.exec(&look).await?;
        Ok(output.text().lines().map(str::to_owned).collect())
    }

    /// Reads the log from where `read` stands, and moves it on.
    async fn read_log(
        &self,
        name: &str,
        options: LogsOptions,
        read: &mut LogReading,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        let mut log = self.docker().await?.logs(name, Some(options));
        let mut skip = read.seen();
        while let Some(part) = log.next().await {
            let (stream, bytes) = match part {
                Ok(LogOutput::StdErr { message }) => (OutputStream::Err, message),
                Ok(part) => (OutputStream::Out, part.into_bytes()),
                Err(e) => return Err(self.refused("read the log", e).await),
            };
            read.feed(stream, skip.rest_of(stream, &bytes), on_line);
        }
        Ok(())
    }

    /// Waits for a removal that is under way already.
    async fn gone(&self, name: &str) -> Result<bool, ContainerError> {
        for _ in 0..100 {
            if self.inspect(name).await?.is_none() {
                return Ok(true);
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        Err(ContainerError::Refused {
            act: "remove the container",
            detail: "its removal goes on and does not end".into(),
        })
    }
}

#[async_trait]
impl Containers for SshContainers {
    async fn engine(&self) -> Result<DockerInfo, ContainerError> {
        let docker = self.docker().await?;
        let (info, version) = match tokio::try_join!(docker.info(), docker.version()) {
            Ok(both) => both,
            Err(e) => return Err(self.refused("say what it is", e).await),
        };
        let parts = version.components.unwrap_or_default();
        let podman = parts.iter().any(|part| part.name.starts_with("Podman"));
        let options = info.security_options.unwrap_or_default();
        let rootless = options.iter().any(|option| option.contains("rootless"));
        let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
        runtimes.sort();
        Ok(DockerInfo {
            version: info.server_version.unwrap_or_default(),
            runtimes,
            root: info.docker_root_dir.unwrap_or_default(),
            rootless,
            podman,
        })
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, ContainerError> {
        match self.docker().await?.inspect_image(reference).await {
            Ok(image) => Ok(Some(Image {
                id: image.id.unwrap_or_default(),
                size: image.size.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            })),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(e) => Err(self.refused("look for the image", e).await),
        }
    }

    async fn pull(
        &self,
        reference: &str,
        on_progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError> {
        let options = CreateImageOptionsBuilder::new()
            .from_image(&tagged(reference))
            .build();
        let mut messages = self.docker().await?.create_image(Some(options), None, None);
        let mut layers = Layers::default();
        while let Some(message) = messages.next().await {
            match message {
                Ok(info) => {
                    if let Some(sum) = layers.take(&info) {
                        on_progress(sum);
                    }
                }
                Err(e) => {
                    return Err(match sort(&e) {
                        DockerFailure::Answer { message, .. } => ContainerError::NoSuchImage {
                            image: reference.to_owned(),
                            detail: message,
                        },
                        DockerFailure::Transport(transport_error) => {
                            self.transport_error(transport_error).await
                        }
                    });
                }
            }
        }
        Ok(())
    }

    async fn stock(&self) -> Result<Stock, ContainerError> {
        match listing::read(self.docker().await?).await {
            Ok(stock) => Ok(stock),
            Err(e) => Err(self.refused("list what it keeps", e).await),
        }
    }

    async fn remove_image(&self, reference: &str) -> Result<bool, ContainerError> {
        let docker = self.docker().await?;
        match docker
            .remove_image(reference, None::<RemoveImageOptions>, None)
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(false),
            Err(e) => Err(self.refused("remove the image", e).await),
        }
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        let devices = self.existing(&spec.devices).await?;
        let docker = self.docker().await?;
        let options = CreateContainerOptionsBuilder::new()
            .name(&spec.name)
            .build();
        let id = match docker
            .create_container(Some(options), spec::body(spec, &devices))
            .await
        {
            Ok(created) => created.id,
            Err(e) => {
                return Err(match sort(&e) {
                    DockerFailure::Answer { status: 409, .. } => ContainerError::NameTaken {
                        name: spec.name.clone(),
                    },
                    DockerFailure::Answer {
                        status: 404,
                        message,
                    } => ContainerError::NoSuchImage {
                        image: spec.image.clone(),
                        detail: message,
                    },
                    _ => self.refused("create the container", e).await,
                });
            }
        };
        if let Err(e) = docker
            .start_container(&id, None::<StartContainerOptions>)
            .await
        {
            let error = self.refused("start the container", e).await;
            // One that never ran is of no use, and would take the name from the next attempt.
            if let Err(e) = self.remove(&id).await {
                tracing::warn!(container = %spec.name, error = %e, "left behind");
            }
            return Err(error);
        }
        Ok(id)
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, ContainerError> {
        let docker = self.docker().await?;
        let found = match docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
        {
            Ok(found) => found,
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(None),
            Err(e) => return Err(self.refused("look at the container", e).await),
        };
        let state = found.state.unwrap_or_default();
        let running = state.running.unwrap_or(false);
        let labels = found.config.and_then(|c| c.labels).unwrap_or_default();
        let mut labels: Vec<(String, String)> = labels.into_iter().collect();
        labels.sort();
        // Before its first start a container has the exit code 0, which is none.
        let ended = !running && state.finished_at.is_some_and(|at| !at.starts_with("0001-"));
        Ok(Some(ContainerState {
            id: found.id.unwrap_or_default(),
            image_id: found.image.unwrap_or_default(),
            running,
            exit_code: state.exit_code.filter(|_| ended),
            oom_killed: state.oom_killed.unwrap_or(false),
            labels,
        }))
    }

    async fn api_key(&self, name: &str) -> Result<Option<Secret>, ContainerError> {
        let docker = self.docker().await?;
        let found = match docker
            .inspect_container(name, None::<InspectContainerOptions>)
            .await
        {
            Ok(found) => found,
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => return Ok(None),
            Err(e) => return Err(self.refused("look at the container", e).await),
        };
        let config = found.config.unwrap_or_default();
        let variable = config.labels.and_then(|mut l| l.remove(KEY_LABEL));
        Ok(variable.and_then(|variable| {
            let mut env = config.env.iter().flatten();
            env.find_map(|entry| entry.strip_prefix(&variable)?.strip_prefix('='))
                .map(Secret::new)
        }))
    }

    async fn logs(&self, name: &str, tail: usize) -> Result<Vec<String>, ContainerError> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: tail.to_string(),
            ..LogsOptions::default()
        };
        // A line of the engine's may be several of ours.
        let mut lines = Tail::new(tail);
        let mut read = LogReading::default();
        let mut push = |line: &str| lines.push(line);
        self.read_log(name, options, &mut read, &mut push).await?;
        read.end(&mut push);
        Ok(lines.into_lines())
    }

    async fn follow(
        &self,
        name: &str,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        let all = LogsOptions {
            stdout: true,
            stderr: true,
            tail: "all".into(),
            ..LogsOptions::default()
        };
        let followed = LogsOptions {
            follow: true,
            ..all.clone()
        };
        let mut read = LogReading::default();
        self.read_log(name, followed, &mut read, on_line).await?;
        // The engine stops following when the container ends, often before it has passed on what was
        // written last; and what a server says last is why it ended. Its file has all of it, until
        // the container is removed.
        let rest = self.read_log(name, all, &mut read, on_line).await;
        read.end(on_line);
        match rest {
            Err(e) if self.inspect(name).await?.is_some() => Err(e),
            _ => Ok(()),
        }
    }

    async fn remove(&self, name: &str) -> Result<bool, ContainerError> {
        let docker = self.docker().await?;
        let stop = StopContainerOptionsBuilder::new().t(STOP_SECONDS).build();
        // 304 says that it has ended already; whatever else it says, removing by force decides.
        if let Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) = docker.stop_container(name, Some(stop)).await
        {
            return Ok(false);
        }
        let force = RemoveContainerOptionsBuilder::new()
            .v(true)
            .force(true)
            .build();
        match docker.remove_container(name, Some(force)).await {
            Ok(()) => Ok(true),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(true),
            Err(Error::DockerResponseServerError {
                status_code: 409, ..
            }) => self.gone(name).await,
            Err(e) => Err(self.refused("remove the container", e).await),
        }
    }
}
