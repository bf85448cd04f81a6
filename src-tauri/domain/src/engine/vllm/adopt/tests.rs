use super::*;
use crate::recipe::import::report::ImportLine;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn custom() -> Target {
    Target {
        releases: Releases::any(),
        upstream: false,
    }
}

fn taken(text: &str) -> (Adopted, Vec<ImportLine>) {
    let mut report = Report::default();
    let adopted = adopt(&custom(), &words(text), &mut report);
    (adopted, report.0)
}

fn fates(lines: &[ImportLine]) -> Vec<(&str, ImportFate)> {
    lines.iter().map(|l| (l.item.as_str(), l.fate)).collect()
}

#[test]
fn what_a_launch_works_out_itself_is_not_taken_over() {
    let (adopted, lines) = taken(
        "o/n -tp 2 --nnodes 2 --node-rank 1 --master-addr 10.0.0.1 --headless --host 0.0.0.0 --port 9 \
         --distributed-executor-backend ray --allowed-origins [\"*\"]",
    );
    assert!(lines[1..].iter().all(|l| l.fate == Recomputed), "{lines:?}");
    assert_eq!(
        (adopted.args.len(), adopted.tensor, adopted.machines),
        (0, Some(2), Some(2))
    );
}

#[test]
fn an_argument_cut_short_is_judged_by_its_full_name() {
    let (adopted, lines) = taken("o/n --allowed-orig [\"*\"] --api-k secret --middlew x.y");
    assert!(adopted.args.is_empty());
    assert_eq!(
        fates(&lines[1..]),
        [
            ("--allowed-origins", Recomputed),
            ("--api-key", Refused),
            ("--middleware", Missing)
        ]
    );
    assert!(
        lines.iter().all(|l| !l.given.contains("secret")),
        "{lines:?}"
    );
}

#[test]
fn settings_of_every_recipe_are_read_as_numbers() {
    let (adopted, _) =
        taken("o/n --max-model-len 64k --gpu-memory-utilization 0.726 --served-model-name a b");
    assert_eq!(
        (adopted.context, adopted.memory_share),
        (Some(64_000), Some(0.726))
    );
    assert_eq!(adopted.served_name.as_deref(), Some("a"));
    assert_eq!(taken("o/n --max-model-len 64K").0.context, Some(65_536));
    let (auto, lines) = taken("o/n --max-model-len auto");
    assert_eq!((auto.context, lines[1].fate), (None, Recomputed));
    for (text, fate) in [
        ("--gpu-memory-utilization 108", Missing),
        ("--gpu-memory-utilization nan", Missing),
        ("--gpu-memory-utilization 0.99", Changed),
        ("--max-model-len 99999999999999999999999", Missing),
        ("--max-model-len 1500000", Changed),
        ("--gpu-memory-utilization-gb 108", Missing),
    ] {
        assert_eq!(taken(&format!("o/n {text}")).1[1].fate, fate, "{text}");
    }
}

#[test]
fn drafting_is_one_object_however_it_is_written() {
    let of = |text: &str| taken(&format!("o/n {text}")).0;
    let mtp = Some(Drafting {
        method: "mtp".into(),
        tokens: 2,
        most: 2,
        folder: None,
        more: Default::default(),
    });
    for text in [
        r#"--speculative-config {"method":"mtp","num_speculative_tokens":2}"#,
        "--speculative-config.method mtp --speculative_config.num_speculative_tokens 2",
        "--spec-method mtp --spec-tokens 2",
    ] {
        assert_eq!(of(text).drafting, mtp, "{text}");
    }
    let more = of(
        r#"-sc {"method":"dflash","model":"a/b","revision":"c1","num_speculative_tokens":7,"x":1}"#,
    );
    let drafting = more.drafting.expect("method and number are there");
    assert_eq!(
        (
            drafting.tokens,
            drafting.more.len(),
            drafting.more["x"].as_u64()
        ),
        (7, 1, Some(1))
    );
    assert_eq!(
        more.draft,
        Some(Repo {
            name: "a/b".into(),
            revision: "c1".into()
        })
    );
    let (none, lines) =
        taken(r#"o/n -sc {"method":"eagle","model":"/home/x/draft","num_speculative_tokens":1}"#);
    assert_eq!(
        (none.drafting, none.draft, lines[1].fate),
        (None, None, Missing)
    );
}

#[test]
fn a_model_is_a_repository_however_it_is_named() {
    let commit = "a".repeat(40);
    let there = Some(Repo {
        name: "o/n".into(),
        revision: commit.clone(),
    });
    let cache = format!("/root/.cache/huggingface/hub/models--o--n/snapshots/{commit}");
    assert_eq!(repo_of(&cache), there);
    assert_eq!(
        repo_of(&format!("https://huggingface.co/o/n/tree/{commit}")),
        there
    );
    for none in [
        "/models/x",
        "n",
        "o/n:Q4",
        "--trust-remote-code",
        "../x",
        "/x/models--o--../snapshots/..",
        "http://h/o/n",
    ] {
        assert_eq!(repo_of(none), None, "{none}");
    }
}

#[test]
fn files_and_code_that_nobody_was_shown_stand_in_the_way() {
    for text in [
        "--chat-template unsloth.jinja",
        "--config more.yaml",
        "--worker-cls x.Y",
        "--tool-parser-plugin p.py",
        "--model --trust-remote-code",
        "--pipeline-parallel-size 3",
        "--data-parallel-size 2",
        "--enable-",
        "--task embed",
    ] {
        let (_, lines) = taken(&format!("o/n {text}"));
        assert!(lines.iter().any(|l| l.fate == Missing), "{text}: {lines:?}");
    }
}

#[test]
fn a_release_that_is_known_decides() {
    let target = Target {
        releases: Releases::of("0.28.0").expect("it is one"),
        upstream: true,
    };
    let fate = |text: &str| {
        let mut report = Report::default();
        adopt(&target, &words(text), &mut report);
        report.0.last().map(|l| l.fate)
    };
    assert_eq!(fate("o/n --mxfp4-backend x"), Some(Missing));
    assert_eq!(fate("o/n --moe-backend b12x"), Some(Missing));
    assert_eq!(fate("o/n --moe-backend marlin"), Some(Kept));
    assert_eq!(variable(&target, "VLLM_NVFP4_GEMM_BACKEND", "x").0, Refused);
    assert_eq!(variable(&custom(), "VLLM_NVFP4_GEMM_BACKEND", "x").0, Kept);
}

#[test]
fn no_variable_brings_a_login_a_program_or_somebodys_address() {
    for (name, value, fate) in [
        ("HF_TOKEN", "hf_x", Refused),
        ("VLLM_API_KEY", "x", Refused),
        ("LD_PRELOAD", "/tmp/x.so", Missing),
        ("PYTHONPATH", "/x", Missing),
        ("https_proxy", "http://x", Missing),
        ("VLLM_PLUGINS", "x", Missing),
        ("X", "$(id)", Missing),
        ("X", "${HOME}", Missing),
        ("X Y", "1", Missing),
        ("X", "a\nb", Missing),
        ("X", "tcp://192.168.1.4:29501", Refused),
        ("NCCL_IB_HCA", "mlx5_0", Recomputed),
        ("TOKENIZERS_PARALLELISM", "false", Kept),
        ("TORCH_CUDA_ARCH_LIST", "12.1a", Kept),
        ("EMPTY", "", Kept),
    ] {
        assert_eq!(variable(&custom(), name, value).0, fate, "{name}={value}");
    }
}

#[test]
fn two_ranks_of_one_launch_are_told_from_two_launches() {
    let head = words("o/n --port 1 --node-rank 0 -tp 2");
    assert!(differ_in_rank_alone(
        &head,
        &words("o/n -tp 2 --node-rank 1 --headless")
    ));
    assert!(!differ_in_rank_alone(
        &head,
        &words("o/n -tp 2 --node-rank 1 --max-num-seqs 2")
    ));
}
