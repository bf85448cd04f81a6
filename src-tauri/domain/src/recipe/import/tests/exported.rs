//! What is exported and read again.

use super::*;
use crate::container::ContainerSpec;
use crate::engine;
use crate::launch::{self, LaunchInput, samples};
use crate::machine::Facts;
use crate::node::FetchLimits;
use crate::recipe::{Choices, EngineKind, VariantId};

fn containers(recipe: &Recipe, variant: &str) -> Vec<ContainerSpec> {
    let facts = Facts {
        hf_home: "/h".into(),
        ..Facts::default()
    };
    let plan = launch::resolve(
        recipe,
        &LaunchInput {
            variant: &VariantId(variant.into()),
            choices: &Choices::default(),
            machines: &[],
            ranks: 1,
            network: None,
            hub_endpoint: "https://huggingface.co",
            download: &FetchLimits::default(),
        },
    )
    .launch;
    let served = plan.served();
    let snapshot = format!(
        "/h/hub/models--{}/snapshots/{}",
        served.repo.replace('/', "--"),
        served.revision
    );
    let found = samples::on_disk(&facts, &snapshot);
    let last = plan.last().expect("it has a variant");
    let spec = engine::of(plan.engine).container(&plan, last, 0, &found);
    vec![spec.expect("everything lies in the cache")]
}

fn written(
    image: &str,
    seqs: u32,
    share: u32,
    context: u32,
    name: &str,
    env: &str,
    k: u32,
) -> Recipe {
    let quoted = |text: &str| serde_json::to_string(text).expect("plain data");
    let text = format!(
        "schema = 1\nid = 'imported-x'\ntitle = 'x'\nengine = 'vllm'\n[image]\nname = {}\n[nodes]\nleast = 1\nmost = 1\n\
         [[artifacts]]\nrole = 'served'\nrepo = 'o/n'\nrevision = '{}'\n\
         [settings]\nserved_name = {}\ncontext = {context}\nmemory_share = {}\n\
         [[args]]\nwords = ['--max-num-seqs', '{seqs}']\n[[args]]\nwords = ['--enforce-eager']\n\
         [[args]]\nwords = ['--hf-overrides', '{{\"a\":\"it is $HOME `x` \\\\ \"}}']\n[env]\nSOME_VALUE = {}\n\
         [can]\ntrust_remote_code = 'x'\n[[variants]]\nid = 'plain'\nlabel = 'x'\n\
         [[variants]]\nid = 'drafting'\nlabel = 'x'\ndrafting = {{ method = 'mtp', tokens = {k}, most = {k} }}\n",
        quoted(image),
        "c".repeat(40),
        quoted(name),
        f64::from(share) / 100.0,
        quoted(env),
    );
    Recipe::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

proptest::proptest! {
    #[test]
    fn what_is_exported_as_a_command_is_imported_as_the_same_launch(
        tag in "[a-z0-9][a-z0-9.]{0,8}", seqs in 1_u32..99, share in 10_u32..95, context in 256_u32..1_000_000,
        name in "[A-Za-z0-9._/-]{1,20}", env in "[ -~&&[^$`]]{0,24}", k in 1_u32..9,
    ) {
        let name = format!("m{name}");
        let one = written(&format!("example/engine:{tag}"), seqs, share, context, &name, &env, k);
        for variant in ["plain", "drafting"] {
            let specs = containers(&one, variant);
            let spec = ("spark-a", &specs[0]);
            for text in [export::docker_run(&[spec]), export::script(&spec).replace("set -eu\n", "")] {
                let imported = import(&text);
                proptest::prop_assert!(imported.is_ok(), "{:?}\n{}", imported, text);
                let imported = read(&text);
                proptest::prop_assert_eq!(imported.missing().count(), 0, "{:#?}\n{}", imported.lines(), text);
                let back = recipe(&imported);
                proptest::prop_assert_eq!(&back.image, &one.image);
                proptest::prop_assert_eq!(&back.artifacts, &one.artifacts);
                proptest::prop_assert_eq!(&back.settings, &one.settings);
                proptest::prop_assert_eq!(words(&back.args), words(&one.args));
                proptest::prop_assert_eq!(&back.env, &one.env);
                let last = one.variants.iter().find(|v| v.id.0 == variant);
                proptest::prop_assert_eq!(&back.variants.last().map(|v| &v.drafting), &last.map(|v| &v.drafting));
                // And launched again it is the same container.
                proptest::prop_assert_eq!(&containers(back, variant), &specs);
            }
        }
    }
}

#[test]
fn a_recipe_in_our_own_form_comes_back_and_holds_only_what_an_import_may() {
    let one = written("example/engine:1", 4, 80, 4096, "n", "v", 2);
    let imported = read(&export::toml(&one));
    assert_eq!(imported.format(), ImportFormat::Tandem);
    assert_eq!(imported.shown(), Some(&one));
    let mut bad = one.clone();
    bad.id = "step-3.7-flash-nvfp4".into();
    bad.proposed = true;
    let arg = |words: &[&str]| crate::recipe::Arg {
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        why: None,
    };
    bad.args = vec![
        arg(&["--host", "0.0.0.0"]),
        arg(&["--api-key", "k3y"]),
        arg(&["--max-model-len", "9"]),
    ];
    bad.env.insert("HF_TOKEN".into(), "x".into());
    let imported = read(&export::toml(&bad));
    let taken = recipe(&imported);
    assert_eq!(
        (taken.id.0.as_str(), taken.proposed, taken.args.len()),
        ("imported-step-3.7-flash-nvfp4", false, 0)
    );
    assert!(!taken.env.contains_key("HF_TOKEN"));
    let with = |change: &dyn Fn(&mut Recipe)| {
        let mut other = one.clone();
        change(&mut other);
        read(&export::toml(&other)).missing().count()
    };
    assert_eq!(with(&|_| {}), 0);
    assert_eq!(with(&|r| r.image.name = "--privileged".into()), 1);
    assert_eq!(with(&|r| r.artifacts[0].repo = "../x".into()), 1);
    assert_eq!(with(&|r| r.engine = EngineKind::LlamaCpp), 1);
    let drafts = |r: &mut Recipe, key: &str| {
        let drafting = r.variants[1].drafting.as_mut().expect("it drafts");
        drafting.more.insert(key.into(), "/tmp/x".into());
    };
    assert_eq!(with(&|r| drafts(r, "model")), 1);
    assert_eq!(
        with(&|r| {
            r.variants[1].env.insert("LD_PRELOAD".into(), "x".into());
        }),
        1
    );
    bad.args = vec![arg(&["--worker-cls", "os.system"])];
    let imported = read(&export::toml(&bad));
    assert_eq!(fates(&imported, "--worker-cls"), [ImportFate::Missing]);
}

#[test]
fn a_compose_file_is_yaml_and_says_what_the_command_says() {
    let one = written("example/engine:1", 4, 80, 4096, "n", "a: $b \"c\" # d", 2);
    let specs = containers(&one, "drafting");
    let text = export::compose(&("spark-a\nservices: {}", &specs[0]));
    let file: serde_json::Value =
        serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let service = &file["services"][specs[0].name.as_str()];
    assert_eq!(service["image"], "example/engine:1");
    let doubled = |text: &String| serde_json::Value::from(text.replace('$', "$$"));
    let command: Vec<_> = specs[0].command.iter().map(doubled).collect();
    assert_eq!(service["command"], serde_json::Value::from(command));
    let env = service["environment"].as_array().expect("a list");
    assert!(
        env.contains(&"SOME_VALUE=a: $$b \"c\" # d".into()) && env.contains(&"VLLM_API_KEY".into())
    );
    assert_eq!(service["cap_drop"][0], "ALL");
    assert_eq!(service["volumes"][0]["read_only"], true);
    assert_eq!(service["network_mode"], "host");
}

#[test]
fn the_report_says_what_became_of_everything_and_ends_in_a_recipe_that_can_be_read() {
    let imported = read(include_str!("../samples/sparkrun.yaml"));
    let text = told(&imported);
    for part in [
        "not taken   executor_config.privileged true",
        "changed     --max-model-len 64K → 65536",
        &imported.hash().0,
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("MISSING"));
    let (_, toml) = text.split_once("\nschema = 1").expect("the recipe follows");
    assert_eq!(
        Recipe::parse(&format!("schema = 1{toml}")).ok().as_ref(),
        imported.shown()
    );
    let other = told(&read(include_str!("../samples/eugr.yaml")));
    assert!(
        other.contains("MISSING     mods mods/fix-template")
            && other.contains("4 things have no counterpart"),
        "{other}"
    );
}
