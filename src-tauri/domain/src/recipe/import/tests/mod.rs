//! Each form with a recipe of our own.

mod exported;
mod hostile;

use super::*;
use crate::recipe::Recipe;

fn read(text: &str) -> ImportedRecipe {
    import(text).unwrap_or_else(|p| panic!("{p}"))
}

/// The fates of an item's lines.
fn fates(imported: &ImportedRecipe, item: &str) -> Vec<ImportFate> {
    let of = imported.lines().iter().filter(|l| l.item == item);
    of.map(|l| l.fate).collect()
}

fn words(args: &[crate::recipe::Arg]) -> Vec<String> {
    args.iter().map(|a| a.words.join(" ")).collect()
}

fn recipe(imported: &ImportedRecipe) -> &Recipe {
    imported.shown().expect("it became a recipe")
}

#[test]
fn a_sparkrun_recipe_becomes_a_recipe_with_a_word_on_every_part() {
    let imported = read(include_str!("../samples/sparkrun.yaml"));
    assert_eq!(imported.format(), ImportFormat::Sparkrun);
    assert_eq!(imported.missing().count(), 0, "{:#?}", imported.lines());
    let one = recipe(&imported);
    assert_eq!(
        one.served().expect("it serves").revision,
        "0123456789abcdef0123456789abcdef01234567"
    );
    assert_eq!(
        (one.settings.context, one.settings.memory_share),
        (65_536, 0.8)
    );
    assert_eq!((one.nodes.least, one.nodes.most), (1, 2));
    assert_eq!(words(&one.args), ["--cudagraph-capture-sizes 1 2 4 8"]);
    let env: Vec<_> = one.env.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(env, ["EMPTY=", "TORCH_CUDA_ARCH_LIST=12.1a"]);
    assert!(one.can.trust_remote_code.is_some());
    let drafting = one.variants[1].drafting.as_ref().expect("it drafts");
    assert_eq!((drafting.method.as_str(), drafting.tokens), ("mtp", 2));
    for (item, fate) in [
        ("image", ImportFate::Recomputed),
        ("mods", ImportFate::Refused),
        ("executor_config.privileged", ImportFate::Refused),
        ("executor_config.shm_size", ImportFate::Recomputed),
        ("env HF_TOKEN", ImportFate::Refused),
        ("env NCCL_IB_HCA", ImportFate::Recomputed),
        ("defaults.unused", ImportFate::Refused),
        ("--port", ImportFate::Recomputed),
        ("--tensor-parallel-size", ImportFate::Recomputed),
        ("--max-model-len", ImportFate::Changed),
    ] {
        assert_eq!(fates(&imported, item), [fate], "{item}");
    }
}

#[test]
fn a_recipe_whose_image_and_files_are_not_there_is_shown_and_not_launched() {
    let imported = read(include_str!("../samples/eugr.yaml"));
    assert_eq!(imported.format(), ImportFormat::Eugr);
    let missing: Vec<&str> = imported.missing().map(|l| l.item.as_str()).collect();
    assert_eq!(missing, ["mods", "build_args", "image", "--chat-template"]);
    let one = recipe(&imported);
    assert_eq!(
        (one.nodes.least, one.nodes.most, one.settings.context),
        (2, 2, 32_768)
    );
    let drafting = one.variants[1].drafting.as_ref().expect("it drafts");
    assert_eq!(
        (drafting.tokens, drafting.more["moe_backend"].as_str()),
        (3, Some("triton"))
    );
    let hash = imported.hash();
    let problem = imported
        .clone()
        .confirmed(&hash)
        .expect_err("a mod has no counterpart");
    assert!(problem.cause.is_some_and(|c| c.contains("`mods`")));
    let other = imported
        .with_image("ghcr.io/example/engine:v3")
        .expect("it is a name");
    assert_eq!(recipe(&other).image.name, "ghcr.io/example/engine:v3");
    assert_eq!(
        other.missing().count(),
        3,
        "an image alone does not make it whole"
    );
    assert!(other.with_image("--privileged").is_err());
}

#[test]
fn the_commands_of_head_and_worker_are_one_and_a_container_is_ours() {
    let text = include_str!("../samples/nvidia.yaml");
    let imported = read(text);
    assert_eq!(imported.missing().count(), 0, "{:#?}", imported.lines());
    let one = recipe(&imported);
    assert_eq!((one.nodes.least, one.nodes.most), (2, 2));
    assert_eq!(one.image.name, "example/engine:v1");
    assert_eq!(words(&one.args), ["--max-num-seqs 4"]);
    assert_eq!(
        one.env.keys().collect::<Vec<_>>(),
        ["VLLM_FLOAT32_MATMUL_PRECISION"]
    );
    assert_eq!(fates(&imported, "--privileged"), [ImportFate::Refused]);
    assert_eq!(fates(&imported, "-v"), [ImportFate::Recomputed]);
    let newer = text
        .replace("schema_version: 3", "schema_version: 4")
        .replace("mtp: null", "min_vidmem_gb: 128");
    assert_eq!(recipe(&read(&newer)).args, one.args);
    let apart = text.replace("--max-num-seqs 4 --headless", "--max-num-seqs 8 --headless");
    assert!(import(&apart).is_err(), "head and worker differ");
    let env = text.replacen(
        "        vllm serve example",
        "        export A=1\n        vllm serve example",
        1,
    );
    assert_ne!(env, text);
    assert!(
        import(&env).is_err(),
        "the worker has a variable of its own"
    );
    let windows = text
        .replace("backend: vllm\n", "backend: llama-cpp\n")
        .replace("vllm serve", "llama-server.exe `");
    assert_eq!(fates(&read(&windows), "engine"), [ImportFate::Missing]);
    let other = read(&text.replace("dgx-spark-2gpu", "rtx-pro-2gpu"));
    assert_eq!(fates(&other, "hardware"), [ImportFate::Missing]);
}

#[test]
fn of_the_projects_parts_those_for_a_spark_are_chosen() {
    let imported = read(include_str!("../samples/project.yaml"));
    assert_eq!(imported.format(), ImportFormat::Project);
    assert_eq!(imported.missing().count(), 0, "{:#?}", imported.lines());
    let one = recipe(&imported);
    assert_eq!(
        one.served().expect("it serves").repo,
        "example/Flash-Chat-NVFP4"
    );
    assert_eq!((one.nodes.least, one.nodes.most), (2, 2));
    assert_eq!(one.image.name, "example/engine:v2");
    assert_eq!(
        words(&one.args),
        [
            "--kv-cache-dtype fp8",
            "--moe-backend marlin",
            "--enable-auto-tool-choice",
            "--tool-call-parser hermes"
        ]
    );
    assert_eq!(one.variants.len(), 2);
    assert_eq!(fates(&imported, "dependencies"), [ImportFate::Refused]);
    assert_eq!(
        fates(&imported, "features.text_only"),
        [ImportFate::Refused]
    );
}

#[test]
fn a_pasted_command_becomes_a_recipe_and_its_logins_are_not_shown() {
    let imported = read(include_str!("../samples/command.txt"));
    assert_eq!(imported.missing().count(), 0, "{:#?}", imported.lines());
    let one = recipe(&imported);
    assert_eq!(one.image.name, "vllm/vllm-openai:v0.30.0");
    assert_eq!(one.served().expect("it serves").repo, "example/Small-Chat");
    assert_eq!(
        (one.settings.context, one.settings.served_name.as_str()),
        (8192, "chat")
    );
    assert_eq!(words(&one.args), [r#"--limit-mm-per-prompt {"image":2}"#]);
    assert_eq!(fates(&imported, "--swap-space"), [ImportFate::Refused]);
    let told = format!("{:?}", imported.lines());
    assert!(
        !told.contains("sesame") && !told.contains("hf_not"),
        "{told}"
    );
    let plain = read("vllm serve example/m \\\n  --port 1 # here\n");
    assert_eq!(fates(&plain, "image"), [ImportFate::Missing]);
    let shell = read("docker run x/vllm-y:1 bash -lc 'exec vllm serve example/m --max-num-seqs 2'");
    assert_eq!(words(&recipe(&shell).args), ["--max-num-seqs 2"]);
}

#[test]
fn what_lies_beside_recipes_is_said_to_be_none() {
    for text in [
        "registries:\n  - name: a\n",
        "schema_version: 1\nrecipe_sha256: x\nprofiles: []\nharness: {name: a}\n",
        "framework: a\nargs: {x: 1}\n",
        "name: a\ndeploy_type: multi_node\n",
        "id: a\ndisplay_name: b\nbuilder: c\n",
        "services: {a: {image: b}}\n",
        "hello: world\n",
        "hello",
        "",
        "echo hello",
        "docker compose up",
        "model: a/b\nruntime: atlas\ncontainer: c/d\n",
        "schema_version: 9\nserve: {command: x}\nhardware: dgx-spark\nbackend: vllm\n",
    ] {
        let problem = import(text).expect_err(text);
        assert!(problem.cause.is_some() && problem.fix.is_some(), "{text}");
    }
}

#[test]
fn other_engines_and_more_machines_are_shown_for_reference() {
    for text in [
        "model: a/b\nruntime: sglang\ncontainer: c/d:1\ncommand: sglang serve --model-path {model} --api-key k3y\n",
        "docker run c/d:1 python3 -m sglang.launch_server --model a/b --api-key k3y",
        "llama-server -hf a/b --api-key k3y",
        "model: a/b\nruntime: vllm\nmin_nodes: 3\ncontainer: c/d:1\ncommand: vllm serve a/b --api-key k3y\n",
        "docker run c/d:1 vllm serve a/b -tp 8 --api-key k3y",
    ] {
        let imported = read(text);
        assert!(imported.missing().next().is_some(), "{text}");
        let hash = imported.hash();
        assert!(!format!("{imported:?}").contains("k3y"), "{text}");
        assert!(imported.confirmed(&hash).is_err(), "{text}");
    }
}

#[test]
fn a_recipe_is_given_out_for_what_was_shown_and_for_nothing_else() {
    let text = include_str!("../samples/sparkrun.yaml");
    let shown = read(text);
    let hash = shown.hash();
    assert_eq!(read(text).hash(), hash, "the same text is the same import");
    let launched = read(text).confirmed(&hash).expect("it is what was shown");
    assert_eq!(Some(&launched), shown.shown());
    assert!(
        launched.id.0.starts_with("imported-"),
        "it is never taken for one of ours"
    );
    for other in [
        text.replace("nightly", "other"),
        text.replace("12.1a", "12.1b"),
        text.replace("--trust-remote-code", "--enforce-eager"),
    ] {
        assert!(read(&other).confirmed(&hash).is_err());
    }
    let stored = serde_json::to_string(&shown).expect("plain data");
    let back: ImportedRecipe = serde_json::from_str(&stored).expect("it is read again");
    assert_eq!(back.hash(), hash);
}
