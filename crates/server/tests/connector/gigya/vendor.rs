//! Gigya itself, as far as its documentation describes it (providers.md 2): its three ways to show who one is, and
//! accounts: looked up by UID and by identifier, registered, changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use keyherald_core::Micros;
use rustls::SignatureScheme;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::double::{Got, Said, Vendor};
use crate::people::{NotSet, People, Person};

/// 2026-11-22T10:00:00Z
const NOW: Micros = Micros(1_795_341_600 * Micros::SECOND);
pub(crate) const USER: &str = "uid-1";
/// `secret-key-bytes`, as the console shows it.
pub(crate) const SECRET: &str = "c2VjcmV0LWtleS1ieXRlcw==";
const PUBLIC: &[u8] = include_bytes!("../keys/gigya_public.der");
/// What the double's clock says.
const TIME: &str = "2026-11-22T10:00:00.000Z";

/// The double. It knows each way to show who one is by what comes, and takes each number once.
#[derive(Default)]
pub(crate) struct Gigya {
    pub numbers: Mutex<BTreeSet<String>>,
    /// Our access may not override passwords, but make tokens to reset them.
    pub resets_only: bool,
    /// What a registration still asks for: the code that it is answered with.
    pub pending: Option<i64>,
    /// Where each account came from, as its registration said.
    pub sources: Mutex<BTreeMap<String, String>>,
    /// Its clock is so many seconds ahead.
    pub ahead_s: i64,
    /// Its clock. `None`: it stands at the time of all tests of connectors.
    pub clock: Option<fn() -> Micros>,
}

pub(crate) fn said(code: i64, more: &Value) -> Said {
    let mut body = json!({"callId": "c1", "errorCode": code, "apiVersion": 2, "statusCode": code / 1000, "time": TIME});
    body["statusCode"] = if code == 0 { 200.into() } else { (code / 1000).into() };
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Said::json(200, &body)
}

pub(crate) fn error(code: i64, text: &str) -> Said {
    said(code, &json!({"errorMessage": text, "errorDetails": text}))
}

/// The key that the site's tokens are signed with.
pub(crate) fn jwks() -> Said {
    // An RSAPublicKey of 2048 bits and the usual exponent: the numbers have fixed places.
    let (n, e) = (URL_SAFE_NO_PAD.encode(&PUBLIC[9..265]), URL_SAFE_NO_PAD.encode(&PUBLIC[267..]));
    said(0, &json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1", "n": n, "e": e}]}))
}

/// RFC 3986, written by another hand than the connector's.
fn encoded(text: &str) -> String {
    let keeps = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.as_bytes()
        .iter()
        .map(|byte| if keeps(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn fields(got: &Got) -> BTreeMap<String, String> {
    assert_eq!(got.header("content-type"), Some("application/x-www-form-urlencoded"));
    url::form_urlencoded::parse(got.body.as_bytes()).into_owned().collect()
}

impl Gigya {
    /// `None`: who asks may ask. `Some`: the refusal.
    fn refusal(&self, got: &Got, fields: &BTreeMap<String, String>) -> Option<Said> {
        let (number, made_at) = if let Some(token) = got.header("authorization") {
            let Some(claims) = claims(token) else { return Some(error(403_025, "Invalid token")) };
            (claims["jti"].as_str().unwrap().to_owned(), claims["iat"].as_i64().unwrap())
        } else if let Some(signature) = fields.get("sig") {
            let url = format!("http://{}{}", got.header("host").unwrap(), got.target);
            let signed = fields.iter().filter(|(name, _)| *name != "sig");
            let query: Vec<String> = signed.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
            let base = format!("POST&{}&{}", encoded(&url), encoded(&query.join("&")));
            let mut mac = Hmac::<Sha1>::new_from_slice(b"secret-key-bytes").unwrap();
            mac.update(base.as_bytes());
            if STANDARD.encode(mac.finalize().into_bytes()) != *signature {
                return Some(error(403_003, "Invalid request signature"));
            }
            (fields["nonce"].clone(), fields["timestamp"].parse().unwrap())
        } else if fields.get("secret").is_some_and(|secret| secret == SECRET) {
            return None;
        } else {
            return Some(error(403_010, "Invalid secret"));
        };
        let now = self.clock.map_or(NOW, |clock| clock()).plus(self.ahead_s * Micros::SECOND);
        if (made_at - now.0 / Micros::SECOND).abs() > 120 {
            let time = now.iso();
            return Some(said(403_002, &json!({"errorMessage": "Request has expired", "time": time})));
        }
        let fresh = self.numbers.lock().unwrap().insert(number);
        if fresh { None } else { Some(error(403_004, "Duplicate nonce")) }
    }
}

/// The claims of a token that our key has signed.
fn claims(header: &str) -> Option<Value> {
    let (signed, signature) = header.strip_prefix("Bearer ")?.rsplit_once('.')?;
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let (_, known) = algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    known[0].verify_signature(PUBLIC, signed.as_bytes(), &signature).ok()?;
    let (head, claims) = signed.split_once('.')?;
    let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    assert_eq!(part(head), json!({"alg": "RS256", "typ": "JWT", "kid": "AKuser"}));
    assert_eq!(part(claims).as_object().unwrap().len(), 2);
    Some(part(claims))
}

fn set(uid: &str, fields: &BTreeMap<String, String>, people: &mut People) -> Said {
    match people.set(uid, &fields["newPassword"]) {
        Ok(()) => said(0, &json!({"statusReason": "OK"})),
        Err(NotSet::Unknown) => unknown(),
        Err(NotSet::Used) => error(401_030, "Old password used"),
        Err(NotSet::Taken) => error(400_003, "Unique identifier exists"),
        Err(NotSet::Weak) => invalid("password", 400_006, "invalid password"),
    }
}

/// What a validation says that is not content with one field.
fn invalid(field: &str, code: i64, text: &str) -> Said {
    let about = json!({"fieldName": field, "errorCode": code, "message": text});
    said(400_009, &json!({"errorMessage": "Validation error", "validationErrors": [about]}))
}

/// The object in a field of JSON.
fn object(fields: &BTreeMap<String, String>, name: &str) -> Value {
    fields.get(name).map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}

fn unknown() -> Said {
    error(403_005, "Unauthorized user")
}

impl Gigya {
    fn account(&self, uid: &str, person: &Person) -> Said {
        let (proved, other) =
            if person.email_verified { (vec![&person.email], vec![]) } else { (vec![], vec![&person.email]) };
        let mut account = json!({
            "UID": uid, "isRegistered": true, "isVerified": person.email_verified,
            "loginIDs": {"emails": [person.email], "unverifiedEmails": []},
            "emails": {"verified": proved, "unverified": other},
            "profile": {"email": person.email},
            "password": {"created": format!("2026-11-22T10:00:{:02}.000Z", person.changes)},
            "regSource": self.sources.lock().unwrap().get(uid),
        });
        // What has no data does not appear.
        for (name, value) in [("firstName", &person.first_name), ("lastName", &person.last_name)] {
            if !value.is_empty() {
                account["profile"][name] = value.as_str().into();
            }
        }
        said(0, &account)
    }

    fn register(&self, fields: &BTreeMap<String, String>, people: &mut People) -> Said {
        // A call by a server: without a token.
        assert_eq!((&*fields["finalizeRegistration"], fields.get("regToken")), ("true", None));
        let (profile, uid) = (object(fields, "profile"), fields.get("siteUID").map_or("made-by-gigya", |uid| uid));
        assert_eq!(profile["email"], *fields["email"]);
        let text = |name: &str| profile[name].as_str().unwrap_or_default().to_owned();
        let (first_name, last_name) = (text("firstName"), text("lastName"));
        let person = Person { first_name, last_name, ..Person::new(&fields["email"], &fields["password"]) };
        match people.add(uid, person) {
            Ok(()) => {}
            Err(NotSet::Weak) => return invalid("password", 400_006, "invalid password"),
            Err(_) => return invalid("email", 400_003, "email already exists"),
        }
        if let Some(source) = fields.get("regSource") {
            self.sources.lock().unwrap().insert(uid.to_owned(), source.clone());
        }
        match self.pending {
            None => said(0, &json!({"UID": uid, "newUser": true, "sessionInfo": {"sessionToken": "s"}})),
            // Whether the UID is told then, no document says.
            Some(code) => said(code, &json!({"errorMessage": "Account pending", "regToken": "r"})),
        }
    }

    fn change(uid: &str, fields: &BTreeMap<String, String>, people: &mut People) -> Said {
        let Some(old) = people.0.get(uid).map(|person| person.email.clone()) else { return unknown() };
        let (profile, added, removed) =
            (object(fields, "profile"), fields.get("addLoginEmails"), fields.get("removeLoginEmails"));
        if let Some(email) = added {
            assert_eq!((profile["email"].as_str(), removed), (Some(&**email), Some(&old)));
            if people.has(email, Some(uid)) {
                return error(403_043, "Login identifier exists");
            }
        }
        let person = people.0.get_mut(uid).unwrap();
        let text = |name: &str, old: &str| profile[name].as_str().unwrap_or(old).to_owned();
        person.email_verified &= added.is_none();
        person.email.clone_from(added.unwrap_or(&old));
        person.first_name = text("firstName", &person.first_name);
        person.last_name = text("lastName", &person.last_name);
        if let Some(verified) = fields.get("isVerified") {
            assert_eq!(verified, "true", "what is proved stays so");
            person.email_verified = true;
        }
        said(0, &json!({"statusReason": "OK"}))
    }

    /// Each account with an address, as the directory of identifiers tells it.
    fn find(fields: &BTreeMap<String, String>, people: &People) -> Said {
        assert_eq!(fields["identifierSchema"], "gigya.com/identifiers/email");
        let known = people.0.iter().filter(|(_, person)| person.email == fields["id"]);
        let uids: Vec<&String> = known.map(|(uid, _)| uid).collect();
        if uids.is_empty() {
            return unknown();
        }
        let identifiers = json!({"gigya.com/identifiers/UID": uids, "gigya.com/identifiers/email": [fields["id"]]});
        said(0, &json!({"identifiers": identifiers}))
    }

    fn reset(&self, fields: &BTreeMap<String, String>, people: &mut People) -> Said {
        if !self.resets_only {
            return error(403_007, "Permission denied");
        }
        if let Some(token) = fields.get("passwordResetToken") {
            return set(token.strip_prefix("token-of-").unwrap(), fields, people);
        }
        assert_eq!(fields["sendEmail"], "false", "nobody asked for a mail");
        let known = people.0.iter().find(|(_, person)| person.email == fields["loginID"]);
        known.map_or_else(
            || error(403_047, "Unknown login identifier"),
            |(uid, _)| said(0, &json!({"passwordResetToken": format!("token-of-{uid}")})),
        )
    }
}

impl Vendor for Gigya {
    fn is_about_access(&self, _: &Got) -> bool {
        false
    }

    fn answer(&self, got: &Got, people: &mut People) -> Said {
        let fields = fields(got);
        if let Some(refusal) = self.refusal(got, &fields) {
            return refusal;
        }
        assert_eq!((&*fields["apiKey"], &*fields["httpStatusCodes"]), ("3_APIKEY", "false"));
        let uid = fields.get("UID").cloned().unwrap_or_default();
        match got.path() {
            "/accounts.getAccountInfo" => people.0.get(&uid).map_or_else(unknown, |person| self.account(&uid, person)),
            "/accounts.getJWTPublicKey" => {
                assert_eq!(fields["V2"], "true");
                jwks()
            }
            "/accounts.search" => {
                let (_, quoted) = fields["query"].split_once("WHERE UID = \"").unwrap();
                let uid = quoted.strip_suffix("\" LIMIT 1").unwrap().replace("\\\"", "\"").replace("\\\\", "\\");
                let results: Vec<Value> = people.0.get(&uid).map(|_| json!({"UID": uid})).into_iter().collect();
                said(0, &json!({"results": results, "objectsCount": results.len(), "totalCount": results.len()}))
            }
            "/accounts.identifiers.find" => Self::find(&fields, people),
            "/accounts.isAvailableLoginID" => said(0, &json!({"isAvailable": !people.has(&fields["loginID"], None)})),
            "/accounts.register" => self.register(&fields, people),
            "/accounts.setAccountInfo" => {
                assert_eq!(fields["muteWebhooks"], "true");
                if !fields.contains_key("newPassword") {
                    return Self::change(&uid, &fields, people);
                }
                assert_eq!(fields["securityOverride"], "true");
                if self.resets_only { error(403_007, "Permission denied") } else { set(&uid, &fields, people) }
            }
            "/accounts.resetPassword" => self.reset(&fields, people),
            "/accounts.login" => {
                let known = people.0.values().any(|p| fields["loginID"] == p.email && fields["password"] == p.password);
                if known { said(0, &json!({"sessionInfo": {}})) } else { error(403_042, "Invalid LoginID") }
            }
            "/accounts.logout" => match people.0.get_mut(&uid) {
                Some(person) => {
                    person.sessions = 0;
                    said(0, &json!({}))
                }
                None => unknown(),
            },
            _ => error(405_001, "Unsupported method"),
        }
    }
}
