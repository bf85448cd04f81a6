//! Whether what is selected of a repository can be used without what is not.

use std::collections::{BTreeMap, BTreeSet};

use super::Selection;
use crate::problem::{Code, Problem};

/// How the name of an index of shards ends.
pub const INDEX: &str = ".safetensors.index.json";
/// A model of the Hub has one of these, or brings its tokenizer inside its GGUF file.
const TOKENIZERS: [&str; 6] = [
    "tokenizer.json",
    "tokenizer.model",
    "tekken.json",
    "tiktoken.model",
    "spiece.model",
    "vocab.json",
];
/// Files named to people at most.
const NAMED: usize = 8;

/// Why what is selected cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionFault {
    /// Not one file fits.
    Nothing,
    /// These files are needed with the selected ones and are not selected.
    Lacks(Vec<String>),
}

/// Files of a repository, as the Hub lists them, and which of them are selected.
pub struct Selected<'a> {
    /// All of them.
    pub names: &'a [String],
    /// Which are meant.
    pub selection: &'a Selection,
    /// The shards that each index names, by the index's name.
    pub indexes: &'a BTreeMap<String, BTreeSet<String>>,
}

impl Selected<'_> {
    /// Whether one of the selected files is a tokenizer.
    pub fn has_tokenizer(&self) -> bool {
        let mut taken = self.names.iter().filter(|n| self.selection.takes(n));
        taken.any(|n| is_tokenizer(n))
    }

    /// The indexes that matter: they are selected, or stand beside weights that are.
    pub fn indexes_to_read(&self) -> Vec<&str> {
        if self.selection.is_all() {
            return Vec::new();
        }
        let folders = self.folders_of_weights();
        let matters = |n: &&String| {
            n.ends_with(INDEX) && (self.selection.takes(n) || folders.contains(folder(n)))
        };
        self.names
            .iter()
            .filter(matters)
            .map(String::as_str)
            .collect()
    }

    fn folders_of_weights(&self) -> BTreeSet<&str> {
        let weights = |n: &&String| n.ends_with(".safetensors") && self.selection.takes(n);
        self.names
            .iter()
            .filter(weights)
            .map(|n| folder(n))
            .collect()
    }

    /// What stands against the selection. A whole revision is never at fault here: what it lacks, it lacks on
    /// the Hub. `tokenizer_elsewhere` tells whether another repository of the same fetch brings one.
    pub fn check(&self, tokenizer_elsewhere: bool) -> Result<(), SelectionFault> {
        if self.selection.is_all() {
            return Ok(());
        }
        let takes = |name: &str| self.selection.takes(name);
        if !self.names.iter().any(|n| takes(n)) {
            return Err(SelectionFault::Nothing);
        }
        let listed: BTreeSet<&str> = self.names.iter().map(String::as_str).collect();
        let mut needed: BTreeSet<String> = BTreeSet::new();
        for folder in self.folders_of_weights() {
            needed.insert(format!("{folder}config.json"));
            let of_folder = TOKENIZERS.map(|name| format!("{folder}{name}"));
            let there = of_folder.iter().find(|n| listed.contains(n.as_str()));
            if !tokenizer_elsewhere && !self.has_tokenizer() {
                needed.extend(there.cloned());
            }
        }
        // A name that the Hub does not list cannot be selected.
        needed.retain(|n| listed.contains(n.as_str()));
        for (index, shards) in self.indexes {
            let shards: BTreeSet<String> = shards
                .iter()
                .map(|s| format!("{}{s}", folder(index)))
                .collect();
            if takes(index) || shards.iter().any(|s| takes(s)) {
                needed.insert(index.clone());
                needed.extend(shards);
            }
        }
        for name in self.names.iter().filter(|n| takes(n)) {
            needed.extend(siblings(name));
        }
        let lacks: Vec<String> = needed
            .into_iter()
            .filter(|n| !takes(n) || !listed.contains(n.as_str()))
            .collect();
        if lacks.is_empty() {
            Ok(())
        } else {
            Err(SelectionFault::Lacks(lacks))
        }
    }
}

impl SelectionFault {
    /// For people.
    pub fn problem(&self, repo: &str, revision: &str, selected: &Selected) -> Problem {
        let of = format!("`{repo}` at {revision}");
        let (patterns, count) = (selected.selection.words(), selected.names.len());
        match self {
            Self::Nothing => Problem::new(Code::BadInput, "The files that the recipe selects cannot be used.")
                .cause(format!(
                    "None of the {count} files of {of} fits the recipe's patterns, {patterns}."
                ))
                .fix(format!(
                    "Correct the patterns. The repository has {}.",
                    named(selected.names)
                )),
            Self::Lacks(lacks) => Problem::new(Code::BadInput, "The files that the recipe selects cannot be used.")
                .cause(format!(
                    "The recipe's patterns, {patterns}, leave out what the files that they select of {of} need: {}.",
                    named(lacks)
                ))
                .fix("Let the patterns select these files too."),
        }
    }
}

/// The first names of a list, and how many there are beside them.
fn named(names: &[String]) -> String {
    let first = names.iter().take(NAMED).map(|n| format!("`{n}`"));
    let first = first.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn is_tokenizer(name: &str) -> bool {
    TOKENIZERS.contains(&&name[folder(name).len()..])
}

/// The folder of a name, with its `/`.
fn folder(name: &str) -> &str {
    name.rfind('/').map_or("", |at| &name[..=at])
}

/// All parts of a file that is one of several: `x-00001-of-00003.gguf`, as llama.cpp and Transformers name
/// them.
fn siblings(name: &str) -> Vec<String> {
    let parsed = || {
        let (stem, ending) = name.rsplit_once('.')?;
        let (stem, of) = stem.rsplit_once("-of-")?;
        let (stem, number) = stem.rsplit_once('-')?;
        let is_number = |t: &str| t.len() == 5 && t.bytes().all(|b| b.is_ascii_digit());
        let count: u32 = (is_number(number) && is_number(of)).then(|| of.parse().ok())??;
        let part = |n| format!("{stem}-{n:05}-of-{of}.{ending}");
        Some((1..=count).map(part).collect())
    };
    parsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        names: &[&str],
        include: &[&str],
        exclude: &[&str],
        index: &[&str],
    ) -> Result<(), SelectionFault> {
        let owned = |list: &[&str]| -> Vec<String> { list.iter().map(|p| (*p).into()).collect() };
        let indexes = [(
            "model.safetensors.index.json".to_owned(),
            owned(index).into_iter().collect(),
        )];
        let (names, selection) = (
            owned(names),
            Selection {
                include: owned(include),
                exclude: owned(exclude),
            },
        );
        let selected = Selected {
            names: &names,
            selection: &selection,
            indexes: &indexes.into_iter().filter(|_| !index.is_empty()).collect(),
        };
        selected.check(false)
    }

    fn lacks(names: &[&str]) -> Result<(), SelectionFault> {
        Err(SelectionFault::Lacks(
            names.iter().map(|n| (*n).to_owned()).collect(),
        ))
    }

    const QUANTS: [&str; 5] = [
        "README.md",
        "m-Q4-00001-of-00002.gguf",
        "m-Q4-00002-of-00002.gguf",
        "m-Q8-00001-of-00002.gguf",
        "m-Q8-00002-of-00002.gguf",
    ];

    #[test]
    fn one_quant_of_several_needs_all_its_parts_and_nothing_else() {
        assert_eq!(check(&QUANTS, &["*Q4*"], &[], &[]), Ok(()));
        let half = check(&QUANTS, &["*Q4-00001*"], &[], &[]);
        assert_eq!(half, lacks(&["m-Q4-00002-of-00002.gguf"]));
        let none = check(&QUANTS, &["*Q5*"], &[], &[]);
        assert_eq!(none, Err(SelectionFault::Nothing));
        // The Hub's own listing has a hole.
        let hole = check(&QUANTS[..2], &["*Q4*"], &[], &[]);
        assert_eq!(hole, lacks(&["m-Q4-00002-of-00002.gguf"]));
    }

    const COPIES: [&str; 8] = [
        "config.json",
        "metal/model.bin",
        "model-a.safetensors",
        "model-b.safetensors",
        "model.safetensors.index.json",
        "original/consolidated.safetensors",
        "original/params.json",
        "tokenizer.json",
    ];
    const SHARDS: [&str; 2] = ["model-a.safetensors", "model-b.safetensors"];

    #[test]
    fn copies_are_left_out_and_what_the_weights_need_is_not() {
        let only = |exclude: &[&str]| check(&COPIES, &[], exclude, &SHARDS);
        assert_eq!(only(&["original/*", "metal/*"]), Ok(()));
        assert_eq!(only(&["config.json"]), lacks(&["config.json"]));
        assert_eq!(
            only(&["tok*", "*-b.*"]),
            lacks(&["model-b.safetensors", "tokenizer.json"])
        );
        let index = "model.safetensors.index.json";
        assert_eq!(only(&["*.index.json"]), lacks(&[index]));
        let weights = check(&COPIES, &["*.safetensors"], &["original/"], &SHARDS);
        assert_eq!(weights, lacks(&["config.json", index, "tokenizer.json"]));
        // Weights in a folder of their own need nothing of the root.
        assert_eq!(check(&COPIES, &["original/"], &[], &[]), Ok(()));
    }

    #[test]
    fn a_tokenizer_may_come_from_another_repository_and_is_not_always_there() {
        let names = [
            "config.json".to_owned(),
            "model.safetensors".to_owned(),
            "tokenizer.model".to_owned(),
        ];
        let selection = Selection {
            include: vec!["model*".into(), "config*".into()],
            exclude: Vec::new(),
        };
        let selected = Selected {
            names: &names,
            selection: &selection,
            indexes: &BTreeMap::new(),
        };
        assert_eq!(selected.check(false), lacks(&["tokenizer.model"]));
        assert_eq!(selected.check(true), Ok(()));
        let without = Selected {
            names: &names[..2],
            ..selected
        };
        assert_eq!(without.check(false), Ok(()));
    }

    #[test]
    fn people_are_told_which_files_and_what_to_do() {
        let names = QUANTS.map(str::to_owned);
        let selection = Selection {
            include: vec!["*Q5*".into()],
            exclude: Vec::new(),
        };
        let selected = Selected {
            names: &names,
            selection: &selection,
            indexes: &BTreeMap::new(),
        };
        let problem = SelectionFault::Nothing.problem("o/n", "main", &selected);
        let cause = problem.cause.unwrap();
        assert!(
            cause.contains("`*Q5*`") && cause.contains("5 files"),
            "{cause}"
        );
        let fix = problem.fix.unwrap().sentence;
        assert!(fix.contains("`m-Q4-00001-of-00002.gguf`"), "{fix}");
        let long: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        assert!(
            named(&long).ends_with("`7` and 12 more"),
            "{}",
            named(&long)
        );
    }
}
