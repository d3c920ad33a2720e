//! The recovery pages of a configuration, with the pictures that they show.

use std::path::Path;

use keyherald_core::policy::Surface;
use keyherald_core::verification::Kind;

use super::paysafe::verifying;
use crate::app::verify_identifier::CodePage;
use crate::complaint::Complaint;
use crate::config::{self, Config};
use crate::pages::{Logo, Settings, Site, Sites, Takes};

/// The pages of all projects that have some.
pub(super) fn sites(config: &Config) -> Result<Sites, Complaint> {
    let of_project = |project: &config::Project| {
        let recovery = project.recovery.as_ref().filter(|recovery| recovery.enabled)?;
        Some(site(project, recovery, &config.server))
    };
    let sites: Result<Vec<Site>, Complaint> = config.projects.iter().filter_map(of_project).collect();
    Ok(Sites::new(sites?))
}

/// Where browsers find them.
pub(super) fn settings(config: &Config) -> Settings {
    let url = config.server.public_url.as_ref();
    Settings {
        prefix: config.server.recovery_prefix.clone(),
        folder: url.map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default(),
        is_secure: url.is_some_and(|url| url.scheme() == "https"),
    }
}

fn site(project: &config::Project, recovery: &config::Recovery, server: &config::Server) -> Result<Site, Complaint> {
    let mail = project.mail.clone().unwrap_or_default();
    let first_language = project.languages.first().map(|tag| tag.as_str().to_owned());
    Ok(Site {
        project: project.key.clone(),
        name: name(project).unwrap_or_else(|| project.key.to_string()),
        contact: mail.contact,
        language: mail.locale.or(first_language),
        colour: recovery.colour,
        logo: recovery.logo_file.as_deref().map(logo).transpose()?,
        logo_dark: recovery.logo_dark_file.as_deref().map(logo).transpose()?,
        return_urls: recovery.return_urls.clone(),
        takes: takes(project),
        verifying: verifying(project, server),
        surface: project.paysafe.as_ref().map_or(Surface::Own, |brand| Surface::Paysafe(brand.rule())),
    })
}

/// What a visitor proves: what is enough for the brand, or where codes go without one. Reading the configuration has looked
/// at whether there is anything.
fn takes(project: &config::Project) -> Takes {
    match (project.proves_alone(Kind::Email), project.proves_alone(Kind::Mobile)) {
        (true, true) => Takes::Either,
        (false, true) => Takes::Numbers,
        (_, false) => Takes::Addresses,
    }
}

/// The page where a code is tried, if the project has pages and browsers' way to them is known.
pub(super) fn code_page(project: &config::Project, server: &config::Server) -> Option<CodePage> {
    page_url(project, server, "code").map(CodePage::new)
}

/// The address of one of a project's pages, under the same conditions.
pub(super) fn page_url(project: &config::Project, server: &config::Server, page: &str) -> Option<String> {
    project.recovery.as_ref().filter(|recovery| recovery.enabled)?;
    let root = server.public_url.as_ref()?.as_str().trim_end_matches('/');
    Some(format!("{root}/{}/{}/{page}", server.recovery_prefix, project.key))
}

/// What customers know a project by.
pub(super) fn name(project: &config::Project) -> Option<String> {
    let of_pages = project.recovery.as_ref().and_then(|recovery| recovery.name.clone());
    let of_mail = || project.mail.as_ref().and_then(|mail| mail.sender.clone());
    of_pages.or_else(of_mail).or_else(|| project.name.clone())
}

fn logo(path: &Path) -> Result<Logo, Complaint> {
    let unusable = |why: &str| Complaint::new(format!("the logo {} cannot be used: {why}", path.display()));
    let bytes = std::fs::metadata(path).map_err(|error| unusable(&error.to_string()))?.len();
    if usize::try_from(bytes).map_or(true, |bytes| bytes > Logo::BYTES_MAX) {
        return Err(unusable(&format!("it is larger than {} bytes", Logo::BYTES_MAX)));
    }
    let bytes = std::fs::read(path).map_err(|error| unusable(&error.to_string()))?;
    Logo::of(bytes).ok_or_else(|| unusable("it is neither SVG nor PNG nor WebP"))
}
