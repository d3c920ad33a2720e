//! What is wrong with a recipe as a whole: each part may read well and still not go with the others.

use std::collections::BTreeSet;

use super::access::{Access, Place, TokenSource};
use super::body::{Body, Content, Shape};
use super::op::{Class, Op, OpName, Rule};
use super::predicate::Predicate;
use super::template::{Expression, Filter, Group, Template};
use super::{Probe, Recipe, Revokes, SmsRecipe};

/// The one secret that may stand in a header: a user's own proof, to whom has issued it.
const USERS_TOKEN: &str = "secret.token";

/// Something that is wrong, and the way to it: keys and numbers of list elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, from the provider's table on.
    pub place: Vec<String>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What templates may use in a place.
#[derive(Clone, Copy)]
struct Scope<'a> {
    variables: &'a BTreeSet<String>,
    access: &'a Access,
    room: Room,
}

impl Scope<'_> {
    fn room(self, room: Room) -> Self {
        Self { room, ..self }
    }
}

/// What stands where templates are allowed to hold secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Path and query: they are logged on the way.
    Open,
    /// A header: of secrets, only a token that a user has got there.
    Header,
    /// The body.
    Body,
    /// The body as bare text, where nothing is encoded by itself.
    Text,
}

impl Recipe {
    /// All that is wrong with it.
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = Findings::default();
        for (name, op) in &self.ops {
            let place = ["ops".to_owned(), name.to_string()];
            let variables = self.variables(*name, op);
            found.op(&place, op, scope_of(&self.access, &variables));
            self.check_op(*name, op, &place, &mut found);
        }
        let place = |name: &OpName| vec!["ops".to_owned(), name.to_string()];
        found.access(&self.access, self.ops.iter().map(|(name, op)| (place(name), op)));
        self.check_flows(&mut found);
        self.check_probe(&mut found);
        found.unreachable(&["errors".to_owned()], &self.errors, &[]);
        found.list
    }

    /// The variables that an operation has.
    fn variables(&self, name: OpName, op: &Op) -> BTreeSet<String> {
        let mut variables = variables(name.variables(), &self.access);
        let required = op.require.and_then(|required| self.ops.get(&required));
        variables.extend(required.into_iter().flat_map(|op| op.extract.keys()).map(|name| format!("user.{name}")));
        variables
    }

    /// Whether the operation that `op` requires extracts this.
    fn requires(&self, op: &Op, name: &str) -> bool {
        op.require.and_then(|required| self.ops.get(&required)).is_some_and(|first| first.extract.contains_key(name))
    }

    fn check_op(&self, name: OpName, op: &Op, place: &[String], found: &mut Findings) {
        if let Some(required) = op.require {
            match self.ops.get(&required) {
                None => found.add(place, "require", format!("there is no ops.{required}"), None),
                Some(_) if !required.is_read() => {
                    let hint = "one that looks something up".to_owned();
                    found.add(place, "require", format!("{required} changes something"), Some(hint));
                }
                Some(first) if first.require.is_some() => {
                    found.add(place, "require", format!("{required} itself requires an operation"), None);
                }
                Some(_) => {}
            }
        }
        if (name.is_lookup() || name == OpName::Userinfo) && !op.extract.contains_key("id") {
            let hint = "where the answer has the user's id, such as id = \"/id\"".to_owned();
            found.add(place, "extract", "a look-up must extract the id".to_owned(), Some(hint));
        }
        if name == OpName::CreateUser
            && !op.extract.contains_key("id")
            && !self.ops.contains_key(&OpName::LookupByEmail)
        {
            let hint = "extract id = \"..\", or add ops.lookup_by_email, which is asked then".to_owned();
            found.add(place, "extract", "nothing says which id the new user has".to_owned(), Some(hint));
        }
        if name == OpName::VerifyPassword {
            let tells = [Class::OldPasswordWrong, Class::UserBlocked, Class::NeedsInteraction];
            if !op.errors.iter().chain(&self.errors).any(|rule| tells.contains(&rule.class)) {
                let hint =
                    "an error with class = \"old_password_wrong\", or \"user_blocked\" where a refusal proves nothing";
                found.add(
                    place,
                    "errors",
                    "nothing says what a refused sign-in means".to_owned(),
                    Some(hint.to_owned()),
                );
            }
        }
        found.unreachable(&[place, &["errors".to_owned()]].concat(), &op.errors, &successes(op));
    }

    fn check_flows(&self, found: &mut Findings) {
        let missing = |name: OpName| !self.ops.contains_key(&name);
        if missing(OpName::SetPassword) {
            found.add(&[], "ops", "there is no ops.set_password, which is what a provider is for".to_owned(), None);
        }
        if !self.ops.keys().any(|name| name.is_lookup()) {
            let hint = "ops.lookup_by_id, ops.lookup_by_email or ops.lookup_by_external_id".to_owned();
            found.add(&[], "ops", "nothing looks a user up".to_owned(), Some(hint));
        }
        if self.claims.restores {
            for name in [OpName::ReadCredential, OpName::RestoreCredential].into_iter().filter(|name| missing(*name)) {
                let what = format!("restore = \"hash\" needs ops.{name}");
                found.add(&["capabilities".to_owned()], "restore", what, None);
            }
        }
        if matches!(self.claims.revokes_sessions, Revokes::All) && !missing(OpName::RevokeSessions) {
            let what = "sessions end by themselves (revokes_sessions = \"all\"): it is never called".to_owned();
            found.add(&["ops".to_owned()], "revoke_sessions", what, None);
        }
    }

    fn check_probe(&self, found: &mut Findings) {
        let place = ["probe".to_owned()];
        match &self.probe {
            None => {}
            Some(Probe::SignIn) if self.ops.contains_key(&OpName::VerifyPassword) => {}
            Some(Probe::SignIn) => found.add(&place, "via", "there is no ops.verify_password".to_owned(), None),
            Some(Probe::Field { name, .. }) => match self.ops.get(&OpName::LookupById) {
                None => found.add(&place, "via", "there is no ops.lookup_by_id".to_owned(), None),
                Some(op) if !op.extract.contains_key(name) && !self.requires(op, name) => {
                    let what = format!("ops.lookup_by_id does not extract {name:?}");
                    found.add(&place, "changed_if", what, None);
                }
                Some(_) => {}
            },
        }
    }
}

impl SmsRecipe {
    /// All that is wrong with it.
    pub fn findings(&self) -> Vec<Finding> {
        let (mut found, place) = (Findings::default(), ["request".to_owned()]);
        found.op(&place, &self.send, scope_of(&self.access, &variables(&Self::VARIABLES, &self.access)));
        found.access(&self.access, std::iter::once((place.to_vec(), &self.send)));
        found.unreachable(&[&place[..], &["errors".to_owned()]].concat(), &self.send.errors, &successes(&self.send));
        for needed in ["sms.text", "sms.to"] {
            let says =
                |template: &Template| template.expressions().any(|it| it.variable.to_string().starts_with(needed));
            if !self.send.templates().any(says) {
                found.add(&place, "body", format!("{{{{ {needed} }}}} is not in it"), None);
            }
        }
        found.list
    }
}

fn scope_of<'a>(access: &'a Access, variables: &'a BTreeSet<String>) -> Scope<'a> {
    Scope { variables, access, room: Room::Open }
}

/// The variables that a request has of these, of itself, and of our access.
fn variables(own: &[&str], access: &Access) -> BTreeSet<String> {
    let mut variables: BTreeSet<String> = own.iter().map(|name| (*name).to_owned()).collect();
    variables.insert("op.id".to_owned());
    variables.extend(access.user().map(|_| "auth.user".to_owned()));
    if access.has_plain_secret() {
        variables.insert("auth.secret".to_owned());
    }
    variables
}

/// What success looks like from outside, unless its body says more: rules that only such answers meet are never asked.
fn successes(op: &Op) -> Vec<Predicate> {
    let expected = Predicate { status: Some(op.expect.clone()), ..Predicate::default() };
    if op.success_when.is_empty() { vec![expected] } else { Vec::new() }
}

#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, place: &[String], key: &str, what: String, hint: Option<String>) {
        let place = place.iter().cloned().chain([key.to_owned()]).collect();
        self.list.push(Finding { place, what, hint });
    }

    /// `scope`: of query and headers; only the call that fetches a token may have secrets there.
    fn op(&mut self, place: &[String], op: &Op, scope: Scope<'_>) {
        self.template(place, "path", &op.path, scope.room(Room::Open));
        let literals: Vec<&str> = op.path.literals().collect();
        let plain = |text: &&str| !text.contains(['?', '#', ' ']) && !text.split('/').any(|part| part == "..");
        if !op.path.as_str().starts_with('/') || !literals.iter().all(plain) {
            let hint = "such as \"/users/{{ user.id }}\"; a query stands in query".to_owned();
            self.add(place, "path", "must begin with / and have no query".to_owned(), Some(hint));
        }
        let in_headers = if scope.room == Room::Open { scope.room(Room::Header) } else { scope };
        for (group, list, scope) in [("query", &op.query, scope), ("headers", &op.headers, in_headers)] {
            for (name, template) in list {
                let place = [place, &[group.to_owned()]].concat();
                self.template(&place, name, template, scope);
            }
        }
        if let Some(template) = &op.if_match {
            self.template(place, "if_match", template, scope.room(Room::Open));
        }
        if let Some(Body { content, .. }) = &op.body {
            let room = if matches!(content, Content::Text(_)) { Room::Text } else { Room::Body };
            for template in content.templates() {
                self.template(place, "body", template, scope.room(room));
            }
        }
    }

    fn template(&mut self, place: &[String], key: &str, template: &Template, scope: Scope<'_>) {
        let Scope { variables, access, room } = scope;
        for Expression { variable, filters } in template.expressions() {
            let name = variable.to_string();
            if !variables.contains(&name) {
                let known: Vec<&str> = variables.iter().map(String::as_str).collect();
                let what = format!("there is no {{{{ {name} }}}} here");
                let hint = match (variable.group, known.as_slice()) {
                    (_, []) => None,
                    (Group::User, _) => {
                        Some(format!("known here: {}; require an operation to have what it extracts", known.join(", ")))
                    }
                    _ => Some(format!("known here: {}", known.join(", "))),
                };
                self.add(place, key, what, hint);
            } else if variable.is_secret() && (room == Room::Open || (room == Room::Header && name != USERS_TOKEN)) {
                let hint = "in the body; how we show who we are stands in auth".to_owned();
                self.add(place, key, format!("{{{{ {name} }}}} must not stand in a path, query or header"), Some(hint));
            }
            if filters.contains(&Filter::Hmac) && !matches!(access, Access::Signed(_)) {
                self.add(place, key, "the filter hmac needs auth.kind = \"hmac\"".to_owned(), None);
            }
            let is_encoded = filters.iter().any(|filter| *filter != Filter::Lower);
            if room == Room::Text && !is_encoded && template.only().is_none() {
                let hint = "say how it is encoded there: json, form, query, b64 or hex".to_owned();
                self.add(place, key, format!("{{{{ {name} }}}} is pasted into a text as it is"), Some(hint));
            }
        }
    }

    /// What is wrong with access, and with bodies of operations that cannot take what it puts there.
    fn access<'a>(&mut self, access: &Access, ops: impl Iterator<Item = (Vec<String>, &'a Op)>) {
        let place = ["auth".to_owned()];
        let of = |names: &[&str]| -> BTreeSet<String> {
            let user = access.user().map(|_| "auth.user".to_owned());
            names.iter().map(|name| (*name).to_owned()).chain(user).collect()
        };
        match access {
            Access::Value { value, .. } => {
                self.template(&place, "value", value, scope_of(access, &of(&["auth.secret"])).room(Room::Body));
            }
            Access::Token(token) => {
                self.template(&place, "value", &token.value, scope_of(access, &of(&["auth.token"])).room(Room::Body));
                if let TokenSource::Call { op, .. } = &token.source {
                    let place = ["auth".to_owned(), "call".to_owned()];
                    self.op(&place, op, scope_of(access, &of(&["auth.secret"])).room(Room::Body));
                }
            }
            Access::Signed(signing) => {
                let made = ["auth.timestamp", "auth.timestamp_ms", "auth.nonce", "op.id"];
                for (name, template) in &signing.fields {
                    let place = ["auth".to_owned(), "fields".to_owned()];
                    self.template(&place, name, template, scope_of(access, &of(&made)));
                }
                let request = ["method", "host", "url", "path", "query", "body", "sorted_fields", "sorted_fields_raw"];
                let mut variables = of(&made);
                variables.extend(request.map(|name| format!("request.{name}")));
                self.template(&place, "canonical", &signing.canonical, scope_of(access, &variables));
                let mut variables = of(&made);
                variables.insert("auth.signature".to_owned());
                self.template(&place, "value", &signing.value, scope_of(access, &variables));
            }
            Access::None | Access::Basic { .. } | Access::AwsSigV4 { .. } | Access::OAuth1 { .. } => {}
        }
        let needs_fields = match access {
            Access::Value { place, .. } => matches!(place, Place::Body(_)),
            Access::Signed(signing) => matches!(signing.place, Place::Body(_)),
            _ => false,
        };
        for (place, op) in ops.filter(|(_, op)| needs_fields && op.auth) {
            let content = op.body.as_ref().map(|body| &body.content);
            let has_fields =
                matches!(content, Some(Content::Form(_) | Content::Multipart(_) | Content::Json(Shape::Object(_))));
            if !has_fields {
                let hint = "a body of type form or multipart, or of type json with a table".to_owned();
                let what = "auth puts a field into the body, and this one has no fields".to_owned();
                self.add(&place, "body", what, Some(hint));
            }
        }
    }

    /// Rules that no answer gets to. `successes`: answers that no rule is asked about.
    fn unreachable(&mut self, place: &[String], rules: &[Rule], successes: &[Predicate]) {
        for (number, rule) in rules.iter().enumerate() {
            let place = [place, &[number.to_string()]].concat();
            if let Some(earlier) = rules.iter().take(number).position(|earlier| earlier.when.covers(&rule.when)) {
                let what = format!("is never reached: errors[{earlier}] is met by all that it is met by");
                self.add(&place, "when", what, Some("put the narrower one first".to_owned()));
            } else if successes.iter().any(|success| success.covers(&rule.when)) {
                let what = "is never reached: these statuses are in expect".to_owned();
                let hint = "take them out, or say in success_when what success is".to_owned();
                self.add(&place, "when", what, Some(hint));
            }
        }
    }
}
