//! The client against a server that says exactly what a test wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tandem_domain::chat::ChatRequest;
use tandem_domain::ports::{ApiError, ModelApi};
use tandem_domain::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::tcp;
use super::HttpModelApi;
use crate::inference::ServerKey;

/// What the server does with its one connection.
enum Script {
    /// Answers with these pieces and closes.
    Say(Vec<Vec<u8>>),
    /// Answers with this and then says nothing until the client has gone.
    Stall(Vec<u8>),
}

/// Starts a server for one request; gives the API for it and, later, what the server was sent.
async fn server(script: Script) -> (HttpModelApi, tokio::task::JoinHandle<(String, bool)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let request = request(&mut stream).await;
        let mut left = false;
        match script {
            Script::Say(pieces) => {
                for piece in pieces {
                    stream.write_all(&piece).await.expect("sent");
                    stream.flush().await.expect("sent");
                }
            }
            Script::Stall(piece) => {
                stream.write_all(&piece).await.expect("sent");
                left = matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_));
            }
        }
        (request, left)
    });
    (HttpModelApi::new(Arc::new(tcp("127.0.0.1", port))), served)
}

/// Reads the head and as many bytes of body as it announces.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.expect("a request");
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| {
                    l.to_lowercase()
                        .strip_prefix("content-length:")
                        .map(|n| n.trim().parse::<usize>())
                })
                .map_or(0, |n| n.expect("a number"));
            if body.len() >= length {
                return text;
            }
        }
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn ask() -> ChatRequest {
    let mut ask = ChatRequest::ask("step-3.7-flash", "What is this?");
    ask.messages[0]
        .images
        .push("data:image/png;base64,AAAA".into());
    ask.sampling.temperature = Some(0.0);
    ask.thinking = Some(false);
    ask.ignore_eos = true;
    ask.patience_s = 1;
    ask
}

/// The keys of one server after another.
struct Keys(std::sync::Mutex<Vec<Secret>>);

impl Keys {
    fn new(keys: &[&str]) -> Arc<Self> {
        let keys = keys.iter().rev().map(|k| Secret::new(*k));
        Arc::new(Self(std::sync::Mutex::new(keys.collect())))
    }
}

#[async_trait]
impl ServerKey for Keys {
    async fn known(&self) -> Option<Secret> {
        self.0.lock().expect("whole").last().cloned()
    }
    async fn now(&self) -> Option<Secret> {
        self.0.lock().expect("whole").pop();
        self.known().await
    }
}

#[tokio::test]
async fn a_server_that_was_started_again_is_asked_with_its_new_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("a port").port();
    let serving = tokio::spawn(async move {
        let mut refused = 0;
        loop {
            let (mut stream, _) = listener.accept().await.expect("somebody comes");
            let mut request = vec![0; 4096];
            let n = stream.read(&mut request).await.expect("a request");
            let text = String::from_utf8_lossy(&request[..n]).into_owned();
            let known = text.contains("authorization: Bearer second\r\n");
            let (status, body) = match known {
                true => ("200 OK", r#"{"data":[{"id":"m"}]}"#),
                false => ("401 Unauthorized", r#"{"error":"Unauthorized"}"#),
            };
            refused += usize::from(!known);
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("said");
            if known {
                return refused;
            }
        }
    });
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", port)));
    let api = api.with_key(Keys::new(&["first", "second"]));
    assert_eq!(api.models().await.expect("let in")[0].id, "m");
    assert_eq!(serving.await.expect("it ends"), 1, "refused once");
}

#[tokio::test]
async fn a_streamed_answer_comes_with_its_request_key_and_counts() {
    let sample = include_bytes!("../../tests/fixtures/mtp_chat_stream_continuous_usage.sse");
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()];
    for part in sample.chunks(101) {
        let mut piece = format!("{:x}\r\n", part.len()).into_bytes();
        piece.extend_from_slice(part);
        piece.extend_from_slice(b"\r\n");
        pieces.push(piece);
    }
    pieces.push(b"0\r\n\r\n".to_vec());
    let (api, served) = server(Script::Say(pieces)).await;
    let api = api.with_key(Keys::new(&["sesame"]));
    let mut deltas = Vec::new();
    let end = api
        .chat(&ask(), &mut |d| deltas.push(d))
        .await
        .expect("an answer");
    assert_eq!(
        (end.prompt_tokens, end.completion_tokens),
        (Some(17), Some(40))
    );
    assert!(deltas.windows(2).all(|w| w[0].at <= w[1].at) && end.at >= deltas[0].at);

    let (request, _) = served.await.expect("served");
    assert!(
        request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: Bearer sesame\r\n"),
        "{request}"
    );
    let body: Value =
        serde_json::from_str(request.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    assert_eq!(body["stream_options"]["continuous_usage_stats"], true);
    assert_eq!(body["chat_template_kwargs"]["enable_thinking"], false);
    assert_eq!(
        (&body["ignore_eos"], &body["temperature"]),
        (&true.into(), &0.0.into())
    );
    let content = &body["messages"][0]["content"];
    assert_eq!(content[0]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert_eq!(content[1]["text"], "What is this?");
}

fn sent(request: &str) -> Value {
    let (_, body) = request.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test]
async fn what_a_person_set_is_sent_and_nothing_else() {
    use tandem_domain::chat::controls::AnswerFormat;
    let reply = r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#;
    let whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{reply}",
        reply.len()
    );
    let asked = async |request: &ChatRequest| {
        let (api, served) = server(Script::Say(vec![whole.clone().into_bytes()])).await;
        api.chat(request, &mut |_| ()).await.expect("an answer");
        sent(&served.await.expect("served").0)
    };
    let plain = asked(&ChatRequest::ask("m", "Hello")).await;
    let names: Vec<&String> = plain.as_object().expect("an object").keys().collect();
    let expected = [
        "model",
        "messages",
        "max_tokens",
        "stream",
        "stream_options",
    ];
    assert_eq!(names, expected);

    let mut set = ChatRequest::ask("m", "Hello");
    set.sampling.top_p = Some(0.9);
    set.sampling.top_k = Some(20);
    set.sampling.min_p = Some(0.05);
    set.sampling.presence_penalty = Some(0.5);
    set.sampling.frequency_penalty = Some(-0.5);
    set.sampling.repetition_penalty = Some(1.1);
    set.sampling.seed = Some(7);
    set.sampling.stop = vec!["END".into()];
    set.level = Some("low".into());
    set.format = AnswerFormat::Schema {
        schema: r#"{"type":"object"}"#.into(),
    };
    let body = asked(&set).await;
    for (name, value) in [
        ("top_p", serde_json::json!(0.9)),
        ("top_k", serde_json::json!(20)),
        ("min_p", serde_json::json!(0.05)),
        ("presence_penalty", serde_json::json!(0.5)),
        ("frequency_penalty", serde_json::json!(-0.5)),
        ("repetition_penalty", serde_json::json!(1.1)),
        ("seed", serde_json::json!(7)),
        ("stop", serde_json::json!(["END"])),
        ("reasoning_effort", serde_json::json!("low")),
        (
            "chat_template_kwargs",
            serde_json::json!({"reasoning_effort": "low"}),
        ),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    let format = &body["response_format"];
    assert_eq!(format["type"], "json_schema");
    assert_eq!(format["json_schema"]["schema"]["type"], "object");

    set.level = None;
    set.thinking = Some(false);
    set.switch = Some("thinking".into());
    set.format = AnswerFormat::Json;
    let body = asked(&set).await;
    assert_eq!(
        body["chat_template_kwargs"],
        serde_json::json!({"thinking": false})
    );
    assert_eq!(body["response_format"]["type"], "json_object");
}

#[tokio::test]
async fn plain_questions_are_answered() {
    let models =
        r#"{"object":"list","data":[{"id":"step","max_model_len":262144},{"id":"other"}]}"#;
    let (api, _) = server(Script::Say(vec![answer("200 OK", models)])).await;
    let list = api.models().await.expect("models");
    assert_eq!(
        (
            list[0].id.as_str(),
            list[0].max_model_len,
            list[1].max_model_len
        ),
        ("step", Some(262_144), None)
    );
    let (api, served) = server(Script::Say(vec![answer("200 OK", "")])).await;
    api.health().await.expect("healthy");
    assert!(
        served
            .await
            .expect("served")
            .0
            .starts_with("GET /health HTTP/1.1")
    );
    let (api, _) = server(Script::Say(vec![answer("200 OK", "vllm:x 1\n")])).await;
    assert_eq!(api.metrics().await.expect("metrics"), "vllm:x 1\n");
}

#[tokio::test]
async fn a_prompt_is_counted_by_either_engine_and_by_none() {
    let vllm = r#"{"count":17,"max_model_len":262144,"tokens":[1,2]}"#;
    let (api, served) = server(Script::Say(vec![answer("200 OK", vllm)])).await;
    assert_eq!(api.prompt_tokens(&ask()).await, Ok(Some(17)));
    let (asked, _) = served.await.expect("served");
    assert!(asked.starts_with("POST /tokenize "), "{asked}");
    assert!(asked.contains(r#""enable_thinking":false"#), "{asked}");

    let missing = answer("404 Not Found", r#"{"detail":"Not Found"}"#);
    let (api, _) = server(Script::Say(vec![missing])).await;
    assert_eq!(api.prompt_tokens(&ask()).await, Ok(None));

    // llama.cpp's answers, each on a connection of its own.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for body in [
            r#"{"tokens":[]}"#,
            r#"{"prompt":"<user>What is this?"}"#,
            r#"{"tokens":[5,6,7]}"#,
        ] {
            let (mut stream, _) = listener.accept().await.expect("a client");
            asked.push(request(&mut stream).await);
            let said = answer("200 OK", body);
            stream.write_all(&said).await.expect("sent");
        }
        asked
    });
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", port)));
    assert_eq!(api.prompt_tokens(&ask()).await, Ok(Some(3)));
    let asked = asked.await.expect("served");
    assert!(
        asked[1].starts_with("POST /apply-template "),
        "{}",
        asked[1]
    );
    assert!(asked[2].contains("<user>What is this?"), "{}", asked[2]);
}

/// The second connection is closed as soon as its one answer is through, as a server does with one that waited long.
#[tokio::test]
async fn a_kept_connection_serves_the_next_request_and_a_closed_one_costs_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let serving = tokio::spawn(async move {
        let event = r#"data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
        let done = format!("{event}\n\ndata: [DONE]\n\n");
        let stream = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{done}\r\n0\r\n\r\n",
            done.len()
        );
        let mut served = Vec::new();
        for answers in [3, 1, 1] {
            let (mut client, _) = listener.accept().await.expect("a client");
            for _ in 0..answers {
                let asked = request(&mut client).await;
                let said = match asked.starts_with("GET") {
                    true => answer("200 OK", "vllm:x 1\n"),
                    false => stream.clone().into_bytes(),
                };
                client.write_all(&said).await.expect("sent");
                served.push(answers);
            }
        }
        served
    });
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", port)));
    let kept = api.kept().expect("it keeps them");
    for _ in 0..2 {
        kept.metrics().await.expect("answered");
        let end = kept.chat(&ask(), &mut |_| {}).await.expect("answered");
        assert_eq!(end.completion_tokens, Some(2));
    }
    kept.metrics().await.expect("answered");
    assert_eq!(serving.await.expect("it ends"), [3, 3, 3, 1, 1]);
}

#[tokio::test]
async fn a_refusal_has_the_servers_words() {
    let body = r#"{"error":{"message":"The model `x` does not exist.","code":404}}"#;
    let (api, _) = server(Script::Say(vec![answer("404 Not Found", body)])).await;
    let error = api
        .chat(&ask(), &mut |_| {})
        .await
        .expect_err("no such model");
    assert_eq!(
        error,
        ApiError::Status {
            status: 404,
            message: "The model `x` does not exist.".into()
        }
    );
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_read_too() {
    let body = r#"{"choices":[{"index":0,"message":{"role":"assistant","reasoning":"hm","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (api, _) = server(Script::Say(vec![format!("{head}{body}").into_bytes()])).await;
    let mut deltas = Vec::new();
    let end = api.chat(&ask(), &mut |d| deltas.push(d)).await;
    let end = end.expect("an answer");
    assert_eq!(
        (deltas[0].reasoning.as_str(), deltas[0].content.as_str()),
        ("hm", "Hello")
    );
    assert_eq!(
        (end.reason.as_str(), end.completion_tokens),
        ("stop", Some(2))
    );
}

/// A finish reason and counts came; the server neither says that it is done nor closes.
#[tokio::test]
async fn an_answer_that_is_whole_is_not_waited_for() {
    let chunk = |data: &str| {
        let event = format!("data: {data}\n\n");
        format!("{:x}\r\n{event}\r\n", event.len())
    };
    let words = chunk(r#"{"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}"#);
    let counts = chunk(r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (said, counted) in [
        (format!("{head}{words}{counts}"), Some(2)),
        (format!("{head}{words}"), None),
    ] {
        let (api, _served) = server(Script::Stall(said.into_bytes())).await;
        let mut ask = ask();
        ask.patience_s = 60;
        let mut hear = |_| {};
        let answer = api.chat(&ask, &mut hear);
        let end = tokio::time::timeout(Duration::from_secs(20), answer).await;
        let end = end.expect("in time").expect("an answer");
        assert_eq!(
            (end.reason.as_str(), end.completion_tokens),
            ("stop", counted)
        );
    }
}

#[tokio::test]
async fn silence_ends_after_the_patience_and_the_server_sees_it() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for said in [Vec::new(), head] {
        let (api, served) = server(Script::Stall(said)).await;
        let error = api.chat(&ask(), &mut |_| {}).await.expect_err("silent");
        assert_eq!(error, ApiError::TimedOut { seconds: 1 });
        let left = tokio::time::timeout(Duration::from_secs(5), served).await;
        assert!(
            left.expect("in time").expect("served").1,
            "the connection was closed"
        );
    }
}

#[tokio::test]
async fn an_answer_that_is_dropped_ends_the_connection() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n31\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"abc\"}}]}\n\n\r\n".to_vec();
    let (api, served) = server(Script::Stall(head)).await;
    let (tell, told) = tokio::sync::oneshot::channel();
    let mut tell = Some(tell);
    let stopped = tokio::spawn(async move {
        let mut patient = ask();
        patient.patience_s = 60;
        let mut on_delta = |d: tandem_domain::chat::ChatDelta| {
            if let Some(tell) = tell.take() {
                let _ = tell.send(d.content);
            }
        };
        api.chat(&patient, &mut on_delta).await
    });
    assert_eq!(told.await.expect("words came"), "abc");
    stopped.abort();
    let left = tokio::time::timeout(Duration::from_secs(5), served).await;
    assert!(
        left.expect("in time").expect("served").1,
        "the server saw it"
    );
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_and_one_that_never_began_differ() {
    let cut = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:".to_vec();
    let (api, _) = server(Script::Say(vec![cut])).await;
    assert!(matches!(
        api.chat(&ask(), &mut |_| {}).await,
        Err(ApiError::Lost { .. })
    ));
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let api = HttpModelApi::new(Arc::new(tcp("127.0.0.1", port)));
    assert!(matches!(
        api.health().await,
        Err(ApiError::NotListening { .. })
    ));
}
