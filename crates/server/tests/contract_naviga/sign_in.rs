//! Sign-ins of users whose passwords are at Auth0 (a double of it): by password and by token, on both engines.

use axum::http::Method;
use keyherald_core::Micros;
use keyherald_store::testing::{TestStore, block_on};
use serde_json::json;

use crate::double::Fault;
use crate::people::{EMAIL, OLD, Person};
use crate::support::Answered;
use crate::support::cost::{Cost, spent};
use crate::users::{Stage, text};

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::block_on(async {
                    super::cases::$name(super::Stage::that(super::TestStore::sqlite().await, true).await).await;
                });
            }

            #[test]
            #[ignore = "needs PostgreSQL: cargo xtask test starts one"]
            fn postgres() {
                super::block_on(async {
                    super::cases::$name(super::Stage::that(super::TestStore::postgres().await, true).await).await;
                });
            }
        }
    )*};
}

on_both! {
    what_the_provider_tells_is_written_here_on_the_way,
    a_user_of_the_provider_alone_signs_in_and_is_here_then,
    who_does_not_get_in_costs_the_same,
    a_token_of_the_providers_signs_in_its_user,
    a_google_account_has_an_event_of_its_own,
    a_token_reads_its_user,
}

async fn sign_in(stage: &Stage, login: &str, password: &str) -> Answered {
    let body = json!({"loginName": login, "password": password});
    stage.send(Method::POST, "/v4/Users/Authentication", &body).await
}

async fn by_token(stage: &Stage, token: &str) -> Answered {
    stage.send(Method::POST, "/v4/Users/Authentication", &json!({"token": token})).await
}

fn ids(events: &[(u32, String)]) -> Vec<u32> {
    events.iter().map(|(id, _)| *id).collect()
}

mod cases {
    use super::*;

    pub async fn what_the_provider_tells_is_written_here_on_the_way(stage: Stage) {
        assert_eq!(text(&stage.get("/v4/Users/u1").await), (200, "S200".into()));
        let before = stage.events(3).await.len();
        stage.double.people(|people| people.0.get_mut("auth0|u1").unwrap().first_name = "Jo".into());
        assert_eq!(text(&sign_in(&stage, EMAIL, OLD).await), (200, "S200".into()));
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.first_name.as_deref(), Some("Jo"));
        assert_eq!(ids(&stage.events(before + 4).await[before..]), [4605, 4004, 4001, 4006]);
        // What is the same is not written again.
        assert_eq!(text(&sign_in(&stage, EMAIL, OLD).await), (200, "S200".into()));
        assert_eq!(ids(&stage.events(before + 7).await[before + 4..]), [4605, 4001, 4006]);
        // A refused one writes nothing.
        stage.double.people(|people| people.0.get_mut("auth0|u1").unwrap().first_name = "Mo".into());
        assert_eq!(text(&sign_in(&stage, EMAIL, "wrong").await), (400, "E400".into()));
        assert_eq!(stage.here(EMAIL).await.unwrap().profile.first_name.as_deref(), Some("Jo"));
    }

    pub async fn a_user_of_the_provider_alone_signs_in_and_is_here_then(stage: Stage) {
        assert_eq!(text(&sign_in(&stage, EMAIL, "wrong").await), (400, "E400".into()));
        assert!(stage.here(EMAIL).await.is_none(), "only who gets in is written");
        let answered = sign_in(&stage, EMAIL, OLD).await;
        assert_eq!(text(&answered), (200, "S200".into()));
        assert_eq!(answered.json()["data"]["customerRegistrationId"], "auth0|u1");
        assert!(stage.here(EMAIL).await.is_some());
        // Not as somebody who is here under the address, which nobody has proved there.
        stage.server.customer("here@example.com", "Here-pass-1!").await;
        stage.double.people(|people| people.add("auth0|u2", Person::new("here@example.com", OLD)).unwrap());
        for password in [OLD, "Here-pass-1!"] {
            assert_eq!(text(&sign_in(&stage, "here@example.com", password).await), (400, "E400".into()));
        }
        assert!(stage.here("here@example.com").await.unwrap().password_tail.is_some());
    }

    /// Hashes, statements, transactions, and requests to the provider.
    async fn refused(stage: &Stage, login: &str) -> (Cost, usize) {
        let (before, asked) = (spent(&stage.server), stage.double.got().len());
        assert_eq!(text(&sign_in(stage, login, "wrong").await), (400, "E400".into()));
        (spent(&stage.server).since(&before), stage.double.got().len() - asked)
    }

    pub async fn who_does_not_get_in_costs_the_same(mut stage: Stage) {
        assert_eq!(text(&sign_in(&stage, EMAIL, OLD).await), (200, "S200".into()));
        stage.rest().await;
        stage.server.customer("here@example.com", OLD).await;
        stage.double.people(|people| people.add("auth0|u2", Person::new("there@example.com", OLD)).unwrap());
        let known = refused(&stage, EMAIL).await;
        assert_eq!((known.0.hashes, known.0.writes, known.1), (0, 1, 3), "looked up, and tried");
        for login in ["nobody@example.com", "here@example.com", "there@example.com"] {
            assert_eq!(refused(&stage, login).await, known, "{login}");
        }
    }

    pub async fn a_token_of_the_providers_signs_in_its_user(stage: Stage) {
        let answered = by_token(&stage, "token-of-auth0|u1").await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        assert_eq!(answered.json()["data"]["customerRegistrationId"], "auth0|u1");
        assert_eq!(ids(&stage.events(4).await), [4601, 4004, 4001, 4006]);
        assert_eq!(text(&by_token(&stage, "token-of-auth0|u1").await), (200, "S200".into()));
        assert_eq!(ids(&stage.events(7).await[4..]), [4601, 4001, 4006]);
        for dead in ["token-of-auth0|u9", "dead", "é"] {
            assert_eq!(text(&by_token(&stage, dead).await), (400, "E400".into()), "{dead}");
        }
        stage.double.next(Fault::Cut);
        assert_eq!(text(&by_token(&stage, "token-of-auth0|u1").await), (500, "E500".into()), "that is no dead token");
        // Whose address is somebody's here and not proved there is nobody.
        stage.server.customer("here@example.com", OLD).await;
        stage.double.people(|people| people.add("auth0|u2", Person::new("here@example.com", OLD)).unwrap());
        assert_eq!(text(&by_token(&stage, "token-of-auth0|u2").await), (400, "E400".into()));
    }

    pub async fn a_google_account_has_an_event_of_its_own(stage: Stage) {
        stage.double.people(|people| people.add("google-oauth2|7", Person::new("g@example.com", OLD)).unwrap());
        assert_eq!(text(&by_token(&stage, "token-of-google-oauth2|7").await), (200, "S200".into()));
        assert_eq!(ids(&stage.events(4).await), [4601, 4004, 4001, 4012]);
    }

    pub async fn a_token_reads_its_user(stage: Stage) {
        let read = async |token: &str| stage.get(&format!("/v4/Users?token={token}")).await;
        let answered = read("token-of-auth0%7Cu1").await;
        assert_eq!(text(&answered), (200, "S200".into()), "{answered:?}");
        assert_eq!(answered.json()["data"]["customerRegistrationId"], "auth0|u1");
        assert_eq!(text(&read("dead").await), (400, "E400".into()));
        stage.double.next(Fault::Cut);
        assert_eq!(text(&read("token-of-auth0%7Cu1").await), (500, "E500_02".into()));
        stage.server.clock.advance(Micros::SECOND);
        assert_eq!(text(&read("token-of-auth0%7Cu1").await), (200, "S200".into()));
    }
}
