//! What a person does at the window, counted: clicks, typed words, typed passwords.

use std::path::Path;
use std::time::{Duration, Instant};

use fantoccini::Locator;
use fantoccini::elements::Element;
use serde_json::{Value, json};

use tandem_tests::Spark;

use crate::desk::{Desk, SOON};

/// The key between two fields.
const TAB: &str = "\u{E004}";

/// The key that sends.
pub(crate) const ENTER: &str = "\u{E007}";

/// Control and A.
const SELECT_ALL: &str = "\u{E009}a\u{E000}";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// Hands at a desk.
pub(crate) struct Hands<'a> {
    /// The desk.
    pub(crate) desk: &'a mut Desk,
    /// How often a button of the mouse was pressed.
    pub(crate) clicks: u32,
    /// How often a password was typed.
    pub(crate) passwords: u32,
    /// Whether nothing should go wrong: then a problem on the window ends every wait.
    pub(crate) calm: bool,
}

/// A button with this name.
pub(crate) fn button(name: &str) -> String {
    format!(
        "//button[@aria-label='{name}' or normalize-space(translate(., '\u{a0}', ' '))='{name}']"
    )
}

/// The way to a screen.
pub(crate) fn screen(name: &str) -> String {
    format!("//nav[@aria-label='Screens']//button[starts-with(normalize-space(.), '{name}')]")
}

/// The heading of a screen.
pub(crate) fn heading(starts: &str) -> String {
    format!("//h1[starts-with(normalize-space(.), '{starts}')]")
}

/// The row of a step that stands like this: "Running", "Done".
pub(crate) fn step(id: &str, stands: &str) -> String {
    format!("//li[@data-step='{id}'][.//*[@aria-label='{stands}']]")
}

/// A card about this problem.
pub(crate) fn card(code: &str) -> String {
    format!("//section[@data-code='{code}']")
}

impl<'a> Hands<'a> {
    /// Opens the app.
    pub(crate) async fn open(desk: &'a mut Desk) -> Self {
        desk.open().await.expect("the window opens");
        Self {
            desk,
            clicks: 0,
            passwords: 0,
            calm: true,
        }
    }

    /// Waits until this is to be seen.
    pub(crate) async fn see(&self, path: &str) -> Element {
        self.see_within(path, SOON).await
    }

    /// Waits longer for this to be seen.
    pub(crate) async fn see_within(&self, path: &str, limit: Duration) -> Element {
        let start = Instant::now();
        loop {
            if let Some(element) = self.look(path).await {
                return element;
            }
            if self.calm {
                let found = self.look("//section[@data-code]").await;
                let text = match &found {
                    Some(card) => card.text().await.ok(),
                    None => None,
                };
                // It may have been seen between the two looks.
                if let (Some(text), None) = (text, self.look(path).await) {
                    panic!("a problem instead of {path}:\n{text}");
                }
            }
            assert!(
                start.elapsed() < limit,
                "{path} did not appear in {} s",
                limit.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// This, if it is to be seen now.
    pub(crate) async fn look(&self, path: &str) -> Option<Element> {
        let element = self.desk.client().find(Locator::XPath(path)).await.ok()?;
        element.is_displayed().await.ok()?.then_some(element)
    }

    /// Clicks on this once it can be used.
    pub(crate) async fn click(&mut self, path: &str) {
        let start = Instant::now();
        loop {
            let element = self.see(path).await;
            let off = element.attr("aria-disabled").await;
            // A button that was drawn again in between is looked for again.
            if matches!(off, Ok(None)) && element.click().await.is_ok() {
                self.clicks += 1;
                return;
            }
            assert!(start.elapsed() < SOON, "{path} could not be clicked");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Types into the field that has the keyboard, which must be this one, and goes on to the next.
    pub(crate) async fn type_and_tab(&mut self, label: &str, text: &str) {
        self.type_here(label, text).await;
        self.keys(TAB).await;
    }

    /// Types into the field that has the keyboard, which must be this one.
    pub(crate) async fn type_here(&mut self, label: &str, text: &str) {
        let start = Instant::now();
        let name = "const e = document.activeElement; \
            return e?.getAttribute('aria-label') ?? e?.labels?.[0]?.textContent ?? null";
        loop {
            let has = self.run(name).await;
            if has == json!(label) {
                break;
            }
            assert!(
                start.elapsed() < SOON,
                "{has} has the keyboard, not {label}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if label.starts_with("Password") {
            self.passwords += 1;
        }
        self.keys(text).await;
    }

    /// Types both machines' addresses, which is where the keyboard is at first.
    pub(crate) async fn address_both(&mut self) {
        let [a, b] = Spark::BOTH.map(Spark::address);
        self.type_and_tab("Address of the first Spark", a).await;
        self.type_and_tab("Address of the second Spark", b).await;
    }

    /// Clicks into a field and types something else.
    pub(crate) async fn replace(&mut self, label: &str, text: &str) {
        let field = format!("//input[@id=//label[normalize-space(.)='{label}']/@for]");
        self.click(&field).await;
        self.keys(SELECT_ALL).await;
        self.type_here(label, text).await;
    }

    /// Attaches a file. A person clicks the button, the file and "Open".
    pub(crate) async fn attach(&mut self, file: &Path) {
        let input = "//input[@type='file'][@aria-label='Attach an image']";
        let found = self.desk.client().wait().at_most(SOON);
        let input = found.for_element(Locator::XPath(input)).await;
        let path = file.to_str().expect("a path of ours");
        input
            .expect("pictures can be attached")
            .send_keys(path)
            .await
            .expect("it takes a file");
        self.clicks += 3;
    }

    /// Waits for the end of an answer and gives back what the model said.
    pub(crate) async fn answer(&self) -> String {
        // The figures below an answer come with its end.
        let whole = "//*[@role='log'][@aria-label='Conversation'][@aria-busy='false']\
            //article[@aria-label='Model'][.//*[contains(., ' to the first token')]]";
        let article = self.see_within(whole, ANSWER).await;
        article.text().await.expect("it is drawn")
    }

    /// Presses keys where the keyboard is.
    pub(crate) async fn keys(&self, keys: &str) {
        let field = self
            .desk
            .client()
            .active_element()
            .await
            .expect("something has the keyboard");
        field.send_keys(keys).await.expect("keys arrive");
    }

    /// Asks the page.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.desk
            .client()
            .execute(script, vec![])
            .await
            .expect("the page answers")
    }

    /// Asks the app what the window would ask it.
    pub(crate) async fn ask(&self, command: &str) -> Value {
        let script = "const done = arguments[arguments.length - 1]; \
            window.__TAURI_INTERNALS__.invoke(arguments[0], {}).then(done, done);";
        let answer = self
            .desk
            .client()
            .execute_async(script, vec![json!(command)])
            .await;
        answer.expect("the app answers")
    }
}
