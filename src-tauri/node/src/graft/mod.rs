//! Gives a snapshot its MTP layers, in a checkpoint beside it. The snapshot is read and never written.
//!
//! The checkpoint is either an overlay, which is served instead of the snapshot and shares its files, or
//! a draft, which has the layers and the embedding alone and is served with it. Everything is made in a
//! hidden folder next to the final one, which is renamed at the end: the checkpoint is there whole or
//! not at all.

mod base;
mod build;
mod donor;
mod manifest;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::checkpoint::config;
use tandem_domain::checkpoint::{index, safetensors};
use tandem_domain::graft::mtp_method::MtpMethod;
use tandem_domain::graft::plan::{self, Standing};
use tandem_domain::graft::{GraftError, python, rewrite};
use tandem_domain::node::{GraftKind, GraftReceipt, GraftRequest};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;

use crate::cache::Cache;
use crate::context::Context;
use crate::hub::Hub;
use crate::stop::Stop;
use crate::transfer::{Meter, Reporter};

use base::BaseCheckpoint;
pub(crate) use base::local_header;
use donor::Donor;
pub use manifest::Manifest;

/// The hidden folder in which a checkpoint is made.
pub fn unfinished(overlay: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(overlay.file_name().unwrap_or_default());
    name.push(".unfinished");
    overlay.with_file_name(name)
}

/// Where a request's checkpoint is made.
fn place(cache: &Cache, request: &GraftRequest) -> PathBuf {
    match request.way {
        MtpMethod::Draft => cache.draft(&request.repo, &request.commit),
        _ => cache.overlay(&request.repo, &request.commit),
    }
}

/// Looks, without asking the Hub, whether there is nothing left to do.
pub fn look(request: &GraftRequest) -> Result<Option<GraftReceipt>, Problem> {
    request.check_names()?;
    let cache = Cache::find(request.hf_home.as_deref())?;
    let snapshot = cache.snapshot(&request.repo, &request.commit);
    if !snapshot.is_dir() {
        return Ok(None);
    }
    let own = BaseCheckpoint::read(&snapshot)?;
    if request.way != MtpMethod::Draft
        && let Some(receipt) = built_in(&own, &snapshot)?
    {
        return Ok(Some(receipt));
    }
    let folder = place(&cache, request);
    Ok(Manifest::existing(&folder, request).map(|m| m.receipt(&folder, 0)))
}

/// Carries a graft out.
pub async fn graft(
    request: &GraftRequest,
    token: Option<Secret>,
    context: &Context,
) -> Result<GraftReceipt, Stop> {
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
    let own = BaseCheckpoint::read(&snapshot)?;
    if request.way != MtpMethod::Draft {
        if let Some(receipt) = built_in(&own, &snapshot)? {
            context
                .lines
                .note("The revision has its MTP layers already; there is nothing to graft.");
            return Ok(receipt);
        }
        if request.way == MtpMethod::BuiltIn {
            return Err(not_built_in(request, &own).into());
        }
    }
    let folder = place(&cache, request);
    if let Some(manifest) = Manifest::existing(&folder, request) {
        context
            .lines
            .note("The checkpoint with the MTP layers was made before and is whole.");
        return Ok(manifest.receipt(&folder, context.fetched.total()));
    }

    let meter = Meter::new("Asking the Hub where the MTP layers are");
    let _reporter = Reporter::start(Arc::clone(&meter), Arc::clone(&context.lines));
    let hub = Arc::new(context.hub(&request.endpoint, token)?);
    let donor = Donor::ask(&hub, request, context).await?;
    let site = build::Site {
        cache: &cache,
        request,
        snapshot: &snapshot,
        folder: &folder,
        own: &own,
        source_commit: &donor.commit,
    };
    let content = match request.way {
        MtpMethod::Draft => draft(&own, &hub, request, &donor, context).await?,
        _ => overlay(&own, &hub, request, &donor, context).await?,
    };
    build::build(site, content, hub, meter, context).await
}

/// What an overlay holds beside the files it shares with the snapshot.
async fn overlay(
    own: &BaseCheckpoint,
    hub: &Hub,
    request: &GraftRequest,
    donor: &Donor,
    context: &Context,
) -> Result<build::Content, Stop> {
    let configuration = rewrite::extended(&own.config, &donor.config).map_err(shape)?;
    let layers = config::layers(&configuration).map_err(shape)?;
    let pretty = |value| config::pretty(value).map_err(shape);
    let mut texts = vec![(config::FILE, pretty(&configuration)?.into_bytes())];
    let code = donor.replaced_python(own, hub, request, context).await?;
    let parts = if own.complete() {
        None
    } else {
        let wanted = donor.wanted(&donor.index, plan::wanted)?;
        let found = donor.of_source(hub, request, &wanted, context).await?;
        Some(found)
    };
    if let Some(parts) = &parts {
        let text = index::extended(&own.index_text, plan::FILE, parts.sizes());
        texts.push((index::FILE, text.map_err(shape)?.into_bytes()));
    }
    if let Some(quant) = &own.quant {
        let mut quant = quant.clone();
        if rewrite::exclude(&mut quant, layers) {
            texts.push((config::QUANT_FILE, pretty(&quant)?.into_bytes()));
        }
    }
    texts.extend(code.map(|text| (python::FILE, text)));
    Ok(build::Content {
        file: plan::FILE,
        texts,
        parts,
        draft_source: None,
        shares: true,
    })
}

/// What a draft holds, which is all of it.
async fn draft(
    own: &BaseCheckpoint,
    hub: &Hub,
    request: &GraftRequest,
    donor: &Donor,
    context: &Context,
) -> Result<build::Content, Stop> {
    let configuration = rewrite::of_draft(&own.config, &donor.config).map_err(shape)?;
    let text = config::pretty(&configuration).map_err(shape)?;
    let mut texts = vec![(config::FILE, text.into_bytes())];
    let code = donor.python(hub, request, context).await?;
    texts.extend(code.map(|text| (python::FILE, text)));
    let wanted = donor.wanted(&donor.index, plan::wanted_for_draft)?;
    let (parts, draft_source) = match donor.published(hub, request, &wanted, context).await? {
        Some((parts, from)) => (parts, Some(from)),
        None => (donor.of_source(hub, request, &wanted, context).await?, None),
    };
    let text = index::single(plan::DRAFT_FILE, parts.sizes()).map_err(shape)?;
    texts.push((index::FILE, text.into_bytes()));
    Ok(build::Content {
        file: plan::DRAFT_FILE,
        texts,
        parts: Some(parts),
        draft_source,
        shares: false,
    })
}

/// The problem of a revision that was to be served as it is and cannot be.
fn not_built_in(request: &GraftRequest, own: &BaseCheckpoint) -> Problem {
    let why = if !own.complete() {
        "it has no tensors of them".to_owned()
    } else if own.python_truncates() {
        format!("its {} cuts their entries off", python::FILE)
    } else {
        format!("its lists end before them: {}", own.truncated().join(", "))
    };
    Problem::new(
        Code::MtpMissing,
        "This revision cannot serve its own MTP layers.",
    )
    .cause(format!(
        "{} at {} was to be served as it is, and {why}.",
        request.repo, request.commit
    ))
    .fix("Choose another way to MTP under Choices, or a newer revision.")
}

/// The receipt of a revision that can serve MTP as it is.
fn built_in(own: &BaseCheckpoint, snapshot: &Path) -> Result<Option<GraftReceipt>, Problem> {
    let Standing::Complete { tensors, files } = own.standing() else {
        return Ok(None);
    };
    if !own.truncated().is_empty() || own.python_truncates() {
        return Ok(None);
    }
    let mut tensor_bytes = 0;
    for file in &files {
        let header = base::local_header(&snapshot.join(file), file)?;
        tensor_bytes += header
            .tensors
            .iter()
            .filter(|t| index::layer(&t.name).is_some_and(|n| n >= own.text.hidden_layers))
            .map(safetensors::Tensor::bytes)
            .sum::<u64>();
    }
    Ok(Some(GraftReceipt {
        kind: GraftKind::BuiltIn,
        path: snapshot.to_string_lossy().into_owned(),
        tensors,
        tensor_bytes,
        fetched: 0,
        written: Vec::new(),
        patch: None,
    }))
}

/// A checkpoint that the graft does not know how to handle.
pub(crate) fn shape(error: impl Into<GraftError>) -> Problem {
    let error = error.into();
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
