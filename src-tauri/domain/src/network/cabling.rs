//! What the ports of the machines show, and what to do about the cable next.

use serde::{Deserialize, Serialize};

use crate::machine::{Facts, Interface};

mod joined;
#[cfg(test)]
mod tests;
mod view;

/// The rear panels as they are, with one sentence on what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Cabling {
    /// The state as a whole.
    pub state: CableState,
    /// What is seen, in one sentence.
    pub seen: String,
    /// What to do next, in one sentence. Empty when nothing is to do.
    pub next: String,
    /// In the order of the machines.
    pub panels: Vec<Panel>,
}

/// What the cable is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum CableState {
    /// One cable, both rails, 200 Gb/s, in the same port of both.
    Good,
    /// As good, in different ports.
    DifferentPorts,
    /// Two cables; the second adds next to nothing.
    TwoCables,
    /// No port of any machine has a link; the adapter may be switched off.
    NoCable,
    /// Only one machine sees a plug.
    OneEnd,
    /// Only one of the twins is up on a machine.
    OneRail,
    /// A link slower than 200 Gb/s.
    Slow,
    /// The adapter is still missing after a restart with the cable in.
    AdapterMissing,
    /// More than two machines, in a ring or at a switch, which Tandem does not set up.
    NotAPair,
}

/// The ports of one machine, the one beside the RJ45 jack first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Panel {
    /// The machine's host name.
    pub machine: String,
    /// Whether the adapter is on at all.
    pub powered: bool,
    /// `p0` and `p1`.
    pub ports: Vec<PanelPort>,
    /// Whether the RJ45 jack has a link.
    pub management: bool,
}

/// One QSFP port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct PanelPort {
    /// `p0` or `p1`.
    pub port: String,
    /// Whether either twin has a carrier.
    pub plugged: bool,
    /// The two interfaces that reach it.
    pub twins: Vec<Twin>,
}

/// One of the two interfaces of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Twin {
    /// For example `enp1s0f1np1`.
    pub interface: String,
    /// Whether it has a carrier.
    pub carrier: bool,
    /// Mb/s.
    pub speed: Option<u32>,
    /// Whether its RDMA device is active.
    pub rdma: bool,
}

/// Cables that NVIDIA approved.
const CABLES: &str =
    "an approved 200G cable (Amphenol NJAAKK-N911 or NJAAKK0006, Luxshare LMTQF022-SD-R)";

/// Says what the ports show. `None` without a machine.
///
/// Cables are counted by ports and never by interfaces, since each port has two. An adapter that is not
/// there at all is switched off for want of a cable, which is no fault.
pub fn cabling(machines: &[&Facts]) -> Option<Cabling> {
    let (state, seen, next) = match machines {
        [] => return None,
        [only] => alone(only),
        [a, b] => two(a, b),
        more => (
            CableState::NotAPair,
            format!("{} machines are here.", more.len()),
            "Tandem sets up two machines joined by one cable, no rings and no switches; remove the others \
             from the list."
                .to_owned(),
        ),
    };
    Some(Cabling {
        state,
        seen,
        next,
        panels: machines.iter().map(|facts| view::panel(facts)).collect(),
    })
}

/// The same after a restart of the machines with the cable in. An adapter that is not there even then is
/// not asleep.
pub fn cabling_after_restart(machines: &[&Facts]) -> Option<Cabling> {
    let cabling = cabling(machines)?;
    let missing: Vec<&str> = cabling
        .panels
        .iter()
        .filter(|p| !p.powered)
        .map(|p| p.machine.as_str())
        .collect();
    if missing.is_empty() {
        return Some(cabling);
    }
    let seen = format!(
        "The adapter of {} is missing even after a restart.",
        names(&missing)
    );
    Some(Cabling {
        state: CableState::AdapterMissing,
        seen,
        next: format!(
            "If the cable was in both machines while they started: install {}, unplug the power for a minute, \
             and ask the maker for help if that changes nothing.",
            if machines.iter().all(|m| m.runs_dgx_os()) {
                "DGX OS's updates"
            } else {
                "the adapter's firmware and driver anew"
            }
        ),
        ..cabling
    })
}

type CableWords = (CableState, String, String);

/// The ports of a machine that have a link, with their linked twins, the port with the most first.
fn linked(facts: &Facts) -> Vec<(&str, Vec<&Interface>)> {
    let mut ports: Vec<(&str, Vec<&Interface>)> = Vec::new();
    for interface in facts.cabled() {
        let Some(port) = interface.port.as_deref() else {
            continue;
        };
        match ports.iter_mut().find(|(p, _)| *p == port) {
            Some((_, twins)) => twins.push(interface),
            None => ports.push((port, vec![interface])),
        }
    }
    ports.sort_by_key(|(_, twins)| std::cmp::Reverse(twins.len()));
    ports
}

fn alone(facts: &Facts) -> CableWords {
    let name = &facts.hostname;
    let ports = linked(facts);
    let next = "Add the other Spark, so that Tandem can look at its end of the cable.".to_owned();
    match ports.first() {
        Some((port, _)) => (
            CableState::OneEnd,
            format!("`{name}` has a link in {}.", place(port)),
            next,
        ),
        None if plug_felt(facts) => (
            CableState::OneEnd,
            format!("`{name}` feels a plug, but has no link yet."),
            next,
        ),
        None => (
            CableState::NoCable,
            format!("`{name}` sees no cable yet."),
            next,
        ),
    }
}

fn two(a: &Facts, b: &Facts) -> CableWords {
    let (ports_a, ports_b) = (linked(a), linked(b));
    match (ports_a.as_slice(), ports_b.as_slice()) {
        ([], []) => no_link(a, b),
        ([_, ..], []) => one_end(a, b, &ports_a),
        ([], [_, ..]) => one_end(b, a, &ports_b),
        (on_a, on_b) if on_a.len() != on_b.len() => {
            let (many, few) = if on_a.len() > on_b.len() {
                (a, b)
            } else {
                (b, a)
            };
            (
                CableState::NotAPair,
                format!(
                    "`{}` has a link in both ports, `{}` in one: a second cable leads to something else.",
                    many.hostname, few.hostname
                ),
                format!(
                    "Unplug the cable of `{}` that does not lead to `{}`; Tandem sets up two machines \
                     joined by one cable, no rings and no switches.",
                    many.hostname, few.hostname
                ),
            )
        }
        ([best_a, rest_a @ ..], [best_b, ..]) => {
            joined::words((a, best_a), (b, best_b), !rest_a.is_empty())
        }
    }
}

/// Neither has a link.
fn no_link(a: &Facts, b: &Facts) -> CableWords {
    let off: Vec<&str> = [a, b]
        .into_iter()
        .flat_map(|f| &f.interfaces)
        .filter(|i| i.fabric && !i.up)
        .map(|i| i.name.as_str())
        .collect();
    let all_off = |f: &Facts| {
        let mut fabric = f.interfaces.iter().filter(|i| i.fabric).peekable();
        // A machine that says of no interface that it is on does not say it at all.
        let says = f.interfaces.iter().any(|i| i.up);
        says && fabric.peek().is_some() && fabric.all(|i| !i.up)
    };
    match (plug_felt(a), plug_felt(b)) {
        (true, false) if !view::powered(b) => return half_plugged(a, b),
        (false, true) if !view::powered(a) => return half_plugged(b, a),
        _ => {}
    }
    let switched_off = all_off(a) || all_off(b);
    let seen = if plug_felt(a) && plug_felt(b) {
        "Both machines feel a plug, but there is no link between them."
    } else if switched_off {
        "No link: the ports are switched off in the system's settings."
    } else if !view::powered(a) || !view::powered(b) {
        "No cable is seen yet; the adapter sleeps until there is one, which is no fault."
    } else {
        "No cable is seen yet: no port has a link."
    };
    let next = if switched_off && !(plug_felt(a) && plug_felt(b)) {
        format!(
            "Switch the ports on, for instance with `sudo ip link set {} up`, and look again.",
            off.first().copied().unwrap_or("enp1s0f1np1")
        )
    } else if plug_felt(a) && plug_felt(b) {
        format!("Push both plugs in until they click, and use {CABLES}.")
    } else {
        "Plug the cable into the port farthest from the RJ45 jack on both machines; seeing it takes up to a \
         minute."
            .to_owned()
    };
    (CableState::NoCable, seen.to_owned(), next)
}

fn half_plugged(sees: &Facts, blind: &Facts) -> CableWords {
    (
        CableState::OneEnd,
        format!(
            "`{}` feels a plug, `{}` does not.",
            sees.hostname, blind.hostname
        ),
        format!(
            "Plug the other end into `{}` and push until it clicks; seeing it takes up to a minute.",
            blind.hostname
        ),
    )
}

fn one_end(sees: &Facts, blind: &Facts, ports: &[(&str, Vec<&Interface>)]) -> CableWords {
    let port = ports.first().map_or("p1", |(port, _)| port);
    (
        CableState::OneEnd,
        format!(
            "`{}` has a link in {}, `{}` sees no cable.",
            sees.hostname,
            place(port),
            blind.hostname
        ),
        format!(
            "Plug the other end into {} of `{}`, not into another machine or a switch; seeing it takes up \
             to a minute.",
            place(port),
            blind.hostname
        ),
    )
}

/// Whether the adapter is awake for want of nothing but a link: where DGX OS switches it off without a
/// cable, one that is on feels a plug.
fn plug_felt(facts: &Facts) -> bool {
    facts.hotplug && view::powered(facts)
}

/// A port as a person finds it.
fn place(port: &str) -> String {
    match port {
        "p0" => "the port beside the RJ45 jack".to_owned(),
        "p1" => "the port farthest from the RJ45 jack".to_owned(),
        other => format!("port {other}"),
    }
}

fn names(machines: &[&str]) -> String {
    let all: Vec<String> = machines.iter().map(|m| format!("`{m}`")).collect();
    all.join(" and ")
}
