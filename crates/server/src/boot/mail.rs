//! What mail is sent with, of a configuration.

use keyherald_core::mail::MailKind;
use keyherald_core::subscription::DestinationSettings;
use lettre::message::Mailbox as Sender;
use lettre::{Address, message};

use crate::complaint::Complaint;
use crate::config::{self, Config, SmtpSecurity};
use crate::destination::smtp::{Account, Carrier, Credentials, Mail, Office, Security, ServerSettings};
use crate::mail::{self, Mailbox, Templates};

/// Largest file with certificate authorities.
const AUTHORITIES_BYTES_MAX: usize = 1024 * 1024;

/// The office for all projects that mail. `None`: there are none.
pub(super) fn office(config: &Config, mailbox: Option<Mailbox>) -> Result<Option<Office>, Complaint> {
    let mailing = config.projects.iter().filter(|project| !kinds(project).is_empty());
    let accounts = mailing
        .map(|project| Ok((project.key.clone(), account(config, project)?)))
        .collect::<Result<std::collections::BTreeMap<_, _>, Complaint>>()?;
    if accounts.is_empty() {
        return Ok(None);
    }
    let templates = Templates::load(config.mail.templates.as_deref()).map_err(Complaint::of_all)?;
    let carrier = if config.mail.to_mailbox {
        Carrier::Mailbox(mailbox.unwrap_or_default())
    } else {
        Carrier::Server(server(config)?)
    };
    Ok(Some(Office { templates, accounts, carrier }))
}

/// What a project mails.
pub(super) fn kinds(project: &config::Project) -> &[MailKind] {
    project.mail.as_ref().map_or(&[], |mail| mail.send.as_slice())
}

/// How the subscription of letters names its destination.
pub(super) fn destination(office: Option<&Office>) -> DestinationSettings {
    let settings = office.map(|office| office.carrier.settings()).unwrap_or_default();
    DestinationSettings { kind: Mail::NAME.to_owned(), settings }
}

fn account(config: &Config, project: &config::Project) -> Result<Account, Complaint> {
    let mail = project.mail.clone().unwrap_or_default();
    let name = mail.sender.clone().or_else(|| project.name.clone()).unwrap_or_else(|| project.key.to_string());
    let locale = mail.locale.clone().or_else(|| project.languages.first().map(|tag| tag.as_str().to_owned()));
    let from = match mail.from.or_else(|| config.mail.from.clone()) {
        Some(from) => from,
        None => of_development()?,
    };
    Ok(Account {
        sender: mail::Sender { name, contact: mail.contact, locale, links: mail.links.by_kind() },
        from,
        reply_to: mail.reply_to.or_else(|| config.mail.reply_to.clone()),
        kinds: mail.send,
    })
}

/// Nobody sees it: only a mailbox in memory does without a sender.
fn of_development() -> Result<Sender, Complaint> {
    let address = Address::new("keyherald", "localhost").map_err(|error| Complaint::because("[mail] from", &error))?;
    Ok(message::Mailbox::new(None, address))
}

fn server(config: &Config) -> Result<ServerSettings, Complaint> {
    let smtp = config.mail.smtp.clone().unwrap_or_default();
    let host = smtp.host.unwrap_or_default();
    let security = match smtp.security {
        SmtpSecurity::Tls => Security::Tls,
        SmtpSecurity::StartTls => Security::StartTls,
        SmtpSecurity::Plaintext => Security::Plaintext,
    };
    let authorities = match &smtp.ca_file {
        Some(path) => {
            let cannot = |why: &str| Complaint::new(format!("mail.smtp.ca_file: {} {why}", path.display()));
            let bytes = std::fs::read(path).map_err(|error| cannot(&format!("cannot be read: {error}")))?;
            if bytes.len() > AUTHORITIES_BYTES_MAX {
                return Err(cannot("is too large"));
            }
            Some(bytes)
        }
        None => None,
    };
    let mut server = ServerSettings::new(&host, security, authorities.as_deref())
        .map_err(|error| Complaint::because("[mail.smtp]", &error))?;
    server.port = smtp.port.unwrap_or(server.port);
    server.connections_max = smtp.connections_max;
    server.connect_timeout = config.delivery.connect_timeout;
    if let (Some(username), Some(password)) = (&smtp.username, &smtp.password) {
        server.credentials = Some(Credentials::new(username, password.reveal()));
    }
    let domain = || config.mail.from.as_ref().map(|from| from.email.domain().to_owned());
    if let Some(name) = smtp.hello_name.or_else(domain) {
        server.hello_name = name;
    }
    Ok(server)
}
