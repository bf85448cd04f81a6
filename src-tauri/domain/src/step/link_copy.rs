//! Whether the private link is worth a copy, and what is done after one that broke off: the same for
//! weights and images.

use futures::future::BoxFuture;

use crate::network::NetworkPlan;
use crate::network::verdict::Verdict;
use crate::node::Refusal;
use crate::ports::{MachineError, MachineServices};
use crate::run::StepError;
use crate::step::job::JobError;
use crate::step::serve_copy;
use crate::step::services::StepContext;

/// A link that carries less is no gain over fetching twice, Gb/s. A home line carries a tenth of it.
const LEAST_GBPS: f64 = 2.0;
/// How often a copy that broke off is begun again before the machine goes on without the link.
pub(crate) const TRIES: u32 = 4;

/// What the link carries, as part of a sentence, or why nothing is copied over it, as the beginning of one.
pub(crate) fn carries(
    network: Option<&NetworkPlan>,
    measured: Option<&Verdict>,
) -> Result<String, String> {
    match (network.map_or(0, |n| n.rails.len()), measured) {
        (0, _) => Err("There is no private link to copy over".into()),
        (_, Some(verdict)) if verdict.gbps < LEAST_GBPS => Err(format!(
            "The private link carries only {:.1} Gb/s",
            verdict.gbps
        )),
        (_, Some(verdict)) => Ok(format!("which carries {:.0} Gb/s", verdict.gbps)),
        (1, None) => Ok("over its one rail".into()),
        (_, None) => Ok("over both rails".into()),
    }
}

/// What is done after a copy that broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterBreak {
    /// It is begun again, from what is there.
    Again,
    /// The machine goes on without the link, from what is there.
    WithoutLink,
    /// The person is told: without the link the same would happen.
    Tell,
}

/// Whether a copy that failed so is begun again, after so many tries, the one that failed among them.
pub(crate) fn passes(error: &JobError, tries: u32) -> bool {
    match error {
        JobError::Refused { refusal, .. } => match refusal {
            Refusal::Link | Refusal::NoJob => tries < TRIES,
            // Bytes that differ twice are not asked for a third time.
            Refusal::Hash => tries < 2,
            _ => false,
        },
        JobError::Lost(_) => tries < TRIES,
        JobError::Machine { error, .. } => match error {
            MachineError::Lost { .. } | MachineError::Unreachable { .. } => tries < TRIES,
            _ => false,
        },
        JobError::Cancelled => false,
    }
}

/// How a copy that may break off ended.
pub(crate) enum CopyEnd<T> {
    /// It is there.
    Done(T),
    /// The link does not bring it, for this reason.
    WithoutLink(String),
}

/// Copies to a machine, again after what passes, as `after` decides. Ends early when cancelled.
pub(crate) async fn repeat<'a, T>(
    cx: &StepContext,
    to: &MachineServices,
    after: impl Fn(&JobError, u32) -> AfterBreak,
    copy: impl Fn() -> BoxFuture<'a, Result<T, JobError>>,
) -> Result<CopyEnd<T>, StepError> {
    let mut tries = 0;
    loop {
        cx.safe_point()?;
        let error = match copy().await {
            Ok(done) => return Ok(CopyEnd::Done(done)),
            Err(JobError::Cancelled) => return Err(StepError::Cancelled),
            Err(error) => error,
        };
        tries += 1;
        match after(&error, tries) {
            AfterBreak::Again => serve_copy::rest(cx, to, tries, &error.why()).await?,
            AfterBreak::WithoutLink => return Ok(CopyEnd::WithoutLink(error.why())),
            AfterBreak::Tell => return Err(error.into()),
        }
    }
}

/// Links for the tests of roads.
#[cfg(test)]
pub(crate) mod samples {
    use crate::network::verdict::{LinkState, Method, Verdict};
    use crate::network::{NetworkPlan, Rail, RailEnd};
    use crate::node::Refusal;
    use crate::ports::MachineError;
    use crate::problem::{Code, Problem};
    use crate::step::job::JobError;

    /// A refusal of the node program.
    pub(crate) fn refused(code: Code) -> JobError {
        let problem = Box::new(Problem::new(code, "No."));
        JobError::Refused {
            refusal: Refusal::of(&problem),
            problem,
        }
    }

    /// A machine that does not answer.
    pub(crate) fn unreachable() -> JobError {
        JobError::Machine {
            machine: "spark-b".into(),
            error: MachineError::Unreachable {
                address: "spark-b".into(),
                detail: "no route".into(),
            },
        }
    }

    /// One between two machines, with so many rails.
    pub(crate) fn network(rails: usize) -> NetworkPlan {
        let end = |host: u8| RailEnd {
            interface: "enp1s0f1np1".into(),
            address: format!("192.168.100.{host}"),
            rdma: None,
        };
        let rail = Rail {
            prefix: 24,
            ends: vec![end(10), end(11)],
        };
        NetworkPlan {
            rails: vec![rail; rails],
            mtu: 9000,
            adopted: None,
        }
    }

    /// One that was found good and carries so much.
    pub(crate) fn measured(gbps: f64) -> Verdict {
        Verdict {
            state: LinkState::Good,
            gbps,
            method: Method::Rdma,
            expected_low: 0.0,
            expected_high: 0.0,
            says: String::new(),
            cure: String::new(),
        }
    }
}
