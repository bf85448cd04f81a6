//! The shell: opens the window and wires the parts together. It decides nothing.

pub mod app;
pub mod commands;
pub mod wire;

/// Every question the window may ask, in one list: the router and the TypeScript both come from it.
pub fn builder() -> tauri_specta::Builder<tauri::Wry> {
    tauri_specta::Builder::<tauri::Wry>::new()
        .disable_serde_phases()
        .dangerously_cast_bigints_to_number()
        .error_handling(tauri_specta::ErrorHandlingMode::Throw)
        .commands(tauri_specta::collect_commands![
            commands::machines::overview,
            commands::machines::known_hosts,
            commands::machines::probe_host,
            commands::machines::add_machine,
            commands::machines::remove_machine,
            commands::machines::refresh_machine,
            commands::machines::give_password,
            commands::machines::start_rehearsal,
            commands::machines::leave_rehearsal,
            commands::runs::propose_setup,
            commands::runs::plan_setup,
            commands::runs::start_setup,
            commands::runs::watch_run,
            commands::runs::cancel_run,
            commands::runs::resume_run,
            commands::runs::undo_run,
            commands::runs::list_runs,
            commands::runs::run_detail,
            commands::runs::step_log,
            commands::runs::run_report,
            commands::bench::run_benchmark,
            commands::bench::stop_benchmark,
            commands::bench::list_benchmarks,
            commands::bench::compare_benchmarks,
            commands::bench::rename_benchmark,
            commands::bench::delete_benchmark,
            commands::chat::list_conversations,
            commands::chat::conversation,
            commands::chat::delete_conversation,
            commands::chat::add_image,
            commands::chat::image,
            commands::chat::send_message,
            commands::chat::stop_answer,
            commands::settings::settings,
            commands::settings::save_settings,
            commands::settings::set_hub_token,
            commands::settings::check_serving,
            commands::settings::stop_serving,
        ])
}
