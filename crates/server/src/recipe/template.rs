//! The template language: literal text, and expressions `{{ variable | filter | .. }}`.
//!
//! Closed and small: no conditions, no loops, no files. A template knows its variables before it is ever filled in, so
//! whatever is wrong with it is said when the configuration is read.

use std::fmt;
use std::str::FromStr;

/// Longest template in characters.
const CHARS_MAX: usize = 4000;

/// A text with expressions in it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Template {
    written: String,
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Goes out as it is.
    Text(String),
    /// Is filled in.
    Value(Expression),
}

/// `variable | filter | ..`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// What is filled in.
    pub variable: Variable,
    /// What is done to it, in this order.
    pub filters: Vec<Filter>,
}

/// `group.name`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Where it comes from.
    pub group: Group,
    /// Its name there.
    pub name: String,
}

/// Where variables come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// The user whom the call is about; also what a required operation has extracted.
    User,
    /// What is to be written.
    New,
    /// Passwords and the like of the user's.
    Secret,
    /// A short message.
    Sms,
    /// The call itself.
    Op,
    /// Who we are.
    Auth,
    /// The request as it is going to be sent; for signatures.
    Request,
}

/// What can be done to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// As one segment of a path.
    Path,
    /// Percent-encoded.
    Query,
    /// As in a form: a space is `+`.
    Form,
    /// As JSON: a text in quotes.
    Json,
    /// Base64.
    B64,
    /// Hexadecimal digits.
    Hex,
    /// HMAC under the secret and with the algorithm of `auth`.
    Hmac,
    /// In lower case.
    Lower,
}

static GROUPS: [(&str, Group); 7] = [
    ("user", Group::User),
    ("new", Group::New),
    ("secret", Group::Secret),
    ("sms", Group::Sms),
    ("op", Group::Op),
    ("auth", Group::Auth),
    ("request", Group::Request),
];

static FILTERS: [(&str, Filter); 8] = [
    ("path", Filter::Path),
    ("query", Filter::Query),
    ("form", Filter::Form),
    ("json", Filter::Json),
    ("b64", Filter::B64),
    ("hex", Filter::Hex),
    ("hmac", Filter::Hmac),
    ("lower", Filter::Lower),
];

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATemplate {
    /// Longer than any that makes sense.
    #[error("is longer than {CHARS_MAX} characters")]
    TooLong,
    /// `{{` without `}}`, or the other way round.
    #[error("has {{{{ and }}}} that do not go together")]
    Unbalanced,
    /// What stands between the braces is no variable.
    #[error("has {0:?} where a variable such as user.id belongs")]
    NoVariable(String),
    /// There is no such filter.
    #[error("has an unknown filter {0:?}: there are path, query, form, json, b64, hex, hmac and lower")]
    NoFilter(String),
    /// Bytes that are no text go out as they are.
    #[error("needs b64 or hex behind hmac")]
    BareBytes,
}

impl FromStr for Template {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, NotATemplate> {
        if text.chars().count() > CHARS_MAX {
            return Err(NotATemplate::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            let (inside, after) = after.split_once("}}").ok_or(NotATemplate::Unbalanced)?;
            parts.extend(Part::literal(literal)?);
            parts.push(Part::Value(inside.parse()?));
            rest = after;
        }
        parts.extend(Part::literal(rest)?);
        Ok(Self { written: text.to_owned(), parts })
    }
}

impl Part {
    fn literal(text: &str) -> Result<Option<Self>, NotATemplate> {
        if text.contains("}}") {
            return Err(NotATemplate::Unbalanced);
        }
        Ok((!text.is_empty()).then(|| Self::Text(text.to_owned())))
    }
}

impl FromStr for Expression {
    type Err = NotATemplate;

    fn from_str(text: &str) -> Result<Self, NotATemplate> {
        let mut words = text.split('|').map(str::trim);
        let word = words.next().unwrap_or_default();
        let variable = Variable::read(word).ok_or_else(|| NotATemplate::NoVariable(word.to_owned()))?;
        let filter = |word: &str| {
            let known = FILTERS.iter().find(|(name, _)| *name == word);
            known.map(|(_, filter)| *filter).ok_or_else(|| NotATemplate::NoFilter(word.to_owned()))
        };
        let filters = words.map(filter).collect::<Result<Vec<_>, _>>()?;
        let after_hmac = filters.iter().rposition(|filter| *filter == Filter::Hmac).map(|at| at + 1);
        let is_bare = after_hmac.is_some_and(|at| !matches!(filters.get(at), Some(Filter::B64 | Filter::Hex)));
        if is_bare { Err(NotATemplate::BareBytes) } else { Ok(Self { variable, filters }) }
    }
}

impl Variable {
    fn read(word: &str) -> Option<Self> {
        let (group, name) = word.split_once('.')?;
        let group = GROUPS.iter().find(|(known, _)| *known == group)?.1;
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let fits = (1..=64).contains(&name.len()) && name.chars().all(is_name);
        fits.then(|| Self { group, name: name.to_owned() })
    }

    /// Whether its value must not be seen.
    pub fn is_secret(&self) -> bool {
        match self.group {
            Group::Secret => true,
            Group::Auth => ["secret", "token"].contains(&self.name.as_str()),
            // A code, and whose telephone it goes to.
            Group::Sms => self.name != "from",
            _ => false,
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = GROUPS.iter().find(|(_, group)| *group == self.group).map_or("", |(name, _)| name);
        write!(f, "{group}.{}", self.name)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.written)
    }
}

impl Template {
    /// Its pieces in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The one expression that it consists of, if it does: then an absent value leaves out the whole.
    pub fn only(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Value(expression)] => Some(expression),
            _ => None,
        }
    }

    /// All expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(expression) => Some(expression),
            Part::Text(_) => None,
        })
    }

    /// The text outside of expressions.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Value(_) => None,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_expressions_are_told_apart() {
        let template: Template = "/users/{{ user.id | path }}/x{{op.id}}".parse().unwrap();
        let variables: Vec<String> = template.expressions().map(|found| found.variable.to_string()).collect();
        assert_eq!(variables, ["user.id", "op.id"]);
        assert_eq!(template.literals().collect::<Vec<_>>(), ["/users/", "/x"]);
        assert!(template.only().is_none());
        assert!("{{ secret.new_password | b64 }}".parse::<Template>().unwrap().only().is_some());
        assert_eq!("{{ user.id }}".parse::<Template>().unwrap().as_str(), "{{ user.id }}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| text.parse::<Template>().unwrap_err();
        for text in ["{{ user.id", "user.id }}", "{{ a.b }} }}"] {
            assert!(matches!(wrong(text), NotATemplate::Unbalanced | NotATemplate::NoVariable(_)), "{text}");
        }
        assert_eq!(wrong("{{ id }}"), NotATemplate::NoVariable("id".into()));
        assert_eq!(wrong("{{ env.PATH }}"), NotATemplate::NoVariable("env.PATH".into()));
        assert_eq!(wrong("{{ user.id | upper }}"), NotATemplate::NoFilter("upper".into()));
        assert_eq!(wrong("{{ request.body | hmac }}"), NotATemplate::BareBytes);
        assert_eq!(wrong("{{ request.body | hmac | lower | hex }}"), NotATemplate::BareBytes);
        assert!("{{ request.body | hmac | b64 | query }}".parse::<Template>().is_ok());
        assert_eq!(wrong(&"x".repeat(5000)), NotATemplate::TooLong);
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        let secret = |text: &str| text.parse::<Template>().unwrap().only().unwrap().variable.is_secret();
        assert!(secret("{{ secret.new_password }}") && secret("{{ auth.secret }}") && secret("{{ auth.token }}"));
        assert!(!secret("{{ auth.user }}") && !secret("{{ user.id }}"));
    }
}
