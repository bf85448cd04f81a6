//! The tests on the lab. Most of their time they wait, so several pairs of machines stand side by side, each
//! in a network of its own, and each takes the next test when it has done with one.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::binaries::Binary;
use crate::kept;
use crate::table::Row;
use crate::task::Task;

/// How long each test took the last time.
const TIMES: &str = "lab-seconds.json";

/// All tests on the lab, each as a program of its own.
pub(crate) async fn tests(binaries: &[Binary]) -> std::io::Result<Vec<Task>> {
    let mut all = Vec::new();
    for binary in binaries.iter().filter(|b| b.is_test) {
        if binary.is_whole() {
            if binary.is_all_on_lab() {
                all.push(Task::new(&binary.target, binary.command(&[])));
            }
            continue;
        }
        for test in binary.tests().await? {
            if binary.is_on_lab(&test) {
                let name = format!("{} {test}", binary.target);
                all.push(Task::new(name, binary.command(&["--exact", &test])));
            }
        }
    }
    Ok(all)
}

/// Makes what all machines start from, while there is still a road to the internet.
pub(crate) async fn prepare(binaries: &[Binary]) -> Result<(), String> {
    let lab = binaries
        .iter()
        .find(|b| b.target == "lab" && !b.is_test)
        .ok_or("the program `lab` was not built")?;
    println!("the lab …");
    let ended = Task::new("the lab", lab.command(&["prepare"])).run().await;
    print!("{}", ended.output);
    ended.good.then_some(()).ok_or(ended.output)
}

/// How many pairs of machines there are at a time.
fn pairs() -> usize {
    let asked = std::env::var("TANDEM_LAB_PAIRS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or_else(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (cores + 1).min(6)
    })
}

/// Runs them all, the longest first, and gives back a row for each target and one for all together.
pub(crate) async fn run(root: &Path, tests: &[Task]) -> Vec<Row> {
    let times = kept(TIMES);
    let mut known: BTreeMap<String, f64> = std::fs::read(&times)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut queue: Vec<Task> = tests.to_vec();
    let long = |t: &Task| known.get(&t.name).copied().unwrap_or(f64::MAX);
    queue.sort_by(|a, b| long(b).total_cmp(&long(a)));
    let pairs = pairs().min(queue.len()).max(1);
    println!(
        "{} tests on the lab, {pairs} pairs of machines …",
        queue.len()
    );
    let began = Instant::now();
    let queue = Arc::new(Mutex::new(VecDeque::from(queue)));
    let workers = (0..pairs).map(|pair| work(root, pair, Arc::clone(&queue)));
    let ended: Vec<(String, Row)> = futures::future::join_all(workers).await.concat();
    let took = began.elapsed();
    known.extend(ended.iter().map(|(_, r)| (r.name.clone(), r.seconds)));
    if let Ok(bytes) = serde_json::to_vec_pretty(&known) {
        // It only puts the longest first next time.
        let _ = std::fs::write(times, bytes);
    }
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (target, row) in &ended {
        let all = rows.entry(target.clone()).or_insert_with(|| Row {
            name: format!("lab {target}"),
            seconds: 0.0,
            good: true,
            tests: Some(0),
        });
        all.seconds += row.seconds;
        all.good &= row.good;
        all.tests = all.tests.map(|n| n + 1);
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    let all_good = ended.iter().all(|(_, r)| r.good);
    let name = format!("lab, {pairs} pairs side by side");
    rows.push(Row::of(&name, took, all_good, Some(ended.len())));
    rows
}

/// One pair takes tests until there are no more.
async fn work(root: &Path, pair: usize, queue: Arc<Mutex<VecDeque<Task>>>) -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    loop {
        let next = queue.lock().ok().and_then(|mut queue| queue.pop_front());
        let Some(task) = next else { return rows };
        let apart = apart(root, &task, pair);
        let ended = apart.run().await;
        say(&task.name, &ended);
        let target = task.name.split(' ').next().unwrap_or_default().to_owned();
        rows.push((target, Row::of(&task.name, ended.took, ended.good, None)));
    }
}

/// The test in a network of its own.
fn apart(root: &Path, task: &Task, pair: usize) -> Task {
    let mut command = task.command.clone();
    let script = root.join("tests/lab/apart.sh");
    command
        .words
        .insert(0, command.program.to_string_lossy().into_owned());
    command.program = script;
    let command = command
        .env("TANDEM_LAB", "1")
        .env("TANDEM_LAB_PAIR", pair.to_string());
    Task::new(&task.name, command)
}

/// Tells how it ended, at once: all of its output if it failed, else what it wants to be seen.
fn say(name: &str, ended: &crate::task::Ended) {
    let mut out = std::io::stdout().lock();
    let word = if ended.good { "ok" } else { "FAILED" };
    // Nobody reading is no failure of a test.
    let _ = writeln!(out, "{word:6} {:6.1} s  {name}", ended.took.as_secs_f64());
    if !ended.good {
        let _ = writeln!(out, "{}", ended.output);
        return;
    }
    let figures = ended.output.lines().filter(|l| l.contains(" clicks "));
    for line in figures {
        let _ = writeln!(out, "       {line}");
    }
}
