//! Names of images and of recipes.

/// Whether this is a name of an image, as for `docker pull`.
pub(super) fn is_image(image: &str) -> bool {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    image.len() <= 256
        && image.chars().all(is_name)
        && image.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether a tag means another image tomorrow.
pub(super) fn is_moving(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    match name.split_once(':') {
        None => true,
        Some((_, tag)) => tag == "latest" || tag == "main" || tag.ends_with("nightly"),
    }
}

/// A name for a recipe, made of a text.
pub(super) fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.to_ascii_lowercase().chars() {
        match c {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' => out.push(c),
            _ if out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    let cut: String = out.trim_matches(['-', '.']).chars().take(50).collect();
    match cut.trim_matches(['-', '.']) {
        "" => "recipe".into(),
        name => name.to_owned(),
    }
}
