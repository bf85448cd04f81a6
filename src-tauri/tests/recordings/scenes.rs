//! What is recorded: the questions of the window, asked of the app over a rehearsal.

use std::path::Path;

use serde_json::{Value, json};
use tandem::app::{App, Programs};
use tandem::wire::PlanView;
use tandem_domain::problem::Problem;
use tandem_domain::recipe::VariantId;
use tandem_domain::recipe::listing::Availability;

use crate::watched::watched;
use crate::{disks, imports, link_states, neighbours, normal, problems, used};

type Recordings = Vec<(&'static str, Value)>;

/// Every recording by its name: two rehearsals beside each other, which mostly wait.
pub(crate) async fn record() -> Recordings {
    let (mut all, others) = tokio::join!(rehearsed(Scenes::Server), rehearsed(Scenes::Others));
    all.extend(others);
    all.push(("network", link_states::states()));
    all.push(("neighbours", neighbours::neighbours()));
    all
}

/// What one rehearsal goes through.
#[derive(Clone, Copy)]
enum Scenes {
    /// A set-up on machines that know nothing of Tandem, what it serves, and its undoing.
    Server,
    /// Plans, problems, the link alone, a restart, and a set-up that fails.
    Others,
}

async fn rehearsed(scenes: Scenes) -> Recordings {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let programs = Programs::find(None);
    let standin = programs.standin().and_then(|p| p.metadata().ok());
    let standin = standin.map_or(0, |m| m.len());
    let app = App::open(folder.path(), programs).await;
    let app = app.unwrap_or_else(|problem| panic!("{problem}"));
    let recorded = match scenes {
        Scenes::Server => server(&app, folder.path()).await,
        Scenes::Others => others(&app).await,
    };
    let left = app.leave_rehearsal().await;
    let recorded = recorded.unwrap_or_else(|problem| panic!("{problem}"));
    left.unwrap_or_else(|problem| panic!("{problem}"));
    let named = |(name, value)| (name, normal::normal(&value, folder.path(), standin));
    recorded.into_iter().map(named).collect()
}

async fn server(app: &App, folder: &Path) -> Result<Recordings, Problem> {
    let empty = json!({"overview": app.overview().await?, "pair": app.pair().await?});
    let overview = app.start_rehearsal().await?;
    let machines = json!({"empty": empty, "overview": overview, "pair": app.pair().await?});
    let request = app.propose_setup().await?.request;
    let id = app.start_setup(request.clone()).await?;
    let setup = watched(app, &id, None).await?;
    let again = app.plan_again(&id).await?;
    assert_eq!(again.request, request, "a run is planned again as it was");
    let tested = app.test_traffic().await?;
    assert!(tested.guarded, "the key alone lets in: {tested:?}");
    assert!(app.access().await?.local.is_some(), "it stays open");
    app.close_local();
    assert_eq!(app.access().await?.local, None);
    let served = json!({
        "overview": app.overview().await?, "pair": app.pair().await?, "restart": app.propose_link(true).await?,
    });
    let benches = used::benches(app).await?;
    let serving = app.disks().await?;
    let chat = used::chat(app).await?;
    let disks = disks::disks(app, folder, serving).await?;
    let events = app.run_detail(&id).await?.events;
    app.undo_run(&id).await?;
    let undone = watched(app, &id, events.last().map(|e| e.seq)).await?;
    Ok(vec![
        ("machines", machines),
        ("setup", setup),
        ("served", served),
        ("benches", benches),
        ("chat", chat),
        ("disks", disks),
        ("undone", json!({"signals": undone["signals"]})),
    ])
}

async fn others(app: &App) -> Result<Recordings, Problem> {
    let overview = app.start_rehearsal().await?;
    let problems = problems::problems(app, &overview).await?;
    let proposed = app.propose_setup().await?;
    let plans = plans(app, &proposed).await?;
    let imports = imports::imports(app, &proposed).await?;
    let ahead = app.ahead(proposed.request.clone(), true).await?;
    if let Some(problem) = ahead.iter().find_map(|machine| machine.problem.clone()) {
        return Err(problem);
    }
    let link = app.propose_link(false).await?;
    let run = watched(app, &app.start_link(link.request.clone()).await?, None).await?;
    let kept = app.propose_link(false).await?;
    let again = app.propose_link(true).await?.request;
    let restarted = watched(app, &app.start_link(again).await?, None).await?;
    // Another repository than there is: the run fails where it is fetched.
    let mut request = proposed.request;
    request.choices = request.choices.with("repo", "nobody/nothing");
    let failed = watched(app, &app.start_setup(request).await?, None).await?;
    let links = json!({"link": link, "kept": kept, "run": run, "restarted": restarted});
    Ok(vec![
        ("plans", plans),
        ("imports", imports),
        ("problems", problems),
        ("ahead", json!(ahead)),
        ("failed", failed),
        ("links", links),
    ])
}

/// The plans of sensible and of impossible choices.
async fn plans(app: &App, proposed: &PlanView) -> Result<Value, Problem> {
    let pair = &proposed.request;
    let mut plain = pair.clone();
    plain.variant = VariantId("plain".into());
    let mut one = plain.clone();
    one.machines.truncate(1);
    one.network = None;
    let mut ports = pair.clone();
    let port = proposed.settings.iter().find(|s| s.id.0 == "api_port");
    if let Some(port) = port {
        ports.choices = ports.choices.with("master_port", port.proposed.clone());
    }
    let mut repo = pair.clone();
    repo.choices = repo.choices.with("repo", "no repository");
    // Of a refused request the settings are those of the pair with its choice.
    let refused = |view: PlanView| json!({"request": view.request, "problems": view.problems});
    // The second recipe that these machines can serve.
    let recipes = app.recipes().await?;
    let other = recipes
        .iter()
        .find(|r| r.availability == Availability::Fits);
    let other = match other {
        Some(recipe) => app.propose_recipe(&recipe.id).await?,
        None => panic!("more than one recipe fits two machines"),
    };
    Ok(json!({
        "pair": proposed,
        "other": other,
        "recipes": recipes,
        "plain": app.plan_setup(plain).await?,
        "one": app.plan_setup(one).await?,
        "refused": [refused(app.plan_setup(ports).await?), refused(app.plan_setup(repo).await?)],
    }))
}
