//! `GET /v4/Users?..`: users by their fields, a page at a time (naviga.md 3.5). A user that is named by id or address is
//! read at the provider too, as in the other reads; the others are those who are here.

use keyherald_core::customer::fold_email;
use keyherald_core::filter::{Comparison, Filter, Scalar, SortKey, Test};
use serde_json::{Value, json};

use super::super::query::Query;
use super::super::reply::{Answer, E400_02, Problem, Reply, not_read};
use super::super::request::Asked;
use super::super::user;
use super::read_by_email::GET_COMPLETED;
use crate::app::{Listing, UserPage, UserRef};

/// Most users of a page, and how many there are if the caller does not say.
const PAGE_SIZE: (i64, i64) = (100, 10);
/// Last page that can be asked for.
const PAGES_MAX: i64 = 100;

/// The parameters that make a query of it, besides an address.
const OWN: [&str; 8] = [
    "customerRegistrationId",
    "loginName",
    "firstName",
    "lastName",
    "pageSize",
    "pageNumber",
    "orderBy",
    "orderByType",
];

/// Whether the parameters are those of a query.
pub fn is_meant(query: &Query) -> bool {
    OWN.iter().any(|name| query.text(name).is_some())
}

pub async fn answer(request: &Asked, query: &Query) -> Answer {
    let page = page(request, query).await?;
    let users: Vec<Value> = page.users.iter().map(|found| user::shown(&request.app, &request.caller, found)).collect();
    Ok(Reply::with_data(GET_COMPLETED, json!({"users": users, "totalUsersFound": page.total})))
}

/// The users that the parameters mean.
pub async fn page(request: &Asked, query: &Query) -> Result<UserPage, Problem> {
    let not_valid = |_| Problem::of(E400_02);
    let ignores = query.flag("ignoreProvider").map_err(not_valid)?;
    let limit = query.number("pageSize", 1..=PAGE_SIZE.0, PAGE_SIZE.1).map_err(not_valid)?;
    let number = query.number("pageNumber", 1..=PAGES_MAX, 1).map_err(not_valid)?;
    let (tenant, call) = (&request.caller.tenant, request.caller.call());
    let mut filters = texts(query);
    let mut named = None;
    if let Some(crid) = query.text("customerRegistrationId") {
        let which = tenant.customer(crid).ok_or(Problem::of(E400_02))?;
        named = Some(UserRef::Is(which));
    } else if let Some(email) = query.text("email").or(query.text("loginName")) {
        named = Some(UserRef::Email(email.to_owned()));
    }
    if filters.is_empty() && named.is_none() {
        return Err(Problem::of(E400_02));
    }
    let sort = sort(query)?;
    if let Some(which) = named {
        let of = tenant.provider_name();
        if of.is_some() && !ignores {
            // Written here on the way, or not known there either.
            let read = request.app.read_user(call.clone(), which.clone(), (of, true)).await;
            match read.map_err(|failure| not_read(failure, NOBODY)) {
                Ok(_) => {}
                Err(problem) if problem == Problem::of(NOBODY) => {}
                Err(problem) => return Err(problem),
            }
        }
        if let UserRef::Is(which) = which {
            let found = request.app.filter_of_user(call.clone(), which).await;
            filters.push(found.map_err(|failure| not_read(failure, NOBODY))?);
        }
    }
    let listing =
        Listing { filter: Filter::all_of(filters), sort, limit, offset: (number - 1) * limit, with_total: true };
    let page = request.app.users(call, listing, tenant.provider_name()).await;
    page.map_err(|failure| not_read(failure, NOBODY))
}

/// Stands for "there is no such user", which is no error here.
const NOBODY: super::super::reply::Code = super::super::reply::E400_14;

fn texts(query: &Query) -> Vec<Filter> {
    let fields = [
        ("email", "lowercaseEmail"),
        ("loginName", "lowercaseEmail"),
        ("firstName", "firstName"),
        ("lastName", "lastName"),
    ];
    let test = |(name, path): (&str, &str)| {
        let text = query.text(name)?;
        let text = if path == "lowercaseEmail" { fold_email(text) } else { text.to_owned() };
        Some(Filter::Test(path.into(), Test::Compare(Comparison::Equal, Scalar::Text(text))))
    };
    fields.into_iter().filter_map(test).collect()
}

fn sort(query: &Query) -> Result<Vec<SortKey>, Problem> {
    let descending = match query.text("orderByType").map(str::to_ascii_lowercase).as_deref() {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(_) => return Err(Problem::of(E400_02)),
    };
    let path = match query.text("orderBy").map(str::to_ascii_lowercase).as_deref() {
        None | Some("customerregistrationid") => "id",
        Some("email" | "loginname") => "lowercaseEmail",
        Some("firstname") => "firstName",
        Some("lastname") => "lastName",
        Some(_) => return Err(Problem::of(E400_02)),
    };
    Ok(vec![SortKey { path: path.into(), descending }])
}
