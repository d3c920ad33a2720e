//! `[server.cors]`: which web pages may call from a browser.

use url::Url;

use super::keys::{Keys, Section};
use super::setting::Setting;
use super::tree::{Node, Value};

/// `[server.cors]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins of pages whose scripts may call and read the answers. None: browsers let no page do so.
    pub origins: Vec<PageOrigin>,
}

/// Where a web page comes from, as a browser says it in `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageOrigin {
    /// `*`: any page.
    Any,
    /// `scheme://host` or `scheme://host:port`.
    One(String),
}

impl Section for Cors {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.list("origins", &mut self.origins, 0..=100);
        if self.origins.contains(&PageOrigin::Any) && self.origins.len() > 1 {
            keys.refuse("origins", "has \"*\" and others: \"*\" means all of them", None);
        }
    }
}

impl Setting for PageOrigin {
    const WANTED: &'static str =
        r#"the origin of web pages without a path, such as "https://shop.example.com", or "*" for all"#;

    fn read(node: &Node) -> Option<Self> {
        let Value::Text(text) = &node.value else { return None };
        let text = text.trim();
        if text == "*" {
            return Some(Self::Any);
        }
        let url = Url::parse(text).ok()?;
        let is_origin = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.host_str().is_some_and(|host| !host.contains('*'));
        is_origin.then(|| Self::One(url.origin().ascii_serialization()))
    }

    fn write(&self) -> toml::Value {
        match self {
            Self::Any => "*".into(),
            Self::One(origin) => origin.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::Origin;
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        let read = |text: &str| PageOrigin::read(&Node { value: Value::Text(text.into()), origin: Origin::Line(1) });
        for (text, origin) in [
            ("https://shop.example.com", "https://shop.example.com"),
            ("https://Shop.Example.com/", "https://shop.example.com"),
            ("https://shop.example.com:443", "https://shop.example.com"),
            (" http://localhost:3000 ", "http://localhost:3000"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(read(text), Some(PageOrigin::One(origin.into())), "{text}");
        }
        assert_eq!(read("*"), Some(PageOrigin::Any));
        for wrong in [
            "",
            "null",
            "shop.example.com",
            "https://shop.example.com/path",
            "https://shop.example.com?a",
            "https://user@shop.example.com",
            "https://*.example.com",
            "file:///etc",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
