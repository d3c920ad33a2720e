//! The words of the pages: a file per language, each sentence a small template, and which language a visitor reads.

use std::collections::BTreeMap;

/// The language that there always is.
pub const LANGUAGE: &str = "en";

/// The languages with what they call themselves, in the order in which they are offered.
pub const LANGUAGES: [(&str, &str, &str); 5] = [
    ("en", "English", include_str!("locales/en.toml")),
    ("de", "Deutsch", include_str!("locales/de.toml")),
    ("fr", "Français", include_str!("locales/fr.toml")),
    ("es", "Español", include_str!("locales/es.toml")),
    ("bg", "Български", include_str!("locales/bg.toml")),
];

/// Ranges of an `Accept-Language` that are looked at.
const RANGES_MAX: usize = 32;

/// The sentences of a language by name.
pub fn sentences(text: &str) -> Result<BTreeMap<String, String>, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

/// The language for a tag such as `de-AT`. `None`: we do not write it.
pub fn of_tag(tag: &str) -> Option<&'static str> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default();
    LANGUAGES.iter().map(|(tag, ..)| *tag).find(|known| known.eq_ignore_ascii_case(primary))
}

/// The language that a browser likes best among ours.
pub fn of_header(accept: &str) -> Option<&'static str> {
    let weighed = accept.split(',').take(RANGES_MAX).filter_map(|range| {
        let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight: f64 = weight.trim().strip_prefix("q=")?.parse().ok()?;
        Some((of_tag(tag.trim())?, weight)).filter(|(_, weight)| *weight > 0.0)
    });
    // Of those that are liked the same, the first one.
    let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_that_there_is() {
        for (accept, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", Some("de")),
            ("it, nl;q=0.9, fr;q=0.5, es;q=0.7", Some("es")),
            ("EN-gb", Some("en")),
            ("bg;q=0, fr;q=0.1", Some("fr")),
            ("it", None),
            ("", None),
            ("*", None),
            ("de;q=x", None),
        ] {
            assert_eq!(of_header(accept), language, "{accept}");
        }
    }

    #[test]
    fn all_languages_say_the_same() {
        let names = |text| sentences(text).unwrap().into_keys().collect::<Vec<_>>();
        let [(_, _, first), rest @ ..] = LANGUAGES;
        for (language, _, text) in rest {
            assert_eq!(names(text), names(first), "{language}");
        }
    }
}
