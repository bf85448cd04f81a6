//! Recipes that a person keeps, on a real file.

use tandem_domain::recipe::RecipeId;
use tandem_domain::recipe::import::import;
use tandem_domain::recipe::kept::{KeptRecipe, RecipeSource};

use super::{Store, store};

fn kept(model: &str, names: &[RecipeId], now: i64) -> KeptRecipe {
    let text = format!("docker run --gpus all vllm/vllm-openai:v0.28.0 --model {model}");
    let shown = import(&text).unwrap_or_else(|problem| panic!("{problem}"));
    let hash = shown.hash();
    let is_taken = |id: &RecipeId| names.contains(id);
    KeptRecipe::new(shown, &hash, RecipeSource::Pasted, None, is_taken, now)
        .unwrap_or_else(|problem| panic!("{problem}"))
}

async fn names(store: &Store) -> Vec<RecipeId> {
    let all = store.kept_recipes().await.expect("they are read");
    all.into_iter().map(|kept| kept.recipe.id).collect()
}

#[tokio::test]
async fn a_recipe_is_kept_renamed_removed_brought_back_and_purged() {
    let (_folder, store) = store().await;
    let (b, a) = (kept("o/b", &[], 1), kept("o/a", &[], 2));
    let [b_id, a_id] = [&b, &a].map(|kept| kept.recipe.id.clone());
    for one in [&a, &b] {
        store.keep_recipe(one).await.expect("it is kept");
    }
    assert_eq!(
        names(&store).await,
        [b_id.clone(), a_id.clone()],
        "as added"
    );
    assert_eq!(store.kept_recipe(&a_id).await.expect("it is read"), Some(a));
    let named = b.renamed("Another name").expect("a name");
    store.keep_recipe(&named).await.expect("it is kept");
    let read = store.kept_recipe(&b_id).await.expect("it is read");
    assert_eq!(read, Some(named), "in the place of the first");

    assert!(store.delete_kept_recipe(&b_id, 10).await.expect("a delete"));
    assert!(!store.delete_kept_recipe(&b_id, 11).await.expect("a delete"));
    assert_eq!(store.kept_recipe(&b_id).await.expect("it is read"), None);
    assert_eq!(names(&store).await, std::slice::from_ref(&a_id));
    let taken = store.kept_recipe_names().await.expect("names");
    assert!(taken.contains(&b_id), "its name waits for it: {taken:?}");
    assert_ne!(kept("o/b", &taken, 12).recipe.id, b_id);

    assert!(store.restore_kept_recipe(&b_id).await.expect("it is back"));
    assert_eq!(names(&store).await, [b_id.clone(), a_id.clone()]);
    assert!(store.delete_kept_recipe(&b_id, 20).await.expect("a delete"));
    store.purge_kept_recipes(19).await.expect("a purge");
    assert!(
        store
            .kept_recipe_names()
            .await
            .expect("names")
            .contains(&b_id)
    );
    store.purge_kept_recipes(20).await.expect("a purge");
    assert!(!store.restore_kept_recipe(&b_id).await.expect("it is gone"));
    assert_eq!(names(&store).await, [a_id]);
}
