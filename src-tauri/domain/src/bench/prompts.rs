//! The prompts of a measurement, of the wanted tokens by the served model's own tokenizer.

use crate::bench::session::{Counted, Prompt, Session};
use crate::bench::size::SizeSearch;
use crate::bench::text::{TOKENS_PER_WORD, mark, words};
use crate::bench::{BenchError, BenchMethod};
use crate::chat::{PromptMessage, Role};

/// Between the numbers of prompts that are asked at once.
const STREAMS_APART: u32 = 1000;

/// How prompts get their size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sizing {
    /// The served model's tokenizer counts them.
    Tokenizer,
    /// They have so many tokens a word by the server's count of the warm-up.
    PerWord(f64),
}

impl Sizing {
    /// Before any server has told.
    pub(crate) const GUESS: Self = Self::PerWord(TOKENS_PER_WORD);
}

impl Session<'_> {
    /// The prompts of one repeat, and how they were sized.
    pub(crate) async fn prompts(
        &self,
        repeat: u32,
        sizing: Sizing,
    ) -> Result<(Vec<Prompt>, Sizing), BenchError> {
        let numbers = (0..self.wanted.case.concurrency).map(|n| repeat + n * STREAMS_APART);
        let mut prompts = Vec::new();
        let mut by = sizing;
        for number in numbers {
            let sized = match by {
                Sizing::Tokenizer => self.sized(number).await?,
                Sizing::PerWord(_) => None,
            };
            if sized.is_none() && by == Sizing::Tokenizer {
                by = Sizing::GUESS;
            }
            prompts.push(sized.unwrap_or_else(|| self.of_words(number, by)));
        }
        Ok((prompts, by))
    }

    /// The numbered prompt; `None` where the tokenizer cannot be asked.
    async fn sized(&self, number: u32) -> Result<Option<Prompt>, BenchError> {
        let case = &self.wanted.case;
        let mark = mark(&self.wanted.id.0, number);
        // A tokenizer makes a token of a word at least.
        let words = words(number, case.size() as usize);
        let with = |context: &str, prompt: &str| messages(case.depth > 0, context, prompt);
        let marked = |text: &str| format!("{mark} {text}");
        let Some(empty) = self.count(with("", "")).await? else {
            return Ok(None);
        };
        // The one that stands first is marked. llama-benchy's sizes have all in them, so its mark is one of its words.
        let mut context = (String::new(), 0);
        let prompt;
        let (messages, wanted) = match (case.method, case.depth) {
            (BenchMethod::Tandem, _) => {
                if case.depth > 0 {
                    let make = |text: &str| with(text, "");
                    let Some(found) = self.fitted(&words, case.depth, empty, &make).await? else {
                        return Ok(None);
                    };
                    context = found;
                }
                let make = |text: &str| with(&context.0, text);
                let base = empty + context.1;
                let rest = behind(&words, &context.0);
                let Some(found) = self.fitted(rest, case.prompt_tokens, base, &make).await? else {
                    return Ok(None);
                };
                prompt = found;
                let made = match case.depth {
                    0 => with("", &marked(&prompt.0)),
                    _ => with(&marked(&context.0), &prompt.0),
                };
                (made, context.1 + prompt.1)
            }
            (BenchMethod::LlamaBenchy, 0) => {
                let make = |text: &str| with("", &marked(text));
                let Some(found) = self.fitted(&words, case.prompt_tokens, 0, &make).await? else {
                    return Ok(None);
                };
                (make(&found.0), found.1)
            }
            (BenchMethod::LlamaBenchy, _) => {
                let make = |text: &str| with("", text);
                let Some(found) = self
                    .fitted(&words, case.prompt_tokens, empty, &make)
                    .await?
                else {
                    return Ok(None);
                };
                prompt = found;
                let make = |text: &str| with(&marked(text), &prompt.0);
                let rest = behind(&words, &prompt.0);
                let Some(found) = self.fitted(rest, case.size(), 0, &make).await? else {
                    return Ok(None);
                };
                (make(&found.0), found.1)
            }
        };
        let all = self.count(messages.clone()).await?;
        Ok(all.map(|all| Prompt {
            messages,
            counted: Some(Counted {
                all,
                extra: all.saturating_sub(wanted),
            }),
        }))
    }

    /// The words whose messages have `wanted` tokens more than `base`, with how many they have.
    async fn fitted(
        &self,
        words: &[String],
        wanted: u32,
        base: u32,
        make: &(dyn Fn(&str) -> Vec<PromptMessage> + Sync),
    ) -> Result<Option<(String, u32)>, BenchError> {
        let mut fit = SizeSearch::new(words, wanted);
        loop {
            let Some(all) = self.count(make(&fit.text())).await? else {
                return Ok(None);
            };
            if let Some(found) = fit.hear(all.saturating_sub(base)) {
                return Ok(Some(found));
            }
        }
    }

    /// The numbered prompt without a tokenizer.
    fn of_words(&self, number: u32, by: Sizing) -> Prompt {
        let case = &self.wanted.case;
        let per_word = match by {
            Sizing::PerWord(tokens) if tokens > 0.0 => tokens,
            _ => TOKENS_PER_WORD,
        };
        let count = |tokens: u32| (f64::from(tokens) / per_word).round().max(1.0) as usize;
        let context = if case.depth > 0 { count(case.depth) } else { 0 };
        let words = words(number, context + count(case.prompt_tokens));
        let (context, prompt) = words.split_at(context);
        let (context, prompt) = (context.join(" "), prompt.join(" "));
        let mark = mark(&self.wanted.id.0, number);
        let messages = match case.depth {
            0 => messages(false, "", &format!("{mark} {prompt}")),
            _ => messages(true, &format!("{mark} {context}"), &prompt),
        };
        Prompt {
            messages,
            counted: None,
        }
    }

    /// The tokens of a prompt with the template; `None` where the server does not tell.
    async fn count(&self, messages: Vec<PromptMessage>) -> Result<Option<u32>, BenchError> {
        let request = self.request(messages, self.wanted.patience_s);
        match self.ask("Prompt", self.api.prompt_tokens(&request)).await {
            Ok(tokens) => Ok(tokens),
            Err(BenchError::Cancelled) => Err(BenchError::Cancelled),
            // Whatever ails the server is told of the request that follows.
            Err(_) => Ok(None),
        }
    }
}

/// The words behind those of a text that was made of the first of them.
fn behind<'a>(words: &'a [String], text: &str) -> &'a [String] {
    let used = text.split_whitespace().count();
    &words[used.min(words.len().saturating_sub(1))..]
}

/// The context as the system's message, as llama-benchy has it, and the prompt as the person's.
fn messages(with_context: bool, context: &str, prompt: &str) -> Vec<PromptMessage> {
    let message = |role, text: &str| PromptMessage {
        role,
        text: text.to_owned(),
        images: Vec::new(),
    };
    let context = with_context.then(|| message(Role::System, context));
    context
        .into_iter()
        .chain([message(Role::User, prompt)])
        .collect()
}
