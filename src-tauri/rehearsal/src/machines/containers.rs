//! Containers as processes of this computer that outlive the app: each with a folder that holds what
//! it was started as, its log and, once it has ended, its exit code.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tandem_domain::deploy::{ContainerSpec, ContainerState};
use tandem_domain::ports::{ContainerError, Containers, Engine, Image, PullProgress};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// A container as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    id: String,
    image_id: String,
    labels: Vec<(String, String)>,
    pid: u32,
    /// When the process began, so that another with its number is not taken for it.
    began: String,
    /// Ports inside and here.
    pub(crate) ports: BTreeMap<u16, u16>,
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

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

impl SimulatedContainers {
    fn home_of(&self, name: &str) -> PathBuf {
        self.folder.join("containers").join(name)
    }

    fn image_folder(&self, reference: &str) -> PathBuf {
        self.folder
            .join("images")
            .join(reference.replace(['/', ':', '@'], "_"))
    }

    fn kept(&self, name: &str) -> Option<Kept> {
        serde_json::from_slice(&std::fs::read(self.home_of(name).join("state.json")).ok()?).ok()
    }

    fn running(kept: &Kept) -> bool {
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

    /// The port here on which two ranks meet: made by whichever comes first. The head makes a new
    /// one if the old one was taken by somebody else meanwhile.
    fn meeting_port(&self, key: &str, head: bool) -> std::io::Result<u16> {
        let mut all: BTreeMap<String, u16> = std::fs::read(&self.meeting)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
            .unwrap_or_default();
        if let Some(port) = all.get(key)
            && (!head || std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        {
            return Ok(*port);
        }
        let port = free_port()?;
        all.insert(key.to_owned(), port);
        std::fs::write(&self.meeting, serde_json::to_vec(&all)?)?;
        Ok(port)
    }

    /// The command as it can run here: folders and ports of the machine replaced by ours.
    fn translate(
        &self,
        spec: &ContainerSpec,
    ) -> std::io::Result<(Vec<String>, BTreeMap<u16, u16>)> {
        let mut words = spec
            .entrypoint
            .clone()
            .unwrap_or_else(|| vec!["vllm".into(), "serve".into()]);
        words.extend(spec.command.iter().cloned());
        for word in &mut words {
            *word = self.inside(spec, word);
        }
        let value = |words: &[String], name: &str| {
            words
                .iter()
                .position(|w| w == name)
                .filter(|i| i + 1 < words.len())
                .map(|i| i + 1)
        };
        let mut ports = BTreeMap::new();
        if let Some(at) = value(&words, "--port")
            && let Ok(port) = words[at].parse::<u16>()
        {
            // A second server on the port of a running one must meet the same refusal as on a machine.
            let here = match self.port(port) {
                Some(taken) => taken,
                None => free_port()?,
            };
            words[at] = here.to_string();
            ports.insert(port, here);
        }
        if let (Some(address), Some(port)) = (
            value(&words, "--master-addr"),
            value(&words, "--master-port"),
        ) {
            let head = value(&words, "--node-rank").is_none_or(|at| words[at] == "0");
            let here = self.meeting_port(&format!("{}:{}", words[address], words[port]), head)?;
            words[address] = "127.0.0.1".into();
            words[port] = here.to_string();
        }
        Ok((words, ports))
    }

    /// A path in the container as a path here.
    fn inside(&self, spec: &ContainerSpec, word: &str) -> String {
        for mount in &spec.mounts {
            if let Some(rest) = word.strip_prefix(&mount.target)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{}{rest}", mount.source);
            }
        }
        word.to_owned()
    }

    async fn read_from(&self, name: &str, from: u64) -> std::io::Result<Vec<u8>> {
        let mut file = tokio::fs::File::open(self.home_of(name).join("log")).await?;
        file.seek(SeekFrom::Start(from)).await?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).await?;
        Ok(text)
    }
}

/// A line of a log as Docker hands it over.
fn clean(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .trim_end_matches(['\r', '\n'])
        .to_owned()
}

async fn signal(kept: &Kept, with: rustix::process::Signal) {
    if let Some(group) = rustix::process::Pid::from_raw(kept.pid as i32) {
        // A group that is gone already is what was wanted.
        let _ = rustix::process::kill_process_group(group, with);
    }
}

#[async_trait]
impl Containers for SimulatedContainers {
    async fn engine(&self) -> Result<Engine, ContainerError> {
        Ok(Engine {
            version: "29.2.1".into(),
            runtimes: vec!["nvidia".into(), "runc".into()],
            root: self.folder.join("images").to_string_lossy().into_owned(),
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
        tokio::fs::rename(&draft, folder.join("vllm"))
            .await
            .map_err(refused(act))?;
        let image = serde_json::to_vec(&Image { id, size: total }).expect("an image is plain data");
        tokio::fs::write(folder.join("image.json"), image)
            .await
            .map_err(refused(act))
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
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.image_folder(&spec.image).display()),
            )
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

    async fn logs(&self, name: &str, tail: usize) -> Result<Vec<String>, ContainerError> {
        let text = self
            .read_from(name, 0)
            .await
            .map_err(refused("read the log"))?;
        let lines: Vec<String> = text.split_inclusive(|b| *b == b'\n').map(clean).collect();
        Ok(lines[lines.len().saturating_sub(tail)..].to_vec())
    }

    async fn follow(
        &self,
        name: &str,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<(), ContainerError> {
        let mut at = 0;
        loop {
            // Looked at before reading, so that the last lines of an ended one are not missed.
            let running = self.kept(name).is_some_and(|kept| Self::running(&kept));
            let text = match self.read_from(name, at).await {
                Ok(text) => text,
                Err(_) if !running => return Ok(()),
                Err(error) => return Err(refused("read the log")(error)),
            };
            let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
            let given = if running { &text[..whole] } else { &text[..] };
            for line in given.split_inclusive(|b| *b == b'\n') {
                on_line(&clean(line));
            }
            at += given.len() as u64;
            if !running {
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
            signal(&kept, rustix::process::Signal::TERM).await;
            for _ in 0..40 {
                if !Self::running(&kept) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // Whatever of the group is left, the shell being gone or not.
            signal(&kept, rustix::process::Signal::KILL).await;
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
