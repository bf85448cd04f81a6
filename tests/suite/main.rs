//! What `make test` runs once everything is built: each group of tests, whatever befell the others, the
//! tests on the lab with several pairs of machines side by side, and one table at the end.
//!
//! ```text
//! suite              all groups
//! suite WORD...      those whose names contain one of the words
//! ```
//!
//! `TANDEM_TRUST` names a page that gets the table and the figures of the tests, as `make trust` wants it.
//! With `TANDEM_LAB=1` the tests on the lab run as well; `TANDEM_LAB_PAIRS` says how many pairs of machines
//! there are, if not one more than the box has cores.

mod binaries;
mod lab;
mod table;
mod task;
mod trust;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use binaries::Binary;
use table::Row;
use task::{Command, Task};

/// Where tests leave figures for the page, in the build's folder; `TANDEM_FIGURES` tells them.
const FIGURES: &str = "trust-figures.txt";

/// Groups that wait for rehearsed servers most of their time, so they run beside the lab.
const PATIENT: [&str; 3] = ["tandem story", "tandem recordings", "tandem secrets"];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("The tests could not be run: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| words.is_empty() || words.iter().any(|w| name.contains(w.as_str()));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the tests have no folder above them")?;
    let began = Instant::now();
    // Those of an earlier time go; there may be none.
    let _ = std::fs::remove_file(kept(FIGURES));
    let binaries = binaries::build(root).await?;
    let mut rows = vec![Row::of("the build", began.elapsed(), true, None)];
    let only = |mut tasks: Vec<Task>| {
        tasks.retain(|t| asked(&t.name));
        tasks
    };
    let programs = only(programs(&binaries).await?);
    let (patient, programs): (Vec<_>, Vec<_>) = programs
        .into_iter()
        .partition(|t| PATIENT.contains(&t.name.as_str()));
    rows.extend(in_turn(&programs).await);
    let mut tests = lab::tests(&binaries).await?;
    tests.retain(|t| asked(&format!("lab {}", t.name)));
    // The checks only compute, and the lab mostly waits.
    let checks = only(checks(root));
    let (waited, checked, (ran, told)) = tokio::join!(
        in_turn(&patient),
        in_turn(&checks),
        on_lab(root, &binaries, &tests)
    );
    rows.extend(waited.into_iter().chain(checked).chain(ran));
    println!("\n{}", table::table(&rows));
    if let Some(page) = std::env::var_os("TANDEM_TRUST") {
        let date = tokio::process::Command::new("date")
            .args(["-u", "+%F"])
            .output()
            .await?;
        let date = String::from_utf8_lossy(&date.stdout).trim().to_owned();
        let figures = std::fs::read_to_string(kept(FIGURES)).unwrap_or_default();
        trust::write(Path::new(&page), &date, &rows[1..], &figures)?;
    }
    if let Some(why) = told {
        println!("Not run: {} tests on the lab; {why}.", tests.len());
    }
    let failed: Vec<&str> = rows.iter().filter(|r| !r.good).map(Row::name).collect();
    match failed.is_empty() {
        true => println!("All that ran passed."),
        false => println!("Failed: {}.", failed.join(", ")),
    }
    Ok(failed.is_empty())
}

/// Runs one after the other, whatever befell the ones before.
async fn in_turn(tasks: &[Task]) -> Vec<Row> {
    let mut rows = Vec::new();
    for task in tasks {
        let ended = task.run().await;
        if !ended.good {
            println!("{}", ended.output);
        }
        let word = if ended.good { "ok" } else { "FAILED" };
        println!("{word:6} {:6.1} s  {}", ended.took.as_secs_f64(), task.name);
        rows.push(Row::of(&task.name, ended.took, ended.good, task.tests));
    }
    rows
}

/// Runs the tests on the lab, or says why they did not run.
async fn on_lab(root: &Path, binaries: &[Binary], tests: &[Task]) -> (Vec<Row>, Option<String>) {
    if std::env::var_os("TANDEM_LAB").is_none_or(|v| v != "1") {
        return (Vec::new(), Some("they need Linux and root".to_owned()));
    }
    if tests.is_empty() {
        return (Vec::new(), None);
    }
    match lab::prepare(binaries).await {
        Ok(()) => (lab::run(root, tests).await, None),
        Err(why) => {
            let row = Row::of("the lab", std::time::Duration::ZERO, false, None);
            (vec![row], Some(format!("the lab could not be made: {why}")))
        }
    }
}

/// The targets of the Makefile that `make check` has, the window's own tests, and the examples in the
/// documentation.
fn checks(root: &Path) -> Vec<Task> {
    let targets = std::env::var("TANDEM_CHECKS").unwrap_or_default();
    let check = |target: &str| {
        let words = ["--no-print-directory", target];
        Task::new(target, Command::new("make", &words, root))
    };
    let ui = Command::new("npm", &["test", "--silent"], &root.join("ui"));
    let words = ["test", "--workspace", "--doc", "--locked", "--quiet"];
    let examples = Command::new(binaries::cargo(), &words, root);
    let mut all: Vec<Task> = targets.split_whitespace().map(check).collect();
    all.push(Task::new("ui tests", ui));
    all.push(Task::new("doc tests", examples));
    all
}

/// The tests in Rust that need no lab, a group for each program.
async fn programs(binaries: &[Binary]) -> std::io::Result<Vec<Task>> {
    let mut all = Vec::new();
    for binary in binaries.iter().filter(|b| b.is_test) {
        all.extend(binary.without_lab().await?);
    }
    Ok(all)
}

/// Where what is kept between runs lies: the build's folder.
fn kept(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    // The program lies in `debug` below it.
    let folder = exe.ancestors().nth(2).unwrap_or(Path::new("."));
    folder.join(name)
}
