//! What a project's pages look like, and where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use keyherald_core::id::ProjectKey;
use keyherald_core::policy::Surface;

use super::language;
use crate::app::verify_identifier::Verifying;
use crate::config::{Colour, ReturnUrl};

/// What goes for all pages.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first word of their paths.
    pub prefix: String,
    /// What browsers see before that, if a proxy puts the server into a folder: `/auth`, or nothing.
    pub folder: String,
    /// Whether browsers reach us by https.
    pub is_secure: bool,
}

/// A picture.
#[derive(Clone)]
pub struct Logo {
    /// Its media type.
    pub media_type: &'static str,
    /// Its file.
    pub bytes: Bytes,
}

impl Logo {
    /// Largest file in bytes.
    pub const BYTES_MAX: usize = 256 * 1024;

    /// Of a file, by what it begins with. `None`: it is neither SVG nor PNG nor WebP.
    pub fn of(bytes: Vec<u8>) -> Option<Self> {
        let text = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).and_then(|start| bytes.get(start..));
        let begins = |with: &[&[u8]]| with.iter().any(|with| text.is_some_and(|text| text.starts_with(with)));
        let media_type = match () {
            () if begins(&[b"\x89PNG\r\n\x1a\n"]) => "image/png",
            () if begins(&[b"RIFF"]) && bytes.get(8..12) == Some(b"WEBP") => "image/webp",
            () if begins(&[b"<svg", b"<?xml", b"<!--", b"<!DOCTYPE svg"]) => "image/svg+xml",
            () => return None,
        };
        Some(Self { media_type, bytes: bytes.into() })
    }
}

/// What a visitor proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// An e-mail address.
    Addresses,
    /// A mobile number.
    Numbers,
    /// Either of them.
    Either,
}

impl Takes {
    /// The end of the names of those sentences that say so.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Addresses => "",
            Self::Numbers => "_number",
            Self::Either => "_or_number",
        }
    }
}

/// The pages of one project.
#[derive(Clone)]
pub struct Site {
    /// The project.
    pub project: ProjectKey,
    /// What customers know it by.
    pub name: String,
    /// Whom customers turn to: an address or a page.
    pub contact: Option<String>,
    /// The language for visitors whose browser asks for none that there is.
    pub language: Option<String>,
    /// The colour of buttons and links.
    pub colour: Colour,
    /// The picture in the place of the name.
    pub logo: Option<Logo>,
    /// The same for dark pages.
    pub logo_dark: Option<Logo>,
    /// Where customers may be sent in the end.
    pub return_urls: Vec<ReturnUrl>,
    /// What a visitor proves.
    pub takes: Takes,
    /// What goes for proving an address.
    pub verifying: Verifying,
    /// What is asked of new passwords.
    pub surface: Surface,
}

impl Site {
    /// The language of those who have asked for none that there is.
    pub fn language(&self) -> &'static str {
        self.language.as_deref().and_then(language::of_tag).unwrap_or(language::LANGUAGE)
    }
}

/// The sites by project.
#[derive(Clone, Default)]
pub struct Sites(BTreeMap<String, Arc<Site>>);

impl Sites {
    /// These.
    pub fn new(sites: impl IntoIterator<Item = Site>) -> Self {
        Self(sites.into_iter().map(|site| (site.project.to_string(), Arc::new(site))).collect())
    }

    /// Whether no project has pages.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The site of a project.
    pub fn of(&self, project: &str) -> Option<Arc<Site>> {
        self.0.get(project).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logo_is_known_by_its_first_bytes() {
        let of = |bytes: &[u8]| Logo::of(bytes.to_vec()).map(|logo| logo.media_type);
        assert_eq!(of(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
        assert_eq!(of(b"RIFF....WEBPVP8 "), Some("image/webp"));
        assert_eq!(of(b"\n <svg xmlns='..'>"), Some("image/svg+xml"));
        for other in [&b""[..], b"GIF89a", b"<html>", b"RIFF....WAVE", b"<script>"] {
            assert_eq!(of(other), None);
        }
    }
}
