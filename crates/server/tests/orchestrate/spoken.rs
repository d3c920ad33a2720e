//! Providers that speak HTTP: the doubles of their connectors' own tests, directed by a script.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::cell::Trouble;
use crate::double::{Double, Fault, Got, Vendor};
use crate::people::{People, Person};
use crate::provider::{Provider, User};
use crate::script::{Call, Script};

/// What is to be known of a vendor besides its double.
pub trait Spoken: Vendor {
    /// The id of the user there.
    const USER: &'static str;
    /// What our access is proved with.
    const SECRET: &'static str;

    /// A double of its own.
    fn double(user: &User) -> Self;

    /// The keys of the provider's table; the secret lies in the file `secret`.
    fn config(url: &str, secret: &str) -> String;

    /// What a request is for.
    fn call_of(got: &Got) -> Call;

    /// The vendor's words for troubles that it tells. `None`: none are needed, it tells by itself.
    fn tells(trouble: Trouble) -> Option<Fault>;
}

struct Running<V> {
    double: Double,
    vendor: PhantomData<fn() -> V>,
}

/// A running double of `V` with this user.
pub fn start<V: Spoken>(user: User, script: Arc<Script>) -> BoxFuture<'static, Box<dyn Provider>> {
    Box::pin(async move {
        let vendor = V::double(&user);
        let mut people = People::of_one(V::USER);
        let history = user.before.into_iter().collect();
        let person = Person { history, sessions: 2, ..Person::new(&user.email, &user.password) };
        people.0.insert(V::USER.to_owned(), person);
        let double = Double::start(vendor, people).await;
        double.direct(Box::new(move |got| {
            let (trouble, watcher) = script.direct(V::call_of(got));
            (trouble.and_then(fault::<V>), watcher)
        }));
        let running: Box<dyn Provider> = Box::new(Running { double, vendor: PhantomData::<fn() -> V> });
        running
    })
}

fn fault<V: Spoken>(trouble: Trouble) -> Option<Fault> {
    Some(match trouble {
        Trouble::Reset => Fault::Reset,
        Trouble::Cut | Trouble::Dark => Fault::CutBefore,
        Trouble::AppliedCut | Trouble::Repeated => Fault::Cut,
        Trouble::Slow => Fault::Deaf,
        Trouble::AppliedSlow => Fault::Silence,
        Trouble::Late => Fault::Late(crate::server::LATE),
        told => return V::tells(told),
    })
}

impl<V: Spoken> Provider for Running<V> {
    fn config(&self, secret: &str) -> String {
        V::config(self.double.url.as_str(), secret)
    }

    fn secret(&self) -> &'static str {
        V::SECRET
    }

    fn user(&self) -> String {
        V::USER.to_owned()
    }

    fn has<'a>(&'a self, password: &'a str) -> BoxFuture<'a, bool> {
        let has = self.double.people(|people| people.0.get(V::USER).is_some_and(|person| person.password == password));
        Box::pin(std::future::ready(has))
    }
}
