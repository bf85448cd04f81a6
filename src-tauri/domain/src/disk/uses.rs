//! Who uses an item, whether it may be deleted, and what breaks then.

use serde::{Deserialize, Serialize};

use crate::node::disk::{DiskItem, DiskKind};
use crate::problem::{Code, Problem, bytes};
use crate::shell::own;

/// A container that stands on a machine, as far as it concerns the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounting {
    /// Its name.
    pub name: String,
    /// Its image's id.
    pub image_id: String,
    /// Whether its process runs.
    pub running: bool,
    /// Whether Tandem started it.
    pub ours: bool,
    /// Its folders: on the machine, and as they are called inside.
    pub mounts: Vec<(String, String)>,
    /// Its program's arguments.
    pub command: Vec<String>,
}

/// Somebody who uses an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Use {
    /// Who, in words that can stand in a sentence.
    pub by: String,
    /// Whether the item cannot be deleted while it does.
    pub holds: bool,
}

/// Whether a path is another one or lies in it.
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Mounting {
    /// The paths on the machine that its arguments name, seen through its mounts.
    fn named(&self) -> impl Iterator<Item = String> {
        self.command.iter().flat_map(|word| {
            // The path may stand behind a sign, as in `--model=/x` or a JSON value.
            let bare = word.find('/').map_or("", |at| &word[at..]);
            let bare = bare.split(['"', ',', '}', ' ']).next().unwrap_or_default();
            self.mounts.iter().filter_map(move |(source, target)| {
                let rest = bare.strip_prefix(target.trim_end_matches('/'))?;
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| format!("{}{rest}", source.trim_end_matches('/')))
            })
        })
    }

    fn uses(&self, item: &DiskItem) -> bool {
        if item.kind == DiskKind::Image {
            return self.image_id == item.path;
        }
        if !self.running {
            return false;
        }
        let path = item.path.as_str();
        if self.mounts.iter().any(|(source, _)| within(source, path)) {
            return true;
        }
        // Our own says in its arguments which checkpoint it serves. Of another one that sees the folder
        // nothing is known, so it may be using anything in there; one that sees the whole machine watches it.
        // A source without a name is memory.
        let covers = |source: &str| !matches!(source, "" | "/") && within(path, source);
        self.mounts.iter().any(|(source, _)| covers(source))
            && (!self.ours || self.named().any(|named| within(&named, path)))
    }
}

/// Everybody who uses an item: containers, programs that have it open, runs that ended with it.
///
/// `runs` are the titles of runs whose receipts name the item's path or image.
pub fn uses(item: &DiskItem, containers: &[Mounting], runs: &[String]) -> Vec<Use> {
    let mut all: Vec<Use> = containers
        .iter()
        .filter(|c| c.uses(item))
        .map(|c| Use {
            by: match (c.ours, c.running) {
                (true, true) => "the server that runs now".to_owned(),
                (true, false) => "the stopped server".to_owned(),
                (false, true) => format!("the container `{}`, which runs", c.name),
                (false, false) => format!("the stopped container `{}`", c.name),
            },
            holds: true,
        })
        .collect();
    all.extend(item.busy.iter().map(|who| Use {
        by: who.clone(),
        holds: true,
    }));
    all.extend(runs.iter().map(|title| Use {
        by: format!("the run “{title}”"),
        holds: false,
    }));
    all
}

/// Why an item may not be deleted now; `None` if it may.
pub fn refused(item: &DiskItem, uses: &[Use]) -> Option<Problem> {
    let message = format!("{} was not deleted.", title(item));
    if let Some(who) = uses.iter().find(|u| u.holds) {
        let problem = Problem::new(Code::Locked, message);
        let server = who.by.contains("server");
        return Some(
            problem
                .cause(format!("It is in use by {}.", who.by))
                .fix(if server {
                    "Stop the server first; the Chat and Settings screens do that."
                } else {
                    "End what uses it, then delete it."
                }),
        );
    }
    let owner = item.foreign.as_ref()?;
    Some(
        Problem::new(Code::MachineUnfit, message)
            .cause(format!(
                "It belongs to `{owner}`, as files do that a container wrote."
            ))
            .fix_with("Make it your own, then delete it.", own(&item.path)),
    )
}

fn title(item: &DiskItem) -> String {
    let short = item.commit.as_deref().map(|c| &c[..c.len().min(8)]);
    match (item.kind, short) {
        (DiskKind::Revision, Some(commit)) => format!("`{}` at {commit}", item.name),
        _ => format!("`{}`", item.name),
    }
}

/// What will no longer work, or will take longer, when an item is gone. Sentences, the worst first.
///
/// `all` are the items of the same machine.
pub fn breaks(item: &DiskItem, all: &[DiskItem], uses: &[Use]) -> Vec<String> {
    let mut sentences = Vec::new();
    let runs: Vec<&str> = uses
        .iter()
        .filter(|u| !u.holds)
        .map(|u| u.by.as_str())
        .collect();
    if let [first, ..] = runs.as_slice() {
        sentences.push(format!(
            "It is what {first} made or found; taking that run up again brings it back first."
        ));
    }
    let again = bytes(item.frees);
    sentences.push(match item.kind {
        DiskKind::Revision => format!(
            "Whatever loads this model from the Hugging Face cache fetches {again} again, or fails without the network."
        ),
        DiskKind::Overlay => {
            "Serving this revision with MTP needs it; the next set-up makes it again.".into()
        }
        DiskKind::Draft => {
            "Serving with this drafter needs it; the next set-up brings it again.".into()
        }
        DiskKind::Image => {
            format!("The next start of a container from it pulls {again} again.")
        }
        DiskKind::CompileCache => {
            "The next start of a server compiles again, which takes minutes.".into()
        }
        DiskKind::DownloadCache => "Nothing; a later download may fetch more.".into(),
        DiskKind::Unfinished => {
            "The download begins again from nothing instead of going on.".into()
        }
        DiskKind::Leftover => "Nothing; no revision uses these files.".into(),
    });
    let shared = item.size.saturating_sub(item.frees);
    if shared > 0 {
        let beside: Vec<String> = all
            .iter()
            .filter(|other| other.path != item.path && other.name == item.name)
            .filter(|other| other.kind != DiskKind::Unfinished)
            .map(|other| match (other.kind, &other.commit) {
                (DiskKind::Overlay, _) => "the checkpoint with MTP beside it".to_owned(),
                (_, Some(commit)) => format!("revision {}", &commit[..commit.len().min(8)]),
                _ => title(other),
            })
            .collect();
        sentences.push(if beside.is_empty() {
            format!("{} stay, because something else holds them.", bytes(shared))
        } else {
            format!(
                "{} stay, because {} shares them.",
                bytes(shared),
                beside.join(" and ")
            )
        });
    }
    sentences
}
