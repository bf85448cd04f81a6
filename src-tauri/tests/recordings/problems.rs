//! What the app says where something cannot be: `ADDRESS` and `USER` stand for what was typed.

use serde_json::{Map, Value, json};
use tandem::app::App;
use tandem::wire::Overview;
use tandem_domain::bench::{BenchCase, BenchError};
use tandem_domain::chat::{ChatAsk, Controls};
use tandem_domain::ids::{BenchId, MachineId};
use tandem_domain::machine::Facts;
use tandem_domain::ports::MachineError;
use tandem_domain::problem::Problem;
use tandem_domain::run::RunId;
use tandem_domain::step::facts::unfit_to_join;
use tandem_domain::step::job::check;

/// Problems by a name; asked of the app before anything is served, where a rehearsal can have them.
pub(crate) async fn problems(app: &App, overview: &Overview) -> Result<Value, Problem> {
    let none = "none".to_owned();
    let bench = BenchId(none.clone());
    let hello = ChatAsk::Question {
        text: "Hello".into(),
        images: Vec::new(),
    };
    let unsent = app.send_message(None, hello, Controls::default(), |_| ());
    let unmeasured = app.run_benchmark(BenchCase::quick(), String::new(), |_| ());
    let asked = [
        ("no-run", app.run_detail(&RunId(none.clone())).await.err()),
        (
            "no-machine",
            app.refresh_machine(&MachineId(none.clone())).await.err(),
        ),
        (
            "no-measurement",
            app.compare_benchmarks(&bench, &bench).await.err(),
        ),
        ("no-image", app.image(&none).await.err()),
        ("bad-image", app.add_image(vec![0; 8]).await.err()),
        ("unsent", unsent.await.err()),
        ("unmeasured", unmeasured.await.err()),
    ];
    let mut all: Map<String, Value> = of_machines();
    for (name, problem) in asked {
        all.insert(name.into(), json!(problem.expect("it cannot be")));
    }
    let facts: Vec<&Facts> = overview.machines.iter().flat_map(|m| &m.facts).collect();
    let twice = [facts[0].clone(), facts[0].clone()];
    let twice = unfit_to_join(&["ADDRESS", "ADDRESS"], &twice);
    all.insert("same-machine-twice".into(), json!(twice.first()));
    all.insert(
        "bench-stopped".into(),
        json!(BenchError::Cancelled.problem()),
    );
    all.insert("check-stopped".into(), json!(check::stopped("ADDRESS")));
    Ok(Value::Object(all))
}

/// What is said of a machine that cannot be reached or refuses, by the problem's code.
fn of_machines() -> Map<String, Value> {
    let (address, user) = ("ADDRESS".to_owned(), "USER".to_owned());
    let all = [
        MachineError::Unreachable {
            address: address.clone(),
            detail: "connection timed out".into(),
        },
        MachineError::HostKeyChanged {
            address: address.clone(),
            pinned: "SHA256:fCNBCaWX0oGpPnGcX3xXFuxk5rF5l2b4vYyfUaFSaTY".into(),
            shown: "SHA256:3gB1Ff3YQ0wX7f5l2b4vYyfUaFSaTYfCNBCaWX0oGpP".into(),
        },
        MachineError::WrongPassword {
            user: user.clone(),
            address: address.clone(),
        },
        MachineError::KeyRefused {
            user,
            address,
            tried: 2,
            passed_over: Vec::new(),
        },
        MachineError::SudoPasswordNeeded,
    ];
    let problems = all.map(|error| {
        let problem = error.problem("ADDRESS");
        let code = serde_json::to_value(problem.code).unwrap_or_default();
        (code.as_str().unwrap_or_default().to_owned(), json!(problem))
    });
    problems.into_iter().collect()
}
