//! The checked set of templates, and how a letter is written with them.
//!
//! minijinja, because operators know its language and it is strict where asked: what is not defined is an error and not
//! a gap. Sentences are rendered first, as plain text; the layouts get them as values, and the HTML one escapes all that
//! it is given. So there is one place where escaping happens, and no way around it but an operator's own `| safe`.

use std::collections::BTreeMap;
use std::path::Path;

use keyherald_core::Micros;
use keyherald_core::mail::{Carries, Letter, Link, MailKind, Recipient};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use super::plain;
use super::sentences::Sentences;

/// The language that there always is.
pub const LANGUAGE: &str = "en";
/// Longest file of a template folder.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Longest subject in characters.
const SUBJECT_CHARACTERS_MAX: usize = 150;
/// Longest name of a sender in characters.
const SENDER_CHARACTERS_MAX: usize = 100;
/// Longest code in characters.
const CODE_CHARACTERS_MAX: usize = 40;

const HTML_LAYOUT: &str = "layout.html";
const TEXT_LAYOUT: &str = "layout.txt";
const LAYOUTS: [(&str, &str); 2] =
    [(HTML_LAYOUT, include_str!("layout.html")), (TEXT_LAYOUT, include_str!("layout.txt"))];
const LOCALES: [(&str, &str); 5] = [
    ("bg", include_str!("locales/bg.toml")),
    ("de", include_str!("locales/de.toml")),
    ("en", include_str!("locales/en.toml")),
    ("es", include_str!("locales/es.toml")),
    ("fr", include_str!("locales/fr.toml")),
];

/// In whose name mail is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// What customers know it by.
    pub name: String,
    /// Whom they turn to: an address or a page.
    pub contact: Option<String>,
    /// The language for customers who have none, or one that there are no templates for.
    pub locale: Option<String>,
    /// Where tokens are redeemed.
    pub links: BTreeMap<MailKind, Link>,
}

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The language it is in.
    pub language: String,
    /// One line.
    pub subject: String,
    /// For those who read text.
    pub text: String,
    /// For the others.
    pub html: String,
}

/// A letter that cannot be written. Tells no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mail {kind:?} cannot be written: {why}")]
pub struct CannotWrite {
    kind: MailKind,
    why: String,
}

/// All templates, checked.
pub struct Templates {
    environment: Environment<'static>,
    locales: BTreeMap<String, Sentences>,
}

impl Templates {
    /// The built-in ones.
    pub fn built_in() -> Result<Self, Vec<String>> {
        Self::load(None)
    }

    /// The built-in ones, with what a folder has in their place or besides: `layout.html`, `layout.txt`, and a file per
    /// language such as `de.toml` or `pt-br.toml`. All that is wrong is told at once.
    pub fn load(folder: Option<&Path>) -> Result<Self, Vec<String>> {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        files.extend(LAYOUTS.map(|(name, text)| (name.to_owned(), text.to_owned())));
        files.extend(LOCALES.map(|(language, text)| (format!("{language}.toml"), text.to_owned())));
        if let Some(folder) = folder {
            files.extend(read_folder(folder)?);
        }
        Self::of_files(&files)
    }

    fn of_files(files: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        match SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
            Ok(syntax) => environment.set_syntax(syntax),
            Err(error) => return Err(vec![error.to_string()]),
        }
        environment.set_auto_escape_callback(|name| match name {
            HTML_LAYOUT => AutoEscape::Html,
            _ => AutoEscape::None,
        });
        let (mut locales, mut problems) = (BTreeMap::new(), Vec::new());
        for (name, text) in files {
            let Some(language) = name.strip_suffix(".toml") else {
                if let Err(error) = environment.add_template_owned(name.clone(), text.clone()) {
                    problems.push(format!("{name}: {error}"));
                }
                continue;
            };
            match Sentences::read(text) {
                Ok(sentences) => {
                    for (sentence, source) in sentences.named(language) {
                        if let Err(error) = environment.add_template_owned(sentence.clone(), source) {
                            problems.push(format!("{name}: {sentence}: {error}"));
                        }
                    }
                    locales.insert(language.to_owned(), sentences);
                }
                Err(what) => problems.push(format!("{name}: {what}")),
            }
        }
        let templates = Self { environment, locales };
        if problems.is_empty() {
            problems = templates.check();
        }
        if problems.is_empty() { Ok(templates) } else { Err(problems) }
    }

    /// The languages that there are.
    pub fn languages(&self) -> impl Iterator<Item = &str> {
        self.locales.keys().map(String::as_str)
    }

    /// Writes every mail in every language, with and without what may be absent.
    fn check(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for language in self.locales.keys() {
            for kind in MailKind::ALL {
                for (name, contact) in [(None, None), (Some("Sample Name"), Some("sample-contact@example.com"))] {
                    let (mut letter, sender) = sample(kind, language, name, contact);
                    // A code comes with a link or without one, and for a forgotten password or for something else.
                    let is_code = kind.carries() == Carries::Code;
                    if is_code && name.is_some() {
                        letter.page = sender.links.get(&kind).cloned();
                    }
                    for recovers in [false, true].into_iter().take(if is_code { 2 } else { 1 }) {
                        letter.recovers = recovers;
                        let written = self.write(&letter, &sender).map_err(|error| error.why);
                        if let Err(what) = written.and_then(|mail| good(&mail, &letter, name)) {
                            problems.push(format!("{language}.toml: {}: {what}", kind.as_str()));
                        }
                    }
                }
            }
        }
        problems.dedup();
        problems
    }

    /// The language for a customer: that of its locale, or the sender's, or English.
    fn language(&self, letter: &Letter, sender: &Sender) -> &str {
        let wanted = [letter.to.locale.as_deref(), sender.locale.as_deref(), Some(LANGUAGE)];
        let known = |wanted: &str| {
            let tag = wanted.replace('_', "-").to_ascii_lowercase();
            let mut tag = tag.as_str();
            loop {
                if let Some((known, _)) = self.locales.get_key_value(tag) {
                    return Some(known.as_str());
                }
                tag = tag.rsplit_once('-')?.0;
            }
        };
        wanted.into_iter().flatten().find_map(known).unwrap_or(LANGUAGE)
    }

    /// Writes a letter in the customer's language.
    pub fn write(&self, letter: &Letter, sender: &Sender) -> Result<Written, CannotWrite> {
        let language = self.language(letter, sender);
        self.write_in(language, letter, sender).map_err(|why| CannotWrite { kind: letter.kind, why })
    }

    fn write_in(&self, language: &str, letter: &Letter, sender: &Sender) -> Result<Written, String> {
        let sentences = self.locales.get(language).ok_or("its language is unknown")?;
        let words = sentences.mails.get(&letter.kind).ok_or("it has no words")?;
        let secret = letter.secret.as_deref();
        let link = match letter.kind.carries() {
            Carries::Link => {
                let link = letter.page.as_ref().or_else(|| sender.links.get(&letter.kind));
                let link = link.ok_or("no link is configured for it")?;
                Some(link.with_token(secret.ok_or("its token is missing")?))
            }
            Carries::Code => letter.page.as_ref().zip(secret).map(|(page, code)| page.with_token(code)),
            Carries::Nothing => None,
        };
        let code = match letter.kind.carries() {
            Carries::Code => Some(plain::line(secret.ok_or("its code is missing")?, CODE_CHARACTERS_MAX)),
            Carries::Nothing | Carries::Link => None,
        };
        let name = letter.to.name.as_deref().and_then(plain::name);
        let values = context! {
            sender => plain::line(&sender.name, SENDER_CHARACTERS_MAX),
            contact => &sender.contact,
            recovers => letter.recovers,
            at => self.time(language, letter.at)?,
            until => letter.until.map(|until| self.time(language, until)).transpose()?,
        };
        let of_mail = format!("{language}/{}", letter.kind.as_str());
        let say = |sentence: &str| self.render(&format!("{of_mail}/{sentence}"), &values);
        let paragraphs = |part: &str, count: usize| -> Result<Vec<String>, String> {
            (0..count).map(|number| say(&format!("{part}/{number}"))).filter(|line| line.as_deref() != Ok("")).collect()
        };
        let greeting = match &name {
            Some(name) => self.render(&format!("{language}/greeting_named"), &context! { name, ..values.clone() })?,
            None => self.render(&format!("{language}/greeting"), &values)?,
        };
        let subject = plain::line(&say("subject")?, SUBJECT_CHARACTERS_MAX);
        let layout = context! {
            language, kind => letter.kind.as_str(), subject => &subject, greeting, link, code,
            lines => paragraphs("lines", words.lines.len())?,
            action => words.action.as_ref().map(|_| say("action")).transpose()?,
            link_hint => self.render(&format!("{language}/link_hint"), &values)?,
            after => paragraphs("after", words.after.len())?,
            closing => self.render(&format!("{language}/closing"), &values)?,
            sender => plain::line(&sender.name, SENDER_CHARACTERS_MAX),
        };
        let text = with_single_gaps(&self.render(TEXT_LAYOUT, &layout)?);
        let html = self.render(HTML_LAYOUT, &layout)?;
        Ok(Written { language: language.to_owned(), subject, text, html })
    }

    /// A time as the language writes it, to the minute, in UTC.
    fn time(&self, language: &str, at: Micros) -> Result<String, String> {
        let sentences = self.locales.get(language).ok_or("its language is unknown")?;
        // 2026-11-22T10:14:00.123Z
        let iso = at.iso();
        let (date, time) = iso.split_once('T').ok_or("its time cannot be written")?;
        let mut date = date.rsplitn(3, '-');
        let (day, month, year) = (date.next().unwrap_or_default(), date.next().unwrap_or_default(), date.next());
        let mut time = time.splitn(3, ':');
        let month = month.parse::<usize>().ok().and_then(|month| sentences.months.get(month.checked_sub(1)?));
        let values = context! {
            day => day.trim_start_matches('0'), month, year, hour => time.next(), minute => time.next(),
        };
        self.render(&format!("{language}/time"), &values)
    }

    fn render(&self, name: &str, values: &Value) -> Result<String, String> {
        // An error's text names places in templates, never values.
        let rendered = self.environment.get_template(name).and_then(|template| template.render(values));
        rendered.map_err(|error| format!("{name}: {error}"))
    }
}

/// The files of a template folder.
fn read_folder(folder: &Path) -> Result<BTreeMap<String, String>, Vec<String>> {
    let cannot =
        |path: &Path, error: &dyn std::fmt::Display| vec![format!("{} cannot be read: {error}", path.display())];
    let entries = std::fs::read_dir(folder).map_err(|error| cannot(folder, &error))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| cannot(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.starts_with('.') {
            continue;
        }
        let is_language = |tag: &str| {
            !tag.is_empty()
                && tag.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if !LAYOUTS.iter().any(|(layout, _)| *layout == name) && !name.strip_suffix(".toml").is_some_and(is_language) {
            let rule =
                "is no template: they are layout.html, layout.txt, and a language in lower case, such as de.toml";
            return Err(vec![format!("{} {rule}", path.display())]);
        }
        let bytes = std::fs::metadata(&path).map_err(|error| cannot(&path, &error))?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(cannot(&path, &format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        files.insert(name, std::fs::read_to_string(&path).map_err(|error| cannot(&path, &error))?);
    }
    Ok(files)
}

/// Paragraphs have one empty line between them, whatever loops and conditions left.
fn with_single_gaps(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.dedup_by(|line, before| line.is_empty() && before.is_empty());
    format!("{}\n", lines.join("\n").trim())
}

/// A letter to check templates with.
fn sample(kind: MailKind, language: &str, name: Option<&str>, contact: Option<&str>) -> (Letter, Sender) {
    let to = Recipient {
        email: "sample@example.com".to_owned(),
        mobile: None,
        name: name.map(str::to_owned),
        locale: Some(language.to_owned()),
    };
    let secret = match kind.carries() {
        Carries::Nothing => None,
        Carries::Link | Carries::Code => Some("sample-SECRET-0".to_owned()),
    };
    let at = Micros(1_763_784_000_000_000);
    let letter = Letter {
        kind,
        to,
        recovers: false,
        new_email: None,
        at,
        until: secret.as_ref().map(|_| at.plus(Micros::DAY)),
        secret,
        page: None,
    };
    let link = "https://sample.example/page#token={token}".parse::<Link>();
    let sender = Sender {
        name: "Sample Sender".to_owned(),
        contact: contact.map(str::to_owned),
        locale: None,
        links: link.into_iter().map(|link| (kind, link)).collect(),
    };
    (letter, sender)
}

/// Whether a sample came out whole.
fn good(mail: &Written, letter: &Letter, name: Option<&str>) -> Result<(), String> {
    if mail.subject.is_empty() {
        return Err("its subject is empty".to_owned());
    }
    for (part, text) in [("subject", &mail.subject), ("text", &mail.text), ("HTML", &mail.html)] {
        if ["{{", "}}", "{%", "%}"].iter().any(|left| text.contains(left)) {
            return Err(format!("its {part} has a part that was not rendered"));
        }
        let is_body = part != "subject";
        if is_body && letter.secret.as_ref().is_some_and(|secret| !text.contains(secret.as_str())) {
            return Err(format!("its {part} leaves out the link or code"));
        }
        let is_linked = letter.page.is_none() || text.contains("https://sample.example/page#token=");
        if is_body && !is_linked && part == "text" {
            return Err(format!("its {part} leaves out the link"));
        }
        if !is_body && letter.secret.as_ref().is_some_and(|secret| text.contains(secret.as_str())) {
            return Err("its subject shows the link or code".to_owned());
        }
        if is_body && name.is_some_and(|name| !text.contains(name)) {
            return Err(format!("its {part} does not greet by name"));
        }
    }
    Ok(())
}
