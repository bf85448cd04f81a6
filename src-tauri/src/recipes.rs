//! `tandem recipe`: what the recipes would start, and what became of one that others published, without a window and
//! without a machine.

use std::io::Write;
use std::process::ExitCode;

use tandem_domain::launch::commands::{MachineCommand, commands};
use tandem_domain::problem::Problem;
use tandem_domain::recipe::{Recipe, RecipeId, catalog};
use tandem_domain::shell::as_words;

use crate::recipe_import;

const USAGE: &str =
    "tandem recipe commands (--all | RECIPE) [--json]\ntandem recipe import (FILE | -) [--json]";

/// Prints what is asked for, as JSON or for people: the commands of recipes, for which sample machines stand for one
/// Spark and for two, or an import.
pub fn tell(words: &[String]) -> ExitCode {
    let json = words.iter().any(|w| w == "--json");
    let rest: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|w| *w != "--json")
        .collect();
    let told = match rest.as_slice() {
        ["commands", "--all"] => of(catalog::all()).map(|all| shown(&all, json)),
        ["commands", id] if !id.starts_with('-') => catalog::find(&RecipeId::from(*id))
            .and_then(|recipe| of([recipe]))
            .map(|all| shown(&all, json)),
        ["import", path] => recipe_import::tell(path, json),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match told {
        Ok(text) => {
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

fn shown(all: &[MachineCommand], json: bool) -> String {
    match json {
        true => serde_json::to_string_pretty(all).expect("plain data"),
        false => all.iter().map(typed).collect::<Vec<_>>().join("\n\n"),
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
