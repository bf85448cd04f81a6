//! Measuring what is served, and what was measured.

use tandem_domain::bench::Circumstances;
use tandem_domain::bench::{
    BenchCase, BenchError, BenchResult, Comparison, Measurement, compare, measure,
};
use tandem_domain::ids::BenchId;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::procedure::Procedure;
use tandem_domain::recipe::VariantId;
use tandem_domain::step::validate::circumstances;
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use super::{App, lock, stored};
use crate::wire::{BenchEvent, Serving};

impl App {
    /// Measures and keeps the result.
    pub async fn run_benchmark(
        &self,
        case: BenchCase,
        label: String,
        mut hear: impl FnMut(BenchEvent) + Send,
    ) -> Result<BenchResult, Problem> {
        case.check()?;
        let (workspace, serving, _, api) = self.served().await?;
        let cancel = CancellationToken::new();
        {
            let mut measuring = lock(&self.inner.measuring);
            if measuring.is_some() {
                return Err(
                    Problem::new(Code::Locked, "The measurement was not started.")
                        .cause(
                            "Another one is under way, and two at once would disturb each other.",
                        )
                        .fix("Stop it or wait for its end."),
                );
            }
            *measuring = Some(cancel.clone());
        }
        let _done = MeasuringPlace(self);
        let circumstances = self.circumstances(&workspace, &serving).await?;
        let label = label.trim();
        let wanted = Measurement {
            id: super::new_id().into(),
            label: match label {
                "" => serving.label.clone(),
                chosen => chosen.to_owned(),
            },
            engine: serving.engine,
            model: serving.model,
            case,
            circumstances,
            run: None,
            simulated: workspace.simulated(),
            limit_s: None,
            patience_s: 120,
        };
        let mut report = |p: tandem_domain::bench::BenchProgress| {
            hear(BenchEvent::Progress {
                done: p.done,
                total: p.total,
                doing: p.doing,
            });
        };
        let result = measure(&*api, &*self.inner.clock, &wanted, &cancel, &mut report).await;
        let result = result.map_err(|e: BenchError| e.problem())?;
        stored(workspace.store.save_bench(&result).await)?;
        Ok(result)
    }

    /// What is measured on, as the machines tell it now.
    async fn circumstances(
        &self,
        workspace: &Workspace,
        serving: &Serving,
    ) -> Result<Circumstances, Problem> {
        let detail = self.run_detail(&serving.run).await?;
        let params = stored(workspace.store.run_params(&serving.run).await)?.unwrap_or_default();
        let Ok(Some(Procedure::Setup(setup))) = Procedure::read(&detail.plan.procedure, params)
        else {
            return Ok(Circumstances::new());
        };
        let mut facts = Vec::new();
        for machine in workspace.services_of(&setup.request.machines).await? {
            facts.push(workspace.read_facts(&machine).await?);
        }
        let state = self.run_state(workspace, &serving.run).await?;
        let variant = VariantId(serving.variant.clone());
        let of_run = circumstances::of_run(&state, &setup.launch, &variant, &facts);
        Ok(of_run.unwrap_or_default())
    }

    /// Stops the measurement.
    pub async fn stop_benchmark(&self) -> Result<(), Problem> {
        if let Some(cancel) = lock(&self.inner.measuring).as_ref() {
            cancel.cancel();
        }
        Ok(())
    }

    /// All kept measurements.
    pub async fn list_benchmarks(&self) -> Result<Vec<BenchResult>, Problem> {
        stored(self.workspace().await.store.bench_results().await)
    }

    /// Two side by side.
    pub async fn compare_benchmarks(
        &self,
        a: &BenchId,
        b: &BenchId,
    ) -> Result<Comparison, Problem> {
        let store = self.workspace().await.store.clone();
        let gone = || Problem::new(Code::BadInput, "This measurement is not here any more.");
        let a = stored(store.bench_result(a).await)?.ok_or_else(gone)?;
        let b = stored(store.bench_result(b).await)?.ok_or_else(gone)?;
        Ok(compare(a, b))
    }

    /// Another name.
    pub async fn rename_benchmark(&self, id: &BenchId, label: &str) -> Result<(), Problem> {
        let label = label.trim();
        if label.is_empty() || label.chars().count() > 80 {
            return Err(Problem::new(Code::BadInput, "The name was not changed.")
                .cause("A name has 1 to 80 characters."));
        }
        stored(self.workspace().await.store.rename_bench(id, label).await).map(|_| ())
    }

    /// Removes one.
    pub async fn delete_benchmark(&self, id: &BenchId) -> Result<(), Problem> {
        stored(self.workspace().await.store.delete_bench(id).await).map(|_| ())
    }
}

/// Frees the place of the measurement under way, however it ends.
struct MeasuringPlace<'a>(&'a App);

impl Drop for MeasuringPlace<'_> {
    fn drop(&mut self) {
        *lock(&self.0.inner.measuring) = None;
    }
}
