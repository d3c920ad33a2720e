//! What a subscription may be, and what an update makes of it.

use proptest::prelude::*;

use super::*;

fn selection(resource_type: &str, types: &[&str]) -> MessageSelection {
    let types = types.iter().map(|name| (*name).to_owned()).collect();
    MessageSelection { resource_type: resource_type.into(), types }
}

fn destination(url: &str) -> DestinationSettings {
    DestinationSettings { kind: "Webhook".into(), settings: [("url".to_owned(), url.into())].into_iter().collect() }
}

fn command() -> Command {
    Command {
        key: None,
        destination: destination("https://one.example"),
        selections: Selections {
            messages: vec![
                selection("customer", &["CustomerPasswordUpdated"]),
                selection("customer-password-token", &[]),
            ],
            ..Selections::default()
        },
        format: FormatKind::Platform,
        transformation: None,
        by: Initiator::default(),
    }
}

fn ctx() -> Ctx {
    Ctx::new(Micros(7_000), [0; 32])
}

fn made() -> Subscription {
    decide(&command(), (0, 50), false, &mut ctx()).unwrap()
}

fn updated(subscription: &Subscription, actions: Vec<Action>) -> Result<Updated, Refusal> {
    let by = Initiator { client_id: Some("c".into()), ..Initiator::default() };
    let command = Update { version: subscription.version, actions, by };
    update(subscription, &command, false, &Ctx::new(Micros(9_000), [0; 32]))
}

#[test]
fn the_token_message_needs_the_token_resource_type() {
    let subscription = made();
    assert!(subscription.wants_message(ResourceType::Customer, "CustomerPasswordUpdated"));
    assert!(!subscription.wants_message(ResourceType::Customer, "CustomerCreated"));
    assert!(subscription.wants_message(ResourceType::CustomerPasswordToken, "CustomerPasswordTokenCreated"));
    assert!(!subscription.wants_changes(ResourceType::Customer));
}

#[test]
fn limits() {
    let ctx = &mut ctx();
    assert_eq!(decide(&command(), (50, 50), false, ctx).err(), Some(Refusal::TooManySubscriptions { limit: 50 }));
    assert_eq!(decide(&command(), (0, 50), true, ctx).err(), Some(Refusal::Duplicate(UniqueField::Key)));
    let nothing = Command { selections: Selections::default(), ..command() };
    assert_eq!(decide(&nothing, (0, 50), false, ctx).err(), Some(Refusal::NothingSubscribed));
}

#[test]
fn messages_can_be_swapped_for_changes_in_one_update_and_not_in_two() {
    let drop_messages = Action::SetMessages(Vec::new());
    let take_changes = Action::SetChanges(vec!["customer".into()]);
    assert_eq!(updated(&made(), vec![drop_messages.clone()]), Err(Refusal::NothingSubscribed));
    let swapped = updated(&made(), vec![drop_messages, take_changes]).unwrap().subscription;
    assert!(swapped.wants_changes(ResourceType::Customer) && !swapped.wants_changes(ResourceType::Store));
    assert!(!swapped.wants_message(ResourceType::Customer, "CustomerPasswordUpdated"));
    assert_eq!((swapped.version, swapped.last_modified_at), (2, Micros(9_000)));
    assert_eq!(swapped.last_modified_by.client_id.as_deref(), Some("c"));
}

#[test]
fn a_new_destination_is_healthy_and_always_a_change() {
    let stopped = Subscription { status: SubscriptionStatus::ConfigurationErrorDeliveryStopped, ..made() };
    let same = Action::ChangeDestination(stopped.destination.clone());
    let after = updated(&stopped, vec![same]).unwrap();
    assert!(after.changed && after.new_destination, "its secret is another one");
    assert_eq!((after.subscription.status, after.subscription.version), (SubscriptionStatus::Healthy, 2));
    let key = Action::SetKey(Some("s-1".parse().unwrap()));
    let keyed = updated(&stopped, vec![key]).unwrap();
    assert_eq!(keyed.subscription.status, stopped.status);
    assert!(!keyed.new_destination);
}

#[test]
fn what_changes_nothing_leaves_the_version_but_another_version_is_refused_even_then() {
    let before = made();
    for actions in [vec![], vec![Action::SetKey(None), Action::SetEvents(Vec::new())]] {
        let after = updated(&before, actions).unwrap();
        assert_eq!((after.changed, after.subscription), (false, before.clone()));
    }
    let command = Update { version: 2, actions: Vec::new(), by: Initiator::default() };
    let refused = update(&before, &command, false, &ctx()).unwrap_err();
    let of = Versioned::Subscription(before.id);
    assert_eq!(refused, Refusal::VersionMismatch { of, expected: 2, actual: 1 });
}

#[test]
fn a_key_is_given_once_and_only_the_last_one_counts() {
    let keyed = Subscription { key: Some("own".parse().unwrap()), ..made() };
    let actions = vec![Action::SetKey(Some("other".parse().unwrap())), Action::SetKey(keyed.key.clone())];
    let command = Update { version: 1, actions, by: Initiator::default() };
    assert_eq!(command.key(), keyed.key);
    assert!(!update(&keyed, &command, true, &ctx()).unwrap().changed, "its own key");
    assert_eq!(update(&made(), &command, true, &ctx()), Err(Refusal::Duplicate(UniqueField::Key)));
    let removed = Update { actions: vec![Action::SetKey(None)], ..command };
    assert_eq!(removed.key(), None);
    assert_eq!(update(&keyed, &removed, false, &ctx()).unwrap().subscription.key, None);
}

#[test]
fn an_update_has_so_many_actions() {
    let actions = |count| vec![Action::SetEvents(Vec::new()); count];
    assert!(updated(&made(), actions(500)).is_ok());
    assert_eq!(updated(&made(), actions(501)), Err(Refusal::TooManyActions { limit: 500 }));
}

fn action() -> impl Strategy<Value = Action> {
    let types = || proptest::sample::subsequence(vec!["customer", "store"], 0..=2);
    let selections =
        move || types().prop_map(|types| types.into_iter().map(|name| selection(name, &[])).collect::<Vec<_>>());
    prop_oneof![
        "[a-c]".prop_map(|name| Action::ChangeDestination(destination(&name))),
        proptest::option::of("[a-c]{2}").prop_map(|key| Action::SetKey(key.map(|key| key.parse().unwrap()))),
        selections().prop_map(Action::SetMessages),
        types().prop_map(|types| Action::SetChanges(types.into_iter().map(str::to_owned).collect())),
        selections().prop_map(Action::SetEvents),
    ]
}

proptest! {
    /// The last action of each kind decides, in whatever order they stand.
    #[test]
    fn an_update_is_its_last_actions(actions in proptest::collection::vec(action(), 0..12)) {
        let before = made();
        let last = |of: fn(&Action) -> bool| actions.iter().rfind(|action| of(action)).cloned();
        let mut expected = before.clone();
        if let Some(Action::ChangeDestination(to)) = last(|action| matches!(action, Action::ChangeDestination(_))) {
            expected.destination = to;
        }
        if let Some(Action::SetKey(key)) = last(|action| matches!(action, Action::SetKey(_))) {
            expected.key = key;
        }
        if let Some(Action::SetMessages(messages)) = last(|action| matches!(action, Action::SetMessages(_))) {
            expected.selections.messages = messages;
        }
        if let Some(Action::SetChanges(changes)) = last(|action| matches!(action, Action::SetChanges(_))) {
            expected.selections.changes = changes;
        }
        if let Some(Action::SetEvents(events)) = last(|action| matches!(action, Action::SetEvents(_))) {
            expected.selections.events = events;
        }
        match updated(&before, actions) {
            Err(refusal) => {
                prop_assert_eq!(refusal, Refusal::NothingSubscribed);
                prop_assert_eq!(expected.selections, Selections::default());
            }
            Ok(after) => {
                prop_assert!(after.subscription.selections != Selections::default());
                prop_assert_eq!(after.changed, after.new_destination || expected != before);
                prop_assert_eq!(after.subscription.version, before.version + i64::from(after.changed));
                let Subscription { version, last_modified_at, last_modified_by, .. } = after.subscription.clone();
                let expected = Subscription { version, last_modified_at, last_modified_by, ..expected };
                prop_assert_eq!(after.subscription, expected);
            }
        }
    }
}

fn notice(flow: crate::message::Flow, stores: &[&str]) -> Notice {
    use crate::message::{Content, Facts, Message};
    let stores = stores.iter().map(|key| key.parse().unwrap()).collect();
    let content = Content::CustomerPasswordUpdated { reset: false };
    Notice::Message(Box::new(Message {
        position: 1,
        id: crate::id::MessageId::new(&mut ctx()),
        created_at: Micros(0),
        resource_id: uuid::Uuid::nil(),
        resource_version: 1,
        sequence: 1,
        customer: uuid::Uuid::nil().into(),
        visible: true,
        facts: Facts { content, by: Initiator::default(), flow, stores },
        personal: None,
        secret: None,
        trace: None,
    }))
}

fn filter(stores: &[&str], flows: &[crate::message::Flow]) -> NoticeFilter {
    let stores = stores.iter().map(|key| key.parse().unwrap()).collect();
    NoticeFilter { stores, flows: flows.to_vec(), predicate: None }
}

fn filtered(filter: NoticeFilter) -> Subscription {
    updated(&made(), vec![Action::SetFilter(Some(filter))]).unwrap().subscription
}

#[test]
fn stores_and_flows_narrow_what_is_wanted() {
    use crate::message::Flow::{Change, Reset, Set};
    for (stores, flows, wanted) in [
        (&["one"][..], &[][..], [true, false, true, false]),
        (&["one", "two"], &[], [true, true, true, false]),
        (&[], &[Change], [true, true, false, true]),
        (&["one"], &[Change, Reset], [true, false, true, false]),
        (&["one"], &[Set], [false; 4]),
    ] {
        let subscription = filtered(filter(stores, flows));
        let notices =
            [notice(Change, &["one"]), notice(Change, &["two"]), notice(Reset, &["two", "one"]), notice(Change, &[])];
        assert_eq!(notices.map(|notice| subscription.wants(&notice)), wanted, "{stores:?} {flows:?}");
    }
}

#[test]
fn a_filter_goes_with_what_there_is_to_filter() {
    use crate::message::Flow::Change;
    let of_flows = Action::SetFilter(Some(filter(&[], &[Change])));
    let take_changes = Action::SetChanges(vec!["customer".into()]);
    let unfit = |why| Err(Refusal::FilterUnfit(why));
    assert_eq!(updated(&made(), vec![of_flows.clone(), take_changes.clone()]), unfit(FilterUnfit::FlowsOfChanges));
    assert!(updated(&made(), vec![Action::SetFilter(Some(filter(&["one"], &[]))), take_changes]).is_ok());
    let activity = Subscription { format: FormatKind::NavigaActivity, ..made() };
    assert_eq!(updated(&activity, vec![of_flows]), unfit(FilterUnfit::Format));
    let template = Transformation { template: "{}".into(), media_type: MediaType::Json };
    let transform = Action::SetTransformation(Some(template));
    let events = Subscription { format: FormatKind::CloudEvents, ..made() };
    assert_eq!(updated(&events, vec![transform.clone()]), unfit(FilterUnfit::TransformedFormat));
    let transformed = updated(&made(), vec![transform.clone()]).unwrap().subscription;
    assert!(!updated(&transformed, vec![transform]).unwrap().changed, "the same once more is no change");
    let without = updated(&transformed, vec![Action::SetTransformation(None)]).unwrap().subscription;
    assert_eq!((without.transformation, without.version), (None, 3));
}

/// They are in databases: these texts may never change.
#[test]
fn filters_and_templates_are_stored_like_this() {
    let all = NoticeFilter {
        predicate: Some("reset = true".into()),
        ..filter(&["one"], &[crate::message::Flow::ChangeElsewhere])
    };
    let text = r#"{"stores":["one"],"flows":["change_elsewhere"],"where":"reset = true"}"#;
    assert_eq!(
        (serde_json::to_string(&all).unwrap().as_str(), serde_json::from_str::<NoticeFilter>(text).unwrap()),
        (text, all)
    );
    let of_text = Transformation { template: "x".into(), media_type: MediaType::Text };
    let text = r#"{"template":"x","contentType":"text/plain"}"#;
    assert_eq!(
        (serde_json::to_string(&of_text).unwrap().as_str(), serde_json::from_str::<Transformation>(text).unwrap()),
        (text, of_text)
    );
}
