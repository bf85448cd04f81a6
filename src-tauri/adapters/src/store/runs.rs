//! Runs: what was planned, what became of it, and what their steps printed.

use serde_json::Value;
use tandem_domain::node::FetchLimits;
use tandem_domain::procedure::RunDetail;
use tandem_domain::run::{Plan, RunId, RunOutcome, RunSummary, StepId, StepProgressRow};

use super::{Store, StoreError, doing, says};

/// Log lines kept of each step; older ones go.
pub const LOG_LINES: i64 = 2000;

/// A run that is about to begin.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// Its identity.
    pub id: RunId,
    /// What it is, for people.
    pub title: String,
    /// What was chosen. Holds no secret.
    pub params: Value,
    /// What will be done; names the procedure and its version.
    pub plan: Plan,
    /// Now.
    pub started_at: i64,
    /// Whether the machines are rehearsed ones.
    pub simulated: bool,
}

/// A line that a step printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The step.
    pub step: StepId,
    /// The machine's name, if about one.
    pub machine: Option<String>,
    /// The line.
    pub line: String,
    /// When, ms since 1970.
    pub at: i64,
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    id: String,
    procedure: String,
    title: String,
    started_at: i64,
    finished_at: Option<i64>,
    outcome: Option<String>,
    simulated: bool,
}

impl TryFrom<SummaryRow> for RunSummary {
    type Error = StoreError;

    fn try_from(row: SummaryRow) -> Result<Self, StoreError> {
        let outcome = row
            .outcome
            .map(|name| serde_json::from_value(Value::String(name)))
            .transpose()
            .map_err(says("run", "outcome", &row.id))?;
        Ok(Self {
            id: RunId(row.id),
            procedure: row.procedure,
            title: row.title,
            started_at: row.started_at,
            finished_at: row.finished_at,
            outcome,
            live: false,
            simulated: row.simulated,
        })
    }
}

/// An outcome as it is stored: its name on the wire.
pub(super) fn outcome_name(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::Completed => "completed",
        RunOutcome::Failed => "failed",
        RunOutcome::Cancelled => "cancelled",
        RunOutcome::Undone => "undone",
        RunOutcome::NeedsAttention => "needs-attention",
    }
}

/// Reads a stored plan. It is never rewritten, so an old one calls its procedure `recipe`.
fn read_plan(text: &str) -> serde_json::Result<Plan> {
    let mut plan: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    for (old, new) in [
        ("recipe", "procedure"),
        ("recipe_version", "procedure_version"),
    ] {
        if let Some(value) = plan.remove(old) {
            plan.entry(new).or_insert(value);
        }
    }
    serde_json::from_value(Value::Object(plan))
}

impl Store {
    /// Writes a run down, with its plan and parameters, before its first event.
    pub async fn create_run(&self, run: &NewRun) -> Result<(), StoreError> {
        let plan = serde_json::to_string(&run.plan).map_err(says("run", "plan", &run.id.0))?;
        sqlx::query(
            "insert into run (id, procedure, procedure_version, title, params, plan, started_at, simulated)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .bind(&run.id.0)
        .bind(&run.plan.procedure)
        .bind(run.plan.procedure_version)
        .bind(&run.title)
        .bind(run.params.to_string())
        .bind(plan)
        .bind(run.started_at)
        .bind(run.simulated)
        .execute(&self.writer)
        .await
        .map_err(doing("writing down a run"))?;
        Ok(())
    }

    /// All runs, the latest first. `live` is false in all of them: only the app knows.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let rows: Vec<SummaryRow> = sqlx::query_as(
            "select id, procedure, title, started_at, finished_at, outcome, simulated
             from run order by started_at desc, id desc",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(doing("listing the runs"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Runs that have not ended: those that go on, and those that were interrupted. The latest first.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let rows: Vec<SummaryRow> = sqlx::query_as(
            "select id, procedure, title, started_at, finished_at, outcome, simulated
             from run where outcome is null order by started_at desc, id desc",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(doing("listing the interrupted runs"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// A run with its plan and history.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunDetail>, StoreError> {
        const DOING: &str = "reading a run";
        let row: Option<SummaryRow> = sqlx::query_as(
            "select id, procedure, title, started_at, finished_at, outcome, simulated
             from run where id = ?1",
        )
        .bind(&id.0)
        .fetch_optional(&self.readers)
        .await
        .map_err(doing(DOING))?;
        let Some(row) = row else { return Ok(None) };
        let plan: String = sqlx::query_scalar("select plan from run where id = ?1")
            .bind(&id.0)
            .fetch_one(&self.readers)
            .await
            .map_err(doing(DOING))?;
        let progress: Vec<(String, String)> =
            sqlx::query_as("select step, body from run_progress where run_id = ?1 order by step")
                .bind(&id.0)
                .fetch_all(&self.readers)
                .await
                .map_err(doing(DOING))?;
        let progress = progress
            .into_iter()
            .map(|(step, body)| {
                let progress =
                    serde_json::from_str(&body).map_err(says("run_progress", "body", &step))?;
                Ok(StepProgressRow {
                    step: StepId(step),
                    progress,
                })
            })
            .collect::<Result<_, StoreError>>()?;
        Ok(Some(RunDetail {
            summary: row.try_into()?,
            plan: read_plan(&plan).map_err(says("run", "plan", &id.0))?,
            events: self.run_events(id).await?,
            progress,
            download: self.run_download(id).await?,
        }))
    }

    /// What was chosen for a run.
    pub async fn run_params(&self, id: &RunId) -> Result<Option<Value>, StoreError> {
        let params: Option<String> = sqlx::query_scalar("select params from run where id = ?1")
            .bind(&id.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(doing("reading what was chosen for a run"))?;
        params
            .map(|text| serde_json::from_str(&text).map_err(says("run", "params", &id.0)))
            .transpose()
    }

    /// The limits of a run's download now: those asked for last, or else those planned. `None`
    /// of a run that was not asked to download.
    pub async fn run_download(&self, id: &RunId) -> Result<Option<FetchLimits>, StoreError> {
        let body: Option<Option<String>> = sqlx::query_scalar(
            "select coalesce(run_download.body, json_extract(run.params, '$.download'))
             from run left join run_download on run_download.run_id = run.id where run.id = ?1",
        )
        .bind(&id.0)
        .fetch_optional(&self.readers)
        .await
        .map_err(doing("reading what a download is held to"))?;
        body.flatten()
            .map(|text| serde_json::from_str(&text).map_err(says("run_download", "body", &id.0)))
            .transpose()
    }

    /// Holds the download of a run to this, for every later start of it too.
    pub async fn hold_run_download(
        &self,
        id: &RunId,
        limits: &FetchLimits,
    ) -> Result<(), StoreError> {
        let body = serde_json::to_string(limits).map_err(says("run_download", "body", &id.0))?;
        sqlx::query(
            "insert into run_download (run_id, body) values (?1, ?2)
             on conflict (run_id) do update set body = excluded.body",
        )
        .bind(&id.0)
        .bind(body)
        .execute(&self.writer)
        .await
        .map_err(doing("keeping what a download is held to"))?;
        Ok(())
    }

    /// Adds lines to the logs of a run's steps and lets go of those beyond [`LOG_LINES`].
    pub async fn append_log(&self, run: &RunId, lines: &[LogLine]) -> Result<(), StoreError> {
        const DOING: &str = "keeping a step's log";
        if lines.is_empty() {
            return Ok(());
        }
        let mut tx = self.write(DOING).await?;
        for line in lines {
            sqlx::query(
                "insert into run_log (run_id, step, n, at, machine, line)
                 select ?1, ?2, coalesce(max(n), 0) + 1, ?3, ?4, ?5
                 from run_log where run_id = ?1 and step = ?2",
            )
            .bind(&run.0)
            .bind(&line.step.0)
            .bind(line.at)
            .bind(&line.machine)
            .bind(&line.line)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        }
        let steps: std::collections::BTreeSet<_> = lines.iter().map(|l| &l.step.0).collect();
        for step in steps {
            sqlx::query(
                "delete from run_log where run_id = ?1 and step = ?2
                 and n <= (select max(n) from run_log where run_id = ?1 and step = ?2) - ?3",
            )
            .bind(&run.0)
            .bind(step)
            .bind(LOG_LINES)
            .execute(&mut *tx)
            .await
            .map_err(doing(DOING))?;
        }
        tx.commit().await.map_err(doing(DOING))
    }

    /// The kept log of one step, oldest line first.
    pub async fn step_log(&self, run: &RunId, step: &StepId) -> Result<Vec<LogLine>, StoreError> {
        let rows: Vec<(Option<String>, String, i64)> = sqlx::query_as(
            "select machine, line, at from run_log where run_id = ?1 and step = ?2 order by n",
        )
        .bind(&run.0)
        .bind(&step.0)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading a step's log"))?;
        Ok(rows
            .into_iter()
            .map(|(machine, line, at)| LogLine {
                step: step.clone(),
                machine,
                line,
                at,
            })
            .collect())
    }
}
