//! The recipes that were started here go through the rehearsal's whole story: set up, proved, asked a question.

use std::path::PathBuf;

use tandem::app::{App, Programs};
use tandem::story::story;
use tandem_domain::recipe::catalog;

/// The node program and the stand-in server of this build, beside each other.
fn programs() -> Programs {
    let exe = std::env::current_exe().expect("this test is a program");
    let debug = exe.ancestors().nth(2).map(PathBuf::from);
    Programs::find(debug)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recipe_goes_through_the_whole_story() {
    // The others differ in their words alone, and the stand-in reads those of every recipe in a test of its own.
    for recipe in ["step-3.7-flash-nvfp4", "qwen36-27b-nvfp4"] {
        let recipe = catalog::find(&recipe.into()).expect("it is built in");
        let folder = tempfile::tempdir().expect("a folder");
        let app = App::open(folder.path(), programs())
            .await
            .expect("the app opens");
        let told = story(&app, Some(recipe.id.clone())).await;
        app.leave_rehearsal()
            .await
            .expect("nothing is left running");
        if let Err(problem) = told {
            panic!("{}: {problem}\n{:?}", recipe.id, problem.details);
        }
    }
}
