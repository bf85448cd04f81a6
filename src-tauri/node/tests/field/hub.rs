//! What Hubs and mirrors answer, and which cause is told.

use serde_json::{Value, json};
use tandem_domain::node::Survey;
use tandem_domain::node::disk::{CheckReceipt, FaultKind};
use tandem_domain::problem::{Code, Problem};

use crate::common::{Home, Site};
use crate::played::Played;

const REPO: &str = "maker/thing";

fn script(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hub");
    std::fs::read_to_string(format!("{folder}/{name}.http")).expect("a fixture")
}

fn home(dir: &tempfile::TempDir, played: &Played) -> Home {
    let path = dir.path().join("home");
    std::fs::create_dir_all(&path).expect("a home");
    Home {
        path,
        endpoint: played.endpoints[0].clone(),
    }
}

/// How a fetch of a revision is refused where a Hub answers so, and its words.
fn refused(name: &str, revision: &str) -> (Problem, Played) {
    let played = Played::new(&script(name));
    let dir = tempfile::tempdir().expect("a folder");
    let home = home(&dir, &played);
    (home.refused("fetch", &home.fetch(REPO, revision)), played)
}

#[test]
fn each_refusal_has_its_own_cause_and_cure() {
    let gone = "cd".repeat(20);
    for (name, revision, code, cause, cure) in [
        (
            "commit-that-was-rewritten",
            "main",
            Code::RevisionMissing,
            "history was rewritten",
            "Take another revision",
        ),
        (
            "commit-that-is-gone",
            gone.as_str(),
            Code::RevisionMissing,
            "history was rewritten",
            "“main” is the newest",
        ),
        (
            "repository-that-is-disabled",
            "main",
            Code::RepositoryMissing,
            "Access to this resource is disabled.",
            "take another repository",
        ),
        (
            "repository-withheld-by-law",
            "main",
            Code::RepositoryMissing,
            "451",
            "take another repository",
        ),
    ] {
        let (problem, _) = refused(name, revision);
        let told = problem.cause.clone().unwrap_or_default();
        let fix = problem.fix.as_ref().map(|f| f.sentence.clone());
        assert_eq!(problem.code, code, "{name}: {problem:?}");
        assert!(told.contains(cause), "{name}: {told}");
        assert!(
            fix.unwrap_or_default().contains(cure),
            "{name}: {problem:?}"
        );
    }
}

#[test]
fn a_mirror_that_leads_to_the_hub_is_followed_and_the_token_stays_with_the_mirror() {
    for name in ["mirror-that-sends-on", "mirror-behind-a-mirror"] {
        followed(&Played::new(&script(name)));
    }
}

fn followed(played: &Played) {
    let dir = tempfile::tempdir().expect("a folder");
    let home = home(&dir, played);
    let mut request = home.fetch(REPO, "main");
    request["token"] = json!("hf_of_the_mirror");
    let receipt = home.done("fetch", &request);
    let snapshot = receipt["snapshot"].as_str().expect("a folder");
    let config = std::fs::read_to_string(format!("{snapshot}/config.json"));
    assert_eq!(config.expect("it was fetched"), "{}");
    let heard = played.heard();
    let with_token = |who| {
        heard
            .iter()
            .filter(|(w, _, t)| *w == who && t.is_some())
            .count()
    };
    assert!(with_token(0) > 0, "{heard:?}");
    assert_eq!(with_token(1), 0, "{heard:?}");
}

#[test]
fn a_mirror_that_leads_to_something_else_is_named_with_where_it_leads() {
    let (problem, played) = refused("mirror-that-leads-elsewhere", "main");
    assert_eq!(problem.code, Code::HubUnreachable);
    let cause = problem.cause.unwrap_or_default();
    let target = format!("redirects to {}/portal/login", played.endpoints[1]);
    assert!(cause.contains(&target), "{cause}");
    assert!(!cause.contains("secret"), "{cause}");
    assert!(cause.contains("names no commit"), "{cause}");
}

/// A Hub whose repository has files of these names and sizes; nobody fetches them.
fn with_files(files: &[(&str, u64)]) -> Played {
    let commit = "ab".repeat(20);
    let siblings: Vec<Value> = files.iter().map(|(n, _)| json!({"rfilename": n})).collect();
    let listing = json!({"id": REPO, "sha": commit, "siblings": siblings});
    let mut script = format!("GET /api/models/{REPO}/revision/main\n200\n{listing}\n");
    for (n, (name, size)) in files.iter().enumerate() {
        script += &format!(
            "\nHEAD /{REPO}/resolve/{commit}/{name}\n200\nETag: \"{n:064x}\"\nContent-Length: {size}\n"
        );
    }
    Played::new(&script)
}

fn surveyed(files: &[(&str, u64)], selected: &Value) -> Survey {
    let played = with_files(files);
    let dir = tempfile::tempdir().expect("a folder");
    let home = home(&dir, &played);
    let request = json!({
        "kind": "survey", "endpoint": home.endpoint, "repo": REPO, "revision": "main",
        "files": selected,
    });
    serde_json::from_value(home.done("survey", &request)).expect("a survey")
}

#[test]
fn copies_of_the_weights_are_fetched_only_where_somebody_chose_them() {
    const GB: u64 = 1_000_000_000;
    let files = [
        ("config.json", 2_000),
        ("metal/weights.bin", 41 * GB),
        ("model-00001-of-00002.safetensors", 21 * GB),
        ("model-00002-of-00002.safetensors", 20 * GB),
        ("original/params.json", 400),
        ("original/consolidated.00.pth", 41 * GB),
    ];
    let by_itself = surveyed(&files, &json!({}));
    assert_eq!(by_itself.weights, 41 * GB);
    assert_eq!(by_itself.missing, 41 * GB + 2_000);
    assert_eq!(by_itself.files, 3);
    let all = surveyed(&files, &json!({"include": ["*"]}));
    assert_eq!(all.missing, 123 * GB + 2_400);
}

#[test]
fn of_weights_in_two_forms_those_that_the_index_names_count() {
    let site = Site::with(|repos| {
        let folder = repos.join(REPO).join("ab".repeat(20));
        let refs = repos.join(REPO).join("refs");
        std::fs::create_dir_all(&folder).expect("a repository");
        std::fs::create_dir_all(&refs).expect("a folder");
        std::fs::write(refs.join("main"), "ab".repeat(20)).expect("a branch");
        let put = |name: &str, content: Vec<u8>| {
            std::fs::write(folder.join(name), content).expect("a file");
        };
        put("config.json", b"{}".to_vec());
        put("model-00001-of-00001.safetensors", vec![1; 7000]);
        put("consolidated.safetensors", vec![2; 7000]);
        let index = json!({"weight_map": {"w": "model-00001-of-00001.safetensors"}});
        put(
            "model.safetensors.index.json",
            index.to_string().into_bytes(),
        );
    });
    let home = site.home("one");
    let request = json!({
        "kind": "survey", "endpoint": home.endpoint, "repo": REPO, "revision": "main",
    });
    let found: Survey = serde_json::from_value(home.done("survey", &request)).expect("a survey");
    assert_eq!(found.weights, 7000);
    assert!(
        found.missing > 14_000,
        "which of the two is read is not known: {found:?}"
    );
}

/// A shard whose header speaks of more than it has.
fn short(site_repos: &std::path::Path) {
    let commit = site_repos.join(REPO).join("ab".repeat(20));
    std::fs::create_dir_all(&commit).expect("a repository");
    let head = json!({"w": {"dtype": "U8", "shape": [8192], "data_offsets": [0, 8192]}});
    let head = head.to_string();
    let mut shard = (head.len() as u64).to_le_bytes().to_vec();
    shard.extend(head.into_bytes());
    shard.resize(5000, 7);
    std::fs::write(commit.join("model.safetensors"), shard).expect("a shard");
    std::fs::write(commit.join("config.json"), "{}").expect("a file");
    let refs = site_repos.join(REPO).join("refs");
    std::fs::create_dir_all(&refs).expect("a folder");
    std::fs::write(refs.join("main"), "ab".repeat(20)).expect("a branch");
}

#[test]
fn a_shard_that_is_short_on_the_hub_itself_is_told_so_and_not_fetched_again() {
    let site = Site::with(short);
    let home = site.home("one");
    home.done("fetch", &home.fetch(REPO, "main"));
    site.hub.counters().reset();
    let check = |deep: bool, repair: bool| -> CheckReceipt {
        let request = json!({
            "kind": "check", "endpoint": home.endpoint, "repo": REPO, "commit": "ab".repeat(20),
            "deep": deep, "repair": repair,
        });
        serde_json::from_value(home.done("check", &request)).expect("a receipt")
    };
    for (deep, repair) in [(false, false), (true, false), (true, true), (false, true)] {
        let found = check(deep, repair);
        let kinds: Vec<FaultKind> = found.faults.iter().map(|f| f.kind).collect();
        assert_eq!(kinds, [FaultKind::Source], "{:?}", found.faults);
        let said = &found.faults[0].fault;
        assert!(said.contains("on the Hub itself"), "{said}");
        assert!(said.contains("Another revision"), "{said}");
        assert_eq!(found.repaired, [""; 0]);
    }
    assert_eq!(site.hub.counters().read().bytes, 0, "nothing came again");
    // The same damage here alone is one that a repair mends.
    let snapshot = home.hf().join("hub/models--maker--thing/snapshots");
    let shard = snapshot.join("ab".repeat(20)).join("model.safetensors");
    let mut bytes = std::fs::read(&shard).expect("it is there");
    bytes[4000] ^= 1;
    std::fs::write(&shard, bytes).expect("it can be written");
    let kinds: Vec<FaultKind> = check(false, false).faults.iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FaultKind::Header]);
}
