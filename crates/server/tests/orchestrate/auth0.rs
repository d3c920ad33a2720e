//! Auth0: the connector's own double, directed by a script.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;

use crate::cell::{Step, Trouble};
use crate::double::{Double, Fault, Got, Said};
use crate::people::{People, Person};
use crate::provider::{Connector, Provider, User};
use crate::script::{Call, Script};
use crate::server::CALL_TIMEOUT;
use crate::vendor::{Auth0, SECRET, USER, error, throttled};

pub const CONNECTOR: Connector = Connector {
    name: "auth0",
    steps: &[Step::Access, Step::LookUp, Step::Set, Step::Probe, Step::SignIn, Step::EndSessions],
    throttle_forms: 4,
    has_history: true,
    start,
};

struct Running(Double);

fn start(user: User, script: Arc<Script>) -> BoxFuture<'static, Box<dyn Provider>> {
    Box::pin(async move {
        let mut people = People::of_one(USER);
        let history = user.before.into_iter().collect();
        people.0.insert(USER.to_owned(), Person { history, sessions: 2, ..Person::new(&user.email, &user.password) });
        let double = Double::start(Auth0::default(), people).await;
        double.direct(Box::new(move |got| {
            let (trouble, watcher) = script.direct(call_of(got));
            (trouble.and_then(fault), watcher)
        }));
        let running: Box<dyn Provider> = Box::new(Running(double));
        running
    })
}

fn call_of(got: &Got) -> Call {
    match (got.path(), got.method.as_str()) {
        ("/oauth/token", _) if got.json()["grant_type"] == "client_credentials" => Call::Access,
        ("/oauth/token", _) => Call::SignIn,
        (_, "PATCH") => Call::Set,
        (_, "POST") => Call::EndSessions,
        _ => Call::LookUp,
    }
}

fn fault(trouble: Trouble) -> Option<Fault> {
    let broken = error(500, "Internal Server Error", "Internal error", None);
    Some(match trouble {
        Trouble::Reset => Fault::Reset,
        Trouble::Cut | Trouble::Dark => Fault::CutBefore,
        Trouble::AppliedCut | Trouble::Repeated => Fault::Cut,
        Trouble::AppliedBroken => Fault::AppliedBut(broken),
        Trouble::Broken => Fault::Instead(broken),
        Trouble::Throttled(form) => Fault::Instead(too_many(form)),
        Trouble::Slow => Fault::Deaf,
        Trouble::AppliedSlow => Fault::Silence,
        Trouble::Late => Fault::Late(CALL_TIMEOUT + Duration::from_secs(1)),
        Trouble::AccessRefused => {
            Fault::Instead(error(401, "Unauthorized", "Expired token received for JSON Web Token validation", None))
        }
        Trouble::NoUser => Fault::Instead(error(404, "Not Found", "The user does not exist.", Some("inexistent_user"))),
        // The provider says these by itself.
        Trouble::Weak | Trouble::Used => return None,
    })
}

#[expect(clippy::disallowed_methods, reason = "what a provider says about time is by its own clock")]
fn too_many(form: usize) -> Said {
    let soon = SystemTime::now() + Duration::from_secs(2);
    let epoch_s = soon.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().to_string();
    match form {
        0 => throttled().header("retry-after", "1"),
        1 => throttled().header("retry-after", &httpdate::fmt_http_date(soon)),
        2 => throttled().header("x-ratelimit-reset", &epoch_s),
        _ => throttled(),
    }
}

impl Provider for Running {
    fn config(&self, secret: &str) -> String {
        format!(
            "kind = \"auth0\"\nbase_url = \"{}\"\nclient_id = \"client\"\nclient_secret_file = \"{secret}\"\n\
             connection = \"db\"\ntrial_sign_in = true\n",
            self.0.url
        )
    }

    fn secret(&self) -> &'static str {
        SECRET
    }

    fn user(&self) -> String {
        USER.to_owned()
    }

    fn password(&self) -> Option<String> {
        self.0.people(|people| people.0.get(USER).map(|person| person.password.clone()))
    }
}
