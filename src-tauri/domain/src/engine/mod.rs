//! What is known of the programs that serve models. Each has a folder; the rest of Tandem asks the trait.

mod cache;
pub mod causes;
mod exceptions;
pub mod llama_cpp;
pub mod metrics;
pub mod setting;
mod shown_only;
pub mod vllm;

use crate::container::ContainerSpec;
use crate::fit::{Ask, Attention};
use crate::machine::Facts;
use crate::node::GraftReceipt;
use crate::problem::Problem;
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{EngineKind, Variant};

use causes::Cause;
use metrics::{Acceptance, Metrics, ServerLoad};
use setting::Setting;

/// Where a starting server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// What it is doing, for people.
    pub doing: String,
    /// How much of it is done, and of how much, where the log says.
    pub done: Option<(u64, u64)>,
    /// What is counted.
    pub unit: &'static str,
}

/// What a rank says of its meeting with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// It waits for them.
    Waits,
    /// They have met.
    Met,
}

/// What one rank finds on its machine.
#[derive(Debug, Clone, Copy)]
pub struct OnDisk<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// The served artifact, absolute.
    pub snapshot: &'a str,
    /// The artifact that drafts, absolute; none where the plan has none.
    pub draft: Option<&'a str>,
    /// The artifact whose tokenizer is used, absolute; none where it is the served one's.
    pub tokenizer: Option<&'a str>,
    /// The MTP layers; only for a variant that drafts with them.
    pub graft: Option<&'a GraftReceipt>,
    /// Whether blobs of these artifacts are links into the store that all repositories share, `hub/blobs`.
    pub shared_store: bool,
}

/// What an engine knows. No method does anything.
pub trait Engine: Send + Sync {
    /// Its name for people.
    fn title(&self) -> &'static str;

    /// The container of one rank.
    fn container(
        &self,
        plan: &LaunchPlan,
        variant: &Variant,
        rank: usize,
        found: &OnDisk<'_>,
    ) -> Result<ContainerSpec, Problem>;

    /// Why it gives each word of its own to a launch: pairs of an item, as in
    /// [`Difference`](crate::recipe::published::Difference), and a sentence.
    fn explained(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The TCP ports of fixed numbers that a rank opens on every interface of its machine. The firewall closes
    /// them to all networks but the private link.
    fn open_ports(&self, plan: &LaunchPlan) -> Vec<u16>;

    /// The command of the head as one would type it, before anything was looked at.
    fn shown(&self, plan: &LaunchPlan, variant: &Variant) -> String;

    /// Reads one line of a log; `None` if it says nothing about where the server is.
    fn phase(&self, line: &str) -> Option<Phase>;

    /// What one line of a rank's log says of its meeting with the others. An engine of one rank has none.
    fn meeting(&self, _line: &str) -> Option<Meeting> {
        None
    }

    /// What its log says of why it ended.
    fn causes(&self) -> &'static [Cause];

    /// What its log says when something else made it wait.
    fn consequences(&self) -> &'static [Cause] {
        &[]
    }

    /// Whether the log of a start shows that drafting was taken up; `None` where it does not say.
    fn drafts(&self, _log: &[String]) -> Option<bool> {
        None
    }

    /// How the drafted tokens between two scrapes fared; `None` where the server does not draft.
    fn acceptance(&self, _before: &Metrics, _after: &Metrics) -> Option<Acceptance> {
        None
    }

    /// What its counters say of its work.
    fn load(&self, _metrics: &Metrics) -> ServerLoad {
        ServerLoad::default()
    }

    /// What a launch needs of the memory. `weights` and `grafted` are bytes; `grafted` are those that come
    /// from beside the checkpoint.
    fn memory(&self, plan: &LaunchPlan, weights: u64, grafted: u64) -> Ask;

    /// Takes out of a plan what the engine of its image does nothing with, and notes why.
    fn leave_out(&self, _plan: &mut LaunchPlan) {}

    /// What the engine of a plan's image would refuse, known before anything is fetched.
    fn refused(&self, _plan: &LaunchPlan) -> Vec<Problem> {
        Vec::new()
    }

    /// Whether its server answers Anthropic's API of messages beside that of OpenAI.
    fn answers_messages(&self) -> bool {
        false
    }

    /// What a refusal of its server says: tokens of the window and of the prompt. `None` where it is about something else.
    fn refused_window(&self, _message: &str) -> Option<(u32, u32)> {
        None
    }

    /// Its settings for a recipe, with their limits.
    fn settings(&self, recipe: &crate::recipe::Recipe) -> Vec<Setting>;

    /// What a model's attention keeps, from its configuration; the error says what stands against a forecast.
    /// `drafting` says whether the chosen variant drafts.
    fn attention(&self, config: &serde_json::Value, drafting: bool) -> Result<Attention, String> {
        Attention::read(config, drafting)
    }
}

/// The engine of this kind.
pub fn of(kind: EngineKind) -> &'static dyn Engine {
    match kind {
        EngineKind::Vllm => &vllm::VllmEngine,
        EngineKind::LlamaCpp => &llama_cpp::LlamaCppEngine,
        EngineKind::Sglang => &shown_only::ShownEngine("SGLang"),
        EngineKind::Transformers => &shown_only::ShownEngine("Transformers"),
    }
}
