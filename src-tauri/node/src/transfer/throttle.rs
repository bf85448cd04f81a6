//! Lets bytes through: at a rate, or not at all while somebody paused or the hours are not there yet.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tandem_domain::node::{FetchLimits, Flow, LEAST_RATE, PauseReason, Share};
use tokio::sync::watch;

use super::bucket::Bucket;
use super::meter::Meter;
use crate::job_output::JobOutput;

/// How often the limits are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often the time of the day is asked for, which starts a process.
const CLOCK: Duration = Duration::from_secs(20);

/// What is let through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    open: bool,
    rate: Option<u64>,
}

/// Every connection of a transfer passes here.
pub struct Throttle {
    setting: watch::Sender<Setting>,
    /// The part of a rate that is this machine's; none where all of it is.
    share: Option<Share>,
    bucket: Mutex<Bucket>,
    began: Instant,
}

impl Default for Throttle {
    /// Open, without a limit.
    fn default() -> Self {
        Self {
            setting: watch::Sender::new(Setting {
                open: true,
                rate: None,
            }),
            share: None,
            bucket: Mutex::default(),
            began: Instant::now(),
        }
    }
}

impl Throttle {
    /// One that lets through a machine's share of the rates that it is set to: what a person allows is for
    /// the line of the household, whoever uses it.
    pub fn of_share(share: Option<&Share>) -> Self {
        Self {
            share: share.cloned(),
            ..Self::default()
        }
    }

    /// Holds everything to this from now on.
    pub fn set(&self, open: bool, rate: Option<u64>) {
        let part = |rate| match &self.share {
            Some(share) => share.of_rate(rate).max(LEAST_RATE),
            None => rate,
        };
        let rate = rate.map(part);
        let new = Setting { open, rate };
        self.setting.send_if_modified(|now| {
            let changed = *now != new;
            *now = new;
            changed
        });
    }

    /// Waits until bytes may flow.
    pub async fn open(&self) {
        self.until(|s| s.open).await;
    }

    /// Waits until bytes may not flow.
    pub async fn closed(&self) {
        self.until(|s| !s.open).await;
    }

    async fn until(&self, holds: impl FnMut(&Setting) -> bool) {
        // It fails only where the sender is gone, which is this value itself.
        let _ = self.setting.subscribe().wait_for(holds).await;
    }

    /// Says that `n` bytes came, and waits as long as the rate asks for. A rate that changes meanwhile
    /// holds at once; a throttle that closes ends the wait.
    pub async fn pass(&self, n: u64) {
        let mut setting = self.setting.subscribe();
        let mut n = n;
        loop {
            let Setting { open, rate } = *setting.borrow_and_update();
            let (true, Some(rate)) = (open, rate) else {
                // What was owed at another rate is not owed any more.
                self.bucket().clear(self.began.elapsed());
                return;
            };
            let wait = self.bucket().take(rate, self.began.elapsed(), n);
            n = 0;
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => return,
                _ = setting.changed() => {}
            }
        }
    }

    fn bucket(&self) -> std::sync::MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where limits come from: first the request, then a file that `limit` writes while the job runs.
pub struct LimitWatcher(tokio::task::JoinHandle<()>);

impl LimitWatcher {
    /// Keeps a throttle at what the limits say until it is dropped, and says what changes.
    pub fn start(
        throttle: Arc<Throttle>,
        limits: FetchLimits,
        file: Option<PathBuf>,
        minute: fn() -> Option<u32>,
        meter: Arc<Meter>,
        lines: Arc<JobOutput>,
    ) -> Self {
        let mut watch = Watch::new(limits, file, minute);
        let mut flow = watch.look();
        apply(&throttle, &watch.limits, &flow, &meter);
        Self(tokio::spawn(async move {
            if let Some(text) = words(&watch.limits, &flow) {
                lines.note(text);
            }
            loop {
                tokio::time::sleep(LOOK).await;
                let before = watch.limits.clone();
                let now = watch.look();
                let turned = std::mem::discriminant(&now) != std::mem::discriminant(&flow);
                apply(&throttle, &watch.limits, &now, &meter);
                if turned || watch.limits != before {
                    let text = words(&watch.limits, &now);
                    lines.note(
                        text.unwrap_or_else(|| "The download goes on without a limit.".into()),
                    );
                }
                flow = now;
            }
        }))
    }
}

impl Drop for LimitWatcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The limits of a job: those of its request until the file says otherwise.
pub struct Watch {
    limits: FetchLimits,
    file: Option<PathBuf>,
    minute: fn() -> Option<u32>,
    clock: Option<(Instant, Option<u32>)>,
}

impl Watch {
    /// Nothing looked at yet.
    pub fn new(limits: FetchLimits, file: Option<PathBuf>, minute: fn() -> Option<u32>) -> Self {
        Self {
            limits,
            file,
            minute,
            clock: None,
        }
    }

    /// Whether bytes may flow now.
    pub fn look(&mut self) -> Flow {
        let told = self.file.as_ref().and_then(|f| std::fs::read(f).ok());
        // Limits that cannot be read or kept change nothing: `limit` refuses them before they get here.
        if let Some(told) = told.and_then(|t| serde_json::from_slice::<FetchLimits>(&t).ok())
            && told.check().is_ok()
        {
            self.limits = told;
        }
        let minute = match (&self.limits.hours, self.clock) {
            (None, _) => None,
            (Some(_), Some((at, minute))) if at.elapsed() < CLOCK => minute,
            _ => {
                let minute = (self.minute)();
                self.clock = Some((Instant::now(), minute));
                minute
            }
        };
        self.limits.flow(minute)
    }
}

fn apply(throttle: &Throttle, limits: &FetchLimits, flow: &Flow, meter: &Meter) {
    meter.hold(flow.held().map(|held| {
        let text = match &held {
            PauseReason::Paused => "Paused".to_owned(),
            PauseReason::Until { opens } => format!("Waiting until {opens}, the machine's time"),
        };
        (held, text)
    }));
    throttle.set(*flow == Flow::Open, limits.bytes_per_second);
}

/// What holds the download back, as a sentence; `None` where nothing does.
fn words(limits: &FetchLimits, flow: &Flow) -> Option<String> {
    match flow {
        Flow::Paused => Some("The download is paused; what has arrived is kept.".into()),
        Flow::Until { opens, minutes } => Some(format!(
            "The download waits until {opens} by this machine's clock, {} h {:02} min from now.",
            minutes / 60,
            minutes % 60
        )),
        Flow::Open => limits.bytes_per_second.map(|rate| {
            format!(
                "The download is held to {} a second.",
                tandem_domain::problem::bytes(rate)
            )
        }),
    }
}

/// The minute of the day here, as the machine's own clock and time zone have it.
pub fn minute_of_day() -> Option<u32> {
    let out = std::process::Command::new("date")
        .arg("+%H:%M")
        .output()
        .ok()?;
    tandem_domain::node::minute_of(std::str::from_utf8(&out.stdout).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_domain::node::FetchHours;

    #[test]
    fn the_machine_tells_the_time() {
        let minute = minute_of_day().expect("a time of the day");
        assert!(minute < 24 * 60);
    }

    #[test]
    fn the_file_has_the_last_word_and_a_broken_one_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("limits.json");
        let mut watch = Watch {
            limits: FetchLimits {
                hours: Some(FetchHours {
                    from: "23:00".into(),
                    to: "07:00".into(),
                }),
                ..FetchLimits::default()
            },
            file: Some(file.clone()),
            minute: || Some(12 * 60),
            clock: None,
        };
        assert!(matches!(watch.look(), Flow::Until { minutes: 660, .. }));
        std::fs::write(&file, r#"{"paused":true}"#).unwrap();
        assert_eq!(watch.look(), Flow::Paused);
        std::fs::write(&file, r#"{"bytes_per_second":1}"#).unwrap();
        assert_eq!(watch.look(), Flow::Paused, "it cannot be kept");
        std::fs::write(&file, "{").unwrap();
        assert_eq!(watch.look(), Flow::Paused);
        std::fs::write(&file, "{}").unwrap();
        assert_eq!(watch.look(), Flow::Open);
    }

    #[test]
    fn a_share_takes_its_part_of_a_rate_for_all() {
        let share = Share {
            parts: vec![70, 30],
            mine: 1,
        };
        let throttle = Throttle::of_share(Some(&share));
        let rate = |given| {
            throttle.set(true, given);
            throttle.setting.borrow().rate
        };
        assert_eq!(rate(Some(10_000_000)), Some(3_000_000));
        assert_eq!(
            rate(Some(LEAST_RATE)),
            Some(LEAST_RATE),
            "less cannot be kept"
        );
        assert_eq!(rate(None), None);
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_limit_that_asked_for_it() {
        let throttle = Arc::new(Throttle::default());
        throttle.set(true, Some(1));
        let waiting = tokio::spawn({
            let throttle = Arc::clone(&throttle);
            // At one byte a second this is a week.
            async move { throttle.pass(600_000).await }
        });
        tokio::task::yield_now().await;
        throttle.set(true, None);
        waiting.await.expect("it ends at once");
        throttle.set(false, None);
        throttle.pass(1 << 40).await;
        throttle.closed().await;
        throttle.set(true, None);
        throttle.open().await;
    }
}
