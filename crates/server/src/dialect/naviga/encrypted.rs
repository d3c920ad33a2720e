//! Ids in links and cookies: `{keyId}.{base64url}`, always the same for the same id (naviga.md 2.8).
//!
//! Each belongs to one tenant and one use: an encrypted e-mail address is no encrypted CRID, and neither is any at another
//! tenant.

use keyherald_core::id::ProjectKey;
use keyherald_core::seal::{KeyRing, SealError};

/// What is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A CRID.
    Crid,
    /// An e-mail address.
    Email,
    /// The event of a password that was forgotten.
    Event,
}

impl Label {
    fn bound_to(self, project: &ProjectKey) -> String {
        let label = match self {
            Self::Crid => "crid",
            Self::Email => "email",
            Self::Event => "event",
        };
        format!("naviga {project} {label}")
    }
}

/// Encrypts an id of the tenant with this project.
pub fn encrypted(ring: &KeyRing, project: &ProjectKey, label: Label, plain: &str) -> Result<String, SealError> {
    ring.name(&label.bound_to(project), plain.as_bytes())
}

/// The id in clear. `None`: nothing that this tenant was given, or by a key that is gone.
pub fn decrypted(ring: &KeyRing, project: &ProjectKey, label: Label, text: &str) -> Option<String> {
    let plain = ring.named(&label.bound_to(project), text).ok()?;
    std::str::from_utf8(&plain).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use keyherald_core::seal::SealingKey;

    use super::*;

    #[test]
    fn what_is_encrypted_is_of_one_tenant_and_one_use() {
        let ring = KeyRing::new(vec![SealingKey::new("2026-01", [7; 32]).unwrap()]).unwrap();
        let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
        let text = encrypted(&ring, &one, Label::Crid, "auth0|5f7c").unwrap();
        assert_eq!(text, encrypted(&ring, &one, Label::Crid, "auth0|5f7c").unwrap());
        assert!(text.starts_with("2026-01."));
        assert_eq!(decrypted(&ring, &one, Label::Crid, &text).as_deref(), Some("auth0|5f7c"));
        assert_eq!(decrypted(&ring, &other, Label::Crid, &text), None);
        assert_eq!(decrypted(&ring, &one, Label::Email, &text), None);
        assert_eq!(decrypted(&ring, &one, Label::Event, &text), None);
        assert_eq!(decrypted(&ring, &one, Label::Crid, "c1Naxk2z4Xc="), None);
    }
}
