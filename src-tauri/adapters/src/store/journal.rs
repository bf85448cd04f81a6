//! The journal of runs: the ports' side of the store.

use async_trait::async_trait;
use tandem_domain::bench::BenchCase;
use tandem_domain::bench::BenchResult;
use tandem_domain::bench::BenchStore;
use tandem_domain::bench::BenchStoreError;
use tandem_domain::run::{Event, RunEvent, RunId, StepId, StepProgress};
use tandem_domain::run::{Journal, JournalError};

use super::{Store, StoreError, doing, says};

#[derive(sqlx::FromRow)]
pub(super) struct EventRow {
    seq: i64,
    at: i64,
    step: Option<String>,
    body: String,
}

impl TryFrom<EventRow> for RunEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.seq as u64,
            at: row.at,
            step: row.step.map(StepId),
            event: Event::from_json(&row.body).map_err(says(
                "run_event",
                "body",
                &row.seq.to_string(),
            ))?,
        })
    }
}

impl Store {
    pub(super) async fn append_event(
        &self,
        run: &RunId,
        after: u64,
        mut event: RunEvent,
    ) -> Result<RunEvent, StoreError> {
        const DOING: &str = "writing to the journal";
        let body = serde_json::to_value(&event.event).map_err(says("run_event", "body", &run.0))?;
        let kind = body["kind"].as_str().unwrap_or("unknown").to_owned();
        let mut tx = self.write(DOING).await?;
        let there: i64 =
            sqlx::query_scalar("select coalesce(max(seq), 0) from run_event where run_id = ?1")
                .bind(&run.0)
                .fetch_one(&mut *tx)
                .await
                .map_err(doing(DOING))?;
        if there as u64 != after {
            return Err(StoreError::Overtaken {
                known: after,
                there: there as u64,
            });
        }
        sqlx::query(
            "insert into run_event (run_id, seq, at, step, kind, body)
             values (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(&run.0)
        .bind(there + 1)
        .bind(event.at)
        .bind(event.step.as_ref().map(|s| &s.0))
        .bind(&kind)
        .bind(body.to_string())
        .execute(&mut *tx)
        .await
        .map_err(doing(DOING))?;

        // The list of runs reads a cache of how each ended; it changes with the event or not at all.
        let (outcome, finished_at) = match &event.event {
            Event::Finished { outcome } => {
                (Some(super::runs::outcome_name(*outcome)), Some(event.at))
            }
            _ => (None, None),
        };
        if matches!(event.event, Event::Finished { .. } | Event::Resumed) {
            sqlx::query("update run set outcome = ?2, finished_at = ?3 where id = ?1")
                .bind(&run.0)
                .bind(outcome)
                .bind(finished_at)
                .execute(&mut *tx)
                .await
                .map_err(doing(DOING))?;
        }
        tx.commit().await.map_err(doing(DOING))?;
        event.seq = after + 1;
        Ok(event)
    }

    pub(super) async fn run_events(&self, run: &RunId) -> Result<Vec<RunEvent>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select seq, at, step, body from run_event where run_id = ?1 order by seq",
        )
        .bind(&run.0)
        .fetch_all(&self.readers)
        .await
        .map_err(doing("reading the journal"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn keep_progress(
        &self,
        run: &RunId,
        step: &StepId,
        progress: &StepProgress,
    ) -> Result<(), StoreError> {
        let body =
            serde_json::to_string(progress).map_err(says("run_progress", "body", &step.0))?;
        sqlx::query(
            "insert into run_progress (run_id, step, body) values (?1, ?2, ?3)
             on conflict (run_id, step) do update set body = excluded.body",
        )
        .bind(&run.0)
        .bind(&step.0)
        .bind(body)
        .execute(&self.writer)
        .await
        .map_err(doing("keeping a step's progress"))?;
        Ok(())
    }
}

#[async_trait]
impl Journal for Store {
    async fn append(
        &self,
        run: &RunId,
        after: u64,
        event: RunEvent,
    ) -> Result<RunEvent, JournalError> {
        Ok(self.append_event(run, after, event).await?)
    }

    async fn events(&self, run: &RunId) -> Result<Vec<RunEvent>, JournalError> {
        Ok(self.run_events(run).await?)
    }

    async fn progress(
        &self,
        run: &RunId,
        step: &StepId,
        progress: &StepProgress,
    ) -> Result<(), JournalError> {
        Ok(self.keep_progress(run, step, progress).await?)
    }
}

#[async_trait]
impl BenchStore for Store {
    async fn save(&self, result: &BenchResult) -> Result<(), BenchStoreError> {
        Ok(self.save_bench(result).await?)
    }

    async fn of_launch(
        &self,
        launch: &str,
        case: &BenchCase,
    ) -> Result<Option<BenchResult>, BenchStoreError> {
        Ok(self.bench_of_launch(launch, case).await?)
    }
}
