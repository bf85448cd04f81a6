//! A simulated machine: commands run here as processes in its folder; root's acts stay in the folder.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tandem_domain::machine::{DockerAccess, Facts, GpuNow};
use tandem_domain::ports::{Command, Machine, MachineError, Output, RemoteFile};

use super::containers::SimulatedContainers;
use super::exec::{self, OnLine};
use super::files;
use super::links::{CommandResult, Links};
use super::perftest;

/// See the module.
pub(crate) struct SimulatedMachine {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) links: Links,
    /// The other machine's links, for ping.
    pub(crate) peer: Links,
    pub(crate) user: String,
    /// Where its Docker listens.
    pub(crate) docker: PathBuf,
}

/// Where systemd makes the cgroups of Docker's containers.
const CGROUPS: &str = "/sys/fs/cgroup/system.slice/docker-";

/// Whether a path lies where only root writes and the recipes do, so that it means the folder's.
fn is_roots(path: &str) -> bool {
    ["/etc/", "/var/lib/tandem-network"]
        .iter()
        .any(|place| path.starts_with(place))
}

fn file_error(act: &'static str, path: &str, error: &std::io::Error) -> MachineError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => MachineError::DiskFull {
            path: path.to_owned(),
        },
        _ => MachineError::File {
            act,
            path: path.to_owned(),
            detail: error.to_string(),
        },
    }
}

impl SimulatedMachine {
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Where a path of the machine lies: its home, or below the folder that stands for its root.
    fn place(&self, path: &str) -> PathBuf {
        if let Some(rest) = path.strip_prefix("~/") {
            return self.home().join(rest);
        }
        if Path::new(path).starts_with(&self.folder) {
            return PathBuf::from(path);
        }
        if is_roots(path) {
            return self.folder.join("root").join(path.trim_start_matches('/'));
        }
        PathBuf::from(path)
    }

    /// What `tandem-node facts` would say on a healthy Spark, with `facts.json` of the folder over it.
    fn facts(&self) -> Facts {
        let home = self.home();
        let disk = rustix::fs::statvfs(&home).ok();
        let bytes = |blocks: fn(&rustix::fs::StatVfs) -> u64| {
            disk.as_ref().map_or(0, |d| blocks(d) * d.f_frsize)
        };
        let facts = Facts {
            hostname: self.name.clone(),
            machine_id: format!(
                "{:0>32}",
                self.name.replace(|c: char| !c.is_ascii_hexdigit(), "0")
            ),
            arch: std::env::consts::ARCH.to_owned(),
            kernel: "6.17.0-1021-nvidia".into(),
            os: "Ubuntu 24.04.4 LTS".into(),
            product: Some("NVIDIA DGX Spark".into()),
            dgx_os: Some("7.6.0".into()),
            dgx_os_date: Some("Tue Sep 15 09:12:44 UTC 2026".into()),
            firmware: Some("28.45.4028".into()),
            gpu_now: Some(GpuNow {
                watts: Some(4.0),
                clock_mhz: None,
                busy: Some(0),
            }),
            docker_version: Some("29.2.1".into()),
            routes: self.links.routes(),
            netplan: self.links.netplan_files(),
            gpu: Some("NVIDIA GB10".into()),
            driver: Some("580.142".into()),
            memory_total: 127_600_748 * 1024,
            memory_available: 122_000_000 * 1024,
            rdma_nodes: Some(true),
            cma_total: Some(131_072 * 1024),
            disk_free: bytes(|d| d.f_bavail),
            disk_total: bytes(|d| d.f_blocks),
            hf_home: home
                .join(".cache/huggingface")
                .to_string_lossy()
                .into_owned(),
            user: self.user.clone(),
            groups: vec![self.user.clone(), "sudo".into(), "docker".into()],
            sudo_free: true,
            docker: DockerAccess::Open,
            interfaces: self.links.interfaces(),
            default_interface: Some("enP7s7".into()),
            clock_ms: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_millis() as i64),
            simulated: true,
            ..Facts::default()
        };
        let over: Option<serde_json::Value> = std::fs::read(self.folder.join("facts.json"))
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok());
        let (Some(serde_json::Value::Object(over)), Ok(mut value)) =
            (over, serde_json::to_value(&facts))
        else {
            return facts;
        };
        for (key, changed) in over {
            value[key] = changed;
        }
        serde_json::from_value(value).unwrap_or(facts)
    }

    /// Which start it is in.
    fn boot(&self) -> String {
        let kept = std::fs::read_to_string(self.folder.join("boot"));
        kept.unwrap_or_else(|_| format!("{}-1", self.name))
    }

    /// Where what was loaded into its firewall is kept.
    fn firewall(&self) -> PathBuf {
        self.folder.join("firewall.nft")
    }

    /// `nft -f -`, for the three things that are ever given to it: a table, a rule more, or its removal.
    fn load_table(&self, text: &str) -> CommandResult {
        let (of_table, kept) = (text.contains("chain input {"), self.firewall());
        let there = std::fs::read_to_string(&kept).unwrap_or_default();
        let done = match text.strip_prefix("add rule inet tandem input ") {
            Some(_) if there.is_empty() => {
                return (
                    1,
                    String::new(),
                    "Error: No such file or directory\n".into(),
                );
            }
            Some(rule) => std::fs::write(&kept, there + rule),
            None if of_table => std::fs::write(&kept, text),
            None if there.is_empty() => Ok(()),
            None => std::fs::remove_file(&kept),
        };
        match done {
            Ok(()) => (0, String::new(), String::new()),
            Err(e) => (1, String::new(), format!("nft: {e}\n")),
        }
    }

    /// A restart takes no time, but nothing that ran is left.
    fn restart(&self) -> CommandResult {
        let starts = self.boot().rsplit('-').next().and_then(|n| n.parse().ok());
        let next = format!("{}-{}", self.name, starts.unwrap_or(1_u32) + 1);
        match std::fs::write(self.folder.join("boot"), next) {
            Ok(()) => {
                let _ = std::fs::remove_file(self.firewall());
                SimulatedContainers::end_all(&self.folder);
                (0, String::new(), String::new())
            }
            Err(e) => (1, String::new(), format!("systemctl: {e}\n")),
        }
    }

    /// Commands that would touch this computer, or that it lacks, answered from the folder.
    fn simulated(&self, command: &Command) -> Option<CommandResult> {
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        let program = command.program.rsplit('/').next().unwrap_or_default();
        let ok = |text: String| Some((0, text, String::new()));
        match (program, args.as_slice()) {
            ("tandem-node", ["facts", ..]) => {
                if !self.place(&command.program).is_file() {
                    return Some((
                        127,
                        String::new(),
                        format!("{}: No such file or directory\n", command.program),
                    ));
                }
                ok(serde_json::to_string(&self.facts()).ok()? + "\n")
            }
            ("cat", ["/proc/sys/kernel/random/boot_id", counts @ ..]) => {
                ok(format!("{}\n{}", self.boot(), "1\n".repeat(counts.len())))
            }
            ("systemctl", ["reboot", ..]) => Some(self.restart()),
            ("nft", ["list", ..]) => match std::fs::read_to_string(self.firewall()) {
                Ok(table) => ok(table),
                Err(_) => Some((
                    1,
                    String::new(),
                    "Error: No such file or directory\n".to_owned(),
                )),
            },
            ("nft", ["-f", "-"]) => Some(self.load_table(&String::from_utf8_lossy(&command.stdin))),
            // As on a Spark: with nftables, and with Docker's cgroups made by systemd.
            ("test", ["-e", path]) if *path == "/usr/sbin/nft" || path.starts_with(CGROUPS) => {
                ok(String::new())
            }
            ("ip", _) => Some(self.links.ip(&args)),
            ("netplan", ["generate", "--root-dir", scratch]) => Some(
                self.links
                    .in_scratch(Path::new(scratch))
                    .netplan("generate"),
            ),
            ("netplan", [act, ..]) => Some(self.links.netplan(act)),
            ("nmcli", _) => Some((127, String::new(), "nmcli: command not found\n".to_owned())),
            ("systemctl", ["is-active", units @ ..]) => {
                Some((3, "inactive\n".repeat(units.len()), String::new()))
            }
            // A rehearsed machine does nothing by itself; it only says that it would.
            ("systemd-run", args) if args.iter().any(|a| a.starts_with("--on-active")) => {
                ok(String::new())
            }
            ("ping", _) => {
                let after = |flag: &str| {
                    args.iter()
                        .position(|a| *a == flag)
                        .and_then(|i| args.get(i + 1))
                        .copied()
                };
                let size = after("-s").and_then(|s| s.parse().ok()).unwrap_or(56);
                let target = args.last().copied().unwrap_or_default();
                if self.links.reaches(&self.peer, after("-I"), target, size) {
                    ok(format!(
                        "3 packets transmitted, 3 received, 0% packet loss, time 2003ms\nrtt min/avg/max/mdev = 0.9/1.0/1.1/0.1 ms (simulated, to {target})\n"
                    ))
                } else {
                    Some((
                        1,
                        "3 packets transmitted, 0 received, 100% packet loss, time 2050ms\n".into(),
                        String::new(),
                    ))
                }
            }
            ("ib_write_bw", _) => Some(perftest::run(&args, &self.links, &self.peer, &self.folder)),
            ("timeout", [_, _, "ib_write_bw", rest @ ..]) => {
                Some(perftest::run(rest, &self.links, &self.peer, &self.folder))
            }
            ("hostname", _) => ok(format!("{}\n", self.name)),
            ("whoami", _) => ok(format!("{}\n", self.user)),
            ("id", ["-nG" | "-Gn", ..]) => ok(format!("{} sudo docker\n", self.user)),
            ("usermod" | "gpasswd" | "systemctl" | "true", _) => ok(String::new()),
            ("systemd-run" | "loginctl", _) => Some((
                127,
                String::new(),
                format!("{program}: command not found\n"),
            )),
            _ => None,
        }
    }

    fn process(&self, command: &Command) -> tokio::process::Command {
        let program = self.place(&command.program);
        let mut process = tokio::process::Command::new(program);
        // As root or not, a path where root keeps things means the folder's.
        process.args(command.args.iter().map(|arg| {
            if self.links.has(arg) {
                // The machine's own address on the cable; this computer has none of that kind.
                "127.0.0.1".into()
            } else if is_roots(arg) {
                self.place(arg).into_os_string()
            } else {
                arg.into()
            }
        }));
        process
            .env_clear()
            .env("HOME", self.home())
            .env("USER", &self.user)
            .env("LANG", "C.UTF-8")
            .env("TANDEM_DOCKER_SOCKET", &self.docker)
            .env(
                "PATH",
                format!(
                    "{}:/usr/local/bin:/usr/bin:/bin",
                    self.folder.join("bin").display()
                ),
            )
            .current_dir(self.home());
        process
    }

    async fn run(
        &self,
        command: &Command,
        on_line: Option<OnLine<'_>>,
    ) -> Result<Output, MachineError> {
        if let Some((status, stdout, stderr)) = self.simulated(command) {
            let mut stdout = stdout.into_bytes();
            if let Some(on_line) = on_line {
                String::from_utf8_lossy(&stdout).lines().for_each(on_line);
                stdout.clear();
            }
            return Ok(Output {
                status,
                stdout,
                stderr: stderr.into_bytes(),
            });
        }
        exec::run(self.process(command), command, on_line).await
    }
}

#[async_trait]
impl Machine for SimulatedMachine {
    fn name(&self) -> &str {
        &self.name
    }

    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        self.run(command, None).await
    }

    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        self.run(command, Some(on_line)).await
    }

    async fn read(&self, path: &str, _sudo: bool) -> Result<Option<Vec<u8>>, MachineError> {
        match tokio::fs::read(self.place(path)).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if files::absent(&error) => Ok(None),
            Err(error) => Err(file_error("read", path, &error)),
        }
    }

    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
        let mut source = file.content.as_slice();
        files::replace(&self.place(&file.path), file.mode, &mut source, &mut |_| {})
            .await
            .map_err(|e| file_error("write", &file.path, &e))
    }

    async fn upload(
        &self,
        local: &Path,
        path: &str,
        mode: u32,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        let mut source = tokio::fs::File::open(local)
            .await
            .map_err(|e| file_error("read", &local.to_string_lossy(), &e))?;
        files::replace(&self.place(path), mode, &mut source, on_progress)
            .await
            .map_err(|e| file_error("write", path, &e))
    }

    async fn reconnect(&self) {}
}

/// Any architecture's build of the node program is the one of this computer.
pub(crate) struct OneBuild(pub(crate) tandem_domain::ports::NodeBuild);

impl tandem_domain::ports::NodePrograms for OneBuild {
    fn build(&self, _arch: &str) -> Option<tandem_domain::ports::NodeBuild> {
        Some(self.0.clone())
    }
}
