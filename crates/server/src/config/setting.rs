//! Single values: how each type is read from a node, and written back.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use keyherald_core::credentials_event::ChangeType;
use keyherald_core::id::ProjectKey;
use keyherald_core::mail::{Link, MailKind};
use keyherald_core::project::LanguageTag;
use keyherald_core::provider::ProviderName;
use keyherald_core::sms::SmsKind;
use lettre::message::Mailbox;
use url::Url;

use super::problem::Origin;
use super::recovery::{Colour, ReturnUrl};
use super::tree::{Node, Value};

/// A type that a key can have.
pub(super) trait Setting: Sized {
    /// What the key takes, as in "must be {WANTED}".
    const WANTED: &'static str;
    /// Whether a problem may repeat the value.
    const SHOWN: bool = true;

    /// The value; `None` when the node is something else.
    fn read(node: &Node) -> Option<Self>;

    /// The same value as TOML.
    fn write(&self) -> toml::Value;
}

/// Text from the environment stands for any type; text from the file only for text.
fn from_environment(node: &Node) -> Option<&str> {
    match (&node.value, &node.origin) {
        (Value::Text(text), Origin::Variable(_)) => Some(text.trim()),
        _ => None,
    }
}

pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

impl Setting for bool {
    const WANTED: &'static str = "true or false";

    fn read(node: &Node) -> Option<Self> {
        match node.value {
            Value::Bool(yes) => Some(yes),
            _ => from_environment(node)?.parse().ok(),
        }
    }

    fn write(&self) -> toml::Value {
        (*self).into()
    }
}

macro_rules! whole_numbers {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            const WANTED: &'static str = "a whole number";

            fn read(node: &Node) -> Option<Self> {
                match node.value {
                    Value::Integer(number) => Self::try_from(number).ok(),
                    _ => from_environment(node)?.parse().ok(),
                }
            }

            fn write(&self) -> toml::Value {
                // Every bound of ours lies below i64::MAX.
                i64::try_from(*self).unwrap_or(i64::MAX).into()
            }
        }
    )*};
}

whole_numbers!(u8, u16, u32, usize);

impl Setting for f64 {
    const WANTED: &'static str = "a number";

    fn read(node: &Node) -> Option<Self> {
        match node.value {
            Value::Float(number) => Some(number),
            Value::Integer(number) => i32::try_from(number).ok().map(Self::from),
            _ => from_environment(node)?.parse().ok(),
        }
    }

    fn write(&self) -> toml::Value {
        (*self).into()
    }
}

impl Setting for String {
    const WANTED: &'static str = "a text of 1 to 1000 characters";

    fn read(node: &Node) -> Option<Self> {
        let text = text(node)?;
        (1..=1000).contains(&text.chars().count()).then(|| text.to_owned())
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

/// Units from the largest to the smallest, with their length in milliseconds.
const UNITS: [(&str, u128); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Setting for Duration {
    const WANTED: &'static str = r#"a duration such as "500ms", "5s", "30m", "2h", "1d", or a whole number of seconds"#;

    fn read(node: &Node) -> Option<Self> {
        if let Value::Integer(seconds) = node.value {
            return u64::try_from(seconds).ok().map(Self::from_secs);
        }
        let text = text(node)?.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let number: u64 = number.parse().ok()?;
        let unit = match unit.trim() {
            "" if from_environment(node).is_some() => "s",
            unit => unit,
        };
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(u64::try_from(*millis).ok()?).map(Self::from_millis)
    }

    fn write(&self) -> toml::Value {
        let millis = self.as_millis();
        let whole = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit) && millis > 0);
        whole.map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / unit)).into()
    }
}

impl Setting for SocketAddr {
    const WANTED: &'static str = r#"an IP address and a port, such as "127.0.0.1:8080" or "[::]:8080""#;

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for IpNet {
    const WANTED: &'static str = r#"a network in CIDR form, such as "10.0.0.0/8" or "fd00::/8""#;

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for Url {
    const WANTED: &'static str =
        r#"an http or https URL without user, query and fragment, such as "https://keyherald.example.com""#;
    const SHOWN: bool = false;

    fn read(node: &Node) -> Option<Self> {
        let url = Self::parse(text(node)?.trim()).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then_some(url)
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for ProjectKey {
    const WANTED: &'static str = "2 to 36 of a-z, 0-9, _ and -";

    fn read(node: &Node) -> Option<Self> {
        text(node)?.parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for ProviderName {
    const WANTED: &'static str = "the name of one of [providers.NAME]";

    fn read(node: &Node) -> Option<Self> {
        text(node)?.parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for LanguageTag {
    const WANTED: &'static str = r#"a language tag such as "de" or "de-CH""#;

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for PathBuf {
    const WANTED: &'static str = "a path";

    fn read(node: &Node) -> Option<Self> {
        String::read(node).map(Self::from)
    }

    fn write(&self) -> toml::Value {
        self.display().to_string().into()
    }
}

impl Setting for Mailbox {
    const WANTED: &'static str = r#"an address, such as "My shop <no-reply@shop.example.com>""#;

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for MailKind {
    const WANTED: &'static str =
        "one of password_changed, email_changed, reset_password, verify_email, verification_code, welcome";

    fn read(node: &Node) -> Option<Self> {
        let name = text(node)?.trim();
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for SmsKind {
    const WANTED: &'static str = "one of password_changed, verification_code";

    fn read(node: &Node) -> Option<Self> {
        let name = text(node)?.trim();
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for Colour {
    const WANTED: &'static str = r##"a colour such as "#1f4fd8""##;

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.to_string().into()
    }
}

impl Setting for ReturnUrl {
    const WANTED: &'static str = "an https address without user and fragment; http only on this machine";

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for ChangeType {
    const WANTED: &'static str = "one of PASSWORD_RECOVERY, PASSWORD_CHANGE";

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

impl Setting for Link {
    const WANTED: &'static str =
        r#"an https address with {token} once behind its host, such as "https://shop.example.com/reset#token={token}""#;

    fn read(node: &Node) -> Option<Self> {
        text(node)?.trim().parse().ok()
    }

    fn write(&self) -> toml::Value {
        self.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(value: Value) -> Node {
        Node { value, origin: Origin::Line(1) }
    }

    fn in_environment(text: &str) -> Node {
        Node { value: Value::Text(text.into()), origin: Origin::Variable("V".into()) }
    }

    #[test]
    fn durations_read_and_write_the_same() {
        for text in ["0s", "1ms", "1500ms", "5s", "30m", "2h", "90s", "1d", "36h"] {
            let duration = Duration::read(&in_file(Value::Text(text.into()))).unwrap();
            assert_eq!(duration.write().as_str(), Some(text));
        }
        assert_eq!(Duration::read(&in_file(Value::Integer(90))), Some(Duration::from_secs(90)));
        assert_eq!(Duration::read(&in_environment("90")), Some(Duration::from_secs(90)));
        for wrong in ["", "5", "s", "5x", "-5s", "5 weeks", "1.5h", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(Duration::read(&in_file(Value::Text(wrong.into()))), None, "{wrong}");
        }
    }

    #[test]
    fn text_in_the_file_is_no_number() {
        assert_eq!(u16::read(&in_file(Value::Text("5".into()))), None);
        assert_eq!(u16::read(&in_environment(" 5 ")), Some(5));
        assert_eq!(u16::read(&in_environment("70000")), None);
        assert_eq!(bool::read(&in_environment("true")), Some(true));
        assert_eq!(bool::read(&in_environment("yes")), None);
    }

    #[test]
    fn urls_are_plain() {
        let read = |text: &str| Url::read(&in_environment(text)).is_some();
        assert!(read("https://example.com/base"));
        for wrong in
            ["example.com", "ftp://example.com", "https://u:p@example.com", "https://example.com/?a", "https://"]
        {
            assert!(!read(wrong), "{wrong}");
        }
    }
}
