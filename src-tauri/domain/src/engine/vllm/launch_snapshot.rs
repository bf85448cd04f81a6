//! Every launch of Step-3.7-Flash, word for word: one and two machines, plain and each way to MTP.
//!
//! `UPDATE_EXPECT=1 cargo test -p tandem-domain` writes the file again. A difference is a change of what is
//! started on people's machines; say its reason in the commit.

use std::fmt::Write as _;

use expect_test::expect_file;

use crate::container::ContainerSpec;
use crate::container::command::as_command;
use crate::container::fabric;
use crate::engine::{self, OnDisk};
use crate::graft::patch::{PatchFile, PatchKind};
use crate::launch::{self, LaunchInput};
use crate::machine::Facts;
use crate::node::{FetchLimits, GraftKind, GraftReceipt};
use crate::recipe::{Choices, RecipeId, VariantId, catalog};

const HOME: &str = "/home/nvidia/.cache/huggingface";
const SNAPSHOT: &str = "hub/models--stepfun-ai--Step-3.7-Flash-NVFP4/snapshots/4275532ffd9a9496ff36b7a2dc4a9db1048da438";

fn graft(kind: GraftKind, patched: bool) -> GraftReceipt {
    let path = match kind {
        GraftKind::BuiltIn => SNAPSHOT.to_owned(),
        GraftKind::Overlay => "tandem/stepfun-ai--Step-3.7-Flash-NVFP4/4275532ffd9a-mtp".to_owned(),
        GraftKind::Draft => "tandem/stepfun-ai--Step-3.7-Flash-NVFP4/4275532ffd9a-draft".to_owned(),
    };
    GraftReceipt {
        kind,
        path: format!("{HOME}/{path}"),
        tensors: 51,
        tensor_bytes: 1,
        fetched: 1,
        written: Vec::new(),
        patch: patched.then(|| PatchFile {
            source: format!("{HOME}/tandem/mtp/0123456789ab-4275532ffd9a-proposed/step3p5_mtp.py"),
            target:
                "/usr/local/lib/python3.12/dist-packages/vllm/model_executor/models/step3p5_mtp.py"
                    .into(),
            kind: PatchKind::Head,
            before: "1".into(),
            after: "2".into(),
        }),
    }
}

fn launched(machines: usize, graft: Option<GraftReceipt>) -> Vec<ContainerSpec> {
    let facts = Facts {
        hf_home: HOME.into(),
        ..Facts::default()
    };
    let recipe = catalog::find(&RecipeId("step-3.7-flash-nvfp4".into())).expect("it is built in");
    let link = (machines == 2).then(launch::samples::link);
    let plan = launch::resolve(
        recipe,
        &LaunchInput {
            variant: &VariantId("mtp".into()),
            choices: &Choices::default(),
            machines: &[],
            ranks: machines,
            network: link.as_ref(),
            hub_endpoint: "https://huggingface.co",
            download: &FetchLimits::default(),
        },
    )
    .launch;
    let id = if graft.is_some() { "mtp" } else { "plain" };
    let variant = plan
        .variant(&VariantId(id.into()))
        .expect("the plan has both");
    let snapshot = format!("{HOME}/{SNAPSHOT}");
    let found = OnDisk {
        facts: &facts,
        snapshot: &snapshot,
        draft: None,
        tokenizer: None,
        graft: graft.as_ref(),
        shared_store: false,
    };
    let of_rank = |rank| engine::of(plan.engine).container(&plan, variant, rank, &found);
    let specs: Result<Vec<_>, _> = (0..machines).map(of_rank).collect();
    let mut specs = specs.expect("everything lies in the cache");
    fabric::label(&mut specs, "sha256:0123456789abcdef");
    specs
}

fn told(spec: &ContainerSpec) -> String {
    let mut text = String::new();
    let entry = spec.entrypoint.iter().flatten();
    for word in entry.chain(&spec.command) {
        let _ = writeln!(text, "  argv  {word}");
    }
    for (name, value) in &spec.env {
        let _ = writeln!(text, "  env   {name}={value}");
    }
    for mount in &spec.mounts {
        let how = if mount.read_only { "ro" } else { "rw" };
        let _ = writeln!(text, "  mount {} at {} {how}", mount.source, mount.target);
    }
    let _ = writeln!(
        text,
        "  with  {} {} gpus={} net={} shm={:?} rdma={} devices={:?} capabilities={:?} key={:?}",
        spec.name,
        spec.image,
        spec.gpus,
        spec.host_network,
        spec.shm_bytes,
        spec.rdma_limits,
        spec.devices,
        spec.capabilities,
        spec.key_variable
    );
    // The label holds a hash of the whole, which the lines above say already.
    assert_eq!(spec.labels.len(), 1, "{:?}", spec.labels);
    assert!(as_command(spec).starts_with("docker run -d --name "));
    text
}

#[test]
fn step_3_7_is_launched_with_these_words() {
    let ways: [(&str, Option<GraftReceipt>); 5] = [
        ("plain", None),
        ("mtp built in", Some(graft(GraftKind::BuiltIn, false))),
        (
            "mtp built in, file replaced",
            Some(graft(GraftKind::BuiltIn, true)),
        ),
        ("mtp overlay", Some(graft(GraftKind::Overlay, false))),
        ("mtp draft", Some(graft(GraftKind::Draft, false))),
    ];
    let mut text = String::new();
    for machines in [1, 2] {
        for (way, graft) in &ways {
            for (rank, spec) in launched(machines, graft.clone()).iter().enumerate() {
                let _ = writeln!(text, "# {way}, {machines} machines, rank {rank}");
                text.push_str(&told(spec));
            }
        }
    }
    expect_file!["../../../snapshots/step-3.7-launches.txt"].assert_eq(&text);
}
