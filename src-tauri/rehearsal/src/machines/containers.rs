//! Containers as processes of this computer that outlive the app: each with a folder that holds what
//! it was started as, its log and, once it has ended, its exit code.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_adapters::docker::LineCutter;
use tandem_domain::container::{ContainerSpec, ContainerState};
use tandem_domain::ports::{ContainerError, Containers, DockerInfo, Image, PullProgress, Stock};
use tandem_domain::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::standin::PYTHON;

/// The file beside an image that holds what it is called.
pub(super) const REFERENCE: &str = "reference";

/// A container as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    id: String,
    pub(super) image_id: String,
    pub(super) labels: Vec<(String, String)>,
    pid: u32,
    /// When the process began, so that another with its number is not taken for it.
    began: String,
    /// Ports inside and here.
    pub(crate) ports: BTreeMap<u16, u16>,
    /// Its folders: of the machine, and as they are called inside.
    #[serde(default)]
    pub(super) mounts: Vec<(String, String)>,
    /// Its arguments.
    #[serde(default)]
    pub(super) command: Vec<String>,
    /// The API key of its server.
    #[serde(default)]
    key: Option<String>,
}

/// See the module.
pub(crate) struct SimulatedContainers {
    /// The machine's folder.
    pub(crate) folder: PathBuf,
    /// Shared by both machines: which port here stands for the rendezvous.
    pub(crate) meeting: PathBuf,
    /// What runs in every image.
    pub(crate) standin: PathBuf,
}

/// Whether a program can be started, by its path or from these folders.
fn startable(program: &str, path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |file: &Path| {
        std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(Path::new(program));
    }
    std::env::split_paths(path).any(|folder| runs(&folder.join(program)))
}

fn refused(act: &'static str) -> impl Fn(std::io::Error) -> ContainerError {
    move |error| ContainerError::Refused {
        act,
        detail: error.to_string(),
    }
}

/// When a process began and whether it runs; `None` where there is none.
fn began(pid: u32) -> Option<String> {
    let out = std::process::Command::new("ps")
        .args(["-o", "stat=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let (state, began) = text.split_once(' ')?;
    (!state.starts_with('Z')).then(|| began.trim().to_owned())
}

impl SimulatedContainers {
    fn home_of(&self, name: &str) -> PathBuf {
        self.folder.join("containers").join(name)
    }

    /// Where an image lies that is called so, or that is this one.
    pub(super) fn image_folder(&self, reference: &str) -> PathBuf {
        let images = self.folder.join("images");
        let is_it = |folder: &PathBuf| {
            let about = std::fs::read(folder.join("image.json")).ok();
            let image = about.and_then(|text| serde_json::from_slice::<Image>(&text).ok());
            image.is_some_and(|image| image.id == reference)
        };
        let folders = std::fs::read_dir(&images).into_iter().flatten().flatten();
        let mut by_id = folders
            .map(|entry| entry.path())
            .filter(|_| reference.starts_with("sha256:"));
        by_id
            .find(is_it)
            .unwrap_or_else(|| images.join(reference.replace(['/', ':', '@'], "_")))
    }

    pub(super) fn kept(&self, name: &str) -> Option<Kept> {
        serde_json::from_slice(&std::fs::read(self.home_of(name).join("state.json")).ok()?).ok()
    }

    pub(super) fn running(kept: &Kept) -> bool {
        began(kept.pid).is_some_and(|at| at == kept.began)
    }

    /// The port here that stands for a port of the machine, where a container serves on it.
    pub(crate) fn port(&self, port: u16) -> Option<u16> {
        let entries = std::fs::read_dir(self.folder.join("containers")).ok()?;
        entries.flatten().find_map(|entry| {
            let kept = self.kept(&entry.file_name().to_string_lossy())?;
            Self::running(&kept)
                .then(|| kept.ports.get(&port).copied())
                .flatten()
        })
    }

    /// Ends everything that runs on a machine, as a restart of it does.
    pub(crate) fn end_all(machine: &Path) {
        let entries = std::fs::read_dir(machine.join("containers"));
        let kept = entries.into_iter().flatten().flatten().filter_map(|entry| {
            let text = std::fs::read(entry.path().join("state.json")).ok()?;
            serde_json::from_slice::<Kept>(&text).ok()
        });
        for kept in kept.filter(Self::running) {
            signal(&kept, rustix::process::Signal::KILL);
        }
    }

    async fn read_from(&self, name: &str, from: u64) -> std::io::Result<Vec<u8>> {
        let mut file = tokio::fs::File::open(self.home_of(name).join("log")).await?;
        file.seek(SeekFrom::Start(from)).await?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).await?;
        Ok(text)
    }
}

/// Whether the registry that a rehearsal plays has an image: vLLM's own and no other.
fn published(reference: &str) -> bool {
    let name = reference.split(['@', ':']).next().unwrap_or_default();
    name.strip_prefix("docker.io/").unwrap_or(name) == "vllm/vllm-openai"
}

fn signal(kept: &Kept, with: rustix::process::Signal) {
    if let Some(group) = rustix::process::Pid::from_raw(kept.pid as i32) {
        // A group that is gone already is what was wanted.
        let _ = rustix::process::kill_process_group(group, with);
    }
}

#[async_trait]
impl Containers for SimulatedContainers {
    async fn engine(&self) -> Result<DockerInfo, ContainerError> {
        Ok(DockerInfo {
            version: "29.2.1".into(),
            runtimes: vec!["nvidia".into(), "runc".into()],
            root: self.folder.join("images").to_string_lossy().into_owned(),
            rootless: false,
            podman: false,
        })
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>, ContainerError> {
        let file = self.image_folder(reference).join("image.json");
        let Ok(text) = tokio::fs::read(file).await else {
            return Ok(None);
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|e| ContainerError::Refused {
                act: "read the image",
                detail: e.to_string(),
            })
    }

    async fn pull(
        &self,
        reference: &str,
        on_progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> Result<(), ContainerError> {
        use sha2::{Digest, Sha256};
        let act = "pull the image";
        if !published(reference) {
            return Err(ContainerError::NoSuchImage {
                image: reference.into(),
                detail: "a rehearsal has vLLM’s own image only".into(),
            });
        }
        let program =
            tokio::fs::read(&self.standin)
                .await
                .map_err(|e| ContainerError::NoSuchImage {
                    image: reference.into(),
                    detail: e.to_string(),
                })?;
        let folder = self.image_folder(reference);
        tokio::fs::create_dir_all(&folder)
            .await
            .map_err(refused(act))?;
        let (mut copied, total) = (Vec::with_capacity(program.len()), program.len() as u64);
        for layer in program.chunks(program.len().div_ceil(12).max(1)) {
            copied.extend_from_slice(layer);
            on_progress(PullProgress {
                done: copied.len() as u64,
                total,
            });
            tokio::task::yield_now().await;
        }
        let id = format!("sha256:{}", hex::encode(Sha256::digest(&copied)));
        let draft = folder.join("vllm.draft");
        tokio::fs::write(&draft, &copied)
            .await
            .map_err(refused(act))?;
        use std::os::unix::fs::PermissionsExt;
        tokio::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755))
            .await
            .map_err(refused(act))?;
        // Of an earlier pull, which may have been of another program.
        let python = folder.join(PYTHON);
        let _ = std::fs::remove_file(&python);
        std::fs::hard_link(&draft, &python).map_err(refused(act))?;
        tokio::fs::rename(&draft, folder.join("vllm"))
            .await
            .map_err(refused(act))?;
        tokio::fs::write(folder.join(REFERENCE), reference)
            .await
            .map_err(refused(act))?;
        let image = serde_json::to_vec(&Image { id, size: total }).expect("an image is plain data");
        tokio::fs::write(folder.join("image.json"), image)
            .await
            .map_err(refused(act))
    }

    async fn stock(&self) -> Result<Stock, ContainerError> {
        Ok(self.all_kept())
    }

    async fn remove_image(&self, reference: &str) -> Result<bool, ContainerError> {
        let folder = self.image_folder(reference);
        if !folder.exists() {
            return Ok(false);
        }
        tokio::fs::remove_dir_all(folder)
            .await
            .map_err(refused("remove the image"))?;
        Ok(true)
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        let act = "start the container";
        let Some(image) = self.image(&spec.image).await? else {
            return Err(ContainerError::NoSuchImage {
                image: spec.image.clone(),
                detail: "it is not on this machine".into(),
            });
        };
        let home = self.home_of(&spec.name);
        if home.join("state.json").exists() {
            return Err(ContainerError::NameTaken {
                name: spec.name.clone(),
            });
        }
        let (words, ports) = self.translate(spec).map_err(refused(act))?;
        let path = format!("{}:/usr/bin:/bin", self.image_folder(&spec.image).display());
        // Looked at before, because the shell around it always starts.
        let program = words.first().map_or("", String::as_str);
        if !startable(program, &path) {
            return Err(ContainerError::Refused {
                act,
                detail: format!("exec: \"{program}\": executable file not found"),
            });
        }
        tokio::fs::create_dir_all(&home)
            .await
            .map_err(refused(act))?;
        let log = std::fs::File::create(home.join("log")).map_err(refused(act))?;
        let errors = log.try_clone().map_err(refused(act))?;
        let _ = std::fs::remove_file(home.join("exit"));
        let mut process = tokio::process::Command::new("/bin/sh");
        // The shell stays and notes how it ended, for an app that may not be there then.
        process
            .args(["-c", "\"$@\"; echo $? > \"$TANDEM_EXIT\"", "container"])
            .args(&words);
        process
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.join("home"))
            .env("TANDEM_EXIT", home.join("exit"))
            .envs(
                spec.env
                    .iter()
                    .map(|(name, value)| (name, self.inside(spec, value))),
            )
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        let key = spec.key_variable.as_ref().map(|variable| {
            let key = hex::encode(rand::random::<[u8; 32]>());
            process.env(variable, &key);
            key
        });
        if let Ok(pace) = std::env::var("TANDEM_STANDIN_PACE") {
            process.env("TANDEM_STANDIN_PACE", pace);
        }
        let mut child = process.spawn().map_err(refused(act))?;
        let pid = child.id().unwrap_or(0);
        let kept = Kept {
            id: format!("{pid:08x}{}", &image.id[7..31]),
            image_id: image.id,
            labels: spec.labels.clone(),
            pid,
            began: began(pid).unwrap_or_default(),
            ports,
            mounts: spec
                .mounts
                .iter()
                .map(|m| (m.source.clone(), m.target.clone()))
                .collect(),
            command: spec.command.clone(),
            key,
        };
        let text = serde_json::to_vec_pretty(&kept).expect("a container is plain data");
        tokio::fs::write(home.join("state.json"), text)
            .await
            .map_err(refused(act))?;
        // Only so that it does not stay behind as a zombie while the app lives.
        tokio::spawn(async move { child.wait().await });
        Ok(kept.id)
    }

    async fn inspect(&self, name: &str) -> Result<Option<ContainerState>, ContainerError> {
        let Some(kept) = self.kept(name) else {
            return Ok(None);
        };
        let running = Self::running(&kept);
        let noted = std::fs::read_to_string(self.home_of(name).join("exit"))
            .ok()
            .and_then(|t| t.trim().parse().ok());
        Ok(Some(ContainerState {
            running,
            // Without a note it was ended from outside, by a signal to all of it.
            exit_code: (!running).then(|| noted.unwrap_or(137)),
            id: kept.id,
            image_id: kept.image_id,
            oom_killed: false,
            labels: kept.labels,
        }))
    }

    async fn api_key(&self, name: &str) -> Result<Option<Secret>, ContainerError> {
        let kept = self.kept(name);
        Ok(kept.and_then(|kept| kept.key).map(Secret::new))
    }

    async fn logs(&self, name: &str, tail: usize) -> Result<Vec<String>, ContainerError> {
        let text = self
            .read_from(name, 0)
            .await
            .map_err(refused("read the log"))?;
        let mut lines = Vec::new();
        let mut push = |line: &str| lines.push(line.to_owned());
        let mut cutter = LineCutter::default();
        cutter.feed(&text, &mut push);
        cutter.end(&mut push);
        let surplus = lines.len().saturating_sub(tail);
        lines.drain(..surplus);
        Ok(lines)
    }

    async fn follow(
        &self,
        name: &str,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        let act = "read the log";
        let mut cutter = LineCutter::default();
        let (mut at, mut found) = (0, false);
        loop {
            // Looked at before reading, so that the last lines of an ended one are not missed.
            let running = self.kept(name).is_some_and(|kept| Self::running(&kept));
            match self.read_from(name, at).await {
                Ok(text) => {
                    at += text.len() as u64;
                    found = true;
                    cutter.feed(&text, &mut |line| on_line(line));
                }
                // It was removed while it was followed.
                Err(_) if !running && found => {}
                Err(error) => return Err(refused(act)(error)),
            }
            if !running {
                cutter.end(&mut |line| on_line(line));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn remove(&self, name: &str) -> Result<bool, ContainerError> {
        let home = self.home_of(name);
        let Some(kept) = self.kept(name) else {
            return Ok(false);
        };
        if Self::running(&kept) {
            signal(&kept, rustix::process::Signal::TERM);
            for _ in 0..40 {
                if !Self::running(&kept) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Whatever of the group is left, the shell being gone or not.
            signal(&kept, rustix::process::Signal::KILL);
        }
        remove_folder(&home)
            .await
            .map_err(refused("remove the container"))?;
        Ok(true)
    }
}

async fn remove_folder(folder: &Path) -> std::io::Result<()> {
    tokio::fs::remove_dir_all(folder).await
}
