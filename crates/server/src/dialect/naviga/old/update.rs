//! `PUT /User/{customerRegistrationId}`: one route for what are three today. The body says which (naviga.md 4.1).

use axum::http::Method;
use serde_json::json;

use super::super::reply::{Answer, Problem, Reply};
use super::super::request::Request;
use super::super::route::{Era, Route};
use super::super::users::update::update;
use super::super::users::{set_email, set_password};

pub const ROUTE: Route =
    Route { method: Method::PUT, path: "/api/User/{crid}", era: Era::Old, handle: |request| Box::pin(handle(request)) };

/// What is a change of the user's record: the fields of naviga.md 3.2 and 4.4 that a caller can set.
const PROFILE: [&str; 43] = [
    "AcceptsEENotification",
    "AcceptsEmailAds",
    "AcceptsEmailOffers",
    "AcceptsEmailPromotions",
    "AccountUpdates",
    "AgreeToTerms",
    "BirthYear",
    "BounceType",
    "ContentEngagement",
    "DateOfBirth",
    "DisplayName",
    "DOB",
    "FirstName",
    "Gender",
    "IsActive",
    "IsOkToEmail",
    "IsOkToMail",
    "IsOkToPhone",
    "LastLogoutDate",
    "LastName",
    "LoginName",
    "MemberEvent",
    "Metadata",
    "MobilePhone",
    "OptInAdvertiserEmails",
    "OptInContestAndPromotions",
    "OptInEEdition",
    "OptInEEditionEmailNotification",
    "OptInEVantageSubscriberRewards",
    "OptInPaperlessBilling",
    "OptInSpecialOffers",
    "OptInSubscriberDiscounts",
    "OptOutMarketing",
    "Phone",
    "PhoneAc",
    "PhoneEx",
    "PhoneExt",
    "Photo",
    "Photos",
    "RemoveLastLogoutDate",
    "SUBCOM",
    "Survey",
    "Verified",
];

async fn handle(request: Request) -> Answer {
    let (mut received, mut fields) = request.received().await?;
    let changes_record = fields.has_any(&PROFILE);
    let (has_email, has_password) = (fields.has("Email"), fields.has("Password"));
    let is_mix = changes_record || has_email || has_password;
    // One that is blank counts as absent in a mix, and is missing by itself.
    let is_email = has_email || (!is_mix && fields.has_any(&["Email"]));
    let is_password = has_password || (!is_mix && fields.has_any(&["Password"]));
    // Both are looked at before anything is done.
    let email = if is_email { fields.email("Email") } else { None };
    let rules = &received.caller.tenant.password_rules;
    let password = if is_password { fields.new_password("Password", rules) } else { None };
    if email.is_some() != is_email || password.is_some() != is_password {
        return Err(fields.problem());
    }
    if !(changes_record || is_email || is_password) {
        return Err(Problem::bad_request()); // nothing is asked for
    }
    // Of several, the last one stands for the request: a repeat does those before it again, which changes nothing.
    let repeatable = received.repeatable.take();
    let is_last = |is_last: bool| repeatable.clone().filter(|_| is_last);
    // User, then address, then password; it ends with the first that fails.
    received.repeatable = is_last(!is_email && !is_password);
    if changes_record && update(&received, &mut fields).await?.is_none() {
        return Err(fields.problem());
    }
    received.repeatable = is_last(!is_password);
    if let Some(email) = email {
        set_email(&received, email).await?;
    }
    received.repeatable = is_last(true);
    if let Some(password) = password {
        set_password(&received, password).await?;
    }
    Ok(Reply::old(json!({"CustomerRegistrationId": received.crid, "Updated": true})))
}
