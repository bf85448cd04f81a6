//! Gives a snapshot its MTP layers, in a checkpoint beside it. The snapshot is read and never written.
//!
//! Everything is made in a hidden folder next to the final one, which is renamed at the end: the
//! checkpoint is there whole or not at all. Unchanged files are hard links to the cache's blobs.

mod build;
mod manifest;
mod own;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::graft::header::Header;
use tandem_domain::graft::plan::{self, Plan, Standing};
use tandem_domain::graft::{GraftError, check, config, header, index, python};
use tandem_domain::node::{GraftKind, GraftReceipt, GraftRequest};
use tandem_domain::problem::{Code, Problem, bytes};
use tandem_domain::secret::Secret;

use crate::cache::{Cache, check_repo};
use crate::hub::{Hub, Source};
use crate::transfer::{Meter, Reporter};
use crate::work::{Context, Stop};

pub use manifest::Manifest;
use own::Own;
pub(crate) use own::local_header;

/// The longest index or configuration that is read into memory.
const LONGEST_JSON: u64 = 16 << 20;

/// The hidden folder in which a checkpoint is made.
pub fn unfinished(overlay: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(overlay.file_name().unwrap_or_default());
    name.push(".unfinished");
    overlay.with_file_name(name)
}

/// Looks, without asking the Hub, whether there is nothing left to do.
pub fn look(request: &GraftRequest) -> Result<Option<GraftReceipt>, Problem> {
    check_repo(&request.repo)?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let snapshot = cache.snapshot(&request.repo, &request.commit);
    if !snapshot.is_dir() {
        return Ok(None);
    }
    let own = Own::read(&snapshot)?;
    if let Some(receipt) = built_in(&own, &snapshot)? {
        return Ok(Some(receipt));
    }
    Ok(Manifest::existing(&cache, request)
        .map(|m| m.receipt(&cache.overlay(&request.repo, &request.commit), 0)))
}

/// Carries a graft out.
pub async fn graft(
    request: &GraftRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<GraftReceipt, Stop> {
    check_repo(&request.repo)?;
    check_repo(&request.source_repo)?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let snapshot = cache.snapshot(&request.repo, &request.commit);
    if !snapshot.is_dir() {
        return Err(Problem::new(
            Code::CheckpointIncomplete,
            format!("{} is not on this machine.", request.repo),
        )
        .cause(format!("{} is not there.", snapshot.display()))
        .fix("Fetch the weights first.")
        .into());
    }
    let own = Own::read(&snapshot)?;
    if let Some(receipt) = built_in(&own, &snapshot)? {
        context
            .lines
            .note("The revision has its MTP layers already; there is nothing to graft.");
        return Ok(receipt);
    }
    let overlay = cache.overlay(&request.repo, &request.commit);
    if let Some(manifest) = Manifest::existing(&cache, request) {
        context
            .lines
            .note("The checkpoint with the MTP layers was made before and is whole.");
        return Ok(manifest.receipt(&overlay, context.fetched.total()));
    }

    let meter = Meter::new("Asking the Hub where the MTP layers are");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let hub = Arc::new(Hub::new(
        &request.endpoint,
        token,
        context.settings.patience,
        context.cancel.clone(),
    )?);
    let donor = Donor::ask(&hub, request, context).await?;
    let new_config = config::extended(&own.config, &donor.config).map_err(|e| shape(&e))?;
    let replaced_python = good_python(&own, &hub, request, &donor, context).await?;
    let parts = if own.complete() {
        None
    } else {
        Some(donor.plan(&hub, request, context).await?)
    };
    build::build(
        build::Site {
            cache: &cache,
            request,
            snapshot: &snapshot,
            overlay: &overlay,
            own: &own,
            source_commit: &donor.commit,
        },
        build::Content {
            config: new_config,
            python: replaced_python,
            parts,
        },
        hub,
        meter,
        context,
    )
    .await
}

/// The receipt of a revision that can serve MTP as it is.
fn built_in(own: &Own, snapshot: &Path) -> Result<Option<GraftReceipt>, Problem> {
    let Standing::Complete { tensors, files } = own.standing() else {
        return Ok(None);
    };
    if !own.truncated().is_empty() || own.python_truncates() {
        return Ok(None);
    }
    let mut tensor_bytes = 0;
    for file in &files {
        let header = own::local_header(&snapshot.join(file), file)?;
        tensor_bytes += header
            .tensors
            .iter()
            .filter(|t| index::layer(&t.name).is_some_and(|n| n >= own.text.hidden_layers))
            .map(header::Tensor::bytes)
            .sum::<u64>();
    }
    Ok(Some(GraftReceipt {
        kind: GraftKind::BuiltIn,
        path: snapshot.to_string_lossy().into_owned(),
        tensors,
        tensor_bytes,
        fetched: 0,
        written: Vec::new(),
    }))
}

/// The release that has the layers.
struct Donor {
    commit: String,
    files: Vec<String>,
    config: serde_json::Value,
    index: index::Index,
}

/// The new file's plan, and the source's files to read from.
pub(crate) struct Parts {
    pub(crate) plan: Plan,
    pub(crate) sources: BTreeMap<String, Arc<Source>>,
}

impl Donor {
    async fn ask(hub: &Hub, request: &GraftRequest, context: &Context) -> Result<Self, Stop> {
        let repo = &request.source_repo;
        let listing = hub.revision(repo, &request.source_revision).await?;
        let read = async |file: &str| {
            let text = hub.read(repo, &listing.commit, file, LONGEST_JSON).await?;
            context.fetched.add(text.len() as u64);
            Ok::<_, Stop>(text)
        };
        let config =
            config::parse(config::FILE, &read(config::FILE).await?).map_err(|e| shape(&e))?;
        let index = index::parse(&read(index::FILE).await?).map_err(|e| shape(&e))?;
        Ok(Self {
            commit: listing.commit,
            files: listing.files,
            config,
            index,
        })
    }

    /// Reads the headers of the files that hold the layers, exactly, and lays out the new file.
    async fn plan(
        &self,
        hub: &Hub,
        request: &GraftRequest,
        context: &Context,
    ) -> Result<Parts, Stop> {
        let text = config::layers(&self.config).map_err(|e| shape(&e))?;
        let wanted = plan::wanted(&self.index, &text).map_err(|e| shape(&e))?;
        let mut headers: BTreeMap<String, Header> = BTreeMap::new();
        let mut sources = BTreeMap::new();
        for file in wanted.keys() {
            let remote = hub.head(&request.source_repo, &self.commit, file).await?;
            let source = Source::new(&request.source_repo, &self.commit, file, remote);
            let prefix = hub.range(&source, 0, header::PREFIX).await?;
            let prefix: [u8; 8] = prefix
                .try_into()
                .map_err(|_| Problem::new(Code::Broken, "A header's length has eight bytes."))?;
            let length = header::length(file, prefix).map_err(|e| shape(&e))?;
            let json = hub
                .range(&source, header::PREFIX, header::PREFIX + length)
                .await?;
            context.fetched.add(header::PREFIX + length);
            let parsed = header::parse(file, &json).map_err(|e| shape(&e))?;
            if parsed.file_size != source.size {
                return Err(Problem::new(
                    Code::GraftUnknownShape,
                    format!(
                        "{file} of {} does not fit its own header.",
                        request.source_repo
                    ),
                )
                .cause(format!(
                    "The header speaks of {} bytes, the Hub of {}.",
                    parsed.file_size, source.size
                ))
                .into());
            }
            headers.insert(file.clone(), parsed);
            sources.insert(file.clone(), source);
        }
        let plan = plan::lay_out(&wanted, &headers).map_err(|e| shape(&e))?;
        for step in &plan.moves {
            check::check(&step.tensor, &self.config).map_err(|e| shape(&e))?;
        }
        context.lines.note(format!(
            "{} MTP tensors of {} are in {} of the files of {}.",
            plan.moves.len(),
            bytes(plan.tensor_bytes),
            sources.len(),
            request.source_repo
        ));
        Ok(Parts { plan, sources })
    }
}

/// The good form of `configuration_step3p7.py`, where the snapshot has the other one.
async fn good_python(
    own: &Own,
    hub: &Hub,
    request: &GraftRequest,
    donor: &Donor,
    context: &Context,
) -> Result<Option<Vec<u8>>, Stop> {
    if !own.python_truncates() {
        return Ok(None);
    }
    let refusal = |why: &str| {
        Problem::new(
            Code::GraftUnknownShape,
            format!(
                "The configuration class of {} cuts the MTP layers off again.",
                request.repo
            ),
        )
        .cause(format!(
            "{} leaves the per-layer lists without entries for the MTP layers, and {} {why}.",
            python::FILE,
            request.source_repo
        ))
        .fix("Fetch a newer revision of the weights.")
    };
    if !donor.files.iter().any(|f| f == python::FILE) {
        return Err(refusal("has no such file").into());
    }
    let text = hub
        .read(&request.source_repo, &donor.commit, python::FILE, 1 << 20)
        .await?;
    context.fetched.add(text.len() as u64);
    if python::form(&String::from_utf8_lossy(&text)) == python::Form::Truncates {
        return Err(refusal("has the same form").into());
    }
    context.lines.note(format!(
        "{} of the snapshot cuts the per-layer lists; the checkpoint gets the one of {} instead.",
        python::FILE,
        request.source_repo
    ));
    Ok(Some(text))
}

/// A checkpoint that the graft does not know how to handle.
pub(crate) fn shape(error: &GraftError) -> Problem {
    let mut said = error.to_string();
    if let Some(first) = said.get(..1) {
        said = format!("{}{}.", first.to_uppercase(), &said[1..]);
    }
    Problem::new(
        Code::GraftUnknownShape,
        "The MTP layers cannot be added to this checkpoint.",
    )
    .cause(said)
    .fix("Serve it without MTP, or fetch a newer revision that has the layers already.")
}
