//! What a network, a proxy, a disk or another program may do to a fetch: nothing wrong is accepted,
//! nothing good is fetched twice, and where it cannot go on it says why.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on

mod common;
#[path = "common/proxy.rs"]
mod proxy;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Home, Site, until};
use proxy::Proxy;
use serde_json::{Value, json};
use tandem_domain::node::{FetchReceipt, FetchRequest, NodeEvent};
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_node::context::{Context, Settings};
use tandem_node::job_output::JobOutput;
use tandem_rehearsal::checkpoint::{NVFP4_REPO, synthetic};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tokio_util::sync::CancellationToken;

fn fetched_well(home: &Home, repo: &str) {
    let check = home.done("check", &home.verify(repo, "main", true));
    assert_eq!(check["faults"], json!([]));
}

/// Fetches in this process, with patience of its own.
fn within(home: &Home, settings: Settings) -> Result<FetchReceipt, Problem> {
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["hf_home"] = json!(home.hf());
    let request: FetchRequest = serde_json::from_value(request).unwrap();
    let context = Context {
        settings,
        ..Context::foreground(
            JobOutput::new(0, Box::new(std::io::sink())),
            CancellationToken::new(),
        )
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match runtime.block_on(tandem_node::fetch::fetch(&request, None, &context)) {
        Ok(receipt) => Ok(receipt),
        Err(stop) => Err(stop.problem().expect("nobody cancelled it")),
    }
}

#[test]
fn http_and_socks_proxies_are_used_by_name_and_by_the_environment() {
    let site = Site::new();
    let (http, socks) = (Proxy::http(), Proxy::socks());
    for (name, proxy, address) in [
        ("http", &http, format!("http://{}", http.address)),
        ("socks5h", &socks, format!("socks5h://{}", socks.address)),
        ("socks5", &socks, format!("socks5://{}", socks.address)),
    ] {
        let before = proxy.used();
        let home = site.home(name);
        let mut request = home.fetch(NVFP4_REPO, "main");
        request["proxy"] = json!(address);
        home.done("fetch", &request);
        assert!(proxy.used() > before, "{name} was passed by");
        fetched_well(&home, NVFP4_REPO);
    }
    // By the environment, as /etc/environment sets it; and not for what NO_PROXY excepts.
    for (variable, address, excepted) in [
        ("http_proxy", format!("http://{}", http.address), false),
        ("ALL_PROXY", format!("socks5h://{}", socks.address), false),
        ("http_proxy", "http://127.0.0.1:9".to_owned(), true),
    ] {
        let before = http.used() + socks.used();
        let home = site.home(&format!("{variable}-{excepted}"));
        let mut command = home.command();
        command.env(variable, &address);
        if excepted {
            command.env("NO_PROXY", "127.0.0.1");
        }
        let lines = run(command, &home.fetch(NVFP4_REPO, "main"));
        assert!(
            matches!(lines, NodeEvent::Done { .. }),
            "{variable}: {lines:?}"
        );
        assert_eq!(http.used() + socks.used() > before, !excepted, "{variable}");
    }
    assert_eq!(site.hub.counters().read().violations, Vec::<String>::new());
}

/// Runs a fetch with a command of its own and gives its last event.
fn run(mut command: Command, request: &Value) -> NodeEvent {
    let mut child = command
        .args(["run", "fetch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    serde_json::to_writer(stdin, request).unwrap();
    let out = child.wait_with_output().unwrap();
    common::lines(&out.stdout).last().unwrap().event.clone()
}

#[test]
fn a_proxy_s_password_has_no_place_in_a_request() {
    let site = Site::new();
    let home = site.home("one");
    for proxy in [
        "http://me:secret@10.0.0.1:3128",
        "10.0.0.1:3128",
        "ftp://10.0.0.1",
    ] {
        let mut request = home.fetch(NVFP4_REPO, "main");
        request["proxy"] = json!(proxy);
        let problem = home.refused("fetch", &request);
        assert_eq!(problem.code, Code::BadInput, "{proxy}");
        assert!(!problem.to_string().contains("secret"));
    }
}

#[test]
fn a_mirror_below_a_path_of_its_own_is_a_hub() {
    let site = Site::new();
    let home = site.home("one");
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["endpoint"] = json!(format!("{}/mirror/of/models", site.hub.endpoint()));
    home.done("fetch", &request);
    fetched_well(&home, NVFP4_REPO);
}

#[test]
fn a_network_s_login_page_is_never_taken_for_a_file() {
    let site = Site::new();
    let home = site.home("one");
    site.hub
        .fault(Fault::new(FaultKind::LoginPage).on(Side::Api));
    let problem = home.refused("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(problem.code, Code::HubUnreachable);
    assert!(problem.cause.unwrap().contains("login page"));
    site.hub.faults().clear();
    site.hub
        .fault(Fault::new(FaultKind::LoginPage).on(Side::Resolve));
    let problem = home.refused("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(problem.code, Code::HubUnreachable, "{problem}");
    site.hub.faults().clear();
    site.hub
        .fault(Fault::new(FaultKind::LoginPage).on(Side::Cdn).times(5));
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    fetched_well(&home, NVFP4_REPO);
    assert_eq!(receipt["fetched"], receipt["bytes"], "each byte once");
}

#[test]
fn addresses_that_expire_on_the_way_are_asked_for_again_and_cost_nothing() {
    let site = Site::new();
    let home = site.home("one");
    site.hub.fault(
        Fault::new(FaultKind::Status {
            status: 403,
            retry_after: None,
        })
        .on(Side::Cdn)
        .times(6),
    );
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(receipt["fetched"], receipt["bytes"], "each byte once");
    fetched_well(&home, NVFP4_REPO);
}

#[test]
fn a_file_that_becomes_another_on_the_way_is_not_mixed_with_the_first() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 40 << 20).unwrap();
    });
    let home = site.home("one");
    // Slow, so that it is under way when the address expires and the fresh one is of other content.
    let slow = FaultKind::Slow {
        bytes_per_second: 1 << 20,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    home.answer(
        &["start", "fetch", "--job", "j"],
        &home.fetch(synthetic::REPO, "main"),
    );
    until("some has arrived", || {
        site.hub.counters().read().cdn_bytes > 0
    });
    site.hub.fault(Fault::new(FaultKind::OtherContent));
    let expired = FaultKind::Status {
        status: 403,
        retry_after: None,
    };
    site.hub.fault(Fault::new(expired).on(Side::Cdn));
    let lines = home.follow("j", 0);
    let NodeEvent::Failed { problem } = &lines.last().unwrap().event else {
        panic!("it cannot go on: {:?}", lines.last());
    };
    assert_eq!(problem.code, Code::HashMismatch, "{problem}");
    assert!(problem.message.contains("changed"), "{problem}");
    let blobs = home.hf().join("hub/models--tandem--Synthetic-NVFP4/blobs");
    let other = blobs.join("0".repeat(64));
    assert!(!other.exists(), "nothing stands under the other name");
    site.hub.faults().clear();
    home.done("fetch", &home.fetch(synthetic::REPO, "main"));
    fetched_well(&home, synthetic::REPO);
}

#[test]
fn a_connection_that_has_gone_silent_is_made_anew_where_it_was() {
    let site = Site::new();
    let home = site.home("one");
    let stall = FaultKind::Stall { bytes: 3000 };
    site.hub.fault(Fault::new(stall).on(Side::Cdn).times(4));
    let settings = Settings {
        silence: Duration::from_millis(300),
        ..Settings::default()
    };
    let receipt = within(&home, settings).unwrap();
    assert_eq!(receipt.fetched, receipt.bytes(), "each byte once");
    fetched_well(&home, NVFP4_REPO);
}

#[test]
fn patience_has_a_stated_end_and_what_arrived_is_kept() {
    let site = Site::new();
    let home = site.home("one");
    let status = |status, retry_after| {
        Fault::new(FaultKind::Status {
            status,
            retry_after,
        })
        .at("model-00002")
        .on(Side::Cdn)
    };
    let settings = Settings {
        transfer_patience: Duration::from_millis(1200),
        busy_patience: Duration::from_secs(3),
        ..Settings::default()
    };
    site.hub.fault(status(503, None));
    let problem = within(&home, settings).unwrap_err();
    assert_eq!(
        (problem.code, problem.retry),
        (Code::HubUnreachable, Retry::Now)
    );
    site.hub.faults().clear();
    site.hub.fault(status(429, Some(1)));
    let problem = within(&home, settings).unwrap_err();
    assert_eq!(
        (problem.code, problem.retry),
        (Code::HubBusy, Retry::After(1))
    );
    // Longer than patience lasts: said at once instead of waited for.
    site.hub.faults().clear();
    site.hub.fault(status(429, Some(300)));
    let problem = within(&home, settings).unwrap_err();
    assert_eq!(problem.retry, Retry::After(300));
    assert!(problem.fix.unwrap().sentence.contains("300 seconds"));
    site.hub.faults().clear();
    let before = site.hub.counters().read().bytes;
    let receipt = within(&home, settings).unwrap();
    assert!(
        before > 0 && receipt.fetched < receipt.bytes(),
        "what arrived was kept"
    );
    assert_eq!(
        site.hub.counters().read().bytes,
        receipt.bytes(),
        "each byte once"
    );
    fetched_well(&home, NVFP4_REPO);
}

#[test]
fn the_second_fetch_of_a_cache_is_told_of_the_first() {
    let site = Site::new();
    let home = site.home("one");
    let slow = FaultKind::Slow {
        bytes_per_second: 50 << 10,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    let request = home.fetch(NVFP4_REPO, "main");
    home.answer(&["start", "fetch", "--job", "first"], &request);
    until("the first is under way", || {
        site.hub.counters().read().cdn_bytes > 0
    });
    let problem = home.refused("fetch", &request);
    assert_eq!(problem.code, Code::Locked);
    assert!(problem.fix.unwrap().sentence.contains("Wait"));
    site.hub.faults().clear();
    let lines = home.follow("first", 0);
    assert!(matches!(
        lines.last().unwrap().event,
        NodeEvent::Done { .. }
    ));
    fetched_well(&home, NVFP4_REPO);
}

#[test]
fn bytes_that_decayed_while_nobody_looked_are_found_and_fetched_again() {
    let site = Site::with(|repos| {
        synthetic::write_synthetic(repos, 40 << 20).unwrap();
    });
    let home = site.home("one");
    let slow = FaultKind::Slow {
        bytes_per_second: 2 << 20,
    };
    site.hub.fault(Fault::new(slow).on(Side::Cdn));
    let request = home.fetch(synthetic::REPO, "main");
    home.answer(&["start", "fetch", "--job", "j"], &request);
    until("some has arrived", || {
        site.hub.counters().read().cdn_bytes > 8 << 20
    });
    home.answer(&["cancel", "--job", "j"], &json!({}));
    let blobs = home.hf().join("hub/models--tandem--Synthetic-NVFP4/blobs");
    let partial = std::fs::read_dir(&blobs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().ends_with("tandem-partial"))
        .max_by_key(|p| p.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&partial, bytes).unwrap();
    site.hub.faults().clear();
    let started = home.answer(&["start", "fetch", "--job", "j"], &request);
    let lines = home.follow("j", started["last_seq"].as_u64().unwrap());
    assert!(matches!(
        lines.last().unwrap().event,
        NodeEvent::Done { .. }
    ));
    let said = lines.iter().any(|l| match &l.event {
        NodeEvent::Note { text } => text.contains("another hash"),
        _ => false,
    });
    assert!(said, "it says what it does again");
    fetched_well(&home, synthetic::REPO);
}

#[test]
fn a_cache_that_cannot_be_written_is_said_with_what_to_do() {
    let site = Site::new();
    let home = site.home("one");
    let hf = home.path.join("ro");
    std::fs::create_dir_all(&hf).unwrap();
    let mount = |arguments: &[&str]| {
        let status = Command::new("mount").args(arguments).arg(&hf).status();
        status.is_ok_and(|s| s.success())
    };
    if !mount(&["-t", "tmpfs", "-o", "ro,size=1m", "tmpfs"]) {
        println!("not run: a file system cannot be mounted here");
        return;
    }
    let mut request = home.fetch(NVFP4_REPO, "main");
    request["hf_home"] = json!(hf);
    let problem = home.refused("fetch", &request);
    let _ = Command::new("umount").arg(&hf).status();
    assert_eq!(problem.code, Code::MachineUnfit, "{problem}");
    assert!(problem.cause.unwrap().contains("read-only"));
    assert_eq!(site.hub.counters().read().bytes, 0);
}

#[test]
fn blobs_that_a_container_left_as_root_are_used_and_what_is_closed_is_named() {
    let site = Site::new();
    let home = site.home("one");
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root can leave files of root");
        return;
    }
    // All but one large file come from root's container; that one is missing.
    home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let repo = home
        .hf()
        .join("hub/models--stepfun-ai--Step-3.7-Flash-NVFP4");
    let blobs = repo.join("blobs");
    let largest = std::fs::read_dir(&blobs)
        .unwrap()
        .map(|e| e.unwrap().path())
        .max_by_key(|p| p.metadata().unwrap().len())
        .unwrap();
    std::fs::remove_file(&largest).unwrap();
    // The user is one who can reach the home and the program, and owns neither.
    let program = site.dir.path().join("tandem-node");
    std::fs::copy(common::PROGRAM, &program).unwrap();
    for path in [site.dir.path(), &home.path] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let as_user = || {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .env("HOME", &home.path)
            .env_remove("HF_HOME");
        command
    };
    site.hub.counters().reset();
    let request = home.fetch(NVFP4_REPO, "main");
    let NodeEvent::Failed { problem } = run(as_user(), &request) else {
        panic!("root's folders are closed");
    };
    assert_eq!(problem.code, Code::MachineUnfit, "{problem}");
    assert!(
        problem.cause.as_ref().unwrap().contains("belongs to root"),
        "{problem}"
    );
    let command = problem.fix.unwrap().command.unwrap();
    let named = command.strip_prefix("sudo chown -R \"$USER\": ").unwrap();
    assert!(Path::new(named).exists(), "{command} names what is there");
    assert_eq!(site.hub.counters().read().bytes, 0);
    // With the folders made the user's own, root's blobs are good as they are.
    let chown = |path: &Path, deep: bool| {
        let mut command = Command::new("chown");
        command
            .args(deep.then_some("-R"))
            .arg("65534:65534")
            .arg(path);
        assert!(command.status().unwrap().success());
    };
    chown(&home.hf().join("hub/.locks"), true);
    for folder in [&repo, &blobs, &repo.join("refs"), &repo.join("snapshots")] {
        chown(folder, false);
    }
    let NodeEvent::Done { result } = run(as_user(), &request) else {
        panic!("it can go on");
    };
    let size = std::fs::metadata(&largest).unwrap().len();
    assert_eq!(result["fetched"], size, "only what was missing");
}

#[test]
fn what_another_repository_s_download_shares_is_linked_and_not_fetched() {
    let site = Site::new();
    let home = site.home("one");
    let receipt = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    let hub = home.hf().join("hub");
    let repo = hub.join("models--stepfun-ai--Step-3.7-Flash-NVFP4");
    // As version 2 of Python's package leaves a file that it fetched for another repository.
    let store = hub.join("blobs");
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join(".huggingface-shared-blobs"), "1\n").unwrap();
    let mut shared = 0;
    for entry in std::fs::read_dir(repo.join("blobs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.len() == 64 {
            let xet = tandem_rehearsal::hub::xet_hash(&name);
            std::fs::create_dir_all(store.join(&xet[..2])).unwrap();
            std::fs::rename(&path, store.join(&xet[..2]).join(&xet)).unwrap();
            shared += 1;
        }
    }
    std::fs::remove_dir_all(&repo).unwrap();
    assert!(shared > 3);
    site.hub.fault(Fault::new(FaultKind::XetNames));
    site.hub.counters().reset();
    let again = home.done("fetch", &home.fetch(NVFP4_REPO, "main"));
    assert_eq!(again["snapshot"], receipt["snapshot"]);
    assert_eq!(
        site.hub.counters().read().cdn_bytes,
        0,
        "the large files were there"
    );
    fetched_well(&home, NVFP4_REPO);
    let lists = common::tree(&store)
        .into_keys()
        .filter(|k| k.ends_with(".refs"));
    assert_eq!(lists.count(), shared, "each link is listed");
}

#[test]
fn a_follower_that_slept_for_hours_finds_the_job_done() {
    let site = Site::new();
    let home = site.home("one");
    home.answer(
        &["start", "fetch", "--job", "j"],
        &home.fetch(NVFP4_REPO, "main"),
    );
    let (mut follower, mut lines) = common::spawn_follow(&home, "j");
    let first = lines.next().expect("it says something");
    // The laptop's lid is closed: the connection is gone, and with it whoever followed.
    follower.kill().unwrap();
    follower.wait().unwrap();
    until("the job ends by itself", || {
        let path = home.path.join(".local/share/tandem/jobs/j/lines.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.contains("\"done\"")
    });
    let rest = home.follow("j", first.seq);
    assert_eq!(rest[0].seq, first.seq + 1, "no line is lost");
    assert!(matches!(rest.last().unwrap().event, NodeEvent::Done { .. }));
}
