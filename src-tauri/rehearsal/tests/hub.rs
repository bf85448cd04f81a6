//! The Hub as its clients see it: a plain HTTP client, the crate `hf-hub`, and Python's `huggingface_hub`.

use std::path::{Path, PathBuf};
use std::process::Command;

use hf_hub::HFClient;
use tandem_rehearsal::checkpoint::{
    BF16_COMMIT, BF16_REPO, NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, write_all,
};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_rehearsal::hub::{Hub, HubConfig};

struct Bed {
    dir: tempfile::TempDir,
    hub: Hub,
}

async fn bed() -> Bed {
    let dir = tempfile::tempdir().expect("folder");
    write_all(&dir.path().join("repos")).expect("checkpoints");
    let hub = Hub::start(HubConfig {
        bind: "127.0.0.1:0".parse().expect("address"),
        cdn: None,
        repos: dir.path().join("repos"),
    })
    .await
    .expect("a hub");
    Bed { dir, hub }
}

/// `curl -s -i`, because it does nothing by itself that was not asked for.
async fn curl(args: &[&str]) -> String {
    let out = tokio::process::Command::new("curl")
        .args(["-s", "-i"])
        .args(args)
        .output()
        .await
        .expect("curl");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn shard(hub: &Hub) -> String {
    format!(
        "{}/{BF16_REPO}/resolve/main/model-00006-of-00006.safetensors",
        hub.endpoint()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_redirected_to_the_cdn_and_never_with_a_token() {
    let bed = bed().await;
    let head = curl(&["-I", "-H", "Authorization: Bearer hf_x", &shard(&bed.hub)]).await;
    assert!(head.starts_with("HTTP/1.1 302"), "{head}");
    assert_eq!(header(&head, "x-repo-commit"), Some(BF16_COMMIT));
    assert_eq!(
        header(&head, "x-linked-etag").map(str::len),
        Some(66),
        "a quoted sha256"
    );
    assert_eq!(header(&head, "x-xet-hash"), None);
    let location = header(&head, "location").expect("location").to_owned();
    assert!(
        location.starts_with(&format!("http://{}", bed.hub.cdn_address())),
        "{location}"
    );
    let size: u64 = header(&head, "x-linked-size")
        .expect("size")
        .parse()
        .expect("number");
    let part = curl(&["-r", "8-15", "-o", "/dev/null", "-D", "-", &location]).await;
    assert!(part.contains("206"), "{part}");
    assert!(part.contains(&format!("bytes 8-15/{size}")), "{part}");
    assert_eq!(
        bed.hub.counters().read().cdn_bytes,
        8,
        "what was given out is counted"
    );
    let outside = curl(&["-r", &format!("{size}-"), &location]).await;
    assert!(outside.starts_with("HTTP/1.1 416"), "{outside}");
    assert!(bed.hub.counters().read().violations.is_empty());
    let told = curl(&["-H", "Authorization: Bearer hf_x", &location]).await;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    assert_eq!(bed.hub.counters().read().violations.len(), 1);
    let forged = curl(&[&location.replace("Expires=", "Expires=9")]).await;
    assert!(forged.starts_with("HTTP/1.1 403"), "{forged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_is_redirected_on_the_same_host() {
    let bed = bed().await;
    let url = format!(
        "{}/{BF16_REPO}/resolve/main/config.json",
        bed.hub.endpoint()
    );
    let head = curl(&["-I", &url]).await;
    assert!(head.starts_with("HTTP/1.1 307"), "{head}");
    let location = header(&head, "location").expect("location");
    assert!(
        location.starts_with("/api/resolve-cache/"),
        "relative: {location}"
    );
    let followed = curl(&["-L", "-I", &url]).await;
    assert!(followed.contains("HTTP/1.1 200"), "{followed}");
    let etag = followed
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("etag: "))
        .expect("etag");
    assert_eq!(etag.trim().len(), 42, "a quoted git id");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_the_hub_s() {
    let bed = bed().await;
    let url = format!(
        "{}/api/models/{NVFP4_REPO}/revision/main",
        bed.hub.endpoint()
    );
    let none = curl(&[&format!("{}/api/models/no/such", bed.hub.endpoint())]).await;
    assert!(
        none.starts_with("HTTP/1.1 401"),
        "missing looks like forbidden: {none}"
    );
    assert_eq!(header(&none, "x-error-code"), Some("RepoNotFound"));
    bed.hub.fault(Fault::new(FaultKind::Gated {
        granted: vec!["hf_in".into()],
        others: vec!["hf_out".into()],
    }));
    let code = |answer: &str| header(answer, "x-error-code").map(str::to_owned);
    let nobody = curl(&[&url]).await;
    assert!(
        nobody.starts_with("HTTP/1.1 401") && code(&nobody).as_deref() == Some("GatedRepo"),
        "{nobody}"
    );
    let out = curl(&["-H", "Authorization: Bearer hf_out", &url]).await;
    assert!(
        out.starts_with("HTTP/1.1 403") && code(&out).as_deref() == Some("GatedRepo"),
        "{out}"
    );
    let wrong = curl(&["-H", "Authorization: Bearer hf_typo", &url]).await;
    assert_eq!(
        header(&wrong, "x-error-message"),
        Some("Invalid credentials in Authorization header")
    );
    assert!(
        curl(&["-H", "Authorization: Bearer hf_in", &url])
            .await
            .starts_with("HTTP/1.1 200")
    );
    bed.hub.faults().clear();
    let control = format!("{}/_faults", bed.hub.endpoint());
    curl(&[
        "-d",
        r#"{"fault":"status","status":429,"retry_after":2,"times":1}"#,
        &control,
    ])
    .await;
    let busy = curl(&[&url]).await;
    assert!(busy.starts_with("HTTP/1.1 429"), "{busy}");
    assert_eq!(header(&busy, "retry-after"), Some("2"));
    assert!(curl(&[&url]).await.starts_with("HTTP/1.1 200"), "once only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_broken_on_request() {
    let bed = bed().await;
    let out = bed.dir.path().join("out");
    let out = out.to_str().expect("text");
    let fetch = async |extra: &[&str]| {
        let mut args = vec!["-L", "-o", out, "-w", "%{size_download} %{errormsg}"];
        args.extend_from_slice(extra);
        let url = shard(&bed.hub);
        args.push(&url);
        tokio::process::Command::new("curl")
            .arg("-s")
            .args(args)
            .output()
            .await
            .expect("curl")
    };
    assert!(fetch(&[]).await.status.success());
    let good = std::fs::read(out).expect("the file");
    bed.hub.fault(
        Fault::new(FaultKind::DropAfter { bytes: 1000 })
            .on(Side::Cdn)
            .times(1),
    );
    let cut = fetch(&[]).await;
    assert!(!cut.status.success(), "curl notices");
    assert_eq!(std::fs::metadata(out).expect("part").len(), 1000);
    bed.hub.fault(
        Fault::new(FaultKind::WrongBytes)
            .at("00006-of-00006")
            .times(1),
    );
    assert!(fetch(&[]).await.status.success());
    let wrong = std::fs::read(out).expect("the file");
    assert_eq!(wrong.len(), good.len());
    assert_ne!(wrong, good, "same length, other bytes");
    bed.hub
        .fault(Fault::new(FaultKind::ShortBody { missing: 5 }).times(1));
    assert!(
        fetch(&[]).await.status.success(),
        "the shorter length is announced"
    );
    assert_eq!(std::fs::read(out).expect("the file").len(), good.len() - 5);
    bed.hub
        .fault(Fault::new(FaultKind::IgnoreRange).on(Side::Cdn).times(1));
    let text = String::from_utf8(fetch(&["-r", "0-9"]).await.stdout).expect("text");
    assert!(
        text.starts_with(&good.len().to_string()),
        "all of it: {text}"
    );
    bed.hub.fault(Fault::new(FaultKind::ExpiredUrls).times(1));
    let expired = fetch(&["-f"]).await;
    assert_eq!(expired.status.code(), Some(22), "403 from the CDN");
    assert!(fetch(&["-f"]).await.status.success(), "a new URL is good");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crate_hf_hub_downloads_a_snapshot() {
    let bed = bed().await;
    let client = HFClient::builder()
        .endpoint(bed.hub.endpoint())
        .token("hf_rehearsal")
        .cache_dir(bed.dir.path().join("cache"))
        .build()
        .expect("client");
    let repo = client.model("stepfun-ai", "Step-3.7-Flash-NVFP4");
    let folder: PathBuf = repo
        .snapshot_download()
        .revision(NVFP4_OLD_COMMIT)
        .send()
        .await
        .expect("downloaded");
    let source = bed
        .dir
        .path()
        .join("repos")
        .join(NVFP4_REPO)
        .join(NVFP4_OLD_COMMIT);
    for name in [
        "config.json",
        "model-00004-of-00004.safetensors",
        "tokenizer.json",
    ] {
        assert_eq!(
            std::fs::read(folder.join(name)).expect("there"),
            std::fs::read(source.join(name)).expect("here"),
            "{name}"
        );
    }
    assert!(
        bed.hub.counters().read().violations.is_empty(),
        "no token on the CDN"
    );
}

/// A Python with huggingface_hub and safetensors, made once beside the build.
fn python() -> PathBuf {
    let base = std::env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"));
    let home = base.join("py");
    let python = home.join("bin/python");
    let ready = |p: &Path| {
        Command::new(p)
            .args(["-c", "import huggingface_hub, safetensors, numpy"])
            .status()
            .is_ok_and(|s| s.success())
    };
    if !ready(&python) {
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&home)
            .status()
            .expect("python3");
        assert!(
            made.success(),
            "python3 -m venv; on Debian install python3-venv"
        );
        let got = Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "-q",
                "safetensors",
                "huggingface_hub",
                "numpy",
            ])
            .status()
            .expect("pip");
        assert!(
            got.success(),
            "pip could not install huggingface_hub, safetensors and numpy"
        );
    }
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn python_s_huggingface_hub_and_safetensors_agree() {
    let bed = bed().await;
    let python = tokio::task::spawn_blocking(python).await.expect("python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_hub.py");
    for (repo, revision, commit, mtp) in [
        (BF16_REPO, "main", BF16_COMMIT, 51),
        (NVFP4_REPO, "before-mtp", NVFP4_OLD_COMMIT, 0),
        (NVFP4_REPO, "main", NVFP4_COMMIT, 51),
    ] {
        let out = tokio::process::Command::new(&python)
            .arg(&script)
            .args([&bed.hub.endpoint(), repo, revision, commit])
            .arg(bed.dir.path().join("py-cache"))
            .output()
            .await
            .expect("python runs");
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let seen: serde_json::Value = serde_json::from_slice(&out.stdout).expect("a line of JSON");
        assert_eq!(seen["mtp"], mtp, "{repo} {revision}");
    }
    assert!(
        bed.hub.counters().read().violations.is_empty(),
        "no token on the CDN"
    );
}
