//! Limits that are given to a job after its request.

use tandem_domain::node::{FetchLimits, JobState, NodeWork};
use tandem_domain::problem::{Code, Problem};

use super::folder::Folder;
use super::state;

/// Gives a download other limits. One that runs follows within a second; one that does not is held to
/// them by its next start.
pub fn limit(name: &str, limits: &FetchLimits) -> Result<JobState, Problem> {
    limits.check()?;
    let folder = Folder::existing(name)?;
    let work = folder.request().map(|r| r.work);
    if work.as_ref().and_then(NodeWork::fetches).is_none() {
        return Err(Problem::new(Code::BadInput, "This job takes no limits.")
            .cause(format!("{name} is not a download.")));
    }
    folder.hold_to(limits)?;
    state(&folder, name)
}

/// Whether two requests ask for one thing, whatever their limits are.
pub(super) fn same_work(kept: &NodeWork, asked: &NodeWork) -> bool {
    let mut kept = kept.clone();
    if let (Some(kept), Some(asked)) = (kept.fetches_mut(), asked.fetches()) {
        kept.limits = asked.limits.clone();
    }
    kept == *asked
}

/// A start with other limits than the start before sets them; one with the same leaves those that were
/// given in between.
pub(super) fn take_over(folder: &Folder, asked: &NodeWork) -> Result<(), Problem> {
    match asked.fetches() {
        Some(request) => {
            request.limits.check()?;
            folder.hold_to(&request.limits)
        }
        None => Ok(()),
    }
}
