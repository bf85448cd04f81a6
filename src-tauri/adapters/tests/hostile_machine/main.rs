//! A machine that does its worst. Whatever it does, a call ends within its limit, with the error that says why,
//! and the app stays small.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod server;

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use server::{Behaviour, Greeting, Stream, machine};
use tandem_adapters::ssh::known_hosts::KnownHosts;
use tandem_adapters::ssh::probe;
use tandem_domain::ports::{Command, Machine, MachineError, TooLong};

/// What the commands of these tests may take.
const LIMIT: Duration = Duration::from_secs(8);

fn command() -> Command {
    Command::new("tandem-node", ["facts"]).timeout(Some(LIMIT))
}

/// Runs a command on a machine that behaves so, and holds the time against the limit.
async fn outcome(behaviour: Behaviour, command: Command, password: Option<&str>) -> MachineError {
    let machine = machine(behaviour, password).await;
    let limit = command.timeout.unwrap_or(LIMIT);
    let start = Instant::now();
    let error = machine.exec(&command).await.expect_err("it misbehaves");
    let took = start.elapsed();
    assert!(
        took < limit + Duration::from_secs(1),
        "{behaviour:?} took {took:?}"
    );
    error
}

fn too_much(what: TooLong, most: usize) -> MachineError {
    let program = "tandem-node".to_owned();
    MachineError::TooMuch {
        program,
        what,
        most,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_without_an_end_ends_the_call() {
    let most = 4 << 20;
    let facts = || command().most(most);
    for (stream, password) in [
        (Stream::Out, None),
        (Stream::Err, None),
        (Stream::Err, Some("secret")),
    ] {
        let endless = Behaviour::Endless(stream, b"facts\n");
        let mut command = facts();
        command.sudo = password.is_some();
        let error = outcome(endless, command, password).await;
        assert_eq!(error, too_much(TooLong::Output, most), "{stream:?}");
    }
    let after = outcome(Behaviour::EndlessAfterStatus, command(), None).await;
    assert_eq!(after, too_much(TooLong::Output, 1 << 20));
    assert!(held() < 300 << 20, "{} bytes were held", held());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_ends_the_call_that_reads_lines() {
    let machine = machine(Behaviour::Endless(Stream::Out, b"x"), None).await;
    let mut lines = 0;
    let mut count = |_: &str| lines += 1;
    let error = machine.lines(&command(), &mut count).await.unwrap_err();
    assert_eq!(error, too_much(TooLong::Line, 256 << 10));
    assert_eq!(lines, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_before_the_command_are_not_read_for_ever() {
    for (stream, password) in [
        (Stream::Out, None),
        (Stream::Err, None),
        // With sudo, stderr is looked through for its prompt.
        (Stream::Err, Some("secret")),
    ] {
        let mut command = command();
        command.sudo = password.is_some();
        let error = outcome(Behaviour::EndlessBefore(stream), command, password).await;
        let (user, printed) = ("owner".to_owned(), "motd".to_owned());
        assert_eq!(error, MachineError::Shell { user, printed }, "{stream:?}");
    }
    let error = outcome(
        Behaviour::AsksAlways,
        command().sudo(),
        Some("not the password"),
    )
    .await;
    assert!(
        matches!(error, MachineError::WrongPassword { .. }),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_too_little_is_waited_for_as_long_as_allowed() {
    let quick = command().timeout(Some(Duration::from_secs(2)));
    for behaviour in [
        Behaviour::Drip,
        Behaviour::Silence,
        Behaviour::NeverOpens,
        Behaviour::ThirdOutput,
        Behaviour::EndsWithoutStatus,
    ] {
        let error = outcome(behaviour, quick.clone(), None).await;
        let program = "tandem-node".to_owned();
        let late = MachineError::TimedOut {
            program,
            seconds: 2,
        };
        assert_eq!(error, late, "{behaviour:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_at_any_moment_is_told() {
    for behaviour in [
        Behaviour::Closes,
        Behaviour::CutHalfWay,
        Behaviour::CutsLogin,
        Behaviour::RefusesChannels,
    ] {
        let error = outcome(behaviour, command(), None).await;
        assert!(
            matches!(error, MachineError::Lost { .. }),
            "{behaviour:?}: {error:?}"
        );
    }
    let refused = outcome(Behaviour::RefusesCommands, command(), None).await;
    assert!(
        matches!(refused, MachineError::NotSsh { .. }),
        "{refused:?}"
    );
    let asked = outcome(Behaviour::AsksForEver, command(), None).await;
    assert!(
        matches!(asked, MachineError::WrongPassword { .. }),
        "{asked:?}"
    );
}

/// A login and a command take some 2,500 bytes of the server, so this ends it in each of its messages.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_after_each_piece_of_a_login_is_told_until_there_is_an_answer() {
    let tries = (0..200).map(|piece| async move {
        let machine = server::cut_after(piece * 32).await;
        let command = Command::new("echo", ["here"]);
        let answer = tokio::time::timeout(Duration::from_secs(30), machine.exec(&command)).await;
        answer.expect("it ends")
    });
    let answers: Vec<_> = futures::stream::iter(tries).buffered(16).collect().await;
    let cut = answers.iter().take_while(|answer| answer.is_err()).count();
    assert!((40..190).contains(&cut), "{cut} cuts came before an answer");
    for (piece, answer) in answers.iter().enumerate() {
        match answer {
            Ok(output) => assert_eq!(output.text(), "here\n", "after {piece} pieces"),
            Err(error) => assert!(
                matches!(
                    error,
                    MachineError::Lost { .. }
                        | MachineError::NotSsh { .. }
                        | MachineError::Unreachable { .. }
                ),
                "after {piece} pieces: {error:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_runs_nothing_is_named_by_what_it_prints() {
    let user = || "owner".to_owned();
    for (words, expected) in [
        (
            "This account is currently not available.\n",
            MachineError::Shell {
                user: user(),
                printed: "This account is currently not available.".into(),
            },
        ),
        (
            "\u{1b}[2J\u{202e}liam\n",
            MachineError::Shell {
                user: user(),
                printed: "⟨U+001B⟩[2J⟨U+202E⟩liam".into(),
            },
        ),
        (
            "WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
            MachineError::PasswordExpired { user: user() },
        ),
    ] {
        let error = outcome(Behaviour::Says(words), command(), None).await;
        assert_eq!(error, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_file_prints_is_no_part_of_any_answer() {
    let machine = machine(Behaviour::ShellThatPrints, None).await;
    let script = "printf 'aarch64\\n'; cat; printf 'a warning' >&2; exit 7";
    let command = Command::new("sh", ["-c", script]).stdin(b"what it reads".to_vec());
    let output = machine.exec(&command).await.expect("it runs");
    assert_eq!(output.text(), "aarch64\nwhat it reads");
    assert_eq!(output.error_text(), "a warning");
    assert_eq!(output.status, 7);

    let files = server::machine(Behaviour::SftpAfterWords, None).await;
    let read = files.read("~/notes", false).await.expect("it is read");
    assert_eq!(read.as_deref(), Some(&b"kept"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_transfer_that_lies_ends() {
    let read = async |behaviour| {
        let machine = machine(behaviour, None).await;
        let start = Instant::now();
        let error = machine.read("~/notes", false).await.expect_err("it lies");
        assert!(start.elapsed() < Duration::from_secs(30), "{behaviour:?}");
        error
    };
    let path = "/home/owner/notes".to_owned();
    assert_eq!(
        read(Behaviour::SftpEndlessFile).await,
        MachineError::FileTooLarge {
            path,
            most: 64 << 20
        }
    );
    let words = read(Behaviour::SftpWords).await;
    let (user, printed) = ("owner".to_owned(), "Welcome to spark-a".to_owned());
    assert_eq!(words, MachineError::Shell { user, printed });
    let empty = read(Behaviour::SftpEmptyParts).await;
    assert!(matches!(empty, MachineError::File { .. }), "{empty:?}");
    let refused = read(Behaviour::RefusesSftp).await;
    assert!(
        matches!(&refused, MachineError::File { detail, .. } if detail.contains("no file transfer")),
        "{refused:?}"
    );
    let huge = read(Behaviour::SftpHugePacket).await;
    assert!(matches!(huge, MachineError::Lost { .. }), "{huge:?}");
    assert!(held() < 300 << 20, "{} bytes were held", held());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_greet_as_a_server_is_told_apart_in_time() {
    let all = [
        Greeting::Silence,
        Greeting::EndlessLines,
        Greeting::Noise,
        Greeting::VersionAlone,
        Greeting::Closes,
    ];
    let asked = all.map(|greeting| async move {
        let port = server::greeter(greeting).await;
        let start = Instant::now();
        let error = probe("127.0.0.1", port, &KnownHosts::default()).await;
        let took = start.elapsed();
        assert!(took < Duration::from_secs(11), "{greeting:?} took {took:?}");
        let error = error.expect_err("it is no server");
        assert!(
            matches!(
                error,
                MachineError::NotSsh { .. } | MachineError::Unreachable { .. }
            ),
            "{greeting:?}: {error:?}"
        );
    });
    futures::future::join_all(asked).await;
    assert!(held() < 300 << 20, "{} bytes were held", held());
}

/// The most memory that this process has held, in bytes. Where the system does not tell, 0.
fn held() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.unwrap_or(0_usize) << 10
}
