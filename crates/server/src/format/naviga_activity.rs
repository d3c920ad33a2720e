//! Activity as JSON: the entries that operators ask for, and `NavigaActivity`, the event records that a subscription is
//! sent (naviga.md 5).
//!
//! The fields of Naviga's event records are not documented; ours are an event's id and parent, its type's code and id, when,
//! which tenant, which system called, which user, which run. Nothing in them is secret or personal but the user's id.

use std::collections::{BTreeMap, BTreeSet};

use keyherald_core::activity::{ActivityFacts, EventCode, Recorded, StepFacts, Tenant};
use keyherald_core::id::ProjectKey;
use keyherald_core::notice::Notice;
use keyherald_core::provider::ProviderUser;
use serde_json::Value;

use super::commercetools::Object;
use super::{Erased, Rendered};

/// What an operator has configured of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventIds {
    /// Ids that no document tells, by project and by the event's code.
    pub ids: BTreeMap<ProjectKey, BTreeMap<String, u32>>,
    /// The projects whose event records also say what an event was called before (naviga.md 4.6). Operators always see it.
    pub with_old: BTreeSet<ProjectKey>,
}

impl EventIds {
    /// The documented id, or the configured one.
    fn of(&self, project: &ProjectKey, code: &EventCode) -> Option<u32> {
        code.id.or_else(|| self.ids.get(project)?.get(code.code).copied())
    }
}

/// An entry as operators see it, with the event ids that were configured. Unset fields are absent.
pub fn entry(project: &ProjectKey, recorded: &Recorded, ids: &EventIds) -> Object {
    let Recorded { position, activity, .. } = recorded;
    let ActivityFacts { flow, outcome, by, source, parent, step } = &activity.facts;
    let code = activity.facts.event_code();
    let old = code.and_then(|code| code.old);
    Object::default()
        .with("id", activity.id.to_string())
        .with("position", *position)
        .with("at", activity.at.iso())
        .with_some("code", code.map(|code| code.code))
        .with_some("eventId", code.and_then(|code| ids.of(project, &code)))
        .with_some("oldCode", old.map(|(code, _)| code))
        .with_some("oldEventId", old.map(|(_, id)| id))
        .with_some("system", code.map(|code| code.system.as_str()))
        .with("outcome", outcome.as_str())
        .with("result", activity.facts.result().as_str())
        .with_some("durationMs", step.as_ref().and_then(duration_ms))
        .with("flow", flow.as_str())
        .with_some("clientId", by.client_id.as_deref())
        .with_some("sourceSystem", source.system.as_ref().map(ToString::to_string))
        .with_some("tenant", source.tenant.as_ref().map(tenant))
        .with_some("customerId", activity.customer.map(|id| id.to_string()))
        .with_some("operationId", step.as_ref().and_then(|step| step.operation).map(|id| id.to_string()))
        .with_some("parentEventId", parent.map(|id| id.to_string()))
        .with_some("correlationId", source.correlation_id.as_ref().map(ToString::to_string))
        .with_some("provider", step.as_ref().and_then(|step| step.provider.as_ref()).map(ToString::to_string))
}

fn tenant(Tenant { client_group, client, paper }: &Tenant) -> Value {
    Object::default()
        .with("clientGroup", client_group.as_str())
        .with("client", client.as_str())
        .with("paper", paper.as_str())
        .into()
}

/// Whole milliseconds, rounded.
fn duration_ms(step: &StepFacts) -> Option<i64> {
    step.took_us.map(|took| took.saturating_add(500) / 1000)
}

/// The event record. Every field is there, `null` if it is not known: the same shape for every event. What is no
/// activity, which is never asked for in this form, counts as erased.
pub fn render(project: &ProjectKey, notice: &Notice, ids: &EventIds) -> Result<Rendered, Erased> {
    let Notice::Activity(recorded) = notice else { return Err(Erased) };
    let activity = &recorded.activity;
    let ActivityFacts { flow, outcome, source, parent, step, .. } = &activity.facts;
    let code = activity.facts.event_code();
    let old = code.filter(|_| ids.with_old.contains(project)).and_then(|code| code.old);
    let tenant = source.tenant.as_ref();
    let record = Object::default()
        .with("eventId", activity.id.to_string())
        .with("parentEventId", parent.map(|id| id.to_string()))
        .with("runId", parent.unwrap_or(activity.id).to_string())
        .with("eventTypeCode", code.map(|code| code.code))
        .with("eventTypeId", code.and_then(|code| ids.of(project, &code)))
        .with("oldEventTypeCode", old.map(|(code, _)| code))
        .with("oldEventTypeId", old.map(|(_, id)| id))
        .with("timestamp", activity.at.iso())
        .with("clientGroupCode", tenant.map(|tenant| tenant.client_group.as_str()))
        .with("clientCode", tenant.map(|tenant| tenant.client.as_str()))
        .with("paperCode", tenant.map(|tenant| tenant.paper.as_str()))
        .with("sourceSystem", source.system.as_ref().map(ToString::to_string))
        .with("customerRegistrationId", recorded.user.as_ref().map(ProviderUser::as_str))
        .with("customerId", activity.customer.map(|id| id.to_string()))
        .with("projectKey", project.as_str())
        .with("result", activity.facts.result().as_str())
        .with("outcome", outcome.as_str())
        .with("durationMs", step.as_ref().and_then(duration_ms))
        .with("flow", flow.as_str())
        .with("operationId", step.as_ref().and_then(|step| step.operation).map(|id| id.to_string()))
        .with("correlationId", source.correlation_id.as_ref().map(ToString::to_string));
    let body = Value::from(record).to_string().into_bytes();
    Ok(Rendered { content_type: "application/json; charset=utf-8", body })
}

#[cfg(test)]
mod tests {
    use keyherald_core::activity::{Call, CallResult, Made, Run, Source, project_lane};
    use keyherald_core::initiator::Initiator;
    use keyherald_core::message::Flow;
    use keyherald_core::{Ctx, Micros};

    use super::*;

    fn project() -> ProjectKey {
        "demo".parse().unwrap()
    }

    /// The second entry of a run.
    fn recorded(call: Call) -> Recorded {
        let by = Initiator { client_id: Some("shop".into()), ..Initiator::default() };
        let source = Source {
            system: "ExternalSystem".parse().ok(),
            tenant: Tenant::new("ForumComm", "Forum", "TF"),
            correlation_id: "c-1".parse().ok(),
        };
        let provider = "auth0-main".parse().unwrap();
        let made = Made {
            operation: "019aa4b2-0000-7000-8000-0000000000aa".parse().ok(),
            ..Made::done(call).took(12_600).at(&provider).ended(CallResult::Failed, "transient")
        };
        let customer = "019aa4b2-5b7c-7d3e-9f10-0123456789ab".parse().ok();
        let ctx = &mut Ctx::new(Micros(1_763_784_000_123_000), [1; 32]);
        let run = Run::new(Flow::Set, &by, &source).after("019aa4b2-0000-7000-8000-000000000001".parse().ok());
        let mut activity = run.clone().called(customer, made, ctx);
        activity.id = "019aa4b2-0000-7000-8000-000000000002".parse().unwrap();
        let user = "auth0|1".parse().ok();
        Recorded { position: 7, project_lane: project_lane(&project()), activity, user }
    }

    fn bytes(recorded: Recorded, ids: &EventIds) -> String {
        let rendered = render(&project(), &Notice::Activity(Box::new(recorded)), ids).ok().unwrap();
        String::from_utf8(rendered.body).unwrap()
    }

    #[test]
    fn an_event_record_is_rendered_to_these_bytes() {
        assert_eq!(
            bytes(recorded(Call::SetAtProvider), &EventIds::default()),
            r#"{"eventId":"019aa4b2-0000-7000-8000-000000000002","parentEventId":"019aa4b2-0000-7000-8000-000000000001","runId":"019aa4b2-0000-7000-8000-000000000001","eventTypeCode":"AUTHSYSTEM_USER_CHANGEPASSWORD","eventTypeId":4609,"oldEventTypeCode":null,"oldEventTypeId":null,"timestamp":"2025-11-22T04:00:00.123Z","clientGroupCode":"ForumComm","clientCode":"Forum","paperCode":"TF","sourceSystem":"ExternalSystem","customerRegistrationId":"auth0|1","customerId":"019aa4b2-5b7c-7d3e-9f10-0123456789ab","projectKey":"demo","result":"failed","outcome":"transient","durationMs":13,"flow":"set","operationId":"019aa4b2-0000-7000-8000-0000000000aa","correlationId":"c-1"}"#
        );
    }

    #[test]
    fn what_an_event_was_called_before_is_told_where_it_is_configured() {
        let ids = EventIds { with_old: BTreeSet::from([project()]), ..EventIds::default() };
        assert!(
            bytes(recorded(Call::SetAtProvider), &ids).contains(r#""oldEventTypeCode":"CHGPWD","oldEventTypeId":22"#)
        );
        let other = EventIds { with_old: BTreeSet::from(["other".parse().unwrap()]), ..EventIds::default() };
        assert!(bytes(recorded(Call::SetAtProvider), &other).contains(r#""oldEventTypeCode":null"#));
        let shown = Value::from(entry(&project(), &recorded(Call::SetAtProvider), &EventIds::default()));
        assert_eq!((&shown["oldCode"], &shown["oldEventId"]), (&"CHGPWD".into(), &22.into()), "operators see it");
    }

    #[test]
    fn an_undocumented_id_is_null_until_it_is_configured() {
        let own = || recorded(Call::CreateAtProvider);
        assert!(
            bytes(own(), &EventIds::default())
                .contains(r#""eventTypeCode":"AUTHSYSTEM_USER_CREATE","eventTypeId":null"#)
        );
        let codes = BTreeMap::from([
            ("AUTHSYSTEM_USER_CREATE".to_owned(), 4602),
            ("AUTHSYSTEM_USER_CHANGEPASSWORD".to_owned(), 1),
        ]);
        let of = |project, codes| EventIds { ids: BTreeMap::from([(project, codes)]), ..EventIds::default() };
        let ids = of(project(), codes);
        assert!(bytes(own(), &ids).contains(r#""eventTypeId":4602"#));
        assert!(bytes(recorded(Call::SetAtProvider), &ids).contains(r#""eventTypeId":4609"#), "documented ones stay");
        assert!(!bytes(own(), &of("other".parse().unwrap(), BTreeMap::new())).contains("4602"));
    }

    #[test]
    fn operators_see_configured_ids_too() {
        let codes = BTreeMap::from([("AUTHSYSTEM_USER_CREATE".to_owned(), 4602)]);
        let ids = EventIds { ids: BTreeMap::from([(project(), codes)]), ..EventIds::default() };
        let shown = |ids: &EventIds| Value::from(entry(&project(), &recorded(Call::CreateAtProvider), ids));
        assert_eq!(shown(&ids)["eventId"], 4602);
        assert_eq!(shown(&EventIds::default()).get("eventId"), None);
    }

    #[test]
    fn what_is_not_known_of_a_run_is_null() {
        let ctx = &mut Ctx::new(Micros(0), [1; 32]);
        let activity = Run::new(Flow::SignIn, &Initiator::default(), &Source::default()).ended(None, None, ctx);
        let id = activity.id;
        let recorded = Recorded { position: 1, project_lane: project_lane(&project()), activity, user: None };
        let body: Value = serde_json::from_str(&bytes(recorded.clone(), &EventIds::default())).unwrap();
        assert_eq!((&body["runId"], &body["parentEventId"]), (&Value::from(id.to_string()), &Value::Null));
        for field in ["eventTypeCode", "clientCode", "customerRegistrationId", "customerId", "operationId"] {
            assert_eq!(body.get(field), Some(&Value::Null), "{field}");
        }
        let shown = Value::from(entry(&project(), &recorded, &EventIds::default()));
        assert_eq!(
            shown.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["id", "position", "at", "outcome", "result", "flow"]
        );
    }
}
