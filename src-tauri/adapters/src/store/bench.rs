//! Measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tandem_domain::bench::{BenchCase, BenchMethod, BenchNote, BenchResult, Spread};
use tandem_domain::ids::{BenchId, RunId};
use tandem_domain::problem::Problem;

use super::{Store, StoreError, doing, says};

/// The values behind the means, which have columns of their own.
#[derive(Serialize, Deserialize)]
struct Spreads {
    pp_tps: Vec<f64>,
    tg_tps: Vec<f64>,
    ttft_s: Vec<f64>,
}

/// What has no column of its own. Older rows have an empty object.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Details {
    beside_others: bool,
    depth: u32,
    /// 0 in rows of before there were several.
    concurrency: u32,
    method: BenchMethod,
    notes: Vec<BenchNote>,
    ended: Option<Problem>,
}

#[derive(sqlx::FromRow)]
struct BenchRow {
    id: String,
    at: i64,
    label: String,
    model: String,
    prompt_tokens: u32,
    generate_tokens: u32,
    runs: u32,
    latency_s: f64,
    pp_mean: f64,
    pp_std: f64,
    tg_mean: f64,
    tg_std: f64,
    ttft_mean: f64,
    ttft_std: f64,
    samples: String,
    spreads: String,
    acceptance: Option<String>,
    circumstances: String,
    run_id: Option<String>,
    simulated: bool,
    details: String,
}

impl TryFrom<BenchRow> for BenchResult {
    type Error = StoreError;

    fn try_from(row: BenchRow) -> Result<Self, StoreError> {
        let bad = |column| says("bench_result", column, &row.id);
        let spreads: Spreads = serde_json::from_str(&row.spreads).map_err(bad("spreads"))?;
        let spread = |mean, std, values| Spread { mean, std, values };
        let details: Details = serde_json::from_str(&row.details).map_err(bad("details"))?;
        let circumstances: BTreeMap<_, _> =
            serde_json::from_str(&row.circumstances).map_err(bad("circumstances"))?;
        Ok(Self {
            at: row.at,
            case: BenchCase {
                prompt_tokens: row.prompt_tokens,
                generate_tokens: row.generate_tokens,
                runs: row.runs,
                beside_others: details.beside_others,
                depth: details.depth,
                concurrency: details.concurrency.max(1),
                method: details.method,
            },
            latency_s: row.latency_s,
            samples: serde_json::from_str(&row.samples).map_err(bad("samples"))?,
            pp_tps: spread(row.pp_mean, row.pp_std, spreads.pp_tps),
            tg_tps: spread(row.tg_mean, row.tg_std, spreads.tg_tps),
            ttft_s: spread(row.ttft_mean, row.ttft_std, spreads.ttft_s),
            acceptance: row
                .acceptance
                .as_deref()
                .map(serde_json::from_str)
                .transpose()
                .map_err(bad("acceptance"))?,
            circumstances,
            notes: details.notes,
            ended: details.ended,
            simulated: row.simulated,
            run: row.run_id.map(RunId),
            label: row.label,
            model: row.model,
            id: row.id.into(),
        })
    }
}

impl Store {
    /// Saves a measurement. Saving the same one again changes nothing.
    pub async fn save_bench(&self, result: &BenchResult) -> Result<(), StoreError> {
        let bad = |column| says("bench_result", column, &result.id.0);
        let spreads = serde_json::to_string(&Spreads {
            pp_tps: result.pp_tps.values.clone(),
            tg_tps: result.tg_tps.values.clone(),
            ttft_s: result.ttft_s.values.clone(),
        })
        .map_err(bad("spreads"))?;
        let acceptance = result
            .acceptance
            .as_ref()
            .map(serde_json::to_string)
            .transpose()
            .map_err(bad("acceptance"))?;
        let details = serde_json::to_string(&Details {
            beside_others: result.case.beside_others,
            depth: result.case.depth,
            concurrency: result.case.concurrency,
            method: result.case.method,
            notes: result.notes.clone(),
            ended: result.ended.clone(),
        })
        .map_err(bad("details"))?;
        sqlx::query(
            "insert into bench_result
               (id, at, label, model, prompt_tokens, generate_tokens, runs, latency_s,
                pp_mean, pp_std, tg_mean, tg_std, ttft_mean, ttft_std,
                samples, spreads, acceptance, circumstances, run_id, simulated, details)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
             on conflict (id) do nothing",
        )
        .bind(&result.id.0)
        .bind(result.at)
        .bind(&result.label)
        .bind(&result.model)
        .bind(result.case.prompt_tokens)
        .bind(result.case.generate_tokens)
        .bind(result.case.runs)
        .bind(result.latency_s)
        .bind(result.pp_tps.mean)
        .bind(result.pp_tps.std)
        .bind(result.tg_tps.mean)
        .bind(result.tg_tps.std)
        .bind(result.ttft_s.mean)
        .bind(result.ttft_s.std)
        .bind(serde_json::to_string(&result.samples).map_err(bad("samples"))?)
        .bind(spreads)
        .bind(acceptance)
        .bind(serde_json::to_string(&result.circumstances).map_err(bad("circumstances"))?)
        .bind(result.run.as_ref().map(|r| &r.0))
        .bind(result.simulated)
        .bind(details)
        .execute(&self.writer)
        .await
        .map_err(doing("saving a measurement"))?;
        Ok(())
    }

    /// All measurements, the latest first.
    pub async fn bench_results(&self) -> Result<Vec<BenchResult>, StoreError> {
        let rows: Vec<BenchRow> =
            sqlx::query_as("select * from bench_result order by at desc, id desc")
                .fetch_all(&self.readers)
                .await
                .map_err(doing("listing the measurements"))?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// One measurement.
    pub async fn bench_result(&self, id: &BenchId) -> Result<Option<BenchResult>, StoreError> {
        let row: Option<BenchRow> = sqlx::query_as("select * from bench_result where id = ?1")
            .bind(&id.0)
            .fetch_optional(&self.readers)
            .await
            .map_err(doing("reading a measurement"))?;
        row.map(TryInto::try_into).transpose()
    }

    /// The newest whole measurement of these sizes whose circumstances name this launch, made alone.
    pub(super) async fn bench_of_launch(
        &self,
        launch: &str,
        case: &BenchCase,
    ) -> Result<Option<BenchResult>, StoreError> {
        let method =
            serde_json::to_value(case.method).map_err(says("bench_result", "details", launch))?;
        let method = method.as_str().unwrap_or_default().to_owned();
        let row: Option<BenchRow> = sqlx::query_as(
            "select * from bench_result
             where circumstances ->> 'launch' = ?1 and prompt_tokens = ?2 and generate_tokens = ?3
               and coalesce(details ->> 'depth', 0) = ?4 and coalesce(details ->> 'concurrency', 1) = ?5
               and coalesce(details ->> 'method', 'tandem') = ?6
               and details ->> 'ended' is null
               and not exists (select 1 from json_each(details, '$.notes') where value ->> 'kind' = 'others')
             order by at desc, id desc limit 1",
        )
        .bind(launch)
        .bind(case.prompt_tokens)
        .bind(case.generate_tokens)
        .bind(case.depth)
        .bind(case.concurrency)
        .bind(method)
        .fetch_optional(&self.readers)
        .await
        .map_err(doing("looking for a measurement"))?;
        row.map(TryInto::try_into).transpose()
    }

    /// Gives a measurement another name; `false` if there is none.
    pub async fn rename_bench(&self, id: &BenchId, label: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("update bench_result set label = ?2 where id = ?1")
            .bind(&id.0)
            .bind(label)
            .execute(&self.writer)
            .await
            .map_err(doing("renaming a measurement"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a measurement; `false` if there was none.
    pub async fn delete_bench(&self, id: &BenchId) -> Result<bool, StoreError> {
        let done = sqlx::query("delete from bench_result where id = ?1")
            .bind(&id.0)
            .execute(&self.writer)
            .await
            .map_err(doing("removing a measurement"))?;
        Ok(done.rows_affected() == 1)
    }
}
