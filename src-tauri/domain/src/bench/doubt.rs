//! Why an answer gives no figure that can be believed.

use crate::problem::{Code, Problem, Retry};

/// Why an answer is not taken for a measurement.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Doubt {
    /// The server does not say how many tokens there were.
    #[error("the server does not say how many tokens there were, and chunks are no tokens")]
    NotCounted,
    /// Fewer tokens than asked for.
    #[error("{wanted} tokens were asked for and the answer ended after {tokens}")]
    TooFew {
        /// Tokens that came.
        tokens: u32,
        /// Tokens asked for.
        wanted: u32,
    },
    /// More tokens than were allowed.
    #[error("the server counts {tokens} tokens where it was allowed {wanted}")]
    TooMany {
        /// Tokens by its count.
        tokens: u32,
        /// Tokens asked for.
        wanted: u32,
    },
    /// The count does not fit the words that came.
    #[error("the server counts {counted} tokens, and by what came there were about {seen}")]
    Counts {
        /// By the server.
        counted: u32,
        /// By what came.
        seen: u32,
    },
    /// The counts in the chunks do not fit the count at the end.
    #[error("the server counted {along} tokens while it answered and {counted} at the end")]
    CountsAlong {
        /// In the last chunk.
        along: u32,
        /// At the end.
        counted: u32,
    },
    /// The prompt's count is not the tokenizer's.
    #[error(
        "the server counts {counted} tokens of a prompt that has {expected} by its own tokenizer"
    )]
    PromptCounts {
        /// By the answer.
        counted: u32,
        /// By the tokenizer, with template and mark.
        expected: u32,
    },
    /// The prompt's count cannot be right for its words.
    #[error("the server counts {counted} tokens of a prompt of {words} words")]
    PromptWords {
        /// By the answer.
        counted: u32,
        /// Words that were sent.
        words: u32,
    },
    /// The server's own counters say something else than its answers.
    #[error(
        "the server's answers count {counted} generated tokens, and its own counters {counters}"
    )]
    Counters {
        /// By the answers.
        counted: u32,
        /// By the counters.
        counters: u32,
    },
    /// All of it came at one moment.
    #[error("all {tokens} tokens came at once, so there is no time to divide by")]
    AtOnce {
        /// How many.
        tokens: u32,
    },
    /// More than half of it came in a burst.
    #[error(
        "{tokens} of {of} tokens came within {:.0} ms after {silence_s:.1} s of silence, so something held them back",
        within_s * 1000.0
    )]
    Burst {
        /// In the burst.
        tokens: u32,
        /// In all.
        of: u32,
        /// How long the burst took.
        within_s: f64,
        /// How long nothing came before it.
        silence_s: f64,
    },
    /// It came faster than any machine generates.
    #[error(
        "{tokens} tokens came within {:.0} ms, which no machine generates, so something held them back",
        span * 1000.0
    )]
    TooFast {
        /// How many.
        tokens: u32,
        /// From the first to the last, in seconds.
        span: f64,
    },
    /// The server paused in the middle.
    #[error(
        "nothing came for {seconds:.1} s after token {after}, so the rate would be that of the pause"
    )]
    Stall {
        /// How long.
        seconds: f64,
        /// Tokens before it.
        after: u32,
    },
    /// Somebody else used the server meanwhile.
    #[error(
        "others used the server meanwhile: about {requests} requests and {tokens} tokens besides Tandem’s own"
    )]
    Others {
        /// Requests of others that were seen.
        requests: u32,
        /// Tokens that were generated for them, as far as the counters tell.
        tokens: u32,
    },
}

impl Doubt {
    /// Whether the next repeat may be without it.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Stall { .. } | Self::Others { .. })
    }

    /// The doubt in words, once nothing could be measured because of it.
    pub(crate) fn problem(&self, doing: &str) -> Problem {
        let message = "The server's speed was not measured.";
        match self {
            Self::TooFew { .. } => Problem::new(Code::ServerAnswer, message)
                .cause(format!("{doing}: {self}."))
                .fix("Measure a server that goes on past the end of an answer when it is asked to (`ignore_eos`), such as vLLM.")
                .retry(Retry::Now),
            Self::Burst { .. } | Self::AtOnce { .. } | Self::TooFast { .. } => {
                Problem::new(Code::ServerAnswer, message)
                    .cause(format!("{doing}: {self}."))
                    .fix("Measure the server without a proxy in between, and without a parser that waits for the end of the reasoning.")
                    .retry(Retry::Now)
            }
            Self::Stall { .. } => Problem::new(Code::ServerAnswer, message)
                .cause(format!("{doing}: {self}."))
                .fix("Look at the server's log and at the link between the machines, then measure again.")
                .retry(Retry::Now),
            Self::Others { .. } => Problem::new(Code::Locked, message)
                .cause(format!("{doing}: {self}."))
                .fix("Measure when nobody else uses the server, or choose to measure beside them; the result says so then.")
                .retry(Retry::Now),
            Self::NotCounted
            | Self::TooMany { .. }
            | Self::Counts { .. }
            | Self::CountsAlong { .. }
            | Self::PromptCounts { .. }
            | Self::PromptWords { .. }
            | Self::Counters { .. } => Problem::new(Code::ServerAnswer, message)
                .cause(format!("{doing}: {self}."))
                .fix("Measure a server that counts its tokens (`usage`) as they are, such as vLLM, without a proxy that changes the counts."),
        }
    }
}
