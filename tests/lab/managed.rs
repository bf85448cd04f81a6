//! A layer for the machines of some tests: NetworkManager owns the private ports there, as on the desktop
//! of DGX OS, and makes an automatic profile for each that asks for DHCP for ever. The management link
//! stays with systemd-networkd, and no other test sees anything of it.

use std::path::PathBuf;

use crate::base::{Base, name_of};
use crate::error::{Context as _, LabError};
use crate::hardware::RAILS;
use crate::host::{Output, cache, text};
use crate::layer::Making;

const PACKAGE: &str = "network-manager";

/// Files of the layer: path, mode, content.
const FILES: &[(&str, &str, &str)] = &[
    (
        "etc/NetworkManager/conf.d/10-lab.conf",
        "644",
        include_str!("machine/networkmanager.conf"),
    ),
    (
        "etc/systemd/system/NetworkManager.service.d/lab.conf",
        "644",
        include_str!("machine/networkmanager-service.conf"),
    ),
    (
        "etc/netplan/01-network-manager-all.yaml",
        "600",
        "network:\n  version: 2\n  renderer: NetworkManager\n",
    ),
];

/// Finds the layer or makes it, which takes some ten seconds, mostly Debian's package.
pub(crate) async fn ensure(base: &Base, note: &dyn Fn(&str)) -> Result<PathBuf, LabError> {
    let install = script();
    let parts = [text(&base.tree), text(&base.layer), install.as_str()];
    let files = FILES.iter().flat_map(|(p, m, c)| [*p, *m, *c]);
    let name = name_of(parts.into_iter().chain(files));
    let layer = cache().join(format!("managed-{name}"));
    if layer.exists() {
        return Ok(layer);
    }
    note("making the lab's layer with NetworkManager");
    let making = Making::over(&[&base.layer, &base.tree]).await?;
    let filled = fill(&making, &install).await;
    making.end(filled, &layer).await?;
    Ok(layer)
}

async fn fill(making: &Making, install: &str) -> Result<(), LabError> {
    // Each machine gets an own one when it is made.
    std::fs::copy("/etc/resolv.conf", making.root.join("etc/resolv.conf"))
        .context(|| "the box's `/etc/resolv.conf` could not be copied".to_owned())?;
    making.inside(install).await?;
    making.write(FILES).await
}

/// What happens inside the tree.
fn script() -> String {
    format!(
        "set -e\nexport DEBIAN_FRONTEND=noninteractive\napt-get update -qq\n\
         apt-get install -y -qq --no-install-recommends {PACKAGE} >&2\n\
         systemctl disable NetworkManager-wait-online.service NetworkManager-dispatcher.service\n\
         rm -rf /var/lib/apt/lists /var/cache/apt /usr/lib/systemd/network/90-fabric.network\n"
    )
}

/// Whether NetworkManager has taken both private ports, by what `nmcli -t -f DEVICE,STATE device` said;
/// `None` where there is none that runs.
pub(crate) fn taken(said: &Output) -> Option<bool> {
    let has = |rail: &&str| {
        let mut states = said.stdout.lines().filter_map(|l| l.split_once(':'));
        states.any(|(device, state)| device == *rail && state.starts_with("connect"))
    };
    said.ok().then(|| RAILS.iter().all(has))
}

/// The question of [`taken`].
pub(crate) const QUESTION: [&str; 5] = ["nmcli", "-t", "-f", "DEVICE,STATE", "device"];
