//! What a machine is and has, seen without root.

mod network;
pub mod parse;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tandem_domain::machine::{DockerAccess, Facts};

use crate::cache::{Cache, user_home};

/// No program that is asked may take longer: a driver that hangs must not hang the facts.
const PATIENCE: Duration = Duration::from_secs(8);

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
    let home = Cache::find(None)
        .ok()
        .map(|c| c.home().to_path_buf())
        .or_else(|| user_home().map(|h| h.join(".cache/huggingface")))
        .unwrap_or_default();
    let (disk_free, disk_total) = crate::disk::space(&home).unwrap_or_default();
    Facts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        machine_id: text("/etc/machine-id").trim().to_owned(),
        arch: uname.machine().to_string_lossy().into_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        os: parse::value(&text("/etc/os-release"), "PRETTY_NAME").unwrap_or_default(),
        product: dgx.as_ref().and_then(|d| d.product.clone()),
        dgx_os: dgx.and_then(|d| d.version),
        gpu: gpu.as_ref().and_then(|g| g.name.clone()),
        driver: gpu.and_then(|g| g.driver),
        memory_total: memory.total,
        memory_available: memory.available,
        cma_total: memory.cma,
        disk_free,
        disk_total,
        hf_home: home.to_string_lossy().into_owned(),
        user: run("id", &["-un"]).unwrap_or_default().trim().to_owned(),
        groups: run("id", &["-Gn"])
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        sudo_free: rustix::process::geteuid().is_root() || run("sudo", &["-n", "true"]).is_some(),
        docker: docker(Path::new("/var/run/docker.sock")),
        interfaces: network::interfaces(Path::new("/sys/class")),
        default_interface: parse::default_route(&text("/proc/net/route")),
        clock_ms: crate::lines::now_ms(),
        simulated: false,
        ..Facts::default()
    }
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

/// Tries the door rather than reading who may pass it.
fn docker(socket: &Path) -> DockerAccess {
    use std::io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    match UnixStream::connect(socket) {
        Ok(_) => DockerAccess::Open,
        Err(e) if e.kind() == PermissionDenied => DockerAccess::Denied,
        Err(e) if e.kind() == ConnectionRefused => DockerAccess::NotRunning,
        Err(e) if e.kind() == NotFound && installed("docker") => DockerAccess::NotRunning,
        Err(_) => DockerAccess::Missing,
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/local/bin", "/snap/bin"].map(Into::into))
        .any(|folder| folder.join(program).is_file())
}
