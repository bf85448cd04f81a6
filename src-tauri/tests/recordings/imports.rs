//! Recipes that are imported, kept and given on: what the app says of them, with the texts that it was given.

use serde_json::{Value, json};
use tandem::app::App;
use tandem::wire::PlanView;
use tandem::wire::recipes::{FetchedRecipe, NewKept};
use tandem_domain::problem::Problem;
use tandem_domain::recipe::import::{Confirmation, address};
use tandem_domain::recipe::kept::RecipeSource;

const SPARKRUN: &str = include_str!("../../domain/src/recipe/import/samples/sparkrun.yaml");
const EUGR: &str = include_str!("../../domain/src/recipe/import/samples/eugr.yaml");
const COMMAND: &str = include_str!("../../domain/src/recipe/import/samples/command.txt");

/// An image in the place of one that lies in no registry.
const IMAGE: &str = "vllm/vllm-openai:v0.30.0";

/// Texts of every kind, the repository that lists them, and one that is kept, renamed and removed.
pub(crate) async fn imports(app: &App, proposed: &PlanView) -> Result<Value, Problem> {
    let mut reads = Vec::new();
    for (text, image) in [
        (SPARKRUN, None),
        (COMMAND, None),
        (EUGR, None),
        (EUGR, Some(IMAGE)),
    ] {
        let view = app.read_recipe(text, image)?;
        reads.push(json!({"text": text, "image": image, "view": view}));
    }
    let unread = app
        .read_recipe("Hello.", None)
        .expect_err("it is no recipe");
    let elsewhere = app.fetch_recipe("http://192.0.2.1/recipe.yaml").await;
    let place = address::place("https://github.com/example/recipes")?;
    let listing = json!({"tree": [
        {"path": "recipes/small-chat.yaml", "type": "blob"},
        {"path": "recipes/big-chat.yaml", "type": "blob"},
        {"path": "mods/fix-template/run.sh", "type": "blob"},
    ]});
    let (files, more) = address::listed(&place, &listing).expect("it is a list");
    let shown = app.read_recipe(SPARKRUN, None)?;
    let confirmation = shown.confirmation.expect("it can be launched");
    let new = || NewKept {
        text: SPARKRUN.into(),
        image: None,
        source: RecipeSource::File {
            name: "small-chat.yaml".into(),
        },
        replaces: None,
    };
    let other = Confirmation("0".repeat(64));
    let unconfirmed = app.keep_recipe(new(), &other).await.expect_err("another");
    let id = app.keep_recipe(new(), &confirmation).await?;
    let listed = app.recipes().await?.into_iter().find(|r| r.id == id);
    let kept = app.kept_recipe(&id).await?;
    let text = app.recipe_text(&id).await?;
    let again = app.read_recipe(&text, None)?;
    reads.push(json!({"text": text, "image": null, "view": again}));
    let plan = app.propose_recipe(&id).await?;
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    let unnamed = app.rename_recipe(&id, " ").await.expect_err("no name");
    app.rename_recipe(&id, "For work").await?;
    let renamed = app.kept_recipe(&id).await?;
    assert_eq!(renamed.changes, [], "a name is no change");
    app.delete_recipe(&id).await?;
    assert!(app.propose_recipe(&id).await.is_err(), "it is removed");
    app.restore_recipe(&id).await?;
    app.propose_recipe(&id).await?;
    app.delete_recipe(&id).await?;
    Ok(json!({
        "reads": reads,
        "files": FetchedRecipe::Files { files, more },
        "id": id, "listed": listed, "kept": kept, "text": text,
        "exported": app.export_launch(&proposed.request).await?,
        "unread": unread, "elsewhere": elsewhere.err(), "unconfirmed": unconfirmed, "unnamed": unnamed,
    }))
}
