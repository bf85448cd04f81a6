//! How the model is asked to answer: per conversation, for new ones, and under names.

use tandem_domain::chat::Controls;
use tandem_domain::chat::controls::{PRESET_NAME, Preset};
use tandem_domain::ids::ConversationId;
use tandem_domain::problem::{Code, Problem};

use super::{App, stored};

/// The setting of controls that a new conversation begins with.
const NEW: &str = "chat-controls";

/// The setting of presets.
const PRESETS: &str = "chat-presets";

/// The most presets: a list that one can still read.
const MOST: usize = 50;

impl App {
    /// How the model is asked to answer in a conversation, or in a new one.
    pub async fn chat_controls(&self, id: Option<&ConversationId>) -> Result<Controls, Problem> {
        let store = &self.workspace().await.store;
        let kept = match id {
            Some(id) => stored(store.controls(id).await)?,
            None => stored(store.setting(NEW).await)?,
        };
        Ok(kept.unwrap_or_default())
    }

    /// Keeps how the model is asked to answer in a conversation, or in new ones.
    pub async fn save_chat_controls(
        &self,
        id: Option<&ConversationId>,
        controls: &Controls,
    ) -> Result<(), Problem> {
        controls.check()?;
        let store = &self.workspace().await.store;
        match id {
            Some(id) => stored(store.put_controls(id, controls).await).map(|_| ()),
            None => stored(store.put_setting(NEW, controls).await),
        }
    }

    /// All presets, by name.
    pub async fn chat_presets(&self) -> Result<Vec<Preset>, Problem> {
        let kept = stored(self.workspace().await.store.setting(PRESETS).await)?;
        Ok(kept.unwrap_or_default())
    }

    /// Keeps controls under a name, in the place of what is there. Gives back all presets.
    pub async fn save_chat_preset(&self, mut preset: Preset) -> Result<Vec<Preset>, Problem> {
        preset.controls.check()?;
        preset.name = preset.name.trim().to_owned();
        let length = preset.name.chars().count();
        let mut presets = self.chat_presets().await?;
        presets.retain(|other| other.name != preset.name);
        let cause = if length == 0 {
            "It has no name.".to_owned()
        } else if length > PRESET_NAME {
            format!("Its name has more than {PRESET_NAME} characters.")
        } else if presets.len() >= MOST {
            format!("There are {MOST} already; delete one.")
        } else {
            presets.push(preset);
            presets.sort_by(|a, b| a.name.cmp(&b.name));
            return self.put_presets(presets).await;
        };
        Err(Problem::new(Code::BadInput, "The preset was not kept.").cause(cause))
    }

    /// Forgets a preset. Gives back those that are left.
    pub async fn delete_chat_preset(&self, name: &str) -> Result<Vec<Preset>, Problem> {
        let mut presets = self.chat_presets().await?;
        presets.retain(|preset| preset.name != name);
        self.put_presets(presets).await
    }

    async fn put_presets(&self, presets: Vec<Preset>) -> Result<Vec<Preset>, Problem> {
        let store = &self.workspace().await.store;
        stored(store.put_setting(PRESETS, &presets).await)?;
        Ok(presets)
    }
}
