//! What a tenant asks of a password that is here alone (naviga.md 7.5). A provider has rules of its own, and no rule holds
//! for what is a user's password already.

use keyherald_core::secret::Password;

/// The rules; by default there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PasswordRules {
    /// Fewest characters.
    pub chars_min: Option<u16>,
    /// Whether there must be a capital letter, a small one, a digit and something else.
    pub complex: bool,
    /// How long a password is good for a sign-in, in microseconds.
    pub life: Option<i64>,
}

impl PasswordRules {
    /// Which rules a new password breaks, each as a sentence about the field of this name.
    pub fn broken_by(&self, password: &Password, name: &str) -> Vec<String> {
        password.reveal_with(|text| {
            let mut broken = Vec::new();
            if let Some(chars_min) = self.chars_min.filter(|min| text.chars().count() < usize::from(*min)) {
                broken.push(format!("The {name} field must have at least {chars_min} characters."));
            }
            if self.complex && !is_complex(text) {
                broken.push(format!(
                    "The {name} field must have an upper-case letter, a lower-case letter, a digit and a symbol."
                ));
            }
            broken
        })
    }
}

/// One of each class. What is neither letter with a case nor digit counts as a symbol.
fn is_complex(text: &str) -> bool {
    let is_symbol = |c: char| !c.is_uppercase() && !c.is_lowercase() && !c.is_numeric();
    [char::is_uppercase, char::is_lowercase, char::is_numeric, is_symbol]
        .iter()
        .all(|is_of_class: &fn(char) -> bool| text.chars().any(is_of_class))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(rules: PasswordRules, text: &str) -> Vec<String> {
        rules.broken_by(&Password::new(text.into()).unwrap(), "Password")
    }

    #[test]
    fn without_rules_anything_goes() {
        assert!(broken(PasswordRules::default(), "x").is_empty());
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let rules = PasswordRules { chars_min: Some(4), ..PasswordRules::default() };
        assert_eq!(broken(rules, "äöü"), ["The Password field must have at least 4 characters."]);
        assert!(broken(rules, "äöüß").is_empty());
    }

    #[test]
    fn a_complex_password_has_one_of_each_class() {
        let rules = PasswordRules { complex: true, ..PasswordRules::default() };
        for text in ["aA1", "aA!", "a1!", "A1!", ""] {
            assert_eq!(broken(rules, text).len(), 1, "{text}");
        }
        for text in ["aA1!", "äÄ٣ ", "aA1字"] {
            assert!(broken(rules, text).is_empty(), "{text}");
        }
    }

    #[test]
    fn no_sentence_repeats_the_password() {
        let rules = PasswordRules { chars_min: Some(99), complex: true, life: None };
        let broken = broken(rules, "zzq");
        assert_eq!(broken.len(), 2);
        assert!(!broken.concat().contains("zzq"));
    }
}
