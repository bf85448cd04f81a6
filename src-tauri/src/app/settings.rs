//! Remembered choices, and the Hub.

use tandem_domain::node::hub_address::is_readable_on_the_way;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;

use super::workspace::Workspace;
use super::{App, stored};
use crate::wire::Settings;

const SETTING: &str = "settings";
const HUB: &str = "https://huggingface.co";
/// What a rehearsal shows in the place of a token.
const MADE_UP: &str = "hf_made_up_for_a_rehearsal";

fn shown(own: Option<Secret>, rehearsal: bool) -> Option<Secret> {
    match rehearsal {
        true => own.map(|_| Secret::new(MADE_UP)),
        false => own,
    }
}

impl App {
    /// The remembered choices.
    pub async fn settings(&self) -> Result<Settings, Problem> {
        Ok(stored(self.inner.real.store.setting(SETTING).await)?.unwrap_or_default())
    }

    /// Remembers choices.
    pub async fn save_settings(&self, settings: Settings) -> Result<(), Problem> {
        let endpoint = settings.hub_endpoint.trim();
        if !(endpoint.is_empty()
            || endpoint.starts_with("https://")
            || endpoint.starts_with("http://"))
        {
            return Err(
                Problem::new(Code::BadInput, "The Hub's address was not kept.")
                    .cause(format!("`{endpoint}` is not a web address."))
                    .fix("Use https://huggingface.co or a mirror, or leave it empty."),
            );
        }
        if is_readable_on_the_way(endpoint) && self.inner.hub_token.load().await.is_some() {
            return Err(token_in_the_open(
                "The Hub's address was not kept.",
                endpoint,
            ));
        }
        stored(self.inner.real.store.put_setting(SETTING, &settings).await)
    }

    /// Keeps or forgets the Hub's token.
    pub async fn set_hub_token(&self, token: Option<String>) -> Result<Option<Problem>, Problem> {
        let token = token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let Some(token) = token else {
            let notice = self.inner.hub_token.forget().await;
            self.changed();
            return Ok(notice);
        };
        if token.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(Problem::new(Code::BadInput, "The token was not kept.")
                .cause("It contains a space or a line break.")
                .fix("Copy it again from the Hub's settings; it begins with hf_."));
        }
        let endpoint = self.real_endpoint().await?;
        if is_readable_on_the_way(&endpoint) {
            return Err(token_in_the_open("The token was not kept.", &endpoint));
        }
        let notice = self.inner.hub_token.save(Secret::new(token)).await;
        self.changed();
        Ok(notice)
    }

    /// The token that a work in this workspace may show: for real machines the person's own. A rehearsal has a
    /// Hub of its own on this computer, where another program may listen the next time, so it shows a made-up one.
    pub(super) async fn hub_token(&self, workspace: &Workspace) -> Option<Secret> {
        let own = self.inner.hub_token.load().await;
        shown(own, workspace.hub_endpoint().is_some())
    }

    /// The Hub's address: the rehearsal's own, the remembered one, `HF_ENDPOINT`, or the Hub itself.
    pub(super) async fn endpoint(&self, workspace: &Workspace) -> Result<String, Problem> {
        if let Some(endpoint) = workspace.hub_endpoint() {
            return Ok(endpoint);
        }
        let endpoint = self.real_endpoint().await?;
        // `HF_ENDPOINT` is not asked about when a token is kept.
        if is_readable_on_the_way(&endpoint) && self.inner.hub_token.load().await.is_some() {
            return Err(token_in_the_open("The Hub was not asked.", &endpoint));
        }
        Ok(endpoint)
    }

    /// The Hub's address of the real machines.
    async fn real_endpoint(&self) -> Result<String, Problem> {
        let chosen = self.settings().await?.hub_endpoint.trim().to_owned();
        let from_env = || std::env::var("HF_ENDPOINT").ok().filter(|e| !e.is_empty());
        let endpoint = Some(chosen).filter(|e| !e.is_empty()).or_else(from_env);
        Ok(endpoint
            .unwrap_or_else(|| HUB.to_owned())
            .trim_end_matches('/')
            .to_owned())
    }
}

/// A token and an address that do not go together.
fn token_in_the_open(message: &str, endpoint: &str) -> Problem {
    Problem::new(Code::HubToken, message)
        .cause(format!(
            "`{endpoint}` is no `https` address, so everybody on the way could read the token."
        ))
        .fix("Use the address with https, or delete the token in Settings.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Programs;

    #[test]
    fn a_rehearsal_never_shows_a_person_s_token() {
        let own = || Some(Secret::new("hf_own"));
        let revealed = |token: Option<Secret>| token.map(|t| t.reveal().to_owned());
        assert_eq!(revealed(shown(own(), false)).as_deref(), Some("hf_own"));
        assert_eq!(revealed(shown(own(), true)).as_deref(), Some(MADE_UP));
        assert_eq!(
            revealed(shown(None, true)),
            None,
            "nor one that nobody gave"
        );
    }

    #[tokio::test]
    async fn a_token_is_not_taken_beside_an_address_without_https() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let app = App::open(folder.path(), Programs::find(None)).await;
        let app = app.expect("the app opens");
        let at = |address: &str| Settings {
            hub_endpoint: address.to_owned(),
            ..Settings::default()
        };
        let store = &app.inner.real.store;
        let kept = store.put_setting(SETTING, &at("http://mirror.lan")).await;
        kept.expect("kept");
        let refused = app.set_hub_token(Some("hf_x".into())).await;
        let problem = refused.expect_err("it would go in the open");
        assert_eq!(problem.code, Code::HubToken);
        assert!(
            problem
                .cause
                .is_some_and(|c| c.contains("http://mirror.lan")),
            "the address is named"
        );
    }
}
