//! Shapes of the disks.

use serde::{Deserialize, Serialize};
use specta::Type;
use tandem_domain::disk::Use;
use tandem_domain::ids::MachineId;
use tandem_domain::node::disk::{DiskItem, Doomed};
use tandem_domain::problem::Problem;

/// One machine's disk.
#[derive(Debug, Clone, Serialize, Type)]
pub struct MachineDisk {
    /// The machine's id.
    pub machine: MachineId,
    /// Its name.
    pub name: String,
    /// What is known; `None` where the machine could not be asked.
    pub disk: Option<DiskKnown>,
    /// Why it could not be asked, or why Docker's part is missing.
    pub problem: Option<Problem>,
}

/// See [`MachineDisk::disk`].
#[derive(Debug, Clone, Serialize, Type)]
pub struct DiskKnown {
    /// The Hugging Face home.
    pub home: String,
    /// Free bytes of its disk.
    pub free: u64,
    /// All bytes of its disk.
    pub total: u64,
    /// Bytes of memory that hold files which were read or written.
    pub cached: u64,
    /// Bytes that everything in the list takes, each counted once.
    pub taken: u64,
    /// What takes room, the largest first.
    pub entries: Vec<DiskEntry>,
}

/// An item with what is to be known before it is deleted.
#[derive(Debug, Clone, Serialize, Type)]
pub struct DiskEntry {
    /// The item.
    pub item: DiskItem,
    /// Who uses it.
    pub uses: Vec<Use>,
    /// Why it may not be deleted now; `None` if it may.
    pub refused: Option<Problem>,
    /// What no longer works, or takes longer, once it is gone.
    pub breaks: Vec<String>,
}

/// A revision on a machine, to be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CheckTarget {
    /// The machine's id.
    pub machine: MachineId,
    /// `owner/name`.
    pub repo: String,
    /// The commit.
    pub commit: String,
}

/// A check that goes on on a machine, or has ended unheard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct FoundCheck {
    /// What is checked.
    pub target: CheckTarget,
    /// Whether every byte is hashed.
    pub deep: bool,
    /// Whether what is wrong is fetched again.
    pub repair: bool,
}

/// What the window hears while a revision is checked or repaired.
#[derive(Debug, Clone, Serialize, Type)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CheckEvent {
    /// It came further.
    Progress {
        /// Bytes done.
        done: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
        /// Bytes per second over the last seconds.
        #[specta(type = Option<specta_typescript::Number>)]
        rate: Option<f64>,
        /// What is being done.
        doing: String,
    },
    /// Something worth knowing.
    Note {
        /// A sentence.
        text: String,
    },
    /// The machine does not answer now; the check goes on there.
    Away,
}

/// An item on a machine, to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DeleteTarget {
    /// The machine's id.
    pub machine: MachineId,
    /// The item.
    pub item: Doomed,
}

/// What a deletion did.
#[derive(Debug, Clone, Serialize, Type)]
pub struct Freed {
    /// Bytes that are free now.
    pub bytes: u64,
    /// What could not be removed, as sentences.
    pub left: Vec<String>,
}
