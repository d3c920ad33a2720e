//! `[providers.NAME]` with `kind = "ldap"`.

use url::Url;

use super::keys::{Keys, Section};
use super::provider::required;
use super::secret::{KeyNames, Secret};
use super::setting::{Setting, text};
use super::tree::Node;

/// The keys of `kind = "ldap"`.
#[derive(Clone, Debug)]
pub struct Ldap {
    /// The server's URL. `None`: missing, which is reported.
    pub url: Option<DirectoryUrl>,
    /// Whether `ldap://` is secured with StartTLS.
    pub starttls: bool,
    /// As whom we sign in.
    pub bind_dn: String,
    /// The password for that.
    pub bind_password: Secret,
    /// Where the users are.
    pub base_dn: String,
    /// Which entries there are users.
    pub filter: String,
    /// The attribute with the user's id; `dn` for the entry's name.
    pub id_attribute: String,
    /// The attribute with e-mail addresses.
    pub email_attribute: String,
    /// The attribute with the id that a user has elsewhere.
    pub external_id_attribute: Option<String>,
    /// The attribute that moves when the password is changed; `none` where there is none.
    pub probe_attribute: String,
    /// The attribute that only locked accounts have.
    pub locked_attribute: String,
}

/// Where a directory is: `ldaps://host`, `ldap://host` or `ldapi://%2Fpath%2Fof%2Fsocket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryUrl(pub Url);

impl Setting for DirectoryUrl {
    const WANTED: &'static str = r#"an LDAP URL with a host and no more, such as "ldaps://ldap.example.org""#;
    const SHOWN: bool = false;

    fn read(node: &Node) -> Option<Self> {
        let url = Url::parse(text(node)?.trim()).ok()?;
        let plain = matches!(url.scheme(), "ldap" | "ldaps" | "ldapi")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && matches!(url.path(), "" | "/")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then_some(Self(url))
    }

    fn write(&self) -> toml::Value {
        self.0.as_str().into()
    }
}

static BIND_PASSWORD: KeyNames =
    KeyNames { inline: "bind_password", file: "bind_password_file", variable: "bind_password_env", masked: None };

impl Default for Ldap {
    fn default() -> Self {
        Self {
            url: None,
            starttls: true,
            bind_dn: String::new(),
            bind_password: Secret::unreadable(),
            base_dn: String::new(),
            filter: "(objectClass=inetOrgPerson)".to_owned(),
            id_attribute: "entryUUID".to_owned(),
            email_attribute: "mail".to_owned(),
            external_id_attribute: None,
            probe_attribute: "pwdChangedTime".to_owned(),
            locked_attribute: "pwdAccountLockedTime".to_owned(),
        }
    }
}

impl Section for Ldap {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("url", &mut self.url);
        keys.require("url", Some("the server, such as url = \"ldaps://ldap.example.org\"".into()));
        keys.value("starttls", &mut self.starttls);
        required(keys, "bind_dn", &mut self.bind_dn, "who may write passwords, by its distinguished name");
        keys.secret(&BIND_PASSWORD, &mut self.bind_password);
        keys.require_one(&BIND_PASSWORD, "name where it lies: bind_password_file or bind_password_env");
        required(keys, "base_dn", &mut self.base_dn, "where the users are, such as ou=people,dc=example,dc=org");
        keys.value("filter", &mut self.filter);
        attribute(keys, "id_attribute", &mut self.id_attribute);
        attribute(keys, "email_attribute", &mut self.email_attribute);
        keys.optional("external_id_attribute", &mut self.external_id_attribute);
        if self.external_id_attribute.as_deref().is_some_and(|name| !is_attribute(name)) {
            keys.refuse("external_id_attribute", "is not the name of an attribute", None);
        }
        attribute(keys, "probe_attribute", &mut self.probe_attribute);
        attribute(keys, "locked_attribute", &mut self.locked_attribute);
    }
}

fn attribute(keys: &mut Keys<'_>, name: &'static str, value: &mut String) {
    keys.value(name, value);
    if !is_attribute(value) {
        keys.refuse(name, "is not the name of an attribute", None);
    }
}

/// A name or an object identifier, with options (RFC 4512, 2.5): it becomes part of search filters as it is.
fn is_attribute(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte))
}
