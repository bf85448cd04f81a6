fn main() {
    let builder = tandem::builder();
    if let Some(path) = std::env::args().nth(1).filter(|a| a.ends_with(".ts")) {
        builder
            .export(specta_typescript::Typescript::default(), path)
            .expect("export");
        return;
    }
    tauri::Builder::default()
        .invoke_handler(builder.invoke_handler())
        .run(tauri::generate_context!())
        .expect("the window could not be opened");
}
