//! The three ways to MTP with the real vLLM, on one machine: each serves, and writes the same tokens as the
//! server without MTP when it always takes the likeliest.

use std::path::Path;
use std::time::Instant;

use tandem_domain::chat::ChatRequest;
use tandem_domain::engine::metrics::Metrics;
use tandem_domain::graft::mtp_method::Vllm;
use tandem_domain::graft::patch::{self, PatchKind};
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::recipe::VariantId;
use tandem_domain::run::{Event, Outcome, RunOutcome};
use tandem_tests::bed::Bed;
use tokio_util::sync::CancellationToken;

use crate::model::WHOLE;

/// What is asked. The tiny model's own words are few; told to go on it says more of them.
const QUESTIONS: [&str; 2] = ["Who are you?", "Name the planets."];
/// Tokens of each answer.
const TOKENS: u32 = 160;

/// What a server said.
struct Said {
    answers: Vec<(String, u32)>,
    drafted: f64,
    accepted: f64,
}

/// Serves without MTP and then each way; an error unless all say the same. Takes everything back.
pub(crate) async fn all(folder: &Path, request: SetupRequest, tree: &Path) -> Result<(), String> {
    of_the_image(tree)?;
    let one = SetupRequest {
        machines: vec!["a".into()],
        network: None,
        variant: VariantId("plain".into()),
        ..request
    };
    let of = |way: &str| {
        let mut chosen = one.clone();
        chosen.variant = VariantId("mtp".into());
        chosen.choices.set("mtp_way", way.into());
        if way == "built-in" {
            chosen.choices.set("repo", WHOLE.into());
        }
        chosen
    };
    let plan = [
        ("Plain", one.clone()),
        ("Built in", of("built-in")),
        ("Overlay", of("overlay")),
        ("Draft", of("draft")),
    ];
    let mut beds: Vec<Bed> = Vec::new();
    let mut told = Ok(());
    let mut first: Option<Said> = None;
    println!("The ways to MTP on one machine, the likeliest token each time:");
    for (name, request) in plan {
        let below = folder.join(name.replace(' ', "-"));
        std::fs::create_dir_all(&below).map_err(|e| format!("no folder: {e}"))?;
        let mut bed = Bed::new(&below, request).await;
        bed.sparks = vec![0];
        // Its own run: a job's notes are believed only as those of one request.
        let bed = bed.begin(&name.to_lowercase().replace(' ', "-")).await;
        beds.push(bed);
        let Some(bed) = beds.last() else { continue };
        match serve(name, bed).await {
            Ok(said) => {
                if let Some(plain) = &first
                    && (said.answers != plain.answers || said.drafted == 0.0)
                {
                    told = Err(format!(
                        "{name} said something else, or drafted nothing:\n{:?}\n{:?}",
                        plain.answers, said.answers
                    ));
                    break;
                }
                first.get_or_insert(said);
            }
            Err(e) => {
                told = Err(e);
                break;
            }
        }
    }
    for bed in beds.iter().rev() {
        let undone = bed.undo().await;
        if undone != RunOutcome::Undone {
            return Err(format!("undoing ended {undone:?}: {}", bed.told().await));
        }
    }
    if told.is_ok() {
        println!("  All four wrote the same tokens.\n");
    }
    told
}

/// What Tandem knows of the image's own file.
fn of_the_image(tree: &Path) -> Result<(), String> {
    let folder = "/usr/local/lib/python3.11/dist-packages/vllm";
    let path = tree
        .join(folder.trim_start_matches('/'))
        .join(patch::DRAFTER);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let known = patch::known(&text).ok_or("the image's drafter is a text that is not known")?;
    println!("The image's drafter is that of vLLM {}.", known.vllm);
    let mended = patch::apply(&text, PatchKind::Scales).map_err(|e| e.to_string())?;
    println!("Changed for MXFP4 it is {}.\n", &mended.after[..12]);
    // What the container prints of it is taken to the byte.
    let mut printed = vec!["tandem-text-begins".to_owned()];
    printed.extend(text.lines().map(str::to_owned));
    printed.push("tandem-text-ends".to_owned());
    if Vllm::read(&printed).text.as_deref() == Some(text.as_str()) {
        Ok(())
    } else {
        Err("the text is not read back as it was printed".to_owned())
    }
}

async fn serve(name: &str, bed: &Bed) -> Result<Said, String> {
    let began = Instant::now();
    let store = std::sync::Arc::new(bed.store().await);
    let mut driver = bed.driver(store, CancellationToken::new()).await;
    // Only the server that is asked: the other one and the measuring are the long story's.
    let mtp = bed.setup.launch.graft.is_some();
    driver.steps.retain(|step| {
        let id = step.plan().id.0;
        !(id.starts_with("validate") || mtp && id == "launch-plain")
    });
    match driver.go().await {
        Outcome::Finished(RunOutcome::Completed) => {}
        _ => return Err(format!("{name} did not serve:\n{}", bed.told().await)),
    }
    let seconds = began.elapsed().as_secs_f64();
    let api = bed.machines()[0].tunnels.api(bed.setup.launch.api_port);
    let mut answers = Vec::new();
    for question in QUESTIONS {
        let mut ask = ChatRequest::ask(&bed.setup.launch.served_name, question);
        ask.max_tokens = TOKENS;
        ask.sampling.temperature = Some(0.0);
        ask.ignore_eos = true;
        let mut text = String::new();
        let finish = api
            .chat(&ask, &mut |delta| {
                text.push_str(&delta.reasoning);
                text.push_str(&delta.content);
            })
            .await
            .map_err(|e| format!("{name}: {e}"))?;
        answers.push((text, finish.completion_tokens.unwrap_or_default()));
    }
    let metrics = api.metrics().await.map_err(|e| format!("{name}: {e}"))?;
    let metrics = Metrics::parse(&metrics);
    let sum = |of: &str| metrics.sum(of).unwrap_or(0.0);
    let said = Said {
        answers,
        drafted: sum("vllm:spec_decode_num_draft_tokens_total"),
        accepted: sum("vllm:spec_decode_num_accepted_tokens_total"),
    };
    let tokens: u32 = said.answers.iter().map(|a| a.1).sum();
    let all: String = said.answers.iter().map(|a| a.0.as_str()).collect();
    let hash = &patch::sha256(all.as_bytes())[..12];
    println!(
        "  {name:<9} up in {seconds:5.1} s; {tokens} tokens, {hash}; {:.0} drafted, {:.0} accepted",
        said.drafted, said.accepted
    );
    for event in bed.events().await {
        if let (Some(step), Event::Verified { seen }) = (&event.step, &event.event)
            && step.0 == "graft"
        {
            println!("            {seen}");
        }
    }
    Ok(said)
}
