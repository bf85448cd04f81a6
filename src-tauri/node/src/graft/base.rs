//! The snapshot to be served, as far as the graft reads it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde_json::Value;
use tandem_domain::checkpoint::CheckpointError;
use tandem_domain::checkpoint::config;
use tandem_domain::checkpoint::config::Text;
use tandem_domain::checkpoint::index::{self, Index};
use tandem_domain::checkpoint::safetensors::{self, Header};
use tandem_domain::graft::plan::{Standing, standing};
use tandem_domain::graft::{python, rewrite};
use tandem_domain::problem::{Code, Problem};

/// The snapshot's small files.
pub(crate) struct BaseCheckpoint {
    pub(crate) config: Value,
    pub(crate) text: Text,
    pub(crate) index_text: Vec<u8>,
    pub(crate) index: Index,
    pub(crate) quant: Option<Value>,
    python: Option<String>,
}

impl BaseCheckpoint {
    pub(crate) fn read(snapshot: &Path) -> Result<Self, Problem> {
        let config =
            config::parse(config::FILE, &needed(snapshot, config::FILE)?).map_err(super::shape)?;
        let index_text = needed(snapshot, index::FILE)?;
        let quant = match std::fs::read(snapshot.join(config::QUANT_FILE)) {
            Ok(text) => Some(config::parse(config::QUANT_FILE, &text).map_err(super::shape)?),
            Err(_) => None,
        };
        Ok(Self {
            text: config::layers(&config).map_err(super::shape)?,
            index: index::parse(&index_text).map_err(super::shape)?,
            python: std::fs::read_to_string(snapshot.join(python::FILE)).ok(),
            config,
            index_text,
            quant,
        })
    }

    pub(crate) fn standing(&self) -> Standing {
        standing(&self.index, &self.text, self.text.mtp_layers)
    }

    /// Whether all tensors of the MTP layers are there.
    pub(crate) fn complete(&self) -> bool {
        matches!(self.standing(), Standing::Complete { .. })
    }

    /// The per-layer lists without entries for the MTP layers.
    pub(crate) fn truncated(&self) -> Vec<String> {
        rewrite::truncated_lists(&self.config, self.text)
    }

    /// Whether the configuration class cuts those entries off.
    pub(crate) fn python_truncates(&self) -> bool {
        self.python
            .as_deref()
            .is_some_and(|text| python::form(text) == python::Form::Truncates)
    }
}

fn needed(snapshot: &Path, file: &str) -> Result<Vec<u8>, Problem> {
    std::fs::read(snapshot.join(file)).map_err(|e| {
        Problem::new(
            Code::CheckpointIncomplete,
            format!("The snapshot has no {file} that can be read."),
        )
        .cause(format!("{}: {e}", snapshot.join(file).display()))
        .fix("Fetch the weights again; what is there and right is kept.")
    })
}

/// Reads the header of a safetensors file on this machine and compares it with the file's size.
pub(crate) fn local_header(path: &Path, name: &str) -> Result<Header, Problem> {
    let failed = |why: String| {
        Problem::new(
            Code::CheckpointIncomplete,
            format!("{name} is damaged or not whole."),
        )
        .cause(why)
        .fix("Fetch the weights again; what is there and right is kept.")
    };
    let file = File::open(path).map_err(|e| failed(format!("{}: {e}", path.display())))?;
    let size = file.metadata().map_or(0, |m| m.len());
    let mut prefix = [0; 8];
    file.read_exact_at(&mut prefix, 0)
        .map_err(|e| failed(format!("Its header cannot be read: {e}.")))?;
    let of_header = |e: CheckpointError| failed(format!("{e}."));
    let length = safetensors::length(name, prefix).map_err(of_header)?;
    let mut json = vec![0; length as usize];
    file.read_exact_at(&mut json, safetensors::PREFIX)
        .map_err(|e| failed(format!("Its header cannot be read: {e}.")))?;
    let header = safetensors::parse(name, &json).map_err(of_header)?;
    if header.file_size == size {
        Ok(header)
    } else {
        Err(failed(format!(
            "It has {size} bytes and its header speaks of {}.",
            header.file_size
        )))
    }
}
