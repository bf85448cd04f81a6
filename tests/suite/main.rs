//! What `make test` runs once everything is built: each group of tests, whatever befell the others, the
//! tests on the lab with several pairs of machines side by side, and one table at the end.
//!
//! ```text
//! suite              all groups
//! suite WORD...      those whose names contain one of the words
//! ```
//!
//! With `TANDEM_LAB=1` the tests on the lab run as well; `TANDEM_LAB_PAIRS` says how many pairs of machines
//! there are, if not one more than the box has cores.

mod binaries;
mod lab;
mod table;
mod task;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use binaries::Binary;
use table::Row;
use task::{Command, Task};

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
    let binaries = binaries::build(root).await?;
    let mut rows = vec![Row::of("the build", began.elapsed(), true, None)];
    for task in groups(root, &binaries).await? {
        if !asked(&task.name) {
            continue;
        }
        println!("{} …", task.name);
        let ended = task.run().await;
        if !ended.good {
            println!("{}\n{}: failed", ended.output, task.name);
        }
        rows.push(Row::of(&task.name, ended.took, ended.good, task.tests));
    }
    let mut tests = lab::tests(&binaries).await?;
    tests.retain(|t| asked(&format!("lab {}", t.name)));
    let told = if std::env::var_os("TANDEM_LAB").is_none_or(|v| v != "1") {
        Some("they need Linux and root".to_owned())
    } else if tests.is_empty() {
        None
    } else {
        match lab::prepare(&binaries).await {
            Ok(()) => {
                rows.extend(lab::run(root, &tests).await);
                None
            }
            Err(why) => {
                rows.push(Row::of("the lab", std::time::Duration::ZERO, false, None));
                Some(format!("the lab could not be made: {why}"))
            }
        }
    };
    println!("\n{}", table::table(&rows));
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

/// All groups that need no lab, in their order.
async fn groups(root: &Path, binaries: &[Binary]) -> std::io::Result<Vec<Task>> {
    let ui = root.join("ui");
    let cargo = |words: &[&str]| Command::new(binaries::cargo(), words, root);
    let npm = |words: &[&str]| Command::new("npm", words, &ui);
    let mut all = vec![
        Task::new("format", cargo(&["fmt", "--all", "--check"])),
        Task::new(
            "clippy",
            cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        Task::new("ui lint", npm(&["run", "--silent", "lint"])),
        Task::new("ui types", npm(&["run", "--silent", "check"])),
        Task::new("ui tests", npm(&["test", "--silent"])),
    ];
    for binary in binaries.iter().filter(|b| b.is_test) {
        all.extend(binary.without_lab().await?);
    }
    all.push(Task::new(
        "doc tests",
        cargo(&["test", "--workspace", "--doc", "--locked", "--quiet"]),
    ));
    Ok(all)
}

/// Where what is kept between runs lies: the build's folder.
fn kept(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    // The program lies in `debug` below it.
    let folder = exe.ancestors().nth(2).unwrap_or(Path::new("."));
    folder.join(name)
}
