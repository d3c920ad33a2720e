//! Places in an answer: JSON Pointers (RFC 6901) and headers.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A JSON Pointer. The empty one is the whole document.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Pointer(String);

/// Not a JSON Pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no JSON Pointer: it begins with / and has ~ only as ~0 or ~1, as in \"/error/code\"")]
pub struct NotAPointer;

impl FromStr for Pointer {
    type Err = NotAPointer;

    fn from_str(text: &str) -> Result<Self, NotAPointer> {
        let escapes = text.split('~').skip(1).all(|after| after.starts_with(['0', '1']));
        let begins = text.is_empty() || text.starts_with('/');
        if begins && escapes && text.len() <= 1000 { Ok(Self(text.to_owned())) } else { Err(NotAPointer) }
    }
}

impl Pointer {
    /// What it points to.
    pub fn of<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        document.pointer(&self.0)
    }
}

/// Where a value of an answer is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the body.
    Body(Pointer),
    /// In this header, named in lower case.
    Header(String),
}

/// Neither a pointer nor a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a JSON Pointer such as \"/id\", or a header such as \"header:ETag\"")]
pub struct NotASource;

impl FromStr for Source {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        match text.strip_prefix("header:") {
            Some(name) if is_header_name(name) => Ok(Self::Header(name.to_lowercase())),
            Some(_) => Err(NotASource),
            None => text.parse().map(Self::Body).map_err(|_| NotASource),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a header can have this name.
pub fn is_header_name(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=100).contains(&name.len()) && name.bytes().all(token)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pointers_and_headers_are_told_apart() {
        let source = |text: &str| text.parse::<Source>();
        assert_eq!(source("header:ETag"), Ok(Source::Header("etag".into())));
        assert!(matches!(source("/a~1b/0"), Ok(Source::Body(_))));
        for wrong in ["a", "/a~2", "/a~", "header:", "header:a b"] {
            assert_eq!(source(wrong), Err(NotASource), "{wrong}");
        }
        let document = json!({"a/b": [7]});
        assert_eq!("/a~1b/0".parse::<Pointer>().unwrap().of(&document), Some(&json!(7)));
        assert_eq!(Pointer::default().of(&document), Some(&document));
    }
}
