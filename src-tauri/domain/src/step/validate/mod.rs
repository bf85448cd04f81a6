//! Steps `validate-…`: a ladder of questions for each variant, each harder than the one before,
//! and a quick measurement that is kept.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bench::{BenchCase, BenchError, BenchResult, Measurement, NoteKind, compare, measure};
use crate::chat::{ChatRequest, PromptMessage, Role};
use crate::container::SERVER;
use crate::ids::BenchId;
use crate::ports::{ApiError, ModelApi};
use crate::problem::{Code, Problem, Retry};
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{Variant, VariantId};
use crate::run::{ProgressPart, ReadOnly, StepCheck, StepError, StepPlan};
use crate::step::facts::FactsReceipt;
use crate::step::ids;
use crate::step::launch::LaunchReceipt;
use crate::step::services::{Services, StepContext};
use crate::step::stored::value;

pub mod circumstances;

/// A chequered square of 64 × 64 pixels, drawn for this purpose.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAZ0lEQVR42u3ZsQkAIAwEwMzjSE7sKJYWDuAMCQiCB18/ufJJ7DVTGb2lcrs/AAAAAAAAAAAAAADKgNcOyvYDAAAAAAAAAAAAANQBFhkAAAAAAAAAAACA/4BFBgAAAAAAAAAAAPAd4ADOpcHhD6DcOgAAAABJRU5ErkJggg==";

/// Seconds that the measurement may take.
const LONGEST_S: u64 = 115;

/// Lines of the server's log that a failed check shows, from each machine.
const LAST_WORDS: usize = 80;

/// See the module.
pub struct Validate {
    /// What is launched.
    pub launch: Arc<LaunchPlan>,
    /// Which of the plan's variants.
    pub variant: VariantId,
}

/// What a validation leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// Identity of the kept measurement.
    pub bench: BenchId,
    /// Prompt tokens per second.
    pub pp_tps: f64,
    /// Generated tokens per second.
    pub tg_tps: f64,
    /// How many times as fast as plain it writes, where plain was measured before.
    pub against_plain: Option<f64>,
    /// The finding in a sentence.
    pub sentence: String,
}

impl Validate {
    /// This step's variant.
    fn own(&self) -> Option<&Variant> {
        self.launch.variant(&self.variant)
    }

    fn is_drafting(&self) -> bool {
        self.own().is_some_and(|v| v.drafting.is_some())
    }

    fn api(&self, cx: &StepContext) -> Arc<dyn ModelApi> {
        cx.machines[0].tunnels.api(self.launch.api_port)
    }

    fn rung(&self, cx: &StepContext, n: u64, doing: &str) {
        cx.progress(ProgressPart {
            machine: cx.machines[0].name.clone(),
            done: n,
            total: Some(5),
            unit: "checks".into(),
            rate: None,
            doing: doing.into(),
            held: None,
        });
    }

    /// Asks and gives back all words, reasoning first.
    async fn ask(
        &self,
        api: &dyn ModelApi,
        request: &ChatRequest,
    ) -> Result<(String, u32), ApiError> {
        let mut words = String::new();
        let mut on_delta = |delta: crate::chat::ChatDelta| {
            words.push_str(&delta.reasoning);
            words.push_str(&delta.content);
        };
        let finish = api.chat(request, &mut on_delta).await?;
        Ok((words, finish.completion_tokens.unwrap_or_default()))
    }

    async fn climb(&self, cx: &StepContext, api: &dyn ModelApi) -> Result<(), StepError> {
        let head = cx.machines[0].name.clone();
        let name = &self.launch.served_name;
        let wrong = |rung: &str, e: &ApiError| {
            Problem::new(
                Code::ServerAnswer,
                "The server does not answer as a model should.",
            )
            .cause(format!("{rung}: {e}."))
            .fix("Read the server's last words below, then resume; the server is started again.")
            .retry(Retry::Now)
            .on(head.clone())
        };
        self.rung(cx, 0, "one token");
        let one = ChatRequest {
            max_tokens: 1,
            ..ChatRequest::ask(name, "Say yes.")
        };
        let (_, tokens) = self
            .ask(api, &one)
            .await
            .map_err(|e| wrong("One token", &e))?;
        if tokens == 0 {
            return Err(wrong(
                "One token",
                &ApiError::Garbled {
                    detail: "no token came".into(),
                },
            )
            .into());
        }
        self.rung(cx, 1, "a sentence");
        let mut sentence = ChatRequest::ask(name, "In one short sentence: why is the sky blue?");
        sentence.max_tokens = 400;
        let (words, _) = self
            .ask(api, &sentence)
            .await
            .map_err(|e| wrong("A sentence", &e))?;
        cx.log(
            None,
            format!(
                "It said: {}",
                words.trim().chars().take(300).collect::<String>()
            ),
        );
        if !reads_as_text(&words) {
            return Err(Problem::new(Code::ServerAnswer, "The server's answer makes no sense.")
                .cause(format!("It said: {:.80}", words.trim()))
                .fix("The image may not know this model, or the weights are damaged: run a verification of the weights, or choose another image.")
                .on(head)
                .into());
        }
        if !self.launch.can.pictures {
            return Ok(());
        }
        self.rung(cx, 2, "a picture");
        let picture = ChatRequest {
            messages: vec![PromptMessage {
                role: Role::User,
                text: "What is in this picture? One sentence.".into(),
                images: vec![PICTURE.into()],
            }],
            max_tokens: 400,
            ..ChatRequest::ask(name, "")
        };
        match self.ask(api, &picture).await {
            Ok((words, _)) => {
                cx.log(
                    None,
                    format!(
                        "Of a picture: {}",
                        words.trim().chars().take(300).collect::<String>()
                    ),
                );
            }
            // A server that was started for text only says so; that is a choice and no fault.
            Err(ApiError::Status {
                status: 400,
                message,
            }) => {
                cx.log(None, format!("This server takes no pictures: {message}"));
            }
            Err(e) => return Err(wrong("A picture", &e).into()),
        }
        Ok(())
    }

    /// The error with the last words of the server on each machine: the API says only that something
    /// failed, and the log was followed no further than to the first answer.
    async fn with_log(&self, cx: &StepContext, error: StepError) -> StepError {
        let Some(mut problem) = error.into_problem() else {
            return StepError::Cancelled;
        };
        for machine in &cx.machines {
            let lines = machine.containers.logs(SERVER, LAST_WORDS).await;
            let lines = lines.unwrap_or_default().into_iter();
            let lines = lines.map(|line| format!("{}: {line}", machine.name));
            problem.details.extend(lines);
        }
        problem.into()
    }

    async fn plain_result(&self, cx: &StepContext) -> Option<BenchResult> {
        let first = &self.launch.variants.first()?.id;
        let plain: LaunchReceipt = cx.receipt_of(&ids::launch(first)).ok()?;
        let case = BenchCase::quick();
        let found = cx.services.bench.of_launch(&plain.identity, &case).await;
        found.ok()?
    }

    async fn validated(&self, cx: &StepContext, result: &BenchResult) -> Validated {
        let mut against_plain = None;
        let mut sentence = format!(
            "It reads {:.0} and writes {:.1} tokens a second.",
            result.pp_tps.mean, result.tg_tps.mean
        );
        if self.is_drafting()
            && let Some(plain) = self.plain_result(cx).await
        {
            let comparison = compare(plain, result.clone());
            let figure = comparison.figures.iter().find(|f| f.figure == "tg_tps");
            against_plain = figure.map(|f| f.ratio);
            sentence = comparison.verdict;
        }
        if result.simulated {
            sentence = format!("Simulated: {sentence}");
        }
        Validated {
            bench: result.id.clone(),
            pp_tps: result.pp_tps.mean,
            tg_tps: result.tg_tps.mean,
            against_plain,
            sentence,
        }
    }
}

impl From<BenchError> for StepError {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Cancelled => Self::Cancelled,
            other => other.problem().into(),
        }
    }
}

/// Whether the server drafted and nothing of it was taken. A disturbed repeat leaves the acceptance open.
fn drafts_in_vain(result: &BenchResult) -> bool {
    let is_disturbed = result.notes.iter().any(|n| n.kind == NoteKind::NotCounted);
    match &result.acceptance {
        Some(acceptance) => acceptance.rate <= 0.0,
        None => !is_disturbed,
    }
}

/// Whether words look like words: something is there, little of it is unreadable, and it is not one
/// mark over and over, as a model with the wrong weights or image produces.
fn reads_as_text(words: &str) -> bool {
    let shown: Vec<char> = words.chars().filter(|c| !c.is_whitespace()).collect();
    if shown.is_empty() {
        return false;
    }
    let unreadable = shown
        .iter()
        .filter(|c| c.is_control() || **c == '\u{fffd}')
        .count();
    let kinds: std::collections::BTreeSet<&char> = shown.iter().collect();
    unreadable * 5 < shown.len() && (shown.len() < 20 || kinds.len() > 3)
}

#[async_trait]
impl ReadOnly<Services> for Validate {
    fn plan(&self) -> StepPlan {
        let case = BenchCase::quick();
        StepPlan {
            id: ids::validate(&self.variant),
            title: match self.own() {
                Some(v) if v.drafting.is_some() => format!("Check with {}", v.label),
                Some(v) => format!("Check {}", v.label.to_lowercase()),
                None => "Check".into(),
            },
            will: format!(
                "Asks the server for {}, then measures it: {} tokens to read and {} to write, {} times. The figures are kept.",
                if self.launch.can.pictures {
                    "a token, a sentence and the content of a picture"
                } else {
                    "a token and a sentence"
                },
                case.prompt_tokens,
                case.generate_tokens,
                case.runs
            ),
            exactly: Vec::new(),
            undo: "Changes nothing on the machines. The figures are kept.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let launch: LaunchReceipt = cx.receipt_of(&ids::launch(&self.variant))?;
        let of_launch = cx
            .services
            .bench
            .of_launch(&launch.identity, &BenchCase::quick())
            .await
            .map_err(|e| {
                Problem::new(Code::JournalWrite, "The kept measurements were not read.")
                    .cause(format!("{e}."))
            })?;
        if let Some(result) = of_launch {
            let validated = self.validated(cx, &result).await;
            // What was measured once still has to answer now, unless a later server took its place.
            if launch.superseded || self.api(cx).models().await.is_ok() {
                return Ok(StepCheck::AlreadyDone {
                    found: format!("Checked and measured before. {}", validated.sentence),
                    receipt: value(&validated),
                });
            }
        }
        if launch.superseded {
            return Ok(StepCheck::AlreadyDone {
                found: "A later server already stands in its place.".into(),
                receipt: Value::Null,
            });
        }
        Ok(StepCheck::Needed { before: json!({}) })
    }

    async fn find_out(&self, cx: &StepContext) -> Result<Value, StepError> {
        let launch: LaunchReceipt = cx.receipt_of(&ids::launch(&self.variant))?;
        let api = self.api(cx);
        if let Err(error) = cx.unless_cancelled(self.climb(cx, &*api)).await {
            return Err(self.with_log(cx, error).await);
        }
        let FactsReceipt(facts) = cx.receipt()?;
        let wanted = Measurement {
            id: BenchId(format!("{}-{}-{}", cx.run, cx.step, cx.clock.now_ms())),
            label: self.own().map_or_else(String::new, Variant::full_label),
            engine: self.launch.engine,
            model: self.launch.served_name.clone(),
            case: BenchCase::quick(),
            circumstances: circumstances::circumstances(
                &self.launch,
                &launch,
                &cx.receipt()?,
                &facts,
            ),
            run: Some(cx.run.clone()),
            simulated: facts.iter().any(|f| f.simulated),
            limit_s: Some(LONGEST_S),
            patience_s: 120,
        };
        let mut report = |p: crate::bench::BenchProgress| {
            self.rung(cx, 3, &format!("measuring: {}", p.doing));
        };
        let measured = measure(&*api, &*cx.clock, &wanted, &cx.cancel, &mut report).await;
        let mut result = match measured {
            Ok(result) => result,
            Err(error) => return Err(self.with_log(cx, error.into()).await),
        };
        // The check asks for every repeat.
        if let Some(problem) = result.ended.take() {
            if cx.cancel.is_cancelled() {
                return Err(StepError::Cancelled);
            }
            return Err(self.with_log(cx, problem.into()).await);
        }
        if self.is_drafting() && drafts_in_vain(&result) {
            return Err(Problem::new(Code::MtpMissing, "Drafting does not help.")
                .cause("Not one drafted token was accepted, which a drafter with the right weights does not do.")
                .fix(if self.launch.graft.is_some() {
                    "Undo this run and graft again, or serve the plain variant."
                } else {
                    "Serve the plain variant, or another image."
                })
                .on(cx.machines[0].name.clone())
                .into());
        }
        cx.services.bench.save(&result).await.map_err(|e| {
            Problem::new(Code::JournalWrite, "The figures were not kept.").cause(format!("{e}."))
        })?;
        self.rung(cx, 5, "done");
        Ok(value(&self.validated(cx, &result).await))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        // A server can fall over its first long request; it has to answer after the measurement too.
        self.api(cx).models().await.map_err(|e| {
            Problem::new(
                Code::ServerAnswer,
                "The server stopped answering after the measurement.",
            )
            .cause(format!("{e}."))
            .retry(Retry::Now)
            .on(cx.machines[0].name.clone())
        })?;
        Ok(crate::step::stored::stored::<Validated>(receipt)?.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::reads_as_text;

    #[test]
    fn text_is_told_from_noise() {
        assert!(
            reads_as_text("Because blue light is scattered more."),
            "a sentence is text"
        );
        assert!(reads_as_text("Ja."), "a short answer is text");
        assert!(!reads_as_text("  \n"), "nothing is not");
        assert!(
            !reads_as_text(&"!".repeat(200)),
            "one mark over and over is not"
        );
        assert!(
            !reads_as_text(&"\u{fffd}a".repeat(50)),
            "unreadable bytes are not"
        );
    }
}
