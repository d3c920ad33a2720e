//! What is asked of new passwords, of a configuration.

use std::path::Path;
use std::sync::Arc;

use keyherald_core::policy::{Blocklist, Form, Policy};
use keyherald_core::throttle::Throttle;
use url::Url;

use super::recovery;
use crate::app::Passwords;
use crate::app::check_password::{Contract, Expected};
use crate::breach::{self, ServiceSettings};
use crate::complaint::Complaint;
use crate::config::{self, Config, PolicyContract};
use crate::words::Reasons;

/// Where Pwned Passwords is.
const PWNED_PASSWORDS: &str = "https://api.pwnedpasswords.com";

/// Reads the lists and opens the copies that are named. Calls nobody.
pub(super) fn passwords(config: &Config) -> Result<Passwords, Complaint> {
    let reasons = Reasons::built_in().map_err(Complaint::new)?;
    let shipped = Arc::new(Blocklist::shipped());
    let otherwise = || Expected { list: shipped.clone(), ..Expected::default() };
    let mut projects = std::collections::BTreeMap::new();
    for project in &config.projects {
        let place =
            |complaint: Complaint| complaint.hint(format!("it is in the password_policy of project {}", project.key));
        let asked = project.password_policy.clone().unwrap_or_default();
        let list = match &asked.blocklist_file {
            Some(path) => Arc::new(list(path).map_err(place)?),
            None => shipped.clone(),
        };
        let breach = asked.breach_check.as_ref().map(breach_check).transpose().map_err(place)?;
        let form = Form::Text { min: asked.least(), max: asked.max_length };
        let expected = Expected {
            policy: Policy { form, bytes_max: asked.max_bytes, history: asked.history },
            naviga_history: naviga_history(project),
            applies_to: asked.applies_to.iter().copied().map(contract).collect(),
            list,
            name: recovery::name(project),
            breach,
        };
        projects.insert(project.key.clone(), expected);
    }
    let throttle = |project: &config::Project| Some((project.key.clone(), throttle(project)?));
    let throttles = config.projects.iter().filter_map(throttle).collect();
    Ok(Passwords { projects, reasons, otherwise: otherwise(), throttles })
}

/// How often passwords of a project can be tried. `None`: without end.
fn throttle(project: &config::Project) -> Option<Throttle> {
    let of_brand = || project.paysafe.as_ref().map(|_| config::Throttle::default());
    project.throttle.clone().or_else(of_brand)?.rule()
}

/// How many of a customer's passwords must be known again, the current one among them.
pub(super) fn kept(project: &config::Project) -> u8 {
    let of_policy = project.password_policy.as_ref().map_or(0, |policy| policy.history);
    let of_brand = project.paysafe.as_ref().map_or(0, |paysafe| paysafe.password.history);
    let of_policy = of_policy.max(naviga_history(project));
    of_policy.max(u8::try_from(of_brand).unwrap_or(Policy::HISTORY_MAX)).min(Policy::HISTORY_MAX)
}

fn naviga_history(project: &config::Project) -> u8 {
    project.naviga.as_ref().map_or(0, |naviga| naviga.password.history)
}

fn contract(contract: PolicyContract) -> Contract {
    match contract {
        PolicyContract::Commercetools => Contract::Commercetools,
        PolicyContract::Naviga => Contract::Naviga,
    }
}

fn list(path: &Path) -> Result<Blocklist, Complaint> {
    let cannot = |why: &str| Complaint::new(format!("blocklist_file: {} {why}", path.display()));
    let unreadable = |error: std::io::Error| cannot(&format!("cannot be read: {error}"));
    if std::fs::metadata(path).map_err(unreadable)?.len() > Blocklist::BYTES_MAX {
        return Err(cannot("is too large"));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Blocklist::parse(&text).map_err(|error| cannot(&error.to_string()))
}

fn breach_check(asked: &config::BreachCheck) -> Result<breach::Check, Complaint> {
    let cannot =
        |error: &(dyn std::error::Error + 'static)| Complaint::because("leaked passwords cannot be looked for", error);
    let settings = match (&asked.path, &asked.url) {
        (Some(path), _) => breach::Settings::Copy(path.clone()),
        (None, url) => {
            let own = || Url::parse(PWNED_PASSWORDS).map_err(|error| cannot(&error));
            let url = url.clone().map_or_else(own, Ok)?;
            breach::Settings::Service(ServiceSettings {
                url,
                timeout: asked.timeout,
                allow_private: asked.allow_private,
            })
        }
    };
    breach::Check::new(settings, asked.fail_closed, asked.min_count).map_err(|error| cannot(&error))
}
