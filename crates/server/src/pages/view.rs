//! The templates of the pages, compiled once, with the sentences of all languages.
//!
//! Strict about what is undefined, and every value is escaped, sentences too: there is no way around it.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};

use super::language::{LANGUAGES, sentences};

const TEMPLATES: [(&str, &str); 9] = [
    ("layout.html", include_str!("templates/layout.html")),
    ("arrive.html", include_str!("templates/arrive.html")),
    ("start.html", include_str!("templates/start.html")),
    ("code.html", include_str!("templates/code.html")),
    ("credentials.html", include_str!("templates/credentials.html")),
    ("password.html", include_str!("templates/password.html")),
    ("password_fields.html", include_str!("templates/password_fields.html")),
    ("done.html", include_str!("templates/done.html")),
    ("trouble.html", include_str!("templates/trouble.html")),
];

/// The compiled templates.
pub struct Views(Environment<'static>);

impl Views {
    /// Compiles all of them, and reads all languages. What is wrong is a mistake of ours.
    pub fn load() -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_auto_escape_callback(|name| {
            let is_page = TEMPLATES.iter().any(|(template, _)| *template == name);
            if is_page { AutoEscape::Html } else { AutoEscape::None }
        });
        environment.add_function("say", say);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).map_err(|error| error.to_string())?;
        }
        for (language, _, text) in LANGUAGES {
            for (name, sentence) in sentences(text).map_err(|what| format!("{language}.toml: {what}"))? {
                let added = environment.add_template_owned(format!("{language}/{name}"), sentence);
                added.map_err(|error| error.to_string())?;
            }
        }
        Ok(Self(environment))
    }

    /// A page. An error's text names places in templates, never values.
    pub fn render(&self, template: &str, values: &Value) -> Result<String, String> {
        let rendered = self.0.get_template(template).and_then(|template| template.render(values));
        rendered.map_err(|error| format!("{template}: {error}"))
    }
}

/// `say("name", value = ..)`: a sentence in the page's language. Of those with this name the one that says what is asked for,
/// if there is: a number, or an address or a number (`takes`), and a PIN (`_pin`).
#[expect(clippy::needless_pass_by_value, reason = "the engine hands it over")]
fn say(state: &State<'_, '_>, name: &str, values: Kwargs) -> Result<String, Error> {
    let missing = || Error::new(ErrorKind::UndefinedError, "a page without language");
    let language = state.lookup("language").ok_or_else(missing)?;
    let language = language.as_str().ok_or_else(missing)?;
    let pin = state.lookup("pin").filter(|pin| !pin.is_undefined() && !pin.is_none()).map_or("", |_| "_pin");
    let takes = state.lookup("takes").and_then(|takes| takes.as_str().map(str::to_owned)).unwrap_or_default();
    let endings = [format!("{takes}{pin}"), takes, pin.to_owned(), String::new()];
    let mut sentences = endings.iter().map(|ending| state.env().get_template(&format!("{language}/{name}{ending}")));
    let sentence =
        sentences.find_map(Result::ok).ok_or_else(|| Error::new(ErrorKind::TemplateNotFound, name.to_owned()))?;
    let named = values.args().map(|name| Ok((name.to_owned(), values.get::<Value>(name)?)));
    let values = named.collect::<Result<BTreeMap<String, Value>, Error>>()?;
    sentence.render(values)
}
