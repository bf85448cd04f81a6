//! Where the layers come from: the release that has them, or a draft that somebody published.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tandem_domain::checkpoint::config;
use tandem_domain::checkpoint::config::Text;
use tandem_domain::checkpoint::index;
use tandem_domain::checkpoint::index::Index;
use tandem_domain::checkpoint::safetensors::{self, Header};
use tandem_domain::graft::plan::{self, GraftLayout};
use tandem_domain::graft::{GraftError, check, python};
use tandem_domain::node::GraftRequest;
use tandem_domain::problem::{Code, Problem, bytes};

use super::base::BaseCheckpoint;
use super::shape;
use crate::context::Context;
use crate::hub::{Hub, Source};
use crate::stop::Stop;

/// The longest index or configuration that is read into memory.
const LONGEST_JSON: u64 = 16 << 20;

/// Which tensors are wanted of which file.
type Wanted = BTreeMap<String, Vec<String>>;

/// The release that has the layers.
pub(super) struct Donor {
    pub(super) commit: String,
    files: Vec<String>,
    pub(super) config: Value,
    pub(super) index: Index,
}

/// The new file's plan, and the source's files to read from.
pub(crate) struct Parts {
    pub(crate) plan: GraftLayout,
    pub(crate) sources: BTreeMap<String, Arc<Source>>,
}

impl Parts {
    /// The tensors with their bytes.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (&str, u64)> {
        let of = |m: &'_ plan::Move| m.tensor.bytes();
        self.plan
            .moves
            .iter()
            .map(move |m| (m.tensor.name.as_str(), of(m)))
    }
}

impl Donor {
    pub(super) async fn ask(
        hub: &Hub,
        request: &GraftRequest,
        context: &Context,
    ) -> Result<Self, Stop> {
        let repo = &request.source_repo;
        let listing = hub.revision(repo, &request.source_revision).await?;
        let read = async |file: &str| {
            let text = hub.read(repo, &listing.commit, file, LONGEST_JSON).await?;
            context.fetched.add(text.len() as u64);
            Ok::<_, Stop>(text)
        };
        let config = config::parse(config::FILE, &read(config::FILE).await?).map_err(shape)?;
        let index = index::parse(&read(index::FILE).await?).map_err(shape)?;
        Ok(Self {
            commit: listing.commit,
            files: listing.files,
            config,
            index,
        })
    }

    /// What is wanted of an index, by the release's own configuration.
    pub(super) fn wanted(
        &self,
        index: &Index,
        of: fn(&Index, &Text) -> Result<Wanted, GraftError>,
    ) -> Result<Wanted, Problem> {
        let text = config::layers(&self.config).map_err(shape)?;
        of(index, &text).map_err(shape)
    }

    /// Lays the new file out with tensors of the release.
    pub(super) async fn of_source(
        &self,
        hub: &Hub,
        request: &GraftRequest,
        wanted: &Wanted,
        context: &Context,
    ) -> Result<Parts, Stop> {
        let (headers, sources) =
            headers(hub, &request.source_repo, &self.commit, wanted, context).await?;
        let plan = self.plan(wanted, &headers)?;
        context.lines.note(format!(
            "{} tensors of {} are in {} of the files of {}.",
            plan.moves.len(),
            bytes(plan.tensor_bytes),
            sources.len(),
            request.source_repo
        ));
        Ok(Parts { plan, sources })
    }

    /// The same with a published draft, which is given back with its commit; `None` where there is none
    /// or it is not made of just these tensors.
    pub(super) async fn published(
        &self,
        hub: &Hub,
        request: &GraftRequest,
        wanted: &Wanted,
        context: &Context,
    ) -> Result<Option<(Parts, String)>, Stop> {
        let Some(repo) = &request.draft_repo else {
            return Ok(None);
        };
        match self.try_published(hub, repo, wanted, context).await {
            Ok((parts, commit)) => {
                context.lines.note(format!(
                    "The draft is published as {repo}; its tensors are used."
                ));
                Ok(Some((parts, format!("{repo}@{commit}"))))
            }
            Err(stop) => {
                let problem = stop.problem().ok_or(Stop::Cancelled)?;
                context.lines.note(format!(
                    "The draft is made from {}, for {repo} is not used: {}",
                    request.source_repo,
                    problem.cause.unwrap_or(problem.message)
                ));
                Ok(None)
            }
        }
    }

    async fn try_published(
        &self,
        hub: &Hub,
        repo: &str,
        wanted: &Wanted,
        context: &Context,
    ) -> Result<(Parts, String), Stop> {
        let listing = hub.revision(repo, "main").await?;
        let commit = listing.commit;
        let weights: Vec<&String> = listing
            .files
            .iter()
            .filter(|f| f.ends_with(".safetensors"))
            .collect();
        let [file] = weights[..] else {
            return Err(Problem::new(
                Code::GraftUnknownShape,
                format!("{repo} has {} files of tensors.", weights.len()),
            )
            .into());
        };
        let all = Wanted::from([(file.clone(), Vec::new())]);
        let (headers, sources) = headers(hub, repo, &commit, &all, context).await?;
        let names = headers
            .values()
            .flat_map(|h| &h.tensors)
            .map(|t| (t.name.clone(), file.clone()));
        let index = Index {
            weight_map: names.collect(),
            total_size: None,
        };
        let here = self.wanted(&index, plan::wanted_for_draft)?;
        if !plan::same_tensors(&here, wanted) {
            return Err(Problem::new(
                Code::GraftUnknownShape,
                format!("{repo} does not have the tensors that the release has."),
            )
            .into());
        }
        let plan = self.plan(&here, &headers)?;
        Ok((Parts { plan, sources }, commit))
    }

    /// Lays the new file out and compares each tensor with the release's configuration.
    fn plan(
        &self,
        wanted: &Wanted,
        headers: &BTreeMap<String, Header>,
    ) -> Result<GraftLayout, Problem> {
        let plan = plan::lay_out(wanted, headers).map_err(shape)?;
        for step in &plan.moves {
            check::check(&step.tensor, &self.config).map_err(shape)?;
        }
        Ok(plan)
    }

    /// The release's configuration class, where it brings one.
    pub(super) async fn python(
        &self,
        hub: &Hub,
        request: &GraftRequest,
        context: &Context,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if !self.files.iter().any(|f| f == python::FILE) {
            return Ok(None);
        }
        let text = hub
            .read(&request.source_repo, &self.commit, python::FILE, 1 << 20)
            .await?;
        context.fetched.add(text.len() as u64);
        if python::form(&String::from_utf8_lossy(&text)) == python::Form::Truncates {
            return Err(self.cuts(request, "it is that of the source").into());
        }
        Ok(Some(text))
    }

    /// The good form of it, where the snapshot has the other one.
    pub(super) async fn replaced_python(
        &self,
        own: &BaseCheckpoint,
        hub: &Hub,
        request: &GraftRequest,
        context: &Context,
    ) -> Result<Option<Vec<u8>>, Stop> {
        if !own.python_truncates() {
            return Ok(None);
        }
        let Some(text) = self.python(hub, request, context).await? else {
            let why = format!("{} has no such file", request.source_repo);
            return Err(self.cuts(request, &why).into());
        };
        context.lines.note(format!(
            "{} of the snapshot cuts the per-layer lists; the checkpoint gets the one of {} instead.",
            python::FILE,
            request.source_repo
        ));
        Ok(Some(text))
    }

    fn cuts(&self, request: &GraftRequest, why: &str) -> Problem {
        Problem::new(
            Code::GraftUnknownShape,
            format!(
                "The configuration class for {} cuts the MTP layers off again.",
                request.repo
            ),
        )
        .cause(format!(
            "{} leaves the per-layer lists without entries for the MTP layers, and {why}.",
            python::FILE
        ))
        .fix("Fetch a newer revision of the weights.")
    }
}

/// Reads the headers of the files that hold what is wanted, exactly.
async fn headers(
    hub: &Hub,
    repo: &str,
    commit: &str,
    wanted: &Wanted,
    context: &Context,
) -> Result<(BTreeMap<String, Header>, BTreeMap<String, Arc<Source>>), Stop> {
    let mut headers = BTreeMap::new();
    let mut sources = BTreeMap::new();
    for file in wanted.keys() {
        let remote = hub.head(repo, commit, file).await?;
        let source = Source::new(repo, commit, file, remote);
        let prefix = hub.range(&source, 0, safetensors::PREFIX).await?;
        let prefix: [u8; 8] = prefix
            .try_into()
            .map_err(|_| Problem::new(Code::Broken, "A header's length has eight bytes."))?;
        let length = safetensors::length(file, prefix).map_err(shape)?;
        let json = hub
            .range(&source, safetensors::PREFIX, safetensors::PREFIX + length)
            .await?;
        context.fetched.add(safetensors::PREFIX + length);
        let parsed = safetensors::parse(file, &json).map_err(shape)?;
        if parsed.file_size != source.size {
            return Err(Problem::new(
                Code::GraftUnknownShape,
                format!("{file} of {repo} does not fit its own header."),
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
    Ok((headers, sources))
}
