//! The disks of the machines: looked at, checked, put right, cleared.

use std::sync::Arc;

use futures::future::join_all;
use tandem_adapters::store::SavedMachine;
use tandem_domain::disk::{Mounting, Use, breaks, refused, uses};
use tandem_domain::ids::MachineId;
use tandem_domain::node::Undone;
use tandem_domain::node::disk::{
    CheckReceipt, CheckRequest, CheckTime, DiskItem, DiskKind, DiskReport, DiskRequest,
    RemoveRequest,
};
use tandem_domain::ports::{Clock, KeptImage, MachineServices, Stock};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::run::RunState;
use tandem_domain::step::job::check::{self, CheckNews, Kept};
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use super::{App, lock, stored};
use crate::wire::disk::{
    CheckEvent, CheckTarget, DeleteTarget, DiskEntry, DiskKnown, FoundCheck, Freed, MachineDisk,
};

/// Runs that are asked what they made, the latest first. Older ones are history.
const RUNS: usize = 20;

impl App {
    /// What takes room on every machine, who uses it, and what deleting it would do.
    pub async fn disks(&self) -> Result<Vec<MachineDisk>, Problem> {
        let workspace = self.workspace().await;
        let machines = workspace.machines().await?;
        let named = self.named_by_runs(&workspace).await?;
        let looks = machines.iter().map(|saved| async {
            let mut seen = MachineDisk {
                machine: saved.id.clone(),
                name: saved.name.clone(),
                disk: None,
                problem: None,
            };
            match read_disk(&workspace, saved).await {
                Ok((report, stock, problem)) => {
                    seen.disk = Some(known(report, &stock, &named));
                    seen.problem = problem;
                }
                Err(problem) => seen.problem = Some(problem),
            }
            seen
        });
        Ok(join_all(looks).await)
    }

    /// How long a deep check will take.
    pub async fn check_time(&self, target: &CheckTarget) -> Result<CheckTime, Problem> {
        let workspace = self.workspace().await;
        let machine = workspace.services(&workspace.machine(&target.machine).await?)?;
        let request = self.check_request(&workspace, target, true, false).await?;
        let stdin = serde_json::to_vec(&request).expect("a request is plain data");
        workspace
            .ask_node(&machine, &["check-time"], stdin, |output| {
                serde_json::from_slice(&output.stdout).ok()
            })
            .await
    }

    /// Checks a revision, and puts right what is wrong where that is asked for. One at a time on a
    /// machine, where it goes on without the app; stopped, it leaves what was fetched for the next try.
    pub async fn check_revision(
        &self,
        target: &CheckTarget,
        deep: bool,
        repair: bool,
        hear: impl FnMut(CheckEvent) + Send,
    ) -> Result<CheckReceipt, Problem> {
        let workspace = self.workspace().await;
        let saved = workspace.machine(&target.machine).await?;
        let machine = workspace.services(&saved)?;
        if repair && self.live_id().is_some() {
            return Err(busy(&saved, "A run is working on the machines."));
        }
        let (cancel, _done) = self.listens_alone(&saved)?;
        let request = self.check_request(&workspace, target, deep, repair).await?;
        let token = self.hub_token(&workspace).await;
        let kept = check::begin(&machine, &request, token).await?;
        self.listen(&machine, &kept, &cancel, hear).await
    }

    /// The checks that go on on the machines, or have ended unheard, and that nobody listens to here. A
    /// machine that does not answer has none as far as is known.
    pub async fn found_checks(&self) -> Result<Vec<FoundCheck>, Problem> {
        let workspace = self.workspace().await;
        let machines = workspace.machines().await?;
        let looks = machines.iter().map(|saved| async {
            if lock(&self.inner.checks).contains_key(&saved.id) {
                return None;
            }
            let machine = workspace.services(saved).ok()?;
            let request = check::find(&machine).await.ok()??.request;
            Some(FoundCheck {
                target: CheckTarget {
                    machine: saved.id.clone(),
                    repo: request.repo,
                    commit: request.commit,
                },
                deep: request.deep,
                repair: request.repair,
            })
        });
        Ok(join_all(looks).await.into_iter().flatten().collect())
    }

    /// Listens to a check that [`App::found_checks`] found, to its end.
    pub async fn follow_check(
        &self,
        machine: &MachineId,
        hear: impl FnMut(CheckEvent) + Send,
    ) -> Result<CheckReceipt, Problem> {
        let workspace = self.workspace().await;
        let saved = workspace.machine(machine).await?;
        let machine = workspace.services(&saved)?;
        let (cancel, _done) = self.listens_alone(&saved)?;
        let kept = check::find(&machine).await?.ok_or_else(|| {
            Problem::new(Code::JobLost, "There is no check on this machine any more.")
                .cause("Another window of Tandem has read its result.")
                .on(saved.name.clone())
        })?;
        self.listen(&machine, &kept, &cancel, hear).await
    }

    /// Takes the place of the one who listens to the check of a machine, until the guard is dropped.
    fn listens_alone(
        &self,
        saved: &SavedMachine,
    ) -> Result<(CancellationToken, CheckPlace<'_>), Problem> {
        let cancel = CancellationToken::new();
        let mut checks = lock(&self.inner.checks);
        if checks.contains_key(&saved.id) {
            return Err(busy(saved, "Another check is under way there."));
        }
        checks.insert(saved.id.clone(), cancel.clone());
        Ok((cancel, CheckPlace(self, saved.id.clone())))
    }

    async fn listen(
        &self,
        machine: &MachineServices,
        kept: &Kept,
        cancel: &CancellationToken,
        mut hear: impl FnMut(CheckEvent) + Send,
    ) -> Result<CheckReceipt, Problem> {
        let clock: Arc<dyn Clock> = self.inner.clock.clone();
        let mut on_news = |news| {
            hear(match news {
                CheckNews::Progress {
                    done,
                    total,
                    rate,
                    doing,
                } => CheckEvent::Progress {
                    done,
                    total,
                    rate,
                    doing,
                },
                CheckNews::Note(text) => CheckEvent::Note { text },
                CheckNews::Away => CheckEvent::Away,
            });
        };
        check::follow(machine, kept, &clock, cancel, &mut on_news).await
    }

    /// Stops the check that is listened to on a machine, there too.
    pub async fn stop_check(&self, machine: &MachineId) -> Result<(), Problem> {
        if let Some(cancel) = lock(&self.inner.checks).get(machine) {
            cancel.cancel();
        }
        Ok(())
    }

    /// Deletes an item. What it is and who uses it is looked at again, so that nothing is decided by what
    /// a window showed some time ago.
    pub async fn delete_item(&self, target: &DeleteTarget) -> Result<Freed, Problem> {
        let workspace = self.workspace().await;
        let saved = workspace.machine(&target.machine).await?;
        if self.live_id().is_some() {
            return Err(busy(&saved, "A run is working on the machines."));
        }
        if lock(&self.inner.checks).contains_key(&saved.id) {
            return Err(busy(&saved, "A check is under way there."));
        }
        let machine = workspace.services(&saved)?;
        if check::find(&machine).await?.is_some_and(|kept| kept.alive) {
            return Err(busy(&saved, "A check is under way there."));
        }
        let (report, stock, problem) = read_disk(&workspace, &saved).await?;
        if let Some(problem) = problem {
            // Without Docker's word nobody knows what a container uses.
            return Err(problem);
        }
        let known = known(report, &stock, &[]);
        let entry = known
            .entries
            .iter()
            .find(|e| e.item.kind == target.item.kind && e.item.path == target.item.path)
            .ok_or_else(|| {
                Problem::new(Code::BadInput, "Nothing was deleted.")
                    .cause("It is not there any more.")
                    .fix("Refresh the disk's list.")
                    .on(saved.name.clone())
            })?;
        if let Some(problem) = &entry.refused {
            return Err(problem.clone().on(saved.name.clone()));
        }
        if entry.item.kind == DiskKind::Image {
            return delete_image(&machine, &entry.item).await;
        }
        let request = RemoveRequest {
            hf_home: None,
            items: vec![target.item.clone()],
            in_use: known
                .entries
                .iter()
                .filter(|e| e.uses.iter().any(|u| u.holds))
                .map(|e| e.item.path.clone())
                .collect(),
        };
        let stdin = serde_json::to_vec(&request).expect("a request is plain data");
        let undone: Undone = workspace
            .ask_node(&machine, &["remove"], stdin, |output| {
                serde_json::from_slice(&output.stdout).ok()
            })
            .await?;
        Ok(Freed {
            bytes: undone.bytes,
            left: undone.left,
        })
    }

    async fn check_request(
        &self,
        workspace: &Workspace,
        target: &CheckTarget,
        deep: bool,
        repair: bool,
    ) -> Result<CheckRequest, Problem> {
        Ok(CheckRequest {
            endpoint: self.endpoint(workspace).await?,
            repo: target.repo.clone(),
            commit: target.commit.clone(),
            files: None,
            hf_home: None,
            deep,
            only_copied: false,
            repair,
            online: false,
        })
    }

    /// The receipts of the latest runs, as text, with their titles.
    async fn named_by_runs(&self, workspace: &Workspace) -> Result<Vec<(String, String)>, Problem> {
        let mut named = Vec::new();
        for run in stored(workspace.store.runs().await)?.into_iter().take(RUNS) {
            let events = self.run_detail(&run.id).await?.events;
            let state = RunState::fold(&events);
            let receipts = state.steps.into_values();
            let done = receipts.filter(|step| step.status.is_done());
            let text = done.filter_map(|s| Some(s.receipt?.to_string()));
            named.push((text.collect::<Vec<_>>().join("\n"), run.title));
        }
        Ok(named)
    }
}

/// Frees the place of the check under way on a machine, however it ends.
struct CheckPlace<'a>(&'a App, MachineId);

impl Drop for CheckPlace<'_> {
    fn drop(&mut self) {
        lock(&self.0.inner.checks).remove(&self.1);
    }
}

fn busy(saved: &SavedMachine, why: &str) -> Problem {
    Problem::new(Code::Locked, "Nothing was done to the disk.")
        .cause(why)
        .fix("Stop it or wait for its end.")
        .on(saved.name.clone())
}

/// Asks a machine, and its Docker. Without Docker the rest is told all the same, with the reason.
async fn read_disk(
    workspace: &Workspace,
    saved: &SavedMachine,
) -> Result<(DiskReport, Stock, Option<Problem>), Problem> {
    let machine = workspace.services(saved)?;
    let stdin = serde_json::to_vec(&DiskRequest::default()).expect("a request is plain data");
    let report = workspace
        .ask_node(&machine, &["disk"], stdin, |output| {
            serde_json::from_slice::<DiskReport>(&output.stdout).ok()
        })
        .await?;
    Ok(match machine.containers.stock().await {
        Ok(stock) => (report, stock, None),
        Err(e) => {
            let problem = e.problem(&machine.name, &machine.user);
            (report, Stock::default(), Some(problem))
        }
    })
}

/// The items of a machine with what is to be known of them.
fn known(report: DiskReport, stock: &Stock, runs: &[(String, String)]) -> DiskKnown {
    let mut items = report.items;
    items.extend(stock.images.iter().map(image));
    items.sort_by_key(|item| std::cmp::Reverse(item.size));
    let taken = report.taken + stock.images.iter().map(|i| i.size).sum::<u64>();
    let entries = items.iter().map(|item| {
        let uses = uses_of(item, &stock.containers, runs);
        DiskEntry {
            refused: refused(item, &uses),
            breaks: breaks(item, &items, &uses),
            item: item.clone(),
            uses,
        }
    });
    DiskKnown {
        entries: entries.collect(),
        home: report.home,
        free: report.free,
        total: report.total,
        cached: report.cached,
        taken,
    }
}

fn uses_of(item: &DiskItem, containers: &[Mounting], runs: &[(String, String)]) -> Vec<Use> {
    // As a whole string of a receipt, or as the folder that one lies in.
    let whole = format!("\"{}\"", item.path);
    let above = format!("\"{}/", item.path);
    let titles: Vec<String> = runs
        .iter()
        .filter(|(text, _)| text.contains(&whole) || text.contains(&above))
        .map(|(_, title)| title.clone())
        .collect();
    uses(item, containers, &titles)
}

fn image(kept: &KeptImage) -> DiskItem {
    let mut tags = kept.tags.clone().into_iter();
    DiskItem {
        kind: DiskKind::Image,
        path: kept.id.clone(),
        name: tags
            .next()
            .unwrap_or_else(|| "An image whose name another took".to_owned()),
        commit: None,
        refs: tags.collect(),
        files: 0,
        size: kept.size,
        frees: kept.size,
        used_at: None,
        missing: 0,
        foreign: None,
        busy: None,
    }
}

/// Removes an image under all of its names, and by its id where it has none.
async fn delete_image(machine: &MachineServices, item: &DiskItem) -> Result<Freed, Problem> {
    let on = |e: tandem_domain::ports::ContainerError| e.problem(&machine.name, &machine.user);
    let stock = machine.containers.stock().await.map_err(on)?;
    let tags = stock
        .images
        .into_iter()
        .find(|kept| kept.id == item.path)
        .map(|kept| kept.tags)
        .unwrap_or_default();
    let names = if tags.is_empty() {
        vec![item.path.clone()]
    } else {
        tags
    };
    for name in names {
        machine.containers.remove_image(&name).await.map_err(on)?;
    }
    Ok(Freed {
        bytes: item.frees,
        left: Vec::new(),
    })
}
