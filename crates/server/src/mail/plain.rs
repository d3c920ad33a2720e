//! What a customer typed, as plain words that can do no harm in a mail.
//!
//! A mail of ours is trusted, and anybody can have one sent to anybody's address under a name of their choice. So a name
//! is one short line without invisible characters, and one that a mail program could turn into a link is no name.

/// Longest name in a greeting, in characters.
const NAME_CHARACTERS_MAX: usize = 60;

/// One line of at most `characters_max` characters: white space becomes single spaces, what is invisible is left out.
pub fn line(text: &str, characters_max: usize) -> String {
    let visible: String = text.chars().filter(|character| !is_invisible(*character)).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= characters_max {
        return line;
    }
    let mut cut: String = line.chars().take(characters_max.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// The name to greet with; `None`: better none.
pub fn name(text: &str) -> Option<String> {
    let name = line(text, NAME_CHARACTERS_MAX);
    let characters: Vec<char> = name.chars().collect();
    let looks_like_a_link = name.contains(['/', '\\', '@', ':', '<', '>'])
        || characters.windows(3).any(|three| matches!(three, [before, '.' | '。' | '．' | '｡', after] if before.is_alphanumeric() && after.is_alphanumeric()));
    (!name.is_empty() && !looks_like_a_link).then_some(name)
}

/// Control characters but those that separate words, marks that turn the direction of a line, and what takes no space.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    ) || (character.is_control() && !character.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_as_they_are() {
        for kept in ["Jo", "Анна Мария", "Jean-Luc O’Neil", "Dr. Jo", "李小龍", "Ana & Jo"] {
            assert_eq!(name(kept).as_deref(), Some(kept));
        }
        assert_eq!(name("  Jo\tvan\r\n Dyk ").as_deref(), Some("Jo van Dyk"));
    }

    #[test]
    fn what_could_do_harm_is_no_name() {
        for none in
            ["", " \u{200b}", "http://evil.example", "go to evil.com now", "a@b", "<b>Jo</b>", "x：evil.example/"]
        {
            assert_eq!(name(none), None, "{none:?}");
        }
        assert_eq!(name("Jo\u{202e}evil\u{202c}").as_deref(), Some("Joevil"));
        assert_eq!(name("Jo\r\nBcc X").as_deref(), Some("Jo Bcc X"));
        let long = name(&"ж".repeat(10_000)).unwrap();
        assert_eq!(long.chars().count(), NAME_CHARACTERS_MAX);
        assert!(long.ends_with('…'));
    }
}
