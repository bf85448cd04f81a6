//! The one place where a program and its arguments become a line for a remote shell.
//!
//! A command must end with the call that started it, and OpenSSH does not see to that: closing a
//! channel leaves the process running. So the command runs under a few lines of shell that read the
//! same stdin: first the bytes meant for the command, counted, and then nothing until the channel
//! is closed. When that happens before the command has ended, everything in the session's process
//! group is ended: with TERM and, two seconds later, with KILL. Processes in a session of their own
//! (`setsid`, `systemd-run`) are outside of the group and stay.

use tandem_domain::ports::Command;
use tandem_domain::shell::quote;

/// `$1` is the count of bytes for the command's stdin; the command follows. The status of the whole
/// is the command's, 128 + n if signal n ended it.
///
/// The left side writes its own pid first, so that the right side can end it; `read` takes it from
/// the pipe byte by byte, which leaves the rest to the command. What the shells themselves would say
/// on stderr, that a child was ended, is no word of the command's and goes nowhere.
const KEEPER: &str = r#"n=$1; shift; exec 4>&2 2>/dev/null; { exec 4>&-; sh -c 'echo $PPID'; head -c "$n"; exec >/dev/null; while read -r _; do :; done; trap "" TERM HUP INT; kill -TERM 0; sleep 2; kill -KILL 0; } | { read -r w; env LC_ALL=C.UTF-8 "$@" 2>&4 4>&-; s=$?; kill "$w"; exit "$s"; }"#;

/// How a command becomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Elevation {
    /// It does not.
    None,
    /// By sudo, which must not ask.
    Free,
    /// By sudo, which prints the prompt on stderr when it wants the password on stdin.
    Asked,
}

/// What is printed to keep the command's own output apart from what comes before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    /// Printed on stdout and stderr by the login shell's first command, after its start files.
    pub(super) begun: String,
    /// sudo's prompt.
    pub(super) prompt: String,
    /// Printed on stdout and stderr as root before the command starts.
    pub(super) started: String,
}

impl Marks {
    /// Marks that no output can contain by chance.
    pub(super) fn new() -> Self {
        let nonce: u128 = rand::random();
        Self {
            begun: format!("<begun {nonce:032x}>"),
            prompt: format!("<sudo {nonce:032x}>"),
            started: format!("<root {nonce:032x}>"),
        }
    }
}

/// Quotes a program; a leading `~/` becomes the home folder of the user who logs in, also under sudo.
fn quote_program(program: &str) -> String {
    match program.strip_prefix("~/") {
        Some(rest) => format!("\"$HOME\"/{}", quote(rest)),
        None => quote(program),
    }
}

/// The line to hand to the user's login shell. The command finds `environment` in its own.
pub(super) fn line(
    command: &Command,
    environment: &[(String, String)],
    elevation: Elevation,
    marks: &Marks,
) -> String {
    let say = |mark: &str| {
        let mark = quote(mark);
        format!("printf %s {mark}; printf %s {mark} >&2; ")
    };
    let mut line = String::from("exec sh -c ");
    let begin = say(&marks.begun);
    match elevation {
        Elevation::None => line.push_str(&quote(&format!("{begin}{KEEPER}"))),
        Elevation::Free | Elevation::Asked => {
            line.push_str(&quote(&format!("{begin}exec env LC_ALL=C \"$@\"")));
            line.push_str(" tandem sudo ");
            if elevation == Elevation::Free {
                line.push_str("-n");
            } else {
                // -k: no remembered login, so that a password is either not needed or asked for.
                line.push_str("-S -k -p ");
                line.push_str(&quote(&marks.prompt));
            }
            line.push_str(" -- sh -c ");
            line.push_str(&quote(&format!("{}{KEEPER}", say(&marks.started))));
        }
    }
    line.push_str(" tandem ");
    line.push_str(&command.stdin.len().to_string());
    for (name, value) in environment {
        line.push(' ');
        line.push_str(&quote(&format!("{name}={value}")));
    }
    line.push(' ');
    line.push_str(&quote_program(&command.program));
    for arg in &command.args {
        line.push(' ');
        line.push_str(&quote(arg));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command as Local, Stdio};

    use proptest::prelude::*;
    use tandem_domain::ports::Command;

    use super::{Elevation, Marks, quote};

    /// The line of a command that does not become root. Its marks are empty, so that only its own output comes.
    fn line(command: &Command) -> String {
        line_with(command, &[])
    }

    /// The same with this environment.
    fn line_with(command: &Command, environment: &[(String, String)]) -> String {
        let marks = Marks {
            begun: String::new(),
            prompt: String::new(),
            started: String::new(),
        };
        super::line(command, environment, Elevation::None, &marks)
    }

    /// Runs a line in `sh`, as sshd would, with stdin kept open until the command has ended.
    fn run(line: &str, stdin: &[u8], home: &std::path::Path) -> std::process::Output {
        // A session of its own, as sshd gives one: the keeper may end its whole process group.
        let mut child = Local::new("setsid")
            .args(["--wait", "sh", "-c", line])
            .env("HOME", home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh starts");
        // Taken out, because `wait_with_output` would close it, which means that the caller is gone.
        let mut pipe = child.stdin.take().expect("piped");
        pipe.write_all(stdin).expect("the keeper reads");
        let output = child.wait_with_output().expect("sh ends");
        drop(pipe);
        output
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn any_words_come_out_of_a_real_shell_unchanged(
            words in proptest::collection::vec("[^\\x00]{0,40}|['\"\\\\$`!*~;&|<>() \\n\\t#=-]{0,12}", 1..6)
        ) {
            let quoted: Vec<String> = words.iter().map(|w| quote(w)).collect();
            let output = Local::new("sh")
                .args(["-c", &format!("printf '%s\\0' {}", quoted.join(" "))])
                .output()
                .expect("sh runs");
            let mut expected = words.join("\0").into_bytes();
            expected.push(0);
            prop_assert_eq!(output.stdout, expected);
        }

        #[test]
        fn arguments_and_stdin_reach_the_command_unchanged(
            words in proptest::collection::vec("[^\\x00]{0,20}|['\"\\\\$`!\\n]{0,6}", 0..4),
            stdin in proptest::collection::vec(any::<u8>(), 0..3000),
        ) {
            let mut args = vec!["-c".to_owned(), "printf '%s\\0' \"$@\"; cat".to_owned(), "x".to_owned()];
            args.extend(words.iter().cloned());
            let command = Command::new("sh", args).stdin(stdin.clone());
            let output = run(&line(&command), &stdin, "/".as_ref());
            let mut expected = Vec::new();
            for word in &words {
                expected.extend_from_slice(word.as_bytes());
                expected.push(0);
            }
            if words.is_empty() {
                expected.push(0);
            }
            expected.extend_from_slice(&stdin);
            prop_assert_eq!(output.stdout, expected);
        }
    }

    #[test]
    fn the_status_is_the_commands() {
        for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
            let command = Command::new("sh", ["-c", script]);
            let output = run(&line(&command), b"", "/".as_ref());
            assert_eq!(output.status.code(), Some(status), "`{script}`");
        }
    }

    #[test]
    fn the_command_finds_what_it_is_given_in_its_environment() {
        let command = Command::new("sh", ["-c", "printf %s \"$HF_HOME\""]);
        let given = [("HF_HOME".to_owned(), "/a b/$HOME'".to_owned())];
        let output = run(&line_with(&command, &given), b"", "/".as_ref());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "/a b/$HOME'");
    }

    #[test]
    fn a_tilde_is_the_home_folder_only_in_front_of_the_program() {
        let home = tempfile::tempdir().expect("a folder");
        let program = home.path().join("it's here");
        std::fs::write(&program, "#!/bin/sh\nprintf %s \"$1\"\n").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("made executable");
        let command = Command::new("~/it's here", ["~/left $HOME alone"]);
        let output = run(&line(&command), b"", home.path());
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "~/left $HOME alone"
        );
    }
}
