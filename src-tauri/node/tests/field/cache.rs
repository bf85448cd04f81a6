//! Caches that people keep elsewhere.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::common::{Home, MIXED, Site, write_mixed};

/// What the program says with these variables set.
fn with(home: &Home, set: &[(&str, &Path)], arguments: &[&str], stdin: &Value) -> Output {
    use std::io::Write;
    let mut command = home.command();
    command.args(arguments).envs(set.iter().copied());
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(stdin.to_string().as_bytes()).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

fn facts(home: &Home, set: &[(&str, &Path)]) -> Value {
    let said = with(home, set, &["facts"], &json!({}));
    serde_json::from_slice(&said.stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_variables_of_hugging_face_s_tools_say_where_the_repositories_are() {
    let site = Site::with(|repos| write_mixed(repos, 1, 1 << 20));
    let home = site.home("one");
    let disk = tempfile::tempdir().unwrap();
    let hub = disk.path().join("new/hub");
    let told = facts(&home, &[("HF_HUB_CACHE", &hub)]);
    assert_eq!(told["hub"], text(&hub));
    assert_eq!(told["hf_home"], text(&home.hf()));
    let told = facts(&home, &[("XDG_CACHE_HOME", disk.path())]);
    assert_eq!(told["hf_home"], text(&disk.path().join("huggingface")));
    assert_eq!(told["hub"], Value::Null, "it is the home's own");

    // A job writes there, is undone there though nobody sets the variable any more, and leaves nothing.
    let before = home.tree();
    let request = home.fetch(MIXED, "main");
    with(
        &home,
        &[("HF_HUB_CACHE", &hub)],
        &["start", "fetch", "--job", "j"],
        &request,
    );
    let last = home.follow("j", 0).pop().map(|l| format!("{:?}", l.event));
    let repo = hub.join("models--o--mixed");
    assert!(last.unwrap().contains(text(&repo)));
    assert!(repo.join("refs/main").is_file());
    assert!(!home.hf().join("hub").exists(), "and nowhere else");
    home.undone_to("j", &before);
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_a_repository_s_folder_is_not_written_through_on_another_disk_either() {
    let site = Site::with(|repos| write_mixed(repos, 1, 1 << 20));
    let home = site.home("one");
    let (disk, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let repo = disk.path().join("models--o--mixed");
    std::fs::create_dir_all(&repo).unwrap();
    symlink(other.path(), repo.join("blobs")).unwrap();
    let request = home.fetch(MIXED, "main");
    let said = with(
        &home,
        &[("HF_HUB_CACHE", disk.path())],
        &["run", "fetch"],
        &request,
    );
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("\"failed\"") && said.contains("it is a link"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn a_hub_that_is_a_link_is_used_where_it_leads() {
    let site = Site::with(|repos| write_mixed(repos, 1, 1 << 20));
    let home = site.home("one");
    let disk = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.hf()).unwrap();
    symlink(disk.path(), home.hf().join("hub")).unwrap();
    let receipt = home.done("fetch", &home.fetch(MIXED, "main"));
    // The app gives the container the repository's folder, and Docker follows links on the way to it.
    let snapshot = receipt["snapshot"].as_str().unwrap();
    assert!(snapshot.starts_with(text(&home.hf().join("hub/models--o--mixed"))));
    let real = std::fs::canonicalize(snapshot).unwrap();
    assert!(real.starts_with(std::fs::canonicalize(disk.path()).unwrap()));
}

#[test]
fn what_only_terminals_are_told_is_a_fact() {
    let site = Site::with(|repos| write_mixed(repos, 1, 1 << 20));
    let home = site.home("one");
    std::fs::create_dir_all(home.path.join(".config/fish")).unwrap();
    let fish = "if status is-interactive\n  set -gx HF_HOME /mnt/nvme1/hf\nend\n";
    std::fs::write(home.path.join(".config/fish/config.fish"), fish).unwrap();
    let told = facts(&home, &[]);
    assert_eq!(told["hf_home"], text(&home.hf()));
    let elsewhere = &told["cache_elsewhere"];
    assert_eq!(elsewhere["place"], "/mnt/nvme1/hf/hub");
    assert_eq!(elsewhere["variable"], "HF_HOME");
    assert!(
        elsewhere["file"]
            .as_str()
            .unwrap()
            .ends_with("fish/config.fish")
    );
}
