//! Why the two containers did not exchange anything. How far each came is the surest sign, for a hung
//! collective says nothing.

use super::{LIMIT_SECONDS, MEET_SECONDS};
use crate::engine::causes::{self, CauseId};
use crate::network::NetworkPlan;
use crate::network::verdict::all_reduce::{AllReduce, AllReduceLog};
use crate::problem::{Code, Problem, Retry};
use crate::step::services::StepContext;

const MESSAGE: &str = "No all-reduce came through between the two containers.";
/// Last lines of each log that go into the details.
const LAST: usize = 3;

/// Why both containers are not waited for any longer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stop {
    /// Both ended with 0.
    Ended,
    /// One ended otherwise, in these words.
    Failed(String),
    /// Time was up.
    TimedOut,
}

/// From both logs, the head's first.
pub(super) fn nothing_came(
    cx: &StepContext,
    plan: &NetworkPlan,
    port: u16,
    logs: &[Vec<String>],
    stop: &Stop,
) -> Problem {
    let names = cx.machines.iter().map(|s| s.name.clone());
    let named: Vec<(String, Vec<String>)> = names.zip(logs.iter().cloned()).collect();
    let ended = match stop {
        Stop::Failed(how) => how.clone(),
        Stop::Ended => "It ended without a result".to_owned(),
        Stop::TimedOut => "It did not end in time".to_owned(),
    };
    if let Some((machine, line)) = without_devices(&named) {
        return Problem::new(Code::LinkFails, MESSAGE)
            .cause("NCCL found no RDMA device in the container.")
            .fix_with(
                "Make sure that `/dev/infiniband` exists on both machines: restart them with the cable in, then resume.",
                "ls /dev/infiniband",
            )
            .retry(Retry::Now)
            .on(machine)
            .detail(line)
            .detail(ended);
    }
    // What has a cause of its own explains itself; that they could not talk is what is asked here.
    let known = causes::find(&[causes::CAUSES, causes::CONSEQUENCES], &named)
        .filter(|found| !is_told_by_stage(found.id()));
    if let Some(found) = known {
        return Problem {
            message: MESSAGE.into(),
            ..found.problem(&ended)
        };
    }
    let problem = by_stage(&named, plan, port, stop, &ended);
    let last = named.iter().flat_map(|(machine, lines)| {
        let said: Vec<&String> = lines.iter().filter(|l| !l.trim().is_empty()).collect();
        let from = said.len().saturating_sub(LAST);
        let last = said[from..]
            .iter()
            .map(|l| format!("{machine}: {}", l.trim()));
        last.collect::<Vec<_>>()
    });
    last.fold(problem.detail(ended), Problem::detail)
}

/// Sums that are not what they should be.
pub(super) fn wrong(all_reduce: &AllReduce) -> Problem {
    Problem::new(Code::LinkFails, "The all-reduce gave wrong numbers.")
        .cause(format!(
            "{} elements of the sums are not what they should be, so the model would answer nonsense.",
            all_reduce.wrong()
        ))
        .fix("Restart both machines with the cable in, then resume. Should it stay, try another image.")
        .retry(Retry::Now)
}

/// The machine on which NCCL found no RDMA device and did not go on without.
fn without_devices(named: &[(String, Vec<String>)]) -> Option<(String, String)> {
    named.iter().find_map(|(machine, lines)| {
        let line = lines.iter().find(|l| {
            l.contains("NET/IB : No device found") || l.contains("network IB not found")
        })?;
        let went_on = lines.iter().any(|l| l.contains("Using network Socket"));
        (!went_on).then(|| (machine.clone(), line.trim().to_owned()))
    })
}

/// Whether how far both came says more than this cause, which names nothing but that the ranks did not talk.
fn is_told_by_stage(cause: CauseId) -> bool {
    cause == causes::RANKS_DID_NOT_MEET || cause == causes::RANKS_SILENT
}

fn by_stage(
    named: &[(String, Vec<String>)],
    plan: &NetworkPlan,
    port: u16,
    stop: &Stop,
    ended: &str,
) -> Problem {
    let read: Vec<AllReduceLog> = named
        .iter()
        .map(|(_, lines)| AllReduceLog::of(lines.iter().map(String::as_str)))
        .collect();
    let problem = Problem::new(Code::LinkFails, MESSAGE).retry(Retry::Now);
    let name = |rank: usize| named.get(rank).map_or("", |(name, _)| name.as_str());
    let end = |rank: usize| plan.rails.first().and_then(|r| r.ends.get(rank));
    let interface = |rank| end(rank).map_or("", |e| e.interface.as_str());
    if let Some(rank) = read.iter().position(|h| h.started.is_none()) {
        return problem
            .cause(format!(
                "PyTorch did not start in the container on `{}`: {}{}.",
                name(rank),
                ended[..1].to_lowercase(),
                &ended[1..]
            ))
            .fix("Read what it said last under details, then resume.")
            .on(name(rank));
    }
    if read.iter().any(|h| !h.met) {
        let address = end(0).map_or("", |e| e.address.as_str());
        return problem
            .cause(format!(
                "`{}` did not reach {address}:{port} on `{}` within {MEET_SECONDS} s, although the link itself answers.",
                name(1),
                name(0)
            ))
            .fix_with(
                "A firewall does that as a rule: let everything through that comes over the private link, on both machines, then resume.",
                format!("sudo ufw allow in on {}", interface(0)),
            )
            .on(name(0));
    }
    let hangs = if *stop == Stop::TimedOut || timed_out(named) {
        format!("no collective came to its end within {LIMIT_SECONDS} s")
    } else {
        "the collective failed".to_owned()
    };
    problem
        .cause(format!(
            "The two met, but {hangs}: a firewall that lets one port through and no other, a wrong interface, or frames that are too long for one end does that."
        ))
        .fix_with(
            format!(
                "Check on both machines that `{}` and `{}` carry the private addresses with the same MTU and that no firewall filters them, then resume.",
                interface(0),
                interface(1)
            ),
            format!("sudo ufw allow in on {}", interface(0)),
        )
}

/// Whether a program ended itself because nothing went on.
fn timed_out(named: &[(String, Vec<String>)]) -> bool {
    let mut lines = named.iter().flat_map(|(_, lines)| lines);
    lines.any(|l| l.starts_with("Timeout (") || l.contains("Watchdog caught collective operation"))
}
