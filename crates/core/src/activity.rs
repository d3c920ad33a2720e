//! Activity: one entry per call that was made about a customer, failed ones too, so that support can say who tried what,
//! when, by which way, and how it ended. Entries of the same log as messages, without a sequence number, never in
//! `/messages`.
//!
//! The calls of one request, or of one operation, are a *run*: its entries name the first of them as their parent. What
//! a call is called outside is in [`event`], a table. Nothing here is personal: an entry is never erased before its time.

pub mod event;
mod source;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::event::{Call, EventCode, System};
pub use self::source::{Label, Source, Tenant};
use crate::ctx::Micros;
use crate::id::{CustomerId, MessageId, OperationId, ProjectKey};
use crate::initiator::Initiator;
use crate::message::Flow;
use crate::provider::{ProviderName, ProviderUser};
use crate::trace::TraceContext;
use crate::{Ctx, Refusal};

/// One call, or one request as a whole, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Id of the entry.
    pub id: MessageId,
    /// When it had ended.
    pub at: Micros,
    /// The customer, if the call came to know it.
    pub customer: Option<CustomerId>,
    /// What is written.
    pub facts: ActivityFacts,
    /// The trace of the request that it was made for.
    pub trace: Option<TraceContext>,
}

/// What an activity entry says besides its columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityFacts {
    /// What was tried.
    pub flow: Flow,
    /// `done`, or the code of the refusal or of the provider's error.
    pub outcome: String,
    /// Who called.
    pub by: Initiator,
    /// From where.
    #[serde(default, skip_serializing_if = "Source::is_empty")]
    pub source: Source,
    /// The first entry of the run. `None`: it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<MessageId>,
    /// Which call it was. `None`: the request as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepFacts>,
}

impl ActivityFacts {
    /// How it ended, in four words.
    pub fn result(&self) -> CallResult {
        match &self.step {
            Some(step) => step.result,
            None if self.outcome == DONE => CallResult::Succeeded,
            None => CallResult::Refused,
        }
    }

    /// What the call is called outside. `None`: it is no single call.
    pub fn event_code(&self) -> Option<EventCode> {
        Some(self.step.as_ref()?.call?.event_code(self.flow))
    }
}

/// A call to a provider or to our own database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFacts {
    /// The operation that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The provider that was called, or whose operation it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// The call. `None`: the operation as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// How it ended, in four words; the entry's outcome says it exactly.
    pub result: CallResult,
    /// How long it took in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<i64>,
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

impl CallResult {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// An entry as it was read back from the log.
#[derive(Clone)]
pub struct Recorded {
    /// Order in the log.
    pub position: i64,
    /// The lane of entries without a customer.
    pub project_lane: CustomerId,
    /// The entry.
    pub activity: Activity,
    /// Who the customer is at a provider, as it stands when this is read. Read for subscriptions alone.
    pub user: Option<ProviderUser>,
}

impl Recorded {
    /// Whom it concerns; without a customer, the project.
    pub fn lane(&self) -> CustomerId {
        self.activity.customer.unwrap_or(self.project_lane)
    }
}

/// The lane of a project's activity that concerns no customer. The same on every node and in every version: it is made of
/// the key, as a UUID of version 8.
pub fn project_lane(project: &ProjectKey) -> CustomerId {
    let digest = Sha256::digest(format!("activity of project {project}"));
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, made)| *byte = made);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

/// The outcome of what went well.
const DONE: &str = "done";

/// What the entries of one run have in common: of the calls that one request makes, or that one operation does.
///
/// The first entry that is made of it becomes the parent of the others. A transaction that may be run again makes them of
/// a clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    flow: Flow,
    by: Initiator,
    #[serde(default, skip_serializing_if = "Source::is_empty")]
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<MessageId>,
}

impl Run {
    /// A run without entries.
    pub fn new(flow: Flow, by: &Initiator, source: &Source) -> Self {
        Self { flow, by: by.impersonal(), source: source.clone(), first: None }
    }

    /// What was tried.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Who called, without what is personal of it.
    pub fn by(&self) -> &Initiator {
        &self.by
    }

    /// From where.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The same run after its first entry.
    #[must_use]
    pub fn after(self, first: Option<MessageId>) -> Self {
        Self { first, ..self }
    }

    /// The entry of the request as a whole: done, or refused.
    pub fn ended(&mut self, customer: Option<CustomerId>, refusal: Option<&Refusal>, ctx: &mut Ctx) -> Activity {
        self.entry(customer, refusal.map_or(DONE, Refusal::code), None, ctx)
    }

    /// The entry of a call that was made.
    pub fn called(&mut self, customer: Option<CustomerId>, made: Made<'_>, ctx: &mut Ctx) -> Activity {
        let Made { call, ended: (result, outcome), took_us, provider, operation } = made;
        let step = StepFacts { operation, provider: provider.cloned(), call, result, took_us };
        self.entry(customer, outcome, Some(step), ctx)
    }

    fn entry(
        &mut self,
        customer: Option<CustomerId>,
        outcome: &str,
        step: Option<StepFacts>,
        ctx: &mut Ctx,
    ) -> Activity {
        let id = MessageId::new(ctx);
        let parent = self.first;
        self.first.get_or_insert(id);
        let (by, source) = (self.by.clone(), self.source.clone());
        let facts = ActivityFacts { flow: self.flow, outcome: outcome.to_owned(), by, source, parent, step };
        Activity { id, at: ctx.now, customer, facts, trace: ctx.trace.clone() }
    }
}

/// A call that was made, and how it ended.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The call. `None`: an operation as a whole.
    pub call: Option<Call>,
    /// How it ended, in four words and exactly.
    pub ended: (CallResult, &'a str),
    /// How long it took in microseconds.
    pub took_us: Option<i64>,
    /// The provider that was called, or whose operation it is.
    pub provider: Option<&'a ProviderName>,
    /// The operation that it was made for.
    pub operation: Option<OperationId>,
}

impl<'a> Made<'a> {
    /// A call that succeeded, for no operation.
    pub fn done(call: Call) -> Self {
        Self { call: Some(call), ended: (CallResult::Succeeded, DONE), took_us: None, provider: None, operation: None }
    }

    /// The same with another end.
    #[must_use]
    pub fn ended(self, result: CallResult, outcome: &'a str) -> Self {
        Self { ended: (result, outcome), ..self }
    }

    /// The same with the time that it took.
    #[must_use]
    pub fn took(self, took_us: i64) -> Self {
        Self { took_us: Some(took_us), ..self }
    }

    /// The same of a call to this provider.
    #[must_use]
    pub fn at(self, provider: &'a ProviderName) -> Self {
        Self { provider: Some(provider), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ctx() -> Ctx {
        Ctx::new(Micros(1_000_000), [7; 32])
    }

    /// Rows as the first versions wrote them.
    #[test]
    fn entries_of_the_first_versions_still_read() {
        let facts: ActivityFacts =
            serde_json::from_str(r#"{"flow":"change","outcome":"current_password_wrong","by":{"client_id":"c"}}"#)
                .unwrap();
        assert_eq!((facts.step.clone(), facts.parent, facts.source.is_empty()), (None, None, true));
        assert_eq!((facts.result(), facts.event_code()), (CallResult::Refused, None));
        let facts: ActivityFacts = serde_json::from_str(
            r#"{"flow":"set","outcome":"done","by":{},"step":{"operation":"0192f3a1-5b7c-7d3e-9f10-0123456789ab",
                "provider":"auth0-main","call":"set_at_home","result":"succeeded","took_us":9}}"#,
        )
        .unwrap();
        assert!(facts.step.as_ref().is_some_and(|step| step.operation.is_some() && step.provider.is_some()));
        assert_eq!(facts.event_code().and_then(|code| code.id), Some(4010));
    }

    #[test]
    fn a_project_has_one_lane_of_its_own() {
        let lane = |key: &str| project_lane(&key.parse().unwrap()).to_string();
        // Rows name it: it may never change.
        assert_eq!(lane("demo"), "11828b18-d78c-82fa-9a88-b27be9759a72");
        assert_ne!(lane("demo"), lane("other"));
    }

    #[test]
    fn entries_of_a_run_name_its_first_one() {
        let (mut ctx, mut run) = (ctx(), Run::new(Flow::Find, &Initiator::default(), &Source::default()));
        let first = run.called(None, Made::done(Call::LookUpAtProvider), &mut ctx);
        let second = run.called(None, Made::done(Call::LookUpAtHome), &mut ctx);
        let last = run.ended(None, None, &mut ctx);
        assert_eq!(
            (first.facts.parent, second.facts.parent, last.facts.parent),
            (None, Some(first.id), Some(first.id))
        );
        let resumed = Run::new(Flow::Find, &Initiator::default(), &Source::default()).after(Some(first.id));
        assert_eq!(resumed.clone().ended(None, None, &mut ctx).facts.parent, Some(first.id));
    }

    #[test]
    fn entries_say_nothing_personal_and_read_back() {
        let by = Initiator { external_user_id: Some("agent-7".into()), ..Initiator::default() };
        let label = |text: &str| text.parse::<Label>().ok();
        let source = Source {
            system: label("ExternalSystem"),
            tenant: Tenant::new("DEMO", "DEMO", "DEMO"),
            correlation_id: label("c-1"),
        };
        let provider: ProviderName = "auth0-main".parse().unwrap();
        let made = Made::done(Call::SetEmailAtProvider).took(1).at(&provider).ended(CallResult::Failed, "transient");
        let facts = Run::new(Flow::Update, &by, &source).called(None, made, &mut ctx()).facts;
        let written = serde_json::to_string(&facts).unwrap();
        assert!(!written.contains("agent-7"), "{written}");
        assert_eq!(serde_json::from_str::<ActivityFacts>(&written).unwrap(), facts);
        assert_eq!((facts.result(), facts.event_code().unwrap().id), (CallResult::Failed, Some(4610)));
    }
}
