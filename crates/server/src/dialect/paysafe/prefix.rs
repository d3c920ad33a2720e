//! Where the contract's paths begin: what the configuration calls the first version of the consumer's.

/// Where they begin in the list of endpoints.
const LISTED: &str = "/digitalwallets";
/// The version of the consumer's paths.
const FIRST: &str = "/v1";

/// Where the paths begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// What stands before all versions.
    base: String,
    /// Whether the first version is named.
    names_first: bool,
}

impl Default for Prefix {
    fn default() -> Self {
        Self::new("/digitalwallets/v1")
    }
}

impl Prefix {
    /// This one: where it ends in `/v1`, the other versions stand beside that, else below it.
    pub fn new(text: &str) -> Self {
        match text.strip_suffix(FIRST) {
            Some(base) => Self { base: base.to_owned(), names_first: true },
            None => Self { base: text.to_owned(), names_first: false },
        }
    }

    /// A path as the list of endpoints has it. `None`: it is none of this contract's.
    pub fn listed(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(&self.base).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
        let is_versioned = self.names_first || rest.starts_with("/v2/");
        Some(format!("{LISTED}{}{rest}", if is_versioned { "" } else { FIRST }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_the_list() {
        for (prefix, path, listed) in [
            ("/digitalwallets/v1", "/digitalwallets/v1/x", Some("/digitalwallets/v1/x")),
            ("/digitalwallets/v1", "/digitalwallets/v2/x", Some("/digitalwallets/v2/x")),
            ("/digitalwallets/v1", "/digitalwallets", Some("/digitalwallets")),
            ("/digitalwallets/v1", "/digitalwalletsx", None),
            ("/a/b/v1", "/a/b/v2/x", Some("/digitalwallets/v2/x")),
            ("/a/b/v1", "/digitalwallets/v1/x", None),
            ("/wallet", "/wallet/x", Some("/digitalwallets/v1/x")),
            ("/wallet", "/wallet/v2/x", Some("/digitalwallets/v2/x")),
        ] {
            assert_eq!(Prefix::new(prefix).listed(path).as_deref(), listed, "{prefix} {path}");
        }
    }
}
