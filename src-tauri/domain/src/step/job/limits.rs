//! Holding the download of a run to other limits while it is under way.

use futures::future::join_all;

use crate::node::FetchLimits;
use crate::ports::MachineServices;
use crate::problem::Problem;
use crate::run::{RunId, StepId};
use crate::step::ids;
use crate::step::job;

/// The step whose download can be held back.
pub fn download_step() -> StepId {
    StepId::from(ids::WEIGHTS)
}

/// Holds the download of a run to other limits on every machine, from within a second on. Safe to repeat.
///
/// Where nothing was begun yet nothing is said: the step takes them along from
/// [`Services`](crate::step::services::Services). A machine that cannot be told does not keep
/// the others from being told; the first problem is given back.
pub async fn limit_download(
    machines: &[MachineServices],
    run: &RunId,
    limits: &FetchLimits,
) -> Result<(), Problem> {
    limits.check()?;
    let job = job::named(run, &download_step());
    let told = machines.iter().map(|s| job::limit(s, &job, limits));
    join_all(told)
        .await
        .into_iter()
        .try_for_each(|told| told.map(drop))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use serde_json::{Value, json};

    use super::*;
    use crate::node::{FetchRequest, NodeEvent, NodeLine, NodeRequest, NodeWork};
    use crate::ports::{Command, Machine, MachineError, Output, RemoteFile};
    use crate::problem::Code;

    use crate::run::{Outcome, ReadOnly, RunOutcome, StepCheck, StepError, StepPlan};
    use crate::step::doubles::{TestRun, machine};
    use crate::step::services::{DynStep, LiveLimits, Services, StepContext};

    fn at_most(rate: u64) -> FetchLimits {
        FetchLimits {
            bytes_per_second: Some(rate),
            ..FetchLimits::default()
        }
    }

    /// A machine whose job has the limits of its start, and then those it is told.
    #[derive(Default)]
    struct Node {
        held: Mutex<Vec<FetchLimits>>,
        /// What somebody asks for while the start is on its way.
        meanwhile: Option<(LiveLimits, FetchLimits)>,
        /// What `limit` is answered with instead.
        refuses: Option<Code>,
    }

    fn said(status: i32, line: &Value) -> Output {
        Output {
            status,
            stdout: line.to_string().into_bytes(),
            stderr: Vec::new(),
        }
    }

    #[async_trait]
    impl Machine for Node {
        fn name(&self) -> &str {
            "spark"
        }
        async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
            let limits = match command.args[0].as_str() {
                "start" => {
                    if let Some((cell, limits)) = &self.meanwhile {
                        cell.set(limits.clone());
                    }
                    let request: NodeRequest = serde_json::from_slice(&command.stdin).unwrap();
                    request.work.fetches().unwrap().limits.clone()
                }
                "limit" => match self.refuses {
                    Some(code) => {
                        let problem = Problem::new(code, "No.");
                        return Ok(said(1, &json!({"event": "failed", "problem": problem})));
                    }
                    None => serde_json::from_slice(&command.stdin).unwrap(),
                },
                other => panic!("{other} is not asked"),
            };
            assert!(
                command
                    .args
                    .ends_with(&["--job".into(), "r-weights".into()])
            );
            self.held.lock().unwrap().push(limits);
            let job = json!({"job": "r-weights", "state": "started", "last_seq": 0});
            Ok(said(0, &job))
        }
        async fn lines(
            &self,
            _: &Command,
            on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
        ) -> Result<Output, MachineError> {
            let end = NodeLine {
                seq: 1,
                at: 0,
                event: NodeEvent::Done {
                    result: Value::Null,
                },
            };
            on_line(&serde_json::to_string(&end).unwrap());
            Ok(said(0, &Value::Null))
        }
        async fn read(&self, path: &str, _: bool) -> Result<Option<Vec<u8>>, MachineError> {
            panic!("{path} is not read")
        }
        async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
            panic!("{} is not written", file.path)
        }
        async fn upload(
            &self,
            _: &std::path::Path,
            path: &str,
            _: u32,
            _: &mut (dyn FnMut(u64) + Send),
        ) -> Result<(), MachineError> {
            panic!("nothing is sent to {path}")
        }
        async fn reconnect(&self) {}
    }

    /// A step that downloads, planned with these limits.
    struct Download(FetchLimits);

    #[async_trait]
    impl ReadOnly<Services> for Download {
        fn plan(&self) -> StepPlan {
            StepPlan {
                id: download_step(),
                title: String::new(),
                will: String::new(),
                exactly: Vec::new(),
                undo: String::new(),
                privileged: false,
            }
        }
        async fn check(&self, _: &StepContext) -> Result<StepCheck, StepError> {
            Ok(StepCheck::Needed {
                before: Value::Null,
            })
        }
        async fn find_out(&self, cx: &StepContext) -> Result<Value, StepError> {
            let work = NodeWork::Fetch(FetchRequest {
                endpoint: "http://hub".into(),
                repositories: crate::node::RepoFiles::all("o/n", "main").into(),
                hf_home: None,
                connections: 8,
                limits: self.0.clone(),
                proxy: None,
            });
            Ok(job::run(cx, &cx.machines[0], work).await?)
        }
    }

    /// The limits that the machine got, in turn, from a run that was planned at `1 MB/s`.
    async fn held(cell: LiveLimits, meanwhile: Option<FetchLimits>) -> Vec<FetchLimits> {
        let node = Arc::new(Node {
            meanwhile: meanwhile.map(|limits| (cell.clone(), limits)),
            ..Node::default()
        });
        let machines = vec![machine("spark", node.clone(), &Arc::default())];
        let steps: Vec<Arc<DynStep>> = vec![Arc::new(Download(at_most(1_000_000)))];
        let mut driver = TestRun::default().driver(steps, machines);
        driver.services.download = cell;
        assert_eq!(driver.go().await, Outcome::Finished(RunOutcome::Completed));
        node.held.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn the_last_word_holds_whenever_it_is_said() {
        let nothing = held(LiveLimits::default(), None).await;
        assert_eq!(nothing, [at_most(1_000_000)], "what was planned");
        let before = held(LiveLimits::new(Some(at_most(2_000_000))), None).await;
        assert_eq!(before, [at_most(2_000_000)], "what was asked for since");
        let meanwhile = held(LiveLimits::default(), Some(at_most(3_000_000))).await;
        assert_eq!(
            meanwhile,
            [at_most(1_000_000), at_most(3_000_000)],
            "what was asked for on the way"
        );
    }

    #[tokio::test]
    async fn a_machine_without_the_job_is_no_problem_and_a_refusal_is_one() {
        let told = |refuses| async move {
            let node = |refuses| {
                Arc::new(Node {
                    refuses,
                    ..Node::default()
                })
            };
            let (a, b) = (node(refuses), node(None));
            let machines = [
                machine("a", a, &Arc::default()),
                machine("b", b.clone(), &Arc::default()),
            ];
            let run = RunId("r".into());
            let told = limit_download(&machines, &run, &at_most(1_000_000)).await;
            assert_eq!(b.held.lock().unwrap().len(), 1, "the other one is told");
            told.map_err(|p| (p.code, p.machine))
        };
        assert_eq!(told(None).await, Ok(()));
        assert_eq!(told(Some(Code::JobLost)).await, Ok(()));
        let refused = told(Some(Code::DiskFull)).await;
        assert_eq!(refused, Err((Code::DiskFull, Some("a".into()))));
    }

    #[tokio::test]
    async fn what_cannot_be_kept_is_told_to_no_machine() {
        let run = RunId("r".into());
        let refused = limit_download(&[], &run, &at_most(1)).await;
        assert_eq!(refused.unwrap_err().code, Code::BadInput);
    }
}
