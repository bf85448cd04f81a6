//! Undo against obstacles, beside what others made, and after what a name or an older version wrote.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Home, Site};
use serde_json::{Value, json};
use tandem_domain::node::NodeEvent;
use tandem_rehearsal::checkpoint::{NVFP4_OLD_COMMIT, NVFP4_REPO};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};

const REPO: &str = "hub/models--stepfun-ai--Step-3.7-Flash-NVFP4";

/// A folder in which nothing can be made, renamed or removed while this lives, by root neither.
struct Locked<'a>(&'a Path);

impl<'a> Locked<'a> {
    fn new(folder: &'a Path) -> Option<Self> {
        let locked = Self(folder);
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o555)).expect("it can");
        let probe = folder.join("probe");
        if std::fs::write(&probe, "").is_ok() {
            std::fs::remove_file(&probe).expect("it can");
            if !chattr("+i", folder) {
                println!("not run: this file system keeps nothing from root");
                return None;
            }
        }
        Some(locked)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        chattr("-i", self.0);
        let _ = std::fs::set_permissions(self.0, PermissionsExt::from_mode(0o755));
    }
}

fn chattr(flag: &str, folder: &Path) -> bool {
    let status = Command::new("chattr")
        .arg(flag)
        .arg(folder)
        .stderr(std::process::Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}

/// A job carried out to its end.
fn done(home: &Home, kind: &str, request: &Value) {
    home.answer(&["start", kind, "--job", "j"], request);
    let end = home.follow("j", 0).pop().map(|l| l.event);
    assert!(
        matches!(end, Some(NodeEvent::Done { .. })),
        "{kind} is done: {end:?}"
    );
}

fn notes(home: &Home) -> PathBuf {
    home.path.join(".local/share/tandem/jobs/j/made")
}

/// The entries of a job's notes: kind and path.
fn entries(home: &Home) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(notes(home)).expect("it can");
    let entry = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("it can");
        let (kind, what) = value
            .as_object()
            .expect("it can")
            .iter()
            .next()
            .expect("it can");
        let path = what.as_str().or(what["path"].as_str()).expect("it can");
        (kind.clone(), path.to_owned())
    };
    text.lines().map(entry).collect()
}

fn undo(home: &Home) -> Value {
    home.answer(&["undo", "--job", "j"], &json!({}))
}

/// The home without the folders in which the app keeps its own.
fn tree(home: &Home) -> BTreeMap<String, String> {
    let mut tree = home.tree();
    tree.retain(|name, _| !name.starts_with(".local"));
    tree
}

/// The same home once more, as it is now.
fn again(home: &Home, number: usize) -> Home {
    let path = home.path.with_extension(format!("again-{number}"));
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&home.path)
        .arg(&path)
        .status();
    assert!(copied.expect("it can").success());
    Home {
        path,
        endpoint: home.endpoint.clone(),
    }
}

/// Undoes a finished job once for each kind of entry and folder, which cannot be removed at first.
fn with_obstacles(home: &Home, before: &BTreeMap<String, String>) {
    let mut seen = BTreeSet::new();
    let is_there = |path: &str| std::fs::symlink_metadata(home.hf().join(path)).is_ok();
    let there = entries(home).into_iter().filter(|(_, path)| is_there(path));
    for (number, (kind, path)) in there.enumerate() {
        let folder = match path.rsplit_once('/') {
            _ if path.ends_with('.') => format!("{path}/.."),
            Some((folder, _)) => folder.to_owned(),
            None => ".".to_owned(),
        };
        let ending = path
            .rsplit_once(".tandem-")
            .map(|(_, ending)| ending.to_owned());
        if !seen.insert((kind.clone(), folder.clone(), ending)) {
            continue;
        }
        let home = again(home, number);
        let folder = std::fs::canonicalize(home.hf().join(folder)).expect("it can");
        let obstacle = Locked::new(&folder);
        if obstacle.is_none() {
            return;
        }
        let first = undo(&home);
        let left = first["left"].as_array().expect("it can");
        assert!(!left.is_empty(), "{kind} {path} cannot be removed: {first}");
        assert!(!entries(&home).is_empty(), "what is left stays noted");
        assert!(entries(&home).contains(&(kind.clone(), path.clone())));
        drop(obstacle);
        let second = undo(&home);
        assert_eq!(second["left"], json!([]), "{kind} {path}");
        assert_eq!(tree(&home), *before, "{kind} {path}: as it was");
        assert!(!notes(&home).exists(), "nothing is left to be known");
        std::fs::remove_dir_all(&home.path).expect("it can");
    }
    assert!(seen.len() >= 2);
    println!("{} obstacles", seen.len());
}

#[test]
fn what_could_not_be_removed_is_removed_once_its_cause_is_mended() {
    let site = Site::new();
    let home = site.home("fresh");
    let before = tree(&home);
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["files"] = json!({"exclude": ["*.py"]});
    done(&home, "fetch", &request);
    with_obstacles(&home, &before);

    let home = site.home("unfinished");
    let before = tree(&home);
    site.hub.counters().reset();
    let slow = FaultKind::Slow {
        bytes_per_second: 200 << 10,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    home.answer(
        &["start", "fetch", "--job", "j"],
        &home.fetch(NVFP4_REPO, "main"),
    );
    common::until("something has arrived", || {
        site.hub.counters().read().cdn_bytes > 100_000
    });
    home.answer(&["cancel", "--job", "j"], &json!({}));
    site.hub.faults().clear();
    with_obstacles(&home, &before);

    let home = site.home("known");
    home.done("fetch", &home.fetch(NVFP4_REPO, NVFP4_OLD_COMMIT));
    let main = home.hf().join(REPO).join("refs/main");
    // Not only what this program writes itself is put back as it was.
    std::fs::write(&main, format!("{NVFP4_OLD_COMMIT}\n")).unwrap();
    let before = tree(&home);
    done(&home, "fetch", &home.fetch(NVFP4_REPO, "main"));
    with_obstacles(&home, &before);
    assert_eq!(undo(&home)["left"], json!([]));
    assert_eq!(tree(&home), before);

    done(&home, "graft", &home.graft(NVFP4_OLD_COMMIT));
    with_obstacles(&home, &before);
}

#[test]
fn what_others_made_beside_it_stays_byte_for_byte() {
    let site = Site::new();
    let home = site.home("one");
    std::fs::create_dir_all(home.hf()).unwrap();
    std::fs::write(home.hf().join("token"), "hf_mine").unwrap();
    done(&home, "fetch", &home.fetch(NVFP4_REPO, "main"));
    let folders: Vec<PathBuf> = {
        let tree = tree(&home).into_iter().filter(|(_, what)| what == "folder");
        tree.map(|(name, _)| home.path.join(name)).collect()
    };
    let mut witnesses = BTreeSet::new();
    for number in 0..200_usize {
        let folder = &folders[number * 7919 % folders.len()];
        let path = folder.join(format!("witness {number}"));
        match number % 3 {
            0 => symlink(home.hf().join("token"), &path).unwrap(),
            1 => std::fs::write(&path, vec![b'x'; number * 31]).unwrap(),
            _ => std::fs::write(&path, NVFP4_OLD_COMMIT).unwrap(),
        }
        witnesses.insert(
            path.strip_prefix(&home.path)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    let before = tree(&home);
    let undone = undo(&home);
    assert_eq!(undone["left"], json!([]));
    let after = tree(&home);
    for witness in &witnesses {
        assert_eq!(after.get(witness), before.get(witness), "{witness}");
    }
    let others: Vec<&String> = after
        .iter()
        .filter(|(name, what)| *what != "folder" && !witnesses.contains(*name))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(others, [".cache/huggingface/token"], "the rest is gone");
}

#[test]
fn a_blob_that_another_snapshot_needs_is_kept_and_the_job_is_forgotten() {
    let site = Site::new();
    let home = site.home("one");
    done(&home, "fetch", &home.fetch(NVFP4_REPO, "main"));
    let blob = std::fs::read_dir(home.hf().join(REPO).join("blobs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let other = home.hf().join(REPO).join("snapshots/other");
    std::fs::create_dir_all(&other).unwrap();
    symlink(
        Path::new("../../blobs").join(blob.file_name()),
        other.join("file"),
    )
    .unwrap();
    let undone = undo(&home);
    assert_eq!(undone["left"], json!([]));
    assert_eq!(undone["kept"].as_array().unwrap().len(), 1);
    assert!(blob.path().exists() && !notes(&home).exists());
}

#[test]
fn a_file_whose_name_breaks_a_line_is_refused_and_old_notes_of_one_remove_nothing() {
    let site = Site::with(|repos| {
        common::write_mixed(repos, 1, 4 << 10);
        let folder = repos.join(common::MIXED).join("c".repeat(40));
        std::fs::write(folder.join("x\ntoken"), "y").unwrap();
    });
    let home = site.home("one");
    for kind in ["fetch", "survey", "check"] {
        let mut request = home.fetch(common::MIXED, "main");
        request["kind"] = json!(kind);
        request["commit"] = json!("main");
        request["deep"] = json!(false);
        let problem = home.refused(kind, &request);
        let cause = problem.cause.unwrap();
        assert!(
            cause.contains("x\\ntoken") && cause.contains("cannot be seen"),
            "{cause}"
        );
    }
    let commit = "c".repeat(40);
    let folder = site
        .dir
        .path()
        .join("repos")
        .join(common::MIXED)
        .join(&commit);
    std::fs::remove_file(folder.join("x\ntoken")).unwrap();
    std::fs::create_dir_all(home.hf()).unwrap();
    std::fs::write(home.hf().join("token"), "hf_mine").unwrap();
    let before = tree(&home);
    done(&home, "fetch", &home.fetch(common::MIXED, "main"));
    let as_before: String = entries(&home)
        .iter()
        .map(|(kind, path)| match kind.as_str() {
            "folder" => format!("{path}/\n"),
            _ => format!("{path}\n"),
        })
        .collect();
    let there = tree(&home);
    let planted = format!("{as_before}hub/models--o--mixed/snapshots/{commit}/x\ntoken\n");
    std::fs::write(notes(&home), planted).unwrap();
    let answer = home.answer(&["undo", "--job", "j"], &json!({}));
    assert_eq!(answer["event"], "failed", "{answer}");
    assert_eq!(tree(&home), there, "nothing was removed");
    std::fs::write(notes(&home), as_before).unwrap();
    assert_eq!(undo(&home)["left"], json!([]));
    assert_eq!(tree(&home), before, "what an older version noted is undone");
}

#[test]
fn a_revision_that_leads_out_of_the_cache_is_refused_by_every_work() {
    let site = Site::with(|repos| common::write_mixed(repos, 1, 4 << 10));
    let home = site.home("one");
    std::fs::write(home.path.join(".bashrc"), "mine").unwrap();
    let before = home.tree();
    for bad in [
        "../../../../../.bashrc",
        "a/../../b",
        "..",
        "x\ny",
        "/etc/passwd",
        "",
    ] {
        let mut request = home.fetch(common::MIXED, bad);
        request["commit"] = json!(bad);
        request["deep"] = json!(false);
        request["source_repo"] = json!("o/n");
        request["source_revision"] = json!(bad);
        request["fetch"] = request.clone();
        request["from"] = json!("spark-a");
        request["connections"] = json!(1);
        request["milliseconds"] = json!(100);
        request["most"] = json!(1);
        for kind in ["fetch", "copy", "survey", "probe", "graft", "check"] {
            request["kind"] = json!(kind);
            let said = home.ask(&["run", kind], &request).stdout;
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains("cannot be used"), "{kind} of {bad:?}: {said}");
            let out = home.ask(&["start", kind, "--job", "j"], &request);
            assert!(!out.status.success(), "{kind} of {bad:?} does not start");
        }
        request["kind"] = json!("graft");
        assert!(!home.ask(&["grafted"], &request).status.success());
    }
    assert_eq!(home.tree(), before, "nothing was written");
}

#[test]
fn a_planted_link_leads_no_write_out_of_the_cache() {
    let site = Site::with(|repos| common::write_mixed(repos, 1, 4 << 10));
    let commit = "c".repeat(40);
    let repo = "hub/models--o--mixed";
    let plants: [(&str, &str); 7] = [
        ("blobs/SHA.tandem-partial", "file"),
        ("blobs/SHA.tandem-notes", "file"),
        ("refs/main.tandem-new", "file"),
        ("blobs", "folder"),
        ("refs", "folder"),
        ("snapshots", "folder"),
        ("snapshots/COMMIT", "folder"),
    ];
    let large = site
        .dir
        .path()
        .join("repos")
        .join(common::MIXED)
        .join(&commit)
        .join("model-0.safetensors");
    let sha = tandem_node::digest::sha256(&std::fs::read(large).unwrap());
    for (number, (planted, kind)) in plants.into_iter().enumerate() {
        let home = site.home(&format!("home-{number}"));
        let victim = site.dir.path().join(format!("victim-{number}"));
        match kind {
            "file" => std::fs::write(&victim, "precious").unwrap(),
            _ => std::fs::create_dir_all(&victim).unwrap(),
        }
        let name = planted.replace("SHA", &sha).replace("COMMIT", &commit);
        let path = home.hf().join(repo).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(&victim, &path).unwrap();
        let end = home
            .run("fetch", &home.fetch(common::MIXED, "main"))
            .pop()
            .unwrap()
            .event;
        match kind {
            "file" => assert_eq!(
                std::fs::read_to_string(&victim).unwrap(),
                "precious",
                "{planted}"
            ),
            _ => assert_eq!(common::tree(&victim), BTreeMap::new(), "{planted}"),
        }
        match end {
            NodeEvent::Failed { problem } => {
                assert!(
                    format!("{problem}").contains("link"),
                    "{planted}: {problem}"
                );
            }
            // A file that is made anew each time takes the link's place.
            NodeEvent::Done { .. } => assert!(
                planted.ends_with(".tandem-new") || planted.ends_with("-notes"),
                "{planted}"
            ),
            other => panic!("{planted}: {other:?}"),
        }
    }
}

#[test]
fn a_home_and_its_hub_may_be_links_that_a_person_made() {
    let site = Site::with(|repos| common::write_mixed(repos, 1, 4 << 10));
    let home = site.home("one");
    let disk = site.dir.path().join("disk");
    std::fs::create_dir_all(disk.join("hub")).unwrap();
    std::fs::create_dir_all(disk.join("large/models--o--mixed")).unwrap();
    std::fs::create_dir_all(home.path.join(".cache")).unwrap();
    symlink(disk.join("hub"), disk.join("hf-hub")).unwrap();
    std::fs::create_dir_all(disk.join("hf")).unwrap();
    symlink(disk.join("hub"), disk.join("hf/hub")).unwrap();
    symlink(disk.join("hf"), home.hf()).unwrap();
    symlink(
        disk.join("large/models--o--mixed"),
        disk.join("hub/models--o--mixed"),
    )
    .unwrap();
    let before = common::tree(&disk);
    done(&home, "fetch", &home.fetch(common::MIXED, "main"));
    assert!(disk.join("large/models--o--mixed/refs/main").exists());
    assert_eq!(undo(&home)["left"], json!([]));
    assert_eq!(common::tree(&disk), before);
}
