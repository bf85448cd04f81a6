//! Each capture that stands for a state, and what Tandem must name it.

use tandem_domain::machine::{Facts, NetplanFile};
use tandem_node::facts::parse;

use super::read;
use super::tree::Tree;

/// A capture and the states it stands for.
pub(crate) struct Case {
    /// Below `tests/fixtures`.
    pub(crate) capture: &'static str,
    /// What is another than in the capture, as its own notes tell of it. Empty for the capture itself.
    pub(crate) but: &'static str,
    /// Names of states, the cable's first. Just `healthy` where a machine's facts have nothing to say.
    pub(crate) states: &'static [&'static str],
    /// The facts of the two machines.
    pub(crate) machines: fn(&str) -> [Facts; 2],
}

/// The same seen on both machines.
fn both(tree: &Tree) -> [Facts; 2] {
    [tree.facts("spark-a"), tree.facts("spark-b")]
}

/// A healthy machine beside one that is healthy but for this.
fn beside(change: impl FnOnce(&mut Facts)) -> [Facts; 2] {
    let [a, mut b] = both(&read::port1());
    change(&mut b);
    [a, b]
}

/// The kernel whose RDMA fails, on both.
fn kernel_1019([mut a, mut b]: [Facts; 2], cma_total: Option<u64>) -> [Facts; 2] {
    for facts in [&mut a, &mut b] {
        facts.kernel = "7.0.0-1019-nvidia".into();
        facts.cma_total = cma_total;
    }
    [a, b]
}

fn with_mask(text: &str, mask: &str) -> String {
    text.replace("200000Mb/s", mask)
}

pub(crate) const CASES: &[Case] = &[
    Case {
        capture: "link/ibdev2netdev.no-cable.hotplug-power-saving.txt",
        but: "",
        states: &["no-cable"],
        machines: |t| both(&read::ibdev2netdev(t)),
    },
    Case {
        capture: "link/ibdev2netdev.no-cable.older-os.txt",
        but: "",
        states: &["no-cable"],
        machines: |t| both(&read::ibdev2netdev(t)),
    },
    Case {
        capture: "link/ip-a.no-cable.older-os.txt",
        but: "",
        states: &["no-cable", "wifi-only", "wifi-only"],
        machines: |t| both(&read::ip_a(t)),
    },
    Case {
        capture: "link/ethtool.no-cable.txt",
        but: "",
        states: &["no-cable"],
        machines: |t| both(&read::ethtool(t)),
    },
    Case {
        capture: "link/ibdev2netdev.port0-cabled.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::ibdev2netdev(t)),
    },
    Case {
        capture: "link/ibdev2netdev.port1-cabled.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::ibdev2netdev(t)),
    },
    Case {
        capture: "link/ibdev2netdev.port1-cabled.txt",
        but: "the other machine as in `link/ibdev2netdev.port0-cabled.txt`",
        states: &["different-ports"],
        machines: |t| {
            let other = read::capture("link/ibdev2netdev.port0-cabled.txt");
            [
                read::ibdev2netdev(t).facts("spark-a"),
                read::ibdev2netdev(&other).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "link/ibdev2netdev.port1-cabled.txt",
        but: "the other machine as in `link/ibdev2netdev.no-cable.older-os.txt`",
        states: &["one-end"],
        machines: |t| {
            let other = read::capture("link/ibdev2netdev.no-cable.older-os.txt");
            [
                read::ibdev2netdev(t).facts("spark-a"),
                read::ibdev2netdev(&other).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "link/ibdev2netdev.port1-cabled.txt",
        but: "`enP2p1s0f1np1` is down on one machine",
        states: &["one-rail"],
        machines: |t| {
            let tree = read::ibdev2netdev(t);
            let b = tree.facts("spark-b");
            tree.interface("enP2p1s0f1np1", false);
            [tree.facts("spark-a"), b]
        },
    },
    Case {
        capture: "link/ibdev2netdev.two-cables.txt",
        but: "",
        states: &["two-cables"],
        machines: |t| both(&read::ibdev2netdev(t)),
    },
    Case {
        capture: "link/ibdev2netdev.two-cables.txt",
        but: "the other machine as in `link/ibdev2netdev.port1-cabled.txt`",
        states: &["not-a-pair"],
        machines: |t| {
            let other = read::capture("link/ibdev2netdev.port1-cabled.txt");
            [
                read::ibdev2netdev(t).facts("spark-a"),
                read::ibdev2netdev(&other).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "link/rdma-link.port0-cabled.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::rdma_link(t)),
    },
    Case {
        capture: "link/ethtool.cabled-200g.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::ethtool(t)),
    },
    Case {
        capture: "link/ethtool.cabled-200g.txt",
        but: "`Speed: 100000Mb/s`",
        states: &["slow"],
        machines: |t| both(&read::ethtool(&with_mask(t, "100000Mb/s"))),
    },
    Case {
        capture: "link/sysfs-infiniband.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::sysfs(t)),
    },
    Case {
        capture: "link/ip-br-link.port1-cabled.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::ip_br(t)),
    },
    Case {
        capture: "link/ip-br-addr.port1-configured.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::ip_br(t)),
    },
    Case {
        capture: "link/ip-j-addr.port1-configured.json",
        but: "",
        states: &["good"],
        machines: |t| both(&read::ip_json(t)),
    },
    Case {
        capture: "link/ip-addr-show.static.txt",
        but: "",
        states: &["good", "small-mtu", "small-mtu"],
        machines: |t| both(&read::ip_a(t)),
    },
    Case {
        capture: "link/ip-addr-show.link-local.txt",
        but: "",
        states: &[
            "good",
            "link-local-addresses",
            "small-mtu",
            "link-local-addresses",
            "small-mtu",
        ],
        machines: |t| both(&read::ip_a(t)),
    },
    Case {
        capture: "link/show_gids.ipv4-on-two-twins.txt",
        but: "",
        states: &["good", "twins-share-a-subnet", "twins-share-a-subnet"],
        machines: |t| both(&read::show_gids(t)),
    },
    Case {
        capture: "link/gid-table.index5-case.txt",
        but: "the other machine has its IPv4 address at index 3",
        states: &["good", "gid-differs"],
        machines: |t| {
            let mut other = Tree::linked(&["enp1s0f0np0", "enP2p1s0f0np0"]);
            other.address("enp1s0f0np0", "192.168.100.11/24");
            let gid = "0000:0000:0000:0000:0000:ffff:c0a8:640b";
            other.gid("rocep1s0f0", 3, gid, "RoCE v2");
            [read::gid_table(t).facts("spark-a"), other.facts("spark-b")]
        },
    },
    Case {
        capture: "link/lspci-cx7.txt",
        but: "",
        states: &["good"],
        machines: |t| both(&read::lspci(t, "4")),
    },
    Case {
        capture: "link/lspci-cx7.txt",
        but: "the functions of 0002 at `Width x2 (downgraded)`, on one machine",
        states: &["good", "half-the-lanes"],
        machines: |t| {
            [
                read::lspci(t, "4").facts("spark-a"),
                read::lspci(t, "2").facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "netplan/40-cx7.node1.nvidia-2026-07.yaml",
        but: "",
        states: &["good", "small-mtu", "small-mtu"],
        machines: |t| {
            let other = read::capture("netplan/40-cx7.node2.nvidia-2026-07.yaml");
            [
                read::netplan(t, 0).facts("spark-a"),
                read::netplan(&other, 0).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "netplan/40-cx7.node2.nvidia-2026-07.yaml",
        but: "the other machine as in `netplan/40-cx7.sparkrun-style-mtu9000.yaml`",
        states: &["good", "mtu-differs", "small-mtu"],
        machines: |t| {
            let other = read::capture("netplan/40-cx7.sparkrun-style-mtu9000.yaml");
            [
                read::netplan(t, 0).facts("spark-a"),
                read::netplan(&other, 0).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "netplan/40-cx7.nvidia-perf-guide.yaml",
        but: "",
        states: &["good", "small-mtu", "small-mtu"],
        machines: |t| {
            [
                read::netplan(t, 0).facts("spark-a"),
                read::netplan(t, 1).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "netplan/40-cx7.nvidia-link-local-old.yaml",
        but: "",
        states: &[
            "good",
            "link-local-addresses",
            "small-mtu",
            "link-local-addresses",
            "small-mtu",
        ],
        machines: |t| {
            [
                read::netplan(t, 0).facts("spark-a"),
                read::netplan(t, 1).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "netplan/40-cx7.sparkrun-style-mtu9000.yaml",
        but: "",
        states: &["good"],
        machines: |t| {
            [
                read::netplan(t, 0).facts("spark-a"),
                read::netplan(t, 1).facts("spark-b"),
            ]
        },
    },
    Case {
        capture: "netplan/netplan-apply.warnings.txt",
        but: "",
        states: &["netplan-open"],
        machines: |t| {
            let path = t
                .split_whitespace()
                .find(|w| w.starts_with("/etc/netplan/"))
                .expect("a file");
            beside(|facts| {
                facts.netplan = vec![NetplanFile {
                    path: path.to_owned(),
                    text: Some(read::capture("netplan/40-cx7.node1.nvidia-2026-07.yaml")),
                }];
            })
        },
    },
    Case {
        capture: "os/dgx-release.nvidia-dgx-spark.txt",
        but: "",
        states: &["dgx-os-differs"],
        machines: |t| {
            beside(|facts| {
                let dgx = parse::dgx_release(t);
                (facts.product, facts.dgx_os) = (dgx.product, dgx.version);
            })
        },
    },
    Case {
        capture: "os/dgx-release.nvidia-dgx-spark.txt",
        but: "the file is not there",
        states: &["not-a-spark"],
        machines: |_| beside(|facts| facts.product = None),
    },
    Case {
        capture: "os/free-and-meminfo.txt",
        but: "",
        states: &["healthy"],
        machines: |t| {
            let memory = parse::meminfo(t);
            beside(|facts| {
                (facts.memory_total, facts.cma_total) = (memory.total, memory.cma);
            })
        },
    },
    Case {
        capture: "os/free-and-meminfo.txt",
        but: "`CmaTotal: 0 kB`, on kernel 7.0.0-1019-nvidia",
        states: &["kernel-without-cma", "kernel-without-cma"],
        machines: |t| {
            let memory = parse::meminfo(&t.replace("131072 kB", "0 kB"));
            kernel_1019(both(&read::port1()), memory.cma)
        },
    },
    Case {
        capture: "os/free-and-meminfo.txt",
        but: "`MemTotal: 63800000 kB`",
        states: &["memory-differs", "small-memory"],
        machines: |t| {
            let memory = parse::meminfo(&t.replace("127600748", "63800000"));
            beside(|facts| facts.memory_total = memory.total)
        },
    },
    Case {
        capture: "os/uname.txt",
        but: "",
        states: &["healthy"],
        machines: |t| {
            let kernel = t.split_whitespace().nth(2).expect("a release").to_owned();
            beside(|facts| facts.kernel = kernel)
        },
    },
    Case {
        capture: "os/uname.txt",
        but: "kernel 7.0.0-1019-nvidia, `CmaTotal: 131072 kB`, on both",
        states: &["healthy"],
        machines: |_| kernel_1019(both(&read::port1()), Some(131_072 * 1024)),
    },
    Case {
        capture: "os/nvidia-smi.idle-desktop.txt",
        but: "",
        states: &["healthy"],
        machines: |t| beside(|facts| facts.gpu_now = parse::gpu_now(&read::nvidia_smi_table(t))),
    },
    Case {
        capture: "os/nvidia-smi.serving-headless.txt",
        but: "",
        states: &["gpu-low-power"],
        machines: |t| beside(|facts| facts.gpu_now = parse::gpu_now(&read::nvidia_smi_table(t))),
    },
    Case {
        capture: "os/nvidia-smi.queries.txt",
        but: "",
        states: &["driver-differs"],
        machines: |t| {
            let answer = t
                .split_once("name,driver_version --format=csv,noheader\n")
                .expect("the query")
                .1;
            let gpu = parse::nvidia_smi(answer).expect("a GPU");
            beside(|facts| (facts.gpu, facts.driver) = (gpu.name, gpu.driver))
        },
    },
    Case {
        capture: "os/nvidia-smi.queries.txt",
        but: "`No devices were found`",
        states: &["gpu-silent"],
        machines: |_| {
            let gpu = parse::nvidia_smi("No devices were found\n");
            beside(|facts| facts.gpu = gpu.and_then(|g| g.name))
        },
    },
];

/// Captures that no state can be told from, and why.
pub(crate) const NO_STATE: &[(&str, &str)] = &[
    (
        "link/dmesg-hotplug.txt",
        "Only root may read these lines, and they say that a cable was plugged in, not whether that slowed \
         it down. The speed is measured.",
    ),
    (
        "link/ethtool-show-fec.txt",
        "Only root may ask for the error correction, and forcing another does not help. The slow link it \
         comes with is measured.",
    ),
    (
        "link/nmcli-con-show.txt",
        "Who manages each port, told by the device and not by the translated name; the plan needs it.",
    ),
];
