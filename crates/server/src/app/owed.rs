//! What a subscription is owed: counted from rows, so that any node can say it.
//!
//! Types are columns, and counting by them reads no message. What a filter asks for is within the messages: these are read,
//! within the same limits. It matters, for a cursor that has only passed what nobody wanted is written rarely.

use std::collections::BTreeSet;

use keyherald_core::Micros;
use keyherald_core::id::ProjectKey;
use keyherald_core::message::{ResourceType, partition};
use keyherald_core::seal::KeyRing;
use keyherald_core::subscription::{FormatKind, Subscription};
use keyherald_store::delivery::intervention::Owed;
use keyherald_store::log::Entry;
use keyherald_store::{Fault, Tx, delivery, log};

use crate::deliver::Compiled;

/// Entries that are looked at for a subscription with a filter, above its cursors and as many in lanes that wait.
const LOOKED_AT_MAX: usize = 20_000;
/// Lanes that are looked at, those first that have waited longest.
const LANES_MAX: i64 = 1000;
/// Entries read at once.
const PAGE: i64 = 500;

/// How many, and when the first came about.
pub(super) type Sum = (i64, Option<Micros>);

/// Of what is there by types, what the subscription wants.
pub(super) fn by_types(subscription: &Subscription, there: &[Owed]) -> Sum {
    let owed: Vec<_> = there.iter().filter(|owed| wants(subscription, owed)).collect();
    (owed.iter().map(|owed| owed.count).sum(), owed.iter().map(|owed| owed.oldest).min())
}

fn wants(subscription: &Subscription, owed: &Owed) -> bool {
    let is_of_rendered = subscription.format == FormatKind::Rendered;
    let resource: Option<ResourceType> = owed.resource_type.parse().ok();
    match (owed.kind.as_str(), resource) {
        ("event", _) => {
            is_of_rendered && owed.type_name.parse().is_ok_and(|of_type| subscription.wants_events(of_type))
        }
        _ if is_of_rendered || subscription.format == FormatKind::NavigaActivity => false,
        ("message", Some(resource)) => subscription.wants_message(resource, &owed.type_name),
        ("change", Some(resource)) => subscription.wants_changes(resource),
        _ => false,
    }
}

/// The same of a subscription with a filter, from the entries themselves.
pub(super) fn by_entries(
    tx: &mut dyn Tx,
    ring: &KeyRing,
    (project, subscription): (&ProjectKey, &Subscription),
    now: Micros,
) -> Result<Sum, Fault> {
    let (id, compiled) = (subscription.id, Compiled::of(subscription).unwrap_or_default());
    let mut sum: Sum = (0, None);
    let mut count = |entry: &Entry| {
        if entry.project == *project && compiled.wants(project, subscription, &entry.notice) {
            let at = entry.notice.at();
            sum = (sum.0 + 1, Some(sum.1.map_or(at, |oldest| oldest.min(at))));
        }
    };
    let cursors = delivery::cursors(tx, id)?;
    let lowest = cursors.iter().map(|(_, position)| *position).min().unwrap_or(0);
    let dead: BTreeSet<i64> = delivery::dead_positions(tx, id, lowest)?.into_iter().collect();
    let lanes = delivery::parked(tx, id)?;
    let waiting: BTreeSet<_> = lanes.iter().map(|lane| lane.customer).collect();
    let (mut after, mut left) = (lowest, LOOKED_AT_MAX);
    loop {
        let page = log::after(tx, ring, (after, i64::MAX), PAGE, now)?;
        let is_last = i64::try_from(page.len()).is_ok_and(|length| length < PAGE);
        for entry in page.iter().take(left) {
            let (position, lane) = (entry.notice.position(), entry.notice.lane());
            let is_above = cursors.iter().any(|(part, cursor)| *part == partition(lane) && position > *cursor);
            if is_above && !dead.contains(&position) && !waiting.contains(&lane) {
                count(entry);
            }
        }
        (after, left) = (page.last().map_or(after, |last| last.notice.position()), left.saturating_sub(page.len()));
        if is_last || left == 0 {
            break;
        }
    }
    let mut left = LOOKED_AT_MAX;
    for lane in delivery::waiting(tx, id, None, LANES_MAX)? {
        let range = (lane.from_position, i64::MAX);
        let limit = i64::try_from(left).unwrap_or(PAGE);
        let page = log::of_customer(tx, ring, (project, lane.customer), range, limit, now)?;
        page.iter().for_each(&mut count);
        left = left.saturating_sub(page.len());
        if left == 0 {
            break;
        }
    }
    Ok(sum)
}
