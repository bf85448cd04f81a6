//! The command line of the program on a Spark; see [`tandem_domain::node`] for the conversation.

use std::io::{Read, Write};
use std::process::ExitCode;

use serde::Serialize;
use tandem_domain::node::{FetchLimits, NodeRequest, NodeWork};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tandem_node::copy::serve::Offer;
use tandem_node::{bandwidth, copy, facts, graft, job, version};
use tandem_node::{check, disk_view};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match answer(&arguments) {
        Ok(code) => code,
        Err(problem) => {
            // One line that the app can read, and words for a person at a terminal.
            print(&serde_json::json!({"event": "failed", "problem": problem}));
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn answer(arguments: &[String]) -> Result<ExitCode, Problem> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version"] => print(&version()),
        ["facts"] => print(&facts::gather()),
        ["start", kind, "--job", name] => {
            let request = request(Some(kind))?;
            print(&job::start(name, &request, job::Launcher::Any)?);
        }
        ["follow", "--job", name] => job::follow(name, 0, &mut std::io::stdout())?,
        ["follow", "--job", name, "--after", after] => {
            job::follow(name, number(after)?, &mut std::io::stdout())?;
        }
        ["cancel", "--job", name] => print(&job::cancel(name)?),
        ["limit", "--job", name] => print(&job::limit(name, &limits()?)?),
        ["asked", "--job", name] => print(&job::asked(name)?),
        ["undo", "--job", name] => print(&job::undo(name)?),
        ["grafted"] => match request(Some("graft"))?.work {
            NodeWork::Graft(request) => print(&graft::look(&request)?),
            _ => return Err(usage()),
        },
        ["run", kind] => {
            if !job::foreground(request(Some(kind))?)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        ["disk"] => print(&disk_view::report(&asked()?)?),
        ["check-time"] => print(&check::check_time(&asked()?)?),
        ["remove"] => print(&disk_view::remove(&asked()?)?),
        ["uncache"] => print(&disk_view::uncache(&asked()?)?),
        ["bandwidth", "serve", rest @ ..] => {
            let address = after(rest, "--listen")?.parse().map_err(|_| usage())?;
            let carried = bandwidth::serve(address, extent(rest)?, print)?;
            print(&carried);
        }
        ["bandwidth", "send", rest @ ..] => {
            let to = after(rest, "--to")?.parse().map_err(|_| usage())?;
            print(&bandwidth::send(to, &line()?, extent(rest)?)?);
        }
        ["copy", "serve", rest @ ..] => {
            let offer = Offer::of(rest).ok_or_else(usage)?;
            print(&copy::serve::detach(&offer)?);
        }
        // Started by `copy serve` and by `start`, not by a person.
        ["copy", "serving", rest @ ..] => {
            let offer = Offer::of(rest).ok_or_else(usage)?;
            job::own_limits::set();
            copy::serve::serve(&offer, print)?;
        }
        ["work", "--job", name] => job::work(name, None)?,
        ["work", "--job", name, "--token-file", path] => {
            job::work(name, Some(std::path::Path::new(path)))?;
        }
        _ => return Err(usage()),
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> Problem {
    Problem::new(Code::BadInput, "The node program was not understood.").cause(
        "It knows: version, facts, start KIND --job NAME, follow --job NAME [--after N], \
         cancel --job NAME, limit --job NAME, asked --job NAME, undo --job NAME, grafted, run KIND, disk, check-time, remove, uncache, \
         copy serve --listen ADDRESS --repo REPO [--hf-home HOME] [--job NAME], \
         copy serve --listen ADDRESS --spool NAME, \
         bandwidth serve --listen ADDRESS, bandwidth send --to ADDRESS:PORT, both with \
         [--seconds N] [--streams K]. Kinds are check, copy, fetch, graft, load-image, probe, save-image, survey.",
    )
}

fn number(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| usage())
}

/// Reads limits from stdin.
fn limits() -> Result<FetchLimits, Problem> {
    serde_json::from_reader(std::io::stdin().take(1 << 16)).map_err(|e| {
        Problem::new(Code::BadInput, "The node program cannot read the limits.")
            .cause(e.to_string())
    })
}

/// The word after an option.
fn after<'a>(words: &[&'a str], option: &str) -> Result<&'a str, Problem> {
    let at = words.iter().position(|w| *w == option);
    at.and_then(|i| words.get(i + 1).copied()).ok_or_else(usage)
}

/// How long and over how many streams.
fn extent(words: &[&str]) -> Result<bandwidth::Extent, Problem> {
    let given = |option: &str, otherwise: u64| match after(words, option) {
        Ok(text) => number(text),
        Err(_) if words.contains(&option) => Err(usage()),
        Err(_) => Ok(otherwise),
    };
    bandwidth::Extent::of(given("--seconds", 5)?, given("--streams", 8)?)
}

/// The first line of stdin.
fn line() -> Result<Secret, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .take(1 << 10)
        .read_to_string(&mut text)
        .map_err(|_| usage())?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// Reads what a subcommand is asked from stdin.
fn asked<T: serde::de::DeserializeOwned>() -> Result<T, Problem> {
    let mut text = String::new();
    std::io::stdin()
        .take(1 << 20)
        .read_to_string(&mut text)
        .map_err(|e| unreadable(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))
}

fn unreadable(why: String) -> Problem {
    Problem::new(Code::BadInput, "The node program cannot read the request.").cause(why)
}

/// Reads a request from stdin; its kind may be left to the command line.
fn request(kind: Option<&str>) -> Result<NodeRequest, Problem> {
    let mut value: serde_json::Value = asked()?;
    if let (Some(kind), Some(map)) = (kind, value.as_object_mut()) {
        let given = map.entry("kind").or_insert_with(|| kind.into());
        if given != kind {
            return Err(unreadable(format!(
                "It is of kind {given}, and {kind} was asked for."
            )));
        }
    }
    serde_json::from_value(value).map_err(|e| unreadable(e.to_string()))
}

fn print(value: &impl Serialize) {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    // Nobody listening is no failure of what was done.
    let _ = std::io::stdout().write_all(&text);
}
