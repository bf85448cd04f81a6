//! Step `network`: the private link's addresses, on both machines or on neither.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::network::{NetworkPlan, RailEnd, netplan};
use crate::ports::{Command, RemoteFile, Station};
use crate::problem::{Code, Problem, Retry};
use crate::recipe::both::{must, on_all, stored, value};
use crate::run::{Found, Step, StepContext, StepError, StepId, StepPlan};

/// See the module.
pub(super) struct AddressLink {
    /// The addresses.
    pub plan: NetworkPlan,
    /// The machines' names, for the words.
    pub names: Vec<String>,
}

/// The kernel's ways of making an IPv6 link-local address, by number, as `ip` names them.
const MODES: [&str; 4] = ["eui64", "none", "stable_secret", "random"];

/// What was there on one machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Before {
    /// The content of Tandem's file, if there was one.
    file: Option<String>,
    ports: Vec<Port>,
}

/// One interface as it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Port {
    name: String,
    up: bool,
    mtu: u64,
    addresses: Vec<String>,
    /// How the kernel makes the IPv6 link-local address; netplan switches that off.
    #[serde(default)]
    address_mode: Option<String>,
}

impl AddressLink {
    fn ends(&self, position: usize) -> impl Iterator<Item = (&RailEnd, &RailEnd, u8)> {
        self.plan.rails.iter().filter_map(move |rail| {
            let end = rail.ends.get(position)?;
            let other = rail
                .ends
                .iter()
                .enumerate()
                .find(|(i, _)| *i != position)?
                .1;
            Some((end, other, rail.prefix))
        })
    }

    async fn ports(&self, position: usize, station: &Station) -> Result<Vec<Port>, StepError> {
        let command = Command::new("ip", ["-j", "addr", "show"]);
        let output = must(
            station,
            &command,
            Code::NetworkPlan,
            "The addresses were not read.",
        )
        .await?;
        let links: Value = serde_json::from_slice(&output.stdout).map_err(|e| {
            Problem::new(Code::NetworkPlan, "The addresses were not understood.")
                .cause(format!("{e}."))
                .on(station.name.clone())
        })?;
        let links = links.as_array().cloned().unwrap_or_default();
        let mut ports: Vec<Port> = self
            .ends(position)
            .map(|(end, _, _)| {
                let link = links.iter().find(|l| l["ifname"] == end.interface.as_str());
                let link = link.ok_or_else(|| {
                    Problem::new(Code::NetworkPlan, "A port of the private link is gone.")
                        .cause(format!("There is no interface `{}` now.", end.interface))
                        .fix("Check the cable on both machines, then plan again.")
                        .on(station.name.clone())
                })?;
                let addresses = link["addr_info"].as_array().into_iter().flatten();
                let addresses = addresses
                    .filter(|a| a["family"] == "inet" || a["family"] == "inet6")
                    .filter_map(|a| {
                        Some(format!(
                            "{}/{}",
                            a["local"].as_str()?,
                            a["prefixlen"].as_u64()?
                        ))
                    });
                let flags = link["flags"].as_array().into_iter().flatten();
                Ok(Port {
                    name: end.interface.clone(),
                    up: flags.into_iter().any(|f| f == "UP"),
                    mtu: link["mtu"].as_u64().unwrap_or(1500),
                    addresses: addresses.collect(),
                    address_mode: None,
                })
            })
            .collect::<Result<_, Problem>>()?;
        for port in &mut ports {
            let path = format!("/proc/sys/net/ipv6/conf/{}/addr_gen_mode", port.name);
            let mode = station.machine.exec(&Command::new("cat", [path])).await;
            let mode = mode.map_err(|e| e.problem(&station.name))?.text();
            let named = MODES.get(mode.trim().parse::<usize>().unwrap_or(MODES.len()));
            port.address_mode = named.map(|m| (*m).to_owned());
        }
        Ok(ports)
    }

    /// Whether every port carries what is planned.
    fn as_planned(&self, position: usize, ports: &[Port]) -> bool {
        self.ends(position)
            .zip(ports)
            .all(|((end, _, prefix), port)| {
                port.up
                    && port.mtu == u64::from(self.plan.mtu)
                    && port
                        .addresses
                        .contains(&format!("{}/{prefix}", end.address))
            })
    }

    /// Pings the other end over each rail with the largest packet, unfragmented.
    async fn ping(&self, position: usize, station: &Station, tries: u32) -> Result<(), StepError> {
        for (end, other, _) in self.ends(position) {
            let size = self.plan.mtu.saturating_sub(28).to_string();
            let tries = tries.to_string();
            let args = [
                "-M",
                "do",
                "-c",
                "3",
                "-i",
                "0.2",
                "-w",
                &tries,
                "-s",
                &size,
                "-I",
                &end.interface,
                &other.address,
            ];
            let output = station.machine.exec(&Command::new("ping", args)).await;
            let output = output.map_err(|e| e.problem(&station.name))?;
            if !output.ok() {
                return Err(Problem::new(
                    Code::LinkFails,
                    "The private link does not carry full-size packets.",
                )
                .cause(format!(
                    "`{}` got no answer from {} over `{}` with {} bytes unfragmented.",
                    station.name, other.address, end.interface, self.plan.mtu
                ))
                .fix("Check that the cable sits in the same port of both machines; then resume.")
                .retry(Retry::Now)
                .on(station.name.clone())
                .detail(output.text().trim())
                .into());
            }
        }
        Ok(())
    }

    async fn file_of(station: &Station) -> Result<Option<String>, StepError> {
        let content = station
            .machine
            .read(netplan::FILE, true)
            .await
            .map_err(|e| e.problem(&station.name))?;
        Ok(content.map(|c| String::from_utf8_lossy(&c).into_owned()))
    }

    async fn write_and_apply(&self, position: usize, station: &Station) -> Result<(), StepError> {
        let text = netplan::render(&self.plan, position);
        if Self::file_of(station).await?.as_deref() != Some(text.as_str()) {
            let file = RemoteFile {
                path: netplan::FILE.into(),
                content: text.into_bytes(),
                mode: 0o600,
                sudo: true,
            };
            station
                .machine
                .write(&file)
                .await
                .map_err(|e| e.problem(&station.name))?;
        }
        Self::netplan(station).await
    }

    async fn netplan(station: &Station) -> Result<(), StepError> {
        // `generate` reads all files together and changes no address: a mistake shows here.
        let refused = "netplan refused the addresses.";
        must(
            station,
            &Command::new("netplan", ["generate"]).sudo(),
            Code::NetplanRefused,
            refused,
        )
        .await?;
        must(
            station,
            &Command::new("netplan", ["apply"]).sudo(),
            Code::NetplanRefused,
            refused,
        )
        .await?;
        Ok(())
    }

    /// Makes one machine's ports as they were.
    async fn restore(
        &self,
        cx: &StepContext,
        position: usize,
        station: &Station,
        was: &Before,
    ) -> Result<(), StepError> {
        let now = Self::file_of(station).await?;
        if now != was.file {
            match &was.file {
                Some(text) => {
                    let file = RemoteFile {
                        path: netplan::FILE.into(),
                        content: text.clone().into_bytes(),
                        mode: 0o600,
                        sudo: true,
                    };
                    station
                        .machine
                        .write(&file)
                        .await
                        .map_err(|e| e.problem(&station.name))?;
                }
                None => {
                    let rm = Command::new("rm", ["-f", netplan::FILE]).sudo();
                    must(
                        station,
                        &rm,
                        Code::NetplanRefused,
                        "Tandem's netplan file was not removed.",
                    )
                    .await?;
                }
            }
            Self::netplan(station).await?;
        }
        // netplan leaves sizes and addresses on a port that no file names any more, and the system goes
        // on changing ports for a moment after netplan has returned: so until nothing changes any more.
        let mut still = 0;
        for _ in 0..20 {
            let now = self.ports(position, station).await?;
            still = if now == was.ports { still + 1 } else { 0 };
            if still == 3 {
                return Ok(());
            }
            for (port, before) in now.iter().zip(&was.ports) {
                Self::correct(station, port, before).await?;
            }
            cx.clock.wait(Duration::from_millis(300)).await;
        }
        Err(
            Problem::new(Code::NetworkPlan, "A port was not made as before.")
                .cause("Something on the machine keeps changing it.")
                .fix("Look which network service manages the port, then undo again.")
                .on(station.name.clone())
                .into(),
        )
    }

    /// Changes what is not as it was at one port.
    async fn correct(station: &Station, now: &Port, was: &Port) -> Result<(), StepError> {
        let name = now.name.as_str();
        if now.mtu != was.mtu {
            Self::ip(station, &["link", "set", name, "mtu", &was.mtu.to_string()]).await?;
        }
        if let Some(mode) = was.address_mode.as_deref()
            && now.address_mode != was.address_mode
        {
            Self::ip(station, &["link", "set", name, "addrgenmode", mode]).await?;
        }
        for address in now.addresses.iter().filter(|a| !was.addresses.contains(a)) {
            Self::ip(station, &["addr", "del", address, "dev", name]).await?;
        }
        for address in was.addresses.iter().filter(|a| !now.addresses.contains(a)) {
            Self::ip(station, &["addr", "replace", address, "dev", name]).await?;
        }
        if now.up != was.up {
            let state = if was.up { "up" } else { "down" };
            Self::ip(station, &["link", "set", name, state]).await?;
        }
        Ok(())
    }

    async fn ip(station: &Station, args: &[&str]) -> Result<(), StepError> {
        let command = Command::new("ip", args.iter().copied()).sudo();
        must(
            station,
            &command,
            Code::NetworkPlan,
            "A port was not made as before.",
        )
        .await
        .map(|_| ())
    }

    async fn restore_all(&self, cx: &StepContext, before: &[Before]) -> Result<(), StepError> {
        on_all(&cx.stations, |i, station| {
            Box::pin(async move {
                match before.get(i) {
                    Some(was) => self.restore(cx, i, station, was).await,
                    None => Ok(()),
                }
            })
        })
        .await
        .map(|_| ())
    }
}

#[async_trait]
impl Step for AddressLink {
    fn plan(&self) -> StepPlan {
        let files = self.names.iter().enumerate().map(|(i, name)| {
            format!(
                "{name}: {}\n{}",
                netplan::FILE,
                netplan::render(&self.plan, i)
            )
        });
        let mut exactly: Vec<String> = files.collect();
        exactly.push("sudo netplan generate && sudo netplan apply".into());
        StepPlan {
            id: StepId("network".into()),
            title: "Private link".into(),
            will: "Gives the two rails of the cable addresses of their own. The network you reach the machines by is not touched.".into(),
            exactly,
            undo: "Restores the file and the ports as they were.".into(),
            privileged: true,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<Found, StepError> {
        let ports = on_all(&cx.stations, |i, s| Box::pin(self.ports(i, s))).await?;
        let planned = ports.iter().enumerate().all(|(i, p)| self.as_planned(i, p));
        if planned {
            let answers = on_all(&cx.stations, |i, s| Box::pin(self.ping(i, s, 5))).await;
            if answers.is_ok() {
                return Ok(Found::AlreadyDone {
                    found: "The link has its addresses, and full-size packets cross it.".into(),
                    receipt: json!({}),
                });
            }
        }
        let files = on_all(&cx.stations, |_, s| Box::pin(Self::file_of(s))).await?;
        let before: Vec<Before> = files
            .into_iter()
            .zip(ports)
            .map(|(file, ports)| Before { file, ports })
            .collect();
        Ok(Found::Needed {
            before: value(&before),
        })
    }

    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        cx.safe_point()?;
        let done = on_all(&cx.stations, |i, s| Box::pin(self.write_and_apply(i, s))).await;
        if let Err(error) = done {
            // Both machines or neither. What cannot be restored now is restored by undo.
            let before: Vec<Before> = stored(before)?;
            if let Err(StepError::Problem(problem)) = self.restore_all(cx, &before).await {
                cx.log(
                    problem.machine.as_deref(),
                    format!("Not restored yet: {problem}"),
                );
            }
            return Err(error);
        }
        Ok(json!({}))
    }

    async fn verify(&self, cx: &StepContext, _: &Value) -> Result<String, StepError> {
        // A link needs a moment after it was addressed; ping itself waits for it.
        on_all(&cx.stations, |i, s| Box::pin(self.ping(i, s, 20))).await?;
        Ok(format!(
            "Packets of {} bytes cross {} both ways.",
            self.plan.mtu,
            if self.plan.rails.len() == 1 {
                "the rail"
            } else {
                "both rails"
            }
        ))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        let before: Vec<Before> = stored(before)?;
        self.restore_all(cx, &before).await?;
        Ok("The ports are as they were.".into())
    }
}
