//! What the facts of one machine mean by themselves.

use std::net::Ipv4Addr;

use super::{Finding, Level, finding};
use crate::machine::{Facts, GpuNow, Interface};
use crate::network::address::Network;
use crate::network::faults::give_up;
use crate::problem::bytes;
use crate::recipe::{Recipe, catalog};

/// PCIe lanes that each ConnectX-7 function of a Spark has.
const LANES: u32 = 4;

/// A GPU that is as busy as this should draw power and run fast.
const BUSY_PERCENT: u32 = 80;

/// A healthy GB10 runs at about 2400 MHz under load, one that is stuck at 700 to 800.
const SLOW_MHZ: u32 = 1000;

/// A GPU at work draws about 90 W, one that is stuck or waits in a loop about 20.
const IDLE_WATTS: f32 = 25.0;

/// Between a machine of 64 GB and one of 128.
const SMALL_MEMORY: u64 = 100_000_000_000;

/// The weights that Tandem proposes take 129 GB and their container image 22 GB.
const LOW_DISK: u64 = 151_000_000_000;

/// Everything that is worth saying about one machine.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(not_a_spark(facts));
    all.extend(no_rdma_nodes(facts));
    all.extend(docker_from_snap(facts));
    all.extend(kernel_without_cma(facts));
    all.extend(half_the_lanes(facts));
    all.extend(facts.gpu_now.and_then(|now| gpu_at_work(facts, now)));
    all.extend(small_memory(facts));
    all.extend(low_disk(facts));
    all.extend(cache_elsewhere(facts));
    all.extend(driver_610(facts));
    all.extend(wifi_only(facts));
    all.extend(members(facts));
    all.extend(addresses(facts));
    all.extend(open_netplan(facts));
    all
}

fn not_a_spark(facts: &Facts) -> Option<Finding> {
    let name = &facts.hostname;
    if facts.is_gb10() && !facts.runs_dgx_os() {
        return Some(finding(
            Level::Note,
            "another-system",
            format!("`{name}` has a Spark's GPU and another system than DGX OS."),
            format!(
                "It runs {}. Tandem is made for DGX OS, which brings Docker, NVIDIA's container toolkit and the \
                 drivers of the private link; this system has what was installed on it.",
                match facts.os.as_str() {
                    "" => "a system that does not say its name",
                    os => os,
                }
            ),
            "",
        ));
    }
    let Some(product) = &facts.product else {
        return Some(finding(
            Level::Warning,
            "not-a-spark",
            format!("`{name}` does not seem to be a DGX Spark."),
            "It has no `/etc/dgx-release`, which every Spark and every twin of it by another maker has. \
             Tandem's commands and its expectations are those for a Spark.",
            "Check that the address leads to your Spark.",
        ));
    };
    match &facts.gpu {
        Some(gpu) if !gpu.contains("GB10") => Some(finding(
            Level::Warning,
            "not-a-spark",
            format!("`{name}` does not seem to be a DGX Spark."),
            format!(
                "It calls itself {product}, but its GPU is {gpu}; a Spark's is the GB10. Tandem's \
                 commands and its expectations are those for a Spark."
            ),
            "Check that the address leads to your Spark.",
        )),
        Some(_) => None,
        None => Some(finding(
            Level::Bad,
            "gpu-silent",
            format!("The GPU of `{name}` does not answer."),
            "`nvidia-smi` names no GPU, so no model can run on it.",
            if facts.runs_dgx_os() {
                "Restart the machine; if the GPU stays silent, install DGX OS's updates."
            } else {
                "Restart the machine; if the GPU stays silent, install NVIDIA's driver for its system again."
            },
        )),
    }
}

/// The same condition as the set-up's own look at the machines.
fn no_rdma_nodes(facts: &Facts) -> Option<Finding> {
    facts.lacks_rdma_nodes().then(|| {
        finding(
            Level::Warning,
            "no-rdma-nodes",
            format!("`{}` has no `/dev/infiniband`.", facts.hostname),
            NO_RDMA_NODES,
            rdma_cure(facts),
        )
    })
}

/// What it means that there is no `/dev/infiniband`.
pub(crate) const NO_RDMA_NODES: &str = "Containers reach the adapter's RDMA by it. Without it a model over two \
    machines uses TCP, at less than a tenth of the speed.";

/// What brings `/dev/infiniband`.
pub(crate) fn rdma_cure(facts: &Facts) -> &'static str {
    if facts.runs_dgx_os() {
        "Restart the machine; if that changes nothing, install DGX OS's updates."
    } else {
        "Install `rdma-core` and load the drivers with `sudo modprobe -a mlx5_ib ib_uverbs rdma_ucm`, then refresh."
    }
}

fn docker_from_snap(facts: &Facts) -> Option<Finding> {
    facts.docker_snap.then(|| {
        finding(
            Level::Bad,
            "docker-from-snap",
            format!("Docker on `{}` comes from snap.", facts.hostname),
            "Snap's Docker does not work with NVIDIA's container toolkit, so containers see no GPU.",
            if facts.runs_dgx_os() {
                "Remove it with `sudo snap remove docker` and use the Docker that DGX OS brings."
            } else {
                "Remove it with `sudo snap remove docker` and install Docker Engine from Docker's own packages."
            },
        )
    })
}

/// The same condition, and the same weight, as the set-up's own look at the machines.
fn kernel_without_cma(facts: &Facts) -> Option<Finding> {
    (facts.cma_total == Some(0) && facts.kernel.starts_with("7.0.0-1019")).then(|| {
        finding(
            Level::Warning,
            "kernel-without-cma",
            format!(
                "`{}` runs a kernel that often cannot use the private link.",
                facts.hostname
            ),
            format!(
                "Kernel {} reserves no contiguous memory (CmaTotal is 0 kB), and RDMA then often fails with \
                 `Cannot allocate memory`.",
                facts.kernel
            ),
            "Start the machine with kernel 6.17, or add `kho=off` to the kernel's command line.",
        )
    })
}

fn half_the_lanes(facts: &Facts) -> Option<Finding> {
    let narrow = |i: &&Interface| {
        i.fabric
            && i.lanes
                .is_some_and(|l| l.now > 0 && l.now < l.most.min(LANES))
    };
    let slow: Vec<&Interface> = facts.interfaces.iter().filter(narrow).collect();
    let lanes = slow.first()?.lanes?;
    Some(finding(
        Level::Warning,
        "half-the-lanes",
        format!(
            "The adapter of `{}` uses {} of {LANES} PCIe lanes.",
            facts.hostname, lanes.now
        ),
        format!(
            "{} cannot reach the speed of a whole rail, whatever cable is used.",
            names(&slow)
        ),
        "Install the firmware updates of the machine's maker; a BIOS from before April 2026 is known for it. \
         If it stays so, ask the maker for a repair.",
    ))
}

/// What a GPU that is busy at this very moment looks like. An idle one says nothing about its health.
fn gpu_at_work(facts: &Facts, now: GpuNow) -> Option<Finding> {
    let busy = now.busy.filter(|b| *b >= BUSY_PERCENT)?;
    let drawn = now
        .watts
        .map_or("an unknown number of".to_owned(), |w| format!("{w:.0}"));
    let slow = now.clock_mhz.map(|mhz| mhz < SLOW_MHZ);
    let weak = now.watts.is_some_and(|w| w <= IDLE_WATTS);
    let name = &facts.hostname;
    match slow {
        Some(true) => Some(finding(
            Level::Warning,
            "gpu-low-power",
            format!("The GPU of `{name}` is stuck in a low-power state."),
            format!(
                "It is {busy} % busy at {} MHz and {drawn} W; a healthy one runs at about 2400 MHz then. \
                 Everything takes about twice as long.",
                now.clock_mhz.unwrap_or_default()
            ),
            format!("To free it, {UNPLUG}"),
        )),
        None if weak => Some(finding(
            Level::Warning,
            "gpu-low-power",
            format!("The GPU of `{name}` is busy, but draws only {drawn} W."),
            format!(
                "It is {busy} % busy; a healthy one draws about 90 W then. It is stuck in a low-power \
                 state, or its server waits in a loop and makes no tokens."
            ),
            format!(
                "If no answers come, stop the server and start it again. If they come slowly: {UNPLUG}"
            ),
        )),
        Some(false) if weak => Some(finding(
            Level::Note,
            "gpu-without-work",
            format!("The GPU of `{name}` is busy, but draws only {drawn} W."),
            format!(
                "It is {busy} % busy at full clock. A server that waits in a loop and makes no tokens looks \
                 like this, though it still calls itself healthy."
            ),
            "Send a message; if no answer comes, stop the server and start it again.",
        )),
        _ => None,
    }
}

const UNPLUG: &str = "shut the machine down, unplug its power for a minute and start it again; a restart \
    alone does not help.";

/// Why the proposed recipe does not fit on a machine with little memory.
fn too_large(recipe: &Recipe) -> String {
    match recipe.memory.weights_gib {
        Some(gib) => format!(
            "{} takes about {gib} GiB on each of {} machines for its weights alone, so it does not fit on machines \
             of 64 GB.",
            recipe.title, recipe.nodes.most
        ),
        None => "The recipes are made for machines of 128 GB.".into(),
    }
}

fn small_memory(facts: &Facts) -> Option<Finding> {
    (facts.memory_total > 0 && facts.memory_total < SMALL_MEMORY).then(|| {
        finding(
            Level::Warning,
            "small-memory",
            format!(
                "`{}` has {} of memory.",
                facts.hostname,
                bytes(facts.memory_total)
            ),
            too_large(catalog::proposed(2)),
            "Choose a smaller model, or use two machines of 128 GB.",
        )
    })
}

/// A place of the cache that the person set for terminals alone: what they downloaded is not seen there, and what
/// Tandem downloads goes to another disk.
fn cache_elsewhere(facts: &Facts) -> Option<Finding> {
    let set = facts.cache_elsewhere.as_ref()?;
    Some(finding(
        Level::Warning,
        "cache-elsewhere",
        format!(
            "The weights of `{}` go to another place than your terminals use.",
            facts.hostname
        ),
        format!(
            "`{}` sets `{}` to `{}` for terminals alone. Commands over SSH, which Tandem's are, do not see it, so the \
             weights go to `{}` and not to `{}`.",
            set.file,
            set.variable,
            set.value,
            facts.hub(),
            set.place
        ),
        format!(
            "To use the place of your terminals, edit that machine and choose `{}` as the folder of its models. Otherwise \
             nothing is to be done.",
            set.place
        ),
    ))
}

/// Only a note: what a set-up downloads may be on the disk already, which the plan finds out.
fn low_disk(facts: &Facts) -> Option<Finding> {
    (facts.disk_total > 0 && facts.disk_free < LOW_DISK).then(|| {
        finding(
            Level::Note,
            "low-disk",
            format!(
                "`{}` has {} of free disk.",
                facts.hostname,
                bytes(facts.disk_free)
            ),
            format!(
                "A first set-up downloads about {} to each machine: the weights and the container image. What is \
                 on the disk already is not downloaded again.",
                bytes(LOW_DISK)
            ),
            "Free some room before a first set-up; Models, On the disks shows what takes it.",
        )
    })
}

fn driver_610(facts: &Facts) -> Option<Finding> {
    let driver = facts.driver.as_ref().filter(|d| d.starts_with("610."))?;
    Some(finding(
        Level::Warning,
        "driver-610",
        format!("`{}` runs driver {driver}.", facts.hostname),
        format!(
            "With drivers of the 610 series only about 50 GiB of memory were left for the server, too little for {}.",
            catalog::proposed(2).title
        ),
        if facts.runs_dgx_os() {
            "Use the 580 driver that DGX OS brings."
        } else {
            "Install a driver of the 580 series."
        },
    ))
}

fn wifi_only(facts: &Facts) -> Option<Finding> {
    let name = facts.default_interface.as_ref()?;
    facts
        .interfaces
        .iter()
        .any(|i| i.name == *name && i.wireless)
        .then(|| {
            finding(
                Level::Warning,
                "wifi-only",
                format!("`{}` is reached over Wi-Fi only.", facts.hostname),
                "Downloads are slow, a lost radio link cuts Tandem off, and faults of the Wi-Fi driver have \
                 made machines unreachable.",
                "Connect the RJ45 jack to your router or switch with a network cable.",
            )
        })
}

/// Ports that belong to a bond or a bridge.
fn members(facts: &Facts) -> Option<Finding> {
    let all: Vec<&Interface> = facts
        .cabled()
        .into_iter()
        .filter(|i| facts.upper(i).is_some())
        .collect();
    let upper = facts.upper(all.first()?)?;
    let same: Vec<&Interface> = all
        .into_iter()
        .filter(|i| facts.upper(i) == Some(upper))
        .collect();
    let addresses = facts.interfaces.iter().find(|i| i.name == upper);
    let addresses = addresses.map(|i| i.ipv4.join(" and ")).unwrap_or_default();
    let (name, ports) = (&facts.hostname, names(&same));
    let belongs = if same.len() == 1 { "belongs" } else { "belong" };
    Some(finding(
        Level::Warning,
        "ports-in-a-bond",
        format!("Ports of `{name}` belong to `{upper}`."),
        match addresses.as_str() {
            "" => format!(
                "{ports} {belongs} to it. A member gets no address of its own, so Tandem plans none."
            ),
            all => format!(
                "{ports} {belongs} to it, and it has {all}. A member gets no address of its own, so Tandem plans none."
            ),
        },
        give_up(upper),
    ))
}

/// Addresses on the private link that work less well than they could.
fn addresses(facts: &Facts) -> Vec<Finding> {
    let addressed: Vec<(&Interface, Ipv4Addr, Network)> = facts
        .cabled()
        .into_iter()
        .flat_map(|i| {
            let all = i.ipv4.iter().filter_map(|t| Network::parse(t));
            all.map(move |(address, network)| (i, address, network))
        })
        .collect();
    let name = &facts.hostname;
    let mut all = Vec::new();
    let shared = addressed
        .iter()
        .enumerate()
        .find_map(|(n, (i, a, network))| {
            let mut later = addressed[n + 1..].iter();
            let other = later.find(|(other, _, theirs)| {
                other.name != i.name && theirs.overlaps(*network) && !a.is_link_local()
            })?;
            Some((i, other.0, network))
        });
    if let Some((one, other, network)) = shared {
        all.push(finding(
            Level::Warning,
            "twins-share-a-subnet",
            format!("Two ports of `{name}` are in one subnet."),
            format!(
                "`{}` and `{}` both lie in {network}, so the kernel may send everything through one of \
                 them. NVIDIA advises a subnet for each.",
                one.name, other.name
            ),
            "Let Tandem plan the private network; it gives each rail a subnet of its own.",
        ));
    }
    if addressed.iter().any(|(_, a, _)| a.is_link_local()) {
        all.push(finding(
            Level::Note,
            "link-local-addresses",
            format!("The private link of `{name}` has link-local addresses."),
            "This is NVIDIA's older way. It works, but all ports share 169.254.0.0/16, so it is not certain \
             which one a packet takes, and the addresses change.",
            "Nothing must be done. Tandem can plan fixed addresses in two subnets instead.",
        ));
    }
    let small = addressed.iter().find(|(i, ..)| i.mtu > 0 && i.mtu < 9000);
    if let Some((i, ..)) = small {
        all.push(finding(
            Level::Note,
            "small-mtu",
            format!("The private link of `{name}` has an MTU of {}.", i.mtu),
            "RDMA then sends small packets: two rails carry about 190 Gb/s instead of 196.",
            "Set an MTU of 9000 on both machines where their addresses are set. Where Tandem gives the addresses, it sets 9000.",
        ));
    }
    all
}

fn open_netplan(facts: &Facts) -> Option<Finding> {
    let open: Vec<&str> = facts
        .netplan
        .iter()
        .filter(|f| f.text.is_some())
        .map(|f| f.path.as_str())
        .collect();
    (!open.is_empty()).then(|| {
        finding(
            Level::Note,
            "netplan-open",
            format!("Everyone on `{}` may read its netplan files.", facts.hostname),
            "netplan warns that their permissions are too open, because such a file may hold a Wi-Fi \
             password. Apart from the warning nothing is wrong.",
            format!("Close them with `sudo chmod 600 {}`.", open.join(" ")),
        )
    })
}

fn names(interfaces: &[&Interface]) -> String {
    let all: Vec<String> = interfaces.iter().map(|i| format!("`{}`", i.name)).collect();
    all.join(" and ")
}
