//! The story in which the secrets are used.

use std::io::BufRead;
use std::path::PathBuf;

use serde::Deserialize;
use tandem::app::{App, Programs};
use tandem::wire::disk::CheckTarget;
use tandem::wire::{NewMachine, Settings};
use tandem_rehearsal::checkpoint::{self, NVFP4_COMMIT, NVFP4_REPO};
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_rehearsal::hub::{Hub, HubConfig};

use crate::{FOLDER, USED, server};

#[derive(Deserialize)]
struct Secrets {
    password: String,
    token: String,
}

/// The programs of this build, beside each other.
fn programs() -> Programs {
    let exe = std::env::current_exe().expect("this test is a program");
    Programs::find(exe.ancestors().nth(2).map(PathBuf::from))
}

fn line() -> String {
    let mut text = String::new();
    let read = std::io::stdin().lock().read_line(&mut text);
    read.expect("the other process writes");
    text
}

/// Shows what the window would be told.
fn tell(what: &impl serde::Serialize) {
    println!("{}", serde_json::to_string(what).expect("plain data"));
}

/// Started by the test of this file's folder; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn told_in_a_process_of_its_own() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(std::io::stderr)
        .init();
    let secrets: Secrets = serde_json::from_str(&line()).expect("the secrets");
    let programs_of_machine = folder.join("bin");
    server::write_sudo(&programs_of_machine, &sha256(&secrets.password));
    let home = folder.join("machine");
    std::fs::create_dir_all(&home).expect("a home");
    let port = server::start(secrets.password.clone(), home, programs_of_machine).await;
    let repos = folder.join("repos");
    checkpoint::write_all(&repos).expect("the checkpoints can be written");
    let hub = Hub::start(HubConfig {
        bind: "127.0.0.1:0".parse().expect("an address"),
        cdn: None,
        repos,
    });
    let hub = hub.await.expect("the Hub starts");
    for side in [Side::Api, Side::Resolve] {
        let tokens = vec![secrets.token.clone()];
        hub.fault(Fault::new(FaultKind::RequireToken { tokens }).on(side));
    }

    let app = App::open(&folder.join("data"), programs())
        .await
        .expect("it opens");
    let settings = Settings {
        hub_endpoint: hub.endpoint(),
        ..app.settings().await.expect("settings")
    };
    app.save_settings(settings).await.expect("kept");
    let notice = app.set_hub_token(Some(secrets.token)).await.expect("kept");
    tell(&notice);
    let probed = app.probe_host("127.0.0.1", port).await.expect("a host key");
    tell(&probed);
    let wrong = |password: &str| NewMachine {
        address: "127.0.0.1".into(),
        port,
        user: "kim".into(),
        password: Some(password.to_owned()),
        host_key: probed.host_key.clone(),
    };
    let refused = app.add_machine(wrong("not this one")).await;
    tell(&refused.expect_err("it is the wrong one"));
    let added = app
        .add_machine(wrong(&secrets.password))
        .await
        .expect("it is added");
    tell(&added);
    let refused = app.give_password(&added.id, "nor this".into()).await;
    tell(&refused.expect_err("sudo wants another"));
    let given = app
        .give_password(&added.id, secrets.password)
        .await
        .expect("sudo takes it");
    tell(&given);
    let plan = app.propose_setup().await.expect("a plan");
    tell(&app.ahead(plan.request, true).await.expect("a survey"));
    let target = CheckTarget {
        machine: added.id.clone(),
        repo: NVFP4_REPO.into(),
        commit: NVFP4_COMMIT.into(),
    };
    // A job that outlives the connection, with the token: all files are missing, and come.
    let checked = app
        .check_revision(&target, true, true, |event| tell(&event))
        .await;
    let checked = checked.expect("it ends");
    assert!(checked.fetched > 0, "the Hub wants the token: {checked:?}");
    tell(&checked);
    tell(&app.overview().await.expect("an overview"));

    let told = tandem::story::story(&app, None).await;
    let runs = app.list_runs().await.expect("runs");
    for run in &runs {
        tell(&app.run_detail(&run.id).await.expect("a run"));
        println!("{}", app.run_report(&run.id).await.expect("a report"));
    }
    println!("{USED}");
    line();
    app.leave_rehearsal()
        .await
        .expect("nothing is left running");
    told.expect("the rehearsal ends well");
}

fn sha256(text: &str) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(text.as_bytes());
    hash.iter().map(|b| format!("{b:02x}")).collect()
}
