//! What a survey says of a cache, against a Hub that answers over HTTP.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;

use common::{Home, Site};
use serde_json::{Value, json};
use tandem_domain::node::Survey;
use tandem_domain::problem::Code;
use tandem_rehearsal::checkpoint::{NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, synthetic};
use tandem_rehearsal::hub::faults::{Fault, FaultKind};

fn request(home: &Home, repo: &str, revision: &str, probe: u16) -> Value {
    json!({
        "kind": "survey", "endpoint": home.endpoint, "repo": repo, "revision": revision,
        "probe": probe,
    })
}

fn survey(home: &Home, revision: &str) -> Survey {
    let found = home.done("survey", &request(home, NVFP4_REPO, revision, 0));
    serde_json::from_value(found).unwrap()
}

#[test]
fn an_empty_cache_misses_everything_and_stays_empty() {
    let site = Site::new();
    let home = site.home("one");
    let found = survey(&home, "main");
    assert_eq!(found.commit, NVFP4_COMMIT);
    assert_eq!((found.here, found.partial), (0, 0));
    assert_eq!(found.missing, found.bytes);
    assert!(found.weights > 0 && found.weights < found.bytes);
    assert!(found.free > 0);
    assert_eq!(found.rate, None, "it was not asked to measure");
    assert_eq!(found.mtp_built_in, Some(true));
    let config: Value = serde_json::from_str(&found.config.unwrap()).unwrap();
    assert_eq!(config["model_type"], "step3p7");
    assert_eq!(home.tree().len(), 0, "looking leaves nothing");
    assert_eq!(survey(&home, NVFP4_OLD_COMMIT).mtp_built_in, Some(false));
}

#[test]
fn what_is_here_unfinished_or_foreign_is_told_apart() {
    let site = Site::new();
    let home = site.home("one");
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let whole = survey(&home, "main");
    assert_eq!((whole.here, whole.missing), (whole.bytes, 0));
    assert_eq!(whole.foreign, []);

    let snapshot = home
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4/snapshots")
        .join(NVFP4_COMMIT);
    let shard = std::fs::canonicalize(snapshot.join("model-00001-of-00004.safetensors")).unwrap();
    let size = std::fs::metadata(&shard).unwrap().len();
    let begun = shard.with_file_name(format!(
        "{}.tandem-partial",
        shard.file_name().unwrap().to_str().unwrap()
    ));
    std::fs::remove_file(&shard).unwrap();
    std::fs::write(&begun, vec![7_u8; 8192]).unwrap();
    let config = snapshot.join("config.json");
    std::fs::remove_file(&config).unwrap();
    std::fs::write(&config, "{}").unwrap();
    std::fs::write(shard.with_file_name("abc.1234.incomplete"), [0; 10]).unwrap();
    let part = survey(&home, "main");
    assert_eq!(part.partial, 8192);
    assert_eq!(part.missing, size - 8192);
    assert_eq!(part.here, part.bytes - size);
    let names: Vec<&str> = part.foreign.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["config.json", "abc.1234.incomplete"]);
}

#[test]
fn the_line_is_measured_as_it_is() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 64 << 20).unwrap();
    });
    let home = site.home("one");
    const LINE: u64 = 500_000;
    site.hub.faults().add(
        Fault::new(FaultKind::Slow {
            bytes_per_second: LINE,
        })
        .at(".safetensors"),
    );
    let found = home.done("survey", &request(&home, synthetic::REPO, "main", 4));
    let found: Survey = serde_json::from_value(found).unwrap();
    let rate = found.rate.expect("it was measured");
    // Four connections, each slowed down to that rate; a busy computer gives less.
    assert!(rate > 0.0 && rate < 6.0 * LINE as f64, "{rate}");
    assert_eq!(home.tree().len(), 0, "what was read is thrown away");
}

#[test]
fn a_revision_that_is_not_there_is_a_problem() {
    let site = Site::new();
    let home = site.home("one");
    let problem = home.refused("survey", &request(&home, NVFP4_REPO, "nowhere", 0));
    assert_eq!(problem.code, Code::RevisionMissing, "{problem}");
}
