//! Giving the ports their addresses, with everything looked at that can be looked at before.

use std::time::Duration;

use crate::network::{RailEnd, faults, netplan};
use crate::ports::{Command, MachineServices, RemoteFile};
use crate::problem::{Code, Problem, Retry};
use crate::run::StepError;
use crate::step::machines::{failed_on, must};
use crate::step::network::AddressLink;
use crate::step::network::ports::{self, Links, Port, PortsBefore};
use crate::step::services::StepContext;

/// How the name of the scratch folder begins.
const SCRATCH: &str = "/tmp/tandem-netplan.";

fn is_scratch(path: &str) -> bool {
    let ending = path.strip_prefix(SCRATCH).unwrap_or_default();
    ending.len() == 10 && ending.chars().all(|c| c.is_ascii_alphanumeric())
}

impl AddressLink {
    /// A machine's own ends, each with the other end and the prefix.
    pub(super) fn ends(&self, position: usize) -> impl Iterator<Item = (&RailEnd, &RailEnd, u8)> {
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

    pub(super) fn port_names(&self, position: usize) -> Vec<&str> {
        self.ends(position)
            .map(|(end, _, _)| end.interface.as_str())
            .collect()
    }

    /// The ports of the plan, all of them there.
    pub(super) async fn ports(
        &self,
        position: usize,
        machine: &MachineServices,
    ) -> Result<Vec<Port>, StepError> {
        let names = self.port_names(position);
        let found = ports::read(machine, &names).await?;
        if let Some(gone) = names.iter().find(|n| !found.iter().any(|p| p.name == **n)) {
            return Err(
                Problem::new(Code::NetworkPlan, "A port of the private link is gone.")
                    .cause(format!("There is no interface `{gone}` now."))
                    .fix("Check the cable on both machines, then plan again.")
                    .on(machine.name.clone())
                    .into(),
            );
        }
        Ok(found)
    }

    /// Whether every port carries what is planned.
    pub(super) fn as_planned(&self, position: usize, ports: &[Port]) -> bool {
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
    pub(super) async fn ping(
        &self,
        position: usize,
        machine: &MachineServices,
        tries: u32,
    ) -> Result<(), StepError> {
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
            let output = machine.shell.exec(&Command::new("ping", args)).await;
            let output = output.map_err(failed_on(machine))?;
            if !output.ok() {
                return Err(Problem::new(
                    Code::LinkFails,
                    "The private link does not carry full-size packets.",
                )
                .cause(format!(
                    "`{}` got no answer from {} over `{}` with {} bytes unfragmented.",
                    machine.name, other.address, end.interface, self.plan.mtu
                ))
                .fix("Check that one cable joins these two machines, in the same port of both and not by way of a third machine or a switch; then resume.")
                .retry(Retry::Now)
                .on(machine.name.clone())
                .detail(output.text().trim())
                .into());
            }
        }
        Ok(())
    }

    /// Refuses when another netplan file has something to say about a port, which only root can see.
    pub(super) async fn no_foreign_file(
        machine: &MachineServices,
        ports: &[Port],
    ) -> Result<(), StepError> {
        let find = ["/etc/netplan", "-name", "*.yaml"];
        let found = must(
            machine,
            &Command::new("find", find).sudo(),
            Code::NetworkPlan,
            "The netplan files were not read.",
        )
        .await?;
        let text = found.text();
        let mut paths: Vec<&str> = text.lines().collect();
        paths.sort_unstable();
        // A path may lie elsewhere in a rehearsal; the name is what counts.
        let own = netplan::FILE.rsplit('/').next().unwrap_or_default();
        for path in paths.iter().filter(|p| !p.ends_with(own)) {
            let content = machine.shell.read(path, true).await;
            let content = content.map_err(failed_on(machine))?;
            let text = String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned();
            let named = ports
                .iter()
                .find_map(|p| Some((p, netplan::claim(&text, &p.name, &p.mac)?)));
            if let Some((port, claim)) = named {
                return Err(faults::foreign(path, &port.name, &claim)
                    .on(machine.name.clone())
                    .into());
            }
        }
        Ok(())
    }

    /// Lets netplan read all files together with the new one in a folder of their own, where a mistake
    /// in any of them shows and nothing changes.
    pub(super) async fn try_out(
        &self,
        position: usize,
        machine: &MachineServices,
    ) -> Result<(), StepError> {
        let failed = "The netplan files could not be tried out.";
        let run = |program: &str, args: &[&str]| Command::new(program, args.iter().copied()).sudo();
        let made = run("mktemp", &["-d", &format!("{SCRATCH}XXXXXXXXXX")]);
        let made = must(machine, &made, Code::NetplanRefused, failed).await?;
        let scratch = made.text().trim().to_owned();
        // Root removes it in the end, so nothing else than what was asked for may be meant.
        if !is_scratch(&scratch) {
            return Err(Problem::new(Code::NetplanRefused, failed)
                .cause("`mktemp` did not answer with the folder it was asked for.")
                .on(machine.name.clone())
                .detail(scratch)
                .into());
        }
        let result = async {
            let etc = format!("{scratch}/etc");
            let copies = [
                run("mkdir", &["-p", &etc]),
                run("cp", &["-a", "/etc/netplan", &format!("{etc}/netplan")]),
            ];
            for command in &copies {
                must(machine, command, Code::NetplanRefused, failed).await?;
            }
            let file = RemoteFile {
                path: format!("{scratch}{}", netplan::FILE),
                content: netplan::render(&self.plan, position).into_bytes(),
                mode: 0o600,
                sudo: true,
            };
            let written = machine.shell.write(&file).await;
            written.map_err(failed_on(machine))?;
            let generate = run("netplan", &["generate", "--root-dir", &scratch]);
            must(
                machine,
                &generate,
                Code::NetplanRefused,
                "netplan cannot read its files together with the new one; nothing was changed.",
            )
            .await
        }
        .await;
        let removed = machine.shell.exec(&run("rm", &["-rf", &scratch])).await;
        let refused = |e| match e {
            StepError::Problem(p) => {
                StepError::from(p.fix("Mend the file that is named, or take it away; then go on."))
            }
            other => other,
        };
        result.map_err(refused)?;
        removed.map_err(failed_on(machine))?;
        Ok(())
    }

    /// Refuses when somebody else has one of the addresses. The kernel asks by ARP before it can send
    /// a ping, so what it then knows of the neighbour is the answer, whether or not the ping came back.
    pub(super) async fn not_taken(
        &self,
        position: usize,
        machine: &MachineServices,
        before: &PortsBefore,
    ) -> Result<(), StepError> {
        let links = Links::read(machine).await?;
        for (end, _, _) in self.ends(position) {
            let (port, address) = (end.interface.as_str(), end.address.as_str());
            match links.holder(address) {
                Some(holder) if holder == port => continue,
                Some(holder) => {
                    return Err(taken(
                        machine,
                        address,
                        &format!("`{holder}` of the same machine"),
                    ));
                }
                None => {}
            }
            if before.ports.iter().any(|p| p.name == port && !p.up) {
                let up = Command::new("ip", ["link", "set", port, "up"]).sudo();
                must(
                    machine,
                    &up,
                    Code::NetworkPlan,
                    "A port could not be switched on.",
                )
                .await?;
            }
            let ping = ["-c", "1", "-W", "1", "-I", port, address];
            let ping = machine.shell.exec(&Command::new("ping", ping)).await;
            ping.map_err(failed_on(machine))?;
            let show = Command::new("ip", ["neigh", "show", "to", address, "dev", port]);
            let said = machine.shell.exec(&show).await;
            let said = said.map_err(failed_on(machine))?.text();
            let mut words = said.split_whitespace().skip_while(|w| *w != "lladdr");
            let answer = words.nth(1).map(str::to_owned);
            let forget = ["neigh", "del", address, "dev", port];
            // An entry that is not there cannot be forgotten, which is no harm.
            let forgot = machine.shell.exec(&Command::new("ip", forget).sudo()).await;
            forgot.map_err(failed_on(machine))?;
            if let Some(mac) = answer {
                return Err(taken(
                    machine,
                    address,
                    &format!("a device with the MAC address {mac} on `{port}`"),
                ));
            }
        }
        Ok(())
    }

    pub(super) async fn write_and_apply(
        &self,
        position: usize,
        machine: &MachineServices,
    ) -> Result<(), StepError> {
        let text = netplan::render(&self.plan, position);
        if ports::file_of(machine).await?.as_deref() != Some(text.as_str()) {
            let file = RemoteFile {
                path: netplan::FILE.into(),
                content: text.into_bytes(),
                mode: 0o600,
                sudo: true,
            };
            machine
                .shell
                .write(&file)
                .await
                .map_err(failed_on(machine))?;
        }
        netplan(machine).await
    }

    /// Where NetworkManager's automatic profile holds on to a port, lets go of it. netplan's own
    /// profile for the port then takes its place, and undo makes the other active again.
    pub(super) async fn let_go(
        &self,
        cx: &StepContext,
        position: usize,
        machine: &MachineServices,
        before: &PortsBefore,
    ) -> Result<(), StepError> {
        if before.ports.iter().all(|p| p.profile.is_none()) {
            return Ok(());
        }
        // NetworkManager takes a moment to change over, and mostly does so by itself.
        for _ in 0..15 {
            let now = self.ports(position, machine).await?;
            if self.as_planned(position, &now) {
                return Ok(());
            }
            cx.clock.wait(Duration::from_millis(300)).await;
        }
        for was in &before.ports {
            let Some(uuid) = &was.profile else { continue };
            if ports::profile(machine, &was.name).await?.as_ref() != Some(uuid) {
                continue;
            }
            let down = Command::new("nmcli", ["connection", "down", "uuid", uuid]).sudo();
            let failed = "NetworkManager did not let go of a port.";
            must(machine, &down, Code::NetworkPlan, failed).await?;
        }
        Ok(())
    }
}

fn taken(machine: &MachineServices, address: &str, by: &str) -> StepError {
    Problem::new(Code::NetworkPlan, "An address of the plan is taken.")
        .cause(format!("{address} belongs to {by}."))
        .fix("Choose another subnet for the rail, then start again.")
        .on(machine.name.clone())
        .into()
}

/// Has netplan read all files and act on them.
pub(super) async fn netplan(machine: &MachineServices) -> Result<(), StepError> {
    // `generate` reads all files together and changes no address: a mistake shows here.
    for act in ["generate", "apply"] {
        let command = Command::new("netplan", [act]).sudo();
        let refused = "netplan refused the addresses.";
        must(machine, &command, Code::NetplanRefused, refused).await?;
    }
    Ok(())
}
