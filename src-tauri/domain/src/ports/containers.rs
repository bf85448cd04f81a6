//! The containers of one machine, and why something with them did not happen.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{MachineError, refusals};
use crate::container::{ContainerSpec, ContainerState};
use crate::disk::Mounting;
use crate::problem::{Code, Problem, Retry};
use crate::secret::Secret;
use crate::shell::quote;

/// The Docker engine of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerInfo {
    /// For example `29.2.1`.
    pub version: String,
    /// For example `nvidia`, `runc`.
    pub runtimes: Vec<String>,
    /// Where it keeps images.
    pub root: String,
    /// Whether it runs without root's rights.
    pub rootless: bool,
    /// Whether it is Podman, which answers in Docker's place.
    pub podman: bool,
}

/// What a look at a machine says of NVIDIA's part in its containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuSupport {
    /// Whether the hook is installed through which Docker gives GPUs where no runtime is registered for that.
    pub hook: bool,
    /// Whether NVIDIA's runtime is set to the mode `cdi`.
    pub cdi: bool,
    /// Whether the driver and the loaded kernel module are of two versions.
    pub driver_mismatch: bool,
}

impl DockerInfo {
    /// Why no model server can be started with this engine; `None` where nothing is known against it.
    pub fn unfit(&self, gpu: &GpuSupport) -> Option<Problem> {
        if self.podman {
            return Some(
                Problem::new(Code::MachineUnfit, "Tandem cannot use the containers of this machine.")
                    .cause("Podman answers on Docker's socket, and it gives containers GPUs in another way than Docker.")
                    .fix_with(
                        "Let Docker's own engine answer there, then resume. On a Spark it is part of DGX OS.",
                        "sudo apt-get remove podman-docker && sudo systemctl enable --now docker",
                    ),
            );
        }
        if self.rootless {
            return Some(rootless());
        }
        if gpu.driver_mismatch {
            return Some(refusals::driver_mismatch());
        }
        if gpu.cdi {
            return Some(refusals::cdi_mode());
        }
        let known = self.runtimes.iter().any(|r| r == "nvidia");
        (!known && !gpu.hook).then(|| refusals::no_runtime(&self.runtimes))
    }
}

/// What cannot be done with an engine that runs as the user.
fn rootless() -> Problem {
    Problem::new(Code::MachineUnfit, "Tandem cannot use the containers of this machine.")
        .cause("Its Docker is rootless: a container sees a network of the engine's own in the place of the machine's addresses, and no RDMA device.")
        .fix_with(
            "Start the system's own engine, which can run beside it, then resume.",
            "sudo systemctl enable --now docker.socket docker",
        )
}

/// An image on a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:…`, the same on two machines exactly if the images are the same.
    pub id: String,
    /// Bytes on disk.
    pub size: u64,
}

/// The reference with a tag: without one a pull fetches, and a save writes, every tag there is.
pub fn tagged(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    if name.contains([':', '@']) {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// An image in the engine's stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptImage {
    /// `sha256:…`
    pub id: String,
    /// What it is called; nothing where a later pull took its name.
    pub tags: Vec<String>,
    /// Bytes on disk, with the layers that it shares.
    pub size: u64,
}

/// What the engine keeps on the disk, and who stands on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// All images.
    pub images: Vec<KeptImage>,
    /// All containers, also those that have ended.
    pub containers: Vec<Mounting>,
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
    NotRunning {
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// There is no socket of the system's engine, and one of the user's own.
    #[error("Docker is rootless")]
    Rootless,
    /// There is no socket.
    #[error("Docker is not installed")]
    Missing,
    /// The registry has no such image.
    #[error("no image `{image}`: {detail}")]
    NoSuchImage {
        /// The image as it was asked for.
        image: String,
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
    /// The name is in use.
    #[error("a container named `{name}` exists already")]
    NameTaken {
        /// The container's name.
        name: String,
    },
    /// The engine refused.
    #[error("Docker could not {act}: {detail}")]
    Refused {
        /// What was tried, as a verb: `read`, `pull`.
        act: &'static str,
        /// What the other side or the system said, without a full stop.
        detail: String,
    },
}

impl ContainerError {
    /// The error in words.
    pub fn problem(&self, machine: &str, user: &str) -> Problem {
        if let Self::NoSuchImage { detail, .. } | Self::Refused { detail, .. } = self
            && let Some(problem) = refusals::known(detail)
        {
            return problem.detail(detail.clone()).on(machine);
        }
        match self {
            Self::Machine(e) => return e.problem(machine),
            Self::Denied => Problem::new(Code::DockerDenied, "Tandem may not use Docker on this machine.")
                .cause(format!("`{user}` is not in the group `docker`."))
                .fix_with(
                    "Add the user to the group; connections made from then on may use Docker.",
                    format!("sudo usermod -aG docker {}", quote(user)),
                ),
            Self::NotRunning { detail } => Problem::new(Code::DockerNotRunning, "Docker does not answer on this machine.")
                .cause(format!("{detail}."))
                .fix_with("Start it.", "sudo systemctl start docker")
                .retry(Retry::Now),
            Self::Rootless => rootless(),
            Self::Missing => Problem::new(Code::DockerMissing, "Docker is not installed on this machine.")
                .cause("There is no `/var/run/docker.sock`.")
                .fix("Install Docker Engine from Docker's own packages; the snap does not work with GPUs. On a Spark it is part of DGX OS."),
            Self::NoSuchImage { image, detail } => Problem::new(Code::ImagePull, format!("The image `{image}` was not pulled."))
                .cause(format!("{detail}."))
                .fix("Check the image's name in the settings of the run, and that the machine reaches the registry.")
                .retry(Retry::Now),
            Self::NameTaken { name } => Problem::new(Code::ContainerForeign, format!("The container `{name}` was not started."))
                .cause("A container of that name exists already.")
                .fix_with("Remove it if you do not need it.", format!("docker rm -f {}", quote(name))),
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
    async fn engine(&self) -> Result<DockerInfo, ContainerError>;

    /// Looks an image up; `None` if the machine does not have it.
    async fn image(&self, reference: &str) -> Result<Option<Image>, ContainerError>;

    /// Pulls an image. A repeat goes on from the layers that are there.
    async fn pull(
        &self,
        reference: &str,
        on_progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError>;

    /// Everything the engine keeps. An engine that is asked for single things only refuses this.
    async fn stock(&self) -> Result<Stock, ContainerError> {
        Err(ContainerError::Refused {
            act: "list what it keeps",
            detail: "it is asked for single images only".into(),
        })
    }

    /// Removes an image; `false` if there was none.
    async fn remove_image(&self, reference: &str) -> Result<bool, ContainerError>;

    /// Creates and starts a container and gives back its id. A name in use is an error.
    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError>;

    /// Looks a container up by name.
    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, ContainerError>;

    /// The API key that a container's server asks for, made up at its start; `None` where there is no such
    /// container, or its server asks for none.
    async fn api_key(&self, _name: &str) -> Result<Option<Secret>, ContainerError> {
        Ok(None)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(runtimes: &[&str]) -> DockerInfo {
        DockerInfo {
            version: "29.2.1".into(),
            runtimes: runtimes.iter().map(|r| (*r).to_owned()).collect(),
            root: "/var/lib/docker".into(),
            rootless: false,
            podman: false,
        }
    }

    #[test]
    fn an_engine_that_cannot_serve_is_told_before_anything_is_started() {
        let ready = GpuSupport::default();
        let cure = |info: &DockerInfo, gpu: &GpuSupport| {
            info.unfit(gpu).map(|problem| format!("{problem:?}"))
        };
        let spark = docker(&["io.containerd.runc.v2", "nvidia", "runc"]);
        assert_eq!(spark.unfit(&ready), None);
        let hook = GpuSupport {
            hook: true,
            ..ready.clone()
        };
        assert_eq!(docker(&["runc"]).unfit(&hook), None);
        let missing = cure(&docker(&["runc"]), &ready).expect("no GPU");
        assert!(
            missing.contains("nvidia-ctk runtime configure"),
            "{missing}"
        );
        let rootless = DockerInfo {
            rootless: true,
            ..spark.clone()
        };
        let told = cure(&rootless, &ready).expect("no host network");
        assert!(told.contains("rootless") && told.contains("RDMA"), "{told}");
        let podman = DockerInfo {
            podman: true,
            ..spark.clone()
        };
        assert!(
            cure(&podman, &ready)
                .expect("not Docker")
                .contains("Podman")
        );
        let cdi = GpuSupport {
            cdi: true,
            ..ready.clone()
        };
        assert!(cure(&spark, &cdi).expect("refused").contains("mode=auto"));
        let old = GpuSupport {
            driver_mismatch: true,
            ..ready
        };
        assert!(cure(&spark, &old).expect("refused").contains("reboot"));
    }

    #[test]
    fn a_refusal_whose_words_are_known_has_its_own_cure() {
        let refused = ContainerError::Refused {
            act: "start the container",
            detail: "exec /usr/bin/vllm: exec format error".into(),
        };
        let problem = refused.problem("spark-a", "nvidia");
        assert_eq!(problem.code, Code::ImagePull);
        assert!(problem.details.iter().any(|d| d.contains("exec format")));
        let rootless = ContainerError::Rootless.problem("spark-a", "nvidia");
        assert!(rootless.cause.expect("a cause").contains("rootless"));
    }

    #[test]
    fn a_reference_without_a_tag_means_latest() {
        assert_eq!(tagged("alpine"), "alpine:latest");
        assert_eq!(tagged("lab:5000/a/b"), "lab:5000/a/b:latest");
        assert_eq!(
            tagged("vllm/vllm-openai:stepfun37"),
            "vllm/vllm-openai:stepfun37"
        );
        assert_eq!(tagged("a@sha256:00"), "a@sha256:00");
    }
}
