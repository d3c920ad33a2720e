//! The users of a double, and what its password policy says.

use std::collections::BTreeMap;

/// A user.
#[derive(Clone)]
pub(crate) struct Person {
    pub email: String,
    pub email_verified: bool,
    pub first_name: String,
    pub last_name: String,
    pub password: String,
    /// Passwords before this one.
    pub history: Vec<String>,
    /// How often the password was set. 0: never since the account was made.
    pub changes: u32,
    pub sessions: u32,
}

impl Person {
    pub fn new(email: &str, password: &str) -> Self {
        Self {
            email: email.to_owned(),
            email_verified: false,
            first_name: String::new(),
            last_name: String::new(),
            password: password.to_owned(),
            history: Vec::new(),
            changes: 0,
            sessions: 0,
        }
    }
}

/// The users, by id.
pub(crate) struct People(pub BTreeMap<String, Person>);

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSet {
    Unknown,
    Weak,
    Used,
    /// The address or the id is somebody else's.
    Taken,
}

pub(crate) const EMAIL: &str = "u1@example.com";
pub(crate) const OLD: &str = "Old-pass-1!";
/// Fewer characters than the policy asks for.
pub(crate) const WEAK: &str = "weak";

impl People {
    /// One user with this id.
    pub fn of_one(id: &str) -> Self {
        let person = Person { sessions: 2, ..Person::new(EMAIL, OLD) };
        Self(BTreeMap::from([(id.to_owned(), person)]))
    }

    /// Adds a user, under an address that nobody else has.
    pub fn add(&mut self, id: &str, person: Person) -> Result<(), NotSet> {
        if person.password.len() < 8 {
            return Err(NotSet::Weak);
        }
        if self.has(&person.email, None) || self.0.contains_key(id) {
            return Err(NotSet::Taken);
        }
        self.0.insert(id.to_owned(), person);
        Ok(())
    }

    /// Whether somebody besides `id` has this address.
    pub fn has(&self, email: &str, id: Option<&str>) -> bool {
        self.0.iter().any(|(other, person)| person.email == email && Some(other.as_str()) != id)
    }

    pub fn set(&mut self, id: &str, password: &str) -> Result<(), NotSet> {
        let person = self.0.get_mut(id).ok_or(NotSet::Unknown)?;
        if password.len() < 8 {
            return Err(NotSet::Weak);
        }
        if person.password == password || person.history.iter().any(|used| used == password) {
            return Err(NotSet::Used);
        }
        person.history.push(std::mem::replace(&mut person.password, password.to_owned()));
        person.changes += 1;
        Ok(())
    }
}
