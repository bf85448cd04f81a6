//! The storage's own client takes a file from the Hub that offers it as chunks: what is rehearsed here is what
//! that client expects.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use tandem_rehearsal::hub::{Hub, HubConfig};
use xet_client::cas_client::auth::{AuthConfig, DirectRefreshRouteTokenRefresher};
use xet_client::cas_client::{Client, RemoteClient, build_http_client};
use xet_data::processing::{FileDownloadSession, XetFileInfo};
use xet_runtime::core::XetContext;

fn curl(args: &[&str]) -> String {
    let out = Command::new("curl").arg("-s").args(args).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_s_own_client_takes_a_file_and_a_range_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let commit = "c".repeat(40);
    let folder = dir.path().join("repos/o/n").join(&commit);
    std::fs::create_dir_all(&folder).unwrap();
    let bytes: Vec<u8> = (0_u32..1_500_000)
        .flat_map(|n| (n.wrapping_mul(0x9e37_79b9) / 5).to_le_bytes())
        .collect();
    std::fs::write(folder.join("model.safetensors"), &bytes).unwrap();
    let hub = Hub::start(HubConfig {
        bind: "127.0.0.1:0".parse().unwrap(),
        cdn: None,
        repos: dir.path().join("repos"),
    })
    .await
    .unwrap();
    hub.offer_xet("o/n", &commit, &dir.path().join("store"))
        .await
        .unwrap();

    let file = format!("{}/o/n/resolve/{commit}/model.safetensors", hub.endpoint());
    let head = curl(&["-I", &file]);
    let name = head
        .lines()
        .find_map(|l| l.strip_prefix("x-xet-hash: "))
        .unwrap();
    let route = head
        .split('<')
        .find(|l| l.contains("rel=\"xet-auth\""))
        .and_then(|l| l.split('>').next())
        .unwrap();
    let given: Value = serde_json::from_str(&curl(&[route])).unwrap();

    let context = XetContext::default().unwrap();
    let asking = build_http_client(&context, "", None, None).unwrap();
    let leave = DirectRefreshRouteTokenRefresher::new(context.clone(), route, asking, None);
    let auth = AuthConfig::maybe_new(None, None, Some(Arc::new(leave)));
    let front = given["casUrl"].as_str().unwrap();
    let client: Arc<dyn Client> =
        RemoteClient::new(context.clone(), front, &auth, "s", false, None);
    let session = FileDownloadSession::from_client(&context, client, None);
    let wanted = XetFileInfo::new(name.trim().to_owned(), bytes.len() as u64);
    let whole = dir.path().join("whole");
    session.download_file(&wanted, &whole).await.unwrap();
    assert!(std::fs::read(&whole).unwrap() == bytes, "the whole file");
    let (from, to) = (1_234_567_u64, 3_456_789_u64);
    let (_, mut stream) = session
        .download_stream(&wanted, Some(from..to))
        .await
        .unwrap();
    let mut part = Vec::new();
    while let Some(more) = stream.next().await.unwrap() {
        part.extend_from_slice(&more);
    }
    assert!(part == bytes[from as usize..to as usize], "a range of it");

    let count = hub.counters().read();
    assert_eq!(count.violations, Vec::<String>::new());
    let objects = count.files.keys().filter(|k| k.starts_with("xorbs/"));
    assert!(objects.count() > 0, "it came as chunks");
    assert!(!count.files.contains_key("o/n/model.safetensors"));
}
