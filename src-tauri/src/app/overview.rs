//! What surrounds every screen, asked once or sent whenever it changes.

use tandem_domain::problem::Problem;
use tandem_domain::run::RunOutcome;
use tokio_util::sync::CancellationToken;

use super::machines::view;
use super::{App, lock, stored};
use crate::wire::Overview;

impl App {
    /// What surrounds every screen.
    pub async fn overview(&self) -> Result<Overview, Problem> {
        // Read first: what changes meanwhile makes the answer older than the next one, never newer.
        let revision = *self.inner.changes.borrow();
        let workspace = self.workspace().await;
        let machines = workspace.machines().await?;
        let live = self.live_id();
        let runs = stored(workspace.store.runs().await)?;
        let mut interrupted = Vec::new();
        let mut live_run = None;
        let ready = runs
            .iter()
            .any(|run| run.outcome == Some(RunOutcome::Completed));
        for mut run in runs {
            if Some(&run.id) == live.as_ref() {
                run.live = true;
                live_run = Some(run);
            } else if run.outcome.is_none() {
                interrupted.push(run);
            }
        }
        Ok(Overview {
            revision,
            version: env!("CARGO_PKG_VERSION").into(),
            rehearsal: workspace.simulated(),
            data_dir: self.inner.data_dir.display().to_string(),
            machines: machines.iter().map(|m| view(&workspace, m)).collect(),
            interrupted,
            live_run,
            serving: self.serving(&workspace).await?,
            ready,
            hub_token: self.inner.hub_token.load().await.is_some(),
        })
    }

    /// Sends the overview now and after every change of it, until `hear` answers `false` or somebody else
    /// begins to watch: a window that was reloaded leaves its old watch behind and cannot end it.
    pub async fn watch_overview(
        &self,
        mut hear: impl FnMut(Overview) -> bool + Send + 'static,
    ) -> Result<(), Problem> {
        let ended = CancellationToken::new();
        std::mem::replace(&mut *lock(&self.inner.overview_watch), ended.clone()).cancel();
        // Subscribed before the first answer, so that nothing falls between it and what follows.
        let mut changes = self.inner.changes.subscribe();
        let mut last = self.overview().await?;
        if !hear(last.clone()) {
            return Ok(());
        }
        let app = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = ended.cancelled() => break,
                    changed = changes.changed() => if changed.is_err() { break },
                }
                let now = match app.overview().await {
                    Ok(now) => now,
                    Err(problem) => {
                        tracing::warn!(%problem, "the overview was not sent");
                        continue;
                    }
                };
                if same(&now, &last) {
                    continue;
                }
                last = now.clone();
                if ended.is_cancelled() || !hear(now) {
                    break;
                }
            }
        });
        Ok(())
    }

    /// To be called after whatever the overview may show differently.
    pub(super) fn changed(&self) {
        self.inner.changes.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// Whether two say the same, whenever each was made.
fn same(a: &Overview, b: &Overview) -> bool {
    let told = |overview: &Overview| {
        serde_json::to_value(Overview {
            revision: 0,
            ..overview.clone()
        })
        .ok()
    };
    told(a) == told(b)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tandem_adapters::store::{NewRun, SavedMachine};
    use tandem_domain::problem::Code;
    use tandem_domain::run::{Event, Journal as _, Plan, RunEvent};
    use tokio::sync::mpsc;

    use super::*;
    use crate::app::Programs;

    async fn opened() -> (tempfile::TempDir, App) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let app = App::open(folder.path(), Programs::find(None))
            .await
            .expect("the app opens");
        (folder, app)
    }

    fn machine() -> SavedMachine {
        SavedMachine {
            id: "a".into(),
            name: "spark-a".into(),
            address: "spark-a.local".into(),
            port: 22,
            user: "nvidia".into(),
            host_key: Some("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA spark-a".into()),
            facts: None,
            cache: None,
            simulated: false,
            added_at: 1,
        }
    }

    async fn watch(app: &App) -> mpsc::UnboundedReceiver<Overview> {
        let (to, from) = mpsc::unbounded_channel();
        app.watch_overview(move |overview| to.send(overview).is_ok())
            .await
            .expect("the overview is there");
        from
    }

    async fn next(heard: &mut mpsc::UnboundedReceiver<Overview>) -> Option<Overview> {
        tokio::time::timeout(Duration::from_secs(30), heard.recv())
            .await
            .expect("something is heard")
    }

    #[tokio::test]
    async fn a_second_app_on_the_folder_is_told_who_holds_it() {
        let (folder, app) = opened().await;
        let second = App::open(folder.path(), Programs::find(None)).await;
        let problem = second.err().expect("one at a time");
        assert_eq!(problem.code, Code::Locked);
        let cause = problem.cause.expect("it says who");
        let holder = format!("process {}", std::process::id());
        assert!(cause.contains(&holder), "{cause}");
        drop(app);
        let next = App::open(folder.path(), Programs::find(None)).await;
        assert!(next.is_ok(), "it is free again");
    }

    #[tokio::test]
    async fn a_change_is_sent_and_what_changes_nothing_is_not() {
        let (_folder, app) = opened().await;
        let kept = app.inner.real.store.add_machine(&machine()).await;
        kept.expect("a machine is kept");
        let mut heard = watch(&app).await;
        let first = next(&mut heard).await.expect("the first comes at once");
        assert_eq!(first.machines.len(), 1);
        app.changed();
        app.remove_machine(&"a".into())
            .await
            .expect("it is removed");
        let second = next(&mut heard).await.expect("a change");
        assert_eq!(second.machines.len(), 0, "the first change was none");
        assert!(second.revision > first.revision);
    }

    #[tokio::test]
    async fn a_run_that_came_to_its_end_makes_the_machines_ready_until_it_is_undone() {
        let (_folder, app) = opened().await;
        let store = &app.inner.real.store;
        let run = NewRun {
            id: "r".into(),
            title: "Serve".into(),
            params: serde_json::json!({}),
            plan: Plan {
                procedure: "setup".into(),
                procedure_version: 1,
                summary: String::new(),
                cautions: Vec::new(),
                steps: Vec::new(),
            },
            started_at: 1,
            simulated: false,
        };
        store.create_run(&run).await.expect("a run is kept");
        let is_ready = async || app.overview().await.expect("it is told").ready;
        assert!(!is_ready().await, "it goes on");
        let mut after = 0;
        for (outcome, ready) in [
            (RunOutcome::Failed, false),
            (RunOutcome::Completed, true),
            (RunOutcome::Undone, false),
        ] {
            let event = RunEvent {
                seq: 0,
                at: 2,
                step: None,
                event: Event::Finished { outcome },
            };
            let kept = store.append(&run.id, after, event).await;
            after = kept.expect("an event is kept").seq;
            assert_eq!(is_ready().await, ready, "{outcome:?}");
        }
        let problem = app
            .plan_again(&run.id)
            .await
            .expect_err("it serves nothing");
        assert_eq!(problem.code, Code::BadInput);
    }

    #[tokio::test]
    async fn a_second_watch_ends_the_first() {
        let (_folder, app) = opened().await;
        let mut old = watch(&app).await;
        next(&mut old).await.expect("the first comes at once");
        let mut new = watch(&app).await;
        next(&mut new).await.expect("the first comes at once");
        assert!(
            next(&mut old).await.is_none(),
            "nobody sends there any more"
        );
    }
}
