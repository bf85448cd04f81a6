//! What is hostile becomes no launch.

use super::*;

/// What would be executed of a text: the image and the words, once a person has confirmed them.
fn launched(text: &str) -> Option<Recipe> {
    let imported = import(text).ok()?;
    let hash = imported.hash();
    imported.confirmed(&hash).ok()
}

#[test]
fn nothing_hostile_is_ever_launched() {
    let file = |key: &str, value: &str| {
        format!(
            "model: a/b\nruntime: vllm\ncontainer: c/d:1\n{key}: {value}\ncommand: vllm serve {{model}} --port {{p}}\ndefaults: {{p: 1}}\n"
        )
    };
    let with = |command: &str| {
        format!(
            "model: a/b\nruntime: vllm\ncontainer: c/d:1\ndefaults: {{p: 1}}\ncommand: |\n  {command}\n"
        )
    };
    let mut texts: Vec<String> = [
        "vllm serve {model} $(id)",
        "vllm serve {model}; id",
        "vllm serve {model} && id",
        "vllm serve {model} | sh",
        "vllm serve {model} `id`",
        "vllm serve {model} > /etc/passwd",
        "vllm serve {model} --x \"$(id)\"",
        "vllm serve {nothing}",
        "curl x | sh",
        "bash serve.sh",
        "exec bash /opt/serve.sh",
        "rm -rf /\n  vllm serve {model}",
        "pip install x\n  vllm serve {model}",
        "vllm serve {model} --chat-template ../../etc/passwd",
        "vllm serve --model --trust-remote-code",
        "vllm serve {model} --worker-cls os.system",
        "vllm bench serve",
        "vllm serve {model} --config /tmp/x.yaml",
        "vllm serve {model} --middleware os.system",
        "vllm serve {model} --speculative-config '{\"method\":\"eagle\",\"model\":\"/tmp/x\"}'",
        "vllm serve {model} --hf-overrides not-json",
        "vllm serve /tmp/model",
        "vllm serve ../../x",
        "vllm serve {model} --max-num-seqs ${N}",
        "LD_PRELOAD=/tmp/x.so vllm serve {model}",
        "vllm serve {model} --gpu-memory-utilization 1e309",
        "vllm serve {model} --max-model-len -5",
        "vllm serve {model} extra words",
        "env -i vllm serve {model}",
        "if true",
    ]
    .map(with)
    .to_vec();
    texts.extend([
        file("mods", "[x]"), file("pre_exec", "[id]"), file("post_exec", "[id]"), file("post_commands", "[id]"),
        file("build_args", "[--x]"), file("builder", "eugr"), file("executor_config", "{entrypoint: /bin/sh}"),
        file("executor_config", "{volumes: [/:/host]}"), file("on_start", "id"), file("env", "{PATH: /tmp}"),
        file("env", "{A: {b: c}}"), file("env", "{A: \"x\\ny\"}"), file("env", "{\"A B\": x}"), file("env", "{A: $(id)}"),
        file("model_revision", "../../x"),
        file("distribution_config", "{models: {entries: [{name: ../x}]}}"),
        file("container", "--privileged"), file("container", "c/d:1 sh"), file("container", "local-image"),
        "model: a/b\nruntime: vllm\ncontainer: c/d@sh:1\ncommand: vllm serve a/b\n".into(),
        "model: a/b\nruntime: vllm\ncontainer: c/d:1\ncommand: [vllm, serve, a/b]\n".into(),
        "model: a/b\nruntime: vllm\ncontainer: c/d:1\ncommand: !!python/object/apply:os.system [id]\n".into(),
        "model: {model_id: a/b, docker_image: c/d, base_args: ['--max-num-seqs', \"1\\u202e\"]}\n".into(),
        "model: {model_id: a/b, docker_image: c/d, base_args: ['--scheduler-cls', 'os.system']}\n".into(),
        "model: {model_id: a/b, docker_image: c/d, base_env: {A: \"1\\u200b\"}}\n".into(),
        "docker run -v /:/host c/d:1 vllm serve a/b".into(),
        "docker run -v /var/run/docker.sock:/root/.cache/huggingface c/d:1 vllm serve a/b".into(),
        "docker run -v /etc:/root/.cache/huggingface/../../x c/d:1 vllm serve a/b".into(),
        "docker run --env-file x c/d:1 vllm serve a/b".into(),
        "docker run --entrypoint python3 c/d:1 -c 'import os'".into(),
        "docker run c/d:1 bash -c 'vllm serve a/b; id'".into(),
        "docker run c/d:1 bash start.sh".into(),
        "docker run --new-option x c/d:1 vllm serve a/b".into(),
        "docker run c/d:1".into(),
        "docker exec x vllm serve a/b".into(),
        "ssh host vllm serve a/b".into(),
        "docker run c/d:1 vllm serve a/b\ndocker run c/d:1 vllm serve a/c".into(),
    ]);
    for text in &texts {
        assert_eq!(launched(text), None, "{text}");
    }
    assert!(
        launched(&with("vllm serve {model} --port {p}")).is_some(),
        "the frame itself can be launched"
    );
    assert!(launched("docker run c/d:1 vllm serve a/b").is_some());
}

#[test]
fn no_value_becomes_an_argument_of_its_own() {
    for value in [
        "8 --trust-remote-code",
        "8\\n--x",
        "'8' '--x'",
        "8;id",
        "{q}",
        "--trust-remote-code",
    ] {
        let text = format!(
            "model: a/b\nruntime: vllm\ncontainer: c/d:1\ndefaults: {{p: {value:?}, q: 1}}\ncommand: vllm serve {{model}} --max-num-seqs {{p}}\n"
        );
        let Ok(imported) = import(&text) else {
            continue;
        };
        let Some(one) = imported.shown() else {
            continue;
        };
        assert!(
            one.can.trust_remote_code.is_none() || imported.missing().next().is_some(),
            "{value}"
        );
        for arg in &one.args {
            assert_eq!(arg.words.len(), 2, "{value}: {arg:?}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_import_panic(text in "[ -~\n\t]{0,300}") {
        let _ = import(&text);
        let _ = import(&format!("docker run {text}"));
        let _ = import(&format!("model: a/b\ncontainer: c/d:1\ncommand: |\n  vllm serve a/b {}", text.replace('\n', "\n  ")));
    }
}
