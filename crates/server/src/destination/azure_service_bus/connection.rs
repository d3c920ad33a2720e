//! Connection strings: `Endpoint=sb://..;SharedAccessKeyName=..;SharedAccessKey=..;EntityPath=..`.

use url::Url;
use zeroize::Zeroizing;

use crate::destination::webhook::check_url;
use crate::destination::{Invalid, Policy};

/// The field of a draft.
const FIELD: &str = "connectionString";
/// How a key that is hidden begins.
const HIDDEN: &str = "****";
/// How much of a key is shown, in characters, and of which length it must be for that: those that Azure makes have 44.
const SHOWN_CHARS: usize = 4;
const SHOWN_FROM: usize = 32;

/// What a connection string says.
pub(super) struct Connection {
    /// Where messages go: `https://HOST/ENTITY/messages`.
    pub(super) url: Url,
    /// What access is asked for: `https://HOST/ENTITY`.
    pub(super) resource: String,
    /// The queue or topic.
    pub(super) entity: String,
    pub(super) key_name: String,
    pub(super) key: Zeroizing<String>,
}

impl Connection {
    /// Reads one. What else it says (transport, time-outs) is for libraries.
    pub(super) fn parse(text: &str, policy: &Policy) -> Result<Self, Invalid> {
        let part = |name: &str| part(text, name);
        let required = |name: &str| match part(name)? {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(invalid(&format!("must have {name}=.."))),
        };
        let (endpoint, key_name, key) =
            (required("Endpoint")?, required("SharedAccessKeyName")?, required("SharedAccessKey")?);
        if key.starts_with(HIDDEN) {
            return Err(invalid("must have the whole SharedAccessKey: what is shown of it is not enough"));
        }
        let Some(entity) = part("EntityPath")? else {
            return Err(invalid("must have EntityPath=..: the queue or topic that messages go to"));
        };
        check_entity(entity)?;
        let base = base(endpoint, policy)?;
        let (mut resource, mut url) = (base.clone(), base);
        for (url, more) in [(&mut resource, None), (&mut url, Some("messages"))] {
            let mut segments = url.path_segments_mut().map_err(|()| invalid("must have an Endpoint with a host"))?;
            segments.clear().extend(entity.split('/').chain(more));
        }
        let (entity, key_name) = (entity.to_owned(), key_name.to_owned());
        Ok(Self { url, resource: resource.into(), entity, key_name, key: Zeroizing::new(key.to_owned()) })
    }

    /// The same without anything that readers must not see.
    pub(super) fn shown(&self, text: &str) -> String {
        let endpoint = part(text, "Endpoint").ok().flatten().unwrap_or_default();
        let from = self.key.len().checked_sub(SHOWN_CHARS).filter(|_| self.key.len() >= SHOWN_FROM);
        let tail = from.and_then(|from| self.key.get(from..)).unwrap_or_default();
        let (name, entity) = (&self.key_name, &self.entity);
        format!("Endpoint={endpoint};SharedAccessKeyName={name};SharedAccessKey={HIDDEN}{tail};EntityPath={entity}")
    }
}

/// How what is shown of one is named, for people: entity, host and key name.
pub(super) fn name(shown: &str) -> String {
    let part = |name: &str| part(shown, name).ok().flatten().unwrap_or_default();
    let endpoint = part("Endpoint");
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host).trim_end_matches('/');
    format!("{} at {host} for {}", part("EntityPath"), part("SharedAccessKeyName"))
}

/// A part of it by its name, whose case does not matter.
fn part<'t>(text: &'t str, name: &str) -> Result<Option<&'t str>, Invalid> {
    let parts = text.split(';').filter_map(|part| part.split_once('='));
    let mut named = parts.filter(|(is, _)| is.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    match (named.next(), named.next()) {
        (found, None) => Ok(found),
        _ => Err(invalid(&format!("must have {name} once"))),
    }
}

/// The namespace: `sb` is what connection strings say, and `https` is how it is spoken to here.
fn base(endpoint: &str, policy: &Policy) -> Result<Url, Invalid> {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or_default();
    let scheme = if scheme.eq_ignore_ascii_case("sb") { "https" } else { scheme };
    let url = check_url(&format!("{scheme}://{rest}"), policy);
    let url = url.map_err(|wrong| invalid(&format!("has an Endpoint (sb://..) that {}", wrong.text)))?;
    if !["", "/"].contains(&url.path()) || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("must have an Endpoint without a path: the queue or topic is EntityPath"));
    }
    Ok(url)
}

fn check_entity(entity: &str) -> Result<(), Invalid> {
    let is_segment = |segment: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        !["", ".", ".."].contains(&segment) && segment.bytes().all(is_allowed)
    };
    if entity.len() > 260 || !entity.split('/').all(is_segment) {
        return Err(invalid("must have an EntityPath of letters, digits and -._~/, up to 260 characters"));
    }
    Ok(())
}

fn invalid(text: &str) -> Invalid {
    Invalid { field: FIELD, text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::guard::Guard;

    const KEY: &str = "aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";

    fn read(text: &str) -> Result<Connection, Invalid> {
        Connection::parse(text, &Policy::default())
    }

    #[test]
    fn one_of_azures_is_read() {
        let text = format!(
            "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey={KEY};EntityPath=a/b"
        );
        let connection = read(&text).ok().unwrap();
        assert_eq!(connection.url.as_str(), "https://shop.servicebus.windows.net/a/b/messages");
        assert_eq!(connection.resource, "https://shop.servicebus.windows.net/a/b");
        assert_eq!((connection.entity.as_str(), connection.key_name.as_str()), ("a/b", "send"));
        assert_eq!(connection.key.as_str(), KEY);
        let shown = "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=****c2g=;EntityPath=a/b";
        assert_eq!(connection.shown(&text), shown);
        let said = read(shown).err().unwrap().text;
        assert!(said.contains("whole SharedAccessKey"), "{said}");
    }

    #[test]
    fn of_a_short_key_nothing_is_shown() {
        let text = "Endpoint=sb://x.example;sharedaccesskeyname=n;SharedAccessKey=hush;EntityPath=q;Password=hush";
        let shown = read(text).ok().unwrap().shown(text);
        assert!(shown.contains("SharedAccessKey=****;") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_told_without_the_key() {
        let whole = "Endpoint=sb://x.example/;SharedAccessKeyName=n;SharedAccessKey=hush;EntityPath=q";
        assert!(read(whole).is_ok());
        for (from, to, told) in [
            ("sb://x.example/", "x.example", "Endpoint"),
            ("sb://x.example/", "ftp://x.example", "https://"),
            ("sb://x.example/", "http://x.example", "plain HTTP"),
            ("sb://x.example/", "sb://x.example/q", "without a path"),
            ("sb://x.example/", "sb://u:hush@x.example", "user name or password"),
            ("sb://x.example/", "sb://10.0.0.1/", "public address"),
            ("SharedAccessKeyName=n;", "", "SharedAccessKeyName=.."),
            (";EntityPath=q", "", "EntityPath=.."),
            ("EntityPath=q", "EntityPath=a/../b", "EntityPath"),
            ("EntityPath=q", "EntityPath=q;EntityPath=r", "once"),
            ("SharedAccessKey=hush", "SharedAccessKey=", "SharedAccessKey=.."),
        ] {
            let text = read(&whole.replace(from, to)).err().unwrap().text;
            assert!(text.contains(told) && !text.contains("hush"), "{to}: {text}");
        }
    }

    #[test]
    fn plain_http_is_for_who_allows_it() {
        let policy = Policy { allow_http: true, guard: Guard::open(), ..Policy::default() };
        let text = "Endpoint=http://127.0.0.1:8080;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=q";
        let connection = Connection::parse(text, &policy).ok().unwrap();
        assert_eq!(connection.url.as_str(), "http://127.0.0.1:8080/q/messages");
    }
}
