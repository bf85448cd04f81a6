//! Log lines as vLLM writes them, and its way to fail.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many times faster than by default everything goes, from `TANDEM_STANDIN_PACE`.
pub(crate) fn pace() -> f64 {
    std::env::var("TANDEM_STANDIN_PACE")
        .ok()
        .and_then(|text| text.parse::<f64>().ok())
        .filter(|pace| *pace > 0.0 && pace.is_finite())
        .unwrap_or(1.0)
}

/// Waits as long as the real thing would, scaled.
pub(crate) async fn take(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds / pace())).await;
}

/// Month, day and time of day in UTC as vLLM's log shows them.
fn stamp() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, counted in years that begin in March.
    let shifted = days + 719_468;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    format!(
        "{month:02}-{day:02} {:02}:{:02}:{:02}",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// Which part of the server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Api,
    Engine,
    Worker,
    /// A worker that knows its rank.
    Rank(u64),
}

static HEADLESS: AtomicU32 = AtomicU32::new(0);

/// From now on the lines of the API part carry no prefix, as on a machine without one.
pub(crate) fn headless() {
    HEADLESS.store(1, Ordering::Relaxed);
}

impl Part {
    fn prefix(self) -> String {
        let pid = std::process::id();
        match self {
            Self::Api | Self::Engine if HEADLESS.load(Ordering::Relaxed) == 1 => String::new(),
            Self::Api => format!("(APIServer pid={pid}) "),
            Self::Engine => format!("(EngineCore pid={}) ", pid + 40),
            Self::Worker => format!("(Worker pid={}) ", pid + 65),
            Self::Rank(rank) => format!("(Worker_TP{rank} pid={}) ", pid + 65),
        }
    }

    pub(crate) fn info(self, text: &str) {
        println!("{}INFO {} [standin.py:1] {text}", self.prefix(), stamp());
    }

    pub(crate) fn warn(self, text: &str) {
        println!("{}WARNING {} [standin.py:1] {text}", self.prefix(), stamp());
    }

    pub(crate) fn error(self, text: &str) {
        println!("{}ERROR {} [standin.py:1] {text}", self.prefix(), stamp());
    }

    /// A line without level and time, as progress bars are.
    pub(crate) fn bare(self, text: &str) {
        println!("{}{text}", self.prefix());
    }
}

/// Why the server did not start. It ends the process with status 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Before the engine: a Python error out of the API server.
    Config(String),
    /// In a worker, which the wrappers above then bury.
    Worker(String),
}

impl Failure {
    /// Prints it in the order of the real one: the cause first, then everything that fell with it.
    pub(crate) fn print(&self) {
        match self {
            Self::Config(error) => {
                Part::Api.bare("Traceback (most recent call last):");
                Part::Api.bare(error);
            }
            Self::Worker(error) => {
                Part::Worker.error("WorkerProc failed to start.");
                Part::Worker.error("Traceback (most recent call last):");
                error.lines().for_each(|line| Part::Worker.error(line));
                Part::Engine.error("EngineCore failed to start.");
                Part::Engine.error("Exception: WorkerProc initialization failed due to an exception in a background process. See stack trace for root cause.");
                Part::Api.bare("RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}");
            }
        }
    }
}
