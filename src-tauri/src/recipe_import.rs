//! `tandem recipe import`: what became of a recipe that others published, without a window and without a machine.

use std::fs::File;
use std::io::Read;

use serde::Serialize;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::recipe::import::{self, Confirmation, ImportOutcome, ImportedRecipe};

/// What is read of a file at most; a recipe is smaller.
const LARGEST: u64 = 1 << 20;

/// An import as JSON.
#[derive(Serialize)]
struct Told<'a> {
    outcome: ImportOutcome,
    /// Whether it can be launched once it is confirmed.
    launchable: bool,
    /// What has to be confirmed for that.
    confirmation: Confirmation,
    import: &'a ImportedRecipe,
}

/// What became of the recipe in a file, or in what is piped in where the path is `-`: as text, or as JSON.
pub(crate) fn tell(path: &str, json: bool) -> Result<String, Problem> {
    let imported = import::import(&read(path)?)?;
    if !json {
        return Ok(import::told(&imported));
    }
    let told = Told {
        outcome: imported.outcome(),
        launchable: imported.missing().next().is_none(),
        confirmation: imported.hash(),
        import: &imported,
    };
    Ok(serde_json::to_string_pretty(&told).expect("plain data"))
}

fn read(path: &str) -> Result<String, Problem> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().take(LARGEST).read_to_string(&mut text),
        path => File::open(path).and_then(|file| file.take(LARGEST).read_to_string(&mut text)),
    };
    match read {
        Ok(_) => Ok(text),
        Err(e) => Err(
            Problem::new(Code::FileAccess, "The recipe could not be read.")
                .cause(format!("{path}: {e}."))
                .fix("Give a file of text that you may read, or `-` and pipe it in."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_as_text_and_as_json_and_what_is_none_is_a_problem() {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/domain/src/recipe/import/samples"
        );
        let text = tell(&format!("{folder}/sparkrun.yaml"), false).expect("it is a recipe");
        assert!(
            text.contains("It can be launched once it is confirmed"),
            "{text}"
        );
        let json = tell(&format!("{folder}/eugr.yaml"), true).expect("it is a recipe");
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["outcome"], "plan-with-refusals");
        assert_eq!(json["launchable"], false);
        assert!(
            json["import"]["lines"]
                .as_array()
                .is_some_and(|l| l.len() > 10)
        );
        assert_eq!(
            tell("/nothing/here", false).expect_err("no file").code,
            Code::FileAccess
        );
        let toml = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert_eq!(
            tell(toml, false).expect_err("no recipe").code,
            Code::BadInput
        );
    }
}
