//! Facts about one machine, as `tandem-node facts` reports them without root.

pub mod cache_choice;
pub mod identity;

use serde::{Deserialize, Serialize};

/// A machine that was chosen for a procedure.
#[derive(Debug, Clone, Default)]
pub struct SetupMachine {
    /// The name people know it by.
    pub name: String,
    /// The user there.
    pub user: String,
    /// What was seen last.
    pub facts: Facts,
}

/// What a machine is and has. Sizes in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct Facts {
    /// The host name it gives itself.
    pub hostname: String,
    /// `/etc/machine-id`, or empty.
    pub machine_id: String,
    /// As `uname -m` names it: `aarch64` on a Spark.
    pub arch: String,
    /// `uname -r`.
    pub kernel: String,
    /// PRETTY_NAME of `/etc/os-release`.
    pub os: String,
    /// DGX_PRETTY_NAME or the OEM's platform name, `None` where there is no `/etc/dgx-release`.
    pub product: Option<String>,
    /// The last DGX_OTA_VERSION.
    pub dgx_os: Option<String>,
    /// GPU name by `nvidia-smi`.
    pub gpu: Option<String>,
    /// Driver version by `nvidia-smi`.
    pub driver: Option<String>,
    /// MemTotal.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub memory_total: u64,
    /// MemAvailable.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub memory_available: u64,
    /// CmaTotal; 0 on the kernel whose RDMA registration fails. `None` where the kernel does not say.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub cma_total: Option<u64>,
    /// Free bytes on the disk of the Hugging Face home.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub disk_free: u64,
    /// All bytes of that disk.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub disk_total: u64,
    /// The Hugging Face home, absolute.
    pub hf_home: String,
    /// Where repositories are, absolute; `None` where that is `hub` of the Hugging Face home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Another place of the cache, which a start file sets for terminals alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_elsewhere: Option<CacheSetting>,
    /// The user.
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// Whether sudo works without a password.
    pub sudo_free: bool,
    /// Whether Docker's socket is there and open to the user.
    pub docker: DockerAccess,
    /// All network interfaces but loopback.
    pub interfaces: Vec<Interface>,
    /// Interface of the default route.
    pub default_interface: Option<String>,
    /// Date of the last DGX_OTA_VERSION, as the file writes it.
    pub dgx_os_date: Option<String>,
    /// ConnectX-7 firmware, e.g. `28.45.4028`. `None` while the adapter is switched off.
    pub firmware: Option<String>,
    /// The IPv4 routes of every table but `local`: rules may ask another table before the main one.
    pub routes: Vec<Route>,
    /// Files below `/etc/netplan`, by name; what they say is read only where everyone may read them.
    pub netplan: Vec<NetplanFile>,
    /// Watts the GPU draws now and the clock it runs at, where `nvidia-smi` says so.
    pub gpu_now: Option<GpuNow>,
    /// Whether the `docker` on the path is the one from snap.
    pub docker_snap: bool,
    /// The Docker engine's version, where it says one to this user.
    pub docker_version: Option<String>,
    /// Whether DGX OS switches the adapter off while no cable is plugged in.
    pub hotplug: bool,
    /// Whether `/dev/infiniband` has devices, which a container needs for RDMA. `None` where nobody looked.
    pub rdma_nodes: Option<bool>,
    /// Milliseconds since 1970 on that machine.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub clock_ms: i64,
    /// How far that clock was ahead of this computer's when the facts arrived here. The facts of two
    /// machines are read at different moments, so only this tells how far their clocks are apart.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub clock_ahead_ms: Option<i64>,
    /// Whether this is a rehearsed machine.
    pub simulated: bool,
}

/// A setting of the cache's place that a command over SSH does not see. All of it is the machine's text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct CacheSetting {
    /// The file that sets it, absolute.
    pub file: String,
    /// The variable: `HF_HOME`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE` or `XDG_CACHE_HOME`.
    pub variable: String,
    /// Its value.
    pub value: String,
    /// Where repositories would be by it, absolute.
    pub place: String,
}

/// How the user stands to Docker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum DockerAccess {
    /// No socket and no `docker` program.
    #[default]
    Missing,
    /// No socket, but the program is there.
    NotRunning,
    /// The socket is closed to the user.
    Denied,
    /// The socket is open to the user.
    Open,
}

/// One network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct Interface {
    /// For example `enp1s0f1np1`.
    pub name: String,
    /// `phys_port_name`, e.g. `p1`; both twins of a port carry the same.
    pub port: Option<String>,
    /// Whether it is one of the ConnectX-7 functions.
    pub fabric: bool,
    /// Whether the kernel sees a carrier.
    pub carrier: bool,
    /// Mb/s by the kernel, where it knows.
    pub speed: Option<u32>,
    /// Bytes.
    pub mtu: u32,
    /// MAC address.
    pub mac: String,
    /// IPv4 addresses as `a.b.c.d/n`.
    pub ipv4: Vec<String>,
    /// The RDMA device on it, e.g. `rocep1s0f1`.
    pub rdma: Option<String>,
    /// The state the kernel gives that device, e.g. `ACTIVE`.
    pub rdma_state: Option<String>,
    /// Index of the RoCE v2 GID that carries the interface's IPv4 address.
    pub gid: Option<u32>,
    /// Whether it is a radio.
    pub wireless: bool,
    /// Whether it is switched on (not whether it has a carrier).
    pub up: bool,
    /// PCIe lanes in use and lanes there could be.
    pub lanes: Option<Lanes>,
    /// Who manages it.
    pub owner: Option<Owner>,
    /// The bond or bridge that it is a member of.
    pub master: Option<String>,
    /// Whether it is a virtual function of another interface (SR-IOV).
    pub virtual_function: bool,
    /// MAC addresses that the kernel has met on it (`ip neigh`); kept for the ConnectX-7 functions alone.
    pub neighbours: Vec<String>,
}

/// One IPv4 route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct Route {
    /// `a.b.c.d/n`; `0.0.0.0/0` is the default route.
    pub to: String,
    /// The interface.
    pub interface: String,
}

/// A file of netplan's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct NetplanFile {
    /// Absolute.
    pub path: String,
    /// What of its text names ports of this machine, where the user may read it.
    pub text: Option<String>,
}

/// What the GPU does at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(default)]
pub struct GpuNow {
    /// Watts.
    pub watts: Option<f32>,
    /// MHz.
    pub clock_mhz: Option<u32>,
    /// Percent of the time it was busy.
    pub busy: Option<u32>,
}

/// PCIe lanes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Lanes {
    /// In use.
    pub now: u32,
    /// There could be.
    pub most: u32,
}

/// Who manages an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Owner {
    /// NetworkManager, with the profile that is active on the device, by its UUID.
    NetworkManager {
        /// UUID; `None` while no profile is active.
        profile: Option<String>,
        /// What people call it; never used to find it.
        name: Option<String>,
    },
    /// systemd-networkd.
    Networkd,
    /// Nobody.
    Unmanaged,
}

impl Facts {
    /// Where repositories are, absolute, without a `/` at its end.
    pub fn hub(&self) -> String {
        let home = self.hf_home.trim_end_matches('/');
        match &self.hub {
            Some(hub) => hub.trim_end_matches('/').to_owned(),
            None => format!("{home}/hub"),
        }
    }

    /// Whether its GPU is that of a Spark and its twins, whatever system runs on it.
    pub fn is_gb10(&self) -> bool {
        self.gpu.as_ref().is_some_and(|gpu| gpu.contains("GB10"))
    }

    /// Whether it runs DGX OS, whose updates bring kernel, driver and firmware.
    pub fn runs_dgx_os(&self) -> bool {
        self.product.is_some() || self.dgx_os.is_some()
    }

    /// Whether its adapter is awake and a container could not use it for RDMA all the same.
    pub fn lacks_rdma_nodes(&self) -> bool {
        self.rdma_nodes == Some(false) && self.interfaces.iter().any(|i| i.fabric)
    }

    /// The bond or bridge that an interface belongs to. Facts from before it was a fact of its own show it all the
    /// same: a bond and a bridge take the MAC address of a member, and a member has no address.
    pub fn upper<'a>(&'a self, of: &'a Interface) -> Option<&'a str> {
        let stands_over = |i: &&Interface| {
            !i.fabric
                && !i.mac.is_empty()
                && i.mac.eq_ignore_ascii_case(&of.mac)
                && !i.ipv4.is_empty()
                // A VLAN has the MAC address of its port too, and its name.
                && !i.name.starts_with(&format!("{}.", of.name))
        };
        of.master.as_deref().or_else(|| {
            let upper = self.interfaces.iter().find(stands_over);
            upper
                .filter(|_| of.fabric && of.ipv4.is_empty())
                .map(|i| i.name.as_str())
        })
    }

    /// The fabric interfaces that have a carrier, the first PCIe domain first.
    pub fn cabled(&self) -> Vec<&Interface> {
        let mut list: Vec<_> = self
            .interfaces
            .iter()
            .filter(|i| i.fabric && i.carrier && !i.virtual_function)
            .collect();
        // Case aside, so that `enp1…` comes before `enP2p1…`, the order NVIDIA's guide uses.
        list.sort_by_key(|i| i.name.to_lowercase());
        list
    }
}
