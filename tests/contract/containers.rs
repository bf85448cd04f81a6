//! What every [`Containers`] must do, whoever implements it.

use tandem_domain::container::{ContainerSpec, LABEL, Mount};
use tandem_domain::ports::{ContainerError, Containers, KeptImage};

const NAME: &str = "tandem-contract";

/// What keeps a container apart from its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walls {
    /// A file system of its own, with the machine's folders in it where they were mounted.
    Own,
    /// None, because making one takes root, which a rehearsal must not need: its containers are
    /// processes of this computer. A folder's place in the container means the machine's folder where it
    /// begins a word of the command or a value of the environment, which is all that Tandem's own
    /// containers use; a script does not find it by itself, and what is read-only can be written.
    None,
}

fn spec(image: &str, script: &str) -> ContainerSpec {
    ContainerSpec {
        name: NAME.into(),
        image: image.into(),
        entrypoint: Some(vec!["sh".into(), "-c".into()]),
        command: vec![script.into(), "sh".into(), "/machine/passwd".into()],
        env: vec![
            ("WORD".into(), "it's = here".into()),
            ("PLACE".into(), "/machine".into()),
        ],
        mounts: vec![Mount {
            source: "/etc".into(),
            target: "/machine".into(),
            read_only: true,
        }],
        devices: vec!["/dev/null".into(), "/dev/not-there".into()],
        gpus: true,
        host_network: true,
        shm_bytes: Some(1 << 30),
        rdma_limits: true,
        capabilities: vec!["IPC_LOCK".into()],
        labels: vec![(LABEL.into(), "contract".into())],
        key_variable: Some("KEY".into()),
    }
}

/// The whole contract. `image` must be in reach of the engine, not on it, and have `sh` and `cat`.
pub(crate) async fn containers_contract(containers: &dyn Containers, image: &str, walls: Walls) {
    let engine = containers.engine().await.expect("an engine");
    assert!(
        !engine.version.is_empty() && engine.root.starts_with('/'),
        "{engine:?}"
    );
    assert!(engine.runtimes.contains(&"runc".to_owned()), "{engine:?}");
    images(containers, image).await;
    life(containers, image).await;
    logs(containers, image).await;
    keyed(containers, image).await;
    if walls == Walls::Own {
        enclosed(containers, image).await;
    }
    assert_eq!(containers.remove_image(image).await, Ok(true));
    assert_eq!(containers.remove_image(image).await, Ok(false));
    assert_eq!(containers.image(image).await, Ok(None));
}

async fn images(containers: &dyn Containers, image: &str) {
    assert_eq!(containers.image(image).await, Ok(None), "not here yet");
    let error = containers
        .start(&spec(image, "exit 0"))
        .await
        .expect_err("no image");
    assert!(
        matches!(error, ContainerError::NoSuchImage { .. }),
        "{error:?}"
    );
    let mut progress = Vec::new();
    containers
        .pull(image, &mut |p| progress.push(p))
        .await
        .expect("pulled");
    let found = containers
        .image(image)
        .await
        .expect("answered")
        .expect("here");
    assert!(
        found.id.starts_with("sha256:") && found.size > 0,
        "{found:?}"
    );
    let last = progress.last().expect("progress was told");
    assert!(last.done == last.total && last.total > 0, "{last:?}");
    assert!(progress.iter().all(|p| p.done <= p.total));
    assert!(progress.is_sorted_by_key(|p| p.done), "what is here stays");
    containers
        .pull(image, &mut |_| {})
        .await
        .expect("a repeat changes nothing");
    let error = containers
        .pull("tandem/no-such-image:x", &mut |_| {})
        .await
        .expect_err("none");
    assert!(
        matches!(error, ContainerError::NoSuchImage { .. }),
        "{error:?}"
    );
}

async fn life(containers: &dyn Containers, image: &str) {
    assert_eq!(containers.inspect(NAME).await, Ok(None));
    assert_eq!(containers.remove(NAME).await, Ok(false), "there was none");
    // The shell is the first process and would not hear TERM otherwise.
    let endless = spec(image, "trap 'exit 9' TERM; while :; do sleep 1; done");
    let id = containers.start(&endless).await.expect("started");
    let state = containers
        .inspect(NAME)
        .await
        .expect("answered")
        .expect("there");
    assert!(
        state.running && state.id == id && !state.oom_killed,
        "{state:?}"
    );
    let stock = containers.stock().await.expect("listed");
    let of_image = |kept: &&KeptImage| kept.id == state.image_id;
    let kept = stock
        .images
        .iter()
        .find(of_image)
        .expect("its image is kept");
    assert!(kept.size > 0 && !kept.tags.is_empty(), "{kept:?}");
    let stands = stock.containers.iter().find(|c| c.name == NAME);
    let stands = stands.expect("it stands there");
    assert!(
        stands.running && stands.ours && stands.image_id == state.image_id,
        "{stands:?}"
    );
    let mount = ("/etc".to_owned(), "/machine".to_owned());
    assert_eq!(stands.mounts, [mount]);
    assert!(
        stands.command.iter().any(|word| word == "/machine/passwd"),
        "{stands:?}"
    );
    assert_eq!(state.exit_code, None);
    assert!(
        state.labels.contains(&(LABEL.into(), "contract".into())),
        "{state:?}"
    );
    let image = containers
        .image(image)
        .await
        .expect("answered")
        .expect("here");
    assert_eq!(state.image_id, image.id);
    let taken = containers.start(&endless).await;
    assert_eq!(taken, Err(ContainerError::NameTaken { name: NAME.into() }));
    assert_eq!(
        containers.remove(NAME).await,
        Ok(true),
        "stopped and removed"
    );
    assert_eq!(containers.inspect(NAME).await, Ok(None));

    // One that cannot start leaves nothing that holds its name.
    let mut broken = endless;
    broken.entrypoint = Some(vec!["/no/such/program".into()]);
    let error = containers
        .start(&broken)
        .await
        .expect_err("no such program");
    assert!(matches!(error, ContainerError::Refused { .. }), "{error:?}");
    assert_eq!(containers.inspect(NAME).await, Ok(None));
}

async fn logs(containers: &dyn Containers, image: &str) {
    let script = "echo \"word: $WORD\"; cat \"$1\" \"$PLACE/group\" >/dev/null && echo mounted
        echo aside >&2; printf '\\033[31mred\\033[0m\\n10%%\\r100%%\\r\\nlast'; sleep 1; exit 5";
    containers
        .start(&spec(image, script))
        .await
        .expect("started");
    let mut lines = Vec::new();
    containers
        .follow(NAME, &mut |line| lines.push(line.to_owned()))
        .await
        .expect("followed to its end");
    let out = ["word: it's = here", "mounted", "red", "10%", "100%", "last"];
    // The engine does not say which of two lines came first when one is on stderr.
    let of_out = |lines: &[String]| {
        let mut lines = lines.to_vec();
        let aside = lines.iter().position(|l| l == "aside");
        lines.remove(aside.unwrap_or_else(|| panic!("stderr in {lines:?}")));
        lines
    };
    assert_eq!(of_out(&lines), out, "to the end, though it ends no line");
    let state = containers
        .inspect(NAME)
        .await
        .expect("answered")
        .expect("there");
    assert_eq!((state.running, state.exit_code), (false, Some(5)));
    let all = containers.logs(NAME, 1000).await.expect("read");
    assert_eq!(of_out(&all), out);
    let last = containers.logs(NAME, 2).await.expect("read");
    assert_eq!(last, all[all.len() - 2..]);
    assert_eq!(containers.remove(NAME).await, Ok(true));
    let error = containers.logs(NAME, 5).await.expect_err("gone");
    assert!(matches!(error, ContainerError::Refused { .. }), "{error:?}");
    let error = containers
        .follow(NAME, &mut |_| {})
        .await
        .expect_err("gone");
    assert!(matches!(error, ContainerError::Refused { .. }), "{error:?}");
}

/// Every start has a key of its own, which the server is given and which can be read back.
async fn keyed(containers: &dyn Containers, image: &str) {
    assert_eq!(containers.api_key(NAME).await, Ok(None), "nothing is there");
    let mut keys = Vec::new();
    for _ in 0..2 {
        let started = containers.start(&spec(image, "echo $KEY")).await;
        started.expect("started");
        let mut lines = Vec::new();
        let mut on_line = |line: &str| lines.push(line.to_owned());
        let followed = containers.follow(NAME, &mut on_line).await;
        followed.expect("followed to its end");
        let key = containers.api_key(NAME).await.expect("it is there");
        let key = key.expect("it has one").reveal().to_owned();
        assert!(key.len() >= 32, "nobody guesses it");
        assert_eq!(lines, [key.as_str()]);
        keys.push(key);
        assert_eq!(containers.remove(NAME).await, Ok(true));
    }
    assert_ne!(keys[0], keys[1]);
}

async fn enclosed(containers: &dyn Containers, image: &str) {
    let script = "cat /machine/passwd >/dev/null && echo found
        if (echo x >/machine/tandem-contract) 2>/dev/null; then echo written; else echo kept; fi
        while read -r name value; do
            case $name in CapEff: | NoNewPrivs:) echo $name $value;; esac
        done </proc/self/status";
    containers
        .start(&spec(image, script))
        .await
        .expect("started");
    let mut lines = Vec::new();
    containers
        .follow(NAME, &mut |line| lines.push(line.to_owned()))
        .await
        .expect("followed to its end");
    // Of all capabilities the one that was asked for, which is number 14.
    assert_eq!(
        lines,
        ["found", "kept", "CapEff: 0000000000004000", "NoNewPrivs: 1"]
    );
    assert_eq!(containers.remove(NAME).await, Ok(true));
}
