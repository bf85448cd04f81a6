//! What is said where both machines have a link.

use super::{CABLES, CableState, CableWords, place};
use crate::machine::{Facts, Interface};

/// Mb/s of each twin with a cable that carries all a Spark can send.
const FULL_SPEED: u32 = 200_000;

/// A machine, and the port whose link counts with its linked twins.
type End<'a> = (&'a Facts, &'a (&'a str, Vec<&'a Interface>));

/// Both machines have a link; `second` where they have another one in the other port.
pub(super) fn words(a: End<'_>, b: End<'_>, second: bool) -> CableWords {
    let ends = [a, b];
    if let Some((facts, (port, twins))) = ends.iter().find(|(_, (_, twins))| twins.len() < 2) {
        return one_rail(facts, port, twins);
    }
    let slowest = ends
        .iter()
        .flat_map(|(_, (_, twins))| twins.iter().filter_map(|i| i.speed))
        .min();
    if let Some(speed) = slowest.filter(|s| *s < FULL_SPEED) {
        let gigabits = speed / 1000;
        return (
            CableState::Slow,
            format!("The link runs at {gigabits} Gb/s instead of 200."),
            if speed == 100_000 {
                format!("This is a 100G cable; it works at half speed. For all of it use {CABLES}.")
            } else {
                format!("Push both plugs in until they click; if it stays so, use {CABLES}.")
            },
        );
    }
    let (port_a, port_b) = (a.1.0, b.1.0);
    let met = met(a, b);
    if let Met::Other { facts, mac } = met {
        let other = if facts.hostname == a.0.hostname {
            b.0
        } else {
            a.0
        };
        return (
            CableState::NotAPair,
            format!(
                "The cable of `{}` leads to another device (MAC address {mac}), not to `{}`.",
                facts.hostname, other.hostname
            ),
            format!(
                "Join `{}` and `{}` by one cable; Tandem sets up no rings and no switches.",
                facts.hostname, other.hostname
            ),
        );
    }
    if second {
        return (
            CableState::TwoCables,
            "Both ports of both machines have a link, at full speed.".to_owned(),
            "If both lead from one machine to the other, nothing must be done: the second adds about 5 % and \
             Tandem uses one. Unplug one that leads to a third machine or a switch; Tandem sets up no rings \
             and no switches."
                .to_owned(),
        );
    }
    if port_a != port_b {
        return (
            CableState::DifferentPorts,
            match met {
                Met::EachOther => format!(
                    "One cable joins {} of `{}` with {} of `{}`, at full speed.",
                    place(port_a),
                    a.0.hostname,
                    place(port_b),
                    b.0.hostname
                ),
                _ => format!(
                    "`{}` has a link in {}, `{}` in {}, both at full speed.",
                    a.0.hostname,
                    place(port_a),
                    b.0.hostname,
                    place(port_b)
                ),
            },
            "Nothing must be done; NVIDIA advises the same port on both, and other guides expect it."
                .to_owned(),
        );
    }
    (
        CableState::Good,
        match met {
            Met::EachOther => format!(
                "One cable joins the machines in {}, at full speed on both rails.",
                place(port_a)
            ),
            _ => format!(
                "Both machines have a link in {}, at full speed on both rails.",
                place(port_a)
            ),
        },
        String::new(),
    )
}

/// What the kernels have met on the cable.
enum Met<'a> {
    /// One has met an interface of the other.
    EachOther,
    /// One has met something, and nothing of the other.
    Other {
        /// Who has met it.
        facts: &'a Facts,
        /// What was met.
        mac: &'a str,
    },
    /// Nothing has crossed the cable yet.
    Nobody,
}

/// Two links that are up need not be the two ends of one cable. A packet that crossed tells it.
fn met<'a>(a: End<'a>, b: End<'a>) -> Met<'a> {
    let on = |end: End<'a>| end.1.1.iter().flat_map(|i| &i.neighbours);
    let has = |facts: &Facts, mac: &str| {
        let mut fabric = facts.interfaces.iter().filter(|i| i.fabric);
        fabric.any(|i| i.mac.eq_ignore_ascii_case(mac))
    };
    let pairs = [(a, b), (b, a)];
    if pairs.iter().any(|(x, y)| on(*x).any(|mac| has(y.0, mac))) {
        return Met::EachOther;
    }
    let stranger = pairs.iter().find_map(|(x, _)| {
        Some(Met::Other {
            facts: x.0,
            mac: on(*x).next()?,
        })
    });
    stranger.unwrap_or(Met::Nobody)
}

fn one_rail(facts: &Facts, port: &str, twins: &[&Interface]) -> CableWords {
    let name = &facts.hostname;
    let up = twins.first().map_or("", |i| i.name.as_str());
    let silent = facts
        .interfaces
        .iter()
        .find(|i| i.fabric && i.port.as_deref() == Some(port) && !i.carrier);
    let seen = match silent {
        Some(twin) => format!(
            "On `{name}` only `{up}` has a link; its twin `{}` has none, so half the cable is unused.",
            twin.name
        ),
        None => format!(
            "On `{name}` only `{up}` is there; its twin is missing, so half the cable is unused."
        ),
    };
    let next = match silent {
        Some(twin) if !twin.up && twins.iter().any(|i| i.up) => format!(
            "Switch the twin on with `sudo ip link set {} up` on `{name}`, and look again.",
            twin.name
        ),
        Some(_) => format!(
            "Pull the plug of `{name}`, push it in until it clicks, and use {CABLES}; then restart both \
             machines with the cable in."
        ),
        None => format!(
            "Shut `{name}` down, unplug its power for a minute and start it with the cable in."
        ),
    };
    (CableState::OneRail, seen, next)
}
