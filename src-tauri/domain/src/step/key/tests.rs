//! What becomes of a file of keys, by the step's own programs in a real shell.

#![expect(
    clippy::disallowed_methods,
    reason = "tests that run the programs in a folder of their own"
)]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command as Process;

use super::*;

fn step() -> InstallKey {
    InstallKey {
        public_key: "ssh-ed25519 AAAAC3Nza tandem\n".into(),
    }
}

fn run(home: &Path, program: &str, args: &[&str]) {
    let mut sh = Process::new("sh");
    sh.args(["-c", program, "tandem"]).args(args);
    let ran = sh.env("HOME", home).output().expect("sh runs");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success() && said.is_empty(), "{said}");
}

fn add(home: &Path) {
    let step = step();
    run(home, ADD, &[&step.line(), step.key()]);
}

fn remove(home: &Path, ended: bool, had_file: bool) {
    let step = step();
    let digit = |yes| if yes { "1" } else { "0" };
    let bare = step.public_key.trim();
    let had = digit(had_file);
    run(home, REMOVE, &[&step.line(), bare, digit(ended), had, had]);
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_file_of_keys_is_given_back_byte_for_byte() {
    let latin = b"ssh-rsa AAAAB3 J\xfcrgen\n\n# note\r\nssh-rsa AAAAB4 other".to_vec();
    let ended = [&latin[..], b"\n"].concat();
    let large = b"ssh-rsa AAAAB5 somebody\n".repeat(20_000);
    for before in [latin, ended, large, b"\n".to_vec(), Vec::new()] {
        let home = home();
        let file = home.path().join(FILE);
        std::fs::create_dir(home.path().join(".ssh")).expect("made");
        std::fs::write(&file, &before).expect("written");
        let mode = std::fs::Permissions::from_mode(0o640);
        std::fs::set_permissions(&file, mode).expect("set");
        let ended = before.last().is_none_or(|last| *last == b'\n');

        add(home.path());
        add(home.path());
        let with = std::fs::read(&file).expect("read");
        assert!(with.starts_with(&before), "nothing before it is touched");
        let line = format!("{}\n", step().line());
        let added = &with[before.len()..];
        assert!(added == line.as_bytes() || added[1..] == *line.as_bytes());

        remove(home.path(), ended, true);
        assert!(std::fs::read(&file).expect("read") == before);
        let mode = std::fs::metadata(&file)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640, "its mode is kept");
    }
}

#[test]
fn what_somebody_else_added_behind_it_stays() {
    let home = home();
    let file = home.path().join(FILE);
    std::fs::create_dir(home.path().join(".ssh")).expect("made");
    std::fs::write(&file, "ssh-rsa AAAAB3 first").expect("written");
    add(home.path());
    let theirs = b"ssh-rsa AAAAB4 sp\xe4ter\n".repeat(5000);
    let with = [std::fs::read(&file).expect("read"), theirs.clone()].concat();
    std::fs::write(&file, with).expect("written");
    remove(home.path(), false, true);
    let expected = [b"ssh-rsa AAAAB3 first\n".to_vec(), theirs].concat();
    assert!(std::fs::read(&file).expect("read") == expected);
}

#[test]
fn a_line_that_an_earlier_tandem_added_goes_too() {
    let home = home();
    let file = home.path().join(FILE);
    std::fs::create_dir(home.path().join(".ssh")).expect("made");
    let text = "ssh-rsa AAAAB3 first\nssh-ed25519 AAAAC3Nza tandem\n";
    std::fs::write(&file, text).expect("written");
    add(home.path());
    assert_eq!(std::fs::read_to_string(&file).expect("read"), text);
    remove(home.path(), true, true);
    let left = std::fs::read_to_string(&file).expect("read");
    assert_eq!(left, "ssh-rsa AAAAB3 first\n");
}

#[test]
fn a_link_stays_a_link() {
    let home = home();
    let file = home.path().join(FILE);
    let real = home.path().join("keys");
    std::fs::create_dir(home.path().join(".ssh")).expect("made");
    std::fs::write(&real, "ssh-rsa AAAAB3 first\n").expect("written");
    symlink(&real, &file).expect("linked");
    add(home.path());
    assert!(
        std::fs::read_to_string(&real)
            .expect("read")
            .contains("AAAAC3Nza")
    );
    remove(home.path(), true, true);
    assert!(file.is_symlink());
    let left = std::fs::read_to_string(&real).expect("read");
    assert_eq!(left, "ssh-rsa AAAAB3 first\n");
}

#[test]
fn what_was_not_there_is_private_and_goes_again() {
    let home = home();
    add(home.path());
    let mode = |path: &str| {
        let found = std::fs::metadata(home.path().join(path)).expect("there");
        found.permissions().mode() & 0o777
    };
    assert_eq!((mode(".ssh"), mode(FILE)), (0o700, 0o600));
    remove(home.path(), true, false);
    assert!(!home.path().join(".ssh").exists());
}

#[test]
fn keys_that_are_added_at_once_are_all_there() {
    let home = home();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let home = home.path();
            scope.spawn(move || {
                let (line, key) = (format!("ssh-ed25519 KEY{n}N x"), format!("KEY{n}N"));
                run(home, ADD, &[&line, &key]);
            });
        }
    });
    let text = std::fs::read_to_string(home.path().join(FILE)).expect("read");
    assert_eq!(text.lines().count(), 8, "{text}");
}
