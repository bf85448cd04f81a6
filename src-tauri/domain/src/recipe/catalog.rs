//! The recipes that come with Tandem: the files of `builtin/`, in the order of their names.

use std::sync::LazyLock;

use super::{Recipe, RecipeId};
use crate::problem::{Code, Problem};

/// Their texts.
const TEXTS: &[&str] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    let read = |text: &&str| Recipe::parse(text).expect("a test reads every built-in recipe");
    TEXTS.iter().map(read).collect()
});

/// The recipe that a set-up over so many machines proposes where none was chosen.
pub fn proposed(machines: usize) -> &'static Recipe {
    let fitting = || RECIPES.iter().filter(|r| r.fits(machines));
    let first = fitting().find(|r| r.proposed).or_else(|| fitting().next());
    first
        .or_else(|| RECIPES.iter().find(|r| r.proposed))
        .unwrap_or(&RECIPES[0])
}

/// All of them, with those that are shown for reference.
pub fn all() -> &'static [Recipe] {
    &RECIPES
}

/// Those that can be launched on one machine or more.
pub fn launchable() -> impl Iterator<Item = &'static Recipe> {
    RECIPES.iter().filter(|r| r.reference.is_none())
}

/// One by its name; a problem where this Tandem does not have it.
pub fn find(id: &RecipeId) -> Result<&'static Recipe, Problem> {
    RECIPES.iter().find(|r| r.id == *id).ok_or_else(|| {
        Problem::new(Code::BadInput, "The recipe was not found.")
            .cause(format!("This Tandem has no recipe `{id}`."))
            .fix("Choose another recipe.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_recipe_is_read_and_sound_and_has_a_name_of_its_own() {
        assert!(!TEXTS.is_empty());
        let mut names = std::collections::BTreeSet::new();
        for text in TEXTS {
            let recipe = Recipe::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let against = crate::recipe::faults(&recipe);
            assert!(against.is_empty(), "{}: {against:?}", recipe.id);
            assert!(
                names.insert(recipe.id.clone()),
                "{} stands twice",
                recipe.id
            );
            assert_eq!(find(&recipe.id), Ok(&recipe));
        }
    }

    #[test]
    fn one_recipe_is_proposed_for_one_machine_and_for_two() {
        for machines in [1, 2] {
            assert!(proposed(machines).fits(machines));
        }
    }

    /// `UPDATE_EXPECT=1` writes the schema again.
    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let schema =
            serde_json::to_string_pretty(&schemars::schema_for!(Recipe)).expect("plain data");
        expect_test::expect_file!["../../../../docs/recipe.schema.json"]
            .assert_eq(&(schema + "\n"));
    }

    #[test]
    fn a_key_that_nobody_knows_is_an_error_that_names_its_line() {
        let text = format!("made_up = 1\n{}", TEXTS[0]);
        let error = Recipe::parse(&text)
            .expect_err("no key is passed over")
            .to_string();
        assert!(error.contains("made_up"), "{error}");
    }

    /// Beside a recipe that was started here lies the log of a start that succeeded, captured or rehearsed.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a test reads the log beside the recipe"
    )]
    fn the_log_beside_a_recipe_is_read_from_its_begin_to_its_end() {
        let mut read = 0;
        for recipe in all() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/recipe/builtin");
            let Ok(log) = std::fs::read_to_string(format!("{folder}/{}.log.txt", recipe.id)) else {
                continue;
            };
            read += 1;
            let engine = crate::engine::of(recipe.engine);
            let phases: Vec<String> = log
                .lines()
                .filter_map(|l| engine.phase(l))
                .map(|p| p.doing)
                .collect();
            assert!(phases.len() > 5, "{}: {phases:?}", recipe.id);
            assert_eq!(
                phases.last().map(String::as_str),
                Some("ready"),
                "{}",
                recipe.id
            );
            let logs = [(
                "spark-a".to_owned(),
                log.lines().map(str::to_owned).collect(),
            )];
            let tables = [
                engine.causes(),
                crate::engine::causes::CAUSES,
                engine.consequences(),
                crate::engine::causes::CONSEQUENCES,
            ];
            assert!(
                crate::engine::causes::find(&tables, &logs).is_none(),
                "{}: a start that succeeded has no cause of a failure",
                recipe.id
            );
        }
        assert!(read >= 2, "logs were found");
    }
}
