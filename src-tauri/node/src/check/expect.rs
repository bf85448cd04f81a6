//! What should be in a revision: as the Hub lists it, or as the cache itself tells.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tandem_domain::node::disk::CheckRequest;
use tandem_domain::problem::Problem;
use tandem_domain::repository::{is_commit, is_revision};

use crate::cache::Cache;
use crate::fetch::wanted;
use crate::hub::Hub;
use crate::selected::SelectedFiles;
use crate::stop::Stop;

/// One file that should be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExpectedFile {
    /// Its bytes, where that is known.
    pub size: Option<u64>,
    /// What its blob is called, which is its hash, where that is known.
    pub etag: Option<String>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The commit.
    pub commit: String,
    /// Which of its files should be there.
    pub(crate) selected: SelectedFiles,
    /// The files by name.
    pub files: BTreeMap<String, ExpectedFile>,
    /// What cannot be looked at this way, as sentences.
    pub unchecked: Vec<String>,
    /// Why the Hub was not asked, where it was not.
    pub offline: Option<Problem>,
}

/// Asks the Hub; where it does not answer, the cache.
pub(super) async fn ask(
    cache: &Cache,
    request: &CheckRequest,
    hub: &Hub,
) -> Result<Expected, Stop> {
    let listed = async {
        let listing = hub.revision(&request.repo, &request.commit).await?;
        let selected = selected(cache, request, &listing.commit);
        let files = wanted(hub, &request.repo, &listing, &selected).await?;
        Ok::<_, Stop>((listing.commit, selected, files.wanted))
    }
    .await;
    match listed {
        Ok((commit, selected, files)) => Ok(Expected {
            commit,
            selected,
            files: files
                .into_iter()
                .map(|(name, remote)| {
                    let wanted = ExpectedFile {
                        size: Some(remote.size.bytes()),
                        etag: Some(remote.etag),
                    };
                    (name, wanted)
                })
                .collect(),
            unchecked: Vec::new(),
            offline: None,
        }),
        Err(Stop::Hub(error)) if error.is_of_the_line() && !request.online => {
            here(cache, request, error.problem()).map_err(Stop::from)
        }
        Err(other) => Err(other),
    }
}

/// What the cache tells by itself: each link of the snapshot is called as its file and leads to a blob
/// that is called as its hash.
pub fn here(cache: &Cache, request: &CheckRequest, why: Problem) -> Result<Expected, Problem> {
    let commit = resolved(cache, request);
    let snapshot = commit
        .as_ref()
        .map(|commit| cache.snapshot(&request.repo, commit))
        .filter(|path| path.is_dir());
    let (Some(commit), Some(snapshot)) = (commit, snapshot) else {
        return Err(why); // without a snapshot there is nothing that could be checked
    };
    let mut files = BTreeMap::new();
    let mut nameless = Vec::new();
    let selected = selected(cache, request, &commit);
    let entries = entries(&snapshot).into_iter();
    for (name, path) in entries.filter(|(name, _)| selected.takes(name)) {
        let etag = std::fs::read_link(&path)
            .ok()
            .and_then(|target| Some(target.file_name()?.to_str()?.to_owned()))
            .filter(|etag| crate::digest::Hasher::of_etag(etag, 0).is_some());
        if etag.is_none() {
            nameless.push(name.clone());
        }
        files.insert(name, ExpectedFile { size: None, etag });
    }
    let mut unchecked = vec![format!(
        "Whether the Hub lists files that are not here at all, because it could not be asked: {}",
        why.message
    )];
    if !nameless.is_empty() {
        unchecked.push(format!(
            "The content of {}, because nothing here says what its hash should be.",
            nameless.join(", ")
        ));
    }
    Ok(Expected {
        commit,
        selected,
        files,
        unchecked,
        offline: Some(why),
    })
}

fn selected(cache: &Cache, request: &CheckRequest, commit: &str) -> SelectedFiles {
    SelectedFiles::of(request.files.as_ref(), cache, &request.repo, commit)
}

/// The commit of a request: given itself, or by a reference of the cache.
fn resolved(cache: &Cache, request: &CheckRequest) -> Option<String> {
    let name = request.commit.as_str();
    if is_commit(name) {
        return Some(name.to_owned());
    }
    let path = is_revision(name).then(|| cache.reference(&request.repo, name))?;
    let commit = std::fs::read_to_string(path).ok()?.trim().to_owned();
    is_commit(&commit).then_some(commit)
}

/// Files and links of a snapshot, by their names in the repository. Folders that are links are not
/// entered: they are none of the cache's.
pub(crate) fn entries(snapshot: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![snapshot.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if let Ok(name) = path.strip_prefix(snapshot) {
                found.push((name.to_string_lossy().into_owned(), path));
            }
        }
    }
    found.sort();
    found
}
