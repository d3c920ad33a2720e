//! What a query asks for: a predicate, and a page.

use std::fmt;

/// Which customers are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Predicate {
    All,
    Email(String),
    LowercaseEmail(String),
    Key(String),
    Number(String),
    LastName(Vec<String>),
    Verified(bool),
    VersionOver(i64),
    KeyDefined(bool),
    FirstName(String),
    /// Or without one.
    FirstNameNot(String),
    FirstNameDefined(bool),
    Store(String),
    /// One address with both.
    Address {
        country: &'static str,
        city: String,
    },
    City(String),
    StoresEmpty(bool),
    Not(Box<Predicate>),
    Both(Box<Predicate>, Box<Predicate>),
    Either(Box<Predicate>, Box<Predicate>),
}

/// Which messages are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    All,
    Types(Vec<&'static str>),
    Resource { kind: &'static str, id: String },
    SequenceOver(i64),
}

/// Which page, in which order. Without a sort: by creation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    pub limit: Option<usize>,
    pub offset: Option<usize>,
    pub with_total: Option<bool>,
    /// A field at the top, and whether it descends.
    pub sort: Option<(&'static str, bool)>,
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "version > 0"),
            Self::Email(email) => write!(f, "email = \"{email}\""),
            Self::LowercaseEmail(email) => write!(f, "lowercaseEmail = \"{email}\""),
            Self::Key(key) => write!(f, "key = \"{key}\""),
            Self::Number(number) => write!(f, "customerNumber = \"{number}\""),
            Self::LastName(names) => write!(f, "lastName in (\"{}\")", names.join("\", \"")),
            Self::Verified(flag) => write!(f, "isEmailVerified = {flag}"),
            Self::VersionOver(version) => write!(f, "version > {version}"),
            Self::KeyDefined(defined) => write!(f, "key is {}defined", not(*defined)),
            Self::FirstName(name) => write!(f, "firstName = \"{name}\""),
            Self::FirstNameNot(name) => write!(f, "firstName != \"{name}\""),
            Self::FirstNameDefined(defined) => write!(f, "firstName is {}defined", not(*defined)),
            Self::Store(key) => write!(f, "stores(key = \"{key}\")"),
            Self::Address { country, city } => {
                write!(f, "addresses(country = \"{country}\" and city = \"{city}\")")
            }
            Self::City(city) => write!(f, "addresses(city = \"{city}\")"),
            Self::StoresEmpty(empty) => write!(f, "stores is {}empty", not(*empty)),
            Self::Not(inner) => write!(f, "not ({inner})"),
            Self::Both(one, other) => write!(f, "({one}) and ({other})"),
            Self::Either(one, other) => write!(f, "({one}) or ({other})"),
        }
    }
}

fn not(holds: bool) -> &'static str {
    if holds { "" } else { "not " }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "version = 1"),
            Self::Types(types) => write!(f, "type in (\"{}\")", types.join("\", \"")),
            Self::Resource { kind, id } => write!(f, "resource(typeId = \"{kind}\" and id = \"{id}\")"),
            Self::SequenceOver(sequence) => write!(f, "sequenceNumber > {sequence}"),
        }
    }
}

impl Page {
    /// The query string.
    pub fn string(&self, clause: Option<String>) -> String {
        let number = |name: &'static str, value: Option<usize>| value.map(|value| (name, value.to_string()));
        let pairs = [
            clause.map(|clause| ("where", clause)),
            number("limit", self.limit),
            number("offset", self.offset),
            self.with_total.map(|flag| ("withTotal", flag.to_string())),
            self.sort.map(|(field, descends)| ("sort", format!("{field} {}", if descends { "desc" } else { "asc" }))),
        ];
        let pairs: Vec<String> =
            pairs.into_iter().flatten().map(|(name, value)| format!("{name}={}", escaped(&value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// Form-encoded.
pub fn escaped(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
