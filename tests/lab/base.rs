//! What both machines start from, made once and kept: a Debian tree, a layer with the lab's own files over
//! it, and a disk for /home. Each is named by the hash of what it is made of, so a changed recipe makes a
//! new one.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, LabError};
use crate::host::{ask, cache, run, text};
use crate::layer::Making;

/// Debian's release and the packages of a machine. A Spark has Ubuntu 24.04, whose parts that Tandem
/// touches are these.
const SUITE: &str = "bookworm";
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "curl",
    "dbus",
    "dbus-user-session",
    "docker.io",
    "ethtool",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "libpam-systemd",
    "netplan.io",
    "nftables",
    "openssh-server",
    "procps",
    "python3-minimal",
    "rsync",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
];
/// Room in /home. The file takes only what is written to it.
const HOME_SIZE: &str = "12G";

/// Files of the layer: path, mode, content.
const FILES: &[(&str, &str, &str)] = &[
    (
        "usr/bin/nvidia-smi",
        "755",
        include_str!("machine/nvidia-smi"),
    ),
    (
        "usr/bin/ibdev2netdev",
        "755",
        include_str!("machine/ibdev2netdev"),
    ),
    ("usr/bin/rdma", "755", include_str!("machine/rdma")),
    (
        "usr/bin/ib_write_bw",
        "755",
        include_str!("machine/ib_write_bw"),
    ),
    ("usr/bin/udevadm", "755", include_str!("machine/udevadm")),
    (
        "usr/bin/nvidia-container-runtime-hook",
        "755",
        include_str!("machine/nvidia-container-runtime-hook"),
    ),
    ("usr/sbin/ethtool", "755", include_str!("machine/ethtool")),
    (
        "usr/local/sbin/lab-runc",
        "755",
        include_str!("machine/lab-runc"),
    ),
    (
        "usr/local/sbin/lab-hardware",
        "755",
        include_str!("machine/hardware"),
    ),
    (
        "usr/lib/systemd/network/90-fabric.network",
        "644",
        include_str!("machine/90-fabric.network"),
    ),
    (
        "usr/lib/systemd/network/99-default.link",
        "644",
        include_str!("machine/99-default.link"),
    ),
    (
        "etc/dgx-release",
        "644",
        include_str!("machine/dgx-release"),
    ),
    (
        "etc/docker/daemon.json",
        "644",
        include_str!("machine/daemon.json"),
    ),
    (
        "etc/systemd/system/docker.service.d/lab.conf",
        "644",
        include_str!("machine/docker-cgroups.conf"),
    ),
    (
        "etc/systemd/system/lab-hardware.service",
        "644",
        include_str!("machine/lab-hardware.service"),
    ),
];
/// Programs of Debian's that a file of the layer stands in front of.
const SHADOWED: [&str; 2] = ["usr/bin/udevadm", "usr/sbin/ethtool"];
const FINISH: &str = include_str!("machine/finish.sh");

/// The three parts, and one more where it is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) tree: PathBuf,
    pub(crate) layer: PathBuf,
    pub(crate) home: PathBuf,
    /// A layer over the other, with NetworkManager.
    pub(crate) managed: Option<PathBuf>,
}

/// Finds all parts or makes what is missing. The first time takes minutes, for Debian is downloaded.
pub(crate) async fn ensure(note: &dyn Fn(&str)) -> Result<Base, LabError> {
    std::fs::create_dir_all(cache())
        .context(|| format!("`{}` could not be made", cache().display()))?;
    let tree = tree(note).await?;
    let name = name_of(FILES.iter().flat_map(|(p, m, c)| [*p, *m, *c]).chain([
        FINISH,
        HOME_SIZE,
        text(&tree),
    ]));
    let layer = cache().join(format!("layer-{name}"));
    let home = cache().join(format!("home-{name}.img"));
    if !home.exists() {
        note("making the lab's layer");
        make_layer(&tree, &layer, &home).await?;
    }
    Ok(Base {
        tree,
        layer,
        home,
        managed: None,
    })
}

async fn tree(note: &dyn Fn(&str)) -> Result<PathBuf, LabError> {
    let tree = cache().join(format!(
        "tree-{}",
        name_of([SUITE].iter().chain(PACKAGES).copied())
    ));
    if tree.exists() {
        return Ok(tree);
    }
    // A tree somebody made by hand will do if it has what is needed.
    let by_hand = cache().join("base");
    if has_packages(&by_hand).await {
        return Ok(by_hand);
    }
    note("downloading Debian for the machines, which takes some minutes the first time");
    let half = cache().join("tree.part");
    run(&["rm", "-rf", "--one-file-system", text(&half)]).await?;
    let include = format!("--include={}", PACKAGES.join(","));
    run(&[
        "debootstrap",
        "--variant=minbase",
        &include,
        SUITE,
        text(&half),
    ])
    .await?;
    run(&["rm", "-rf", text(&half.join("var/cache/apt/archives"))]).await?;
    std::fs::rename(&half, &tree)
        .context(|| "the tree could not be put in its place".to_owned())?;
    Ok(tree)
}

async fn has_packages(tree: &Path) -> bool {
    let mut argv = vec![
        "chroot",
        text(tree),
        "dpkg-query",
        "-W",
        "-f",
        "${db:Status-Status}\\n",
    ];
    argv.extend(PACKAGES);
    match ask(&argv, b"").await {
        Ok(said) => said.ok() && said.stdout.lines().all(|l| l == "installed"),
        Err(_) => false,
    }
}

/// Writes the lab's files over the tree and finishes inside it; what changed is the layer.
async fn make_layer(tree: &Path, layer: &Path, home: &Path) -> Result<(), LabError> {
    let half = home.with_extension("part");
    let making = Making::over(&[tree]).await?;
    let filled = fill(&making).await;
    let made = match filled {
        Ok(()) => make_home(&making.root, &half).await,
        Err(e) => Err(e),
    };
    making.end(made, layer).await?;
    // The disk last: where it is, all is.
    std::fs::rename(half, home).context(|| "the disk could not be put in its place".to_owned())
}

async fn fill(making: &Making) -> Result<(), LabError> {
    for path in SHADOWED {
        let real = making.root.join(path);
        std::fs::rename(&real, making.root.join(format!("{path}.real")))
            .context(|| format!("`{}` could not be renamed", real.display()))?;
    }
    making.write(FILES).await?;
    making.inside(FINISH).await
}

async fn make_home(root: &Path, image: &Path) -> Result<(), LabError> {
    let _ = std::fs::remove_file(image);
    // Nothing is kept back for root, so that full means full for everybody.
    run(&[
        "mkfs.ext4",
        "-q",
        "-m",
        "0",
        "-d",
        text(&root.join("home")),
        text(image),
        HOME_SIZE,
    ])
    .await?;
    Ok(())
}

/// A short name for what something is made of.
pub(crate) fn name_of<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(hash.finalize())[..12].to_owned()
}
