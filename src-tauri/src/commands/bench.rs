//! Benchmarks: measure, keep, compare.

use tandem_domain::bench::{BenchCase, BenchResult, Comparison};
use tandem_domain::ids::BenchId;
use tauri::State;
use tauri::ipc::Channel;

use super::Answer;
use crate::app::App;
use crate::wire::BenchEvent;

/// Measures what is served now and keeps the result.
#[tauri::command]
#[specta::specta]
pub async fn run_benchmark(
    app: State<'_, App>,
    bench_case: BenchCase,
    label: String,
    events: Channel<BenchEvent>,
) -> Answer<BenchResult> {
    let hear = |event| {
        // A closed window hears nothing, and the measurement is kept all the same.
        let _ = events.send(event);
    };
    app.run_benchmark(bench_case, label, hear).await
}

/// Stops the measurement that is under way. The repeats that were made are kept.
#[tauri::command]
#[specta::specta]
pub async fn stop_benchmark(app: State<'_, App>) -> Answer<()> {
    app.stop_benchmark().await
}

/// All kept measurements, the newest first.
#[tauri::command]
#[specta::specta]
pub async fn list_benchmarks(app: State<'_, App>) -> Answer<Vec<BenchResult>> {
    app.list_benchmarks().await
}

/// Two measurements side by side.
#[tauri::command]
#[specta::specta]
pub async fn compare_benchmarks(app: State<'_, App>, a: BenchId, b: BenchId) -> Answer<Comparison> {
    app.compare_benchmarks(&a, &b).await
}

/// Gives a measurement another name.
#[tauri::command]
#[specta::specta]
pub async fn rename_benchmark(app: State<'_, App>, id: BenchId, label: String) -> Answer<()> {
    app.rename_benchmark(&id, &label).await
}

/// Removes a measurement for good.
#[tauri::command]
#[specta::specta]
pub async fn delete_benchmark(app: State<'_, App>, id: BenchId) -> Answer<()> {
    app.delete_benchmark(&id).await
}
