//! What a command says when it fails: for people, without debug output.

use std::error::Error;
use std::fmt;

use crate::config::Problems;

/// Why a command failed: one or more `error:` lines, each with an optional hint. Exit code 1.
#[derive(Debug)]
pub struct Complaint(Vec<(String, Option<String>)>);

impl Complaint {
    /// One line.
    pub fn new(text: impl Into<String>) -> Self {
        Self(vec![(text.into(), None)])
    }

    /// Several lines.
    pub fn of_all(texts: Vec<String>) -> Self {
        Self(texts.into_iter().map(|text| (text, None)).collect())
    }

    /// What was attempted, and the error with its causes.
    pub fn because(attempt: &str, error: &(dyn Error + 'static)) -> Self {
        let mut text = attempt.to_owned();
        let mut next = Some(error);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        Self::new(text)
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some((_, last)) = self.0.last_mut() {
            *last = Some(hint.into());
        }
        self
    }
}

impl From<Problems> for Complaint {
    fn from(problems: Problems) -> Self {
        Self(problems.told().map(|(text, hint)| (text, hint.map(str::to_owned))).collect())
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (text, hint) in &self.0 {
            writeln!(f, "error: {text}")?;
            if let Some(hint) = hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_and_a_hint() {
        let complaint = Complaint::because("cannot listen on 127.0.0.1:80", &io::Error::other("permission denied"));
        let told = complaint.hint("ports below 1024 are reserved").to_string();
        assert_eq!(
            told,
            "error: cannot listen on 127.0.0.1:80: permission denied\n  hint: ports below 1024 are reserved\n"
        );
    }
}
