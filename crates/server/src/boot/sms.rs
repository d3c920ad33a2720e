//! What short messages are sent with, of a configuration.

use std::collections::BTreeMap;

use keyherald_core::sms::SmsKind;
use keyherald_core::subscription::DestinationSettings;

use super::providers::net;
use super::recovery::name;
use crate::complaint::Complaint;
use crate::config::{self, Config};
use crate::connector::{AccessSecret, Messenger, MessengerSettings};
use crate::destination::sms::{Account, Carrier, Sms, Switchboard};
use crate::mail::Mailbox;
use crate::words::{ShortMessages, SmsSender};

/// What all projects that send SMS send it with. `None`: there are none. Calls nobody.
pub fn switchboard(config: &Config, mailbox: Option<Mailbox>) -> Result<Option<Switchboard>, Complaint> {
    let sending = config.projects.iter().filter(|project| !kinds(project).is_empty());
    let of_service = config.sms.as_ref().and_then(|sms| sms.from.clone());
    let accounts: BTreeMap<_, _> =
        sending.map(|project| (project.key.clone(), account(project, of_service.as_deref()))).collect();
    if accounts.is_empty() {
        return Ok(None);
    }
    let texts = ShortMessages::built_in()
        .map_err(|what| Complaint::new(format!("the texts of short messages cannot be read: {what}")))?;
    let carrier = if config.mail.to_mailbox { Carrier::Mailbox(mailbox.unwrap_or_default()) } else { carrier(config)? };
    Ok(Some(Switchboard { texts, accounts, carrier }))
}

/// The service of a configuration.
fn carrier(config: &Config) -> Result<Carrier, Complaint> {
    let incomplete = || Complaint::new("[sms] is incomplete".to_owned());
    let sms = config.sms.as_ref().ok_or_else(incomplete)?;
    let (base_url, recipe) = sms.base_url.clone().zip(sms.recipe()).ok_or_else(incomplete)?;
    let secrets = sms.auth.secrets().map(|secret| Some(AccessSecret::new(secret?.reveal().to_owned())));
    let net = net(&sms.net, (sms.allow_insecure_http, sms.in_flight_max), "[sms]")?;
    let name = base_url.as_str().to_owned();
    let messenger = Messenger::new(MessengerSettings { base_url, recipe, secrets }, &net)
        .map_err(|error| Complaint::because("[sms] cannot be used", &error))?;
    Ok(Carrier::Service { base_url: name, messenger: Box::new(messenger), in_flight_max: sms.in_flight_max })
}

/// What a project sends by SMS.
pub(super) fn kinds(project: &config::Project) -> &[SmsKind] {
    project.sms.as_ref().map_or(&[], |sms| sms.send.as_slice())
}

/// How the subscription of short messages names its destination.
pub(super) fn destination(switchboard: Option<&Switchboard>) -> DestinationSettings {
    let settings = switchboard.map(|switchboard| switchboard.carrier.settings()).unwrap_or_default();
    DestinationSettings { kind: Sms::NAME.to_owned(), settings }
}

fn account(project: &config::Project, from: Option<&str>) -> Account {
    let (sms, mail) = (project.sms.clone().unwrap_or_default(), project.mail.clone().unwrap_or_default());
    let first_language = project.languages.first().map(|tag| tag.as_str().to_owned());
    let sender = SmsSender {
        name: sms.sender.or_else(|| name(project)).unwrap_or_else(|| project.key.to_string()),
        contact: sms.contact.or(mail.contact),
        locale: sms.locale.or(mail.locale).or(first_language),
    };
    Account { sender, from: sms.from.or_else(|| from.map(str::to_owned)), kinds: sms.send }
}
