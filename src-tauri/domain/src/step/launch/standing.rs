//! Whether a server that was left running still stands.

use futures::future::join_all;

use super::wait::{logs, tables};
use crate::container::SERVER;
use crate::engine::causes;
use crate::ports::MachineServices;
use crate::problem::{Code, Problem, Retry};
use crate::recipe::plan::LaunchPlan;
use crate::step::follow::ended;

/// Why what was served does not serve any more: a rank ended, with the first cause that the logs tell. `None` while all
/// run. `machines` are those of the launch, the head first.
///
/// The engine's `/health` goes on to answer for minutes after a rank was lost, so each rank's container is asked. A
/// machine that does not answer is the error, where no other rank is known to have ended.
pub async fn fallen(
    launch: &LaunchPlan,
    machines: &[MachineServices],
) -> Result<Option<Problem>, Problem> {
    let asked = machines.iter().map(|m| m.containers.inspect(SERVER));
    let states = join_all(asked).await;
    let mut silent = None;
    for (machine, state) in machines.iter().zip(states) {
        match state {
            Ok(state) => {
                if let Some(how) = ended(state.as_ref(), &machine.name) {
                    let logs = logs(machines).await;
                    let told = causes::explain(&tables(launch), &logs, &how);
                    return Ok(Some(after_ready(told, &machine.name)));
                }
            }
            Err(error) => {
                silent = silent.or_else(|| Some(error.problem(&machine.name, &machine.user)));
            }
        }
    }
    silent.map_or(Ok(None), Err)
}

/// What is told of a start, as of a server that was ready before.
fn after_ready(told: Problem, machine: &str) -> Problem {
    let mut problem = Problem::new(
        Code::ServerDied,
        "The model server ended after it was ready.",
    )
    .retry(Retry::Now);
    problem.machine = told.machine.or_else(|| Some(machine.to_owned()));
    problem.cause = told.cause;
    problem.fix = told.fix;
    problem.details = told.details;
    problem
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::ContainerState;
    use crate::launch::samples;
    use crate::ports::{ContainerError, MachineError};
    use crate::step::doubles::{Contained, Quiet, machine_with};

    /// A machine's Docker with the server's container in a state.
    struct Rank {
        /// Whether it runs, and how it ended; `None` where it is gone.
        state: Option<(bool, i64)>,
        log: &'static str,
        silent: bool,
    }

    impl Contained for Rank {
        fn state(&self) -> Result<Option<ContainerState>, ContainerError> {
            if self.silent {
                return Err(ContainerError::Machine(MachineError::Unreachable {
                    address: "spark-b".into(),
                    detail: "connection timed out".into(),
                }));
            }
            Ok(self.state.map(|(running, code)| ContainerState {
                running,
                exit_code: (!running).then_some(code),
                id: "c".into(),
                image_id: "i".into(),
                oom_killed: false,
                labels: Vec::new(),
            }))
        }
        fn log(&self) -> Vec<String> {
            self.log.lines().map(str::to_owned).collect()
        }
    }

    const RUNS: Rank = Rank {
        state: Some((true, 0)),
        log: "",
        silent: false,
    };

    async fn of(ranks: [Rank; 2]) -> Result<Option<Problem>, Problem> {
        let [a, b] = ranks;
        let machines = [("spark-a", a), ("spark-b", b)];
        let machines =
            machines.map(|(name, rank)| machine_with(name, Arc::new(Quiet), Arc::new(rank)));
        let plan = samples::plan(2, Some(&samples::link()));
        fallen(&plan, &machines).await
    }

    fn cause(found: Result<Option<Problem>, Problem>) -> String {
        let problem = found.expect("all answer").expect("one ended");
        assert_eq!(problem.code, Code::ServerDied);
        problem.cause.unwrap_or_default()
    }

    #[tokio::test]
    async fn while_all_ranks_run_nothing_is_told() {
        assert_eq!(of([RUNS, RUNS]).await, Ok(None));
    }

    #[tokio::test]
    async fn a_worker_that_ended_behind_a_head_that_answers_is_told_with_its_machine() {
        let killed = Rank {
            state: Some((false, 137)),
            ..RUNS
        };
        let found = of([RUNS, killed]).await;
        let problem = found.clone().expect("all answer").expect("one ended");
        assert_eq!(problem.machine.as_deref(), Some("spark-b"));
        assert!(cause(found).starts_with("It ended on spark-b with 137"));
        let gone = Rank {
            state: None,
            ..RUNS
        };
        assert!(cause(of([RUNS, gone]).await).contains("on spark-b is gone"));
    }

    #[tokio::test]
    async fn a_head_that_nobody_stopped_is_told_though_it_ended_with_nought() {
        let ended = Rank {
            state: Some((false, 0)),
            log: "RuntimeError: RPC call to sample_tokens timed out.",
            ..RUNS
        };
        let found = of([ended, RUNS]).await;
        let machine = found.clone().ok().flatten().and_then(|p| p.machine);
        assert_eq!(machine.as_deref(), Some("spark-a"));
        let why = cause(found);
        assert!(
            !why.is_empty() && !why.contains("no reason that Tandem knows"),
            "{why}"
        );
    }

    #[tokio::test]
    async fn a_machine_that_does_not_answer_hides_no_rank_that_ended() {
        let silent = || Rank {
            silent: true,
            ..RUNS
        };
        let unreached = of([silent(), RUNS]).await.expect_err("it is not known");
        assert_eq!(unreached.code, Code::Unreachable);
        let ended = Rank {
            state: Some((false, 1)),
            ..RUNS
        };
        assert!(cause(of([silent(), ended]).await).contains("spark-b with 1"));
    }
}
