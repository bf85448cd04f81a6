//! Rehearsal's two machines through the ports that the steps use.

use std::path::Path;
use std::time::Duration;

use tandem_domain::chat::ChatRequest;
use tandem_domain::container::{ContainerSpec, Mount};
use tandem_domain::machine::Facts;
use tandem_domain::node::PROGRAM;
use tandem_domain::ports::{Command, ContainerError, MachineServices, RemoteFile};
use tandem_domain::problem::Code;
use tandem_domain::step::owned;
use tandem_rehearsal::checkpoint::{NVFP4_COMMIT, NVFP4_REPO};
use tandem_rehearsal::machines::Rehearsal;

const IMAGE: &str = "vllm/vllm-openai:stepfun37";
const STANDIN: &str = env!("CARGO_BIN_EXE_tandem-standin");

/// Any program will do where the node program is only sent and asked for facts.
async fn open(folder: &Path) -> Rehearsal {
    Rehearsal::open(folder, Path::new(STANDIN), Path::new(STANDIN))
        .await
        .expect("a rehearsal")
}

fn spec(machine: &MachineServices, folder: &Path, rank: usize) -> ContainerSpec {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut command = words(
        "/models/m --trust-remote-code --tensor-parallel-size 2 --nnodes 2 --master-addr 10.100.10.1 --master-port 29501 --max-model-len 4096 --node-rank",
    );
    command.push(rank.to_string());
    command.extend(if rank == 0 {
        words("--host 127.0.0.1 --port 8000 --served-model-name step")
    } else {
        words("--headless")
    });
    ContainerSpec {
        name: "tandem-vllm".into(),
        image: IMAGE.into(),
        entrypoint: Some(words("vllm serve")),
        command,
        env: vec![("TANDEM_STANDIN_PACE".into(), "8".into())],
        mounts: vec![Mount {
            source: folder
                .join(&machine.name)
                .join("home/models")
                .to_string_lossy()
                .into_owned(),
            target: "/models".into(),
            read_only: true,
        }],
        labels: vec![("dev.tandem.spec".into(), "x".into())],
        ..ContainerSpec::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_keeps_to_its_folder() {
    let dir = tempfile::tempdir().expect("folder");
    let rehearsal = open(dir.path()).await;
    let [a, b] = [&rehearsal.machines()[0], &rehearsal.machines()[1]].map(Clone::clone);
    let file = RemoteFile {
        path: "/etc/netplan/90-tandem.yaml".into(),
        content: b"network:\n".to_vec(),
        mode: 0o600,
        sudo: true,
    };
    a.shell.write(&file).await.expect("written");
    assert!(
        dir.path()
            .join("spark-a/root/etc/netplan/90-tandem.yaml")
            .exists(),
        "root's files stay in the folder"
    );
    assert_eq!(
        a.shell
            .read("/etc/netplan/90-tandem.yaml", true)
            .await
            .expect("read")
            .as_deref(),
        Some(&b"network:\n"[..])
    );
    let rm = a
        .shell
        .exec(&Command::new("rm", ["-f", "/etc/netplan/90-tandem.yaml"]).sudo())
        .await
        .expect("rm");
    assert!(
        rm.ok()
            && a.shell
                .read("/etc/netplan/90-tandem.yaml", true)
                .await
                .expect("read")
                .is_none()
    );
    let cat = a
        .shell
        .exec(&Command::new("sh", ["-c", "cat; printf %s \"$HOME\" >&2; exit 3"]).stdin("in"))
        .await
        .expect("sh");
    assert_eq!((cat.status, cat.text().as_str()), (3, "in"));
    assert!(
        cat.error_text().ends_with("spark-a/home"),
        "{}",
        cat.error_text()
    );
    assert_eq!(
        a.shell
            .exec(&Command::new("no-such-program", ["x"]))
            .await
            .expect("a status")
            .status,
        127
    );
    assert_eq!(
        a.shell
            .exec(&Command::new(PROGRAM, ["facts"]))
            .await
            .expect("a status")
            .status,
        127,
        "not before it was sent"
    );
    let build = a.node_program.build("aarch64").expect("a build");
    for machine in [&a, &b] {
        machine
            .shell
            .upload(&build.path, PROGRAM, 0o755, &mut |_| {})
            .await
            .expect("sent");
    }
    let facts = async |s: &MachineServices| -> Facts {
        serde_json::from_slice(
            &s.shell
                .exec(&Command::new(PROGRAM, ["facts"]))
                .await
                .expect("facts")
                .stdout,
        )
        .expect("Facts")
    };
    let (fa, fb) = (facts(&a).await, facts(&b).await);
    assert!(fa.simulated && fa.disk_free > 0 && fa.cabled().len() == 2);
    assert!(
        !tandem_domain::machine::identity::same_machine(&fa, &fb),
        "two machines, not one"
    );
    std::fs::write(dir.path().join("spark-b/facts.json"), r#"{"disk_free": 7}"#).expect("written");
    assert_eq!(facts(&b).await.disk_free, 7, "a state can be ordered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_removes_our_server_and_spares_another_of_its_name() {
    let dir = tempfile::tempdir().expect("folder");
    let folder = dir.path().canonicalize().expect("folder");
    let machines = open(&folder).await.machines();
    for (rank, machine) in machines.iter().enumerate() {
        let pulled = machine.containers.pull(IMAGE, &mut |_| {}).await;
        pulled.expect("pulled");
        let mut spec = spec(machine, &folder, rank);
        if rank == 0 {
            spec.labels.clear();
        }
        machine.containers.start(&spec).await.expect("started");
    }
    let problem = owned::stop(&machines, "tandem-vllm").await;
    let problem = problem.expect_err("the first is somebody else's");
    assert_eq!(problem.code, Code::ContainerForeign);
    assert_eq!(problem.machine.as_deref(), Some("spark-a"));
    let still_there = async |machine: &MachineServices| {
        let state = machine.containers.inspect("tandem-vllm").await;
        state.expect("asked").is_some()
    };
    assert!(still_there(&machines[0]).await, "the other's is spared");
    assert!(!still_there(&machines[1]).await, "ours is gone");
    let removed = machines[0].containers.remove("tandem-vllm").await;
    assert!(removed.expect("its owner removes it"));
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ranks_serve_and_are_found_again_after_a_restart() {
    let dir = tempfile::tempdir().expect("folder");
    let folder = dir.path().canonicalize().expect("folder");
    let rehearsal = open(&folder).await;
    let endpoint = rehearsal.hub_endpoint();
    let machines = rehearsal.machines();
    for (rank, machine) in machines.iter().enumerate() {
        let model = folder.join(&machine.name).join("home/models/m");
        std::fs::create_dir_all(&model).expect("folder");
        for entry in std::fs::read_dir(folder.join("hub").join(NVFP4_REPO).join(NVFP4_COMMIT))
            .expect("files")
        {
            let path = entry.expect("file").path();
            std::fs::copy(&path, model.join(path.file_name().expect("name"))).expect("copied");
        }
        assert!(
            machine
                .containers
                .image(IMAGE)
                .await
                .expect("asked")
                .is_none()
        );
        let mut last = 0;
        machine
            .containers
            .pull(IMAGE, &mut |p| last = p.done)
            .await
            .expect("pulled");
        let image = machine
            .containers
            .image(IMAGE)
            .await
            .expect("asked")
            .expect("there");
        assert_eq!(last, image.size);
        let spec = spec(machine, &folder, rank);
        machine.containers.start(&spec).await.expect("started");
        assert!(matches!(
            machine.containers.start(&spec).await,
            Err(ContainerError::NameTaken { .. })
        ));
    }
    let mut lines = Vec::new();
    let head = machines[0].clone();
    let waiting = async {
        while head.tunnels.api(8000).health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .is_ok(),
        "{:#?}",
        head.containers.logs("tandem-vllm", 30).await
    );
    drop((head, machines, rehearsal));

    let again = open(&folder).await;
    assert_eq!(
        again.hub_endpoint(),
        endpoint,
        "a run that is resumed finds the Hub where it was"
    );
    let machines = again.machines();
    let state = machines[0]
        .containers
        .inspect("tandem-vllm")
        .await
        .expect("asked")
        .expect("there");
    assert!(state.running && state.exit_code.is_none());
    assert_eq!(
        state.labels,
        [("dev.tandem.spec".to_owned(), "x".to_owned())]
    );
    let mut request = ChatRequest::ask("step", "Hello");
    request.max_tokens = 8;
    let finish = machines[0]
        .tunnels
        .api(8000)
        .chat(&request, &mut |_| {})
        .await
        .expect("an answer");
    assert_eq!(finish.completion_tokens, Some(8));
    let removed = {
        let containers = machines[0].containers.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            containers.remove("tandem-vllm").await
        })
    };
    machines[0]
        .containers
        .follow("tandem-vllm", &mut |line| lines.push(line.to_owned()))
        .await
        .expect("followed to its end");
    assert!(
        lines
            .iter()
            .any(|l| l.contains("Application startup complete."))
    );
    assert!(removed.await.expect("task").expect("removed"));
    assert!(
        machines[0]
            .containers
            .inspect("tandem-vllm")
            .await
            .expect("asked")
            .is_none()
    );
    assert!(
        !machines[0]
            .containers
            .remove("tandem-vllm")
            .await
            .expect("asked"),
        "nothing left"
    );
    assert!(
        machines[0].tunnels.api(8000).health().await.is_err(),
        "nothing listens"
    );
    let ended = async {
        while machines[1]
            .containers
            .inspect("tandem-vllm")
            .await
            .expect("asked")
            .expect("there")
            .running
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(
        tokio::time::timeout(Duration::from_secs(10), ended)
            .await
            .is_ok(),
        "the worker follows its head"
    );
    let state = machines[1]
        .containers
        .inspect("tandem-vllm")
        .await
        .expect("asked")
        .expect("there");
    assert_eq!(state.exit_code, Some(0));
    assert!(
        machines[1]
            .containers
            .remove("tandem-vllm")
            .await
            .expect("removed")
    );
}
