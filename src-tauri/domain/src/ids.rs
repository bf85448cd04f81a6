//! Identities as types: an id of one kind is never taken for one of another. They are stored, and outside of Rust each
//! is the text that it holds.

/// Defines ids, each a text under a name of its own.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize,
            serde::Deserialize,
        )]
        #[cfg_attr(feature = "bindings", derive(specta::Type))]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// A machine that was added here. It is not the machine's own `/etc/machine-id`.
    MachineId;
    /// A run.
    RunId;
    /// A step within its procedure. It is stored: never rename one.
    StepId;
    /// A recipe: small letters, digits, `-` and `.`.
    RecipeId;
    /// A variant within its recipe, such as `plain` or `mtp`.
    VariantId;
    /// A setting of an engine, such as `context`. Which there are says the engine and the recipe.
    SettingId;
    /// A saved measurement.
    BenchId;
    /// A conversation.
    ConversationId;
}
