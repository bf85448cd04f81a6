//! The table of arguments by release, read from the files beside it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The first release of the table.
const FIRST: u16 = 19;

/// The last release of the table.
const LAST: u16 = 33;

/// Releases of vLLM by the number after `0.`, from the first to the last that may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Releases(pub(super) RangeInclusive<u16>);

impl Releases {
    /// All of the table: nothing is known of the release.
    pub fn any() -> Self {
        Self(FIRST..=LAST)
    }

    /// The release that a version or the tag of an image names, such as `0.28.0`, `v0.28.0-arm64` or
    /// `0.26.1rc1.dev1231+g7a9993878`. A build from between two releases counts as either. `None` where the text
    /// names none of the table.
    pub fn of(version: &str) -> Option<Self> {
        let rest = version.strip_prefix('v').unwrap_or(version);
        let rest = rest.strip_prefix("0.")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit());
        let (minor, after) = rest.split_at(digits.unwrap_or(rest.len()));
        let minor: u16 = minor.parse().ok()?;
        let between = after.contains("dev");
        let to = if between { minor + 1 } else { minor };
        (FIRST..=LAST)
            .contains(&minor)
            .then(|| Self(minor..=to.min(LAST)))
    }

    /// For people: `0.28`, `0.26 to 0.27`.
    pub fn told(&self) -> String {
        let (from, to) = (self.0.start(), self.0.end());
        match from == to {
            true => format!("0.{from}"),
            false => format!("0.{from} to 0.{to}"),
        }
    }

    /// Whether it is any release of the table.
    pub fn is_any(&self) -> bool {
        *self == Self::any()
    }

    pub(super) fn meets(&self, life: &Life) -> bool {
        *self.0.start() <= life.until.unwrap_or(LAST) && *self.0.end() >= life.since.unwrap_or(0)
    }

    /// Whether all of them are this release or later ones.
    pub(super) fn are_from(&self, release: u16) -> bool {
        *self.0.start() >= release
    }
}

/// In which releases something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The first; `None` for the table's first or an earlier one.
    pub since: Option<u16>,
    /// The last; `None` where the table's last has it.
    pub until: Option<u16>,
}

/// What an argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// Nothing; `--no-NAME` turns it off.
    Switch,
    /// One word.
    Value,
    /// One word or more.
    Several,
    /// One word or none.
    Optional,
}

/// An argument of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without dashes at its head.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// The releases that have it.
    pub life: Life,
}

/// See `notes.tsv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Idle(u16),
    Gone,
    Replaced,
    Foreign,
}

pub(super) struct Table {
    pub flags: BTreeMap<&'static str, Flag>,
    /// Short names and other names, to the name.
    pub aliases: BTreeMap<&'static str, &'static str>,
    pub notes: BTreeMap<&'static str, (Fate, &'static str)>,
    /// Names that an argument takes, by argument and name.
    pub values: BTreeMap<&'static str, BTreeMap<&'static str, Life>>,
    pub environment: BTreeMap<&'static str, Life>,
}

pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table {
        flags: BTreeMap::new(),
        aliases: BTreeMap::new(),
        notes: BTreeMap::new(),
        values: BTreeMap::new(),
        environment: BTreeMap::new(),
    };
    for [name, takes, since, until, shorts, others] in rows(include_str!("arguments.tsv")) {
        let takes = match takes {
            "flag" => Takes::Nothing,
            "switch" => Takes::Switch,
            "several" => Takes::Several,
            "optional" => Takes::Optional,
            _ => Takes::Value,
        };
        let life = life(since, until);
        table.flags.insert(name, Flag { name, takes, life });
        for alias in [shorts, others].iter().flat_map(|list| list.split(',')) {
            if alias != "-" {
                table.aliases.insert(alias, name);
            }
        }
    }
    for [name, what, release_text, why] in rows(include_str!("notes.tsv")) {
        let fate = match what {
            "idle" => Fate::Idle(release(release_text).unwrap_or(FIRST)),
            "gone" => Fate::Gone,
            "replaced" => Fate::Replaced,
            _ => Fate::Foreign,
        };
        table.notes.insert(name, (fate, why));
    }
    for [flag, value, since, until] in rows(include_str!("values.tsv")) {
        let of = table.values.entry(flag).or_default();
        of.insert(value, life(since, until));
    }
    for [name, since, until] in rows(include_str!("environment.tsv")) {
        table.environment.insert(name, life(since, until));
    }
    table
});

/// The lines of a table as columns. A line of another number of columns is left out; a test finds it.
pub(super) fn rows<const N: usize>(text: &'static str) -> impl Iterator<Item = [&'static str; N]> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.filter_map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        columns.try_into().ok()
    })
}

fn release(text: &str) -> Option<u16> {
    text.strip_prefix("0.")?.parse().ok()
}

fn life(since: &str, until: &str) -> Life {
    Life {
        since: release(since),
        until: release(until),
    }
}
