//! Why a new password is not taken, and what makes a good one (NIST SP 800-63B: a refusal has a reason, and guidance).

use std::collections::BTreeMap;

use keyherald_core::policy::{Broken, Form};
use serde::Deserialize;

/// The language that there always is.
const LANGUAGE: &str = "en";

const FILES: [(&str, &str); 5] = [
    ("bg", include_str!("reasons/bg.toml")),
    ("de", include_str!("reasons/de.toml")),
    ("en", include_str!("reasons/en.toml")),
    ("es", include_str!("reasons/es.toml")),
    ("fr", include_str!("reasons/fr.toml")),
];

/// The sentences of all languages.
#[derive(Clone, Default)]
pub struct Reasons {
    languages: BTreeMap<&'static str, Sentences>,
}

/// The file of one language.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    /// By the codes of [`Broken`]; `{limit}` is its number.
    reasons: BTreeMap<String, String>,
    /// How a good password is found; `{min}` is the least number of characters.
    guidance: Vec<String>,
    /// The same for a PIN; `{digits}` is how many it has.
    pin_guidance: Vec<String>,
}

impl Reasons {
    /// The built-in ones. What is wrong with a file, in clear text.
    pub fn built_in() -> Result<Self, String> {
        let read = |(language, text): (&'static str, &str)| {
            let sentences: Sentences = toml::from_str(text).map_err(|error| format!("{language}.toml: {error}"))?;
            match Broken::ALL.iter().find(|broken| !sentences.reasons.contains_key(broken.code())) {
                Some(missing) => Err(format!("{language}.toml: {} is missing", missing.code())),
                None => Ok((language, sentences)),
            }
        };
        Ok(Self { languages: FILES.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Why, as one sentence in the language of `locale`.
    pub fn reason(&self, broken: Broken, locale: Option<&str>) -> String {
        let sentence = self.of(locale).and_then(|sentences| sentences.reasons.get(broken.code()));
        let limit = broken.limit().map(|limit| limit.to_string()).unwrap_or_default();
        sentence.map_or_else(|| broken.to_string(), |sentence| sentence.replace("{limit}", &limit))
    }

    /// How a good one is found, as a few sentences.
    pub fn guidance(&self, form: Form, locale: Option<&str>) -> Vec<String> {
        let Some(sentences) = self.of(locale) else { return Vec::new() };
        let (sentences, place, number) = match form {
            Form::Text { min, .. } => (&sentences.guidance, "{min}", min.to_string()),
            Form::Pin { digits } => (&sentences.pin_guidance, "{digits}", digits.to_string()),
        };
        sentences.iter().map(|sentence| sentence.replace(place, &number)).collect()
    }

    /// The sentences of a locale's language, or English.
    fn of(&self, locale: Option<&str>) -> Option<&Sentences> {
        let language = locale.unwrap_or(LANGUAGE).split(['-', '_']).next().unwrap_or(LANGUAGE).to_ascii_lowercase();
        self.languages.get(language.as_str()).or_else(|| self.languages.get(LANGUAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_every_sentence_and_its_number() {
        let reasons = Reasons::built_in().unwrap();
        let english = |broken: Broken| reasons.reason(broken, Some("en"));
        for (language, _) in FILES {
            let sentences = &reasons.languages[language];
            assert_eq!(sentences.reasons.len(), Broken::ALL.len(), "{language}: a code that there is not");
            for broken in Broken::ALL {
                let said = reasons.reason(broken, Some(language));
                assert!(!said.contains(['{', '}']) && said.ends_with('.'), "{language}: {said}");
                assert!(broken.limit().is_none_or(|limit| said.contains(&limit.to_string())), "{language}: {said}");
                assert!(language == "en" || said != english(broken), "{language}: {said}");
            }
            for (form, number) in [(Form::Text { min: 15, max: 128 }, "15"), (Form::Pin { digits: 6 }, "6")] {
                let said = reasons.guidance(form, Some(language));
                assert!(said.len() >= 2 && said.concat().contains(number), "{language}: {said:?}");
                assert!(!said.concat().contains(['{', '}']), "{language}: {said:?}");
            }
        }
    }

    #[test]
    fn a_locale_is_its_language_and_an_unknown_one_english() {
        let reasons = Reasons::built_in().unwrap();
        let said = |locale| reasons.reason(Broken::Reused, locale);
        assert_eq!(said(Some("de-AT")), said(Some("de")));
        assert_eq!(said(Some("DE_ch")), said(Some("de")));
        assert_eq!(said(Some("pt-BR")), said(Some("en")));
        assert_eq!(said(None), said(Some("en")));
    }
}
