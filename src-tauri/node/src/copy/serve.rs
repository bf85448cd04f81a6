//! The serving end: shows the blobs of repositories, or the image that a job saved, on the private link to
//! one other machine.
//!
//! It outlives the connection that started it, for a night's copy needs nobody to watch, and it ends by
//! itself: when the other machine says that it has all, or when nobody who knows the token has spoken for
//! a while. It listens on the rails whose addresses it was given and nowhere else.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tandem_domain::node::{PauseReason, Refused, Serving};
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::repository::check_repository;
use tandem_domain::secret::Secret;

use super::inventory::{Inventory, Names};
use super::tree;
use super::wire::{self, Answer, Ask, Stream};
use crate::cache::Cache;
use crate::job::Folder;
use crate::rail::{RailListener, WaitingRoom};
use crate::transfer::{Watch, minute_of_day};

/// How long it waits for the other machine to come.
const ARRIVE: Duration = Duration::from_secs(60);
/// How long it waits for it to come back: a worker that was killed is started again within that time.
const IDLE: Duration = Duration::from_secs(30);
/// Between two looks whether somebody knocks.
const KNOCK: Duration = Duration::from_millis(10);
/// Streams at a time of those who know the token.
const STREAMS: usize = 64;
/// Blobs read at a time that lie there unproven.
const PROVERS: usize = 4;

/// What is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Addresses to listen on.
    pub listen: Vec<Ipv4Addr>,
    /// What is shown there.
    pub goods: Goods,
}

/// See [`Offer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goods {
    /// The blobs of repositories.
    Repos {
        /// Their names, at least one.
        repos: Vec<String>,
        /// The Hugging Face home, as in the requests.
        hf_home: Option<String>,
        /// The job that fetches them here, if there is one.
        job: Option<String>,
    },
    /// The image that a job of this name saved.
    Spool(String),
}

impl Goods {
    fn inventory(&self) -> Result<Inventory, Problem> {
        match self {
            Self::Repos { repos, hf_home, .. } => {
                let cache = Cache::find(hf_home.as_deref())?;
                let blobs = repos.iter().map(|repo| cache.repo(repo).join("blobs"));
                Ok(Inventory::new(blobs.collect(), Names::Etags))
            }
            Self::Spool(job) => {
                let spool = Folder::existing(job)?.spool();
                Ok(Inventory::new(vec![spool], Names::Trees))
            }
        }
    }

    /// The job that may bring more while it is served.
    fn job(&self) -> Option<&str> {
        match self {
            Self::Repos { job, .. } => job.as_deref(),
            Self::Spool(_) => None,
        }
    }
}

fn not_served(why: impl Into<String>) -> Problem {
    Problem::new(
        Code::LinkFails,
        "Nothing can be copied from this machine over the private link.",
    )
    .cause(why)
    .fix("Check that the cable sits in both machines and has its addresses, then resume.")
    .retry(Retry::Now)
}

impl Offer {
    /// Reads the words of the command line; `None` where they are not understood.
    pub fn of(words: &[&str]) -> Option<Self> {
        let (mut listen, mut repos) = (Vec::new(), Vec::new());
        let (mut hf_home, mut job, mut spool) = (None, None, None);
        for pair in words.chunks(2) {
            let [option, value] = pair else { return None };
            let text = Some((*value).to_owned()).filter(|v| !v.is_empty());
            match *option {
                "--listen" => listen.push(value.parse().ok()?),
                "--repo" => repos.push(text?),
                "--hf-home" => hf_home = text,
                "--job" => job = text,
                "--spool" => spool = text,
                _ => return None,
            }
        }
        let goods = match (repos.is_empty(), spool) {
            (false, None) => Goods::Repos {
                repos,
                hf_home,
                job,
            },
            (true, Some(of)) if hf_home.is_none() && job.is_none() => Goods::Spool(of),
            _ => return None,
        };
        (!listen.is_empty()).then_some(Self { listen, goods })
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut add = |option: &str, value: &str| {
            words.extend([option.to_owned(), value.to_owned()]);
        };
        for address in &self.listen {
            add("--listen", &address.to_string());
        }
        match &self.goods {
            Goods::Repos {
                repos,
                hf_home,
                job,
            } => {
                for repo in repos {
                    add("--repo", repo);
                }
                if let Some(home) = hf_home {
                    add("--hf-home", home);
                }
                if let Some(job) = job {
                    add("--job", job);
                }
            }
            Goods::Spool(job) => add("--spool", job),
        }
        words
    }

    fn check(&self) -> Result<(), Problem> {
        if let Goods::Repos { repos, .. } = &self.goods {
            repos.iter().try_for_each(|repo| check_repository(repo))?;
        }
        for address in &self.listen {
            if !(address.is_private() || address.is_link_local() || address.is_loopback()) {
                return Err(Problem::new(
                    Code::BadInput,
                    "Machines copy from each other over a private address only.",
                )
                .cause(format!("{address} is not a private address.")));
            }
        }
        Ok(())
    }
}

/// Starts the serving as a process of its own and gives back where it listens.
pub fn detach(offer: &Offer) -> Result<Serving, Problem> {
    offer.check()?;
    let failed = |e: std::io::Error| {
        Problem::new(Code::NodeProgram, "The serving process did not start.").cause(e.to_string())
    };
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["copy", "serving"])
        .args(offer.words())
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(failed)?;
    }
    serde_json::from_str(&line).map_err(|e| {
        let refused = serde_json::from_str::<Refused>(&line);
        refused.map_or_else(|_| not_served(format!("{e}.")), |r| r.problem)
    })
}

/// Serves until it is over. `listening` is told where and with which token.
pub fn serve(offer: &Offer, listening: impl FnOnce(&Serving)) -> Result<(), Problem> {
    // A session of its own: nothing that ends the connection reaches it.
    let _ = rustix::process::setsid();
    offer.check()?;
    let inventory = offer.goods.inventory()?;
    let mut doors = Vec::new();
    let mut closed = Vec::new();
    for address in &offer.listen {
        match RailListener::open(*address) {
            Ok(door) => doors.push(door),
            Err(e) => closed.push(format!("{address}: {e}")),
        }
    }
    if doors.is_empty() {
        return Err(not_served(format!(
            "Nothing can listen there: {}.",
            closed.join("; ")
        )));
    }
    let random: [u8; 32] =
        wire::random().map_err(|e| not_served(format!("No random numbers: {e}.")))?;
    let token = Secret::new(hex::encode(random));
    let addresses = doors
        .iter()
        .filter_map(|door| Some(door.local_addr().ok()?.to_string()));
    listening(&Serving {
        addresses: addresses.collect(),
        token: token.reveal().to_owned(),
    });
    let counter = Arc::new(Counter {
        inventory,
        token,
        job: offer.goods.job().map(str::to_owned),
        watch: Mutex::default(),
        began: Instant::now(),
        heard: AtomicU64::new(0),
        waiting: WaitingRoom::default(),
        streams: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    });
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..(cores / 2).clamp(1, PROVERS) {
        let counter = Arc::clone(&counter);
        std::thread::spawn(move || counter.inventory.prove());
    }
    while !counter.is_over() {
        let mut quiet = true;
        for door in &doors {
            if let Ok(Some(tcp)) = door.accept() {
                counter.welcome(tcp);
                quiet = false;
            }
        }
        if quiet {
            std::thread::sleep(KNOCK);
        }
    }
    drop(doors);
    counter.inventory.close();
    Ok(())
}

/// Where those are served who come in.
struct Counter {
    inventory: Inventory,
    token: Secret,
    job: Option<String>,
    /// The limits of that job, once it has begun.
    watch: Mutex<Option<Watch>>,
    began: Instant,
    /// When somebody who knows the token was last heard, in milliseconds; 0 is never.
    heard: AtomicU64,
    /// Those who have not said the token yet.
    waiting: WaitingRoom,
    /// How many are attended.
    streams: AtomicUsize,
    over: AtomicBool,
}

impl Counter {
    fn alive(&self) {
        let now = self.began.elapsed().as_millis() as u64;
        self.heard.store(now.max(1), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        let heard = self.heard.load(Ordering::Relaxed);
        let quiet = self
            .began
            .elapsed()
            .saturating_sub(Duration::from_millis(heard));
        let patience = if heard == 0 { ARRIVE } else { IDLE };
        self.over.load(Ordering::Relaxed) || quiet > patience
    }

    fn welcome(self: &Arc<Self>, tcp: TcpStream) {
        let Ok(place) = self.waiting.enter(&tcp) else {
            return;
        };
        let counter = Arc::clone(self);
        std::thread::spawn(move || {
            let greeted = wire::greet(tcp, &counter.token);
            counter.waiting.leave(place);
            let Ok(stream) = greeted else { return };
            if counter.streams.fetch_add(1, Ordering::Relaxed) < STREAMS {
                counter.alive();
                // The other end comes again if it wants to; there is nobody here to tell.
                let _ = counter.attend(stream);
            }
            counter.streams.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Answers on one stream until it ends.
    fn attend(&self, mut stream: Stream) -> std::io::Result<()> {
        loop {
            let ask: Ask = stream.hear(|| !self.is_over())?;
            self.alive();
            match ask {
                Ask::State { wanted } => {
                    let standing = self.inventory.look(&wanted);
                    let fetching = self.fetching();
                    stream.say(&Answer::State {
                        working: standing.reading || fetching,
                        held: self.held().filter(|_| fetching),
                        ready: standing.ready,
                        wrong: standing.wrong,
                    })?;
                }
                Ask::Bytes { etag, from, to } => match self.inventory.open(&etag) {
                    Some((file, ready)) if from <= to && to <= ready.size => {
                        stream.say(&Answer::Bytes)?;
                        stream.send_file(&file, from, to, || self.alive())?;
                    }
                    _ => stream.say(&Answer::Gone)?,
                },
                Ask::Nodes { etag } => {
                    let answer = self.nodes(&etag)?;
                    stream.say(&answer)?;
                }
                Ask::Bye => {
                    self.over.store(true, Ordering::Relaxed);
                    return Err(ErrorKind::ConnectionAborted.into());
                }
            }
        }
    }

    fn nodes(&self, etag: &str) -> std::io::Result<Answer> {
        let Some((file, ready)) = self.inventory.open(etag) else {
            return Ok(Answer::Gone);
        };
        let mut nodes = Vec::new();
        for piece in 0..tree::pieces(ready.size) {
            self.alive();
            match tree::read_node(&file, piece, ready.size, || !self.is_over())? {
                Some(node) => nodes.push(hex::encode(node)),
                None => return Ok(Answer::Gone),
            }
        }
        Ok(Answer::Nodes { nodes })
    }

    /// What the job that brings the blobs here waits for by order. It is at it all the same, so the other
    /// end goes on waiting, be it through the night.
    fn held(&self) -> Option<PauseReason> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.is_none() {
            let folder = Folder::existing(self.job.as_deref()?).ok()?;
            let limits = folder.request()?.work.fetches()?.limits.clone();
            *watch = Some(Watch::new(limits, Some(folder.limits()), minute_of_day));
        }
        watch.as_mut()?.look().held()
    }

    /// Whether the job that brings the blobs here is at it.
    fn fetching(&self) -> bool {
        let folder = self.job.as_deref().map(Folder::existing);
        let Some(folder) = folder.and_then(Result::ok) else {
            return false;
        };
        !folder.waits().exists() && folder.worker().is_some_and(|w| w.is_alive())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_read_as_it_is_written() {
        let words = [
            "--listen",
            "192.168.100.10",
            "--listen",
            "192.168.101.10",
            "--repo",
            "o/n",
            "--repo",
            "o/draft",
            "--job",
            "r-weights",
        ];
        let offer = Offer::of(&words).unwrap();
        assert_eq!(offer.listen.len(), 2);
        let again = offer.words();
        let again: Vec<&str> = again.iter().map(String::as_str).collect();
        assert_eq!(Offer::of(&again), Some(offer));
        assert_eq!(Offer::of(&["--listen", "192.168.100.10"]), None);
        assert_eq!(Offer::of(&["--listen"]), None);
        let spool = ["--listen", "192.168.100.10", "--spool", "r-image"];
        let offer = Offer::of(&spool).unwrap();
        assert_eq!(offer.goods, Goods::Spool("r-image".into()));
        assert_eq!(offer.words(), spool);
        let both = [&spool[..], &["--repo", "o/n"]].concat();
        assert_eq!(Offer::of(&both), None, "one thing at a time is served");
        assert_eq!(Offer::of(&["--repo", "o/n", "--listen", "x"]), None);
    }

    #[test]
    fn only_private_addresses_are_listened_on() {
        let offer = |address: &str| Offer::of(&["--listen", address, "--repo", "o/n"]).unwrap();
        for address in ["0.0.0.0", "8.8.8.8"] {
            let problem = serve(&offer(address), |_| ()).unwrap_err();
            assert_eq!(problem.code, Code::BadInput, "{address}");
        }
        assert!(offer("169.254.3.4").check().is_ok());
    }
}
