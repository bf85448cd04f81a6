//! `tandem recipe commands`: what the recipes would start, without a window and without a machine.

use std::io::Write;
use std::process::ExitCode;

use tandem_domain::launch::commands::{MachineCommand, commands};
use tandem_domain::problem::Problem;
use tandem_domain::recipe::{Recipe, RecipeId, catalog};
use tandem_domain::shell::as_words;

const USAGE: &str = "tandem recipe commands (--all | RECIPE) [--json]";

/// Prints the commands that are asked for: as JSON, or as one would type them. Sample machines stand for one Spark
/// and for two.
pub fn tell(words: &[String]) -> ExitCode {
    let json = words.iter().any(|w| w == "--json");
    let rest: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|w| *w != "--json")
        .collect();
    let told = match rest.as_slice() {
        ["commands", "--all"] => of(catalog::all()),
        ["commands", id] if !id.starts_with('-') => {
            catalog::find(&RecipeId::from(*id)).and_then(|recipe| of([recipe]))
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match told {
        Ok(all) => {
            let text = match json {
                true => serde_json::to_string_pretty(&all).expect("plain data"),
                false => all.iter().map(typed).collect::<Vec<_>>().join("\n\n"),
            };
            // A reader that went away ends nothing.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn of<'a>(recipes: impl IntoIterator<Item = &'a Recipe>) -> Result<Vec<MachineCommand>, Problem> {
    let all: Result<Vec<_>, _> = recipes.into_iter().map(commands).collect();
    Ok(all?.concat())
}

/// A command as one would type it, under its name, with what is told of it.
fn typed(command: &MachineCommand) -> String {
    let env = command
        .env
        .iter()
        .flat_map(|(n, v)| ["-e".to_owned(), format!("{n}={v}")]);
    let words = command.docker_flags.iter().cloned().chain(env);
    let mut lines = vec![format!("# {}, {:?}", command.id, command.machine)];
    lines.extend(
        command
            .explained
            .iter()
            .map(|e| format!("#   {}: {}", e.item, e.reason)),
    );
    lines.push(match command.docker_flags.is_empty() {
        true => as_words(&command.serve_args),
        false => format!(
            "docker run {} {} {}",
            as_words(words),
            command.image,
            as_words(&command.serve_args)
        ),
    });
    lines.join("\n")
}
