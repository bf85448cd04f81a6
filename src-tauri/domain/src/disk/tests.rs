#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

use super::*;
use crate::node::disk::{DiskItem, DiskKind};
use crate::problem::Code;

fn held(number: u64, bytes: u64, names: u64) -> Held {
    Held {
        file: (1, number),
        bytes,
        names,
        goes: 1,
    }
}

fn item(kind: DiskKind, path: &str) -> DiskItem {
    DiskItem {
        kind,
        path: path.into(),
        name: "o/n".into(),
        commit: None,
        refs: Vec::new(),
        files: 1,
        size: 100,
        frees: 100,
        used_at: None,
        missing: 0,
        foreign: None,
        busy: None,
    }
}

const HOME: &str = "/home/u/.cache/huggingface";

fn server(model: &str) -> Mounting {
    Mounting {
        name: "tandem-vllm".into(),
        image_id: "sha256:1".into(),
        running: true,
        ours: true,
        mounts: vec![(HOME.into(), "/root/.cache/huggingface".into())],
        command: vec![model.into(), "--port".into(), "8000".into()],
    }
}

#[test]
fn shared_blobs_are_counted_once_and_freed_with_the_last_that_has_them() {
    let old = vec![held(1, 10, 1), held(2, 500, 1)];
    let new = vec![held(3, 11, 1), held(2, 500, 1)];
    let (accounts, taken) = account(&[old.clone(), new]);
    assert_eq!(taken, 521);
    assert_eq!(
        accounts[0],
        Account {
            size: 510,
            frees: 10
        }
    );
    assert_eq!(
        accounts[1],
        Account {
            size: 511,
            frees: 11
        }
    );
    assert_eq!(account(&[old]).0[0].frees, 510);
}

#[test]
fn one_file_under_two_names_of_an_item_counts_once() {
    let (accounts, taken) = account(&[vec![held(1, 10, 2), held(1, 10, 2)]]);
    assert_eq!(taken, 10);
    assert_eq!(
        accounts[0],
        Account {
            size: 10,
            frees: 10
        }
    );
}

#[test]
fn a_hard_link_that_nobody_knows_of_keeps_the_bytes() {
    let (accounts, _) = account(&[vec![held(1, 10, 2)]]);
    assert_eq!(accounts[0], Account { size: 10, frees: 0 });
}

#[test]
fn the_server_uses_the_checkpoint_it_names_and_no_other() {
    let snapshot = format!("{HOME}/hub/models--o--n/snapshots/c");
    let inside = "/root/.cache/huggingface/hub/models--o--n/snapshots/c";
    let served = item(DiskKind::Revision, &snapshot);
    let other = item(DiskKind::Revision, &format!("{snapshot}2"));
    for word in [
        inside.to_owned(),
        format!("--model={inside}"),
        format!(r#"{{"method":"mtp","model":"{inside}","n":3}}"#),
    ] {
        let containers = [server(&word)];
        let found = uses(&served, &containers, &[]);
        assert_eq!(found[0].by, "the server that runs now", "{word}");
        let problem = refused(&served, &found).unwrap();
        assert_eq!(problem.code, Code::Locked);
        assert!(problem.fix.unwrap().sentence.contains("Stop the server"));
        assert_eq!(uses(&other, &containers, &[]), [], "{word}");
    }
    let stopped = Mounting {
        running: false,
        ..server(inside)
    };
    assert_eq!(uses(&served, &[stopped], &[]), []);
}

#[test]
fn another_container_that_sees_the_cache_may_use_anything_in_it() {
    let foreign = Mounting {
        name: "webui".into(),
        ours: false,
        command: vec!["serve".into()],
        ..server("")
    };
    let snapshot = item(
        DiskKind::Revision,
        &format!("{HOME}/hub/models--o--n/snapshots/c"),
    );
    let found = uses(&snapshot, std::slice::from_ref(&foreign), &[]);
    assert!(found[0].holds && found[0].by.contains("webui"));
    let cache = item(DiskKind::CompileCache, "/home/u/.cache/vllm");
    assert_eq!(uses(&cache, &[foreign], &[]), []);
}

#[test]
fn a_cache_that_is_mounted_is_in_use() {
    let mounting = Mounting {
        mounts: vec![(
            "/home/u/.cache/vllm/torch_compile_cache".into(),
            "/c".into(),
        )],
        ..server("")
    };
    let cache = item(DiskKind::CompileCache, "/home/u/.cache/vllm");
    assert!(refused(&cache, &uses(&cache, &[mounting], &[])).is_some());
}

#[test]
fn an_image_is_held_by_a_stopped_container_too() {
    let stopped = Mounting {
        running: false,
        ..server("")
    };
    let image = item(DiskKind::Image, "sha256:1");
    assert!(refused(&image, &uses(&image, std::slice::from_ref(&stopped), &[])).is_some());
    let other = item(DiskKind::Image, "sha256:2");
    assert_eq!(refused(&other, &uses(&other, &[stopped], &[])), None);
}

#[test]
fn what_belongs_to_another_user_is_refused_with_the_cure() {
    let mut revision = item(DiskKind::Revision, "/h/it's here");
    revision.foreign = Some("root".into());
    let problem = refused(&revision, &[]).unwrap();
    assert_eq!(
        problem.fix.unwrap().command.unwrap(),
        r#"sudo chown -R "$USER": '/h/it'"'"'s here'"#
    );
}

#[test]
fn a_run_that_names_it_is_told_and_holds_nothing() {
    let revision = item(DiskKind::Revision, "/h/s");
    let found = uses(&revision, &[], &["Serve it".into()]);
    assert_eq!(refused(&revision, &found), None);
    assert!(breaks(&revision, &[], &found)[0].contains("“Serve it”"));
}

#[test]
fn what_stays_is_said_with_who_keeps_it() {
    let mut revision = item(DiskKind::Revision, "/h/s");
    revision.frees = 40;
    let overlay = item(DiskKind::Overlay, "/h/o");
    let said = breaks(&revision, &[revision.clone(), overlay], &[]).join(" ");
    assert!(said.contains("60 B stay"), "{said}");
    assert!(said.contains("the checkpoint with MTP"), "{said}");
}

#[test]
fn the_longest_of_several_workers_decides() {
    assert_eq!(makespan(&[], 4), 0);
    assert_eq!(makespan(&[9, 5, 4, 2], 2), 11);
    assert_eq!(makespan(&[9, 5, 4, 2], 1), 20);
    assert_eq!(makespan(&[9, 5, 4, 2], 20), 9, "a file is one core's work");
}
