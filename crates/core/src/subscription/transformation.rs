//! What is sent in the place of the contract's body: a template, and what it makes.
//!
//! An extension of ours. What the language of templates is, and its limits, is decided where bodies are rendered.

use serde::{Deserialize, Serialize};

/// What a template makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// JSON: values are put in as JSON, and what comes out must be JSON.
    #[default]
    #[serde(rename = "application/json")]
    Json,
    /// XML: values are escaped.
    #[serde(rename = "application/xml")]
    Xml,
    /// Text: values are put in as they are.
    #[serde(rename = "text/plain")]
    Text,
}

impl MediaType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::Xml, Self::Text];

    /// As it is written in drafts and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::Text => "text/plain",
        }
    }
}

/// A template, as it was written, and what it makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transformation {
    /// The template's text.
    pub template: String,
    /// What it makes.
    #[serde(rename = "contentType", default)]
    pub media_type: MediaType,
}

impl Transformation {
    /// Longest template in bytes.
    pub const TEMPLATE_BYTES_MAX: usize = 8 * 1024;
}
