//! The cables: a namespace that holds one bridge per cable, so that a cable can be pulled, slowed down and
//! held up in its middle while both machines see nothing but their own ends.

use std::path::PathBuf;

use crate::error::{Context as _, LabError};
use crate::hardware::{self, RAILS, UNCABLED};
use crate::host::{ask, run, state, text};
use crate::spark::Spark;

/// The box, as the machines see it.
pub const BOX_ADDRESS: &str = "10.77.0.1";

/// The namespace of the cables.
pub(crate) const CABLES: &str = "tandem-cables";
/// The box's end of the management network.
const BOX_END: &str = "tandem0";

/// Something that can be cut, delayed and slowed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Between a machine and the box, on which SSH, the registry and the Hub are reached.
    Management(Spark),
    /// The first twin, `enp1s0f1np1`, between the machines.
    FirstTwin,
    /// The second twin, `enP2p1s0f1np1`, between the machines.
    SecondTwin,
    /// The cable between the machines: both twins.
    Cable,
}

impl Link {
    /// The bridge of each cable it is, with its ports on the machines' side.
    fn ports(self) -> Vec<(&'static str, Vec<String>)> {
        let rail = |number: usize| {
            let bridge = ["rail0", "rail1"][number];
            let ports = Spark::BOTH.map(|s| format!("{bridge}-{}", s.letter()));
            (bridge, ports.to_vec())
        };
        match self {
            Self::Management(spark) => vec![("mgmt", vec![format!("mgmt-{}", spark.letter())])],
            Self::FirstTwin => vec![rail(0)],
            Self::SecondTwin => vec![rail(1)],
            Self::Cable => vec![rail(0), rail(1)],
        }
    }

    /// The interfaces of the machines whose carrier it is.
    pub(crate) fn rails(self) -> &'static [&'static str] {
        match self {
            Self::Management(_) => &[],
            Self::FirstTwin => &RAILS[..1],
            Self::SecondTwin => &RAILS[1..],
            Self::Cable => &RAILS,
        }
    }
}

/// Lays all cables. Nothing of an earlier lab may be left.
pub(crate) async fn lay() -> Result<(), LabError> {
    run(&["ip", "netns", "add", CABLES]).await?;
    for spark in Spark::BOTH {
        run(&["ip", "netns", "add", spark.namespace()]).await?;
    }
    // Bridges shall carry frames and say nothing of their own.
    run(&[
        "ip",
        "netns",
        "exec",
        CABLES,
        "sysctl",
        "-qw",
        "net.ipv6.conf.all.disable_ipv6=1",
        "net.ipv6.conf.default.disable_ipv6=1",
    ])
    .await?;

    let mut lines = vec![
        "link add mgmt type bridge".to_owned(),
        "link set mgmt up".to_owned(),
    ];
    for bridge in ["rail0", "rail1"] {
        lines.push(format!("link add {bridge} type bridge"));
        lines.push(format!("link set {bridge} up mtu 9216"));
    }
    // Our own id stands for the box's namespace.
    let here = std::process::id();
    lines.push(format!(
        "link add box type veth peer name {BOX_END} netns {here}"
    ));
    lines.push("link set box master mgmt up".to_owned());
    for spark in Spark::BOTH {
        let (letter, namespace) = (spark.letter(), spark.namespace());
        let mut add = |port: String, interface: &str, number: u8, bridge: &str| {
            let mac = spark.mac(number);
            lines.push(format!(
                "link add {port} mtu 9216 type veth peer name {interface} mtu 1500 address {mac} netns {namespace}"
            ));
            if !bridge.is_empty() {
                lines.push(format!("link set {port} master {bridge} up"));
            }
        };
        // In the order in which a Spark numbers its interfaces.
        add(format!("mgmt-{letter}"), "enP7s7", 0, "mgmt");
        add(format!("open0-{letter}"), UNCABLED[0], 1, "");
        add(format!("rail0-{letter}"), RAILS[0], 2, "rail0");
        add(format!("open1-{letter}"), UNCABLED[1], 5, "");
        add(format!("rail1-{letter}"), RAILS[1], 6, "rail1");
    }
    let done = ask(
        &["ip", "-n", CABLES, "-batch", "-"],
        lines.join("\n").as_bytes(),
    )
    .await?;
    if !done.ok() {
        return Err(LabError::new("the cables could not be laid", done.stderr));
    }
    run(&[
        "ip",
        "addr",
        "add",
        &format!("{BOX_ADDRESS}/24"),
        "dev",
        BOX_END,
    ])
    .await?;
    run(&["ip", "link", "set", BOX_END, "up"]).await?;
    for spark in Spark::BOTH {
        run(&["ip", "-n", spark.namespace(), "link", "set", "lo", "up"]).await?;
    }
    Ok(())
}

/// Takes all cables away, as far as there are any.
pub(crate) async fn remove() -> Result<(), LabError> {
    for relay in relays()? {
        end_relay(&relay)?;
    }
    if std::path::Path::new("/sys/class/net")
        .join(BOX_END)
        .exists()
    {
        run(&["ip", "link", "del", BOX_END]).await?;
    }
    for namespace in [CABLES, Spark::A.namespace(), Spark::B.namespace()] {
        if std::path::Path::new("/run/netns").join(namespace).exists() {
            run(&["ip", "netns", "del", namespace]).await?;
        }
    }
    Ok(())
}

/// Sets a machine's links back to what they are before it boots: without addresses, down.
pub(crate) async fn forget(spark: Spark) -> Result<(), LabError> {
    let namespace = spark.namespace();
    for interface in ["enP7s7"].iter().chain(&UNCABLED).chain(&RAILS) {
        run(&["ip", "-n", namespace, "addr", "flush", "dev", interface]).await?;
        run(&[
            "ip", "-n", namespace, "link", "set", interface, "down", "mtu", "1500",
        ])
        .await?;
    }
    Ok(())
}

/// Pulls it: both ends lose their carrier.
pub(crate) async fn cut(link: Link) -> Result<(), LabError> {
    set_ports(link, &["down"]).await?;
    hardware::tell(link.rails(), false)
}

/// Plugs it in again.
pub(crate) async fn mend(link: Link) -> Result<(), LabError> {
    set_ports(link, &["up"]).await?;
    hardware::tell(link.rails(), true)
}

/// Lets only frames of up to this size through.
pub(crate) async fn shrink(link: Link, mtu: u32) -> Result<(), LabError> {
    set_ports(link, &["mtu", &mtu.to_string()]).await
}

async fn set_ports(link: Link, what: &[&str]) -> Result<(), LabError> {
    for (_, ports) in link.ports() {
        for port in ports {
            let mut argv = vec!["ip", "-n", CABLES, "link", "set", &port];
            argv.extend(what);
            run(&argv).await?;
        }
    }
    Ok(())
}

/// Lets this many Mbit/s through, towards each machine it leads to; `None` for as much as there is.
pub(crate) async fn rate(link: Link, mbit: Option<u32>) -> Result<(), LabError> {
    for (_, ports) in link.ports() {
        for port in ports {
            match mbit {
                Some(mbit) => {
                    let rate = format!("{mbit}mbit");
                    run(&[
                        "tc", "-n", CABLES, "qdisc", "replace", "dev", &port, "root", "tbf",
                        "rate", &rate, "burst", "128kb", "latency", "200ms",
                    ])
                    .await?;
                }
                None => {
                    // Without a limit there is nothing to delete, which is what was asked for.
                    ask(
                        &["tc", "-n", CABLES, "qdisc", "del", "dev", &port, "root"],
                        b"",
                    )
                    .await?;
                }
            }
        }
    }
    Ok(())
}

/// Holds every frame for this long, on its way in each direction; 0 takes the delay away.
pub(crate) async fn delay(link: Link, ms: u32) -> Result<(), LabError> {
    for (bridge, ports) in link.ports() {
        let port = &ports[0];
        let (near, far) = (format!("near-{port}"), format!("far-{port}"));
        if relay_file(port).exists() {
            end_relay(&relay_file(port))?;
            run(&["ip", "-n", CABLES, "link", "del", &near]).await?;
            run(&["ip", "-n", CABLES, "link", "set", port, "master", bridge]).await?;
        }
        if ms == 0 {
            continue;
        }
        // port ─ bridge becomes port ─ relay ─ near ─ far ─ bridge.
        let lines = format!(
            "link add {near} mtu 9216 type veth peer name {far} mtu 9216\n\
             link set {near} up\nlink set {far} master {bridge} up\nlink set {port} nomaster\n"
        );
        let done = ask(&["ip", "-n", CABLES, "-batch", "-"], lines.as_bytes()).await?;
        if !done.ok() {
            return Err(LabError::new(
                format!("`{port}` could not be delayed"),
                done.stderr,
            ));
        }
        start_relay(port, &near, ms).await?;
    }
    Ok(())
}

fn relay_file(port: &str) -> PathBuf {
    state().join(format!("relay-{port}.pid"))
}

fn relays() -> Result<Vec<PathBuf>, LabError> {
    let Ok(entries) = std::fs::read_dir(state()) else {
        return Ok(Vec::new());
    };
    Ok(entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| {
            p.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("relay-"))
        })
        .collect())
}

async fn start_relay(port: &str, near: &str, ms: u32) -> Result<(), LabError> {
    use tokio::io::AsyncBufReadExt as _;
    let script = state().join("relay.py");
    std::fs::write(&script, include_str!("relay.py"))
        .context(|| "the relay could not be written".to_owned())?;
    let mut child = tokio::process::Command::new("ip")
        .args([
            "netns",
            "exec",
            CABLES,
            "python3",
            text(&script),
            &ms.to_string(),
            port,
            near,
        ])
        .stdin(std::process::Stdio::null())
        // An interrupt from the terminal ends the test, not the cable.
        .process_group(0)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .context(|| "the relay did not start".to_owned())?;
    // `ip netns exec` becomes the program, so this is the relay's own id.
    let pid = child.id().unwrap_or_default();
    std::fs::write(relay_file(port), pid.to_string())
        .context(|| "the relay could not be noted".to_owned())?;
    let mut line = String::new();
    let stdout = child.stdout.take().expect("stdout is piped");
    tokio::io::BufReader::new(stdout)
        .read_line(&mut line)
        .await
        .context(|| "the relay said nothing".to_owned())?;
    if line.trim() != "ready" {
        return Err(LabError::new("the relay did not start", line));
    }
    Ok(())
}

fn end_relay(file: &std::path::Path) -> Result<(), LabError> {
    let pid = std::fs::read_to_string(file).unwrap_or_default();
    crate::process::end_process(&pid, "relay.py");
    std::fs::remove_file(file).context(|| format!("`{}` could not be removed", file.display()))
}
