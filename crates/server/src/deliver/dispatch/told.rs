//! What a dispatcher tells of its deliveries: counts and gauges, alerts, and how the destination does.

use keyherald_core::delivery::{Cause, Outcome};
use tokio::time::Instant;

use super::Dispatcher;
use crate::deliver::counters::Gauge;
use crate::deliver::ledger::Note;

impl Dispatcher {
    /// Tells somebody, once, when a destination that is never given up has accepted nothing for long.
    pub(super) fn listen(&mut self, outcome: &Outcome) {
        let (now, Some(silence)) = (self.shared.moments.now(), &mut self.silence) else { return };
        match outcome {
            Outcome::Delivered => silence.broken(),
            Outcome::Failed { reason, .. } if silence.goes_on(now) => {
                let (id, project) = (self.stored.subscription.id, &self.stored.project);
                tracing::warn!(
                    subscription = %id, %project, reason, alert = "destination_silent",
                    "the events of project {project} have not been accepted for a day; they are tried on"
                );
            }
            _ => {}
        }
    }

    /// Has it noted how a destination does that may be disabled for it.
    pub(super) fn watch(&mut self, outcome: &Outcome) {
        let accepted = match outcome {
            Outcome::Delivered | Outcome::Rejected { .. } => true,
            // Where being refused is what ends it, trouble that passes says nothing.
            Outcome::Failed { cause, .. } if self.refused_for.is_some() && *cause != Cause::Refused => return,
            Outcome::Failed { .. } => false,
            Outcome::Gone | Outcome::Erased | Outcome::Untransformed { .. } | Outcome::Moot => return,
        };
        if let Some(disable_after) = self.refused_for.or_else(|| self.destination.disabled_after())
            && self.vigil.is_news(accepted, self.shared.moments.now())
        {
            let before = self.note.is_some_and(|note| note.accepted);
            self.note = Some(Note { accepted: accepted || before, fails: !accepted, disable_after });
        }
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        let (id, counters) = (self.stored.subscription.id, &self.shared.counters);
        match outcome {
            Outcome::Delivered => counters.count_delivered(),
            Outcome::Erased | Outcome::Moot => {}
            Outcome::Untransformed { reason } => {
                tracing::warn!(subscription = %id, reason, "a message is put aside: its subscription's template fails");
            }
            Outcome::Rejected { reason } => {
                counters.count_failed();
                tracing::info!(subscription = %id, reason, "a message is put aside: its receiver never takes it");
            }
            Outcome::Gone => {
                counters.count_failed();
                tracing::warn!(subscription = %id, "the receiver says that it is gone");
            }
            Outcome::Failed { reason, .. } => {
                counters.count_failed();
                tracing::debug!(subscription = %id, reason, "an attempt failed");
            }
        }
    }

    /// Not more often than every tick: it looks at all lanes.
    fn look_for_oldest(&mut self) {
        if self.course.lanes.is_idle() {
            self.oldest = (None, None);
        } else if self.oldest.0.is_none_or(|looked| looked.elapsed() >= self.shared.settings.tick) {
            self.oldest = (Some(Instant::now()), self.course.lanes.oldest());
        }
    }

    pub(super) fn show(&mut self) {
        self.look_for_oldest();
        let (lanes, seen) = (&self.course.lanes, self.course.lanes.seen());
        let gauge = Gauge {
            seen,
            lag: (self.shared.window.end() - seen).max(0),
            sending: lanes.sending(),
            buffered: lanes.buffered(),
            parked: lanes.parked(),
            oldest: self.oldest.1,
            resting: lanes.is_resting(),
        };
        self.shared.counters.set(self.stored.subscription.id, gauge);
    }
}
