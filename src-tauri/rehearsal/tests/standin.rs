//! The stand-in for vLLM as a process: it starts, serves, fails and hangs as the real one does.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_adapters::inference::{HttpModelApi, tcp};
use tandem_domain::chat::ChatRequest;
use tandem_domain::ports::ModelApi;
use tandem_rehearsal::checkpoint::{
    BF16_COMMIT, BF16_REPO, NVFP4_COMMIT, NVFP4_OLD_COMMIT, NVFP4_REPO, shape, write, write_all,
};
use tokio::process::{Child, Command};

const MTP: &str = r#"{"method":"mtp","num_speculative_tokens":3}"#;

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("address").port()
}

struct Bed {
    dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        write_all(dir.path()).expect("checkpoints");
        Self { dir }
    }

    fn model(&self, repo: &str, commit: &str) -> PathBuf {
        self.dir.path().join(repo).join(commit)
    }

    /// A copy that may be damaged.
    fn copy(&self, repo: &str, commit: &str) -> PathBuf {
        let copy = self.dir.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        std::fs::create_dir(&copy).expect("folder");
        for entry in std::fs::read_dir(self.model(repo, commit)).expect("files") {
            let path = entry.expect("file").path();
            std::fs::copy(&path, copy.join(path.file_name().expect("name"))).expect("copied");
        }
        copy
    }
}

fn command(model: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem-standin"));
    command
        .arg("serve")
        .arg(model)
        .args(["--host", "127.0.0.1", "--max-model-len", "8192"])
        .args(args);
    command
        .env("TANDEM_STANDIN_PACE", "8")
        .kill_on_drop(true)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

async fn fails(model: &Path, args: &[&str]) -> String {
    let port = free_port().to_string();
    let out = tokio::time::timeout(
        Duration::from_secs(20),
        command(model, &[&["--port", port.as_str()], args].concat()).output(),
    )
    .await
    .expect("it ends by itself")
    .expect("it starts");
    assert!(
        !out.status.success(),
        "it fails: {}",
        String::from_utf8_lossy(&out.stdout)
    );
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

/// Reads a process's lines until one contains `text`.
async fn until(child: &mut Child, text: &str) -> Vec<String> {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen = Vec::new();
    let reading = async {
        while let Ok(Some(line)) = lines.next_line().await {
            let found = line.contains(text);
            seen.push(line);
            if found {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .unwrap_or(false);
    assert!(found, "no line with {text:?} in {seen:#?}");
    // Somebody must go on reading, or the server would block on its next line.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    seen
}

fn metric(text: &str, name: &str) -> f64 {
    let start = format!("vllm:{name}{{");
    text.lines()
        .filter(|l| l.starts_with(&start))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

struct Pair {
    head: Child,
    worker: Child,
    port: u16,
    head_lines: Vec<String>,
}

async fn pair(model: &Path, extra: &[&str]) -> Pair {
    let (port, master) = (free_port(), free_port().to_string());
    let (api, common) = (
        port.to_string(),
        [
            "--trust-remote-code",
            "--tensor-parallel-size",
            "2",
            "--nnodes",
            "2",
            "--master-addr",
            "127.0.0.1",
            "--master-port",
            &master,
        ],
    );
    let mut head = command(
        model,
        &[
            &common[..],
            extra,
            &[
                "--node-rank",
                "0",
                "--port",
                &api,
                "--served-model-name",
                "step",
            ],
        ]
        .concat(),
    )
    .spawn()
    .expect("head");
    let mut worker = command(
        model,
        &[&common[..], extra, &["--node-rank", "1", "--headless"]].concat(),
    )
    .spawn()
    .expect("worker");
    let (head_lines, worker_lines) = tokio::join!(
        until(&mut head, "Application startup complete."),
        until(&mut worker, "Graph capturing finished")
    );
    assert!(
        worker_lines
            .iter()
            .all(|l| !l.contains("checkpoint shards")),
        "the bar is the head's alone"
    );
    Pair {
        head,
        worker,
        port,
        head_lines,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ranks_serve_with_mtp_and_count_what_they_stream() {
    let bed = Bed::new();
    let model = bed.model(NVFP4_REPO, NVFP4_COMMIT);
    let pair = pair(
        &model,
        &["--quantization", "modelopt", "--speculative-config", MTP],
    )
    .await;
    for text in [
        "simulated",
        "Resolved architecture: Step3p5MTP",
        "world_size=2 rank=0",
        "5/5",
        "Loading drafter model",
    ] {
        assert!(
            pair.head_lines.iter().any(|l| l.contains(text)),
            "{text:?} is in {:#?}",
            pair.head_lines
        );
    }
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", pair.port)));
    let models = api.models().await.expect("models");
    assert_eq!(
        (models[0].id.as_str(), models[0].max_model_len),
        ("step", Some(8192))
    );
    let mut request = ChatRequest::ask("step", "What is the capital of France?");
    request.max_tokens = 60;
    let (mut content, mut reasoning, mut chunks) = (String::new(), String::new(), 0);
    let finish = api
        .chat(&request, &mut |delta| {
            chunks += 1;
            content.push_str(&delta.content);
            reasoning.push_str(&delta.reasoning);
        })
        .await
        .expect("an answer");
    assert!(reasoning.contains("capital of France"), "{reasoning}");
    assert!(content.starts_with("Paris."), "{content}");
    assert_eq!(
        (finish.completion_tokens, finish.reason.as_str()),
        (Some(60), "length")
    );
    assert!(chunks < 50, "several tokens come in one chunk: {chunks}");
    let text = api.metrics().await.expect("metrics");
    let (drafts, drafted, accepted) = (
        metric(&text, "spec_decode_num_drafts_total"),
        metric(&text, "spec_decode_num_draft_tokens_total"),
        metric(&text, "spec_decode_num_accepted_tokens_total"),
    );
    assert_eq!(drafted, drafts * 3.0);
    assert_eq!(metric(&text, "generation_tokens_total"), 60.0);
    assert_eq!(
        1.0 + drafts + accepted,
        60.0,
        "one from the prefill, one a step, and the accepted ones"
    );
    assert_eq!(
        metric(&text, "spec_decode_num_accepted_tokens_per_pos_total"),
        accepted
    );
}

/// A draft as a checkpoint of its own.
fn draft(bed: &Bed, tensors: impl Fn(&str) -> bool) -> PathBuf {
    let folder = bed.dir.path().join("draft");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("folder");
    let source = bed.model(BF16_REPO, BF16_COMMIT);
    for name in ["config.json", "configuration_step3p7.py"] {
        std::fs::copy(source.join(name), folder.join(name)).expect("copied");
    }
    let mut all = shape::mtp(&shape::Widths::TINY);
    all.extend(shape::body(&shape::Widths::TINY, shape::Release::Bf16));
    all.retain(|t| tensors(&t.name));
    let map: serde_json::Map<String, Value> = all
        .iter()
        .map(|t| (t.name.clone(), "model.safetensors".into()))
        .collect();
    write::shard(&folder.join("model.safetensors"), all).expect("written");
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    std::fs::write(folder.join("model.safetensors.index.json"), index).expect("written");
    folder
}

fn of_draft(name: &str) -> bool {
    (45..48).any(|n| name.starts_with(&format!("model.layers.{n}.")))
        || name == "model.embed_tokens.weight"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_of_its_own_is_taken_and_looked_at() {
    let bed = Bed::new();
    // The revision without layers, its lists cut: the draft has all that drafting needs.
    let model = bed.model(NVFP4_REPO, NVFP4_OLD_COMMIT);
    let with = |folder: &Path| {
        json!({"method": "mtp", "model": folder, "num_speculative_tokens": 3}).to_string()
    };
    let folder = draft(&bed, of_draft);
    let pair = pair(&model, &["--speculative-config", &with(&folder)]).await;
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", pair.port)));
    let mut request = ChatRequest::ask("step", "What is the capital of France?");
    request.max_tokens = 20;
    api.chat(&request, &mut |_| {}).await.expect("an answer");
    let text = api.metrics().await.expect("metrics");
    assert!(metric(&text, "spec_decode_num_drafts_total") > 0.0);
    drop(pair);

    let trust = "--trust-remote-code";
    let expect = async |folder: &Path, words: &str| {
        let config = with(folder);
        let log = fails(&model, &[trust, "--speculative-config", &config]).await;
        assert!(log.contains(words), "{words:?} is in {log}");
    };
    let no_embedding = draft(&bed, |name| of_draft(name) && !name.contains("embed"));
    expect(
        &no_embedding,
        "Some parameters like model.embed_tokens.weight are not in the checkpoint",
    )
    .await;
    let no_head = draft(&bed, |name| {
        of_draft(name) && name != "model.layers.46.transformer.shared_head.output.weight"
    });
    expect(
        &no_head,
        "Some parameters like model.layers.46.shared_head.head.weight",
    )
    .await;
    let quantized = draft(&bed, of_draft);
    std::fs::copy(model.join("config.json"), quantized.join("config.json")).expect("copied");
    expect(&quantized, "IndexError: list index out of range").await;
    expect(Path::new("/no/such/draft"), "Repo id must be in the form").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_worker_hangs_requests_while_health_stays_good() {
    let bed = Bed::new();
    let mut pair = pair(&bed.model(NVFP4_REPO, NVFP4_OLD_COMMIT), &[]).await;
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", pair.port)));
    api.health().await.expect("healthy");
    pair.worker.kill().await.expect("killed");
    let request = ChatRequest::ask("step", "Hello");
    let hung = tokio::time::timeout(Duration::from_secs(2), api.chat(&request, &mut |_| {})).await;
    assert!(hung.is_err(), "no answer and no error: {hung:?}");
    api.health().await.expect("it still says so");
    let pid = pair.head.id().expect("running").to_string();
    assert!(
        Command::new("kill")
            .arg(pid)
            .status()
            .await
            .expect("kill")
            .success()
    );
    let ended = tokio::time::timeout(Duration::from_secs(2), pair.head.wait())
        .await
        .expect("quickly")
        .expect("status");
    assert!(ended.success(), "SIGTERM ends it well");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_the_real_one_fails_here_with_its_words() {
    let bed = Bed::new();
    let old = bed.model(NVFP4_REPO, NVFP4_OLD_COMMIT);
    let new = bed.model(NVFP4_REPO, NVFP4_COMMIT);
    let trust = "--trust-remote-code";
    let mtp = [trust, "--speculative-config", MTP];
    let expect = async |model: &Path, args: &[&str], words: &str| {
        let log = fails(model, args).await;
        assert!(log.contains(words), "{words:?} is in {log}");
    };
    expect(&old, &mtp, "IndexError: list index out of range").await;
    expect(
        &new,
        &[],
        "model type `step3p7` but Transformers does not recognize",
    )
    .await;
    expect(
        &new,
        &[
            trust,
            "--speculative-config",
            r#"{"method":"mtp","num_speculative_tokens":4}"#,
        ],
        "num_speculative_tokens:4 must be divisible by n_predict=3",
    )
    .await;
    expect(
        &new,
        &[trust, "--no-such-flag"],
        "unrecognized arguments: --no-such-flag",
    )
    .await;
    expect(
        Path::new("/no/such/model"),
        &[trust],
        "Repo id must be in the form",
    )
    .await;
    expect(
        &new,
        &[trust, "--tensor-parallel-size", "2", "--nnodes", "3"],
        "world_size=2 must be divisible by nnodes=3",
    )
    .await;

    // The lists are made whole, but the class still cuts them.
    let copy = bed.copy(NVFP4_REPO, NVFP4_COMMIT);
    std::fs::copy(
        old.join("configuration_step3p7.py"),
        copy.join("configuration_step3p7.py"),
    )
    .expect("copied");
    expect(&copy, &mtp, "IndexError: list index out of range").await;

    // Everything but the tensors.
    let copy = bed.copy(NVFP4_REPO, NVFP4_COMMIT);
    std::fs::copy(
        old.join("model.safetensors.index.json"),
        copy.join("model.safetensors.index.json"),
    )
    .expect("copied");
    expect(
        &copy,
        &mtp,
        "are not in the checkpoint and will falsely use random initialization",
    )
    .await;

    // The exceptions do not name the MTP layers, or too many layers.
    let copy = bed.copy(NVFP4_REPO, NVFP4_COMMIT);
    std::fs::copy(
        old.join("hf_quant_config.json"),
        copy.join("hf_quant_config.json"),
    )
    .expect("copied");
    expect(
        &copy,
        &mtp,
        "The size of tensor a (32) must match the size of tensor b (64)",
    )
    .await;
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(new.join("config.json")).expect("config"))
            .expect("JSON");
    config["quantization_config"]["ignore"]
        .as_array_mut()
        .expect("list")
        .push(json!("model.layers.4*"));
    std::fs::copy(
        new.join("hf_quant_config.json"),
        copy.join("hf_quant_config.json"),
    )
    .expect("copied");
    std::fs::write(copy.join("config.json"), config.to_string()).expect("written");
    expect(
        &copy,
        &mtp,
        "The size of tensor a (64) must match the size of tensor b (32)",
    )
    .await;

    // A file is cut short, then missing.
    let shard = copy.join("model-00002-of-00004.safetensors");
    let bytes = std::fs::read(&shard).expect("shard");
    std::fs::write(&shard, &bytes[..bytes.len() - 100]).expect("cut");
    expect(&copy, &[trust], "Error while deserializing header").await;
    std::fs::remove_file(&shard).expect("removed");
    expect(
        &copy,
        &[trust],
        "weights were not initialized from checkpoint",
    )
    .await;
    std::fs::remove_file(copy.join("config.json")).expect("removed");
    expect(
        &copy,
        &[trust],
        "does not appear to have a file named config.json",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_answers_refuses_and_sees_images() {
    let bed = Bed::new();
    let port = free_port();
    let text = port.to_string();
    let model = bed.model(BF16_REPO, BF16_COMMIT);
    let mut server = command(
        &model,
        &[
            "--trust-remote-code",
            "--port",
            &text,
            "--served-model-name",
            "step",
            "--api-key",
            "k",
            "--allowed-origins",
            "[]",
        ],
    )
    .spawn()
    .expect("server");
    until(&mut server, "Application startup complete.").await;
    let taken = {
        let out = command(&model, &["--trust-remote-code", "--port", &text])
            .output()
            .await
            .expect("second");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(
        taken.contains("OSError: [Errno 98] Address already in use"),
        "{taken}"
    );
    let post = async |key: &str, body: Value| -> (String, Value) {
        let out = Command::new("curl")
            .args([
                "-s",
                "-w",
                "\n%{http_code}",
                "-H",
                &format!("Authorization: Bearer {key}"),
                "-d",
                &body.to_string(),
            ])
            .arg(format!("http://127.0.0.1:{port}/v1/chat/completions"))
            .output()
            .await
            .expect("curl");
        let all = String::from_utf8(out.stdout).expect("text");
        let (body, status) = all.rsplit_once('\n').expect("status");
        (status.to_owned(), serde_json::from_str(body).expect("JSON"))
    };
    let ask = |content: Value, max: u64| json!({"model": "step", "messages": [{"role": "user", "content": content}], "max_tokens": max, "chat_template_kwargs": {"enable_thinking": false}});
    let (status, body) = post("wrong", ask(json!("hi"), 5)).await;
    assert_eq!(
        (status.as_str(), &body["error"]),
        ("401", &json!("Unauthorized"))
    );
    let (status, body) = post("k", json!({"model": "nope", "messages": []})).await;
    assert_eq!(
        (status.as_str(), &body["error"]["type"]),
        ("404", &json!("NotFoundError"))
    );
    let (status, body) = post("k", ask(json!("hi"), 999_999)).await;
    assert_eq!(status, "400");
    assert!(
        body["error"]["message"]
            .as_str()
            .expect("words")
            .starts_with("max_tokens=999999 cannot be greater than max_model_len=8192")
    );
    let gif = json!([{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:image/gif;base64,R0lGODlhgALgAQAAACw="}}]);
    let (status, body) = post("k", ask(gif, 200)).await;
    assert_eq!(status, "200", "{body}");
    let message = &body["choices"][0]["message"];
    assert!(
        message["content"]
            .as_str()
            .expect("text")
            .contains("an image of 640 × 480 (GIF)"),
        "{message}"
    );
    assert_eq!(
        message["reasoning"],
        Value::Null,
        "thinking was switched off"
    );
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let no_image =
        json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]);
    assert_eq!(post("k", ask(no_image, 5)).await.0, "400");
    // A page in a browser may use it from nowhere: it is not let ask, and is told no origin.
    let page = async |method: &str| {
        let url = format!("http://127.0.0.1:{port}/v1/models");
        let words = [
            "-s",
            "-i",
            "-X",
            method,
            "-H",
            "Origin: http://evil.example",
        ];
        let key = ["-H", "Authorization: Bearer k"];
        let out = Command::new("curl").args(words).args(key).arg(url).output();
        String::from_utf8(out.await.expect("curl").stdout).expect("text")
    };
    let asked = page("OPTIONS").await;
    assert!(asked.starts_with("HTTP/1.1 400"), "{asked}");
    let got = page("GET").await;
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    assert!(
        !got.to_lowercase().contains("access-control-allow-origin"),
        "{got}"
    );
}
