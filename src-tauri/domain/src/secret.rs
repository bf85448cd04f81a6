//! Text that must not be seen: passwords, tokens, keys.

use std::fmt;

/// A secret held in memory. It prints as `[secret]` and cannot be serialised, so that it cannot
/// slip into a log, the journal or a report.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Gives the text out, for the one place that needs it: a process's stdin or a request header.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing inside.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Overwrites what it can; copies made by the allocator are beyond its reach.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_never_prints() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2")),
            "[secret]",
            "Debug hides the text"
        );
    }
}
