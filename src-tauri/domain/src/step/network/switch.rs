//! The dead-man's switch: before anything changes, the machine itself is told to put everything back
//! after a while, and at its next start, unless it hears that all is well. So a lost connection, an app
//! that was killed and a machine that restarted in the middle heal without anybody.
//!
//! A switch belongs to one run: its flag carries the run's id, which is random, so no other run can call it off.

use std::time::Duration;

use crate::network::netplan;
use crate::ports::{Command, MachineServices, RemoteFile};
use crate::problem::{Code, Problem, Retry};
use crate::run::{RunId, StepError};
use crate::step::machines::{exists, failed_on, must};
use crate::step::network::ports::PortsBefore;
use crate::step::services::StepContext;

/// Where the switch lies while it is armed. It survives a restart.
pub(super) const FOLDER: &str = "/var/lib/tandem-network";
/// How a flag begins. An earlier Tandem had this one for all runs.
const ARMED: &str = "armed";
/// After this many minutes a flag is of no use any more. Its run died before it changed anything, or the machine
/// would have put the ports back; and a start of the machine months later must not do it.
const STALE_MINUTES: u32 = 24 * 60;
const SCRIPT: &str = "/var/lib/tandem-network/restore.sh";
const UNIT: &str = "tandem-restore-network.service";
const TIMER: &str = "tandem-restore-network.timer";
pub(super) const UNIT_FILE: &str = "/etc/systemd/system/tandem-restore-network.service";

/// The unit that the timer starts, and the next start of the machine.
pub(super) fn unit() -> String {
    format!(
        "[Unit]\n\
         Description=Put the private link back unless Tandem has confirmed it\n\
         ConditionPathExists={SCRIPT}\n\
         After=network.target NetworkManager.service systemd-networkd.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh {SCRIPT}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// What starts the timer.
pub(super) fn timer(delay: Duration) -> Command {
    let delay = format!("--on-active={}", delay.as_secs());
    let args = [
        "--quiet",
        delay.as_str(),
        "--timer-property=AccuracySec=1s",
        &format!("--unit={UNIT}"),
    ];
    Command::new("systemd-run", args).sudo()
}

/// There as long as nobody confirmed. The machine renames it and the run removes it, so only one of the two can
/// win.
fn flag(run: &RunId) -> String {
    let plain = run.0.chars().filter(char::is_ascii_alphanumeric);
    format!("{ARMED}-{}", plain.collect::<String>())
}

fn path_of(flag: &str) -> String {
    format!("{FOLDER}/{flag}")
}

/// One word of a shell, whatever is in it.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The program that makes the ports as they were. It goes on past what fails, since the next line may
/// still help, and ends by taking itself away.
pub(super) fn script(was: &PortsBefore, run: &RunId) -> String {
    let flag = flag(run);
    let file = match was.file {
        Some(_) => format!(
            "cp before.yaml {0}.tandem && chmod {1:o} {0}.tandem && mv {0}.tandem {0}",
            netplan::FILE,
            was.mode.unwrap_or(0o600)
        ),
        None => format!("rm -f {}", netplan::FILE),
    };
    let ports: String = was
        .ports
        .iter()
        .map(|p| {
            let state = if p.up { "up" } else { "down" };
            let mode = word(p.address_mode.as_deref().unwrap_or("-"));
            let list: String = p
                .addresses
                .iter()
                .map(|a| format!(" {}", word(a)))
                .collect();
            let by = p.profile.as_ref().map_or("-", |_| "profile");
            format!(
                "  port {} {state} {} {mode} {by}{list}\n",
                word(&p.name),
                p.mtu
            )
        })
        .collect();
    let profiles: String = was
        .ports
        .iter()
        .filter_map(|p| Some((word(p.profile.as_ref()?), word(&p.name))))
        .map(|(uuid, name)| format!("nmcli --wait 0 connection up uuid {uuid} ifname {name}\n"))
        .collect();
    format!(
        r#"#!/bin/sh
# Written by Tandem before it addressed the private link. Puts the ports back as they were, unless
# Tandem has confirmed over the network it manages the machine by.
cd {FOLDER} || exit 0
away() {{
  systemctl disable {UNIT}
  rm -rf {FOLDER} {UNIT_FILE}
  systemctl daemon-reload
}}
# So old a flag is of a run that died before it changed anything, and the ports may be others since.
if [ -n "$(find {flag} -mmin +{STALE_MINUTES} 2>/dev/null)" ]; then
  away
  exit 0
fi
mv {flag} restoring 2>/dev/null || [ -e restoring ] || exit 0
{file}
netplan apply
# NetworkManager, where it runs, keeps in memory what netplan made for it.
nmcli connection reload && runs=yes
port() {{
  name=$1 state=$2 mtu=$3 mode=$4 by=$5
  shift 5
  [ -e "/sys/class/net/$name" ] || return 0
  ip link set "$name" mtu "$mtu"
  [ "$mode" = - ] || ip link set "$name" addrgenmode "$mode"
  # It gives and takes the addresses of its own profiles itself.
  if [ "$by $runs" != "profile yes" ]; then
    now=$(ip -o addr show dev "$name" | while read -r _ _ _ address _; do echo "$address"; done)
    for address in $now; do
      case " $* " in *" $address "*) ;; *) ip addr del "$address" dev "$name" ;; esac
    done
    for address in "$@"; do
      case " $(echo $now) " in *" $address "*) ;; *) ip addr replace "$address" dev "$name" ;; esac
    done
  fi
  ip link set "$name" "$state"
}}
# netplan returns while the system still changes ports.
for round in 1 2 3 4 5 6 7 8 9 10; do
{ports}  sleep 0.3
done
{profiles}away
"#
    )
}

async fn put(machine: &MachineServices, path: &str, content: &str) -> Result<(), StepError> {
    let file = RemoteFile {
        path: path.into(),
        content: content.into(),
        mode: 0o600,
        sudo: true,
    };
    let written = machine.shell.write(&file).await;
    written.map_err(failed_on(machine))
}

async fn run(machine: &MachineServices, program: &str, args: &[&str]) -> Result<(), StepError> {
    let command = Command::new(program, args.iter().copied()).sudo();
    let failed = "The machine could not be told how to put the ports back by itself.";
    must(machine, &command, Code::NetworkPlan, failed)
        .await
        .map(drop)
}

/// Tells the machine to put everything back after `delay`, and at its next start.
pub(super) async fn arm(
    machine: &MachineServices,
    run_id: &RunId,
    was: &PortsBefore,
    delay: Duration,
) -> Result<(), StepError> {
    // What an earlier try left must not go off in the middle of this one.
    disarm(machine, run_id).await?;
    if let Some(text) = &was.file {
        put(machine, &format!("{FOLDER}/before.yaml"), text).await?;
    }
    put(machine, SCRIPT, &script(was, run_id)).await?;
    put(machine, UNIT_FILE, &unit()).await?;
    put(machine, &path_of(&flag(run_id)), "").await?;
    run(machine, "chmod", &["644", UNIT_FILE]).await?;
    run(machine, "systemctl", &["--quiet", "enable", UNIT]).await?;
    let failed = "The machine could not be told how to put the ports back by itself.";
    must(machine, &timer(delay), Code::NetworkPlan, failed)
        .await
        .map(drop)
}

/// Tells the machine that all is well; an error if it has put things back already.
pub(super) async fn confirm(machine: &MachineServices, run: &RunId) -> Result<(), StepError> {
    let rm = Command::new("rm", [path_of(&flag(run))]).sudo();
    let said = machine.shell.exec(&rm).await;
    if said.map_err(failed_on(machine))?.ok() {
        return Ok(());
    }
    Err(gone(machine))
}

/// An error if the machine does not wait for a word any more.
pub(super) async fn still_armed(machine: &MachineServices, run: &RunId) -> Result<(), StepError> {
    let armed = exists(machine.shell.as_ref(), &path_of(&flag(run))).await;
    match armed.map_err(failed_on(machine))? {
        true => Ok(()),
        false => Err(gone(machine)),
    }
}

fn gone(machine: &MachineServices) -> StepError {
    Problem::new(Code::LinkFails, "The addresses did not stay.")
        .cause("It took too long until they could be confirmed, so the machine put its ports back by itself.")
        .fix("Check the network between this computer and the machines, then resume.")
        .retry(Retry::Now)
        .on(machine.name.clone())
        .into()
}

/// The flag of another run, if one is there. One of an earlier Tandem belongs to nobody.
async fn foreign(machine: &MachineServices, run: &RunId) -> Result<Option<String>, StepError> {
    let list = Command::new("ls", ["-1", FOLDER]).sudo();
    // Without the folder there is no flag.
    let listed = machine.shell.exec(&list).await;
    let listed = listed.map_err(failed_on(machine))?.text();
    let own = flag(run);
    let beginning = format!("{ARMED}-");
    let mut flags = listed.lines().map(str::trim);
    let other = flags.find(|name| name.starts_with(&beginning) && *name != own);
    Ok(other.map(str::to_owned))
}

/// An error while another run changes the addresses of this machine: its switch is not called off by this one.
/// What a run left that died before it changed anything is taken away, and the step's log says so.
pub(super) async fn alone(cx: &StepContext, machine: &MachineServices) -> Result<(), StepError> {
    let Some(other) = foreign(machine, &cx.run).await? else {
        return Ok(());
    };
    if is_active(machine, &[TIMER, UNIT]).await? {
        return Err(Problem::new(
            Code::Locked,
            "The addresses of the private link were not changed.",
        )
        .cause("Another run of Tandem is changing them, perhaps from another computer.")
        .fix("Wait until it has ended, at most two minutes, then try again.")
        .retry(Retry::Now)
        .on(machine.name.clone())
        .detail(format!("{FOLDER}/{other} is there"))
        .into());
    }
    cx.log(
        Some(&machine.name),
        format!("Taking away {FOLDER}/{other}: its run died before it changed anything."),
    );
    run(machine, "rm", &["-f", &path_of(&other)]).await
}

/// Takes this run's switch away, whether it is armed or not. The flag goes first: without it, nothing that is
/// left does anything. Where another run's is armed, all else stays.
pub(super) async fn disarm(machine: &MachineServices, run_id: &RunId) -> Result<(), StepError> {
    let there = |path: &'static str| async move {
        let found = exists(machine.shell.as_ref(), path).await;
        found.map_err(failed_on(machine))
    };
    if there(FOLDER).await? {
        let own = [path_of(ARMED), path_of(&flag(run_id))];
        run(machine, "rm", &["-f", &own[0], &own[1]]).await?;
        if foreign(machine, run_id).await?.is_some() {
            return Ok(());
        }
        // A timer that is not there is no failure to stop.
        let stop = Command::new("systemctl", ["stop", TIMER]).sudo();
        let stopped = machine.shell.exec(&stop).await;
        stopped.map_err(failed_on(machine))?;
        run(machine, "rm", &["-rf", FOLDER]).await?;
    }
    if there(UNIT_FILE).await? {
        run(machine, "systemctl", &["--quiet", "disable", UNIT]).await?;
        run(machine, "rm", &["-f", UNIT_FILE]).await?;
        run(machine, "systemctl", &["daemon-reload"]).await?;
    }
    Ok(())
}

/// Waits while a machine is about to put back by itself what an earlier try left, since what one sees
/// until then is neither here nor there.
pub(super) async fn wait_healed(
    cx: &StepContext,
    machine: &MachineServices,
    delay: Duration,
) -> Result<(), StepError> {
    let began = cx.clock.monotonic();
    let mut told = false;
    while is_active(machine, &[TIMER, UNIT]).await? {
        if cx.clock.monotonic() - began > delay + Duration::from_secs(30) {
            return Err(Problem::new(
                Code::NetworkPlan,
                "The machine is still changing its network.",
            )
            .cause(format!("`{UNIT}` has not put its ports back yet."))
            .fix("Wait a minute, then try again.")
            .retry(Retry::Now)
            .on(machine.name.clone())
            .into());
        }
        if !told {
            told = true;
            cx.log(
                Some(&machine.name),
                "An earlier try was never confirmed. Waiting until the machine has put its ports back by itself.",
            );
        }
        cx.unless_cancelled(async {
            cx.clock.wait(Duration::from_millis(500)).await;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Waits while the machine is in the middle of putting things back, so that two do not do it at once.
pub(super) async fn let_end(cx: &StepContext, machine: &MachineServices) -> Result<(), StepError> {
    // It takes some seconds; one that hangs is not waited for.
    for _ in 0..60 {
        if !is_active(machine, &[UNIT]).await? {
            break;
        }
        cx.clock.wait(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Whether one of these units runs, or the timer is set.
async fn is_active(machine: &MachineServices, units: &[&str]) -> Result<bool, StepError> {
    let found = exists(machine.shell.as_ref(), FOLDER).await;
    if !found.map_err(failed_on(machine))? {
        return Ok(false);
    }
    let ask = Command::new("systemctl", ["is-active"].iter().chain(units).copied());
    let said = machine.shell.exec(&ask).await;
    let said = said.map_err(failed_on(machine))?.text();
    Ok(said
        .lines()
        .any(|l| matches!(l.trim(), "active" | "activating" | "deactivating")))
}
