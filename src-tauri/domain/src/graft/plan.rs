//! Which tensors a graft brings, from where, and where they go.

use std::collections::BTreeMap;

use super::GraftError;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::config::Text;
use crate::checkpoint::index::Index;
use crate::checkpoint::safetensors::{self, Header, Tensor};

/// The file that a graft writes, named as the later release names it.
pub const FILE: &str = "model-mtp-bf16.safetensors";
/// The only file with tensors of a draft directory.
pub const DRAFT_FILE: &str = "model.safetensors";
/// The embedding's names in the releases, of which a draft has one.
pub const EMBEDDINGS: [&str; 3] = [
    "model.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "embed_tokens.weight",
];

/// What a look at the checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It has tensors of every MTP layer.
    Complete {
        /// How many.
        tensors: u32,
        /// The files that hold them.
        files: Vec<String>,
    },
    /// It has none, or not of every layer.
    Lacking,
}

/// Looks whether a checkpoint has its MTP layers.
pub fn standing(index: &Index, text: &Text, layers: u32) -> Standing {
    let mut files = Vec::new();
    let mut count = 0;
    let mut seen = std::collections::BTreeSet::new();
    for (name, file) in index.from_layer(text.hidden_layers) {
        count += 1;
        seen.extend(crate::checkpoint::index::layer(name));
        if !files.iter().any(|f| f == file) {
            files.push(file.to_owned());
        }
    }
    let first = text.hidden_layers;
    if count > 0 && (first..first + layers.max(1)).all(|n| seen.contains(&n)) {
        Standing::Complete {
            tensors: count,
            files,
        }
    } else {
        Standing::Lacking
    }
}

/// The source's files to look into, each with the tensors wanted of it.
pub fn wanted(source: &Index, text: &Text) -> Result<BTreeMap<String, Vec<String>>, GraftError> {
    let first = text.hidden_layers;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for (name, file) in source.from_layer(first) {
        seen.extend(crate::checkpoint::index::layer(name));
        files
            .entry(file.to_owned())
            .or_default()
            .push(name.to_owned());
    }
    if files.is_empty() {
        return Err(GraftError::NothingToGraft { first });
    }
    if let Some(layer) = (first..first + text.mtp_layers).find(|n| !seen.contains(n)) {
        return Err(GraftError::LayerMissing { layer });
    }
    Ok(files)
}

/// The same with the embedding, which a draft that is a checkpoint of its own must have.
pub fn wanted_for_draft(
    source: &Index,
    text: &Text,
) -> Result<BTreeMap<String, Vec<String>>, GraftError> {
    let mut files = wanted(source, text)?;
    let embedding = EMBEDDINGS.iter().find_map(|name| {
        let (name, file) = source.weight_map.get_key_value(*name)?;
        Some((name.clone(), file.clone()))
    });
    let Some((name, file)) = embedding else {
        return Err(GraftError::Checkpoint(CheckpointError::Json {
            file: crate::checkpoint::index::FILE.into(),
            why: format!("of the source does not name {}", EMBEDDINGS[0]),
        }));
    };
    files.entry(file).or_default().push(name);
    Ok(files)
}

/// Whether one source has exactly the tensors that another one was asked for.
pub fn same_tensors(
    one: &BTreeMap<String, Vec<String>>,
    other: &BTreeMap<String, Vec<String>>,
) -> bool {
    let names = |files: &BTreeMap<String, Vec<String>>| -> std::collections::BTreeSet<String> {
        files.values().flatten().cloned().collect()
    };
    names(one) == names(other)
}

/// One tensor on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The tensor, with its range in the source's file.
    pub tensor: Tensor,
    /// The source's file.
    pub from: String,
    /// First byte in the new file.
    pub to: u64,
}

/// The new file: its header and what goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraftLayout {
    /// The bytes in front of the data.
    pub header: Vec<u8>,
    /// The tensors in the order of the new file, which is that of their names.
    pub moves: Vec<Move>,
    /// Bytes of the whole new file.
    pub file_size: u64,
    /// Bytes of the tensors.
    pub tensor_bytes: u64,
}

/// Lays out the new file from the headers of the source's files. The order of names does not depend
/// on how the source is cut into files, so the result is the same for everyone.
pub fn lay_out(
    wanted: &BTreeMap<String, Vec<String>>,
    headers: &BTreeMap<String, Header>,
) -> Result<GraftLayout, GraftError> {
    let mut found: Vec<(Tensor, &str)> = Vec::new();
    for (file, names) in wanted {
        let known: BTreeMap<&str, &Tensor> = headers
            .get(file)
            .map(|h| h.tensors.iter().map(|t| (t.name.as_str(), t)).collect())
            .unwrap_or_default();
        for name in names {
            let tensor = known
                .get(name.as_str())
                .ok_or_else(|| GraftError::TensorMissing {
                    tensor: name.clone(),
                    file: file.clone(),
                })?;
            found.push(((*tensor).clone(), file));
        }
    }
    found.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    let (header, ranges) = safetensors::write(found.iter().map(|(t, _)| {
        (
            t.name.as_str(),
            t.dtype.as_str(),
            t.shape.as_slice(),
            t.bytes(),
        )
    }));
    let file_size = ranges.last().map_or(header.len() as u64, |r| r.1);
    let moves: Vec<Move> = found
        .into_iter()
        .zip(&ranges)
        .map(|((tensor, from), range)| Move {
            tensor,
            from: from.to_owned(),
            to: range.0,
        })
        .collect();
    Ok(GraftLayout {
        tensor_bytes: moves.iter().map(|m| m.tensor.bytes()).sum(),
        header,
        moves,
        file_size,
    })
}

/// A stretch of the source's file that lands as one stretch in the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The source's file.
    pub from: String,
    /// First byte there.
    pub at: u64,
    /// First byte in the new file.
    pub to: u64,
    /// Bytes.
    pub len: u64,
}

/// The moves as the fewest requests: neighbours in both files become one, nothing between tensors
/// is ever fetched.
pub fn runs(plan: &GraftLayout) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for step in &plan.moves {
        let len = step.tensor.bytes();
        if len == 0 {
            continue;
        }
        match runs.last_mut() {
            Some(last)
                if last.from == step.from
                    && last.at + last.len == step.tensor.begin
                    && last.to + last.len == step.to =>
            {
                last.len += len;
            }
            _ => runs.push(Run {
                from: step.from.clone(),
                at: step.tensor.begin,
                to: step.to,
                len,
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::index;

    fn text() -> Text {
        Text {
            hidden_layers: 45,
            mtp_layers: 3,
        }
    }

    fn source() -> (Index, BTreeMap<String, Header>) {
        let mut map = BTreeMap::new();
        let mut headers = BTreeMap::new();
        for (file, layers) in [("s1", 44..46_u32), ("s2", 46..48)] {
            let mut at = 0;
            let mut entries = serde_json::Map::new();
            for layer in layers {
                // Held against the order of names, so that only some neighbours stay neighbours.
                for part in ["a", "b", "z", "c"] {
                    let name = format!("model.layers.{layer}.{part}.weight");
                    entries.insert(
                        name.clone(),
                        serde_json::json!({"dtype":"BF16","shape":[4],"data_offsets":[at, at + 8]}),
                    );
                    at += 8;
                    map.insert(name, file.to_owned());
                }
            }
            let text = serde_json::Value::Object(entries).to_string();
            headers.insert(
                file.to_owned(),
                safetensors::parse(file, text.as_bytes()).unwrap(),
            );
        }
        (
            Index {
                weight_map: map,
                total_size: None,
            },
            headers,
        )
    }

    #[test]
    fn a_plan_brings_every_tensor_once_and_nothing_between() {
        let (index, headers) = source();
        let wanted = wanted(&index, &text()).unwrap();
        let plan = lay_out(&wanted, &headers).unwrap();
        assert_eq!(plan.moves.len(), 12, "three layers of four");
        assert_eq!(plan.tensor_bytes, 96);
        assert_eq!(plan.file_size, plan.header.len() as u64 + 96);
        let runs = runs(&plan);
        assert_eq!(
            runs.iter().map(|r| r.len).sum::<u64>(),
            96,
            "exactly the tensors' bytes"
        );
        assert_eq!(runs.len(), 9, "a and b stay together, c and z part");
        let mut to = plan.header.len() as u64;
        for run in &runs {
            assert_eq!(run.to, to, "the new file has no holes");
            to += run.len;
        }
    }

    #[test]
    fn a_draft_is_the_layers_and_the_embedding() {
        let (mut index, _) = source();
        assert!(
            wanted_for_draft(&index, &text()).is_err(),
            "a draft without an embedding cannot be loaded"
        );
        let layers = wanted(&index, &text()).unwrap();
        for name in EMBEDDINGS {
            let mut index = index.clone();
            index.weight_map.insert(name.into(), "s0".into());
            let files = wanted_for_draft(&index, &text()).unwrap();
            assert_eq!(files["s0"], [name]);
            assert_eq!(
                files.values().map(Vec::len).sum::<usize>(),
                layers.values().map(Vec::len).sum::<usize>() + 1
            );
        }
        // The same tensors, cut into files otherwise, are the same draft.
        index.weight_map.insert(EMBEDDINGS[0].into(), "s0".into());
        let mut single = index.clone();
        for file in single.weight_map.values_mut() {
            *file = DRAFT_FILE.into();
        }
        let of = |index: &Index| wanted_for_draft(index, &text()).unwrap();
        assert!(same_tensors(&of(&index), &of(&single)));
        single
            .weight_map
            .insert("model.layers.47.more".into(), DRAFT_FILE.into());
        assert!(!same_tensors(&of(&index), &of(&single)));
    }

    #[test]
    fn a_source_that_lacks_a_layer_is_refused() {
        let (mut index, headers) = source();
        index
            .weight_map
            .retain(|name, _| index::layer(name) != Some(46));
        assert_eq!(
            wanted(&index, &text()),
            Err(GraftError::LayerMissing { layer: 46 })
        );
        let (index, _) = source();
        let mut gone = headers.clone();
        gone.remove("s2");
        let files = wanted(&index, &text()).unwrap();
        assert!(matches!(
            lay_out(&files, &gone),
            Err(GraftError::TensorMissing { .. })
        ));
    }

    #[test]
    fn a_checkpoint_with_all_layers_is_complete_and_one_with_some_is_not() {
        let (index, _) = source();
        let Standing::Complete { tensors, files } = standing(&index, &text(), 3) else {
            panic!("all three layers are there");
        };
        assert_eq!((tensors, files.len()), (12, 2));
        let mut less = index;
        less.weight_map
            .retain(|name, _| index::layer(name) != Some(47));
        assert_eq!(standing(&less, &text(), 3), Standing::Lacking);
    }
}
