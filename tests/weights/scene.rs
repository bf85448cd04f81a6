//! The lab, a Hub with one repository made for this, and jobs of the node program as a person's app runs them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tandem_domain::node::{
    CopyRequest, FetchLimits, FetchReceipt, FetchRequest, JobStanding, JobState, NodeEvent,
    NodeLine, NodeWork, RepoFiles,
};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tandem_rehearsal::checkpoint::point;
use tandem_rehearsal::hub::Hub;
use tandem_rehearsal::hub::faults::Fault;
use tandem_tests::{Lab, Link, Place, Spark, USER, until};

/// The repository, two commits of it, and the file in which they differ.
pub(crate) const REPO: &str = "tandem/Faults";
/// The same under another name, for what runs beside tests that break the first.
pub(crate) const COPIED: &str = "tandem/Copied";
pub(crate) const COMMIT: &str = "fa017c0ffee0d15ea5e5e11a7c0ffee0d15ea5e5";
pub(crate) const NEXT: &str = "fa027c0ffee0d15ea5e5e11a7c0ffee0d15ea5e5";
pub(crate) const CHANGED: &str = "model-00005-of-00006.safetensors";
/// MiB of its shards: some are finished early, and two are under way when something happens.
const SHARDS: [usize; 6] = [2, 2, 16, 16, 2, 2];
/// Connections of a fetch.
const CONNECTIONS: u16 = 4;
/// What the Hub may have counted as given out and nobody has read, when a fetch ends: of each connection what
/// the sockets of both ends hold.
pub(crate) const IN_FLIGHT: u64 = CONNECTIONS as u64 * (512 << 10);
/// How long a test waits for something that is about to happen.
const SOON: Duration = Duration::from_secs(60);

/// See the module.
pub(crate) struct Scene {
    pub(crate) lab: Lab,
    pub(crate) hub: Hub,
    repos: PathBuf,
    /// Bytes of the repository.
    pub(crate) total: u64,
}

/// Bytes that look like weights: the same each time, and compressible by nobody.
fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut all = Vec::with_capacity(len);
    while all.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(len);
    all
}

fn shard(number: usize) -> String {
    format!("model-{:05}-of-{:05}.safetensors", number + 1, SHARDS.len())
}

/// Writes both commits; `main` is the first.
fn write(repos: &Path) -> std::io::Result<()> {
    for (repo, commit) in [(REPO, COMMIT), (REPO, NEXT), (COPIED, COMMIT)] {
        let folder = repos.join(repo).join(commit);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("config.json"), "{\"model_type\":\"none\"}\n")?;
        for (number, mib) in SHARDS.iter().enumerate() {
            let name = shard(number);
            let other = commit == NEXT && name == CHANGED;
            let seed = number as u64 + if other { 100 } else { 1 };
            std::fs::write(folder.join(&name), bytes(seed, mib << 20))?;
        }
    }
    point(repos, REPO, "main", COMMIT)?;
    point(repos, COPIED, "main", COMMIT)
}

/// The program that a release carries.
fn program() -> Vec<u8> {
    let exe = std::env::current_exe().unwrap();
    let arch = std::env::consts::ARCH;
    let paths = exe
        .ancestors()
        .map(|a| a.join("node").join(arch).join("tandem-node"));
    let path = paths
        .into_iter()
        .find(|p| p.is_file())
        .expect("the node program is built: src-tauri/node/build.sh");
    std::fs::read(path).unwrap()
}

impl Scene {
    /// Two fresh machines with the program, and the Hub.
    pub(crate) async fn set() -> Self {
        let repos = Path::new(env!("CARGO_TARGET_TMPDIR")).join("weights");
        write(&repos).unwrap();
        let lab = Lab::start().await.expect("the lab starts");
        let hub = lab.hub(&repos).await.expect("the Hub starts");
        let program = program();
        let file = repos.join("tandem-node");
        std::fs::write(&file, program).unwrap();
        for spark in Spark::BOTH {
            Place::lab(&lab, spark, &file).await.unwrap();
            // It was uploaded long ago, when nobody thought of a loss of power.
            lab.must(spark, &["sync", "-f", "/home"]).await.unwrap();
        }
        let scene = Self {
            lab,
            hub,
            total: 0,
            repos,
        };
        let total = scene.sizes(COMMIT).values().sum();
        Self { total, ..scene }
    }

    fn folder(&self, commit: &str) -> PathBuf {
        self.repos.join(REPO).join(commit)
    }

    /// Lets the branch be another commit.
    pub(crate) fn point(&self, commit: &str) {
        point(&self.repos, REPO, "main", commit).unwrap();
    }

    /// The files of a commit with their bytes.
    pub(crate) fn sizes(&self, commit: &str) -> BTreeMap<String, u64> {
        let entries = std::fs::read_dir(self.folder(commit)).unwrap();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (name, entry.metadata().unwrap().len())
            })
            .collect()
    }

    /// The program on a machine.
    pub(crate) fn place(&self, spark: Spark) -> Place<'_> {
        Place::Lab {
            lab: &self.lab,
            spark,
        }
    }

    /// A fetch into a cache of its own, with the Hub's faults and counters as on the first day.
    pub(crate) async fn fresh(&self, name: &str) -> Job<'_> {
        self.hub.faults().clear();
        self.hub.counters().reset();
        self.point(COMMIT);
        let link = Link::Management(Spark::A);
        self.lab.rate(link, None).await.unwrap();
        self.fetch(Spark::A, name, &format!("/home/{USER}/{name}"))
    }

    /// Breaks the Hub for the repository, until the next [`Scene::fresh`].
    pub(crate) fn fault(&self, fault: Fault) {
        let path = match &fault.path {
            Some(file) => format!("{REPO}/{file}"),
            None => REPO.to_owned(),
        };
        self.hub.fault(fault.at(path));
    }

    /// A fetch of the branch into a Hugging Face home.
    pub(crate) fn fetch(&self, spark: Spark, name: &str, home: &str) -> Job<'_> {
        self.job(spark, name, home, REPO)
    }

    fn job(&self, spark: Spark, name: &str, home: &str, repo: &'static str) -> Job<'_> {
        Job {
            scene: self,
            spark,
            name: name.to_owned(),
            home: home.to_owned(),
            repo,
            work: NodeWork::Fetch(self.request(home, repo)),
        }
    }

    /// The fetch of what is copied.
    pub(crate) fn stock(&self, home: &str) -> Job<'_> {
        self.job(Spark::A, "stock", home, COPIED)
    }

    /// The second machine's copy from the first, both in this home.
    pub(crate) fn copy(&self, name: &str, home: &str) -> Job<'_> {
        Job {
            work: NodeWork::Copy(CopyRequest {
                fetch: self.request(home, COPIED),
                from: Spark::A.name().into(),
                streams: 2,
                share: None,
            }),
            ..self.job(Spark::B, name, home, COPIED)
        }
    }

    fn request(&self, home: &str, repo: &str) -> FetchRequest {
        FetchRequest {
            endpoint: self.hub.endpoint(),
            repositories: RepoFiles::all(repo, "main").into(),
            hf_home: Some(home.to_owned()),
            connections: CONNECTIONS,
            limits: FetchLimits::default(),
            proxy: None,
        }
    }

    /// Bytes of content that the Hub has given out.
    pub(crate) fn served(&self) -> u64 {
        self.hub.counters().read().bytes
    }

    /// Waits until the Hub has given out so many bytes.
    pub(crate) async fn served_is(&self, bytes: u64) {
        let what = format!("the Hub to give out {bytes} bytes");
        let there = || async { (self.served() >= bytes).then_some(()) };
        until(&what, SOON, there).await.unwrap();
    }

    /// Waits until the second machine has received so many bytes more than `before` over the cable.
    pub(crate) async fn crossed_is(&self, before: u64, bytes: u64) {
        let what = format!("{bytes} bytes to cross the cable");
        let there = || async { (self.crossed().await >= before + bytes).then_some(()) };
        until(&what, SOON, there).await.unwrap();
    }

    /// Bytes that the second machine has received over the cable.
    pub(crate) async fn crossed(&self) -> u64 {
        self.lab.received(Spark::B, Link::Cable).await.unwrap()
    }

    /// Bytes of a file that the Hub has given out.
    pub(crate) fn served_of(&self, file: &str) -> u64 {
        let files = self.hub.counters().read().files;
        files
            .get(&format!("{REPO}/{file}"))
            .map_or(0, |count| count.bytes)
    }

    /// Runs a script as root on a machine, with arguments.
    pub(crate) async fn sh(&self, spark: Spark, script: &str, arguments: &[&str]) -> String {
        let mut argv = vec!["sh", "-ec", script, "sh"];
        argv.extend(arguments);
        self.lab.must(spark, &argv).await.unwrap()
    }
}

/// What a problem says to a person.
pub(crate) fn told(problem: &Problem, code: Code) {
    assert_eq!(problem.code, code, "{problem}");
    assert!(!problem.message.is_empty(), "what happened: {problem:?}");
    assert!(problem.cause.is_some(), "why: {problem:?}");
    assert!(problem.fix.is_some(), "what to do: {problem:?}");
}

/// A job on a machine.
pub(crate) struct Job<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) spark: Spark,
    pub(crate) name: String,
    /// Its Hugging Face home.
    pub(crate) home: String,
    repo: &'static str,
    pub(crate) work: NodeWork,
}

impl Job<'_> {
    /// Starts it, or goes on.
    pub(crate) async fn start(&self) -> JobState {
        self.start_with(None).await
    }

    /// The same with a secret.
    pub(crate) async fn start_with(&self, secret: Option<&Secret>) -> JobState {
        let place = self.scene.place(self.spark);
        let started = place.start(&self.name, self.work.clone(), secret).await;
        let state = started.unwrap().expect("it starts");
        assert_eq!(state.state, JobStanding::Started, "{state:?}");
        state
    }

    /// Why it does not start.
    pub(crate) async fn refused(&self) -> Problem {
        let place = self.scene.place(self.spark);
        let started = place.start(&self.name, self.work.clone(), None).await;
        started.unwrap().expect_err("it does not start")
    }

    /// Its lines from one on, until it ends.
    pub(crate) async fn follow(&self, after: u64) -> Vec<NodeLine> {
        let place = self.scene.place(self.spark);
        place.follow(&self.name, after).await.unwrap()
    }

    /// Its end, which is a good one.
    pub(crate) async fn done(&self, started: &JobState) -> FetchReceipt {
        match self.follow(started.last_seq).await.pop().unwrap().event {
            NodeEvent::Done { result } => serde_json::from_value(result).unwrap(),
            other => panic!("{} ended as {other:?}", self.name),
        }
    }

    /// Its end, which says why it did not happen.
    pub(crate) async fn failed(&self, started: &JobState) -> Problem {
        match self.follow(started.last_seq).await.pop().unwrap().event {
            NodeEvent::Failed { problem } => problem,
            other => panic!("{} ended as {other:?}", self.name),
        }
    }

    /// Starts it and goes to its good end, after which the snapshot is the repository's.
    pub(crate) async fn completes(&self) -> FetchReceipt {
        let receipt = self.done(&self.start().await).await;
        self.same_files(&receipt.first.commit).await;
        receipt
    }

    /// Ends it from outside; what it has is kept.
    pub(crate) async fn cancel(&self) {
        let place = self.scene.place(self.spark);
        let state = place.answer(&["cancel", "--job", &self.name], "").await;
        assert_eq!(state.unwrap()["state"], "ended");
    }

    /// The repository's folder in the cache.
    pub(crate) fn folder(&self) -> String {
        let name = self.repo.replace('/', "--");
        format!("{}/hub/models--{name}", self.home)
    }

    /// The hash of every file below a folder of the cache whose path fits, as the machine reads it.
    async fn hashes(&self, below: &str, fits: &str) -> BTreeMap<String, String> {
        let script = "cd \"$1\" && find -L . -type f -regextype posix-extended -regex \"$2\" -exec sha256sum {} +";
        let folder = format!("{}/{below}", self.folder());
        let said = self.scene.sh(self.spark, script, &[&folder, fits]).await;
        let pairs = said.lines().map(|l| l.split_once("  ./").unwrap());
        pairs
            .map(|(hash, name)| (name.to_owned(), hash.to_owned()))
            .collect()
    }

    /// Every blob that stands under a hash has it, also before the end. Gives back how many there are.
    pub(crate) async fn nothing_wrong(&self) -> usize {
        let blobs = self.hashes("blobs", "./[0-9a-f]{64}").await;
        for (name, hash) in &blobs {
            assert_eq!(name, hash, "a blob is not what its name says");
        }
        blobs.len()
    }

    /// Names of blobs that are not finished, and of their notes.
    pub(crate) async fn unfinished(&self) -> Vec<String> {
        let script = "ls \"$1\"/blobs";
        let all = self.scene.sh(self.spark, script, &[&self.folder()]).await;
        let unfinished = all.lines().filter(|name| name.contains("tandem"));
        unfinished.map(str::to_owned).collect()
    }

    /// The snapshot is that of the repository, file for file and byte for byte, and so are all blobs.
    pub(crate) async fn same_files(&self, commit: &str) {
        let found = self.hashes(&format!("snapshots/{commit}"), ".*").await;
        let folder = self.scene.folder(commit);
        let of =
            |name: &String| hex::encode(Sha256::digest(std::fs::read(folder.join(name)).unwrap()));
        let wanted = self.scene.sizes(commit).into_keys();
        let wanted: BTreeMap<_, _> = wanted.map(|n| (n.clone(), of(&n))).collect();
        assert_eq!(found, wanted);
        self.nothing_wrong().await;
        if commit == COMMIT {
            let left = self.unfinished().await;
            assert!(left.is_empty(), "something unfinished is left: {left:?}");
        }
    }

    /// Fetches about half of it on a slow line and is cancelled there.
    pub(crate) async fn half(&self) {
        let link = Link::Management(self.spark);
        self.scene.lab.rate(link, Some(160)).await.unwrap();
        self.start().await;
        self.scene.served_is(self.scene.total / 2).await;
        self.cancel().await;
        self.scene.lab.rate(link, None).await.unwrap();
    }

    /// Over all of its starts the Hub gave out each byte once, but for what was in flight at each end.
    pub(crate) fn each_byte_once(&self, ends: u64) {
        let (served, total) = (self.scene.served(), self.scene.total);
        let most = total + ends * IN_FLIGHT;
        println!(
            "weights {}: {} bytes again, {} may be",
            self.name,
            served.saturating_sub(total),
            ends * IN_FLIGHT
        );
        assert!(
            (total..=most).contains(&served),
            "{served} bytes were given out for {total}; {most} at most"
        );
    }
}
