//! What the facts of two machines mean side by side.

use super::{Finding, Level, finding};
use crate::machine::Facts;
use crate::machine::identity::{cloned, same_machine};
use crate::problem::bytes;

/// Everything that concerns both.
pub(super) fn findings(a: &Facts, b: &Facts) -> Vec<Finding> {
    if same_machine(a, b) {
        return vec![one_identity(a, b)];
    }
    let mut all = Vec::new();
    all.extend(memory(a, b));
    all.extend(driver(a, b));
    all.extend(firmware(a, b));
    all.extend(mtu(a, b));
    all.extend(clocks(a, b));
    all.extend(dgx_os(a, b));
    all.extend(kernel(a, b));
    all.extend(docker(a, b));
    all.extend(gid(a, b));
    all
}

fn one_identity(a: &Facts, b: &Facts) -> Finding {
    if cloned(a, b) {
        return finding(
            Level::Bad,
            "shared-machine-id",
            "Two machines have one machine id.",
            format!(
                "`{}` and `{}` are two machines by their network adapters, but one was made as a copy of \
                 the other's disk. A router may give both one address, and neither Tandem nor other \
                 programs can tell them apart.",
                a.hostname, b.hostname
            ),
            "Give one of them a new id: `sudo rm /etc/machine-id && sudo systemd-machine-id-setup`, then \
             restart it and add it again.",
        );
    }
    finding(
        Level::Bad,
        "same-machine-twice",
        "Both addresses lead to one machine.",
        format!(
            "`{}` and `{}` have the same machine id.",
            a.hostname, b.hostname
        ),
        "Remove one of the two and add the other Spark.",
    )
}

/// The same condition, and the same weight, as the set-up's own look at the machines.
fn memory(a: &Facts, b: &Facts) -> Option<Finding> {
    (a.memory_total.abs_diff(b.memory_total) > a.memory_total / 10).then(|| {
        finding(
            Level::Warning,
            "memory-differs",
            "The two machines have different amounts of memory.",
            format!(
                "`{}` has {}, `{}` has {}. Each holds half of the model, so the smaller one sets what fits.",
                a.hostname,
                bytes(a.memory_total),
                b.hostname,
                bytes(b.memory_total)
            ),
            "Pair machines of the same size.",
        )
    })
}

/// The two values where both are known and differ.
fn differ<'a>(a: Option<&'a String>, b: Option<&'a String>) -> Option<(&'a str, &'a str)> {
    let (a, b) = (a?, b?);
    (a != b && !a.is_empty() && !b.is_empty()).then_some((a, b))
}

fn versions(a: &Facts, b: &Facts, (on_a, on_b): (&str, &str)) -> String {
    format!("`{}` has {on_a}, `{}` has {on_b}.", a.hostname, b.hostname)
}

fn driver(a: &Facts, b: &Facts) -> Option<Finding> {
    let both = differ(a.driver.as_ref(), b.driver.as_ref())?;
    Some(finding(
        Level::Warning,
        "driver-differs",
        "The two machines run different GPU drivers.",
        format!(
            "{} A fault may then show on one machine only, which is hard to find.",
            versions(a, b, both)
        ),
        update(a, b),
    ))
}

fn firmware(a: &Facts, b: &Facts) -> Option<Finding> {
    let both = differ(a.firmware.as_ref(), b.firmware.as_ref())?;
    Some(finding(
        Level::Warning,
        "firmware-differs",
        "The network adapters have different firmware.",
        format!(
            "{} It is worth ruling out before looking for other faults of the link.",
            versions(a, b, both)
        ),
        update(a, b),
    ))
}

fn dgx_os(a: &Facts, b: &Facts) -> Option<Finding> {
    let both = differ(a.dgx_os.as_ref(), b.dgx_os.as_ref())?;
    Some(finding(
        Level::Note,
        "dgx-os-differs",
        "The two machines have different versions of DGX OS.",
        format!(
            "{} Drivers, kernel and firmware come with it.",
            versions(a, b, both)
        ),
        update(a, b),
    ))
}

fn kernel(a: &Facts, b: &Facts) -> Option<Finding> {
    let both = differ(Some(&a.kernel), Some(&b.kernel))?;
    Some(finding(
        Level::Note,
        "kernel-differs",
        "The two machines run different kernels.",
        format!(
            "{} An update that waits for a restart is the usual reason.",
            versions(a, b, both)
        ),
        if a.runs_dgx_os() && b.runs_dgx_os() {
            "Restart the machine with the older kernel; install DGX OS's updates if that changes nothing."
        } else {
            "Restart the machine with the older kernel; install its system's updates if that changes nothing."
        },
    ))
}

fn docker(a: &Facts, b: &Facts) -> Option<Finding> {
    let both = differ(a.docker_version.as_ref(), b.docker_version.as_ref())?;
    Some(finding(
        Level::Note,
        "docker-differs",
        "The two machines have different versions of Docker.",
        format!(
            "{} Tandem works with either; both run the same image.",
            versions(a, b, both)
        ),
        "",
    ))
}

/// How both come to one state.
fn update(a: &Facts, b: &Facts) -> &'static str {
    if a.runs_dgx_os() && b.runs_dgx_os() {
        UPDATE
    } else {
        "Install the updates of both systems and restart the machines."
    }
}

const UPDATE: &str = "Install DGX OS's updates on both machines, for instance in the DGX Dashboard, and \
    restart them.";

/// Packets larger than one end takes are lost without a word, while small ones pass.
fn mtu(a: &Facts, b: &Facts) -> Option<Finding> {
    let of = |f: &Facts| {
        let list = f.cabled();
        let mut sizes = list.iter().filter(|i| !i.ipv4.is_empty()).map(|i| i.mtu);
        let first = sizes.next()?;
        Some(sizes.fold(first, u32::min))
    };
    let (on_a, on_b) = (of(a)?, of(b)?);
    (on_a != on_b).then(|| {
        finding(
            Level::Warning,
            "mtu-differs",
            "The two ends of the private link have different MTUs.",
            format!(
                "`{}` has {on_a}, `{}` has {on_b}. Small packets pass, and the first large one hangs.",
                a.hostname, b.hostname
            ),
            "Let Tandem plan the private network; it sets 9000 on both machines.",
        )
    })
}

/// Clocks that are further apart than the way of an answer could explain.
fn clocks(a: &Facts, b: &Facts) -> Option<Finding> {
    let apart = a.clock_ahead_ms?.abs_diff(b.clock_ahead_ms?) / 1000;
    (apart >= CLOCK_SECONDS).then(|| {
        finding(
            Level::Note,
            "clocks-apart",
            format!("The clocks of the two machines are {apart} seconds apart."),
            "Their logs cannot be read side by side, and where a clock is far off, downloads over HTTPS fail.",
            "Let both set their clocks by the network: `sudo timedatectl set-ntp true`.",
        )
    })
}

/// An answer takes up to a second or two; five are the clocks' own.
const CLOCK_SECONDS: u64 = 5;

fn gid(a: &Facts, b: &Facts) -> Option<Finding> {
    let of = |f: &Facts| f.cabled().iter().find_map(|i| i.gid);
    let (on_a, on_b) = (of(a)?, of(b)?);
    (on_a != on_b).then(|| {
        finding(
            Level::Note,
            "gid-differs",
            "The RDMA address has another index on each machine.",
            format!(
                "It is {on_a} on `{}` and {on_b} on `{}`. A fixed `NCCL_IB_GID_INDEX` would be wrong on one \
                 of them; Tandem sets none.",
                a.hostname, b.hostname
            ),
            "",
        )
    })
}
