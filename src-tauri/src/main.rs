//! `tandem` opens the window; `tandem --story [RECIPE]` runs the rehearsal of a recipe without one
//! and prints it; `tandem recipe commands` prints what the recipes would start, `tandem recipe import` what becomes of
//! one of others;
//! `tandem --bindings` writes the TypeScript that the window is compiled against.

// No console beside the window on Windows.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

fn main() -> std::process::ExitCode {
    // Before anything is written, by whichever library: what Tandem makes here is nobody else's.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match std::env::args().nth(1).as_deref() {
        Some("--story") => {
            tauri::async_runtime::block_on(tandem::story::tell(std::env::args().nth(2)))
        }
        Some("recipe") => {
            let words: Vec<String> = std::env::args().skip(2).collect();
            tandem::recipes::tell(&words)
        }
        Some("--bindings") => {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ui/src/bindings.ts");
            let export = tandem::builder().export(specta_typescript::Typescript::default(), path);
            export.expect("the bindings could not be written");
            std::process::ExitCode::SUCCESS
        }
        _ => {
            tandem::run();
            std::process::ExitCode::SUCCESS
        }
    }
}
