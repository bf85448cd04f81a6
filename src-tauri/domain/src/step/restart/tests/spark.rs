//! A machine that goes down when it is told to, and a plan for two of them.

use std::sync::{Arc, Mutex};

use crate::machine::{Facts, Interface};
use crate::network::{NetworkPlan, Rail, RailEnd};
use crate::ports::{Command, MachineError};
use crate::step::doubles::Commanded;

const PORTS_OF: [&str; 2] = ["enp1s0f1np1", "enP2p1s0f1np1"];

/// A machine that goes down when it is told to and comes up after it was asked some times.
pub(super) struct Spark {
    own: u8,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Which start it is in.
    pub(super) boot: u32,
    /// How often it was told to restart.
    pub(super) orders: u32,
    /// How often it still says nothing.
    pub(super) silent: u32,
    /// How often it still answers after it was told.
    pub(super) ending: u32,
    /// Whether it answers at all after that.
    pub(super) dead: bool,
    /// Whether the user may not become root.
    pub(super) forbidden: bool,
    /// Whether the adapter is gone.
    pub(super) adapter_gone: bool,
}

impl Spark {
    pub(super) fn new(own: u8) -> Arc<Self> {
        Arc::new(Self {
            own,
            state: Mutex::default(),
        })
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    pub(super) fn orders(&self) -> u32 {
        self.state.lock().unwrap().orders
    }

    pub(super) fn facts(&self, adapter_gone: bool) -> Facts {
        let port = |(i, name): (u8, &str)| Interface {
            name: name.into(),
            port: Some("p1".into()),
            fabric: true,
            up: true,
            carrier: true,
            speed: Some(200_000),
            rdma: Some(format!("roce{i}")),
            rdma_state: Some("ACTIVE".into()),
            ipv4: vec![format!("192.168.{}.{}/24", 100 + i, self.own)],
            mtu: 9000,
            ..Interface::default()
        };
        let interfaces = (0..).zip(PORTS_OF).map(port).collect();
        Facts {
            hostname: format!("spark-{}", self.own),
            machine_id: format!("{}", self.own),
            hotplug: true,
            interfaces: if adapter_gone { Vec::new() } else { interfaces },
            ..Facts::default()
        }
    }
}

pub(super) fn unreachable() -> MachineError {
    MachineError::Unreachable {
        address: "10.0.0.1".into(),
        detail: "refused".into(),
    }
}

impl Commanded for Spark {
    fn run(&self, command: &Command) -> Result<String, MachineError> {
        let mut state = self.state.lock().unwrap();
        if state.ending > 0 {
            state.ending -= 1;
            if state.ending == 0 {
                state.silent = 3;
            }
        } else if state.dead || state.silent > 0 {
            state.silent = state.silent.saturating_sub(1);
            if state.silent == 0 && !state.dead {
                state.boot += 1;
            }
            return Err(unreachable());
        }
        if command.sudo && state.forbidden {
            return Err(MachineError::SudoRefused {
                detail: "not in the sudoers file".into(),
            });
        }
        let line = format!("{} {}", command.program, command.args.join(" "));
        let said = match line.as_str() {
            "cat /proc/sys/kernel/random/boot_id" => format!("boot-{}\n", state.boot),
            "systemctl is-system-running" if state.ending > 0 => "stopping\n".into(),
            "systemctl is-system-running" => "running\n".into(),
            "systemctl reboot --no-block" => {
                assert!(command.sudo, "only root may");
                state.orders += 1;
                state.ending = 3;
                String::new()
            }
            "true " => String::new(),
            "~/.local/share/tandem/tandem-node facts" => {
                serde_json::to_string(&self.facts(state.adapter_gone)).unwrap()
            }
            other => panic!("{other} is not asked"),
        };
        Ok(said)
    }
}

pub(super) fn plan() -> NetworkPlan {
    let rail = |(i, name): (u8, &str)| Rail {
        prefix: 24,
        ends: [10, 11]
            .map(|own| RailEnd {
                interface: name.into(),
                address: format!("192.168.{}.{own}", 100 + i),
                rdma: None,
            })
            .to_vec(),
    };
    NetworkPlan {
        rails: (0..).zip(PORTS_OF).map(rail).collect(),
        mtu: 9000,
        adopted: None,
    }
}
