//! `keyherald provider check`: a provider is asked what the server will ask of it, on a sandbox, and each answer is shown
//! with the class that it fell in. It takes the place of documentation where there is none.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use keyherald_core::Ctx;
use keyherald_core::customer::fold_email;
use keyherald_core::provider::{Probe, ProviderError, ProviderUser, SessionEnding, TrialAnswer};
use keyherald_core::secret::Password;

use super::{load, print};
use crate::boot;
use crate::cli::{Provider, ProviderCheck};
use crate::clock::Moments;
use crate::complaint::Complaint;
use crate::config::Purpose;
use crate::connector::{By, Connector, LookedUp, NewUser, UserChanges};

/// What is to be tried.
#[derive(Clone)]
pub struct Asked {
    /// A user of the sandbox.
    pub user: ProviderUser,
    /// The user's address, if a look-up by address is to be tried.
    pub email: Option<String>,
    /// The id that the user has elsewhere, if a look-up by it is to be tried.
    pub external_id: Option<String>,
    /// Whether the user's password may be replaced.
    pub set: bool,
    /// Whether the user's address and names may be others for a moment, and another user be created.
    pub records: bool,
}

/// Runs the command.
pub async fn run(command: Provider) -> Result<ExitCode, Complaint> {
    let Provider::Check(options) = command;
    let ProviderCheck { file, provider, user, email, external_id, set, records } = options;
    let config = load(&file, Purpose::Maintain)?;
    let providers = boot::providers(&config)?;
    let Some(connector) = providers.provider(&provider) else {
        let names: Vec<String> = providers.names().map(ToString::to_string).collect();
        let hint =
            if names.is_empty() { "there are none".to_owned() } else { format!("there are {}", names.join(", ")) };
        return Err(Complaint::new(format!("the configuration has no [providers.{provider}]")).hint(hint));
    };
    let user = user.parse().map_err(|_| Complaint::new("--user is no user's id: 1 to 256 characters"))?;
    let asked = Asked { user, email, external_id, set, records };
    let as_expected = check(connector, &asked, &Moments::of_system(), &mut |line| {
        print(line);
    })
    .await;
    Ok(if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tries everything and hands each line to `print`. Whether all answers were such as the server can work with.
pub async fn check(
    connector: &Arc<dyn Connector>,
    asked: &Asked,
    moments: &Moments,
    print: &mut (dyn FnMut(&str) + Send),
) -> bool {
    print(&row(" ", "step", "expected", "answer", "took"));
    let mut table = Table { connector, moments, print, as_expected: true, began: Instant::now() };
    table.look_ups(asked).await;
    table.wrong_password(asked).await;
    if asked.set {
        table.set(asked).await;
    }
    let created = if asked.records { table.records(asked).await } else { None };
    let Table { print, as_expected, .. } = table;
    print("");
    if let Some(user) = created {
        print(&format!("A user was created, who is nobody: remove {}.", user.as_str()));
    }
    print(match (asked.set, as_expected) {
        (true, _) => "The user's password was replaced by a generated one that nobody knows: set it anew.",
        (false, _) => {
            "No password was set. With --set the user's password is replaced, and what comes after it is tried."
        }
    });
    print(if as_expected { "All as expected." } else { "Not all is as expected: see the lines that begin with !" });
    as_expected
}

/// The lines so far.
struct Table<'a> {
    connector: &'a Arc<dyn Connector>,
    moments: &'a Moments,
    print: &'a mut (dyn FnMut(&str) + Send),
    as_expected: bool,
    /// When the step at hand began.
    began: Instant,
}

impl Table<'_> {
    /// Begins a step.
    fn begin(&mut self) -> Ctx {
        self.began = Instant::now();
        self.moments.ctx()
    }

    /// Ends it.
    fn end(&mut self, step: &str, expected: &str, answer: &str, is_fine: bool) {
        let took = format!("{} ms", self.began.elapsed().as_millis());
        (self.print)(&row(if is_fine { " " } else { "!" }, step, expected, answer, &took));
        self.as_expected &= is_fine;
    }

    /// A call that must succeed.
    fn succeed<T>(&mut self, step: &str, done: &str, answer: Result<T, ProviderError>) -> Option<T> {
        self.end(step, done, &told(done, answer.as_ref().err()), answer.is_ok());
        answer.ok()
    }

    async fn look_ups(&mut self, asked: &Asked) {
        let ctx = self.begin();
        let health = self.connector.health(ctx).await;
        if health != Err(ProviderError::NotSupported) {
            self.succeed("health", "ok", health);
        }
        let ways = self.connector.capabilities().lookups;
        let (email, external_id) = (asked.email.as_deref(), asked.external_id.as_deref());
        let tries = [
            ("look up by id", ways.id.then_some(By::Id(&asked.user))),
            ("look up by e-mail", email.filter(|_| ways.email).map(By::Email)),
            ("look up by external id", external_id.filter(|_| ways.external_id).map(By::ExternalId)),
        ];
        for (step, by) in tries.into_iter().filter_map(|(step, by)| Some((step, by?))) {
            let ctx = self.begin();
            match self.connector.look_up(by, ctx).await {
                Ok(found) if found.user != asked.user => self.end(step, "found", "found another user", false),
                found => drop(self.succeed(step, "found", found)),
            }
        }
        let mut ctx = self.begin();
        let (user, email) = (unknown(&asked.user, &mut ctx), format!("{}@example.invalid", letters(&mut ctx)));
        let tries = [
            ("look up an unknown id", ways.id.then_some(By::Id(&user))),
            ("look up an unknown e-mail", ways.email.then_some(By::Email(&email))),
        ];
        for (step, by) in tries.into_iter().filter_map(|(step, by)| Some((step, by?))) {
            let ctx = self.begin();
            let found = self.connector.look_up(by, ctx).await.map(drop);
            self.must_be_unknown(step, "found", &found);
        }
    }

    fn must_be_unknown(&mut self, step: &str, done: &str, answer: &Result<(), ProviderError>) {
        let is_fine = *answer == Err(ProviderError::UserNotFound);
        self.end(step, ProviderError::UserNotFound.code(), &told(done, answer.as_ref().err()), is_fine);
    }

    async fn wrong_password(&mut self, asked: &Asked) {
        if self.connector.capabilities().trial_sign_in {
            let mut ctx = self.begin();
            let Some(wrong) = generated(&mut ctx) else { return };
            let answer = self.connector.try_sign_in(&asked.user, &wrong, ctx).await;
            // Where somebody who is locked out is answered the same, that nothing can be told is the right answer.
            let is_fine = matches!(answer, TrialAnswer::Wrong | TrialAnswer::CannotTell);
            self.end("sign in, wrong password", "wrong", trial(&answer), is_fine);
        }
    }

    async fn set(&mut self, asked: &Asked) {
        let can = self.connector.capabilities();
        let mut ctx = self.begin();
        let (Some(new), user) = (generated(&mut ctx), unknown(&asked.user, &mut ctx)) else { return };
        let answer = self.connector.set_password(&user, &new, ctx).await;
        self.must_be_unknown("set, unknown user", "set", &answer);
        let before = self.probe(asked, "probe before").await;
        let ctx = self.begin();
        let answer = self.connector.set_password(&asked.user, &new, ctx).await;
        if self.succeed("set", "set", answer).is_none() {
            return;
        }
        if let (Some(before), Some(after)) = (before, self.probe(asked, "probe after").await) {
            let moved = before.probe != after.probe;
            self.end("probe", "moved", if moved { "moved" } else { "stands still" }, moved);
        }
        if can.trial_sign_in {
            let ctx = self.begin();
            let answer = self.connector.try_sign_in(&asked.user, &new, ctx).await;
            self.end("sign in, new password", "signed_in", trial(&answer), answer == TrialAnswer::SignedIn);
        }
        let ctx = self.begin();
        let again = self.connector.set_password(&asked.user, &new, ctx).await;
        let is_fine = matches!(again, Ok(()) | Err(ProviderError::PasswordReused { .. }));
        self.end("set the same again", "set or password_reused", &told("set", again.as_ref().err()), is_fine);
        if can.sessions == SessionEnding::ByStep {
            let ctx = self.begin();
            let answer = self.connector.end_sessions(&asked.user, ctx).await;
            self.succeed("end sessions", "ended", answer);
        }
    }

    /// Changes the user's record and sets it back, and creates a user, where the provider can do so. Answers who was created.
    async fn records(&mut self, asked: &Asked) -> Option<ProviderUser> {
        let can = self.connector.capabilities();
        if can.records.update && can.lookups.id {
            self.change(asked).await;
        }
        if can.records.create { self.create().await } else { None }
    }

    async fn change(&mut self, asked: &Asked) {
        let mut ctx = self.begin();
        let (user, chance) = (unknown(&asked.user, &mut ctx), letters(&mut ctx));
        let names =
            UserChanges { first_name: Some("Keyherald"), last_name: Some(chance.as_str()), ..UserChanges::default() };
        let answer = self.connector.update_user(&user, names, ctx).await;
        self.must_be_unknown("change, unknown user", "changed", &answer);
        let Some(before) = self.read(asked, "read before").await else { return };
        self.change_to(asked, "change names", names).await;
        if before.email.is_some() {
            let email = format!("{chance}@example.invalid");
            let address = UserChanges { email: Some(email.as_str()), ..UserChanges::default() };
            self.change_to(asked, "change e-mail", address).await;
        }
        let set_back = UserChanges {
            email: before.email.as_deref(),
            first_name: before.first_name.as_deref(),
            last_name: before.last_name.as_deref(),
            // A new address counts as not proved, and at some providers what is proved cannot be taken back.
            verified: before.email_verified.filter(|verified| *verified),
        };
        self.change_to(asked, "set back", set_back).await;
    }

    /// A change, which a look-up must show as far as it tells of such fields.
    async fn change_to(&mut self, asked: &Asked, step: &str, changes: UserChanges<'_>) {
        let ctx = self.begin();
        let answer = self.connector.update_user(&asked.user, changes, ctx).await;
        if self.succeed(step, "changed", answer).is_none() {
            return;
        }
        let Some(after) = self.read(asked, "read after").await else { return };
        let is_as = |wanted: Option<&str>, told: Option<&String>| match (wanted, told) {
            (Some(wanted), Some(told)) => fold_email(wanted) == fold_email(told),
            _ => true,
        };
        let is_seen = is_as(changes.email, after.email.as_ref())
            && is_as(changes.first_name, after.first_name.as_ref())
            && is_as(changes.last_name, after.last_name.as_ref());
        self.end("what is read", "as changed", if is_seen { "as changed" } else { "something else" }, is_seen);
    }

    async fn create(&mut self) -> Option<ProviderUser> {
        let mut ctx = self.begin();
        let (email, password) = (format!("{}@example.invalid", letters(&mut ctx)), generated(&mut ctx)?);
        let new = NewUser {
            email: &email,
            password: &password,
            first_name: Some("Keyherald"),
            last_name: Some("Check"),
            external_id: None,
            email_verified: true,
        };
        let answer = self.connector.create_user(new, ctx).await;
        let created = self.succeed("create", "created", answer)?.user;
        if self.connector.capabilities().lookups.email {
            let ctx = self.begin();
            match self.connector.look_up(By::Email(&email), ctx).await {
                Ok(found) if found.user != created => {
                    self.end("look up who was created", "found", "found another user", false);
                }
                found => drop(self.succeed("look up who was created", "found", found)),
            }
        }
        let ctx = self.begin();
        let again = self.connector.create_user(new, ctx).await.map(drop);
        let (expected, is_fine) = (ProviderError::Conflict, again == Err(ProviderError::Conflict));
        self.end("create the same again", expected.code(), &told("created", again.as_ref().err()), is_fine);
        Some(created)
    }

    async fn read(&mut self, asked: &Asked, step: &str) -> Option<LookedUp> {
        let ctx = self.begin();
        let found = self.connector.look_up(By::Id(&asked.user), ctx).await;
        self.succeed(step, "read", found)
    }

    /// The user as found now, where a look-up by id tells whether the password was changed.
    async fn probe(&mut self, asked: &Asked, step: &str) -> Option<LookedUp> {
        let can = self.connector.capabilities();
        if can.probe == Probe::None || !can.lookups.id {
            return None;
        }
        self.read(asked, step).await
    }
}

fn row(mark: &str, step: &str, expected: &str, answer: &str, took: &str) -> String {
    format!("{mark} {step:<26}  {expected:<22}  {answer:<26}  {took}")
}

/// What a call said: `done`, or the class of its error with the words that a customer would see.
fn told(done: &str, error: Option<&ProviderError>) -> String {
    match error {
        None => done.to_owned(),
        Some(error) => match error.message() {
            None => error.code().to_owned(),
            Some(message) => format!("{} {:?}", error.code(), message.as_str()),
        },
    }
}

fn trial(answer: &TrialAnswer) -> &'static str {
    match answer {
        TrialAnswer::SignedIn => "signed_in",
        TrialAnswer::Wrong => "wrong",
        TrialAnswer::CannotTell => "cannot_tell",
        TrialAnswer::Failed(error) => error.code(),
    }
}

/// A password that every usual policy takes.
fn generated(ctx: &mut Ctx) -> Option<Password> {
    Password::new(format!("Kh7!{}", letters(ctx))).ok()
}

/// Chance in lower-case letters and digits.
fn letters(ctx: &mut Ctx) -> String {
    ctx.bytes::<10>().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// An id of the same form that nobody has: its last letters and digits are others.
fn unknown(user: &ProviderUser, ctx: &mut Ctx) -> ProviderUser {
    const CHANGED: usize = 12;
    let mut chance = ctx.bytes::<CHANGED>().into_iter();
    let mut other = |c: char| {
        let alphabet = match c {
            '0'..='9' => "0123456789",
            'a'..='f' => "abcdef",
            'g'..='z' => "ghijklmnopqrstuvwxyz",
            'A'..='F' => "ABCDEF",
            'G'..='Z' => "GHIJKLMNOPQRSTUVWXYZ",
            _ => return c,
        };
        let Some(byte) = chance.next() else { return c };
        // Never the same again.
        let others: Vec<char> = alphabet.chars().filter(|known| *known != c).collect();
        others.get(usize::from(byte) % others.len().max(1)).copied().unwrap_or(c)
    };
    let mut id: Vec<char> = user.as_str().chars().collect();
    id.iter_mut().rev().for_each(|c| *c = other(*c));
    id.into_iter().collect::<String>().parse().unwrap_or_else(|_| user.clone())
}

#[cfg(test)]
mod tests {
    use keyherald_core::Micros;

    use super::*;

    #[test]
    fn an_unknown_id_has_the_same_form() {
        for id in ["auth0|65f1a2b3c4d5e6f708192a3b", "0f8fad5b-d9cb-469f-a165-70867728950e", "u1", "a@example.com"] {
            let user: ProviderUser = id.parse().unwrap();
            let other = unknown(&user, &mut Ctx::new(Micros(0), [5; 32]));
            assert_ne!(other.as_str(), id);
            assert_eq!(other.as_str().len(), id.len());
            let form = |text: &str| text.replace(|c: char| c.is_ascii_lowercase(), "a").replace(char::is_numeric, "0");
            assert_eq!(form(other.as_str()), form(id));
        }
        let guid: ProviderUser = "0f8fad5b-d9cb-469f-a165-70867728950e".parse().unwrap();
        assert!(uuid::Uuid::try_parse(unknown(&guid, &mut Ctx::new(Micros(0), [5; 32])).as_str()).is_ok());
    }
}
