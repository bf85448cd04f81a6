//! What a machine is and has, seen without root.

mod docker;
pub mod network;
mod owners;
pub mod parse;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tandem_domain::machine::{Facts, GpuNow, Interface, NetplanFile};
use tandem_domain::network::netplan;

use crate::cache::{Cache, user_home};
use crate::cache_place;

/// No program that is asked may take longer: a driver that hangs must not hang the facts.
const PATIENCE: Duration = Duration::from_secs(8);

/// Where DGX OS notes that it may switch the adapter off. Without it, it leaves the adapter alone.
const HOTPLUG: &str = "/etc/nvidia/cx7-hotplug-enabled";

/// Asks the machine.
pub fn gather() -> Facts {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let uname = rustix::system::uname();
    let dgx = std::fs::read_to_string("/etc/dgx-release")
        .ok()
        .map(|t| parse::dgx_release(&t));
    let gpu = run(
        "nvidia-smi",
        &["--query-gpu=name,driver_version", "--format=csv,noheader"],
    )
    .and_then(|t| parse::nvidia_smi(&t));
    let memory = parse::meminfo(&text("/proc/meminfo"));
    let user = user_home().unwrap_or_default();
    let (home, hub) = match Cache::find(None) {
        Ok(cache) => (cache.home().to_path_buf(), cache.hub()),
        Err(_) => cache_place::of(&|_| None, &user),
    };
    // Of the disk that the weights go to: `hub` may be a link to another one.
    let (disk_free, disk_total) = crate::disk::space(&hub).unwrap_or_default();
    let (access, docker_version) = docker::engine(Path::new("/var/run/docker.sock"));
    let route = text("/proc/net/route");
    let interfaces = owners::add(network::interfaces(Path::new("/sys/class")));
    Facts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        machine_id: text("/etc/machine-id").trim().to_owned(),
        arch: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        os: parse::value(&text("/etc/os-release"), "PRETTY_NAME").unwrap_or_default(),
        product: dgx.as_ref().and_then(|d| d.product.clone()),
        dgx_os: dgx.as_ref().and_then(|d| d.version.clone()),
        dgx_os_date: dgx.and_then(|d| d.date),
        gpu: gpu.as_ref().and_then(|g| g.name.clone()),
        driver: gpu.and_then(|g| g.driver),
        memory_total: memory.total,
        memory_available: memory.available,
        cma_total: memory.cma,
        disk_free,
        disk_total,
        hf_home: home.to_string_lossy().into_owned(),
        hub: (hub != home.join("hub")).then(|| hub.to_string_lossy().into_owned()),
        cache_elsewhere: cache_place::elsewhere(
            &|name| std::env::var(name).ok(),
            &user,
            Path::new("/etc"),
            &hub,
        ),
        user: run("id", &["-un"]).unwrap_or_default().trim().to_owned(),
        groups: run("id", &["-Gn"])
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        sudo_free: rustix::process::geteuid().is_root() || run("sudo", &["-n", "true"]).is_some(),
        docker: access,
        docker_snap: docker::from_snap(),
        docker_version,
        netplan: netplan_files(Path::new("/etc/netplan"), &interfaces),
        interfaces,
        default_interface: parse::default_route(&route),
        routes: run("ip", &["-j", "-4", "route", "show", "table", "all"])
            .and_then(|said| parse::all_routes(&said))
            .unwrap_or_else(|| parse::routes(&route)),
        firmware: network::firmware(Path::new("/sys/class")),
        gpu_now: gpu_now(),
        hotplug: Path::new(HOTPLUG).exists(),
        rdma_nodes: Some(has_rdma_nodes(Path::new("/dev/infiniband"))),
        clock_ms: crate::job_output::now_ms(),
        clock_ahead_ms: None,
        simulated: false,
    }
}

/// Whether there is a device by which a program asks an adapter for RDMA.
fn has_rdma_nodes(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|e| e.file_name())
        .any(|name| name.to_string_lossy().starts_with("uverbs"))
}

/// The output of a program that ended well in time.
fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env("LC_ALL", "C")
        .spawn()
        .ok()?;
    let mut out = child.stdout.take()?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = std::io::Read::read_to_string(&mut out, &mut text);
        text
    });
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().ok()? {
            Some(status) if status.success() => return reader.join().ok(),
            Some(_) => return None,
            None if Instant::now() > until => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// What the GPU does now. A driver that refuses one of the questions answers none of them, so they are
/// asked one by one then.
fn gpu_now() -> Option<GpuNow> {
    let ask = |fields: &str| {
        run(
            "nvidia-smi",
            &[&format!("--query-gpu={fields}"), "--format=csv,noheader"],
        )
    };
    let all = parse::GPU_NOW;
    let text = ask(&all.join(",")).or_else(|| {
        let one = |field: &&str| ask(field).unwrap_or_default().trim().to_owned();
        Some(all.iter().map(one).collect::<Vec<_>>().join(","))
    })?;
    parse::gpu_now(&text)
}

/// The files of a netplan folder, by name, with what they say about these ports. Most are closed to all but root;
/// then only their names count.
fn netplan_files(folder: &Path, interfaces: &[Interface]) -> Vec<NetplanFile> {
    use std::os::unix::fs::PermissionsExt;
    let mut files: Vec<NetplanFile> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| {
            // Root may read everything; what counts is whether everyone may.
            let open = std::fs::metadata(&path).is_ok_and(|m| m.permissions().mode() & 0o004 != 0);
            NetplanFile {
                text: open
                    .then(|| std::fs::read_to_string(&path).ok())
                    .flatten()
                    .map(|text| {
                        let ports = interfaces.iter().map(|i| (i.name.as_str(), i.mac.as_str()));
                        netplan::outline(&text, ports)
                    }),
                path: path.to_string_lossy().into_owned(),
            }
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn netplan_files_are_read_only_where_everyone_may() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, "network:\n").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        put("90-b.yaml", 0o600);
        put("40-a.yaml", 0o644);
        put("40-a.yaml.bak", 0o644);
        let secret = "network:\n  ethernets: {lo0: {auth: {password: hunter2}}}\n";
        std::fs::write(dir.path().join("40-a.yaml"), secret).unwrap();
        let port = Interface {
            name: "lo0".into(),
            ..Interface::default()
        };
        let files = netplan_files(dir.path(), &[port]);
        assert_eq!(
            files[0].text.as_deref(),
            Some("{\"network\":{\"ethernets\":{\"lo0\":{}}}}"),
            "and not the password"
        );
        let seen: Vec<(&str, bool)> = files
            .iter()
            .map(|f| (f.path.rsplit('/').next().unwrap(), f.text.is_some()))
            .collect();
        assert_eq!(seen, [("40-a.yaml", true), ("90-b.yaml", false)]);
        assert!(netplan_files(&dir.path().join("missing"), &[]).is_empty());
    }

    #[test]
    fn this_computer_has_facts() {
        let facts = gather();
        assert!(!facts.kernel.is_empty() && facts.memory_total > 0);
        assert!(facts.interfaces.iter().all(|i| i.name != "lo"));
    }
}
