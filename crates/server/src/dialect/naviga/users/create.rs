//! `POST /v4/Users`: a user, with a password or without one (naviga.md 3.3, 3.4).

use axum::http::Method;
use keyherald_core::id::TokenId;
use keyherald_core::registration::Draft;
use keyherald_core::secret::TokenValue;
use keyherald_core::update::TextField;
use keyherald_core::user_record::UserRecord;
use serde_json::{Map, Value};
use url::Url;

use super::super::encrypted::{Label, decrypted, encrypted};
use super::super::fields::{Fields, INDEXED_CHARS_MAX, NotValid};
use super::super::reply::{Answer, E400_07, E400_08, Problem, Reply, completed, failed, unsealed};
use super::super::request::{Received, Request};
use super::super::route::{Era, Route};
use super::super::user::{KEPT, ids};
use super::send_verification_code;
use super::start_forgot_password::{EVENT, link, return_url};
use crate::app::{FoundUser, Registered, Registering};

pub const ROUTE: Route =
    Route { method: Method::POST, path: "/v4/Users", era: Era::V4, handle: |request| Box::pin(handle(request)) };

async fn handle(request: Request) -> Answer {
    let (received, fields) = request.received().await?;
    let done = completed("Create User completed.");
    Ok(match create(&received, fields).await? {
        Some(user) => Reply::with_data(done, ids(&received.app, &received.caller.tenant, &user)),
        None => Reply::ok(done),
    })
}

/// Creates a user. `None`: its address is to be proved first.
pub async fn create(received: &Received, fields: Fields) -> Result<Option<Box<FoundUser>>, Problem> {
    let tenant = &received.caller.tenant;
    let (draft, proves_email, page) = draft(received, fields)?;
    let how = registering(received)?;
    let code_page = send_verification_code::page(tenant, page.as_ref(), &draft.email);
    // With a code to come, the call's page is where that leads.
    let page = page.filter(|_| !proves_email).and_then(|page| link(&page, EVENT)).or(how.page);
    let how = Registering { page, code_page, ..how };
    let registered = received.app.register_user(received.call(), draft, how, proves_email).await;
    match registered.map_err(|failure| failed(failure, tenant))? {
        Registered::Done(user) => Ok(Some(user)),
        Registered::Pending => Ok(None),
        Registered::Unverified => Err(Problem::of(E400_07)),
        Registered::Taken => Err(Problem::of(E400_08)),
    }
}

/// How the tenant's users are registered. The token of a user without a password is an event like that of a forgotten one
/// (naviga.md 3.4).
pub fn registering(received: &Received) -> Result<Registering, Problem> {
    let (tenant, app) = (&received.caller.tenant, &received.app);
    let id = TokenId::new(&mut app.moments.ctx());
    let event = encrypted(&app.ring, &tenant.project, Label::Event, &id.to_string());
    let event = event.map_err(|error| unsealed(&error))?;
    Ok(Registering {
        provider: tenant.provider_name(),
        prefix: tenant.provider.as_ref().and_then(|provider| provider.prefix),
        keeps_hash: tenant.keep_local_hash,
        welcome: (id, TokenValue::from_sealed(event)),
        page: tenant.change_password_url.as_ref().and_then(|page| link(page, EVENT)),
        code_page: None,
    })
}

/// What the body says, whether the address is to be proved first, and the page that a mail leads to.
fn draft(received: &Received, mut fields: Fields) -> Result<(Draft, bool, Option<Url>), Problem> {
    let email = fields.email("Email");
    // None, null or blank: the user is to choose one.
    let rules = &received.caller.tenant.password_rules;
    let password = if fields.has("Password") { fields.new_password("Password", rules).map(Some) } else { Some(None) };
    let first_name = fields.text("FirstName", TextField::FirstName.chars_max());
    let last_name = fields.text("LastName", TextField::LastName.chars_max());
    let crid = crid(received, &mut fields);
    let metadata = metadata(&mut fields);
    let (ignores, proves) = (ignores_provider(&mut fields), fields.flag("VerifyEmail"));
    let page = return_url(&received.caller.tenant, &mut fields);
    let (Some(email), Some(password)) = (email, password) else { return Err(fields.problem()) };
    let (Ok(first_name), Ok(last_name), Ok(crid)) = (first_name, last_name, crid) else { return Err(fields.problem()) };
    let (Ok(metadata), Ok(ignores_provider), Ok(proves), Ok(page)) = (metadata, ignores, proves, page) else {
        return Err(fields.problem());
    };
    let draft = Draft { email, first_name, last_name, metadata, crid, password, ignores_provider, ..Draft::default() };
    Ok((draft, proves.unwrap_or(false), page))
}

/// Whether the provider is left out: today's flag, or the old selector (naviga.md 2.7, 4.5).
pub fn ignores_provider(fields: &mut Fields) -> Result<bool, NotValid> {
    let ours_alone = fields.value("CreationMode").is_some_and(|mode| mode == 2 || mode == "2");
    fields.flag("IgnoreProvider").map(|flag| flag.unwrap_or(ours_alone))
}

/// The id that the user is to have, in either form; without what the provider puts in front itself.
fn crid(received: &Received, fields: &mut Fields) -> Result<Option<String>, NotValid> {
    let tenant = &received.caller.tenant;
    let plain = fields.text("CustomerRegistrationId", INDEXED_CHARS_MAX)?;
    let hidden = fields.text("EncryptedCustomerRegistrationId", INDEXED_CHARS_MAX)?;
    let crid = match (plain, hidden) {
        (None, Some(hidden)) => {
            let crid = decrypted(&received.app.ring, &tenant.project, Label::Crid, &hidden);
            Some(crid.ok_or_else(|| fields.not_valid("EncryptedCustomerRegistrationId"))?)
        }
        (plain, _) => plain,
    };
    let prefix = tenant.provider.as_ref().and_then(|provider| provider.prefix).unwrap_or_default();
    Ok(crid.map(|crid| crid.strip_prefix(prefix).unwrap_or(&crid).to_owned()))
}

/// The caller's own fields, and those of the user object that are kept with them.
pub fn metadata(fields: &mut Fields) -> Result<Map<String, Value>, NotValid> {
    let mut metadata = fields.object("Metadata")?.unwrap_or_default();
    for name in KEPT {
        if let Some(value) = fields.value(name) {
            metadata.insert(name.to_owned(), value);
        }
    }
    if UserRecord::default().merge(&metadata) { Ok(metadata) } else { Err(fields.not_valid("Metadata")) }
}
