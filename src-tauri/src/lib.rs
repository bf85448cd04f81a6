//! The shell: opens the window and wires the parts together. It decides nothing.

pub mod app;
pub mod commands;
mod file_dialog;
mod limits;
mod recipe_import;
pub mod recipes;
pub mod story;
pub mod wire;

/// Every question the window may ask, in one list: the router and the TypeScript both come from it.
pub fn builder() -> tauri_specta::Builder<tauri::Wry> {
    tauri_specta::Builder::<tauri::Wry>::new()
        .disable_serde_phases()
        .dangerously_cast_bigints_to_number()
        .error_handling(tauri_specta::ErrorHandlingMode::Throw)
        .constant("LIMITS", limits::limits())
        .commands(tauri_specta::collect_commands![
            commands::machines::overview,
            commands::machines::watch_overview,
            commands::machines::pair,
            commands::machines::neighbours,
            commands::machines::probe_host,
            commands::machines::add_machine,
            commands::machines::change_machine,
            commands::machines::undos_of_machine,
            commands::machines::remove_machine,
            commands::machines::refresh_machine,
            commands::machines::give_password,
            commands::machines::start_rehearsal,
            commands::machines::leave_rehearsal,
            commands::recipes::recipes,
            commands::recipes::read_recipe,
            commands::recipes::fetch_recipe,
            commands::recipes::choose_recipes,
            commands::recipes::keep_recipe,
            commands::recipes::kept_recipe,
            commands::recipes::rename_recipe,
            commands::recipes::recipe_text,
            commands::recipes::delete_recipe,
            commands::recipes::restore_recipe,
            commands::recipes::export_recipe,
            commands::recipes::export_launch,
            commands::recipes::save_text,
            commands::runs::propose_setup,
            commands::runs::propose_recipe,
            commands::runs::plan_again,
            commands::runs::plan_setup,
            commands::runs::ahead,
            commands::runs::start_setup,
            commands::link::propose_link,
            commands::link::start_link,
            commands::runs::watch_run,
            commands::runs::cancel_run,
            commands::runs::hold_download,
            commands::runs::resume_run,
            commands::runs::undo_run,
            commands::runs::list_runs,
            commands::runs::run_detail,
            commands::runs::step_log,
            commands::runs::run_report,
            commands::elsewhere::access,
            commands::elsewhere::open_local,
            commands::elsewhere::close_local,
            commands::elsewhere::server_key,
            commands::elsewhere::test_traffic,
            commands::bench::run_benchmark,
            commands::bench::stop_benchmark,
            commands::bench::list_benchmarks,
            commands::bench::compare_benchmarks,
            commands::bench::rename_benchmark,
            commands::bench::delete_benchmark,
            commands::chat::list_conversations,
            commands::chat::conversation,
            commands::chat::show_version,
            commands::chat::search_messages,
            commands::chat::change_conversation,
            commands::chat::delete_conversation,
            commands::chat::restore_conversation,
            commands::chat::delete_message,
            commands::chat::restore_message,
            commands::chat::chat_draft,
            commands::chat::save_chat_draft,
            commands::chat::chat_controls,
            commands::chat::save_chat_controls,
            commands::chat::chat_presets,
            commands::chat::save_chat_preset,
            commands::chat::delete_chat_preset,
            commands::chat::chat_budget,
            commands::chat::export_conversation,
            commands::chat::import_conversations,
            commands::chat::watch_conversations,
            commands::chat::add_image,
            commands::chat::image,
            commands::chat::send_message,
            commands::chat::stop_answer,
            commands::disk::disks,
            commands::disk::check_time,
            commands::disk::check_revision,
            commands::disk::found_checks,
            commands::disk::follow_check,
            commands::disk::stop_check,
            commands::disk::delete_item,
            commands::settings::settings,
            commands::settings::save_settings,
            commands::settings::set_hub_token,
            commands::settings::check_serving,
            commands::settings::stop_serving,
        ])
}

/// Where the generated TypeScript lives, from this package's folder.
pub const BINDINGS: &str = "../ui/src/bindings.ts";

/// The folder for Tandem's files: `TANDEM_DATA`, or the platform's own.
pub fn data_dir(of_platform: Option<std::path::PathBuf>) -> std::path::PathBuf {
    let chosen = std::env::var_os(DATA).map(Into::into);
    chosen
        .or(of_platform)
        .unwrap_or_else(|| std::path::PathBuf::from("tandem-data"))
}

/// The environment's name for the folder.
const DATA: &str = "TANDEM_DATA";

/// The window's name in `tauri.conf.json`.
const WINDOW: &str = "main";

/// Opens the window. Not before the app is there: the window's engine makes files in the same folder.
fn open_window(tauri_app: &tauri::App) -> tauri::Result<()> {
    let windows = &tauri_app.config().app.windows;
    for config in windows.iter().filter(|w| w.label == WINDOW) {
        tauri::WebviewWindowBuilder::from_config(tauri_app, config)?.build()?;
    }
    Ok(())
}

/// Says why there is no window, where a person sees it, and ends.
fn tell(handle: &tauri::AppHandle, problem: &tandem_domain::problem::Problem) {
    use tauri_plugin_dialog::{DialogExt as _, MessageDialogKind};
    eprintln!("{problem}");
    let rest = [
        problem.cause.clone(),
        problem.fix.as_ref().map(|fix| fix.sentence.clone()),
    ];
    let text: Vec<String> = rest.into_iter().flatten().collect();
    let ending = handle.clone();
    let dialog = handle.dialog().message(text.join("\n\n"));
    dialog
        .title(&problem.message)
        .kind(MessageDialogKind::Error)
        .show(move |_| ending.exit(1));
}

/// Whether an address is the window's own content. A link or a dropped file must not put another page in its place,
/// which could ask for a password under Tandem's name.
fn is_the_window(url: &tauri::Url) -> bool {
    match (url.scheme(), url.host_str()) {
        // As wry names the content on Linux and macOS, and on Windows.
        ("tauri", Some("localhost")) | ("http" | "https", Some("tauri.localhost")) => true,
        ("about", None) => url.path() == "blank",
        // Vite's server, in `tauri dev` alone.
        ("http", Some("localhost")) => cfg!(dev) && url.port() == Some(5173),
        _ => false,
    }
}

/// Opens the window and stays until it is closed.
pub fn run() {
    use tauri::Manager;
    let builder = builder();
    let handler = builder.invoke_handler();
    let mut tauri_app = tauri::Builder::default();
    // Two Tandems on folders of their own are no second start of each other.
    if std::env::var_os(DATA).is_none() {
        tauri_app = tauri_app.plugin(tauri_plugin_single_instance::init(|first, _, _| {
            if let Some(window) = first.get_webview_window(WINDOW) {
                // A window that cannot be raised stays where it is.
                let _ = window.unminimize();
                let _ = window.show();
                let _ = window.set_focus();
            }
        }));
    }
    tauri_app
        .plugin(tauri_plugin_dialog::init())
        .plugin(
            tauri::plugin::Builder::<_, ()>::new("navigation")
                .on_navigation(|_, url| is_the_window(url))
                .build(),
        )
        .invoke_handler(handler)
        .setup(|tauri_app| {
            let paths = tauri_app.path();
            let folder = data_dir(paths.app_data_dir().ok());
            let programs = app::Programs::find(paths.resource_dir().ok());
            match tauri::async_runtime::block_on(app::App::open_with(
                &folder,
                programs,
                tandem_adapters::ssh::key_passphrase::key_passphrase(),
            )) {
                Ok(opened) => {
                    tauri_app.manage(opened);
                    open_window(tauri_app)?;
                }
                Err(problem) => tell(tauri_app.handle(), &problem),
            }
            Ok(())
        })
        .run(tauri::generate_context!())
        .expect("the window could not be opened");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_window_goes_nowhere_else() {
        let goes = |url: &str| super::is_the_window(&url.parse().expect("an address"));
        assert!(goes("tauri://localhost") && goes("tauri://localhost/index.html"));
        assert!(goes("http://tauri.localhost/") && goes("about:blank"));
        for other in [
            "https://example.org/",
            "http://localhost:8000/",
            "http://tauri.localhost.example.org/",
            "file:///etc/passwd",
            "data:text/html,<p>",
            "tauri://example.org/",
            "about:srcdoc",
        ] {
            assert!(!goes(other), "{other}");
        }
    }

    #[test]
    fn the_committed_bindings_are_the_generated_ones() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fresh = folder.path().join("bindings.ts");
        super::builder()
            .export(specta_typescript::Typescript::default(), &fresh)
            .expect("the bindings can be written");
        let fresh = std::fs::read_to_string(fresh).expect("they were written");
        let committed =
            std::fs::read_to_string(super::BINDINGS).expect("ui/src/bindings.ts is there");
        assert!(
            fresh == committed,
            "ui/src/bindings.ts is stale: run `make bindings`"
        );
    }
}
