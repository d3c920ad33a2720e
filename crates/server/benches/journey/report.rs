//! The report, in the form that `cargo xtask bench` reads: one line of JSON per section.
#![expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of some thousands, as numbers to calculate with"
)]

use serde::Serialize;

/// One measured number.
#[derive(Serialize)]
pub struct Row {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim_kind: Option<&'static str>,
}

/// A number without more to it.
pub fn row(name: impl Into<String>, value: f64, unit: &'static str) -> Row {
    Row { name: name.into(), value, unit, limit: None, ratio: None, aim: None, aim_kind: None }
}

impl Row {
    /// The value is to be seen as a share of `limit`.
    pub fn limit(self, limit: f64) -> Self {
        Self { limit: Some(limit), ratio: Some(self.value / limit), ..self }
    }

    pub fn at_least(self, aim: f64) -> Self {
        Self { aim: Some(aim), aim_kind: Some("at least"), ..self }
    }

    pub fn at_most(self, aim: f64) -> Self {
        Self { aim: Some(aim), aim_kind: Some("at most"), ..self }
    }
}

/// Prints a section.
pub fn section(name: &str, rows: &[Row]) {
    println!("{}", serde_json::json!({"section": name, "rows": rows}));
}

/// 0 if there are no values.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / count(values.len()).max(1.0)
}

/// Of sorted values; 0 if there are none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (count(sorted.len()) * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// A count as a number to calculate with.
pub fn count(number: usize) -> f64 {
    number as f64
}
