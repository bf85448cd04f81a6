//! Everything the window and the headless story can ask for, without knowing either of them.

mod answers;
mod ask_node;
mod bench;
mod chat;
mod chat_budget;
mod chat_controls;
mod chat_exchange;
mod disk;
mod elsewhere;
mod leases;
mod link;
mod machines;
mod neighbours;
mod overview;
mod pair;
mod preflight;
mod programs;
pub(crate) mod recipes;
mod runs;
mod serving;
mod settings;
mod signal_queue;
mod undo;
mod workspace;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_adapters::data_folder::DataFolder;
use tandem_adapters::secrets::HubToken;
use tandem_adapters::store::{Store, StoreError};
use tandem_domain::ids::{ConversationId, MachineId};
use tandem_domain::ports::Clock;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

pub use programs::Programs;
use runs::LiveRun;
use workspace::Workspace;

/// How many changes of conversations a window may be behind before it reads all of them anew.
const NEWS: usize = 64;

/// The app. Clones are the same app.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    data_dir: PathBuf,
    /// Nobody else works on the folder as long as this lives.
    _folder: DataFolder,
    programs: Arc<Programs>,
    clock: Arc<SystemClock>,
    hub_token: HubToken,
    /// The real machines' workspace; settings live in its store.
    real: Arc<Workspace>,
    /// The rehearsed machines' workspace while one is rehearsing.
    rehearsal: tokio::sync::RwLock<Option<Arc<Workspace>>>,
    live: Mutex<Option<LiveRun>>,
    /// Counts what the overview may show differently.
    changes: watch::Sender<u32>,
    /// Ends the watch of the overview that goes on.
    overview_watch: Mutex<CancellationToken>,
    /// Answers on their way, by the answer's id.
    answers: Mutex<HashMap<String, answers::Awaited>>,
    /// Tells which conversation changed.
    conversations: broadcast::Sender<ConversationId>,
    measuring: Mutex<Option<CancellationToken>>,
    /// The port of this computer that leads to what is served, where a person asked for one.
    opened: Mutex<Option<elsewhere::Opened>>,
    /// Checks of a disk under way, by machine.
    checks: Mutex<HashMap<MachineId, CancellationToken>>,
}

impl App {
    /// Opens the app on its folder, which no other process uses then. A rehearsal that was open is open again. Tandem's
    /// own key lies there as a file that its user alone can read.
    pub async fn open(data_dir: &Path, programs: Programs) -> Result<Self, Problem> {
        let none = std::future::ready(Err("It was not asked.".to_owned()));
        Self::open_with(data_dir, programs, none).await
    }

    /// The same, with Tandem's own key locked by a passphrase that the desktop's keyring keeps. Where the keyring gives
    /// none, for the reason in its error, a key that is not locked yet stays as it is.
    pub async fn open_with(
        data_dir: &Path,
        programs: Programs,
        passphrase: impl Future<Output = Result<Secret, String>>,
    ) -> Result<Self, Problem> {
        let folder = DataFolder::take(data_dir).map_err(|e| e.problem())?;
        let store = Store::open(data_dir.join("tandem.db"))
            .await
            .map_err(|e| e.problem())?;
        let programs = Arc::new(programs);
        let clock = Arc::new(SystemClock::new());
        // Nobody is left who could bring it back.
        if let Err(error) = store.purge_deleted(clock.now_ms()).await {
            tracing::warn!(%error, "what was deleted is removed at the next start");
        }
        if let Err(error) = store.purge_kept_recipes(clock.now_ms()).await {
            tracing::warn!(%error, "deleted recipes are removed at the next start");
        }
        let real = Workspace::real(store, data_dir, programs.clone(), passphrase.await)?;
        let app = Self {
            inner: Arc::new(Inner {
                data_dir: data_dir.to_owned(),
                _folder: folder,
                programs,
                clock,
                hub_token: HubToken::new(),
                real: Arc::new(real),
                rehearsal: tokio::sync::RwLock::new(None),
                live: Mutex::new(None),
                changes: watch::Sender::new(0),
                overview_watch: Mutex::default(),
                answers: Mutex::default(),
                conversations: broadcast::Sender::new(NEWS),
                measuring: Mutex::default(),
                opened: Mutex::default(),
                checks: Mutex::default(),
            }),
        };
        if app.rehearsal_folder().exists() {
            app.open_rehearsal().await?;
        }
        Ok(app)
    }

    fn rehearsal_folder(&self) -> PathBuf {
        self.inner.data_dir.join("rehearsal")
    }

    async fn open_rehearsal(&self) -> Result<(), Problem> {
        let folder = self.rehearsal_folder();
        let workspace =
            Workspace::rehearsed(&folder, self.inner.programs.clone(), &*self.inner.clock).await?;
        *self.inner.rehearsal.write().await = Some(Arc::new(workspace));
        Ok(())
    }

    /// The workspace the window looks at now.
    async fn workspace(&self) -> Arc<Workspace> {
        let rehearsal = self.inner.rehearsal.read().await;
        rehearsal.clone().unwrap_or_else(|| self.inner.real.clone())
    }

    fn now(&self) -> i64 {
        self.inner.clock.now_ms()
    }
}

/// Locks what no code panics while holding.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stored<T>(result: Result<T, StoreError>) -> Result<T, Problem> {
    result.map_err(|e| e.problem())
}

fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn nothing_served() -> Problem {
    Problem::new(Code::NothingServed, "No model is served.")
        .cause("No run has left a server that answers.")
        .fix("Run the set-up; it ends with a server.")
}

/// This computer's time.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wait(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
