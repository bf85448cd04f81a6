//! The rehearsal without a window: the same engine, machines and steps, printed as they happen.

use std::io::Write;
use std::process::ExitCode;

use tandem_domain::chat::{ChatAsk, ChatEvent, Controls};
use tandem_domain::problem::Problem;
use tandem_domain::recipe::RecipeId;
use tandem_domain::run::{Event, RunOutcome, RunSignal};
use tokio::sync::mpsc;

use crate::app::{App, Programs};

/// Runs the whole story in a folder of its own and removes it again.
pub async fn tell(recipe: Option<String>) -> ExitCode {
    let folder = match tempfile::Builder::new().prefix("tandem-story-").tempdir() {
        Ok(folder) => folder,
        Err(e) => {
            say(&format!("No folder could be made for the story: {e}"));
            return ExitCode::FAILURE;
        }
    };
    let result = async {
        let app = App::open(folder.path(), Programs::find(None)).await?;
        let told = story(&app, recipe.map(RecipeId)).await;
        // Whatever happened, no simulated server is left running.
        app.leave_rehearsal().await?;
        told
    }
    .await;
    let path = folder.path().to_owned();
    match (result, folder.close()) {
        (Ok(()), Ok(())) => ExitCode::SUCCESS,
        (Ok(()), Err(e)) => {
            say(&format!("`{}` was not removed: {e}", path.display()));
            ExitCode::FAILURE
        }
        (Err(problem), _) => {
            say(&format!("\n{problem}"));
            ExitCode::FAILURE
        }
    }
}

/// The story of one recipe; of the proposed one where none is named. The app's folder should be its own.
pub async fn story(app: &App, recipe: Option<RecipeId>) -> Result<(), Problem> {
    say("A rehearsal: the machines, the weights and the server are stand-ins on this computer.\n");
    let overview = app.start_rehearsal().await?;
    for machine in &overview.machines {
        say(&format!("  {} is ready.", machine.name));
    }
    let view = match recipe {
        Some(id) => app.propose_recipe(&id).await?,
        None => app.propose_setup().await?,
    };
    if let Some(problem) = view.problems.into_iter().next() {
        return Err(problem);
    }
    say(&format!("\n{}", view.plan.summary));
    let titles: Vec<(String, String)> = view
        .plan
        .steps
        .iter()
        .map(|s| (s.id.0.clone(), s.title.clone()))
        .collect();
    let run = app.start_setup(view.request).await?;
    let (tell, mut told) = mpsc::unbounded_channel();
    app.watch_run(&run, 0, move |signal| tell.send(signal).is_ok())
        .await?;
    let mut outcome = None;
    while outcome.is_none() {
        let Some(signal) = told.recv().await else {
            break;
        };
        let RunSignal::Event { event } = signal else {
            continue;
        };
        let title = event
            .step
            .as_ref()
            .and_then(|id| titles.iter().find(|(t, _)| *t == id.0));
        let title = title.map_or("", |(_, title)| title.as_str());
        match event.event {
            Event::AlreadyDone { found, .. } => say(&format!("  ✓ {title}: {found}")),
            Event::Applying { .. } => say(&format!("  … {title}")),
            Event::Verified { seen } => say(&format!("  ✓ {title}: {seen}")),
            Event::Failed { problem } => say(&format!("  ✗ {title}: {problem}")),
            Event::Finished { outcome: how } => outcome = Some(how),
            _ => {}
        }
    }
    if outcome != Some(RunOutcome::Completed) {
        return Err(Problem::new(
            tandem_domain::problem::Code::Broken,
            "The rehearsal did not finish.",
        ));
    }
    let question = "What can you do?";
    say(&format!("\n  You: {question}"));
    let (tell, mut told) = mpsc::unbounded_channel();
    let hear = move |event| {
        let _ = tell.send(event);
    };
    let ask = ChatAsk::Question {
        text: question.into(),
        images: Vec::new(),
    };
    app.send_message(None, ask, Controls::default(), hear)
        .await?;
    while let Some(event) = told.recv().await {
        match event {
            ChatEvent::Ended { message } => {
                say(&format!("  Model: {}", message.text.trim()));
                return Ok(());
            }
            ChatEvent::Failed { problem, .. } => return Err(problem),
            ChatEvent::Began { .. } | ChatEvent::Words { .. } => {}
        }
    }
    Ok(())
}

fn say(line: &str) {
    // A reader that went away ends nothing.
    let _ = writeln!(std::io::stdout(), "{line}");
}
