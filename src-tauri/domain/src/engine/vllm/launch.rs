//! The container of one rank of `vllm serve`.

use serde_json::json;

use crate::artifact::ArtifactRole;
use crate::container::{ContainerSpec, Mount, SERVER, fabric};
use crate::engine::OnDisk;
use crate::engine::cache::{HF_HOME, folder_of, inside, shared_store};
use crate::graft::mtp_method::MtpMethod;
use crate::node::GraftKind;
use crate::problem::Problem;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{MODEL_FOLDER, Variant};
use crate::shell::as_words;

/// See [`Engine::container`](crate::engine::Engine::container).
pub(super) fn container(
    plan: &LaunchPlan,
    variant: &Variant,
    rank: usize,
    found: &OnDisk<'_>,
) -> Result<ContainerSpec, Problem> {
    let facts = found.facts;
    // Only an overlay takes the snapshot's place; a draft stands beside it.
    let (served, draft) = match found.graft {
        Some(graft) if graft.kind == GraftKind::Draft => {
            (found.snapshot, Some(graft.path.as_str()))
        }
        Some(graft) => (graft.path.as_str(), None),
        None => (found.snapshot, found.draft),
    };
    let optional = |path: Option<&str>| path.map(|path| inside(facts, path)).transpose();
    let folders = Folders {
        model: inside(facts, served)?,
        draft: optional(draft)?,
        tokenizer: optional(found.tokenizer)?,
    };
    let mut mounts = Vec::new();
    let given = [Some(served), draft, found.tokenizer];
    for path in given.into_iter().flatten() {
        let mount = folder_of(facts, path)?;
        if !mounts.contains(&mount) {
            mounts.push(mount);
        }
    }
    if found.shared_store {
        mounts.push(shared_store(facts));
    }
    let patch = found.graft.and_then(|g| g.patch.as_ref());
    mounts.extend(patch.map(|patch| Mount {
        source: patch.source.clone(),
        target: patch.target.clone(),
        read_only: true,
    }));
    Ok(ContainerSpec {
        name: SERVER.into(),
        image: plan.image.name.clone(),
        // The image's own entry point is `vllm serve`; naming it keeps other images working too.
        entrypoint: Some(vec!["vllm".into(), "serve".into()]),
        command: arguments(plan, variant, rank, &folders),
        env: environment(plan, rank),
        mounts,
        // The head alone has an API.
        key_variable: (rank == 0).then(|| "VLLM_API_KEY".to_owned()),
        ..fabric::container(plan.ranks > 1)
    })
}

/// See [`Engine::open_ports`](crate::engine::Engine::open_ports). PyTorch's store listens on every interface,
/// whatever address the ranks are given for it. The API listens on loopback; what else vLLM opens has random
/// numbers.
pub(super) fn open_ports(plan: &LaunchPlan) -> Vec<u16> {
    Vec::from_iter((plan.ranks > 1).then_some(plan.master_port))
}

/// Where the container sees what it loads.
struct Folders {
    model: String,
    /// What drafts, if that is a checkpoint of its own.
    draft: Option<String>,
    /// Where the tokenizer is, if not with the model.
    tokenizer: Option<String>,
}

/// See [`Engine::shown`](crate::engine::Engine::shown). What only the machines can tell stands in capitals.
pub(super) fn shown(plan: &LaunchPlan, variant: &Variant) -> String {
    let graft = plan.graft.as_ref().filter(|_| variant.drafting.is_some());
    let way = graft.and_then(|g| g.way);
    let has = |role| plan.artifacts.iter().any(|a| a.role == role);
    let draft = way == Some(MtpMethod::Draft) || has(ArtifactRole::Draft);
    let folders = Folders {
        model: "MODEL".into(),
        draft: draft.then(|| "DRAFT".to_owned()),
        tokenizer: has(ArtifactRole::Tokenizer).then(|| "TOKENIZER".to_owned()),
    };
    let args = arguments(plan, variant, 0, &folders);
    format!("vllm serve {}", as_words(&args))
}

fn arguments(plan: &LaunchPlan, variant: &Variant, rank: usize, folders: &Folders) -> Vec<String> {
    let mut args = vec![folders.model.clone()];
    let mut flag = |name: &str, value: String| args.extend([format!("--{name}"), value]);
    flag("served-model-name", plan.served_name.clone());
    if let Some(tokenizer) = &folders.tokenizer {
        flag("tokenizer", tokenizer.clone());
    }
    flag("tensor-parallel-size", plan.ranks.to_string());
    flag("max-model-len", plan.context.to_string());
    flag("gpu-memory-utilization", plan.memory_share.to_string());
    if plan.ranks > 1 {
        let head = fabric::address(plan.network.as_ref(), 0);
        flag("distributed-executor-backend", "mp".into());
        flag("nnodes", plan.ranks.to_string());
        flag("node-rank", rank.to_string());
        flag("master-addr", head.unwrap_or_default());
        flag("master-port", plan.master_port.to_string());
    }
    if let Some(chosen) = &variant.drafting {
        // Written without spaces: a shell on the way has nothing to part.
        let mut drafting = json!({"method": chosen.method});
        if let Some(folder) = &chosen.folder {
            drafting["model"] = format!("{}/{folder}", folders.model).into();
        } else if let Some(draft) = &folders.draft {
            drafting["model"] = draft.as_str().into();
        }
        drafting["num_speculative_tokens"] = chosen.tokens.into();
        for (name, value) in &chosen.more {
            drafting[name] = value.clone();
        }
        flag("speculative-config", drafting.to_string());
    }
    if rank == 0 {
        // Loopback only: the app reaches it through the SSH tunnel.
        flag("host", "127.0.0.1".into());
        flag("port", plan.api_port.to_string());
        // No page in a browser may use it, not even one on that machine.
        flag("allowed-origins", "[]".into());
    }
    if plan.can.trust_remote_code.is_some() {
        args.push("--trust-remote-code".into());
    }
    let own = variant.over(&plan.args).into_iter();
    args.extend(own.map(|word| word.replace(MODEL_FOLDER, &folders.model)));
    if rank > 0 {
        args.push("--headless".into());
    }
    args
}

fn environment(plan: &LaunchPlan, rank: usize) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
    set("HF_HOME", HF_HOME.into());
    set("HF_HUB_OFFLINE", "1".into());
    // No login is given, and none that may come with the image is used.
    set("HF_TOKEN_PATH", "/nonexistent".into());
    set("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1".into());
    // The checkpoint is mounted read-only, so code that comes with a checkpoint is unpacked elsewhere.
    set("HF_MODULES_CACHE", "/tmp/hf-modules".into());
    set("VLLM_NO_USAGE_STATS", "1".into());
    set("DO_NOT_TRACK", "1".into());
    let timeout = plan.ready_timeout_s.to_string();
    set("VLLM_ENGINE_READY_TIMEOUT_S", timeout);
    if let Some(address) = fabric::address(plan.network.as_ref(), rank) {
        // Without it the engine announces the address of the default route, which may be Wi-Fi.
        set("VLLM_HOST_IP", address);
    }
    env.extend(fabric::environment(plan.network.as_ref(), rank));
    env.extend(plan.env.iter().cloned());
    env
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{Artifact, Selection};
    use crate::launch::samples;
    use crate::machine::Facts;
    use crate::node::{FetchReceipt, FetchedSnapshot, GraftReceipt};

    /// The proposed recipe without its graft, with a draft and a tokenizer of their own.
    fn with_others() -> LaunchPlan {
        let mut plan = samples::plan(1, None);
        plan.graft = None;
        for (role, repo) in [
            (ArtifactRole::Tokenizer, "o/tokenizer"),
            (ArtifactRole::Draft, "o/draft"),
        ] {
            plan.artifacts.push(Artifact {
                role,
                repo: repo.into(),
                revision: "main".into(),
                files: Selection::default(),
            });
        }
        plan
    }

    #[test]
    fn a_draft_and_a_tokenizer_of_their_own_are_named_where_the_container_sees_them() {
        let plan = with_others();
        let there = |name: &str| FetchedSnapshot {
            commit: "c".into(),
            snapshot: format!("/h/hub/{name}/snapshots/c"),
            files: 1,
            bytes: 1,
        };
        let fetched = FetchReceipt {
            first: there("served"),
            others: vec![there("tokenizer"), there("draft")],
            fetched: 3,
            made: Vec::new(),
        };
        let facts = Facts {
            hf_home: "/h".into(),
            ..Facts::default()
        };
        let found = OnDisk {
            facts: &facts,
            snapshot: &fetched.first.snapshot,
            draft: plan.snapshot_of(ArtifactRole::Draft, &fetched),
            tokenizer: plan.snapshot_of(ArtifactRole::Tokenizer, &fetched),
            graft: None,
            shared_store: false,
        };
        let words = |variant: &Variant| {
            let spec = container(&plan, variant, 0, &found).expect("all lies in the cache");
            spec.command.join(" ")
        };
        let drafting = words(plan.last().expect("it ends in MTP"));
        let home = "/root/.cache/huggingface/hub";
        assert!(
            drafting.starts_with(&format!("{home}/served/snapshots/c ")),
            "{drafting}"
        );
        assert!(
            drafting.contains(&format!("--tokenizer {home}/tokenizer/snapshots/c ")),
            "{drafting}"
        );
        assert!(
            drafting.contains(&format!(r#""model":"{home}/draft/snapshots/c""#)),
            "{drafting}"
        );
        let plain = plan.variants.iter().find(|v| v.drafting.is_none());
        let plain = words(plain.expect("it begins plain"));
        assert!(
            plain.contains("/tokenizer") && !plain.contains("/draft"),
            "{plain}"
        );
        let told = shown(&plan, plan.last().expect("it ends in MTP"));
        assert!(
            told.contains("--tokenizer TOKENIZER") && told.contains("DRAFT"),
            "{told}"
        );
    }

    #[test]
    fn repositories_on_another_disk_are_where_the_container_looks_for_them() {
        let facts = Facts {
            hf_home: "/h".into(),
            hub: Some("/mnt/disk/models".into()),
            ..Facts::default()
        };
        let snapshot = "/mnt/disk/models/models--o--n/snapshots/c";
        let found = OnDisk {
            shared_store: true,
            ..samples::on_disk(&facts, snapshot)
        };
        let plan = samples::plan(1, None);
        let plain = plan.variants.iter().find(|v| v.drafting.is_none());
        let spec = container(&plan, plain.expect("it begins plain"), 0, &found).expect("it is");
        let given = spec.mounts.iter();
        let given: Vec<[&str; 2]> = given.map(|m| [&*m.source, &*m.target]).collect();
        let inside = |rest: &str| format!("{HF_HOME}/hub/{rest}");
        let (repo, store) = (inside("models--o--n"), inside("blobs"));
        assert_eq!(
            given,
            [
                ["/mnt/disk/models/models--o--n", &*repo],
                ["/mnt/disk/models/blobs", &*store],
            ]
        );
        assert_eq!(spec.command[0], format!("{repo}/snapshots/c"));
    }

    #[test]
    fn only_the_folders_of_what_is_served_are_given_and_no_login() {
        let plan = samples::plan(1, None);
        let facts = Facts {
            hf_home: "/h".into(),
            ..Facts::default()
        };
        let graft = |kind, path: &str| GraftReceipt {
            kind,
            path: path.into(),
            tensors: 1,
            tensor_bytes: 1,
            fetched: 1,
            written: Vec::new(),
            patch: None,
        };
        let overlay = graft(GraftKind::Overlay, "/h/tandem/o--n/c-mtp");
        let draft = graft(GraftKind::Draft, "/h/tandem/o--n/c-draft");
        let own = "/h/hub/models--o--n";
        let cases = [
            (None, None, false, vec![own]),
            (
                None,
                Some("/h/hub/models--o--n/snapshots/d"),
                false,
                vec![own],
            ),
            (
                None,
                Some("/h/hub/models--o--t/snapshots/d"),
                true,
                vec![own, "/h/hub/models--o--t", "/h/hub/blobs"],
            ),
            (Some(&overlay), None, false, vec!["/h/tandem/o--n/c-mtp"]),
            (
                Some(&draft),
                None,
                false,
                vec![own, "/h/tandem/o--n/c-draft"],
            ),
        ];
        for (graft, tokenizer, shared_store, expected) in cases {
            let found = OnDisk {
                facts: &facts,
                snapshot: "/h/hub/models--o--n/snapshots/c",
                draft: None,
                tokenizer,
                graft,
                shared_store,
            };
            let variant = plan.last().expect("it has one");
            let spec = container(&plan, variant, 0, &found).expect("all lies in the cache");
            let sources: Vec<&str> = spec.mounts.iter().map(|m| m.source.as_str()).collect();
            assert_eq!(sources, expected);
            for mount in &spec.mounts {
                assert!(mount.read_only);
                assert_eq!(mount.target, mount.source.replacen("/h", HF_HOME, 1));
            }
            let has =
                |name: &str, value: &str| spec.env.contains(&(name.to_owned(), value.to_owned()));
            assert!(has("HF_TOKEN_PATH", "/nonexistent") && has("HF_HUB_OFFLINE", "1"));
            assert!(has("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"));
        }
    }

    #[test]
    fn the_head_alone_has_an_api_and_it_asks_for_a_key() {
        let link = samples::link();
        let plan = samples::plan(2, Some(&link));
        let facts = Facts {
            hf_home: "/h".into(),
            ..Facts::default()
        };
        let found = samples::on_disk(&facts, "/h/hub/models--o--n/snapshots/c");
        let of = |rank| container(&plan, &plan.variants[0], rank, &found).expect("it can be");
        assert_eq!(of(0).key_variable.as_deref(), Some("VLLM_API_KEY"));
        assert_eq!(of(1).key_variable, None);
        let words = of(0).command.join(" ");
        assert!(words.contains("--host 127.0.0.1") && words.contains("--allowed-origins []"));
    }
}
