use super::table::rows;
use super::*;

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn faults(release: &str, text: &str) -> Vec<FlagFault> {
    let releases = Releases::of(release).unwrap_or(Releases::any());
    let found = check(&releases, &words(text));
    found.into_iter().map(|f| f.fault).collect()
}

#[test]
fn every_line_of_the_tables_is_read() {
    let lines = |text: &str| text.lines().filter(|l| !l.starts_with('#')).count();
    let arguments = include_str!("arguments.tsv");
    assert_eq!(rows::<6>(arguments).count(), lines(arguments));
    assert_eq!(TABLE.flags.len(), lines(arguments), "no name stands twice");
    let notes = include_str!("notes.tsv");
    assert_eq!(rows::<4>(notes).count(), lines(notes));
    let values = include_str!("values.tsv");
    assert_eq!(rows::<4>(values).count(), lines(values));
    for flag in TABLE.values.keys() {
        assert!(TABLE.flags.contains_key(flag), "{flag}");
    }
    let environment = include_str!("environment.tsv");
    assert_eq!(rows::<3>(environment).count(), lines(environment));
}

#[test]
fn a_version_names_its_release() {
    assert_eq!(Releases::of("v0.28.0"), Some(Releases(28..=28)));
    assert_eq!(
        Releases::of("0.26.1rc1.dev1231+g7a9993878.d20260826"),
        Some(Releases(26..=27))
    );
    assert_eq!(Releases::of("v0.24.0-ubuntu2404"), Some(Releases(24..=24)));
    for none in ["latest", "0.1.dev16944", "1.2", "", "0.x"] {
        assert_eq!(Releases::of(none), None, "{none}");
    }
}

#[test]
fn what_a_release_does_not_know_is_found_before_it_starts() {
    assert_eq!(faults("0.28.0", "m --moe-backend marlin -tp 2"), []);
    assert_eq!(
        faults("0.21.0", "m --linear-backend auto"),
        [FlagFault::Unknown]
    );
    assert_eq!(
        faults("0.28.0", "m --calculate-kv-scales"),
        [FlagFault::Unknown]
    );
    assert_eq!(
        faults("0.28.0", "m --max-num-partial-prefills 2"),
        [FlagFault::Unknown]
    );
    assert_eq!(faults("0.28.0", "m --moe-backend b12x"), [FlagFault::Value]);
    assert_eq!(faults("0.29.0", "m --moe-backend b12x"), []);
    assert_eq!(faults("?", "m --quantization nvfp4"), [FlagFault::Value]);
    assert_eq!(
        faults("?", "m --mxfp4-layers moe,qkv"),
        [FlagFault::Foreign]
    );
    assert_eq!(faults("0.31.0", "m --disable-cascade-attn"), []);
    assert_eq!(
        faults("0.32.0", "m --disable-cascade-attn"),
        [FlagFault::Idle]
    );
    assert_eq!(faults("0.33.0", "m --swap-space 16"), [FlagFault::Idle]);
    assert_eq!(faults("0.33.0", "m --task embed"), [FlagFault::Replaced]);
    assert_eq!(
        faults("?", "m --speculative-disable-by-batch-size 32"),
        [FlagFault::Replaced]
    );
}

#[test]
fn words_are_read_as_the_engine_reads_them() {
    let (model, all) = read(&words(
        "o/n -tp=2 --max_model_len 64k --cudagraph-capture-sizes 1 2 4 --no-enable-prefix-caching \
         --speculative_config.num_speculative_tokens 3 -O3 --hf-overrides.a.b=c --served-model-name x y",
    ));
    assert_eq!(model.as_deref(), Some("o/n"));
    let full: Vec<String> = all.iter().map(|g| g.full().join(" ")).collect();
    assert_eq!(
        full,
        [
            "--tensor-parallel-size 2",
            "--max-model-len 64k",
            "--cudagraph-capture-sizes 1 2 4",
            "--no-enable-prefix-caching",
            "--speculative-config.num_speculative_tokens 3",
            "--optimization-level 3",
            "--hf-overrides.a.b c",
            "--served-model-name x y",
        ]
    );
    assert!(all.iter().all(|g| g.oddity.is_none()));
}

#[test]
fn a_flag_is_never_taken_for_a_value_and_no_word_is_lost() {
    let (_, all) = read(&words(
        "--model --trust-remote-code --enforce-eager=1 m2 --seed -1 --trust-rem --enable-",
    ));
    let odd: Vec<_> = all.iter().map(|g| (g.name.as_str(), g.oddity)).collect();
    assert_eq!(
        odd,
        [
            ("model", Some(Oddity::NoValue)),
            ("trust-remote-code", None),
            ("enforce-eager", Some(Oddity::Value)),
            ("", Some(Oddity::Stray)),
            ("seed", None),
            ("trust-remote-code", Some(Oddity::Cut)),
            ("enable-", Some(Oddity::Ambiguous)),
        ]
    );
    assert_eq!(
        faults("?", "m --speculative-config {method:mtp}"),
        [FlagFault::NoJson]
    );
}

proptest::proptest! {
    #[test]
    fn whatever_is_read_holds_every_word_once(given in proptest::collection::vec("(--?[a-z_.=-]{0,14}|[0-9a-z{}-]{0,6})", 0..12)) {
        let (model, all) = read(&given);
        let mut back: Vec<String> = model.into_iter().collect();
        back.extend(all.iter().flat_map(|g| g.words.clone()));
        proptest::prop_assert_eq!(back, given);
    }
}

#[test]
fn a_variable_that_no_release_reads_is_told() {
    let of = |release: &str, name: &str| {
        against_variable(&Releases::of(release).unwrap_or(Releases::any()), name)
    };
    assert!(of("0.24.0", "VLLM_USE_FLASHINFER_MOE_FP4").is_some());
    assert_eq!(of("0.23.0", "VLLM_USE_FLASHINFER_MOE_FP4"), None);
    assert!(of("?", "VLLM_USE_FLASHINFER_MOE_FP4").is_some());
    assert!(of("?", "VLLM_USE_B12X_MOE").is_some());
    assert_eq!(of("?", "CUTE_DSL_ARCH"), None);
}
