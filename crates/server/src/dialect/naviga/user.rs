//! The user object: in camelCase today, in PascalCase before (naviga.md 2.9, 4.4).

use keyherald_core::Micros;
use keyherald_core::customer::Customer;
use keyherald_core::user_record::UserRecord;
use serde_json::{Map, Value, json};

use super::encrypted::{Label, encrypted};
use super::request::Caller;
use super::tenant::Tenant;
use crate::app::{App, FoundUser};

/// Fields of the user object that the customer's row has no place for: kept in the metadata under these names.
pub const KEPT: [&str; 34] = [
    "gender",
    "phoneAc",
    "phoneEx",
    "phoneExt",
    "phone",
    "mobilePhone",
    "optInEVantageSubscriberRewards",
    "optInSpecialOffers",
    "optInContestAndPromotions",
    "optInPaperlessBilling",
    "optInEEdition",
    "optInEEditionEmailNotification",
    "optInSubscriberDiscounts",
    "optInAdvertiserEmails",
    "memberEvent",
    "contentEngagement",
    "subcom",
    "survey",
    "accountUpdates",
    "dateOfBirth",
    "birthYear",
    "acceptsEmailOffers",
    "acceptsEmailAds",
    "acceptsEmailPromotions",
    "isOkToEmail",
    "isOkToPhone",
    "isOkToMail",
    "acceptsEENotification",
    "photos",
    "displayName",
    "agreeToTerms",
    "optOutMarketing",
    "photo",
    "bounceType",
];

/// Whether the user can sign in, and if not why (naviga.md 2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is no password.
    Lite,
    /// The address is not proved.
    Unverified,
    /// Neither.
    Standard,
}

impl State {
    /// Of a customer of this tenant.
    pub fn of(tenant: &Tenant, customer: Option<&Customer>) -> Self {
        match customer {
            Some(customer) if tenant.provider.is_none() && customer.password_tail.is_none() => Self::Lite,
            Some(customer) if tenant.provider.is_none() && !customer.is_email_verified => Self::Unverified,
            _ => Self::Standard,
        }
    }

    /// The contract's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lite => "Lite",
            Self::Unverified => "Unverified",
            Self::Standard => "Standard",
        }
    }

    fn id(self) -> u32 {
        match self {
            Self::Lite => 1,
            Self::Unverified => 2,
            Self::Standard => 3,
        }
    }
}

/// The id by which callers name a user: the provider's, or our number.
pub fn crid(user: &FoundUser) -> String {
    match (&user.user, &user.customer) {
        (Some(user), _) => user.as_str().to_owned(),
        (None, Some(customer)) => customer.number.to_string(),
        (None, None) => String::new(),
    }
}

/// The encrypted form of a CRID. Null where there is none.
pub fn encrypted_crid(app: &App, tenant: &Tenant, crid: &str) -> Value {
    let text = tenant.encrypts_ids().then(|| encrypted(&app.ring, &tenant.project, Label::Crid, crid));
    // A ring has a key: see its constructor.
    text.and_then(Result::ok).map_or(Value::Null, Value::from)
}

/// The two ids by which a user is named, as most answers have them.
pub fn ids(app: &App, tenant: &Tenant, user: &FoundUser) -> Value {
    let crid = crid(user);
    let encrypted = encrypted_crid(app, tenant, &crid);
    json!({"customerRegistrationId": crid, "encryptedCustomerRegistrationId": encrypted})
}

/// The same before, with our number.
pub fn ids_before(app: &App, tenant: &Tenant, user: Option<&FoundUser>) -> Map<String, Value> {
    let crid = user.map(crid);
    let encrypted = crid.as_deref().map_or(Value::Null, |crid| encrypted_crid(app, tenant, crid));
    let number = user.and_then(|user| user.customer.as_ref()?.number.to_string().parse::<u64>().ok());
    let ids = [
        ("CustomerRegistrationId", json!(crid)),
        ("EncryptedCustomerRegistrationId", encrypted),
        ("Mg2RegistrationId", json!(number)),
        ("RegistrationVerificationId", Value::Null),
    ];
    ids.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The user as it is shown today. What the provider tells wins.
pub fn shown(app: &App, caller: &Caller, user: &FoundUser) -> Value {
    Value::Object(fields(app, &caller.tenant, user))
}

/// The same in PascalCase, without what the old API did not have.
pub fn shown_before(app: &App, caller: &Caller, user: &FoundUser) -> Value {
    let known = fields(app, &caller.tenant, user).into_iter();
    let known = known.filter(|(name, _)| !["state", "metadata", "lastLogoutDate"].contains(&name.as_str()));
    Value::Object(known.map(|(name, value)| (pascal_case(&name), in_pascal_case(value))).collect())
}

fn fields(app: &App, tenant: &Tenant, user: &FoundUser) -> Map<String, Value> {
    let FoundUser { customer, record, there, .. } = user;
    let profile = customer.as_ref().map(|customer| &customer.profile);
    let there = there.as_ref();
    let email = there.and_then(|there| there.email.as_ref()).or(customer.as_ref().map(|customer| &customer.email));
    let first_name = there.and_then(|there| there.first_name.as_ref());
    let first_name = first_name.or(profile.and_then(|profile| profile.first_name.as_ref()));
    let last_name = there.and_then(|there| there.last_name.as_ref());
    let last_name = last_name.or(profile.and_then(|profile| profile.last_name.as_ref()));
    let verified = there.and_then(|there| there.email_verified);
    let verified = verified.or(customer.as_ref().map(|customer| customer.is_email_verified));
    let (crid, system) = (crid(user), tenant.auth_system());
    let state = State::of(tenant, customer.as_ref());
    let time = |at: Option<Micros>| at.map(Micros::iso);
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    let number = customer.as_ref().and_then(|customer| customer.number.to_string().parse::<u64>().ok());
    put("registrationId", json!(number));
    put("loginName", json!(email));
    put("loginPassword", Value::Null);
    put("customerRegistrationId", json!(crid));
    put("encryptedCustomerRegistrationId", encrypted_crid(app, tenant, &crid));
    put("firstName", json!(first_name));
    put("lastName", json!(last_name));
    put("email", json!(email));
    for name in KEPT {
        put(name, kept(record, customer.as_ref(), name));
    }
    put("changeDate", json!(time(customer.as_ref().map(|customer| customer.last_modified_at))));
    put("dateRegistered", json!(time(customer.as_ref().map(|customer| customer.created_at))));
    put("isSocial", json!(false));
    put("isActive", json!(true));
    put("verificationCode", Value::Null);
    put("verified", json!(verified.unwrap_or(false)));
    put("authSystem", json!({"authSystemId": system.id, "authSystemCode": system.code, "authSystemName": system.code}));
    put("userState", json!({"userStateId": state.id(), "userStateCode": state.as_str()}));
    put("state", json!(state.as_str()));
    put("lastLogoutDate", json!(time(record.last_logout_at)));
    put("metadata", Value::Object(record.metadata.clone()));
    shown
}

/// One of the fields that the metadata holds, or a date of birth that another contract has set.
fn kept(record: &UserRecord, customer: Option<&Customer>, name: &str) -> Value {
    let kept = record.metadata.get(name).cloned();
    let born =
        || customer.filter(|_| name == "dateOfBirth").and_then(|customer| customer.profile.date_of_birth.clone());
    kept.or_else(|| born().map(Value::from)).unwrap_or(Value::Null)
}

/// `firstName` as `FirstName`. One name of the contract is in capitals.
fn pascal_case(name: &str) -> String {
    if name == "subcom" {
        return "SUBCOM".to_owned();
    }
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn in_pascal_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (pascal_case(&name), value)).collect(),
        other => other,
    }
}
