//! A run as a text for a forum post: what was planned, what happened, on what. Without addresses,
//! user names or serial numbers.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::RunDetail;
use crate::machine::Facts;
use crate::problem::bytes;
use crate::run::{Event, RunState};

/// Writes the report. `facts` are those of the machines; `version` is Tandem's.
pub fn text(detail: &RunDetail, facts: &[Facts], version: &str) -> String {
    let mut out = format!("Tandem {version} · {}\n", detail.plan.summary);
    for (i, f) in facts.iter().enumerate() {
        let _ = writeln!(
            out,
            "machine {}: {} · {} · kernel {} · driver {} · {} memory · {} free disk{}",
            i + 1,
            f.product.as_deref().unwrap_or("no DGX release file"),
            f.dgx_os.as_deref().unwrap_or(&f.os),
            f.kernel,
            f.driver.as_deref().unwrap_or("unknown"),
            bytes(f.memory_total),
            bytes(f.disk_free),
            if f.simulated { " · simulated" } else { "" }
        );
    }
    let state = RunState::fold(&detail.events);
    for step in &detail.plan.steps {
        let of_step = state.step(&step.id);
        let _ = writeln!(out, "\n[{:?}] {}", of_step.status, step.title);
        if let Some(summary) = &of_step.summary {
            let _ = writeln!(out, "  {summary}");
        }
        if let Some(problem) = &of_step.problem {
            let _ = writeln!(out, "  {}", problem.to_string().replace('\n', "\n  "));
            for line in &problem.details {
                let _ = writeln!(out, "  | {line}");
            }
        }
    }
    let retries = detail
        .events
        .iter()
        .filter(|e| matches!(e.event, Event::Resumed))
        .count();
    for odd in &state.odd {
        let _ = writeln!(out, "\nodd: {odd}");
    }
    let _ = writeln!(
        out,
        "\noutcome: {:?} · {} events · taken up again {retries} times",
        detail.summary.outcome,
        detail.events.len()
    );
    masked(&out, facts)
}

/// Hides addresses, users and host names.
fn masked(text: &str, facts: &[Facts]) -> String {
    let mut text = text.to_owned();
    for (i, f) in facts.iter().enumerate() {
        for (name, mask) in [
            (&f.hostname, format!("machine-{}", i + 1)),
            (&f.user, "user".to_owned()),
        ] {
            if name.len() > 2 {
                text = text.replace(name.as_str(), &mask);
            }
        }
    }
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if is_part(c) {
            word.push(c);
            continue;
        }
        let bare = word.trim_end_matches(['.', ':']);
        let port_apart = bare.split_once(':').map_or(bare, |(host, _)| host);
        if bare.parse::<IpAddr>().is_ok()
            || (port_apart.contains('.') && port_apart.parse::<IpAddr>().is_ok())
        {
            out.push_str("(address)");
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::masked;
    use crate::machine::Facts;

    #[test]
    fn addresses_and_names_are_hidden() {
        let facts = Facts {
            hostname: "spark-1a2b".into(),
            user: "anna".into(),
            ..Facts::default()
        };
        assert_eq!(
            masked(
                "anna@spark-1a2b: no answer from 192.168.1.7:22, fe80::1 at 10.25 s.",
                &[facts]
            ),
            "user@machine-1: no answer from (address), (address) at 10.25 s."
        );
    }
}
