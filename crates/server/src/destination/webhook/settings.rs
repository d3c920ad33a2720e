//! What is stored of an endpoint besides its keys, and shown to readers of the subscription. What was left out of the draft is
//! left out here too.

use keyherald_core::Micros;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::cloudevents::Mode;
use super::consent::Handshake;
use super::draft::Draft;
use super::keys::Keys;
use super::{check_url, invalid};
use crate::destination::{Invalid, Policy};

/// Longest overlap of two secrets: a month.
const OVERLAP_HOURS_MAX: u32 = 720;
const OVERLAP_HOURS_DEFAULT: u32 = 24;

/// Largest limit that somebody can mean.
const LIMIT_MAX: u32 = 10_000;

/// Longest time without success.
const DISABLE_DAYS_MAX: u32 = 365;
const DISABLE_DAYS_DEFAULT: u32 = 5;

/// Largest batch.
const BATCH_MAX: u32 = 100;
const BATCH_DEFAULT: u32 = 20;

/// A number of days, or the word `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Days {
    Number(u32),
    Word(Never),
}

/// `none`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Never {
    None,
}

/// The settings of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) url: String,
    /// How events are sent, in the format `CloudEvents`.
    #[serde(default, rename = "cloudEventsMode", skip_serializing_if = "is_default")]
    pub(super) mode: Mode,
    /// Most events of one batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) batch_max: Option<u32>,
    /// Whether its consent is asked for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) handshake: Handshake,
    /// Most messages a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rate_max: Option<u32>,
    /// Most messages on their way at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) concurrency_max: Option<u32>,
    /// After how many days without any success delivery stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) auto_disable_after_days: Option<Days>,
    /// Whether it has a key pair besides its secret.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) asymmetric: bool,
    /// The pair's public half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<String>,
    /// Whether the whole request is signed with the pair as well (RFC 9421).
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) http_signature: bool,
    /// What names the pair's public half in such signatures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_id: Option<String>,
    /// How long a former secret signs besides the one that took its place, in hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret_overlap_hours: Option<u32>,
}

impl Settings {
    /// Reads a draft's fields but for the secret.
    pub(super) fn of_draft(draft: &mut Draft<'_>, policy: &Policy) -> Result<Self, Invalid> {
        draft.shown_only("publicKey");
        draft.shown_only("keyId");
        let url = draft.text("url")?.ok_or_else(|| invalid("url", "is required"))?;
        check_url(url, policy)?;
        let (asymmetric, http_signature) = (draft.flag("asymmetric")?, draft.flag("httpSignature")?);
        if http_signature && !asymmetric {
            return Err(invalid("httpSignature", "needs asymmetric: it is made with that key"));
        }
        let mode = draft.choice("cloudEventsMode", &Mode::WORDS)?.unwrap_or_default();
        let batch_max = draft.number("batchMax", 2..=BATCH_MAX)?;
        if batch_max.is_some() && mode != Mode::Batched {
            return Err(invalid("batchMax", "needs the cloudEventsMode batched"));
        }
        let handshake = draft.choice("handshake", &Handshake::WORDS)?.unwrap_or_default();
        if !handshake.is_off() && policy.origin.is_none() {
            let text = "needs a server that knows its own name: [server] public_url in its configuration";
            return Err(invalid("handshake", text));
        }
        Ok(Self {
            url: url.to_owned(),
            mode,
            batch_max,
            handshake,
            auto_disable_after_days: draft.days("autoDisableAfterDays", 1..=DISABLE_DAYS_MAX)?,
            rate_max: draft.number("rateMax", 1..=LIMIT_MAX)?,
            concurrency_max: draft.number("concurrencyMax", 1..=LIMIT_MAX)?,
            asymmetric,
            public_key: None,
            http_signature,
            key_id: None,
            secret_overlap_hours: draft.number("secretOverlapHours", 0..=OVERLAP_HOURS_MAX)?,
        })
    }

    /// The same, showing the public half of these keys.
    pub(super) fn showing(self, keys: &Keys) -> Self {
        let named = keys.pair().filter(|_| self.http_signature);
        Self { public_key: keys.pair().map(|pair| pair.public()), key_id: named.map(|pair| pair.id()), ..self }
    }

    /// As they are stored.
    pub(super) fn stored(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(settings)) => settings,
            _ => Map::new(), // cannot be: it is a struct of texts and numbers
        }
    }

    /// What [`Settings::stored`] made.
    pub(super) fn read(stored: &Map<String, Value>) -> Option<Self> {
        Self::deserialize(Value::Object(stored.clone())).ok()
    }

    /// After how long without any success delivery stops, in microseconds. `None`: never.
    pub(super) fn disabled_after(&self) -> Option<i64> {
        match self.auto_disable_after_days.unwrap_or(Days::Number(DISABLE_DAYS_DEFAULT)) {
            Days::Number(days) => Some(i64::from(days) * Micros::DAY),
            Days::Word(Never::None) => None,
        }
    }

    /// Most events of one request.
    pub(super) fn batch_size(&self) -> usize {
        usize::try_from(self.batch_max.unwrap_or(BATCH_DEFAULT)).unwrap_or(1)
    }

    /// How long a former secret signs on, in microseconds.
    pub(super) fn overlap(&self) -> i64 {
        i64::from(self.secret_overlap_hours.unwrap_or(OVERLAP_HOURS_DEFAULT)) * Micros::HOUR
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
