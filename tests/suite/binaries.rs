//! One build of everything, and what came out of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::task::{Command, Task};

/// Targets of the package `tandem-tests` whose tests all run on the lab or in a window.
const LAB_TARGETS: [&str; 4] = ["e2e", "lab", "recipes", "weights"];
/// Tests of other targets that do, by the beginning of their names.
const LAB_TESTS: [(&str, &str); 1] = [("contract", "lab::")];

/// Those that write their own `main` and know nothing of lists.
const WHOLE: [&str; 2] = ["killed", "weights"];

/// A program that cargo built.
#[derive(Debug, Clone)]
pub(crate) struct Binary {
    /// Its package.
    pub(crate) package: String,
    /// Its target in the package.
    pub(crate) target: String,
    pub(crate) path: PathBuf,
    /// The package's folder, in which its tests start.
    pub(crate) folder: PathBuf,
    /// Whether it is made of tests, or is a program.
    pub(crate) is_test: bool,
}

/// The cargo that this was started with, or the one on the path.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Builds all targets of the workspace at once, so that each is linked once.
pub(crate) async fn build(root: &Path) -> Result<Vec<Binary>, Box<dyn std::error::Error>> {
    let built = tokio::process::Command::new(cargo())
        .args(["build", "--workspace", "--all-targets", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await?;
    if !built.status.success() {
        return Err("the workspace does not build".into());
    }
    let lines = String::from_utf8(built.stdout)?;
    Ok(lines.lines().filter_map(binary).collect())
}

/// What a line of cargo's says was built, if that can be started.
fn binary(line: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str()?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let id = message["package_id"].as_str()?;
    // `path+file:///…/tests#tandem-tests@0.1.0`, or `…/tandem#0.1.0` where the folder has the same name.
    let (before, after) = id.rsplit_once('#')?;
    let folder = before.rsplit('/').next()?;
    Some(Binary {
        package: after.split_once('@').map_or(folder, |(n, _)| n).to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        path: path.into(),
        folder: manifest.parent()?.to_owned(),
        is_test: message["profile"]["test"].as_bool()?,
    })
}

impl Binary {
    /// Its name in the table.
    pub(crate) fn name(&self) -> String {
        if self.target.replace('_', "-") == self.package {
            return self.package.clone();
        }
        format!("{} {}", self.package, self.target)
    }

    /// Whether all of its tests come in one.
    pub(crate) fn is_whole(&self) -> bool {
        WHOLE.contains(&self.target.as_str())
    }

    /// It, as cargo would start it.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Command::new(&self.path, words, &self.folder)
            .env("CARGO", text(&cargo()))
            .env("CARGO_MANIFEST_DIR", text(&self.folder))
            .env("CARGO_PKG_NAME", &self.package)
            .env("TANDEM_BUILT", "1")
            .env("TANDEM_FIGURES", text(&crate::kept(crate::FIGURES)))
    }

    /// The names of its tests.
    pub(crate) async fn tests(&self) -> std::io::Result<Vec<String>> {
        let said = tokio::process::Command::new(&self.path)
            .args(["--list", "--format", "terse"])
            .current_dir(&self.folder)
            .output()
            .await?;
        let lines = String::from_utf8_lossy(&said.stdout).into_owned();
        let names = lines.lines().filter_map(|l| l.strip_suffix(": test"));
        Ok(names.map(str::to_owned).collect())
    }

    /// Whether all of its tests run on the lab.
    pub(crate) fn is_all_on_lab(&self) -> bool {
        self.package == "tandem-tests" && LAB_TARGETS.contains(&self.target.as_str())
    }

    /// Whether a test of it runs on the lab.
    pub(crate) fn is_on_lab(&self, test: &str) -> bool {
        let fits =
            |(target, start): &(&str, &str)| self.target == *target && test.starts_with(start);
        self.is_all_on_lab() || (self.package == "tandem-tests" && LAB_TESTS.iter().any(fits))
    }

    /// Its tests that need no lab; `None` where there are none.
    pub(crate) async fn without_lab(&self) -> std::io::Result<Option<Task>> {
        let mut task = Task::new(self.name(), self.command(&["--quiet"]));
        if self.is_whole() {
            task.command.words.clear();
            return Ok((!self.is_all_on_lab()).then_some(task));
        }
        let (on_lab, here): (Vec<_>, Vec<_>) = self
            .tests()
            .await?
            .into_iter()
            .partition(|test| self.is_on_lab(test));
        for test in on_lab {
            task.command.words.extend(["--skip".to_owned(), test]);
        }
        // Else a skipped name would also skip those that begin with it.
        task.command.words.push("--exact".to_owned());
        task.tests = Some(here.len());
        Ok((!here.is_empty()).then_some(task))
    }
}

#[cfg(test)]
mod tests {
    use super::binary;

    #[test]
    fn a_line_of_cargos_names_what_was_built() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/tests#tandem-tests@0.1.0","manifest_path":"/x/tests/Cargo.toml","target":{"kind":["test"],"name":"contract"},"profile":{"test":true},"executable":"/t/debug/deps/contract-1"}"#;
        let built = binary(line).expect("it can be started");
        assert_eq!(built.name(), "tandem-tests contract");
        assert_eq!(built.folder, std::path::Path::new("/x/tests"));
        assert!(built.is_test);
        let library = line.replace(r#""/t/debug/deps/contract-1""#, "null");
        assert!(binary(&library).is_none(), "a library cannot be started");
    }

    #[test]
    fn a_package_named_as_its_folder_is_named_too() {
        let line = r#"{"package_id":"path+file:///x/tandem#0.1.0","manifest_path":"/x/tandem/Cargo.toml","target":{"name":"tandem"},"profile":{"test":false},"executable":"/t/debug/tandem"}"#;
        assert_eq!(binary(line).expect("it can be started").name(), "tandem");
    }
}
