//! stub
use tandem_domain::problem::{Code, Problem};
pub struct App;
use crate::wire::*;
use tandem_domain::{bench::*, chat::*, recipe::*, run::*};
use tauri::ipc::Channel;
impl App {
    pub async fn overview(&self) -> Result<Overview, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn known_hosts(&self) -> Result<Vec<KnownHost>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn probe_host(&self, _address: &str, _port: u16) -> Result<HostProbe, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn add_machine(&self, _machine: NewMachine) -> Result<MachineView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn remove_machine(&self, _id: &str) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn refresh_machine(&self, _id: &str) -> Result<MachineView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn give_password(
        &self,
        _id: &str,
        _password: String,
    ) -> Result<MachineView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn start_rehearsal(&self) -> Result<Overview, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn leave_rehearsal(&self) -> Result<Overview, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn propose_setup(&self) -> Result<PlanView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn plan_setup(&self, _request: SetupRequest) -> Result<PlanView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn start_setup(&self, _request: SetupRequest) -> Result<RunId, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn watch_run(
        &self,
        _id: &RunId,
        _after_seq: u64,
        _signals: Channel<RunSignal>,
    ) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn cancel_run(&self, _id: &RunId) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn resume_run(&self, _id: &RunId) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn undo_run(&self, _id: &RunId) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn list_runs(&self) -> Result<Vec<RunSummary>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn run_detail(&self, _id: &RunId) -> Result<RunDetail, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn step_log(&self, _id: &RunId, _step: &str) -> Result<Vec<String>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn run_report(&self, _id: &RunId) -> Result<String, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn run_benchmark(
        &self,
        _case: BenchCase,
        _label: String,
        _events: Channel<BenchEvent>,
    ) -> Result<BenchResult, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn stop_benchmark(&self) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn list_benchmarks(&self) -> Result<Vec<BenchResult>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn compare_benchmarks(&self, _a: &str, _b: &str) -> Result<Comparison, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn rename_benchmark(&self, _id: &str, _label: &str) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn delete_benchmark(&self, _id: &str) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn list_conversations(&self) -> Result<Vec<ConversationSummary>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn conversation(&self, _id: &str) -> Result<Vec<Message>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn delete_conversation(&self, _id: &str) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn add_image(&self, _bytes: Vec<u8>) -> Result<ImageView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn image(&self, _id: &str) -> Result<ImageView, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn send_message(
        &self,
        _conversation: Option<String>,
        _text: String,
        _images: Vec<String>,
        _thinking: bool,
        _events: Channel<ChatEvent>,
    ) -> Result<String, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn stop_answer(&self, _answer: &str) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn settings(&self) -> Result<Settings, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn save_settings(&self, _settings: Settings) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn set_hub_token(&self, _token: Option<String>) -> Result<Option<Problem>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn check_serving(&self) -> Result<Option<Serving>, Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
    pub async fn stop_serving(&self) -> Result<(), Problem> {
        Err(Problem::new(Code::Broken, "not wired"))
    }
}
