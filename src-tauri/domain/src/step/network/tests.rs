//! In which order the step says what to machines whose NetworkManager holds on to a port, and what the
//! plan tells before anything happens. The lab shows the same with a real NetworkManager.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::network::{Rail, RailEnd};
use crate::ports::{Command, Machine, MachineError, Output, RemoteFile};
use crate::run::{Outcome, RunId, RunOutcome};
use crate::step::doubles::{self, TestRun};
use crate::step::network::ports::Port;
use crate::step::services::Driver;

const PORT: &str = "enp1s0f1np1";
const AUTOMATIC: &str = "604acd0a-e284-35c1-9e37-9179391e3687";
const NETPLANS: &str = "11111111-2222-3333-4444-555555555555";

/// A machine with one port under NetworkManager, whose profile gives way only when it is told to.
struct Managed {
    own: &'static str,
    state: Mutex<State>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    active: String,
    /// Whether NetworkManager knows the profile that netplan made for the port. It goes on knowing it
    /// after the file is gone, until it is told to read its profiles again.
    knows_netplans: bool,
    mtu: u64,
    addresses: Vec<String>,
    said: Vec<String>,
    /// Whether a timer is set.
    waits: bool,
}

impl Managed {
    fn new(own: &'static str) -> Arc<Self> {
        Arc::new(Self {
            own,
            state: Mutex::new(State {
                files: BTreeMap::new(),
                active: AUTOMATIC.into(),
                knows_netplans: false,
                mtu: 1500,
                addresses: vec![],
                said: vec![],
                waits: false,
            }),
        })
    }

    fn answer(&self, command: &Command) -> (i32, String) {
        let mut state = self.state.lock().unwrap();
        let line = format!("{} {}", command.program, command.args.join(" "));
        state.said.push(line.clone());
        let words: Vec<&str> = line.split_whitespace().collect();
        let planned = state.files.contains_key(netplan::FILE);
        match words.as_slice() {
            ["ip", "-j", ..] => {
                let addresses: Vec<_> = state
                    .addresses
                    .iter()
                    .map(|a| json!({"family": "inet", "local": a, "prefixlen": 24}))
                    .collect();
                let link = json!([{
                    "ifname": PORT, "flags": ["UP"], "mtu": state.mtu,
                    "address": "4c:bb:47:00:00:01", "addr_info": addresses,
                }]);
                return (0, link.to_string());
            }
            ["ip", "link", "set", _, "mtu", mtu] => state.mtu = mtu.parse().unwrap(),
            ["ip", "addr", "del", ..] => {
                // NetworkManager takes it away at the same moment and is quicker.
                state.addresses.clear();
                return (2, "Error: ipv4: Address not found.\n".into());
            }
            ["cat", ..] => return (0, "0\n".into()),
            ["mktemp", ..] => return (0, "/tmp/tandem-netplan.Scratch001\n".into()),
            ["stat", ..] => return (i32::from(!planned), "600\n".into()),
            ["test", "-e", path] => {
                let there = state.files.keys().any(|f| f.starts_with(path));
                return (i32::from(!there), String::new());
            }
            ["ls", "-1", folder] => {
                let names = state.files.keys().filter_map(|f| f.strip_prefix(folder));
                let names: Vec<&str> = names.map(|n| n.trim_start_matches('/')).collect();
                return (0, names.join("\n"));
            }
            ["rm", paths @ ..] => {
                let before = state.files.len();
                let goes = |f: &str, path: &str| {
                    f == path
                        || f.strip_prefix(path)
                            .is_some_and(|rest| rest.starts_with('/'))
                };
                state
                    .files
                    .retain(|f, _| !paths.iter().any(|path| goes(f, path)));
                let lacking = before == state.files.len() && !line.contains(" -");
                return (i32::from(lacking), String::new());
            }
            ["netplan", "apply"] => state.knows_netplans |= planned,
            ["nmcli", "connection", "reload"] => {
                state.knows_netplans = planned;
                if !planned && state.active == NETPLANS {
                    state.active.clear();
                }
            }
            ["nmcli", "-g", "GENERAL.CON-UUID", "device", "show", PORT] => {
                return (0, format!("{}\n", state.active));
            }
            ["nmcli", "connection", "down", "uuid", uuid] => {
                assert!(
                    planned && *uuid == state.active,
                    "what holds the port lets go: {line}"
                );
                state.active = NETPLANS.into();
                state.mtu = 9000;
                state.addresses = vec![self.own.into()];
            }
            [
                "nmcli",
                "--wait",
                "0",
                "connection",
                "up",
                "uuid",
                uuid,
                "ifname",
                PORT,
            ] => {
                state.active = (*uuid).into();
            }
            ["nmcli", ..] => panic!("not this one: {line}"),
            ["systemctl", "is-active", ..] if state.waits => return (0, "active\n".into()),
            ["systemctl", "is-active", ..] => return (3, "inactive\n".into()),
            _ => {}
        }
        (0, String::new())
    }
}

#[async_trait]
impl Machine for Managed {
    fn name(&self) -> &str {
        "spark"
    }
    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        let (status, said) = self.answer(command);
        Ok(Output {
            status,
            stdout: said.into_bytes(),
            stderr: vec![],
        })
    }
    async fn lines(
        &self,
        command: &Command,
        _: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        self.exec(command).await
    }
    async fn read(&self, path: &str, _: bool) -> Result<Option<Vec<u8>>, MachineError> {
        Ok(self.state.lock().unwrap().files.get(path).cloned())
    }
    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
        let mut state = self.state.lock().unwrap();
        state.files.insert(file.path.clone(), file.content.clone());
        Ok(())
    }
    async fn upload(
        &self,
        _: &Path,
        path: &str,
        _: u32,
        _: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        panic!("nothing is sent: {path}")
    }
    async fn reconnect(&self) {
        self.state.lock().unwrap().said.push("reconnect".into());
    }
}

fn plan() -> NetworkPlan {
    let end = |address: &str| RailEnd {
        interface: PORT.into(),
        address: address.into(),
        rdma: None,
    };
    NetworkPlan {
        rails: vec![Rail {
            prefix: 24,
            ends: vec![end("192.168.100.10"), end("192.168.100.11")],
        }],
        mtu: 9000,
        adopted: None,
    }
}

fn step() -> AddressLink {
    AddressLink::new(plan(), vec!["left".into(), "right".into()])
}

fn driver(machines: &[Arc<Managed>], run: &TestRun) -> Driver {
    let machine = |m: &Arc<Managed>| doubles::machine("spark", m.clone(), &Arc::default());
    run.driver(
        vec![Arc::new(step())],
        machines.iter().map(machine).collect(),
    )
}

#[tokio::test]
async fn a_profile_of_network_manager_lets_go_by_device_and_comes_back() {
    let machines = [
        Managed::new("192.168.100.10"),
        Managed::new("192.168.100.11"),
    ];
    let run = TestRun::default();
    let done = driver(&machines, &run).go().await;
    assert_eq!(done, Outcome::Finished(RunOutcome::Completed));
    for machine in &machines {
        let state = machine.state.lock().unwrap();
        assert_eq!(state.active, NETPLANS, "netplan's profile has the port");
        let at = |what: &str| {
            state
                .said
                .iter()
                .position(|s| s.contains(what))
                .unwrap_or_else(|| panic!("{what}: {:#?}", state.said))
        };
        assert!(
            at("--root-dir") < at("systemd-run"),
            "tried out before anything is armed"
        );
        assert!(
            at("systemd-run") < at("netplan apply"),
            "armed before anything changes"
        );
        assert!(
            at("netplan apply") < at("reconnect"),
            "confirmed over a new connection"
        );
        assert!(
            at("reconnect") < at("rm /var/lib/tandem-network/armed"),
            "and only then"
        );
        assert_eq!(
            state.files.keys().collect::<Vec<_>>(),
            ["/etc/netplan/90-tandem.yaml"],
            "nothing of the switch or the scratch folder is left"
        );
    }
    let undone = driver(&machines, &run).undo().await;
    assert_eq!(undone, Outcome::Finished(RunOutcome::Undone));
    for machine in &machines {
        let state = machine.state.lock().unwrap();
        assert_eq!(
            state.active, AUTOMATIC,
            "the automatic profile is active again"
        );
        assert!(
            !state.knows_netplans,
            "nothing can bring the addresses back"
        );
        assert_eq!((state.mtu, state.addresses.len()), (1500, 0));
        assert!(!state.files.contains_key(netplan::FILE));
    }
}

#[test]
fn the_plan_shows_every_file_and_command_of_each_machine() {
    let plan = step().plan();
    let text = plan.exactly.join("\n");
    for (name, address) in [
        ("left", "192.168.100.10/24"),
        ("right", "192.168.100.11/24"),
    ] {
        let file = format!("{name}: /etc/netplan/90-tandem.yaml");
        let of_machine = plan
            .exactly
            .iter()
            .find(|e| e.starts_with(&file))
            .expect("its file");
        assert!(of_machine.contains(address), "{of_machine}");
        assert!(plan.undo.contains(&format!("On {name}:")), "{}", plan.undo);
    }
    for command in [
        "netplan generate --root-dir",
        "--on-active=90",
        "netplan apply",
        "nmcli connection down uuid",
        "rm /var/lib/tandem-network/armed",
    ] {
        assert_eq!(
            text.matches(command).count(),
            2,
            "`{command}`, once a machine"
        );
    }
}

#[test]
fn the_switch_puts_back_what_was_there() {
    let was = PortsBefore {
        file: Some("network: {}\n".into()),
        mode: Some(0o640),
        ports: vec![Port {
            name: PORT.into(),
            up: false,
            mtu: 1500,
            addresses: vec!["169.254.7.8/16".into()],
            address_mode: Some("eui64".into()),
            profile: Some(AUTOMATIC.into()),
            mac: String::new(),
        }],
    };
    let run = RunId("0123abcd".into());
    let script = switch::script(&was, &run);
    assert!(
        script.contains("port enp1s0f1np1 down 1500 eui64 profile 169.254.7.8/16\n"),
        "{script}"
    );
    assert!(script.contains("chmod 640"), "{script}");
    let profile = format!("nmcli --wait 0 connection up uuid {AUTOMATIC} ifname {PORT}\n");
    assert!(script.contains(&profile), "{script}");
    assert!(
        script.contains("netplan apply\n") && script.contains("nmcli connection reload &&"),
        "{script}"
    );
    let none = PortsBefore { file: None, ..was };
    assert!(switch::script(&none, &run).contains("rm -f /etc/netplan/90-tandem.yaml\n"));
}

/// The flag of another run on a machine.
const FOREIGN: &str = "/var/lib/tandem-network/armed-ffff";

#[tokio::test]
async fn the_switch_of_another_run_is_never_called_off() {
    let machines = [
        Managed::new("192.168.100.10"),
        Managed::new("192.168.100.11"),
    ];
    let run = TestRun::default();
    let cx = driver(&machines, &run);
    {
        let mut state = machines[1].state.lock().unwrap();
        state.files.insert(FOREIGN.into(), Vec::new());
        state.waits = true;
    }
    // What waits there is waited for by the check; here the other run came after it.
    let services: Vec<_> = cx.machines.clone();
    let other = RunId("eeee".into());
    switch::disarm(&services[1], &other).await.unwrap();
    let kept = |m: &Managed| m.state.lock().unwrap().files.contains_key(FOREIGN);
    assert!(kept(&machines[1]), "it is not its own");
    assert_eq!(cx.go().await, Outcome::Finished(RunOutcome::Failed));
    assert!(kept(&machines[1]));
    let changed = |m: &Managed| m.state.lock().unwrap().files.contains_key(netplan::FILE);
    assert!(!machines.iter().any(|m| changed(m)), "nothing was changed");
    // Without a timer its run died before it changed anything.
    machines[1].state.lock().unwrap().waits = false;
    assert_eq!(
        driver(&machines, &run).go().await,
        Outcome::Finished(RunOutcome::Completed)
    );
    assert!(!kept(&machines[1]));
}

#[tokio::test]
async fn what_was_made_of_the_addresses_since_is_not_overwritten() {
    let machines = [
        Managed::new("192.168.100.10"),
        Managed::new("192.168.100.11"),
    ];
    let run = TestRun::default();
    let done = driver(&machines, &run).go().await;
    assert_eq!(done, Outcome::Finished(RunOutcome::Completed));
    let others = b"network: {version: 2}\n".to_vec();
    let write = |content: Option<Vec<u8>>| {
        let mut state = machines[0].state.lock().unwrap();
        match content {
            Some(content) => state.files.insert(netplan::FILE.into(), content),
            None => state.files.remove(netplan::FILE),
        }
    };
    write(Some(others.clone()));
    let undone = driver(&machines, &run).undo().await;
    assert_eq!(undone, Outcome::Finished(RunOutcome::NeedsAttention));
    assert_eq!(write(None), Some(others), "it is as somebody made it");
    let undone = driver(&machines, &run).undo().await;
    assert_eq!(undone, Outcome::Finished(RunOutcome::Undone));
}
