//! One machine: its disk, its boot and its end.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::base::Base;
use crate::error::{Context as _, LabError};
use crate::hardware;
use crate::host::{ask, run, text, until};
use crate::managed;
use crate::process::{children, end_process, exec, pids};
use crate::spark::Spark;

/// The user of both machines, in group sudo, as a fresh Spark has one.
pub const USER: &str = "nvidia";
/// Its password, which sudo asks for.
pub const PASSWORD: &str = "spark-lab";

/// How long a machine may take to boot on a busy box.
const BOOT: Duration = Duration::from_secs(120);

/// Makes its disk as on the first day. Its host keys and its id stay the same as long as the lab is up.
pub(crate) async fn prepare(spark: Spark, base: &Base) -> Result<(), LabError> {
    let disk = spark.disk();
    for folder in ["upper", "work", "root", "docker", "home", "identity"] {
        make_folder(&disk.join(folder))?;
    }
    let parts = base.managed.iter().chain([&base.layer, &base.tree]);
    let parts: Vec<&str> = parts.map(|p| text(p)).collect();
    let lower = format!(
        "lowerdir={},upperdir={},workdir={}",
        parts.join(":"),
        text(&disk.join("upper")),
        text(&disk.join("work"))
    );
    let root = disk.join("root");
    run(&[
        "mount",
        "-t",
        "overlay",
        "overlay",
        "-o",
        &lower,
        text(&root),
    ])
    .await?;
    // A disk of its own for /home, so that it can be full without the box being full.
    let image = disk.join("home.img");
    run(&["cp", "--sparse=always", text(&base.home), text(&image)]).await?;
    mount_home(spark).await?;

    identify(spark).await?;
    let write = |path: &str, content: String| {
        std::fs::write(root.join(path), content)
            .context(|| format!("`/{path}` of {} could not be written", spark.name()))
    };
    let name = spark.name();
    write("etc/hostname", format!("{name}\n"))?;
    write(
        "etc/hosts",
        format!("127.0.0.1 localhost\n127.0.1.1 {name}\n::1 localhost\n"),
    )?;
    write("etc/resolv.conf", String::new())?;
    write(
        "etc/netplan/01-management.yaml",
        format!(
            "network:\n  version: 2\n  ethernets:\n    enP7s7:\n      renderer: networkd\n      dhcp4: no\n      dhcp6: no\n      accept-ra: no\n      \
             addresses: [{}/24]\n      routes:\n        - to: default\n          via: {}\n",
            spark.address(),
            crate::network::BOX_ADDRESS
        ),
    )?;
    run(&[
        "chmod",
        "600",
        text(&root.join("etc/netplan/01-management.yaml")),
    ])
    .await?;
    make_folder(&spark.files())?;
    hardware::lay(spark)
}

/// Has the disk of /home keep nothing in the box's memory: a machine's own cache is the only one before a disk.
/// A box whose disk cannot do that has the second one all the same.
async fn pass_through(image: &Path) -> Result<(), LabError> {
    let devices = run(&[
        "losetup",
        "--noheadings",
        "--output",
        "NAME",
        "--associated",
        text(image),
    ])
    .await?;
    for device in devices.split_whitespace() {
        ask(&["losetup", "--direct-io=on", device], b"").await?;
    }
    Ok(())
}

/// Gives it its host keys and its id, made once for this lab.
async fn identify(spark: Spark) -> Result<(), LabError> {
    let identity = spark.disk().join("identity");
    if !identity.join("machine-id").exists() {
        for kind in ["ed25519", "ecdsa"] {
            let file = identity.join(format!("ssh_host_{kind}_key"));
            let comment = format!("root@{}", spark.name());
            run(&[
                "ssh-keygen",
                "-q",
                "-t",
                kind,
                "-N",
                "",
                "-C",
                &comment,
                "-f",
                text(&file),
            ])
            .await?;
        }
        let id = run(&["cat", "/proc/sys/kernel/random/uuid"])
            .await?
            .replace('-', "");
        std::fs::write(identity.join("machine-id"), id)
            .context(|| "the machine's id could not be written".to_owned())?;
    }
    let etc = spark.disk().join("root/etc");
    run(&[
        "sh",
        "-c",
        "cp -p \"$1\"/ssh_host_* \"$2\"/ssh/ && cp \"$1\"/machine-id \"$2\"/machine-id",
        "sh",
        text(&identity),
        text(&etc),
    ])
    .await?;
    Ok(())
}

/// Switches it on. It is up when [`booted`] says so.
pub(crate) async fn switch_on(spark: Spark) -> Result<(), LabError> {
    let script = spark.files().join("run.sh");
    let (name, namespace, disk) = (spark.name(), spark.namespace(), spark.disk());
    let content = format!(
        include_str!("machine/run.sh"),
        name = name,
        namespace = namespace,
        group = spark.group(),
        disk = text(&disk),
        hardware = text(&hardware::folder(spark)),
    );
    std::fs::write(&script, content)
        .context(|| format!("`{}` could not be written", script.display()))?;
    let log = std::fs::File::create(spark.log())
        .context(|| "the console's log could not be made".to_owned())?;
    let errors = log
        .try_clone()
        .context(|| "the console's log could not be made".to_owned())?;
    // In a session of its own: it outlives `lab up`, and an interrupt from the terminal does not reach it.
    let child = tokio::process::Command::new("setsid")
        .args(["sh", text(&script)])
        .current_dir("/")
        .stdin(std::process::Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .context(|| format!("{name} could not be switched on"))?;
    let pid = child.id().map(|p| p.to_string()).unwrap_or_default();
    std::fs::write(spark.files().join("pid"), pid)
        .context(|| "the machine's process could not be noted".to_owned())
}

/// Waits until it has booted: all units up, SSH answering.
pub(crate) async fn booted(spark: Spark) -> Result<(), LabError> {
    let name = spark.name();
    let standing = until(
        &format!("{name} to boot (see {})", spark.log().display()),
        BOOT,
        || async {
            let said = exec(spark, &["systemctl", "is-system-running", "--wait"], b"")
                .await
                .ok()?
                .stdout;
            matches!(said.trim(), "running" | "degraded").then(|| said.trim().to_owned())
        },
    )
    .await?;
    if standing != "running" {
        let failed = exec(
            spark,
            &["systemctl", "--failed", "--no-legend", "--plain"],
            b"",
        )
        .await?;
        return Err(LabError::new(
            format!("{name} did not boot as it should"),
            failed.stdout,
        ));
    }
    until(&format!("{name}'s links"), BOOT, || async {
        let asked = exec(spark, &managed::QUESTION, b"").await.ok()?;
        if let Some(taken) = managed::taken(&asked) {
            return taken.then_some(());
        }
        let said = exec(spark, &["networkctl", "--no-legend", "--no-pager"], b"")
            .await
            .ok()?
            .stdout;
        let mut rails = said
            .lines()
            .filter(|l| hardware::RAILS.iter().any(|r| l.contains(r)));
        (rails.clone().count() == 2 && rails.all(|l| l.contains("configured"))).then_some(())
    })
    .await?;
    until(&format!("{name} to answer on port 22"), BOOT, || async {
        let mut stream = tokio::net::TcpStream::connect((spark.address(), 22))
            .await
            .ok()?;
        let mut banner = [0; 4];
        stream.read_exact(&mut banner).await.ok()?;
        (&banner == b"SSH-").then_some(())
    })
    .await
}

/// Ends all of its processes at once, as if the plug were pulled. Its disks stay mounted.
pub(crate) async fn pull_plug(spark: Spark) -> Result<(), LabError> {
    let files = spark.files();
    // The supervisor first, or it would boot the machine again.
    let supervisor = std::fs::read_to_string(files.join("pid")).unwrap_or_default();
    let children = children(&supervisor);
    end_process(&supervisor, text(&files.join("run.sh")));
    for child in children {
        end_process(&child, "systemd-nspawn");
    }
    until(
        &format!("the processes of {} to end", spark.name()),
        Duration::from_secs(30),
        || async {
            let left = pids(spark).await.ok()?;
            for pid in &left {
                end_process(pid, "");
            }
            left.is_empty().then_some(())
        },
    )
    .await
}

/// Lets go of one of its mounts.
pub(crate) async fn let_go(path: &std::path::Path) -> Result<(), LabError> {
    until(
        &format!("`{}` to be let go", path.display()),
        Duration::from_secs(30),
        || async {
            if !mounted(path) {
                return Some(());
            }
            let _ = ask(&["umount", text(path)], b"").await;
            (!mounted(path)).then_some(())
        },
    )
    .await
}

/// Mounts its disk for /home.
pub(crate) async fn mount_home(spark: Spark) -> Result<(), LabError> {
    let disk = spark.disk();
    let (image, home) = (disk.join("home.img"), disk.join("home"));
    run(&["mount", "-o", "loop", text(&image), text(&home)]).await?;
    pass_through(&image).await
}

/// Switches it off at once and removes its disk.
pub(crate) async fn remove(spark: Spark, identity_too: bool) -> Result<(), LabError> {
    pull_plug(spark).await?;
    for folder in ["root", "home"] {
        let_go(&spark.disk().join(folder)).await?;
    }
    for what in ["upper", "work", "root", "docker", "home", "home.img"] {
        run(&[
            "rm",
            "-rf",
            "--one-file-system",
            text(&spark.disk().join(what)),
        ])
        .await?;
    }
    if identity_too {
        run(&["rm", "-rf", "--one-file-system", text(&spark.disk())]).await?;
    }
    run(&["rm", "-rf", text(&spark.files())]).await?;
    remove_groups(spark).await
}

/// The control groups it lived in, one tree per hierarchy of the box.
async fn remove_groups(spark: Spark) -> Result<(), LabError> {
    let name = spark.group();
    run(&[
        "sh", "-c",
        "for tree in /sys/fs/cgroup/\"$1\" /sys/fs/cgroup/*/\"$1\"; do [ ! -d \"$tree\" ] || find \"$tree\" -depth -type d -exec rmdir {} \\;; done",
        "sh", &name,
    ])
    .await?;
    let _ = std::fs::remove_dir(format!("/run/systemd/nspawn/propagate/{}", spark.name()));
    Ok(())
}

fn mounted(path: &std::path::Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table
        .lines()
        .any(|l| l.split(' ').nth(1) == Some(text(path)))
}

fn make_folder(path: &std::path::Path) -> Result<(), LabError> {
    std::fs::create_dir_all(path).context(|| format!("`{}` could not be made", path.display()))
}
