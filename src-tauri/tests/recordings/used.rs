//! What is recorded of a server at work: measurements and conversations.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tandem::app::App;
use tandem_domain::bench::{BenchCase, BenchResult, compare};
use tandem_domain::chat::controls::LEVEL_OFF;
use tandem_domain::chat::{ChatAsk, ChatEvent, Controls};
use tandem_domain::ids::ConversationId;
use tandem_domain::problem::Problem;
use tokio::sync::mpsc;

/// What a set-up measured, a measurement of before and one made by hand, and each of them beside each other.
pub(crate) async fn benches(app: &App) -> Result<Value, Problem> {
    let measured = |label: &str| {
        let (heard, label) = (Arc::new(Mutex::new(Vec::new())), label.to_owned());
        let telling = heard.clone();
        let hear = move |event| telling.lock().expect("nothing panics").push(event);
        async move {
            let run = app.run_benchmark(BenchCase::quick(), label, hear).await?;
            let heard = json!(&*heard.lock().expect("nothing panics"));
            Ok::<_, Problem>((run, heard))
        }
    };
    let (before, _) = measured("Before the driver update").await?;
    let (run, progress) = measured("Measured by hand").await?;
    let list = app.list_benchmarks().await?;
    let mut compared = Vec::new();
    for a in &list {
        for b in list.iter().filter(|b| b.id != a.id) {
            let comparison = app.compare_benchmarks(&a.id, &b.id).await?;
            // The two results stand in the list.
            compared.push(json!({
                "a": a.id, "b": b.id, "figures": comparison.figures, "differences": comparison.differences,
                "verdict": comparison.verdict,
            }));
        }
    }
    Ok(
        json!({"list": list, "compared": compared, "progress": progress, "before": before.id, "run": run.id}),
    )
}

/// What is said of two measurements is no figure: it follows from them, and is what is said of them today.
#[test]
fn every_recorded_finding_is_what_is_said_of_its_figures() {
    // It is being written.
    if std::env::var_os(crate::WRITE).is_some() {
        return;
    }
    let recorded = std::fs::read("../ui/src/host/recorded/benches.json");
    let recorded: Value = recorded
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .expect("the recording can be read");
    let list: Vec<BenchResult> =
        serde_json::from_value(recorded["list"].clone()).expect("measurements");
    let of = |id: &Value| {
        let found = list.iter().find(|result| *id == result.id.0);
        found.expect("it stands in the list").clone()
    };
    let compared = recorded["compared"].as_array().expect("a list");
    assert!(!compared.is_empty());
    for told in compared {
        let found = compare(of(&told["a"]), of(&told["b"]));
        assert_eq!(told["verdict"], found.verdict);
    }
}

/// Conversations, one of them about a picture, and an answer whose server goes away meanwhile: it is stopped then.
pub(crate) async fn chat(app: &App) -> Result<Value, Problem> {
    let picture = std::fs::read("../icons/64x64.png").expect("the app has an icon");
    let image = app.add_image(picture).await?;
    let images = vec![image.id.clone()];
    let first = ask(app, None, "What can you do?", images, true).await?;
    let first = first.whole().await;
    let brief = "And in one sentence?";
    let brief = ask(app, Some(first.conversation), brief, Vec::new(), false).await?;
    let brief = brief.whole().await;
    let name = "Suggest a name for a boat with two engines.";
    let named = ask(app, None, name, Vec::new(), false).await?;
    named.whole().await;
    let mut conversations = Vec::new();
    for summary in app.list_conversations().await? {
        let messages = app.conversation(&summary.id, None).await?.messages;
        conversations.push(json!({"summary": summary, "messages": messages}));
    }
    let broken = broken(app).await?;
    Ok(json!({
        "image": image, "conversations": conversations, "thinking": first.events, "brief": brief.events,
        "broken": broken,
    }))
}

/// Why an answer broke off.
async fn broken(app: &App) -> Result<Problem, Problem> {
    let mut broken = ask(app, None, "Who hears this?", Vec::new(), false).await?;
    broken
        .hear(|event| matches!(event, ChatEvent::Words { .. }))
        .await;
    app.stop_serving().await?;
    broken.hear(|_| false).await;
    let Some(ChatEvent::Failed { mut problem, .. }) = broken.events.pop() else {
        panic!("an answer without its server fails");
    };
    // Systems have other words for it.
    let cause = problem.cause.unwrap_or_default();
    problem.cause = cause.split(": ").next().map(|c| format!("{c}."));
    Ok(problem)
}

/// A message, and what was heard of its answer so far.
struct Asked {
    conversation: ConversationId,
    events: Vec<ChatEvent>,
    told: mpsc::UnboundedReceiver<ChatEvent>,
}

impl Asked {
    /// Hears the whole answer.
    async fn whole(mut self) -> Self {
        self.hear(|_| false).await;
        self
    }

    /// Hears more, to the event that is waited for or to the end.
    async fn hear(&mut self, waited_for: impl Fn(&ChatEvent) -> bool) {
        while let Some(event) = self.told.recv().await {
            let came = waited_for(&event);
            self.events.push(event);
            if came {
                break;
            }
        }
    }
}

async fn ask(
    app: &App,
    id: Option<ConversationId>,
    text: &str,
    images: Vec<String>,
    thinking: bool,
) -> Result<Asked, Problem> {
    let (tell, told) = mpsc::unbounded_channel();
    let hear = move |event| {
        // Nobody else holds the other end.
        let _ = tell.send(event);
    };
    let question = ChatAsk::Question {
        text: text.into(),
        images,
    };
    let controls = Controls {
        level: (!thinking).then(|| LEVEL_OFF.to_owned()),
        ..Controls::default()
    };
    let sent = app.send_message(id, question, controls, hear);
    Ok(Asked {
        conversation: sent.await?,
        events: Vec::new(),
        told,
    })
}
