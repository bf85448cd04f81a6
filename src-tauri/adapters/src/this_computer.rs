//! Who works here: what another Tandem is told.

/// This computer and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThisComputer {
    /// The computer's name.
    pub host: String,
    /// The user's.
    pub user: String,
}

/// This computer and its user, by what the system says; `unknown` where it says nothing.
pub fn who() -> ThisComputer {
    let of = |names: &[&str]| {
        let mut found = names.iter().filter_map(|name| std::env::var(name).ok());
        found.find(|value| !value.is_empty())
    };
    #[cfg(unix)]
    let host = Some(
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
    );
    #[cfg(not(unix))]
    let host = of(&["COMPUTERNAME"]);
    let unknown = || "unknown".to_owned();
    ThisComputer {
        host: host.filter(|h| !h.is_empty()).unwrap_or_else(unknown),
        user: of(&["USER", "LOGNAME", "USERNAME"]).unwrap_or_else(unknown),
    }
}
