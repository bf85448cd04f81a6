//! A machine made from a capture: what the kernel would say in sysfs where these commands printed that.
//! What a capture does not show is as on a healthy machine.

use std::path::Path;

use tandem_domain::machine::{DockerAccess, Facts};
use tandem_node::facts::{network, parse};

/// The four functions: interface, RDMA device, PCI address.
pub(crate) const FUNCTIONS: [(&str, &str, &str); 4] = [
    ("enp1s0f0np0", "rocep1s0f0", "0000:01:00.0"),
    ("enp1s0f1np1", "rocep1s0f1", "0000:01:00.1"),
    ("enP2p1s0f0np0", "roceP2p1s0f0", "0002:01:00.0"),
    ("enP2p1s0f1np1", "roceP2p1s0f1", "0002:01:00.1"),
];

/// What `/sys/class` and `ip` would say.
pub(crate) struct Tree {
    dir: tempfile::TempDir,
    addresses: Vec<parse::Addressed>,
}

impl Tree {
    /// A machine whose adapter is switched off.
    pub(crate) fn asleep() -> Self {
        let tree = Self {
            dir: tempfile::tempdir().expect("a folder"),
            addresses: Vec::new(),
        };
        tree.interface("enP7s7", true);
        tree
    }

    /// A machine with the adapter on and links on these interfaces.
    pub(crate) fn linked(interfaces: &[&str]) -> Self {
        let tree = Self::asleep();
        for (name, _, _) in FUNCTIONS {
            tree.interface(name, interfaces.contains(&name));
        }
        tree
    }

    /// Writes a file below `/sys/class`.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, format!("{text}\n")).expect("written");
    }

    /// An interface, switched on, with or without a link.
    pub(crate) fn interface(&self, name: &str, link: bool) {
        let folder = format!("net/{name}");
        self.put(&format!("{folder}/flags"), "0x1003");
        self.put(&format!("{folder}/carrier"), if link { "1" } else { "0" });
        let Some((_, device, _)) = FUNCTIONS.iter().find(|(n, ..)| *n == name) else {
            self.put(&format!("{folder}/mtu"), "1500");
            if name.starts_with("wl") {
                self.put(&format!("{folder}/phy80211/index"), "0");
            }
            return;
        };
        self.put(&format!("{folder}/mtu"), "9000");
        self.put(&format!("{folder}/phys_port_name"), &name[name.len() - 2..]);
        self.put(
            &format!("{folder}/speed"),
            if link { "200000" } else { "-1" },
        );
        let rdma = format!("infiniband/{device}");
        self.put(&format!("{rdma}/device/net/{name}/name"), name);
        let state = if link { "4: ACTIVE" } else { "1: DOWN" };
        self.put(&format!("{rdma}/ports/1/state"), state);
        self.put(&format!("{rdma}/fw_ver"), "28.45.4028");
    }

    /// Gives an interface an IPv4 address.
    pub(crate) fn address(&mut self, name: &str, address: &str) {
        match self.addresses.iter_mut().find(|a| a.name == name) {
            Some(there) => there.ipv4.push(address.to_owned()),
            None => self.addresses.push(parse::Addressed {
                name: name.to_owned(),
                ipv4: vec![address.to_owned()],
            }),
        }
    }

    /// Takes over what `ip -j addr` said.
    pub(crate) fn addressed(&mut self, list: Vec<parse::Addressed>) {
        self.addresses = list;
    }

    /// An entry of a GID table.
    pub(crate) fn gid(&self, device: &str, index: u32, gid: &str, kind: &str) {
        let port = format!("infiniband/{device}/ports/1");
        let name = FUNCTIONS
            .iter()
            .find(|(_, d, _)| *d == device)
            .map_or("", |(n, ..)| n);
        self.put(&format!("{port}/gids/{index}"), gid);
        self.put(&format!("{port}/gid_attrs/types/{index}"), kind);
        self.put(&format!("{port}/gid_attrs/ndevs/{index}"), name);
    }

    /// The facts of a healthy Spark with this network.
    pub(crate) fn facts(&self, hostname: &str) -> Facts {
        let class: &Path = self.dir.path();
        let interfaces = network::interfaces_with(class, &self.addresses);
        let addressed = |i: &&tandem_domain::machine::Interface| {
            !i.fabric && i.name != "docker0" && !i.ipv4.is_empty()
        };
        Facts {
            hostname: hostname.to_owned(),
            machine_id: format!("id of {hostname}"),
            arch: "aarch64".into(),
            kernel: "6.17.0-1021-nvidia".into(),
            product: Some("NVIDIA DGX Spark".into()),
            dgx_os: Some("7.6.0".into()),
            gpu: Some("NVIDIA GB10".into()),
            driver: Some("580.142".into()),
            memory_total: 127_600_748 * 1024,
            cma_total: Some(131_072 * 1024),
            docker: DockerAccess::Open,
            // The way out leads over the interface with an address, where the capture shows one.
            default_interface: interfaces
                .iter()
                .find(addressed)
                .map(|i| i.name.clone())
                .or(Some("enP7s7".into())),
            firmware: network::firmware(class),
            interfaces,
            ..Facts::default()
        }
    }
}
