//! The words after `vllm serve`, read as vLLM's own parser reads them.

use super::table::{Flag, TABLE, Takes};

/// An argument as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its full name, without dashes at its head; as it stands there where the table does not have it. Empty for a
    /// word that belongs to no argument.
    pub name: String,
    /// What stands behind the first dot of its name, such as `method` in `--speculative-config.method`.
    pub path: Option<String>,
    /// Whether `--no-` turns it off.
    pub off: bool,
    /// Its values.
    pub values: Vec<String>,
    /// All of its words as they stand there.
    pub words: Vec<String>,
    /// What is odd about how it is written.
    pub oddity: Option<Oddity>,
}

/// What is odd about how an argument is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// Its name is cut short, and one argument begins so.
    Cut,
    /// Its name is cut short, and several arguments begin so.
    Ambiguous,
    /// A value is missing.
    NoValue,
    /// It was given a value and takes none.
    Value,
    /// The word belongs to no argument.
    Stray,
}

impl Given {
    /// The argument in the table.
    pub fn flag(&self) -> Option<&'static Flag> {
        TABLE.flags.get(self.name.as_str())
    }

    /// Its one value.
    pub fn value(&self) -> Option<&str> {
        self.values.last().map(String::as_str)
    }

    /// Its words with its full name, one word a value.
    pub fn full(&self) -> Vec<String> {
        let off = if self.off { "no-" } else { "" };
        let path = self
            .path
            .as_ref()
            .map_or(String::new(), |p| format!(".{p}"));
        let name = format!("--{off}{}{path}", self.name);
        std::iter::once(name)
            .chain(self.values.iter().cloned())
            .collect()
    }
}

/// Reads the words after `vllm serve`: the model, where it stands first, and the arguments in their order.
pub fn read(words: &[String]) -> (Option<String>, Vec<Given>) {
    let mut rest = words;
    let mut model = None;
    if let [first, after @ ..] = words
        && !is_option(first)
    {
        model = Some(first.clone());
        rest = after;
    }
    let mut all = Vec::new();
    while let [word, after @ ..] = rest {
        let (given, taken) = one(word, after);
        all.push(given);
        rest = &after[taken..];
    }
    (model, all)
}

/// Whether argparse takes the word for an option: a dash begins it, and it is no negative number.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|rest| !rest.is_empty() && rest.parse::<f64>().is_err() && !word.contains(' '))
}

/// One argument, and how many of the words behind it belong to it.
fn one(word: &str, after: &[String]) -> (Given, usize) {
    let mut given = Given {
        name: String::new(),
        path: None,
        off: false,
        values: Vec::new(),
        words: vec![word.to_owned()],
        oddity: None,
    };
    if !is_option(word) {
        given.values.push(word.to_owned());
        given.oddity = Some(Oddity::Stray);
        return (given, 0);
    }
    let (key, joined) = match word.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (word, None),
    };
    // `-O3` is one word of name and value.
    if let Some(level) = word.strip_prefix("-O") {
        let level = level.strip_prefix('=').unwrap_or(level);
        given.name = "optimization-level".into();
        let values = if level.is_empty() {
            after.get(..1).unwrap_or(&[]).to_vec()
        } else {
            Vec::new()
        };
        let taken = values.len();
        given.words.extend(values.iter().cloned());
        given.values = if level.is_empty() {
            values
        } else {
            vec![level.to_owned()]
        };
        return (given, taken);
    }
    name(key, &mut given);
    let takes = match (given.flag(), &given.path) {
        (_, Some(_)) => Takes::Value,
        (Some(flag), None) => flag.takes,
        // Nobody knows what it takes: the words up to the next option are its own.
        (None, None) => Takes::Several,
    };
    let free = after.iter().take_while(|w| !is_option(w)).count();
    let known = given.flag().is_some() || given.path.is_some();
    let taken = match (takes, &joined) {
        (Takes::Nothing | Takes::Switch, None) | (_, Some(_)) => 0,
        (Takes::Value | Takes::Optional, None) => free.min(1),
        (Takes::Several, None) => free,
    };
    given.words.extend(after[..taken].iter().cloned());
    given.values.extend(joined.clone());
    given.values.extend(after[..taken].iter().cloned());
    let none = matches!(takes, Takes::Nothing | Takes::Switch);
    if none && joined.is_some() {
        given.oddity = Some(Oddity::Value);
    } else if known && matches!(takes, Takes::Value | Takes::Several) && given.values.is_empty() {
        given.oddity = Some(Oddity::NoValue);
    }
    (given, taken)
}

/// Reads the name: dashes and underscores are equal before the first dot, short names are written out, and a name that
/// is cut short stands for the one that begins so.
fn name(key: &str, given: &mut Given) {
    let Some(long) = key.strip_prefix("--") else {
        let short = &key[1..];
        given.name = TABLE.aliases.get(short).map_or(short, |n| n).to_owned();
        return;
    };
    let (long, path) = match long.split_once('.') {
        Some((long, path)) => (long, Some(path.to_owned())),
        None => (long, None),
    };
    given.path = path;
    let long = long.replace('_', "-");
    let exact = |name: &str| {
        let name = TABLE.aliases.get(name).copied().unwrap_or(name);
        TABLE.flags.get(name).map(|flag| flag.name)
    };
    let off = |name: &str| {
        let switch = exact(name.strip_prefix("no-")?)?;
        (TABLE.flags[switch].takes == Takes::Switch).then_some(switch)
    };
    if let Some(name) = exact(&long) {
        given.name = name.to_owned();
    } else if let Some(name) = off(&long) {
        given.name = name.to_owned();
        given.off = true;
    } else {
        let begun: Vec<&str> = TABLE
            .flags
            .keys()
            .copied()
            .filter(|n| n.starts_with(&long))
            .collect();
        let noted = TABLE.notes.contains_key(long.as_str());
        given.name = long;
        match begun[..] {
            _ if noted => {}
            [] => {}
            [one] => {
                given.name = one.to_owned();
                given.oddity = Some(Oddity::Cut);
            }
            _ => given.oddity = Some(Oddity::Ambiguous),
        }
    }
}
