//! Whether a model fits the memory of the machines it is to be served on, with the arithmetic.
//!
//! A Spark has one memory for everything. The engine is given a share of it, puts
//! its part of the weights there, keeps what it needs to compute, and gives the rest to the KV cache,
//! which must hold at least one request of the full context.
//!
//! The forecast was compared with a real start of a model of 129 GB over two Sparks: weights within 3 %,
//! tokens of KV cache within 5 %. A measured start is always better than a forecast.

mod attention;

use serde::{Deserialize, Serialize};

pub use attention::{Attention, Layers, PerToken};

const GIB: f64 = (1_u64 << 30) as f64;

/// What is to be served, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The engine's name.
    pub engine: &'static str,
    /// Machines that the model is split over.
    pub ranks: u32,
    /// Bytes of the weights.
    pub weights: u64,
    /// Bytes of MTP layers that come from elsewhere; 0 if they are among the weights or not used.
    pub grafted: u64,
    /// Bytes that the engine keeps beside weights and KV cache on each machine.
    pub working: u64,
    /// Where that figure comes from, as the end of a sentence.
    pub working_source: String,
    /// Tokens of context.
    pub context: u32,
    /// Share of the memory that the engine may take, 0 to 1.
    pub share: f64,
    /// Bytes of one number in the KV cache: 1 for fp8, 2 for bf16.
    pub kv_element: u32,
    /// Tokens computed at once.
    pub batched_tokens: u32,
}

/// One machine's forecast. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Fit {
    /// What the engine may take there.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub budget: u64,
    /// What it needs at least, part by part.
    pub parts: Vec<FitPart>,
    /// How it stands.
    pub verdict: FitVerdict,
    /// The verdict in a sentence, with what to do where it does not fit.
    pub says: String,
    /// How many requests of the full context fit at once; `None` where not even one does.
    #[cfg_attr(feature = "bindings", specta(type = Option<specta_typescript::Number>))]
    pub requests: Option<f64>,
}

/// One summand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct FitPart {
    /// What it is.
    pub what: String,
    /// Bytes.
    #[cfg_attr(feature = "bindings", specta(type = specta_typescript::Number))]
    pub bytes: u64,
    /// How it was reckoned.
    pub how: String,
}

/// See [`Fit::verdict`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum FitVerdict {
    /// It fits.
    Fits,
    /// It fits, but something else takes the memory at the moment.
    Occupied,
    /// The weights fit, one request of the full context does not.
    ContextTooLong,
    /// The weights do not fit.
    TooLarge,
    /// The weights fit; what the KV cache takes is not known.
    CacheUnknown,
}

/// Reckons for a machine with this memory, of which so much is available now. `attention` is what
/// [`Attention::read`] said of the model.
pub fn fit(ask: &Ask, attention: &Result<Attention, String>, memory: u64, available: u64) -> Fit {
    let split = u64::from(ask.ranks.max(1));
    let budget = (memory as f64 * ask.share) as u64;
    let mut parts = vec![FitPart {
        what: "Weights".into(),
        bytes: ask.weights / split,
        how: match split {
            1 => "the safetensors files".into(),
            n => format!(
                "{} of safetensors, split over {n} machines",
                gib(ask.weights)
            ),
        },
    }];
    if ask.grafted > 0 {
        parts.push(FitPart {
            what: "MTP layers".into(),
            bytes: ask.grafted / split,
            how: "they come beside the checkpoint, in BF16".into(),
        });
    }
    parts.push(FitPart {
        what: "To compute with".into(),
        bytes: ask.working,
        how: format!(
            "activations, CUDA, NCCL and CUDA graphs, {}",
            ask.working_source
        ),
    });
    let fixed = parts
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
    let room = budget.saturating_sub(fixed);
    let occupied = |says: &str| {
        format!(
            "{says}, but only {} of {} are free at the moment, and {} does not start below {}. Stop what runs there.",
            gib(available),
            gib(memory),
            ask.engine,
            gib(budget)
        )
    };
    let mut requests = None;
    let (verdict, says) = match attention {
        _ if budget < fixed => (
            FitVerdict::TooLarge,
            format!(
                "It does not fit: {} are needed before the first token, and {} may take {} of {}. {}",
                gib(fixed),
                ask.engine,
                gib(budget),
                gib(memory),
                match split {
                    1 => "Use two machines, or a smaller model.",
                    _ => "Use a smaller model.",
                }
            ),
        ),
        Err(_) if available < budget => (FitVerdict::Occupied, occupied("The weights fit")),
        Err(why) => (
            FitVerdict::CacheUnknown,
            format!(
                "The weights fit, and {} are left for the KV cache. How much of it a request takes is not known before the start: {why}.",
                gib(room)
            ),
        ),
        Ok(attention) => {
            let request = attention.request(ask.context, ask);
            parts.push(FitPart {
                what: "KV cache".into(),
                bytes: request,
                how: attention.says(ask.context),
            });
            if room < request {
                (
                    FitVerdict::ContextTooLong,
                    format!(
                        "The weights fit, but {} are left for a KV cache of {}. {}",
                        gib(room),
                        gib(request),
                        match longest(ask, attention, room) {
                            0 => "Not even a context of 1024 tokens fits.".to_owned(),
                            n => format!("A context of {n} tokens fits."),
                        }
                    ),
                )
            } else {
                requests = (request > 0).then(|| room as f64 / request as f64);
                match available < budget {
                    true => (FitVerdict::Occupied, occupied("It fits")),
                    false => (
                        FitVerdict::Fits,
                        format!("It fits: {} are left for the KV cache.", gib(room)),
                    ),
                }
            }
        }
    };
    Fit {
        budget,
        parts,
        verdict,
        says,
        requests,
    }
}

/// The longest context, in whole steps of 1024 tokens, of which one request has room.
pub fn longest(ask: &Ask, attention: &Attention, room: u64) -> u32 {
    let steps: Vec<u32> = (1..=ask.context / 1024).collect();
    let fitting = steps.partition_point(|n| attention.request(n * 1024, ask) <= room);
    fitting as u32 * 1024
}

/// Bytes as memory is spoken of.
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// A model of 129 GB as a real start had it, the checkpoint's 14 shards in all.
    pub(super) fn ask() -> Ask {
        Ask {
            engine: "vLLM",
            ranks: 2,
            weights: 129_000_000_000,
            grafted: 0,
            working: 6925 << 20,
            working_source: "as measured".into(),
            context: 262_144,
            share: 0.85,
            kv_element: 1,
            batched_tokens: 8192,
        }
    }

    fn step37() -> Value {
        let kinds: Vec<&str> = (0..48)
            .map(|l| match l {
                l if l < 45 && l % 4 == 0 => "full_attention",
                _ => "sliding_attention",
            })
            .collect();
        serde_json::json!({"text_config": {
            "num_hidden_layers": 45, "num_nextn_predict_layers": 3, "sliding_window": 512,
            "num_attention_heads": 64, "num_attention_groups": 8, "head_dim": 128,
            "layer_types": kinds,
        }})
    }

    fn attention() -> Attention {
        Attention::read(&step37(), true).expect("the config says everything")
    }

    const SPARK: u64 = 127_600_748 << 10;

    fn near(found: f64, real: f64, share: f64) {
        let off = (found / real - 1.0).abs();
        assert!(off < share, "{found} is {off:.3} away from {real}");
    }

    #[test]
    fn the_forecast_is_near_a_real_start_over_two_sparks() {
        let attention = attention();
        assert_eq!((attention.full.count, attention.sliding.count), (12, 36));
        let fit = fit(&ask(), &Ok(attention), SPARK, 118 << 30);
        assert_eq!(fit.verdict, FitVerdict::Fits, "{}", fit.says);
        // As vLLM said: model loading took 60.94 GiB; 11.32x for 262,144 tokens.
        near(fit.parts[0].bytes as f64 / GIB, 60.94, 0.03);
        near(fit.requests.expect("some fit"), 11.32, 0.05);
    }

    #[test]
    fn on_one_spark_or_on_small_ones_the_weights_do_not_fit() {
        let alone = Ask { ranks: 1, ..ask() };
        let one = fit(&alone, &Ok(attention()), SPARK, SPARK);
        assert_eq!(one.verdict, FitVerdict::TooLarge);
        assert!(one.says.ends_with("Use two machines, or a smaller model."));
        let small = fit(&ask(), &Ok(attention()), SPARK / 2, SPARK / 2);
        assert_eq!(small.verdict, FitVerdict::TooLarge);
        assert!(
            small.says.ends_with("Use a smaller model."),
            "{}",
            small.says
        );
    }

    #[test]
    fn a_context_that_is_too_long_names_the_longest_that_fits() {
        let ask = Ask {
            context: 262_144,
            kv_element: 2,
            weights: 195_000_000_000,
            ..ask()
        };
        let attention = attention();
        let found = fit(&ask, &Ok(attention), SPARK, SPARK);
        assert_eq!(found.verdict, FitVerdict::ContextTooLong, "{}", found.says);
        let room = found.budget - found.parts[..2].iter().map(|p| p.bytes).sum::<u64>();
        let longest = longest(&ask, &attention, room);
        assert!((1024..262_144).contains(&longest));
        assert!(attention.request(longest, &ask) <= room);
        assert!(attention.request(longest + 1024, &ask) > room);
        assert!(found.says.contains(&longest.to_string()));
    }

    #[test]
    fn memory_that_something_else_holds_is_said() {
        let found = fit(&ask(), &Ok(attention()), SPARK, 90 << 30);
        assert_eq!(found.verdict, FitVerdict::Occupied);
        assert!(found.says.contains("90.0 GiB"), "{}", found.says);
    }

    #[test]
    fn mtp_that_comes_beside_the_checkpoint_is_a_part_of_its_own() {
        let ask = Ask {
            grafted: 4_856_000_000,
            ..ask()
        };
        let found = fit(&ask, &Ok(attention()), SPARK, SPARK);
        assert_eq!(found.parts[1].bytes, 2_428_000_000);
    }

    #[test]
    fn what_the_cache_takes_is_not_guessed() {
        let found = fit(&ask(), &Err("it does not say".into()), SPARK, SPARK);
        assert_eq!(found.verdict, FitVerdict::CacheUnknown);
        assert!(
            found.says.ends_with("before the start: it does not say."),
            "{}",
            found.says
        );
        let large = Ask { ranks: 1, ..ask() };
        let found = fit(&large, &Err("it does not say".into()), SPARK, SPARK);
        assert_eq!(
            found.verdict,
            FitVerdict::TooLarge,
            "the weights are known all the same"
        );
    }
}
