//! Looks what a fetch would find: what is here, what is missing, and how fast the Hub gives just now.
//! Nothing in the cache is changed, and what is read to measure the line is thrown away.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tandem_domain::artifact::copies::is_weights;
use tandem_domain::checkpoint::config;
use tandem_domain::checkpoint::index;
use tandem_domain::node::{FileFault, Survey, SurveyRequest};
use tandem_domain::secret::Secret;

use crate::cache::Cache;
use crate::context::Context;
use crate::disk;
use crate::fetch::{ListedRepo, PARTIAL, selected_files, with_ending};
use crate::hub::{Hub, Remote, limited};
use crate::stop::Stop;

/// How long the line is measured at most.
const PROBE: Duration = Duration::from_secs(3);
/// The first part of a measurement is the connections' start and does not count.
const WARM_UP: Duration = Duration::from_millis(700);
/// A file that is read to be understood may not be larger.
const READABLE: u64 = 32 << 20;

/// Carries a survey out.
pub async fn survey(
    request: &SurveyRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<Survey, Stop> {
    let cache = Cache::find(request.hf_home.as_deref())?;
    let hub = context.hub(&request.endpoint, token)?;
    let repos = selected_files(&hub, &request.repositories).await?;
    let mut found = on_disk(&cache, &repos);
    let first = &repos[0].files;
    let config = read(&hub, first.get(config::FILE)).await;
    let index = read(&hub, first.get(index::FILE)).await;
    // Where the same weights are there in two forms, the index names those that are served.
    if let Some(named) = index.as_deref().and_then(|text| index::parse(text).ok()) {
        let shards: BTreeSet<&String> = named.weight_map.values().collect();
        let of_model = first.iter().filter(|(name, _)| is_weights(name));
        let all: u64 = of_model.clone().map(|(_, f)| f.size.bytes()).sum();
        let served = of_model.filter(|(name, _)| shards.contains(name));
        let served: u64 = served.map(|(_, f)| f.size.bytes()).sum();
        if served > 0 {
            found.weights -= all - served;
        }
    }
    found.mtp_built_in = mtp_in(config.as_deref(), index.as_deref());
    found.config = config.and_then(|c| String::from_utf8(c).ok());
    let largest = repos.iter().flat_map(|r| r.files.values());
    let largest = largest.max_by_key(|f| f.size);
    if let Some(remote) = largest.filter(|_| request.probe > 0 && found.missing > 0) {
        found.rate = measure(&hub, remote, request.probe.min(32), context).await;
    }
    Ok(found)
}

/// Compares the cache with what was selected.
fn on_disk(cache: &Cache, repos: &[ListedRepo]) -> Survey {
    let mut found = Survey {
        commit: repos[0].commit.clone(),
        free: disk::space(&cache.repo(&repos[0].repo)).map_or(0, |(free, _)| free),
        ..Survey::default()
    };
    let mut seen = BTreeSet::new();
    for one in repos {
        let weights = one.files.iter();
        let weights = weights.filter(|(name, _)| is_weights(name));
        found.files += one.files.len() as u32;
        found.bytes += one.bytes();
        found.weights += weights.map(|(_, f)| f.size.bytes()).sum::<u64>();
        let snapshot = cache.snapshot(&one.repo, &one.commit);
        for (name, remote) in &one.files {
            if let Some(fault) = foreign(&snapshot.join(name)) {
                found.foreign.push(FileFault {
                    name: name.clone(),
                    fault,
                });
            }
            let blob = cache.blob(&one.repo, &remote.etag);
            if cache.holds(&one.repo, &remote.etag, remote.size.bytes()) {
                found.here += remote.size.bytes();
            } else if seen.insert(blob.clone()) {
                let begun = begun(&with_ending(&blob, PARTIAL)).min(remote.size.bytes());
                found.partial += begun;
                found.missing += remote.size.bytes() - begun;
            }
        }
    }
    let repos: BTreeSet<&str> = repos.iter().map(|one| one.repo.as_str()).collect();
    for repo in repos {
        let blobs = cache.repo(repo).join("blobs");
        found.foreign.extend(unfinished(&blobs));
    }
    found
}

/// Bytes that an unfinished blob has on the disk. It is written out of order, so its length says nothing.
fn begun(partial: &Path) -> u64 {
    std::fs::metadata(partial).map_or(0, |m| m.blocks().saturating_mul(512))
}

/// What somebody put where a link to a blob belongs.
fn foreign(path: &Path) -> Option<String> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    (!meta.is_symlink()).then(|| {
        "A file of somebody's own stands in the snapshot; it is left as it is and not checked."
            .to_owned()
    })
}

/// Blobs that `hf download` left unfinished: of no use to anybody any more.
fn unfinished(blobs: &Path) -> Vec<FileFault> {
    let Ok(entries) = std::fs::read_dir(blobs) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|x| x == "incomplete"))
        .map(|e| FileFault {
            name: e.file_name().to_string_lossy().into_owned(),
            fault: format!(
                "Another program left {} of a file unfinished; Tandem cannot go on from it.",
                tandem_domain::problem::bytes(e.metadata().map_or(0, |m| m.len()))
            ),
        })
        .collect()
}

/// A small file's bytes. What cannot be read is not known: a survey only tells.
async fn read(hub: &Hub, remote: Option<&Remote>) -> Option<Vec<u8>> {
    let remote = remote.filter(|r| (1..=READABLE).contains(&r.size.bytes()))?;
    let answer = hub.get(&remote.url, None).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let bytes = limited(answer, remote.size.bytes()).await.ok()?;
    (bytes.len() as u64 == remote.size.bytes()).then_some(bytes)
}

/// Whether the index has a tensor of a layer beyond the model's own.
fn mtp_in(config: Option<&[u8]>, index: Option<&[u8]>) -> Option<bool> {
    let config = config::parse(config::FILE, config?).ok()?;
    let layers = config::layers(&config).ok()?;
    let index = index::parse(index?).ok()?;
    Some(index.from_layer(layers.hidden_layers).next().is_some())
}

/// Reads ranges of one file over several connections for a while, and gives bytes per second. What the
/// connections need to start does not count.
async fn measure(hub: &Hub, remote: &Remote, connections: u16, context: &Context) -> Option<f64> {
    let counted = AtomicU64::new(0);
    let started = Instant::now();
    let share = remote.size.bytes() / u64::from(connections);
    let readers = (0..u64::from(connections)).map(|n| {
        let counted = &counted;
        async move {
            let range = (share > 0).then(|| (n * share, (n + 1) * share));
            let mut answer = hub.get(&remote.url, range).await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            while let Some(chunk) = answer.chunk().await.ok()? {
                if started.elapsed() > WARM_UP {
                    counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                }
            }
            Some(())
        }
    });
    let all = futures::future::join_all(readers);
    tokio::select! {
        _ = all => {}
        () = tokio::time::sleep(PROBE) => {}
        () = context.cancel.cancelled() => return None,
    }
    let counted = counted.load(Ordering::Relaxed);
    let time = started.elapsed().saturating_sub(WARM_UP);
    (counted > 0 && time > Duration::from_millis(200)).then(|| counted as f64 / time.as_secs_f64())
}
