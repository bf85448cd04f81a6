//! The pace of a pair of Sparks: when which tokens come, and what the drafting made of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::link::Link;
use super::log::take;
use super::metrics::Metrics;
use super::speech::{Reply, filler, tokens};

/// Tokens of a prompt read in a second.
const PREFILL_RATE: f64 = 1500.0;
/// Seconds of a step that makes one token.
const STEP: f64 = 0.05;
/// How much longer a step becomes with every drafted token.
const DRAFT_SHARE: f64 = 0.373;
/// Chance that a drafted token is taken, given that those before it were: as measured on two Sparks.
const TAKEN: [f64; 3] = [0.876, 0.744, 0.669];

/// What serves requests.
pub(crate) struct Engine {
    pub(crate) served: Vec<String>,
    pub(crate) root: String,
    pub(crate) max_len: u64,
    pub(crate) drafting: Option<u64>,
    pub(crate) link: Option<Link>,
    /// How long a step may take before the engine gives up.
    pub(crate) patience: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) key: Option<String>,
    /// The origins whose pages may use it; `*` stands for all.
    pub(crate) origins: Vec<String>,
    pub(crate) requests: AtomicU64,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) prompt_tokens: u64,
    pub(crate) reply: Reply,
    pub(crate) max_tokens: u64,
    pub(crate) ignore_eos: bool,
}

/// What one step gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) reasoning: String,
    pub(crate) content: String,
    /// Tokens of the answer so far, thoughts among them.
    pub(crate) tokens: u64,
    pub(crate) reasoning_tokens: u64,
    pub(crate) finish: Option<&'static str>,
}

/// The engine gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dead;

/// A request counts as running until this is dropped, however it ends.
struct Running {
    engine: Arc<Engine>,
    finish: &'static str,
    since: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        let (finish, seconds) = (self.finish, self.since.elapsed().as_secs_f64());
        self.engine.metrics.change(|c| {
            c.running -= 1;
            *c.finished.entry(finish).or_default() += 1;
            c.whole(seconds);
        });
    }
}

/// Chances that repeat for the same seed.
struct Chance(u64);

impl Chance {
    fn hit(&mut self, share: f64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 / (1u64 << 53) as f64) < share
    }
}

impl Engine {
    /// Whether it still answers.
    pub(crate) fn is_dead(&self) -> bool {
        self.link.as_ref().is_some_and(Link::is_dead)
    }

    async fn step(&self, seconds: f64) -> Result<(), Dead> {
        if let Some(link) = &self.link {
            link.step(self.patience).await;
        }
        if self.is_dead() {
            return Err(Dead);
        }
        let crowd = self.metrics.read().running.saturating_sub(1) as f64;
        take(seconds * (1.0 + 0.15 * crowd)).await;
        Ok(())
    }

    /// Starts a request; its pieces come as they are made, until nobody listens any more.
    pub(crate) fn start(self: &Arc<Self>, job: Job) -> mpsc::Receiver<Result<Piece, Dead>> {
        let (out, pieces) = mpsc::channel(4);
        let engine = self.clone();
        tokio::spawn(async move {
            // A listener who left ends the request, even while a step hangs.
            tokio::select! {
                ended = engine.run(job, &out) => if ended == Err(Dead) {
                    let _ = out.send(Err(Dead)).await;
                },
                () = out.closed() => {}
            }
        });
        pieces
    }

    async fn run(
        self: &Arc<Self>,
        job: Job,
        out: &mpsc::Sender<Result<Piece, Dead>>,
    ) -> Result<(), Dead> {
        self.metrics.change(|c| {
            c.running += 1;
            c.prompt_tokens += job.prompt_tokens;
        });
        let mut running = Running {
            engine: self.clone(),
            finish: "abort",
            since: Instant::now(),
        };
        let thoughts = tokens(&job.reply.reasoning);
        let answer = tokens(&job.reply.answer);
        let own = thoughts.len() + answer.len();
        let mut chance = Chance(
            job.prompt_tokens.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                ^ self.requests.fetch_add(1, Ordering::Relaxed) << 17
                | 1,
        );
        let mut made: u64 = 0;
        self.step(0.03 + job.prompt_tokens as f64 / PREFILL_RATE)
            .await?;
        let mut last = Instant::now();
        loop {
            // The first token comes out of the prefill; from then on every step drafts.
            let drafted = self.drafting.filter(|_| made > 0);
            let mut count = 1;
            if let Some(k) = drafted {
                while count <= k && chance.hit(TAKEN[(count as usize - 1).min(2)]) {
                    count += 1;
                }
            }
            if made > 0 {
                self.step(STEP * (1.0 + DRAFT_SHARE * drafted.unwrap_or(0) as f64))
                    .await?;
            }
            let mut piece = Piece::default();
            let mut got = 0;
            while got < count && piece.finish.is_none() {
                let at = made as usize;
                match (
                    thoughts.get(at),
                    answer.get(at.wrapping_sub(thoughts.len())),
                ) {
                    (Some(token), _) => piece.reasoning.push_str(token),
                    (None, Some(token)) => piece.content.push_str(token),
                    (None, None) => piece.content.push_str(&filler(at - own)),
                }
                made += 1;
                got += 1;
                if made >= job.max_tokens {
                    piece.finish = Some("length");
                } else if made as usize >= own && !job.ignore_eos {
                    piece.finish = Some("stop");
                }
            }
            piece.tokens = made;
            piece.reasoning_tokens = made.min(thoughts.len() as u64);
            let gap = last.elapsed().as_secs_f64();
            last = Instant::now();
            let first = made == got;
            let whole = running.since.elapsed().as_secs_f64();
            self.metrics.change(|c| {
                c.generation_tokens += got;
                if let Some(k) = drafted {
                    c.draft(k, got - 1);
                }
                if first {
                    c.first(whole);
                } else {
                    c.between(gap);
                }
            });
            let finish = piece.finish;
            if let Some(finish) = finish {
                running.finish = finish;
            }
            if out.send(Ok(piece)).await.is_err() || finish.is_some() {
                return Ok(());
            }
        }
    }
}
