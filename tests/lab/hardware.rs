//! What the stand-ins for the hardware of a Spark say: files of each machine, written from here, that
//! its `lab-hardware.service` puts below `/sys`. They follow the cables.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, LabError};
use crate::host::state;
use crate::spark::Spark;

/// Interfaces of the private cable, in both machines.
pub(crate) const RAILS: [&str; 2] = ["enp1s0f1np1", "enP2p1s0f1np1"];
/// Interfaces of the port without a cable.
pub(crate) const UNCABLED: [&str; 2] = ["enp1s0f0np0", "enP2p1s0f0np0"];

/// RDMA devices with their interfaces and physical port.
const DEVICES: [(&str, &str); 4] = [
    ("rocep1s0f0", UNCABLED[0]),
    ("rocep1s0f1", RAILS[0]),
    ("roceP2p1s0f0", UNCABLED[1]),
    ("roceP2p1s0f1", RAILS[1]),
];

/// Where a machine's files are on the box.
pub(crate) fn folder(spark: Spark) -> PathBuf {
    state().join(spark.name()).join("hardware")
}

/// Writes all files of a machine: one cable in port 1.
pub(crate) fn lay(spark: Spark) -> Result<(), LabError> {
    for (device, interface) in DEVICES {
        let port = folder(spark)
            .join("infiniband")
            .join(device)
            .join("ports/1");
        put(&port.join("link_layer"), "Ethernet")?;
        let firmware = folder(spark).join("infiniband").join(device).join("fw_ver");
        put(&firmware, "28.45.4028")?;
        let net = folder(spark)
            .join("infiniband")
            .join(device)
            .join("device/net")
            .join(interface);
        std::fs::create_dir_all(&net)
            .context(|| format!("`{}` could not be made", net.display()))?;
        say(spark, device, interface, RAILS.contains(&interface))?;
    }
    Ok(())
}

/// Says on both machines that these interfaces have a carrier, or have none.
pub(crate) fn tell(interfaces: &[&str], carrier: bool) -> Result<(), LabError> {
    for spark in Spark::BOTH {
        for (device, interface) in DEVICES.iter().filter(|(_, i)| interfaces.contains(i)) {
            say(spark, device, interface, carrier)?;
        }
    }
    Ok(())
}

fn say(spark: Spark, device: &str, interface: &str, carrier: bool) -> Result<(), LabError> {
    let port = folder(spark)
        .join("infiniband")
        .join(device)
        .join("ports/1");
    let (state, physical, rate, speed) = if carrier {
        ("4: ACTIVE", "5: LinkUp", "200 Gb/sec (4X HDR)", "200000")
    } else {
        ("1: DOWN", "3: Disabled", "40 Gb/sec (4X QDR)", "-1")
    };
    put(&port.join("state"), state)?;
    put(&port.join("phys_state"), physical)?;
    put(&port.join("rate"), rate)?;
    put(
        &folder(spark).join("net").join(interface).join("speed"),
        speed,
    )
}

/// Writes in place: a machine has mounted this very file.
fn put(path: &Path, line: &str) -> Result<(), LabError> {
    let what = || format!("`{}` could not be written", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).context(what)?;
    }
    std::fs::write(path, format!("{line}\n")).context(what)
}
