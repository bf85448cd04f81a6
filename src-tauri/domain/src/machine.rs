//! Facts about one machine, as `tandem-node facts` reports them without root.

use serde::{Deserialize, Serialize};

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
    /// Milliseconds since 1970 on that machine.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub clock_ms: i64,
    /// Whether this is a rehearsed machine.
    pub simulated: bool,
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
    /// The RDMA device on it, e.g. `rocep1s0f1`, with the state the kernel gives it.
    pub rdma: Option<String>,
}

impl Facts {
    /// The fabric interfaces that have a carrier, the first PCIe domain first.
    pub fn cabled(&self) -> Vec<&Interface> {
        let mut list: Vec<_> = self
            .interfaces
            .iter()
            .filter(|i| i.fabric && i.carrier)
            .collect();
        // Case aside, so that `enp1…` comes before `enP2p1…`, the order NVIDIA's guide uses.
        list.sort_by_key(|i| i.name.to_lowercase());
        list
    }
}

/// Says whether two machines are one, by what they are and not by their addresses.
pub fn same_machine(a: &Facts, b: &Facts) -> bool {
    !a.machine_id.is_empty() && a.machine_id == b.machine_id
}
