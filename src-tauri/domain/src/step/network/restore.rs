//! Making the ports as they were.

use std::time::Duration;

use crate::network::netplan;
use crate::ports::{Command, MachineServices, RemoteFile};
use crate::problem::{Code, Problem, Retry};
use crate::run::StepError;
use crate::step::machines::{failed_on, must, on_all};
use crate::step::network::apply::netplan;
use crate::step::network::ports::{self, Port, PortsBefore};
use crate::step::network::switch;
use crate::step::services::StepContext;

const FAILED: &str = "A port was not made as before.";

/// Makes every machine as it was, each as far as it can be, and takes its switch away then. Gives back
/// what could not be restored and is no failure.
pub(super) async fn restore_all(
    cx: &StepContext,
    before: &[PortsBefore],
) -> Result<Vec<String>, StepError> {
    let notes = on_all(&cx.machines, |i, machine| {
        Box::pin(async move {
            let Some(was) = before.get(i) else {
                return Ok(Vec::new());
            };
            let notes = restore(cx, machine, was).await?;
            switch::disarm(machine, &cx.run).await?;
            Ok(notes)
        })
    })
    .await?;
    Ok(notes.into_iter().flatten().collect())
}

/// An error where Tandem's netplan file is another than before the run and than the run left: what was made of it
/// since is not overwritten. A run of an earlier Tandem did not note what it left, and is taken back as it was.
pub(super) async fn as_left(
    machine: &MachineServices,
    before: Option<&PortsBefore>,
    left: Option<&String>,
) -> Result<(), StepError> {
    let (Some(before), Some(left)) = (before, left) else {
        return Ok(());
    };
    match ports::file_of(machine).await? {
        Some(now) if now != *left && Some(&now) != before.file.as_ref() => Err(Problem::new(
            Code::NetworkPlan,
            "The addresses of the private link were not put back.",
        )
        .cause(format!("`{}` was changed after this run.", netplan::FILE))
        .fix_with(
            "If another run changed it, undo that one first. If you changed it and do not need it, remove it; then undo again.",
            format!("sudo rm {}", netplan::FILE),
        )
        .on(machine.name.clone())
        .into()),
        _ => Ok(()),
    }
}

/// Makes one machine's ports as they were.
async fn restore(
    cx: &StepContext,
    machine: &MachineServices,
    was: &PortsBefore,
) -> Result<Vec<String>, StepError> {
    switch::let_end(cx, machine).await?;
    if ports::file_of(machine).await? != was.file {
        put_file(machine, was).await?;
        netplan(machine).await?;
    }
    forget_profiles(machine).await?;
    let names: Vec<&str> = was.ports.iter().map(|p| p.name.as_str()).collect();
    // netplan leaves sizes and addresses on a port that no file names any more, and the system goes
    // on changing ports for a moment after netplan has returned: so until nothing changes any more.
    let mut still = 0;
    let mut wrong: Vec<String> = Vec::new();
    let mut complaint = None;
    for _ in 0..20 {
        let now = ports::read(machine, &names).await?;
        let pairs = || {
            now.iter()
                .filter_map(|n| Some((n, was.ports.iter().find(|w| w.name == n.name)?)))
        };
        wrong = pairs()
            .flat_map(|(now, was)| now.differences(was))
            .collect();
        still = if wrong.is_empty() { still + 1 } else { 0 };
        if still == 3 {
            let mut notes = profiles(machine, &now, was).await?;
            let gone = names.iter().filter(|n| !now.iter().any(|p| p.name == **n));
            notes.extend(gone.map(|name| {
                format!(
                    "`{name}` of `{}` is not there now; it will come without Tandem's addresses.",
                    machine.name
                )
            }));
            return Ok(notes);
        }
        for (port, before) in pairs() {
            correct(machine, port, before, &mut complaint).await?;
        }
        cx.clock.wait(Duration::from_millis(300)).await;
    }
    let mut problem = Problem::new(Code::NetworkPlan, FAILED)
        .cause(format!(
            "Something on the machine keeps changing it: {}.",
            wrong.join("; ")
        ))
        .fix("Find out which network service manages the port, then undo again.")
        .retry(Retry::Now)
        .on(machine.name.clone());
    if let Some(complaint) = complaint {
        problem = problem.detail(complaint);
    }
    Err(problem.into())
}

async fn put_file(machine: &MachineServices, was: &PortsBefore) -> Result<(), StepError> {
    match &was.file {
        Some(text) => {
            let file = RemoteFile {
                path: netplan::FILE.into(),
                content: text.clone().into_bytes(),
                mode: was.mode.unwrap_or(0o600),
                sudo: true,
            };
            let written = machine.shell.write(&file).await;
            written.map_err(failed_on(machine))?;
        }
        None => {
            let rm = Command::new("rm", ["-f", netplan::FILE]).sudo();
            let failed = "Tandem's netplan file was not removed.";
            must(machine, &rm, Code::NetplanRefused, failed).await?;
        }
    }
    Ok(())
}

/// Changes what is not as it was at one port.
async fn correct(
    machine: &MachineServices,
    now: &Port,
    was: &Port,
    complaint: &mut Option<String>,
) -> Result<(), StepError> {
    let name = now.name.as_str();
    if now.mtu != was.mtu {
        ip(
            machine,
            &["link", "set", name, "mtu", &was.mtu.to_string()],
            complaint,
        )
        .await?;
    }
    if let Some(mode) = was.address_mode.as_deref()
        && now.address_mode != was.address_mode
    {
        ip(
            machine,
            &["link", "set", name, "addrgenmode", mode],
            complaint,
        )
        .await?;
    }
    let by_hand = !now.is_with_its_profile(was);
    let more = now.addresses.iter().filter(|a| !was.addresses.contains(a));
    for address in more.filter(|_| by_hand) {
        ip(machine, &["addr", "del", address, "dev", name], complaint).await?;
    }
    let fewer = was.addresses.iter().filter(|a| !now.addresses.contains(a));
    for address in fewer.filter(|_| was.profile.is_none()) {
        ip(
            machine,
            &["addr", "replace", address, "dev", name],
            complaint,
        )
        .await?;
    }
    if now.up != was.up {
        let state = if was.up { "up" } else { "down" };
        ip(machine, &["link", "set", name, state], complaint).await?;
    }
    Ok(())
}

/// Runs it and keeps its complaint, if it has one. That is no failure yet: the system changes the port at
/// the same time, and what was to be taken away may be gone already. The next look says what counts.
async fn ip(
    machine: &MachineServices,
    args: &[&str],
    complaint: &mut Option<String>,
) -> Result<(), StepError> {
    let command = Command::new("ip", args.iter().copied()).sudo();
    let said = machine.shell.exec(&command).await;
    let said = said.map_err(failed_on(machine))?;
    if !said.ok() {
        *complaint = Some(said.error_text());
    }
    Ok(())
}

/// Has NetworkManager read its profiles again. netplan takes away the files of those it made and says
/// nothing, so NetworkManager would keep them in memory and use them again as soon as no DHCP server
/// answers, which is most of a minute later.
async fn forget_profiles(machine: &MachineServices) -> Result<(), StepError> {
    let reload = Command::new("nmcli", ["connection", "reload"]).sudo();
    // Where there is no NetworkManager, or none that runs, nothing has to forget anything.
    let said = machine.shell.exec(&reload).await;
    said.map(drop).map_err(failed_on(machine))
}

/// Makes the profiles active again that were. One that waits for a DHCP server is not waited for.
async fn profiles(
    machine: &MachineServices,
    now: &[Port],
    was: &PortsBefore,
) -> Result<Vec<String>, StepError> {
    let mut notes = Vec::new();
    for before in &was.ports {
        let Some(uuid) = &before.profile else {
            continue;
        };
        let Some(port) = now.iter().find(|p| p.name == before.name) else {
            continue;
        };
        if port.profile.as_ref() == Some(uuid) {
            continue;
        }
        let args = [
            "--wait",
            "0",
            "connection",
            "up",
            "uuid",
            uuid,
            "ifname",
            &port.name,
        ];
        let said = machine
            .shell
            .exec(&Command::new("nmcli", args).sudo())
            .await;
        if !said.map_err(failed_on(machine))?.ok() {
            notes.push(format!(
                "NetworkManager did not take the profile {uuid} back for `{}` of `{}`.",
                port.name, machine.name
            ));
        }
    }
    Ok(notes)
}
