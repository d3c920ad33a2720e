//! Activity: one entry per password verb that was tried, failed ones too, so that support can say who changed what,
//! when, and by which way. Entries of the same log as messages, without a sequence number, never in `/messages`.

use serde::{Deserialize, Serialize};

use crate::ctx::Micros;
use crate::id::{CustomerId, MessageId, OperationId};
use crate::initiator::Initiator;
use crate::message::Flow;
use crate::provider::ProviderName;
use crate::{Ctx, Refusal};

/// One call and how it ended.
pub struct Activity {
    /// Id of the entry.
    pub id: MessageId,
    /// When.
    pub at: Micros,
    /// The customer, if the call came to know it.
    pub customer: Option<CustomerId>,
    /// What is written.
    pub facts: ActivityFacts,
}

/// What an activity entry says besides its columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityFacts {
    /// What was tried.
    pub flow: Flow,
    /// `done`, or the refusal's code.
    pub outcome: String,
    /// Who called.
    pub by: Initiator,
    /// Which call it was, if it is one of an operation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepFacts>,
}

/// A call that was made for an operation, to a provider or to our own database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFacts {
    /// The operation.
    pub operation: OperationId,
    /// Its provider.
    pub provider: ProviderName,
    /// The call. `None`: the operation as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// How it ended, in four words; the entry's outcome says it exactly.
    pub result: CallResult,
    /// How long it took in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<i64>,
}

/// The calls that operations make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// The user was looked up at the provider.
    LookUpAtProvider,
    /// The customer was looked up here.
    LookUpAtHome,
    /// The password was sent to the provider.
    SetAtProvider,
    /// The password was set here. Whoever sends mail about a changed password goes by this one.
    SetAtHome,
    /// A sign-in was tried at the provider.
    SignInAtProvider,
    /// The user's sessions at the provider were ended.
    EndSessionsAtProvider,
}

/// Naviga's name and id of an event, and what it was called before (naviga.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCode {
    /// The name.
    pub code: &'static str,
    /// The id. `None`: there is no documented one.
    pub id: Option<u32>,
    /// Name and id in the older contract.
    pub old: Option<(&'static str, u32)>,
}

/// The event that each call leaves.
const EVENT_CODES: [(Call, EventCode); 6] = [
    (Call::LookUpAtProvider, event("AUTHSYSTEM_USER_GETBYID", Some(4601), Some(("GETUSERBYID", 1042)))),
    (Call::LookUpAtHome, event("SUBSCRIBE_USER_GETBYID", Some(4001), Some(("GETUSERBYID", 1042)))),
    (Call::SetAtProvider, event("AUTHSYSTEM_USER_CHANGEPASSWORD", Some(4609), Some(("CHGPWD", 22)))),
    (Call::SetAtHome, event("SUBSCRIBE_USER_CHANGEPASSWORD", Some(4010), Some(("CHGPWD", 22)))),
    (Call::SignInAtProvider, event("AUTHSYSTEM_USER_LOGIN", Some(4605), Some(("GETUSERBYID", 1042)))),
    (Call::EndSessionsAtProvider, event("AUTHSYSTEM_USER_ENDSESSIONS", None, None)), // a name of ours
];

const fn event(code: &'static str, id: Option<u32>, old: Option<(&'static str, u32)>) -> EventCode {
    EventCode { code, id, old }
}

impl Call {
    /// Its event. `None`: it has none.
    pub fn event_code(self) -> Option<EventCode> {
        EVENT_CODES.iter().find(|(call, _)| *call == self).map(|(_, code)| *code)
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallResult {
    /// Done.
    Succeeded,
    /// A rule said no.
    Refused,
    /// It did not take place.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl Activity {
    /// The entry for `flow` that ended with `refusal` (or well).
    pub fn new(
        flow: Flow,
        customer: Option<CustomerId>,
        refusal: Option<&Refusal>,
        by: &Initiator,
        ctx: &mut Ctx,
    ) -> Self {
        let outcome = refusal.map_or("done", Refusal::code).to_owned();
        Self {
            id: MessageId::new(ctx),
            at: ctx.now,
            customer,
            facts: ActivityFacts { flow, outcome, by: by.impersonal(), step: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calls_of_a_change_have_their_documented_events() {
        let id = |call: Call| call.event_code().unwrap().id;
        let calls = [Call::LookUpAtProvider, Call::LookUpAtHome, Call::SetAtProvider, Call::SetAtHome];
        assert_eq!(calls.map(id), [Some(4601), Some(4001), Some(4609), Some(4010)]);
        assert_eq!(id(Call::SignInAtProvider), Some(4605));
        assert_eq!(id(Call::EndSessionsAtProvider), None);
    }

    /// Rows as the first version wrote them.
    #[test]
    fn entries_of_the_first_version_still_read() {
        let facts: ActivityFacts =
            serde_json::from_str(r#"{"flow":"change","outcome":"current_password_wrong","by":{"client_id":"c"}}"#)
                .unwrap();
        assert_eq!(facts.step, None);
    }
}
