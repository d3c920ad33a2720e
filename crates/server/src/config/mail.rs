//! `[mail]` and `projects[].mail`: what is mailed to customers, in whose name, through which server. Off until a project
//! says what to send.

use std::collections::BTreeMap;
use std::path::PathBuf;

use keyherald_core::mail::{Carries, Link, MailKind};
use lettre::message::Mailbox;

use super::Purpose;
use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// `[mail]`
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// `From` of projects that name none.
    pub from: Option<Mailbox>,
    /// `Reply-To` of projects that name none.
    pub reply_to: Option<Mailbox>,
    /// A folder with templates in the place of the built-in ones, or besides them.
    pub templates: Option<PathBuf>,
    /// The mail server.
    pub smtp: Option<Smtp>,
    /// Whether mail stays in memory. No key of the file: `dev` and `demo` do that, nothing else.
    pub to_mailbox: bool,
}

/// `[mail.smtp]`
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Name or address of the server.
    pub host: Option<String>,
    /// TCP port; none: the usual one.
    pub port: Option<u16>,
    /// How the connection is secured.
    pub security: SmtpSecurity,
    /// As whom to sign in.
    pub username: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// Certificate authorities (PEM) that count besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What the server calls itself to the mail server; none: the domain of `from`.
    pub hello_name: Option<String>,
    /// Connections of one project at the same time.
    pub connections_max: usize,
}

/// `mail.smtp.security`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS after `STARTTLS`.
    StartTls,
    /// None.
    Plaintext,
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            host: None,
            port: None,
            security: SmtpSecurity::Tls,
            username: None,
            password: None,
            ca_file: None,
            hello_name: None,
            connections_max: 8,
        }
    }
}

static PASSWORD: KeyNames =
    KeyNames { inline: "password", file: "password_file", variable: "password_env", masked: None };

impl Section for Mail {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("from", &mut self.from);
        keys.optional("reply_to", &mut self.reply_to);
        keys.optional("templates", &mut self.templates);
        keys.optional_section("smtp", &mut self.smtp);
        if let Some(purpose) = keys.purpose() {
            self.to_mailbox = purpose == Purpose::Develop;
        }
    }
}

impl Section for Smtp {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("host", &mut self.host);
        keys.require("host", Some("the mail server's name, such as host = \"smtp.example.com\"".into()));
        keys.optional("port", &mut self.port);
        let words =
            [("tls", SmtpSecurity::Tls), ("starttls", SmtpSecurity::StartTls), ("none", SmtpSecurity::Plaintext)];
        keys.choice("security", &mut self.security, &words);
        keys.optional("username", &mut self.username);
        keys.optional_secret(&PASSWORD, &mut self.password);
        keys.optional("ca_file", &mut self.ca_file);
        keys.optional("hello_name", &mut self.hello_name);
        keys.within("connections_max", &mut self.connections_max, 1..=100);
        if self.username.is_some() != self.password.is_some() {
            keys.refuse("username", "username and password_file or password_env belong together", None);
        }
        // The password would be readable on its way, and so would every reset link.
        if self.security == SmtpSecurity::Plaintext && self.password.is_some() {
            keys.refuse("security", "no password is sent without TLS", Some("use \"tls\" or \"starttls\"".into()));
        }
    }
}

/// `projects[].mail`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectMail {
    /// What is mailed.
    pub send: Vec<MailKind>,
    /// What customers know the sender by; none: the project's name.
    pub sender: Option<String>,
    /// Whom customers turn to: an address or a page.
    pub contact: Option<String>,
    /// The language for customers without one; none: the first of the project's languages.
    pub locale: Option<String>,
    /// `From`; none: that of `[mail]`.
    pub from: Option<Mailbox>,
    /// `Reply-To`; none: that of `[mail]`.
    pub reply_to: Option<Mailbox>,
    /// Where tokens are redeemed.
    pub links: Links,
}

/// `projects[].mail.links`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Where a new password is chosen.
    pub reset_password: Option<Link>,
    /// Where an address is confirmed.
    pub verify_email: Option<Link>,
    /// Where a first password is chosen.
    pub welcome: Option<Link>,
}

impl Links {
    /// By what they are for.
    pub fn by_kind(&self) -> BTreeMap<MailKind, Link> {
        let all = [
            (MailKind::ResetPassword, &self.reset_password),
            (MailKind::VerifyEmail, &self.verify_email),
            (MailKind::Welcome, &self.welcome),
        ];
        all.into_iter().filter_map(|(kind, link)| Some((kind, link.clone()?))).collect()
    }
}

impl Section for ProjectMail {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.list("send", &mut self.send, 0..=MailKind::ALL.len());
        keys.optional("sender", &mut self.sender);
        keys.optional("contact", &mut self.contact);
        keys.optional("locale", &mut self.locale);
        keys.optional("from", &mut self.from);
        keys.optional("reply_to", &mut self.reply_to);
        keys.section("links", &mut self.links);
        let links = self.links.by_kind();
        for kind in &self.send {
            let name = kind.as_str();
            if kind.carries() == Carries::Link && !links.contains_key(kind) {
                let hint = format!("links = {{ {name} = \"https://shop.example.com/page#token={{token}}\" }}");
                keys.refuse("send", format!("{name} needs the page that its link leads to"), Some(hint));
            }
        }
    }
}

impl Section for Links {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("reset_password", &mut self.reset_password);
        keys.optional("verify_email", &mut self.verify_email);
        keys.optional("welcome", &mut self.welcome);
    }
}
