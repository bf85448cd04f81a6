//! What a fetch is to bring: the selected files of each repository, as the Hub has them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use tandem_domain::artifact::Selection;
use tandem_domain::artifact::complete::Selected;
use tandem_domain::artifact::copies::Copies;
use tandem_domain::checkpoint::index;
use tandem_domain::node::{FetchRequest, RepoFiles, Repositories};
use tandem_domain::problem::{Problem, bytes};
use tandem_domain::secret::Secret;
use tandem_domain::sizes::FileSize;

use crate::context::Context;
use crate::hub::{Hub, HubError, Listing, Remote, Way};
use crate::selected::SelectedFiles;
use crate::stop::Stop;

/// All addresses of files that are kept at once, in bytes: of ten thousand files with signed ones.
const ADDRESSES: usize = 20 << 20;
/// An index may not be larger.
const READABLE: u64 = 32 << 20;

/// The selected files of a repository.
#[derive(Clone)]
pub(crate) struct ListedRepo {
    pub(crate) repo: String,
    /// As it was asked for.
    pub(crate) revision: String,
    /// What it means.
    pub(crate) commit: String,
    /// Which files were asked for.
    pub(crate) selection: Selection,
    /// Copies of the weights that are not among the files.
    pub(crate) copies: Copies,
    pub(crate) files: BTreeMap<String, Remote>,
}

impl ListedRepo {
    /// Bytes of the selected files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|f| f.size.bytes()).sum()
    }
}

/// All that a request is to bring, and the Hub that has it.
pub(crate) struct Listed {
    pub(crate) hub: Arc<Hub>,
    pub(crate) repos: Vec<ListedRepo>,
}

/// A blob of one of the repositories.
pub(crate) struct ListedBlob {
    /// The first repository that has it.
    pub(crate) repo: String,
    pub(crate) size: u64,
}

impl Listed {
    /// Every blob by its name in the cache, which is the hash of its content: what two repositories share is
    /// one.
    pub(crate) fn blobs(&self) -> BTreeMap<String, ListedBlob> {
        let mut blobs = BTreeMap::new();
        for one in &self.repos {
            for remote in one.files.values() {
                blobs
                    .entry(remote.etag.clone())
                    .or_insert_with(|| ListedBlob {
                        repo: one.repo.clone(),
                        size: remote.size.bytes(),
                    });
            }
        }
        blobs
    }
}

/// Asks the Hub what a request is to bring. Refuses a selection that cannot be used.
pub(crate) async fn listed(
    request: &FetchRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<Listed, Stop> {
    let hub = Arc::new(reached(request, token, context)?);
    let repos = selected_files(&hub, &request.repositories).await?;
    for one in repos.iter().filter(|one| !one.copies.names.is_empty()) {
        context.lines.note(format!(
            "{} of {} are not fetched: {}, copies of the weights for other programs.",
            bytes(one.copies.bytes),
            one.repo,
            one.copies.places.join(", ")
        ));
    }
    Ok(Listed { hub, repos })
}

/// The Hub, reached as a request says.
fn reached(
    request: &FetchRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<Hub, Problem> {
    let way = Way {
        patience: context.settings.patience,
        silence: context.settings.silence,
        proxy: request.proxy.clone(),
    };
    Hub::with(&request.endpoint, token, way, context.cancel.clone())
}

/// The selected files of repositories. Refuses a selection that cannot be used.
pub(crate) async fn selected_files(
    hub: &Hub,
    repositories: &Repositories,
) -> Result<Vec<ListedRepo>, Stop> {
    let (mut listings, mut has_tokenizer) = (Vec::new(), Vec::new());
    for what in repositories.iter() {
        let listing = hub.revision(&what.repo, &what.revision).await?;
        let none = BTreeMap::new();
        let selected = of_names(what, &listing.files, &none);
        let mut indexes = BTreeMap::new();
        for name in selected.indexes_to_read() {
            if let Some(shards) = shards(hub, &what.repo, &listing.commit, name).await? {
                indexes.insert(name.to_owned(), shards);
            }
        }
        has_tokenizer.push(selected.has_tokenizer());
        listings.push((what, listing, indexes));
    }
    let mut repos = Vec::new();
    for (n, (what, listing, indexes)) in listings.iter().enumerate() {
        let selected = of_names(what, &listing.files, indexes);
        let mut others = has_tokenizer.iter().enumerate();
        selected
            .check(others.any(|(other, has)| other != n && *has))
            .map_err(|fault| fault.problem(&what.repo, &what.revision, &selected))?;
        let selected = SelectedFiles::from(&what.files);
        let files = wanted(hub, &what.repo, listing, &selected).await?;
        repos.push(ListedRepo {
            repo: what.repo.clone(),
            revision: what.revision.clone(),
            commit: listing.commit.clone(),
            selection: what.files.clone(),
            copies: files.copies,
            files: files.wanted,
        });
    }
    Ok(repos)
}

/// The files of a revision that are wanted, and what of it is not.
pub(crate) struct WantedFiles {
    pub(crate) wanted: BTreeMap<String, Remote>,
    /// Copies of the weights that nobody asked for.
    pub(crate) copies: Copies,
}

/// Size and hash of each file of a listing that is wanted. Copies of the weights are wanted by name alone.
pub(crate) async fn wanted(
    hub: &Hub,
    repo: &str,
    listing: &Listing,
    selected: &SelectedFiles,
) -> Result<WantedFiles, Stop> {
    let names = listing.files.iter().filter(|name| selected.takes(name));
    let names: Vec<String> = names.cloned().collect();
    let mut wanted = heads(hub, repo, &listing.commit, &names).await?;
    let find = |wanted: &BTreeMap<String, Remote>, of_index: &BTreeSet<String>| {
        let sizes = wanted.iter().map(|(name, f)| (&**name, f.size.bytes()));
        let mut found = Copies::find(sizes, of_index);
        found.names.retain(|name| !selected.names(name));
        found
    };
    let mut copies = find(&wanted, &BTreeSet::new());
    if !copies.names.is_empty() && wanted.contains_key(index::FILE) {
        let named = shards(hub, repo, &listing.commit, index::FILE).await?;
        copies = find(&wanted, &named.unwrap_or_default());
    }
    wanted.retain(|name, _| !copies.names.contains(name));
    Ok(WantedFiles { wanted, copies })
}

fn of_names<'a>(
    what: &'a RepoFiles,
    names: &'a [String],
    indexes: &'a BTreeMap<String, BTreeSet<String>>,
) -> Selected<'a> {
    Selected {
        names,
        selection: &what.files,
        indexes,
    }
}

/// The shards that an index names; `None` where it is none.
async fn shards(
    hub: &Hub,
    repo: &str,
    commit: &str,
    name: &str,
) -> Result<Option<BTreeSet<String>>, Stop> {
    let text = hub.read(repo, commit, name, READABLE).await?;
    let index = index::parse(&text).ok();
    Ok(index.map(|index| index.weight_map.into_values().collect()))
}

/// Asks for size and hash of every file. Refuses more bytes than a revision can have, and addresses that
/// together are longer than can be kept.
async fn heads(
    hub: &Hub,
    repo: &str,
    commit: &str,
    files: &[String],
) -> Result<BTreeMap<String, Remote>, Stop> {
    let unusable = |cause: String| {
        Stop::from(HubError::NotUsable {
            repo: repo.to_owned(),
            cause,
        })
    };
    let mut remotes = stream::iter(files)
        .map(|name| async move {
            let remote = hub.head(repo, commit, name).await;
            // It was the Hub that listed it.
            let gone = |error: &HubError| matches!(error, HubError::FileMissing { .. });
            match remote {
                Err(Stop::Hub(error)) if gone(&error) => Err(HubError::CommitGone {
                    repo: repo.to_owned(),
                    commit: commit.to_owned(),
                    file: name.clone(),
                }
                .into()),
                remote => Ok::<_, Stop>((name, remote?)),
            }
        })
        .buffer_unordered(6);
    let (mut found, mut addresses) = (BTreeMap::new(), 0);
    while let Some((name, remote)) = remotes.try_next().await? {
        addresses +=
            remote.url.as_str().len() + remote.leave.as_ref().map_or(0, |u| u.as_str().len());
        if addresses > ADDRESSES {
            return Err(unusable(
                "The addresses of its files are too long together.".into(),
            ));
        }
        found.insert(name.clone(), remote);
    }
    drop(remotes);
    FileSize::sum(found.values().map(|remote| remote.size))
        .map_err(|why| unusable(format!("Of {repo}: {why}.")))?;
    Ok(found)
}
