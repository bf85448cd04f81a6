//! Finds the items: known places only, and never through a link that leads out of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tandem_domain::disk::Held;
use tandem_domain::node::disk::{DiskItem, DiskKind};

use super::below;
use crate::cache::Cache;
use crate::check::{entries, foreign_owner, references};
use crate::selected;

/// An item with what a removal and the accounts have to know.
#[derive(Debug, Clone)]
pub(super) struct ScannedItem {
    pub(super) item: DiskItem,
    pub(super) held: Vec<Held>,
    /// Files and links to be removed, and then folders, the deepest first.
    pub(super) files: Vec<PathBuf>,
    pub(super) folders: Vec<PathBuf>,
    /// The repository whose lock says that a job works on it.
    pub(super) repo: Option<String>,
}

/// Caches of servers and compilers below the user's home, with what they are called.
const COMPILED: [(&str, &str); 6] = [
    (".cache/vllm", "vLLM: torch.compile, graphs, autotuning"),
    (".cache/flashinfer", "FlashInfer kernels"),
    (".triton", "Triton kernels"),
    (".cache/torch_extensions", "PyTorch extensions"),
    (".cache/torch/kernels", "PyTorch kernels"),
    (".nv/ComputeCache", "CUDA kernels"),
];

/// Looks at all known places.
pub(super) fn scan(cache: &Cache, user_home: Option<&Path>) -> Vec<ScannedItem> {
    let mut all = Vec::new();
    for repo in folders(&cache.hub()) {
        let folder = repo.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = folder.strip_prefix("models--") {
            of_repo(cache, &repo, &name.replacen("--", "/", 1), &mut all);
        }
    }
    of_store(cache, &mut all);
    for repo in folders(&cache.home().join("tandem")) {
        for checkpoint in folders(&repo) {
            all.push(made(&repo, &checkpoint));
        }
    }
    let mut tree = |kind, name: &str, path: PathBuf| all.extend(of_tree(kind, name, &path));
    tree(
        DiskKind::DownloadCache,
        "Xet chunks of the Hugging Face downloader",
        cache.home().join("xet"),
    );
    for (place, name) in COMPILED.iter().filter_map(|(place, name)| {
        let path = user_home?.join(place);
        Some((path, *name))
    }) {
        tree(DiskKind::CompileCache, name, place);
    }
    all
}

/// Folders in a folder that are no links, sorted.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = list
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// A revision, an item in the making.
struct Revision {
    snapshot: PathBuf,
    commit: String,
    entries: Vec<(String, PathBuf)>,
    /// The blobs it leads to, by the first step of each link.
    blobs: BTreeSet<PathBuf>,
}

/// The revisions of a repository, what is unfinished in it, and what nobody leads to.
fn of_repo(cache: &Cache, repo: &Path, name: &str, all: &mut Vec<ScannedItem>) {
    let blobs = repo.join("blobs");
    let refs = references(repo);
    let revisions: Vec<Revision> = folders(&repo.join("snapshots"))
        .into_iter()
        .map(|snapshot| {
            let entries = entries(&snapshot);
            let of_cache = |path: &PathBuf| {
                let target = std::fs::read_link(path).ok()?;
                // Whatever way it is written, only its last name counts, and only in this folder.
                let blob = blobs.join(target.file_name()?);
                std::fs::symlink_metadata(&blob).is_ok().then_some(blob)
            };
            Revision {
                commit: file_name(&snapshot),
                blobs: entries.iter().filter_map(|(_, p)| of_cache(p)).collect(),
                entries,
                snapshot,
            }
        })
        .collect();
    let only = revisions.len() == 1;
    for revision in &revisions {
        all.push(of_revision(cache, repo, name, revision, &refs, only));
    }
    let used: BTreeSet<&PathBuf> = revisions.iter().flat_map(|r| &r.blobs).collect();
    let (mut unfinished, mut leftover) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(&blobs).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) || used.contains(&path) {
            continue;
        }
        // A whole blob is called by its hash alone; everything else has an ending of its own.
        if file_name(&path).contains('.') {
            unfinished.push(path);
        } else {
            leftover.push(path);
        }
    }
    let parts = [
        (DiskKind::Unfinished, unfinished),
        (DiskKind::Leftover, leftover),
    ];
    for (kind, files) in parts {
        if !files.is_empty() {
            // Both are in one folder, so that the kind tells them apart.
            all.push(of_files(kind, name, &blobs, files, repo));
        }
    }
}

fn of_revision(
    cache: &Cache,
    repo: &Path,
    name: &str,
    revision: &Revision,
    refs: &[(String, String)],
    only: bool,
) -> ScannedItem {
    let mut found = empty(DiskKind::Revision, name, &revision.snapshot);
    found.repo = Some(name.to_owned());
    found.item.commit = Some(revision.commit.clone());
    let own_refs = refs.iter().filter(|(_, to)| *to == revision.commit);
    found.item.refs = own_refs.map(|(name, _)| name.clone()).collect();
    found.item.foreign = [repo.to_path_buf(), revision.snapshot.clone()]
        .iter()
        .find_map(|p| foreign_owner(p));
    let mut times = Times::default();
    for (_, path) in &revision.entries {
        found.item.files += 1;
        found.files.push(path.clone());
        let Ok(meta) = std::fs::metadata(path) else {
            found.item.missing += 1;
            continue;
        };
        times.see(&meta);
        let through_a_link = std::fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
        if !through_a_link {
            found.held.push(held(&meta));
        }
    }
    for blob in &revision.blobs {
        let Ok(meta) = std::fs::metadata(blob) else {
            continue;
        };
        found.item.foreign = found.item.foreign.take().or_else(|| foreign_owner(blob));
        found.held.push(held(&meta));
        found.files.push(blob.clone());
        found.files.extend(of_shared_store(cache, blob));
    }
    for name in &found.item.refs {
        let reference = repo.join("refs").join(name);
        let meta = std::fs::symlink_metadata(&reference).ok();
        found.held.extend(meta.map(|meta| held(&meta)));
        found.files.push(reference);
    }
    found.files.extend(selected::kept(repo, &revision.commit));
    found.folders = tree_of(&revision.snapshot);
    found.folders.push(selected::folder(repo));
    if only {
        // With the last revision goes the repository, as far as it is empty then.
        for folder in ["refs", "snapshots", "blobs", ".no_exist"] {
            found.folders.extend(tree_of(&repo.join(folder)));
        }
        found.folders.push(repo.to_path_buf());
    }
    found.item.used_at = times.last;
    found
}

/// The file of the shared store behind a blob, unless another repository leads there too.
fn of_shared_store(cache: &Cache, blob: &Path) -> Option<PathBuf> {
    let is_link = std::fs::symlink_metadata(blob).ok()?.is_symlink();
    let real = is_link.then(|| std::fs::canonicalize(blob).ok())??;
    let store = std::fs::canonicalize(cache.hub().join("blobs")).ok()?;
    let mine = real.starts_with(&store) && leading_to(cache).get(&real) == Some(&1);
    mine.then_some(real)
}

/// How many blobs of repositories lead to each file of the shared store.
fn leading_to(cache: &Cache) -> BTreeMap<PathBuf, u32> {
    let mut count = BTreeMap::new();
    for repo in folders(&cache.hub()) {
        for entry in std::fs::read_dir(repo.join("blobs"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink())
                && let Ok(real) = std::fs::canonicalize(entry.path())
            {
                *count.entry(real).or_insert(0) += 1;
            }
        }
    }
    count
}

/// Files of the shared store that no repository leads to.
fn of_store(cache: &Cache, all: &mut Vec<ScannedItem>) {
    let store = cache.hub().join("blobs");
    let used = leading_to(cache);
    let mut files = Vec::new();
    below(&store, &mut |path, meta| {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if meta.is_file() && !used.contains_key(&real) {
            files.push(path.to_path_buf());
        }
    });
    if !files.is_empty() && std::fs::symlink_metadata(&store).is_ok_and(|m| m.is_dir()) {
        let name = "The store that repositories share";
        all.push(of_files(DiskKind::Leftover, name, &store, files, &store));
    }
}

/// Some files of one folder.
fn of_files(
    kind: DiskKind,
    name: &str,
    folder: &Path,
    files: Vec<PathBuf>,
    repo: &Path,
) -> ScannedItem {
    let mut found = empty(kind, name, folder);
    found.repo = name.contains('/').then(|| name.to_owned());
    found.item.foreign = foreign_owner(repo);
    let mut times = Times::default();
    for path in &files {
        let Ok(meta) = std::fs::symlink_metadata(path) else {
            continue;
        };
        found.item.files += 1;
        times.see(&meta);
        found.item.foreign = found.item.foreign.take().or_else(|| foreign_owner(path));
        found.held.push(held(&meta));
    }
    found.item.used_at = times.last;
    found.files = files;
    found
}

/// A checkpoint in the folder that Tandem keeps beside the cache.
fn made(repo: &Path, checkpoint: &Path) -> ScannedItem {
    let name = file_name(checkpoint);
    let kind = if name.starts_with('.') {
        DiskKind::Unfinished
    } else if name.ends_with("-mtp") {
        DiskKind::Overlay
    } else {
        DiskKind::Draft
    };
    let mut found = of_tree(kind, &file_name(repo).replacen("--", "/", 1), checkpoint)
        .unwrap_or_else(|| empty(kind, &file_name(repo), checkpoint));
    let commit = name.trim_start_matches('.');
    let commit = commit.split('-').next().unwrap_or_default();
    found.item.commit = (commit.len() == 40).then(|| commit.to_owned());
    found.folders.push(repo.to_path_buf());
    found
}

/// A folder with all that is in it; `None` where it is not there, or a link.
fn of_tree(kind: DiskKind, name: &str, folder: &Path) -> Option<ScannedItem> {
    if !std::fs::symlink_metadata(folder).ok()?.is_dir() {
        return None;
    }
    let mut found = empty(kind, name, folder);
    let mut times = Times::default();
    found.item.foreign = foreign_owner(folder);
    below(folder, &mut |path, meta| {
        found.item.files += 1;
        times.see(meta);
        found.held.push(held(meta));
        found.files.push(path.to_path_buf());
        if found.item.foreign.is_none() {
            found.item.foreign = foreign_owner(path);
        }
    });
    found.folders = tree_of(folder);
    found.item.used_at = times.last;
    Some(found)
}

/// The folders of a tree, the deepest first, with its root.
fn tree_of(folder: &Path) -> Vec<PathBuf> {
    let mut tree = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(next) = todo.pop() {
        todo.extend(folders(&next));
        tree.push(next);
    }
    tree.reverse();
    tree
}

fn held(meta: &Metadata) -> Held {
    Held {
        file: (meta.dev(), meta.ino()),
        bytes: meta.blocks().saturating_mul(512),
        names: meta.nlink(),
        goes: 1,
    }
}

fn empty(kind: DiskKind, name: &str, path: &Path) -> ScannedItem {
    ScannedItem {
        item: DiskItem {
            kind,
            path: path.to_string_lossy().into_owned(),
            name: name.to_owned(),
            commit: None,
            refs: Vec::new(),
            files: 0,
            size: 0,
            frees: 0,
            used_at: None,
            missing: 0,
            foreign: None,
            busy: None,
        },
        held: Vec::new(),
        files: Vec::new(),
        folders: Vec::new(),
        repo: None,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The latest time at which one of several files was read or written.
#[derive(Default)]
struct Times {
    last: Option<i64>,
}

impl Times {
    fn see(&mut self, meta: &Metadata) {
        let latest = meta.atime().max(meta.mtime()) * 1000;
        self.last = self.last.max(Some(latest));
    }
}
