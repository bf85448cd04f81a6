//! Copies of the weights that a repository has for other programs than the one that serves.
//!
//! vLLM reads the weights beside `config.json` and, of several formats there, safetensors; what lies in folders of its
//! own (`original/`, `metal/`, `onnx/`) is the same model once more. No listing says so, so a copy is known by its
//! place, its format and its size: something small in a folder, such as an adapter or a vocoder, belongs to the model.
//!
//! <https://docs.vllm.ai/en/latest/api/vllm/model_executor/model_loader/default_loader.html>

use std::collections::{BTreeMap, BTreeSet};

/// What engines serve from, by the ending of a name; the first that is there counts.
const SERVED: [&str; 2] = ["safetensors", "bin"];
/// All endings of files that hold weights.
const FORMATS: [&str; 15] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "ckpt",
    "gguf",
    "msgpack",
    "h5",
    "ot",
    "onnx",
    "onnx_data",
    "tflite",
    "mlmodel",
    "npz",
    "nemo",
];
/// Folders in which models are published for other programs, whatever their size.
const FOLDERS: [&str; 12] = [
    "original",
    "metal",
    "onnx",
    "openvino",
    "coreml",
    "mlx",
    "gguf",
    "tflite",
    "flax",
    "tensorflow",
    "consolidated",
    "torch",
];
/// A folder is a copy from this part of the weights on: a copy with 4 bits of one with 16 has a quarter.
const FOLDER_PART: u64 = 4;
/// Files of another format beside the weights are a copy from this part on.
const FORMAT_PART: u64 = 10;

/// The copies among the files of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copies {
    /// Names of all files that belong to one.
    pub names: BTreeSet<String>,
    /// Where they are, for people: a folder with its `/`, or the ending of files in the root as `*.pth`.
    pub places: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

impl Copies {
    /// Finds them. A file that the index of the weights names is none, wherever it lies.
    ///
    /// Sizes in bytes, as somebody tells them: sums do not wrap.
    pub fn find<'a>(
        files: impl IntoIterator<Item = (&'a str, u64)>,
        of_index: &BTreeSet<String>,
    ) -> Self {
        let mut places: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
        for (name, size) in files {
            let place = match (name.split_once('/'), ending(name)) {
                (Some((folder, _)), _) => format!("{folder}/"),
                (None, Some(ending)) => format!("*.{ending}"),
                (None, None) => continue,
            };
            places.entry(place).or_default().push((name, size));
        }
        let served = SERVED.iter().find_map(|e| {
            let place = format!("*.{e}");
            places.get(&place).map(|files| (place.clone(), sum(files)))
        });
        let Some((served, weights)) = served else {
            return Self::default();
        };
        let mut found = Self::default();
        for (place, files) in &places {
            let is_named = files.iter().any(|(name, _)| of_index.contains(*name));
            if *place == served || is_named || !is_copy(place, files, weights) {
                continue;
            }
            found.bytes = found.bytes.saturating_add(sum(files));
            found.places.push(place.clone());
            found
                .names
                .extend(files.iter().map(|(name, _)| (*name).to_owned()));
        }
        found
    }
}

fn is_copy(place: &str, files: &[(&str, u64)], weights: u64) -> bool {
    let held: Vec<(&str, u64)> = files
        .iter()
        .filter(|(name, _)| ending(name).is_some())
        .copied()
        .collect();
    let from = |part: u64| !held.is_empty() && sum(&held) >= (weights / part).max(1);
    match place.strip_suffix('/') {
        Some(folder) if FOLDERS.contains(&folder.to_ascii_lowercase().as_str()) => !held.is_empty(),
        Some(_) => from(FOLDER_PART),
        // Weights of a format that is read first, for there are others beside.
        None => from(FORMAT_PART) && place != "*.safetensors",
    }
}

fn sum(files: &[(&str, u64)]) -> u64 {
    files
        .iter()
        .fold(0, |all: u64, (_, size)| all.saturating_add(*size))
}

/// The ending of a name, where it is one of weights.
fn ending(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    let is_it = |known: &&&str| ending.eq_ignore_ascii_case(known);
    FORMATS.iter().find(is_it).copied()
}

/// Whether a file holds weights that an engine may serve.
pub fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".gguf") || name.ends_with(".bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn places(files: &[(&str, u64)]) -> Vec<String> {
        Copies::find(files.iter().copied(), &BTreeSet::new()).places
    }

    #[test]
    fn the_weights_once_more_in_a_folder_or_another_format_are_a_copy() {
        let files = [
            ("config.json", 1998),
            ("metal/model.bin", 65 * GB),
            ("model-00001-of-00002.safetensors", 33 * GB),
            ("model-00002-of-00002.safetensors", 32 * GB),
            ("model.safetensors.index.json", 50_000),
            ("original/config.json", 500),
            ("original/model--00001-of-00002.safetensors", 65 * GB),
        ];
        let found = Copies::find(files, &BTreeSet::new());
        assert_eq!(found.places, ["metal/", "original/"]);
        assert_eq!(found.bytes, 130 * GB + 500);
        assert!(found.names.contains("original/config.json"));
        assert_eq!(found.names.len(), 3);

        let weights = ("model.safetensors", 8 * GB);
        for (file, size, copy) in [
            // The same by other programs' formats and in other folders.
            ("pytorch_model-00001-of-00002.bin", 8 * GB, "*.bin"),
            ("consolidated.00.pth", 8 * GB, "*.pth"),
            ("flax_model.msgpack", 8 * GB, "*.msgpack"),
            ("model-Q4_K_M.gguf", 2 * GB, "*.gguf"),
            ("onnx/model_q4.onnx_data", GB, "onnx/"),
            ("Original/consolidated.pth", 8 * GB, "Original/"),
            ("fp8/model.safetensors", 4 * GB, "fp8/"),
            ("meta-format/a/b.pt", 8 * GB, "meta-format/"),
        ] {
            assert_eq!(places(&[weights, (file, size)]), [copy], "{file}");
        }
        // Where there is no safetensors, what vLLM reads is PyTorch's.
        let torch = [("pytorch_model.bin", 8 * GB), ("tf_model.h5", 8 * GB)];
        assert_eq!(places(&torch), ["*.h5"]);
    }

    #[test]
    fn what_belongs_to_the_model_is_none() {
        let weights = ("model.safetensors", 11 * GB);
        for (file, size) in [
            ("speech-lora/adapter_model.safetensors", GB),
            ("spk_dict.pt", 260_000),
            ("training_args.bin", 5_000),
            ("figures/results.png", 3 * GB),
            ("original/params.json", 500),
            // The same ending, so nothing tells which of the two is read.
            ("consolidated.safetensors", 11 * GB),
        ] {
            assert_eq!(places(&[weights, (file, size)]), [""; 0], "{file}");
        }
        // Nothing is served from the root.
        let parts = [
            ("unet/model.safetensors", 5 * GB),
            ("vae/model.safetensors", GB),
            ("README.md", 1),
        ];
        assert_eq!(places(&parts), [""; 0]);
        let quants = [("m-Q4.gguf", GB), ("m-Q8.gguf", 2 * GB)];
        assert_eq!(places(&quants), [""; 0]);
        // An index may name shards in folders.
        let named = BTreeSet::from(["more/b.safetensors".to_owned()]);
        let files = [weights, ("more/b.safetensors", 11 * GB)];
        assert_eq!(Copies::find(files, &named), Copies::default());
    }

    #[test]
    fn sizes_that_somebody_made_up_do_not_wrap() {
        let files = [
            ("a.safetensors", u64::MAX),
            ("b.safetensors", u64::MAX),
            ("x/c.bin", u64::MAX),
            ("x/d.bin", u64::MAX),
        ];
        assert_eq!(places(&files), ["x/"]);
        assert_eq!(places(&[("a.safetensors", 0), ("x/b.bin", 0)]), [""; 0]);
    }
}
