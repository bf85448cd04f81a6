//! What later runs stand on. An older run is not undone while a later one uses what the older one brought.

use crate::artifact::Artifact;
use crate::ids::MachineId;
use crate::problem::{Code, Problem};
use crate::procedure::Procedure;
use crate::run::{RunState, Status, StepId};
use crate::step::ids;
use crate::step::launch::LaunchReceipt;

/// A run and where it stands.
#[derive(Debug, Clone)]
pub struct PastRun {
    /// What it is, for people: the title in the list of runs.
    pub title: String,
    /// When it began, ms since 1970.
    pub started_at: i64,
    /// What it was planned as.
    pub procedure: Procedure,
    /// Its history, folded.
    pub state: RunState,
}

/// Why `run` cannot be undone now: a run that began later and is not undone uses what this one brought, or brought
/// the same once more. `None` if nothing speaks against it. `all` may hold `run` itself and runs that have nothing
/// to do with it.
pub fn needed_by_a_later_run(run: &PastRun, all: &[PastRun], now: i64) -> Option<Problem> {
    let mut later: Vec<&PastRun> = all
        .iter()
        .filter(|other| other.started_at > run.started_at && other.shares_a_machine(run))
        // One that only found everything there has nothing to undo, and so cannot be undone first.
        .filter(|other| other.has_left())
        .collect();
    // Undone last first, so that each is free when its turn comes.
    later.sort_by_key(|other| std::cmp::Reverse(other.started_at));
    let uses: Vec<(&PastRun, Vec<&'static str>)> = later
        .into_iter()
        .map(|other| (other, other.uses_of(run)))
        .filter(|(_, uses)| !uses.is_empty())
        .collect();
    let (first, _) = uses.first()?;
    let each = uses.iter().map(|(other, uses)| {
        format!(
            "“{}” ({}) uses {}",
            other.title,
            ago(now - other.started_at),
            uses.join(", ")
        )
    });
    let each: Vec<String> = each.collect();
    Some(
        Problem::new(Code::Locked, "The run was not undone.")
            .cause(format!(
                "What it brought is in use by a later run: {}.",
                each.join("; ")
            ))
            .fix(format!(
                "Undo “{}” first. Or leave this run as it is.",
                first.title
            )),
    )
}

impl PastRun {
    fn shares_a_machine(&self, other: &Self) -> bool {
        let of_other: &[MachineId] = other.procedure.machines();
        let own = self.procedure.machines();
        own.iter().any(|machine| of_other.contains(machine))
    }

    /// Whether it has left something on its machines that undo takes back.
    pub fn has_left(&self) -> bool {
        self.left().next().is_some()
    }

    /// The steps of this run that have left something which another run can stand on.
    fn left(&self) -> impl Iterator<Item = (&StepId, &'static str)> {
        let ours = self.state.steps.iter().filter(|(_, s)| s.status.is_ours());
        ours.filter_map(|(id, _)| Some((id, name_of(id)?)))
    }

    /// What this run uses of what `older` left.
    fn uses_of(&self, older: &Self) -> Vec<&'static str> {
        let used = older.left().filter(|(id, _)| self.stands_on(older, id));
        let mut names: Vec<_> = used.map(|(_, name)| name).collect();
        names.dedup();
        names
    }

    fn stands_on(&self, older: &Self, id: &StepId) -> bool {
        let status = self.state.step(id).status;
        if matches!(status, Status::Waiting | Status::Undone) {
            return false;
        }
        let (Procedure::Setup(own), Procedure::Setup(of_older)) =
            (&self.procedure, &older.procedure)
        else {
            // The steps that the cable's procedure shares with a set-up are the same for both.
            return true;
        };
        let (own, of_older) = (&own.launch, &of_older.launch);
        match id.0.as_str() {
            ids::IMAGE => own.image.name == of_older.image.name,
            ids::WEIGHTS | ids::GRAFT => {
                let shared = |a: &Artifact| of_older.artifacts.iter().any(|b| a.repo == b.repo);
                own.artifacts.iter().any(shared)
            }
            name if name.starts_with(LAUNCH) => match (self.served(id), older.served(id)) {
                (Some(own), Some(of_older)) => own == of_older,
                // An act whose end was not written: its container is known by its own run alone.
                _ => false,
            },
            _ => true,
        }
    }

    /// The identity of the server that a launch left, unless a later launch of the same run stands in its place.
    fn served(&self, id: &StepId) -> Option<String> {
        let receipt = self.state.step(id).receipt?;
        let receipt: LaunchReceipt = serde_json::from_value(receipt).ok()?;
        (!receipt.superseded).then_some(receipt.identity)
    }
}

const LAUNCH: &str = "launch-";

/// What a step leaves, in words; `None` of a step that leaves nothing for others.
fn name_of(id: &StepId) -> Option<&'static str> {
    Some(match id.0.as_str() {
        ids::KEY => "Tandem's key",
        ids::PROGRAM => "Tandem's program",
        ids::DOCKER => "the right to use Docker",
        ids::NETWORK => "the private link",
        ids::FIREWALL => "the firewall's table",
        ids::IMAGE => "the image",
        ids::WEIGHTS => "the weights",
        ids::GRAFT => "the checkpoint with MTP layers",
        name if name.starts_with(LAUNCH) => "the server",
        _ => return None,
    })
}

/// How long ago something began. No time of day: which one it was depends on where the reader is.
fn ago(ms: i64) -> String {
    const MINUTE: i64 = 60_000;
    let told = |n: i64, unit: &str| match n {
        1 => format!("begun 1 {unit} ago"),
        n => format!("begun {n} {unit}s ago"),
    };
    match ms / MINUTE {
        ..=0 => "begun just now".to_owned(),
        minutes @ 1..60 => told(minutes, "minute"),
        minutes @ 60..2880 => told(minutes / 60, "hour"),
        minutes => told(minutes / 1440, "day"),
    }
}

#[cfg(test)]
mod tests;
