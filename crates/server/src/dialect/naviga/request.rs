//! A request as the endpoints see it, and who is allowed to make it (naviga.md 2.2, 4.3).

use std::sync::Arc;

use axum::http::{HeaderMap, Method, Uri};
use keyherald_core::Micros;
use keyherald_core::activity::{self, Source};
use keyherald_core::initiator::Initiator;
use keyherald_core::policy::Surface;
use zeroize::Zeroizing;

use super::fields::Fields;
use super::reply::{Problem, faulted_keys};
use super::route::Era;
use super::tenant::{Tenant, Tenants, Unknown};
use crate::app::{App, Call, Repeat};
use crate::http::{self, RequestIds, read_body};
use crate::jwt::Unverified;

const AUTHORIZATION: &str = "Authorization";
const SOURCE_SYSTEM: &str = "X-SourceSystem";
const CLIENT: &str = "X-ClientCode";
const PAPER: &str = "X-PaperCode";
const CLIENT_GROUP: &str = "X-ClientGroupCode";
const MEDIA_GROUP: &str = "X-MediaGroupCode";

/// Longest of the codes and names in headers, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Who calls.
pub struct Caller {
    /// For which tenant.
    pub tenant: Arc<Tenant>,
    /// What it calls itself.
    pub source_system: String,
    /// The same for the activity that it leaves.
    pub source: Source,
}

/// What an endpoint is handed.
pub struct Request {
    /// The use cases.
    pub app: App,
    /// Who calls.
    pub caller: Caller,
    /// The CRID in the path, in clear. Empty if the route has none.
    pub crid: String,
    /// Longest body.
    pub body_bytes_max: usize,
    /// The request itself.
    pub http: axum::extract::Request,
}

/// A request that has no body.
pub struct Asked {
    /// The use cases.
    pub app: App,
    /// Who calls.
    pub caller: Caller,
    /// The CRID in the path.
    pub crid: String,
    /// Its address.
    pub uri: Uri,
}

/// A request whose body was read.
pub struct Received {
    /// The use cases.
    pub app: App,
    /// Who calls.
    pub caller: Caller,
    /// The CRID in the path.
    pub crid: String,
    /// If its caller may repeat it.
    pub repeatable: Option<Repeat>,
}

impl Request {
    /// Without its body.
    pub fn asked(self) -> Asked {
        Asked { app: self.app, caller: self.caller, crid: self.crid, uri: self.http.uri().clone() }
    }

    /// Reads the body.
    pub async fn received(self) -> Result<(Received, Fields), Problem> {
        let key = http::idempotency_key(self.http.headers()).map_err(|http::NotAKey| {
            Problem::invalid_input(format!("The {} header is not valid.", http::IDEMPOTENCY_KEY))
        })?;
        let method = self.http.method().clone();
        let body = Zeroizing::new(read_body(self.http, self.body_bytes_max).await?.to_vec());
        let repeatable = key.map(|key| Repeat {
            // Apart from API clients, who may have the same name.
            caller: format!("naviga:{}", self.caller.source_system.to_ascii_lowercase()),
            key,
            request: Arc::new(fingerprinted(&method, &self.crid, &body)),
        });
        let fields = Fields::parse(&body)?;
        Ok((Received { app: self.app, caller: self.caller, crid: self.crid, repeatable }, fields))
    }
}

/// What is the same for the same request: method and user, then the body as it came.
fn fingerprinted(method: &Method, crid: &str, body: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([method.as_str().as_bytes(), b"\0", crid.as_bytes(), b"\0", body].concat())
}

impl Caller {
    /// The call that it makes.
    pub fn call(&self) -> Call {
        let Self { tenant, source_system, source } = self;
        let by = Initiator { client_id: Some(source_system.clone()), ..Initiator::default() };
        let (project, source, surface) = (tenant.project.clone(), source.clone(), Some(Surface::Naviga));
        Call { project, store: None, by, source, repeatable: None, surface }
    }
}

impl Received {
    /// The call that it makes.
    pub fn call(&self) -> Call {
        Call { repeatable: self.repeatable.clone(), ..self.caller.call() }
    }
}

/// Who calls, if all headers are there and good.
pub async fn authorize(
    app: &App,
    tenants: &Tenants,
    era: Era,
    (headers, ids): (&HeaderMap, Option<&RequestIds>),
) -> Result<Caller, Problem> {
    let sent = |name| header(headers, name);
    // In the order in which the contract lists them; what is missing comes before what is wrong.
    let (authorization, source_system) = (sent(AUTHORIZATION)?, sent(SOURCE_SYSTEM)?);
    let (client, paper, (group_name, group)) = match era {
        Era::V4 => {
            let (client, paper) = (sent(CLIENT)?, sent(PAPER)?);
            (client, paper, group(headers, [CLIENT_GROUP, MEDIA_GROUP])?)
        }
        Era::Old => {
            let group = group(headers, [MEDIA_GROUP, CLIENT_GROUP])?;
            (sent(CLIENT)?, sent(PAPER)?, group)
        }
    };
    let token = bearer(&authorization).ok_or(Problem::Invalid(AUTHORIZATION))?;
    let tenant = match tenants.find(&group, &client, &paper) {
        Ok(tenant) => tenant,
        Err(unknown) if is_a_callers(tenants, token, app.moments.now()).await => {
            return Err(Problem::Invalid(match unknown {
                Unknown::ClientGroup => group_name,
                Unknown::Client => CLIENT,
                Unknown::Paper => PAPER,
            }));
        }
        Err(_) => return Err(Problem::Invalid(AUTHORIZATION)),
    };
    match tenant.callers.verify(token, app.moments.now()).await {
        Ok(()) => {}
        Err(Unverified::Refused(why)) => {
            tracing::info!(project = %tenant.project, "a caller's token was refused: {why}");
            return Err(Problem::Invalid(AUTHORIZATION));
        }
        Err(Unverified::NoKeys) => return Err(faulted_keys()),
    }
    if !tenant.knows_source(&source_system) {
        return Err(Problem::Invalid(SOURCE_SYSTEM));
    }
    let source = Source {
        system: source_system.parse().ok(),
        tenant: activity::Tenant::new(&tenant.client_group, &tenant.client, &tenant.paper),
        correlation_id: ids.and_then(|ids| ids.for_log().parse().ok()),
    };
    Ok(Caller { tenant, source_system, source })
}

/// Whether the token is one of any tenant's: only its bearer is told which tenants there are not. The token is checked
/// before the tenant is (naviga.md 6.2), but which keys are to check it, the tenant says.
async fn is_a_callers(tenants: &Tenants, token: &str, now: Micros) -> bool {
    for tenant in tenants.iter() {
        if tenant.callers.verify(token, now).await.is_ok() {
            return true;
        }
    }
    false
}

/// A header that must be there, and once. A blank one is not.
fn header(headers: &HeaderMap, name: &'static str) -> Result<String, Problem> {
    optional(headers, name)?.ok_or(Problem::Missing(name))
}

fn optional(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map(str::trim).map_err(|_| Problem::Invalid(name))?;
    // Tokens have a limit of their own.
    if values.next().is_some() || (name != AUTHORIZATION && text.len() > NAME_BYTES_MAX) {
        return Err(Problem::Invalid(name));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The client group and the header that names it: by its name in this API, or in the other one. Both must not differ.
fn group(headers: &HeaderMap, names: [&'static str; 2]) -> Result<(&'static str, String), Problem> {
    let [own, other] = names;
    match (optional(headers, own)?, optional(headers, other)?) {
        (Some(one), Some(two)) if !one.eq_ignore_ascii_case(&two) => Err(Problem::Invalid(own)),
        (Some(group), _) => Ok((own, group)),
        (None, Some(group)) => Ok((other, group)),
        (None, None) => Err(Problem::Missing(own)),
    }
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
