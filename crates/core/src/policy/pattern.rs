//! Passwords that need no list to be guessed: one short piece over and over, or characters in the order of their codes.

/// Longest piece whose repetition is guessed whatever it is, in characters.
const PIECE_MAX: usize = 4;

/// Whether the whole is one piece of a few characters repeated, the last time perhaps in part, or one run up or down:
/// `abababab`, `12345678901234567890`, `zyxwvuts`.
pub(super) fn is_run_or_repetition(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    let longest = PIECE_MAX.min(characters.len() / 2);
    (1..=longest).any(|piece| has_period(&characters, piece)) || is_run(&characters)
}

/// The piece that the whole is made of by repeating it, at least twice.
pub(super) fn repeated(text: &str) -> Option<&str> {
    (PIECE_MAX + 1..=text.len() / 2)
        .filter(|bytes| text.len().is_multiple_of(*bytes))
        .filter_map(|bytes| text.split_at_checked(bytes))
        .find(|(piece, rest)| rest.as_bytes().chunks(piece.len()).all(|next| next == piece.as_bytes()))
        .map(|(piece, _)| piece)
}

fn has_period(characters: &[char], period: usize) -> bool {
    characters.iter().zip(characters.iter().skip(period)).all(|(one, later)| one == later)
}

/// Three or more characters, each the next one of the last; after 9 and z it goes on with 0 and a.
fn is_run(characters: &[char]) -> bool {
    let follows = |one: char, next: char| match (one, next) {
        ('9', '0') | ('z', 'a') => true,
        _ => u32::from(one).checked_add(1) == Some(u32::from(next)),
    };
    let pairs = || characters.iter().copied().zip(characters.iter().copied().skip(1));
    characters.len() > 2
        && (pairs().all(|(one, next)| follows(one, next)) || pairs().all(|(one, next)| follows(next, one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_repetitions_are_seen_as_a_whole() {
        for seen in ["aaaaaaaaaaaaaaa", "abababababababa", "12341234123412341", "1234567890123456", "abcdefghijklmnop"]
        {
            assert!(is_run_or_repetition(seen), "{seen}");
        }
        for seen in ["0987654321098765", "zyxwvutsrqponml", "жжжжжжжж", "xyzabcdef"] {
            assert!(is_run_or_repetition(seen), "{seen}");
        }
        for not in ["", "a", "ab", "aaaaaaaaaaaaaab", "12345678 and more", "abcdefgabcdefg"] {
            assert!(!is_run_or_repetition(not), "{not}");
        }
    }

    #[test]
    fn a_repeated_piece_is_found() {
        assert_eq!(repeated("monkeymonkeymonkey"), Some("monkey"));
        assert_eq!(repeated("паролапарола"), Some("парола"));
        for not in ["monkeymonkeymonk", "monkey", "", "monkeymonkex"] {
            assert_eq!(repeated(not), None, "{not}");
        }
    }
}
