//! What is known of a customer and of the service: passwords that are made of it are guessed first by those who know it.
//!
//! A password is made of it when its letters and digits are such words and a few digits, and nothing else: `anna1985`,
//! `Schmidt.Anna!`, `my-shop2026`. A sentence in which a name occurs is not.

use super::{Broken, bare, fold};
use crate::customer::{Customer, Mobile};
use crate::id::ProjectKey;

/// Shortest word in characters: shorter ones would be found in anything.
const WORD_MIN: usize = 3;
/// Longest word in characters.
const WORD_MAX: usize = 100;
/// Most words of a kind.
const WORDS_MAX: usize = 40;
/// Most digits besides the words: a year and a day. Whoever puts more there has chosen a number.
const DIGITS_MAX: usize = 8;
/// Words that people put around such words.
const AROUND: [&str; 10] =
    ["account", "ilove", "iloveyou", "login", "motdepasse", "my", "parola", "passwort", "password", "contraseña"];

/// What is known.
// No `Debug`: it is personal.
#[derive(Clone, Default)]
pub struct About {
    /// Letters and digits, folded.
    personal: Vec<String>,
    service: Vec<String>,
}

impl About {
    /// Of the service by its key and name, and of the customer, if there is one yet.
    pub fn new(project: &ProjectKey, name: Option<&str>, customer: Option<&Customer>) -> Self {
        let mut service = Vec::new();
        [Some(project.as_str()), name].into_iter().flatten().for_each(|text| add_words(&mut service, text));
        let mut personal = Vec::new();
        if let Some(customer) = customer {
            let number = customer.number.to_string();
            let profile = &customer.profile;
            let texts = [
                customer.mobile.as_ref().map(Mobile::as_str),
                Some(customer.email.as_str()),
                customer.email.rsplit_once('@').map(|(local, _)| local),
                Some(number.as_str()),
                customer.customer_number.as_deref(),
                customer.external_id.as_deref(),
                profile.first_name.as_deref(),
                profile.middle_name.as_deref(),
                profile.last_name.as_deref(),
                profile.company_name.as_deref(),
                profile.date_of_birth.as_deref(),
            ];
            texts.into_iter().flatten().for_each(|text| add_words(&mut personal, text));
        }
        Self { personal, service }
    }

    /// The same, and this text of the customer's: a number or address that is not in its row.
    #[must_use]
    pub fn with(mut self, text: &str) -> Self {
        add_words(&mut self.personal, text);
        self
    }

    /// The rule that the folded password breaks.
    pub(super) fn broken_by(&self, folded: &str) -> Option<Broken> {
        let bare = bare(folded);
        if is_made_of(&bare, &[&self.service]) {
            Some(Broken::ServiceName)
        } else if is_made_of(&bare, &[&self.personal, &self.service]) {
            Some(Broken::Personal)
        } else {
            None
        }
    }
}

/// Adds a text as one word, and each of its parts.
fn add_words(words: &mut Vec<String>, text: &str) {
    let folded = fold(text);
    let parts = folded.split(|character: char| !character.is_alphanumeric());
    for word in [bare(&folded).to_string()].into_iter().chain(parts.map(str::to_owned)) {
        let length = word.chars().count();
        if (WORD_MIN..=WORD_MAX).contains(&length) && words.len() < WORDS_MAX && !words.contains(&word) {
            words.push(word);
        }
    }
}

/// Whether `text` is a row of these words, at least one of them, with words that stand [`AROUND`] and at most
/// [`DIGITS_MAX`] other digits.
fn is_made_of(text: &str, kinds: &[&Vec<String>]) -> bool {
    // Of each place that can be reached: the fewest digits up to it, without one of the words and with one.
    let mut reached: Vec<[Option<usize>; 2]> = vec![[None; 2]; text.len() + 1];
    let reach = |at: usize, has_word: usize, digits: usize, reached: &mut Vec<[Option<usize>; 2]>| {
        if let Some(fewest) = reached.get_mut(at).and_then(|states| states.get_mut(has_word))
            && digits <= DIGITS_MAX
            && fewest.is_none_or(|fewest| digits < fewest)
        {
            *fewest = Some(digits);
        }
    };
    reach(0, 0, 0, &mut reached);
    for at in 0..text.len() {
        let Some(rest) = text.get(at..) else { continue };
        let states = reached.get(at).copied().unwrap_or_default();
        for (has_word, digits) in states.into_iter().enumerate().filter_map(|(has, digits)| Some((has, digits?))) {
            for word in kinds.iter().flat_map(|words| words.iter()).filter(|word| rest.starts_with(word.as_str())) {
                reach(at + word.len(), 1, digits, &mut reached);
            }
            for word in AROUND.iter().filter(|word| rest.starts_with(**word)) {
                reach(at + word.len(), has_word, digits, &mut reached);
            }
            if let Some(digit) = rest.chars().next().filter(|character| character.is_numeric()) {
                reach(at + digit.len_utf8(), has_word, digits + 1, &mut reached);
            }
        }
    }
    reached.last().is_some_and(|[_, with_word]| with_word.is_some())
}
