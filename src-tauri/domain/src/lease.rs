//! Who works on a machine. A run that changes a machine keeps a file there, beside Tandem's other files, for as long
//! as it lasts. Another computer's Tandem, as the same user there, finds it and does not begin.
//!
//! All that reads or writes the file holds a lock on the home folder, so that of two that come at once one is first.

use std::time::Duration;

use crate::ports::{Command, Machine, MachineError};
use crate::problem::{Code, Problem, Retry};

/// How often a lease is renewed.
pub const RENEWED_EVERY: Duration = Duration::from_secs(30);

/// A lease that was not renewed for so long counts for nothing: its computer is gone. A restart of the machine, during
/// which nobody can renew, takes less.
pub const STALE_AFTER: Duration = Duration::from_secs(5 * 60);

/// Who takes a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// A random word that nobody else has. It stays the same over the lives of an app, so that a killed one finds
    /// its own lease again.
    pub word: String,
    /// The user and the computer, as `anna@laptop`.
    pub who: String,
    /// The run.
    pub run: String,
}

/// Why a lease was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseError {
    /// Somebody else works there.
    Held {
        /// The user and the computer, as that one wrote it, made fit to be shown.
        who: String,
        /// Since when, as `18:02` by the machine's clock.
        since: String,
    },
    /// The machine was not asked, or did not answer as it should.
    Machine(MachineError),
    /// The file could not be written.
    Unwritten(String),
}

impl LeaseError {
    /// The error in words, for a machine of this name.
    pub fn problem(&self, machine: &str) -> Problem {
        match self {
            Self::Held { who, since } => Problem::new(Code::Locked, "The run was not started.")
                .cause(format!(
                    "`{who}` works on `{machine}` since {since}, by that machine's clock."
                ))
                .fix("Wait until that run has ended, or cancel it there. If that computer is gone, try again in five minutes.")
                .retry(Retry::Now)
                .on(machine),
            Self::Machine(error) => error.problem(machine),
            Self::Unwritten(detail) => {
                Problem::new(Code::FileAccess, "The machine could not be marked as in use.")
                    .cause("`~/.local/share/tandem/lease` was not written.")
                    .fix("Check that the home folder there can be written, then try again.")
                    .on(machine)
                    .detail(detail.clone())
            }
        }
    }
}

/// Begins each program: the lock, and where the file lies.
const HEAD: &str = r#"set -eu
umask 077
exec 9<"$HOME"
flock -w 10 9
d=$HOME/.local/share/tandem
f=$d/lease
word=
"#;

/// Takes the lease for the word `$1` of `$2` with the run `$3`, unless another word has one that is younger than `$4`
/// seconds: then it is printed, with the time of day at which it was taken, and the status is 3.
const TAKE: &str = r#"now=$(date +%s)
if [ -e "$f" ]; then
  read -r word <"$f" || true
  age=$((now - $(stat -c %Y -- "$f")))
  if [ "$word" != "$1" ] && [ "$age" -lt "$4" ] && [ "$age" -gt "-$4" ]; then
    sed -n 2p -- "$f"
    since=$(sed -n 4p -- "$f")
    date -d "@$since" +%H:%M
    exit 3
  fi
  rm -f -- "$f"
fi
mkdir -p -- "$d"
set -C
printf '%s\n%s\n%s\n%s\n' "$1" "$2" "$3" "$now" >"$f"
"#;

/// Renews the lease of the word `$1`; the status is 3 where somebody else has it.
const RENEW: &str = r#"[ -e "$f" ] && read -r word <"$f" || true
[ "$word" = "$1" ] || exit 3
touch -c -- "$f"
"#;

/// Gives back the lease of the word `$1`; one of somebody else stays.
const GIVE_BACK: &str = r#"[ -e "$f" ] && read -r word <"$f" || true
[ "$word" = "$1" ] || exit 0
rm -f -- "$f"
rmdir -- "$d" 2>/dev/null || true
"#;

/// The status with which a program says that somebody else has the lease.
const HELD: i32 = 3;

fn program(body: &str, args: &[&str]) -> Command {
    let text = format!("{HEAD}{body}");
    let all = [&["-c", text.as_str(), "tandem"], args].concat();
    Command::new("sh", all).timeout(Some(Duration::from_secs(20)))
}

/// Takes the lease of a machine, or says who has it. One that was not renewed for [`STALE_AFTER`] is taken over.
pub async fn take(machine: &dyn Machine, holder: &Holder) -> Result<(), LeaseError> {
    let stale = STALE_AFTER.as_secs().to_string();
    let args = [&*holder.word, &holder.who, &holder.run, &stale];
    let said = machine.exec(&program(TAKE, &args)).await;
    let said = said.map_err(LeaseError::Machine)?;
    match said.status {
        0 => Ok(()),
        HELD => {
            let text = said.text();
            let mut lines = text.lines().map(shown);
            Err(LeaseError::Held {
                who: lines.next().unwrap_or_default(),
                since: lines.next().unwrap_or_default(),
            })
        }
        _ => Err(LeaseError::Unwritten(said.error_text())),
    }
}

/// A machine whose lease is taken with those of others.
#[derive(Clone, Copy)]
pub struct Leased<'a> {
    /// `/etc/machine-id`.
    pub machine_id: &'a str,
    /// The name people know it by.
    pub name: &'a str,
    /// The machine.
    pub shell: &'a dyn Machine,
}

/// Takes the leases of these machines, or none and says who works on one of them. Gives back what stood against a
/// machine that did not answer or take it.
///
/// Every computer takes them in the order of the machines' ids, whatever their order is there: of two that come at once
/// one has the first, and so all of them.
pub async fn take_all(machines: &[Leased<'_>], holder: &Holder) -> Result<Vec<Problem>, Problem> {
    let mut machines = machines.to_vec();
    machines.sort_by_key(|machine| (machine.machine_id, machine.name));
    let mut untaken = Vec::new();
    for (i, machine) in machines.iter().enumerate() {
        match take(machine.shell, holder).await {
            Ok(()) => {}
            Err(held @ LeaseError::Held { .. }) => {
                for taken in &machines[..i] {
                    // One that does not answer now is taken over after a while.
                    let _ = give_back(taken.shell, holder).await;
                }
                return Err(held.problem(machine.name));
            }
            Err(other) => untaken.push(other.problem(machine.name)),
        }
    }
    Ok(untaken)
}

/// Renews the lease; `false` where it is not this holder's any more.
pub async fn renew(machine: &dyn Machine, holder: &Holder) -> Result<bool, MachineError> {
    let said = machine.exec(&program(RENEW, &[&holder.word])).await?;
    Ok(said.status != HELD)
}

/// Gives the lease back, if it is this holder's. Nothing is left then.
pub async fn give_back(machine: &dyn Machine, holder: &Holder) -> Result<(), MachineError> {
    let said = machine.exec(&program(GIVE_BACK, &[&holder.word])).await;
    said.map(drop)
}

/// What another wrote, fit to be shown in a sentence.
fn shown(line: &str) -> String {
    let plain = |c: &char| c.is_ascii_graphic() && *c != '`';
    line.chars().filter(plain).take(60).collect()
}
