//! What calls are called outside: Naviga's event codes and ids, new and old (naviga.md 5).
//!
//! Each old event became two, one for the call to the provider and one for the call to the own database. What an event
//! was called before depends on the endpoint in places, so the old codes are a table of their own, read by the flow too.
//! An id that no document gives is not made up: operators can configure it where events are rendered.

use serde::{Deserialize, Serialize};

use crate::message::Flow;

/// The calls that leave activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The user was looked up at the provider by its id.
    LookUpAtProvider,
    /// The user was looked up at the provider by something else.
    FindAtProvider,
    /// The user was made at the provider.
    CreateAtProvider,
    /// The user's fields were set at the provider.
    UpdateAtProvider,
    /// A sign-in was tried at the provider.
    SignInAtProvider,
    /// The password was sent to the provider.
    SetAtProvider,
    /// The e-mail address was sent to the provider.
    SetEmailAtProvider,
    /// The user's sessions at the provider were ended.
    EndSessionsAtProvider,
    /// The customer was found here by something else than the user's id.
    FindAtHome,
    /// The customer was looked up here by the user's id.
    LookUpAtHome,
    /// The customer was made here.
    CreateAtHome,
    /// Somebody asked to be made a customer, and is to prove the e-mail address first.
    CreatePendingAtHome,
    /// The customer's fields were set here.
    UpdateAtHome,
    /// The customer signed in here.
    SignInAtHome,
    /// The customer signed in here as a Google identity.
    SignInByGoogleAtHome,
    /// A forgotten password began to be replaced.
    StartRecoveryAtHome,
    /// The password was set here. Written in the transaction that sets it, as is the message by which the customer is
    /// mailed.
    SetAtHome,
    /// The e-mail address was set here.
    SetEmailAtHome,
}

/// Which system a call was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// The identity provider.
    Provider,
    /// The own database.
    Home,
}

impl System {
    /// Naviga's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "AUTHSYSTEM",
            Self::Home => "SUBSCRIBE",
        }
    }
}

/// Naviga's name and id of an event, and what it was called before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCode {
    /// The name.
    pub code: &'static str,
    /// The id. `None`: no document gives one.
    pub id: Option<u32>,
    /// Which system was called.
    pub system: System,
    /// Name and id in the older contract. `None`: it is new at that endpoint, or none is known.
    pub old: Option<(&'static str, u32)>,
}

/// The event of each call.
const EVENTS: [(Call, &str, Option<u32>, System); 18] = [
    (Call::LookUpAtProvider, "AUTHSYSTEM_USER_GETBYID", Some(4601), System::Provider),
    // Printed with this id, which is also the one above: the real one may be another.
    (Call::FindAtProvider, "AUTHSYSTEM_USER_GET", Some(4601), System::Provider),
    (Call::CreateAtProvider, "AUTHSYSTEM_USER_CREATE", None, System::Provider),
    (Call::UpdateAtProvider, "AUTHSYSTEM_USER_UPDATE", None, System::Provider),
    (Call::SignInAtProvider, "AUTHSYSTEM_USER_LOGIN", Some(4605), System::Provider),
    (Call::SetAtProvider, "AUTHSYSTEM_USER_CHANGEPASSWORD", Some(4609), System::Provider),
    (Call::SetEmailAtProvider, "AUTHSYSTEM_USER_CHANGEEMAIL", Some(4610), System::Provider),
    (Call::EndSessionsAtProvider, "AUTHSYSTEM_USER_ENDSESSIONS", None, System::Provider), // a name of ours
    (Call::FindAtHome, "SUBSCRIBE_USER_GET", Some(4000), System::Home),
    (Call::LookUpAtHome, "SUBSCRIBE_USER_GETBYID", Some(4001), System::Home),
    (Call::CreateAtHome, "SUBSCRIBE_USER_CREATE", Some(4002), System::Home),
    (Call::CreatePendingAtHome, "SUBSCRIBE_USER_CREATEPENDING", Some(4003), System::Home),
    (Call::UpdateAtHome, "SUBSCRIBE_USER_UPDATE", Some(4004), System::Home),
    (Call::SignInAtHome, "SUBSCRIBE_USER_LOGIN", Some(4006), System::Home),
    (Call::StartRecoveryAtHome, "SUBSCRIBE_USER_STARTFORGOTPASSWORD", Some(4009), System::Home),
    (Call::SetAtHome, "SUBSCRIBE_USER_CHANGEPASSWORD", Some(4010), System::Home),
    (Call::SetEmailAtHome, "SUBSCRIBE_USER_CHANGEEMAIL", Some(4011), System::Home),
    (Call::SignInByGoogleAtHome, "SUBSCRIBE_USER_GOOGLELOGIN", Some(4012), System::Home),
];

/// At which endpoints an event had an old code.
enum At {
    /// At all that have it.
    All,
    /// At those of these flows.
    Flows(&'static [Flow]),
}

/// What events were called before; the first row that fits counts.
const OLD_CODES: [(Call, At, (&str, u32)); 16] = [
    (Call::LookUpAtProvider, At::Flows(&[Flow::SignIn]), ("LOGIN", 60)),
    (Call::LookUpAtProvider, At::All, ("GETUSERBYID", 1042)),
    (Call::FindAtProvider, At::All, ("GETUSER", 73)),
    (Call::CreateAtProvider, At::All, ("CREATELOGIN", 68)),
    // Elsewhere it is a look at what became of an operation, which no older contract knows.
    (Call::SignInAtProvider, At::Flows(&[Flow::SignIn]), ("GETUSERBYID", 1042)),
    (Call::SetAtProvider, At::All, ("CHGPWD", 22)),
    (Call::SetEmailAtProvider, At::All, ("CHGEMAIL", 21)),
    // Where addresses are verified it was renamed, where users are read it is new.
    (Call::FindAtHome, At::Flows(&[Flow::ConfirmEmail, Flow::CreateEmailToken]), ("GETUSER", 73)),
    (Call::LookUpAtHome, At::All, ("GETUSERBYID", 1042)),
    (Call::CreateAtHome, At::All, ("CREATELOGIN", 68)),
    (Call::CreatePendingAtHome, At::All, ("VERIFYCODE", 670)),
    (Call::SignInAtHome, At::All, ("LOGIN", 60)),
    (Call::SignInByGoogleAtHome, At::All, ("LOGIN", 60)),
    (Call::StartRecoveryAtHome, At::All, ("PWDREQ", 64)),
    (Call::SetAtHome, At::All, ("CHGPWD", 22)),
    (Call::SetEmailAtHome, At::All, ("CHGEMAIL", 21)),
];

impl Call {
    /// Its event, when it is made for `flow`.
    pub fn event_code(self, flow: Flow) -> EventCode {
        let named = EVENTS.iter().find(|(call, ..)| *call == self);
        // A test holds that every call is in the table.
        let (code, id, system) = named.map_or(("", None, System::Home), |(_, code, id, system)| (*code, *id, *system));
        let fits = |at: &At| match at {
            At::All => true,
            At::Flows(flows) => flows.contains(&flow),
        };
        let old = OLD_CODES.iter().find(|(call, at, _)| *call == self && fits(at)).map(|(.., old)| *old);
        EventCode { code, id, system, old }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in naviga.md 5, "by new id".
    #[test]
    fn calls_have_their_documented_events() {
        let expected = [
            (4000, "SUBSCRIBE_USER_GET", Call::FindAtHome),
            (4001, "SUBSCRIBE_USER_GETBYID", Call::LookUpAtHome),
            (4002, "SUBSCRIBE_USER_CREATE", Call::CreateAtHome),
            (4003, "SUBSCRIBE_USER_CREATEPENDING", Call::CreatePendingAtHome),
            (4004, "SUBSCRIBE_USER_UPDATE", Call::UpdateAtHome),
            (4006, "SUBSCRIBE_USER_LOGIN", Call::SignInAtHome),
            (4009, "SUBSCRIBE_USER_STARTFORGOTPASSWORD", Call::StartRecoveryAtHome),
            (4010, "SUBSCRIBE_USER_CHANGEPASSWORD", Call::SetAtHome),
            (4011, "SUBSCRIBE_USER_CHANGEEMAIL", Call::SetEmailAtHome),
            (4012, "SUBSCRIBE_USER_GOOGLELOGIN", Call::SignInByGoogleAtHome),
            (4601, "AUTHSYSTEM_USER_GETBYID", Call::LookUpAtProvider),
            (4601, "AUTHSYSTEM_USER_GET", Call::FindAtProvider),
            (4605, "AUTHSYSTEM_USER_LOGIN", Call::SignInAtProvider),
            (4609, "AUTHSYSTEM_USER_CHANGEPASSWORD", Call::SetAtProvider),
            (4610, "AUTHSYSTEM_USER_CHANGEEMAIL", Call::SetEmailAtProvider),
        ];
        for (id, code, call) in expected {
            let event = call.event_code(Flow::Change);
            assert_eq!((event.id, event.code), (Some(id), code));
        }
        for call in [Call::CreateAtProvider, Call::UpdateAtProvider, Call::EndSessionsAtProvider] {
            assert_eq!(call.event_code(Flow::Change).id, None, "{call:?}");
        }
    }

    #[test]
    fn every_event_says_which_system_was_called() {
        for (call, code, ..) in EVENTS {
            let event = call.event_code(Flow::Change);
            assert_eq!(code.split('_').next(), Some(event.system.as_str()), "{call:?}");
            assert_eq!(event.code, code);
        }
    }

    #[test]
    fn what_an_event_was_called_before_depends_on_the_endpoint() {
        let old = |call: Call, flow| call.event_code(flow).old.map(|(code, _)| code);
        assert_eq!(old(Call::LookUpAtProvider, Flow::Set), Some("GETUSERBYID"));
        assert_eq!(old(Call::LookUpAtProvider, Flow::SignIn), Some("LOGIN"));
        assert_eq!(old(Call::LookUpAtHome, Flow::SignIn), Some("GETUSERBYID"));
        assert_eq!(old(Call::SignInAtProvider, Flow::SignIn), Some("GETUSERBYID"));
        assert_eq!(old(Call::SignInAtProvider, Flow::Set), None);
        assert_eq!(old(Call::FindAtHome, Flow::ConfirmEmail), Some("GETUSER"));
        assert_eq!(old(Call::FindAtHome, Flow::Find), None);
        assert_eq!(old(Call::UpdateAtHome, Flow::Update), None);
    }
}
