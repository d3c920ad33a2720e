//! The file of one language: its sentences, each a small template of its own.

use std::collections::BTreeMap;

use keyherald_core::mail::{Carries, MailKind};
use serde::Deserialize;

/// The file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sentences {
    /// Without a name.
    pub(super) greeting: String,
    /// With `name`.
    pub(super) greeting_named: String,
    /// The last line.
    pub(super) closing: String,
    /// Above the address of a link.
    pub(super) link_hint: String,
    /// How a time is written, of `day`, `month`, `year`, `hour`, `minute`.
    pub(super) time: String,
    /// The twelve of them.
    pub(super) months: [String; 12],
    /// Every kind of mail.
    pub(super) mails: BTreeMap<MailKind, Text>,
}

/// What one kind of mail says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) subject: String,
    /// Paragraphs before the link or code.
    pub(super) lines: Vec<String>,
    /// What the link says.
    pub(super) action: Option<String>,
    /// Paragraphs behind it.
    #[serde(default)]
    pub(super) after: Vec<String>,
}

impl Sentences {
    /// Reads the file; what is wrong with it in clear text.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let sentences: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for kind in MailKind::ALL {
            let Some(text) = sentences.mails.get(&kind) else {
                return Err(format!("[mails.{}] is missing", kind.as_str()));
            };
            if (kind.carries() != Carries::Nothing) != text.action.is_some() {
                let rule = if text.action.is_some() {
                    "has no link, so no `action`"
                } else {
                    "needs an `action`: what its link says"
                };
                return Err(format!("[mails.{}] {rule}", kind.as_str()));
            }
        }
        Ok(sentences)
    }

    /// All sentences by the names under which they are compiled.
    pub(super) fn named(&self, language: &str) -> Vec<(String, String)> {
        let mut named = vec![
            (format!("{language}/greeting"), self.greeting.clone()),
            (format!("{language}/greeting_named"), self.greeting_named.clone()),
            (format!("{language}/closing"), self.closing.clone()),
            (format!("{language}/link_hint"), self.link_hint.clone()),
            (format!("{language}/time"), self.time.clone()),
        ];
        for (kind, text) in &self.mails {
            let of_mail = format!("{language}/{}", kind.as_str());
            named.push((format!("{of_mail}/subject"), text.subject.clone()));
            named.extend(text.action.iter().map(|action| (format!("{of_mail}/action"), action.clone())));
            for (part, lines) in [("lines", &text.lines), ("after", &text.after)] {
                let numbered = lines.iter().enumerate();
                named.extend(numbered.map(|(number, line)| (format!("{of_mail}/{part}/{number}"), line.clone())));
            }
        }
        named
    }
}
