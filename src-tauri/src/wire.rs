//! Shapes that only the window needs: domain types gathered for one screen.

pub mod disk;
pub mod elsewhere;
pub mod recipes;

use serde::{Deserialize, Serialize};
use specta::Type;
use tandem_domain::chat::Sampling;
use tandem_domain::chat::controls::LevelsOfReasoning;
use tandem_domain::engine::setting::Setting;
use tandem_domain::fit::Fit;
use tandem_domain::ids::{ConversationId, MachineId, RunId};
use tandem_domain::machine::Facts;
use tandem_domain::network::cabling::Cabling;
use tandem_domain::network::health::Finding;
use tandem_domain::network::verdict::LinkReport;
use tandem_domain::node::Survey;
use tandem_domain::problem::Problem;
use tandem_domain::procedure::link::LinkRequest;
use tandem_domain::procedure::request::SetupRequest;
use tandem_domain::recipe::{EngineKind, RecipeId, VariantId};
use tandem_domain::run::{Plan, RunSummary};

pub use tandem_domain::neighbours::{FoundBy, Neighbour};

/// What the window shows around every screen.
#[derive(Debug, Clone, Serialize, Type)]
pub struct Overview {
    /// Counts changes: of two overviews the one with the smaller number is the older.
    pub revision: u32,
    /// Tandem's version.
    pub version: String,
    /// Whether the machines are rehearsed ones.
    pub rehearsal: bool,
    /// Where Tandem keeps its files on this computer.
    pub data_dir: String,
    /// The machines, head first.
    pub machines: Vec<MachineView>,
    /// Runs that were interrupted and can be resumed or undone.
    pub interrupted: Vec<RunSummary>,
    /// The run that goes on right now.
    pub live_run: Option<RunSummary>,
    /// What is served, as far as the last run tells.
    pub serving: Option<Serving>,
    /// Whether a run has come to its end on these machines and was not undone: nothing is left to set up.
    pub ready: bool,
    /// Whether this computer holds a Hub token.
    pub hub_token: bool,
}

/// One machine.
#[derive(Debug, Clone, Serialize, Type)]
pub struct MachineView {
    /// Its identity here.
    pub id: MachineId,
    /// Its name.
    pub name: String,
    /// Host name or IP address.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// The pinned host key's fingerprint.
    pub fingerprint: String,
    /// What was seen last.
    pub facts: Option<Facts>,
    /// The folder of the models that the person chose; `None` leaves it to the machine's environment.
    pub cache: Option<String>,
    /// Whether it answered the last time it was asked.
    pub reachable: Option<bool>,
    /// Why not, or what is not as it should be.
    pub problems: Vec<Problem>,
    /// Whether Tandem can become root there.
    pub sudo: SudoAccess,
}

/// See [`MachineView::sudo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "kebab-case")]
pub enum SudoAccess {
    /// Without a password.
    Free,
    /// With the password that was typed in this session.
    PasswordHeld,
    /// The password must be typed once more.
    PasswordNeeded,
}

/// A model that is served.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Serving {
    /// The name that requests use.
    pub model: String,
    /// The head's id.
    pub machine: MachineId,
    /// The head's name.
    pub machine_name: String,
    /// The port on the head's loopback.
    pub port: u16,
    /// What it was launched from; `None` of what an earlier Tandem launched.
    #[serde(default)]
    pub recipe: Option<RecipeId>,
    /// The program that serves.
    #[serde(default)]
    pub engine: EngineKind,
    /// The variant's name within its recipe.
    #[serde(default)]
    pub variant: String,
    /// The variant's name for people, such as `MTP, 3 tokens`.
    #[serde(default)]
    pub label: String,
    /// Tokens drafted at a time; `None` without drafting.
    pub speculative_tokens: Option<u32>,
    /// The run that launched it.
    pub run: RunId,
    /// Generated tokens per second, as the run measured.
    #[specta(type = Option<specta_typescript::Number>)]
    pub tg_tps: Option<f64>,
    /// How many times as fast as plain, as the run measured.
    #[specta(type = Option<specta_typescript::Number>)]
    pub against_plain: Option<f64>,
    /// Tokens of context.
    pub max_model_len: u32,
    /// How it is told how much to reason; `None` where it does not reason, or an earlier Tandem launched it.
    #[serde(default)]
    pub reasoning: Option<LevelsOfReasoning>,
    /// Whether it takes images, as its recipe says; `None` where an earlier Tandem launched it.
    #[serde(default)]
    pub pictures: Option<bool>,
    /// Whether it calls tools, as its recipe says.
    #[serde(default)]
    pub tools: bool,
    /// The model's own sampling, from its `generation_config.json`.
    #[serde(default)]
    pub sampling: Sampling,
}

/// What answers at an address, before anything is sent there.
#[derive(Debug, Clone, Serialize, Type)]
pub struct HostProbe {
    /// As it was asked for.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// For example `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// The key itself; goes back with [`NewMachine`].
    pub host_key: String,
    /// The user that `~/.ssh/config` names for it.
    pub user: Option<String>,
    /// Who has vouched for the key so far.
    pub known: KeyKnown,
}

/// What the person's own ssh knows of a host key. A key that it would refuse is an error instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Type)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKnown {
    /// Nothing.
    No,
    /// This key, for this address.
    ToSsh,
    /// The address, by keys of other kinds.
    ByAnotherKind,
}

/// A machine to add.
#[derive(Debug, Clone, Deserialize, Type)]
pub struct NewMachine {
    /// Host name, IP address or alias.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// Needed unless a key is accepted. Kept in memory only.
    pub password: Option<String>,
    /// The host key the person accepted, as [`HostProbe::host_key`] gave it.
    pub host_key: String,
}

/// How a machine is reached from now on.
#[derive(Debug, Clone, Deserialize, Type)]
pub struct ChangedMachine {
    /// Host name, IP address or alias.
    pub address: String,
    /// SSH port.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// Needed unless a key is accepted. Kept in memory only.
    pub password: Option<String>,
    /// The folder of the models, absolute; empty leaves it to the machine's environment.
    pub cache: String,
}

/// A plan to be looked at before it runs.
#[derive(Debug, Clone, Serialize, Type)]
pub struct PlanView {
    /// What was asked for.
    pub request: SetupRequest,
    /// What would be done; empty steps when there are problems.
    pub plan: Plan,
    /// Everything that stands against it.
    pub problems: Vec<Problem>,
    /// The recipe's name for people.
    pub title: String,
    /// The variants of the recipe.
    pub variants: Vec<VariantView>,
    /// The settings that apply, with their limits; the form is drawn from these.
    pub settings: Vec<Setting>,
}

/// A variant to choose.
#[derive(Debug, Clone, Serialize, Type)]
pub struct VariantView {
    /// Its name within the recipe.
    pub id: VariantId,
    /// Its name for people.
    pub label: String,
    /// What it is, in a sentence.
    pub what: Option<String>,
}

/// A run for the cable alone, to be looked at before it begins.
#[derive(Debug, Clone, Serialize, Type)]
pub struct LinkView {
    /// What was asked for.
    pub request: LinkRequest,
    /// What would be done.
    pub plan: Plan,
    /// Everything that stands against it.
    pub problems: Vec<Problem>,
}

/// Choices that are remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Settings {
    /// `system`, `light` or `dark`.
    pub theme: String,
    /// The Hub or a mirror of it.
    pub hub_endpoint: String,
    /// The screen that was open last.
    pub screen: String,
    /// How large text is: `normal`, `large` or `larger`.
    pub text_size: String,
    /// The recipes that the person marked.
    pub favourites: Vec<RecipeId>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: "system".into(),
            hub_endpoint: String::new(),
            screen: "setup".into(),
            text_size: "normal".into(),
            favourites: Vec::new(),
        }
    }
}

/// What is being written to the model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ChatDraft {
    /// Its words.
    pub text: String,
    /// Its pictures.
    pub images: Vec<DraftImage>,
}

/// A picture of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DraftImage {
    /// The image as it is kept.
    pub id: String,
    /// The name of its file.
    pub name: String,
}

/// A conversation changed, by this window or by another.
#[derive(Debug, Clone, Serialize, Type)]
pub struct ConversationNews {
    /// Which; `None` where it may be any of them.
    pub conversation: Option<ConversationId>,
}

/// What was taken in from a file.
#[derive(Debug, Clone, Default, Serialize, Type)]
pub struct ImportedChats {
    /// How many conversations.
    pub conversations: u32,
    /// How many messages, with their versions.
    pub messages: u32,
    /// Images and files that were left behind.
    pub left_out: u32,
    /// The last of the conversations.
    pub last: Option<ConversationId>,
}

/// A picked image as it is kept.
#[derive(Debug, Clone, Serialize, Type)]
pub struct ImageView {
    /// Its identity.
    pub id: String,
    /// `image/jpeg` or `image/png`.
    pub mime: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// About how many tokens of the prompt it takes.
    pub tokens: u32,
    /// What the person should know of it, in sentences; of a kept image nothing.
    pub notices: Vec<String>,
    /// The picture as a `data:` URL.
    pub url: String,
}

/// What the window hears while a benchmark runs.
#[derive(Debug, Clone, Serialize, Type)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum BenchEvent {
    /// It came further.
    Progress {
        /// Requests done.
        done: u32,
        /// Requests in all.
        total: u32,
        /// What is being done.
        doing: String,
    },
}

/// Everything that is known about the machines together: their health and their cable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct PairView {
    /// What the facts mean, the worst first.
    pub findings: Vec<Finding>,
    /// The rear panels; `None` while no machine was looked at.
    pub cabling: Option<Cabling>,
    /// The last measurement of the link; `None` if there is none.
    pub link: Option<LinkReport>,
}

/// What lies ahead of a set-up on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Type)]
pub struct MachineAhead {
    /// Its identity here.
    pub id: MachineId,
    /// Its name.
    pub name: String,
    /// What is on its disk.
    pub survey: Option<Survey>,
    /// Whether the model fits its memory; `None` where the model does not say enough to reckon.
    pub fit: Option<Fit>,
    /// Why it could not be looked at.
    pub problem: Option<Problem>,
}
