//! A source file as the rules see it: comments and literals blanked, tests set apart, paths and functions found.

use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// With comments, strings and characters blanked; lines stay where they are.
    pub(crate) code: String,
    /// `code` without `#[cfg(test)]` items.
    pub(crate) shipped: String,
    /// The number of lines outside `#[cfg(test)]` items.
    pub(crate) lines: usize,
}

/// A path in the code, such as `crate::app::App` or `std::fs`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) path: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// A source by its path and text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blanked(text);
        let only_tests = path.ends_with("/tests.rs") || path.contains("/tests/");
        let (shipped, test_lines) =
            if only_tests { (String::new(), text.lines().count()) } else { without_tests(&code) };
        let lines = text.lines().count().saturating_sub(test_lines);
        Self { path: path.to_owned(), text: text.to_owned(), code, shipped, lines }
    }

    /// Every `.rs` file of `crates/*/src` and `xtask/src`, sorted by path.
    pub(crate) fn all() -> Vec<Self> {
        let root = root();
        let mut folders = vec![root.join("xtask/src")];
        folders.extend(entries(&root.join("crates")).into_iter().map(|folder| folder.join("src")));
        let mut files: Vec<PathBuf> = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in entries(&folder) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    files.push(entry);
                }
            }
        }
        files.sort();
        files
            .iter()
            .map(|file| {
                let path = file.strip_prefix(&root).unwrap_or(file).display().to_string();
                let text = std::fs::read_to_string(file);
                Self::new(&path, &text.unwrap_or_else(|error| format!("not readable: {error}\n")))
            })
            .collect()
    }

    /// The paths outside tests, `use` trees written out.
    pub(crate) fn paths(&self) -> Vec<Named> {
        paths(&tokens(&self.shipped))
    }

    /// The functions outside tests.
    pub(crate) fn functions(&self) -> Vec<Function> {
        functions(&tokens(&self.shipped))
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The text with every comment, string and character literal turned into spaces.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&char) = chars.get(at) {
        let rest = chars.get(at..).unwrap_or_default();
        let in_word = at.checked_sub(1).and_then(|before| chars.get(before)).is_some_and(|&char| is_word(char));
        if let Some(length) = blank_length(rest, in_word) {
            out.extend(rest.iter().take(length).map(|&char| if char == '\n' { '\n' } else { ' ' }));
            at += length;
        } else {
            out.push(char);
            at += 1;
        }
    }
    out
}

/// How many characters from here are a comment or a literal. `None`: this is code.
fn blank_length(rest: &[char], in_word: bool) -> Option<usize> {
    match rest {
        ['/', '/', ..] => Some(rest.iter().position(|&char| char == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => Some(block_comment_length(rest)),
        ['"', ..] => Some(quoted_length(rest, '"')),
        ['r', '"' | '#', ..] if !in_word => raw_string_length(rest),
        ['b' | 'c', 'r', '"' | '#', tail @ ..] if !in_word && !tail.is_empty() => {
            raw_string_length(rest.get(1..)?).map(|length| length + 1)
        }
        ['\'', '\\', ..] => Some(quoted_length(rest, '\'')),
        ['\'', _, '\'', ..] => Some(3),
        _ => None, // a lifetime's quote too
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    for (at, pair) in rest.windows(2).enumerate() {
        match pair {
            ['/', '*'] => depth += 1,
            ['*', '/'] => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 2;
        }
    }
    rest.len()
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut escaped = false;
    for (at, &char) in rest.iter().enumerate().skip(1) {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            char if char == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string_length(rest: &[char]) -> Option<usize> {
    let hashes = rest.iter().skip(1).take_while(|&&char| char == '#').count();
    (rest.get(hashes + 1) == Some(&'"')).then_some(())?; // else a raw identifier
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = rest.get(hashes + 2..)?;
    let length = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
    Some((hashes + 2 + length + end.len()).min(rest.len()))
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// The code with test-only items blanked, and how many lines those take.
fn without_tests(code: &str) -> (String, usize) {
    let mut shipped = String::with_capacity(code.len());
    let mut rest = code;
    let mut lines = 0;
    while let Some(at) = ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|mark| rest.find(mark)).min() {
        let (before, item) = rest.split_at(at);
        let (item, after) = item.split_at(item_length(item));
        shipped.push_str(before);
        shipped.extend(item.chars().filter(|&char| char == '\n'));
        lines += item.lines().count();
        rest = after;
    }
    shipped.push_str(rest);
    (shipped, lines)
}

/// The length of the item at the start, in bytes: to its `;`, or to the brace that closes its first one.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, char) in code.char_indices() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && (char == ';' || char == '}') {
            return at + 1;
        }
    }
    code.len()
}

/// A word, `::`, or one other character.
#[derive(Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    fn is_word(self) -> bool {
        self.text.starts_with(|char: char| is_word(char) && !char.is_numeric())
    }
}

/// The tokens of blanked code.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (number, mut rest) in code.lines().enumerate() {
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|char| !is_word(char)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (text, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push(Token { text, line: number + 1 });
            }
            rest = after;
        }
    }
    tokens
}

fn paths(tokens: &[Token<'_>]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(&token) = tokens.get(at) {
        let next = tokens.get(at + 1).map_or("", |token| token.text);
        if token.text == "use" && next != "<" {
            at += 1;
            use_tree(tokens, &mut at, "", &mut found);
        } else if token.is_word() && next == "::" {
            let path = written_path(tokens, &mut at);
            found.push(Named { line: token.line, path });
        } else {
            at += 1;
        }
    }
    found
}

/// The words that `::` joins, from the word at `at`.
fn written_path(tokens: &[Token<'_>], at: &mut usize) -> String {
    let mut path = String::new();
    while let Some(&token) = tokens.get(*at) {
        if token.is_word() && (path.is_empty() || path.ends_with("::")) || token.text == "::" && !path.ends_with("::") {
            path.push_str(token.text);
            *at += 1;
        } else {
            break;
        }
    }
    path.trim_end_matches("::").to_owned()
}

/// One branch of a `use` tree: a path, or a path and its branches in braces.
fn use_tree(tokens: &[Token<'_>], at: &mut usize, before: &str, found: &mut Vec<Named>) {
    let mut path = before.to_owned();
    while let Some(&token) = tokens.get(*at) {
        match token.text {
            "," | "}" | ";" => {
                found.push(Named { line: token.line, path });
                return;
            }
            "{" => {
                *at += 1;
                while let Some(&branch) = tokens.get(*at) {
                    match branch.text {
                        "}" | "," => *at += 1,
                        ";" => return,
                        _ => use_tree(tokens, at, &path, found),
                    }
                    if branch.text == "}" {
                        return;
                    }
                }
            }
            "::" => *at += 1,
            "as" => *at += 2,
            word => {
                if !path.is_empty() {
                    path.push_str("::");
                }
                path.push_str(word);
                *at += 1;
            }
        }
    }
}

fn functions(tokens: &[Token<'_>]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let name = tokens.get(at + 1).filter(|name| token.text == "fn" && name.is_word());
        if let Some(name) = name
            && let Some(end) = body_end(tokens.get(at..).unwrap_or_default())
        {
            found.push(Function { line: token.line, name: name.text.to_owned(), lines: end - token.line + 1 });
        }
    }
    found
}

/// The line of the brace that closes a function's body. `None`: it has none.
fn body_end(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    for token in tokens {
        match token.text {
            ";" if depth == 0 => return None,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if token.text == "}" && depth == 0 {
            return Some(token.line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        let text = "a // b::c\n/* d /* e */\n f */ g \"h \\\" // i\" 'j' '\\'' k<'l> r#\"m \" n\"# br\"o\" r#p b'q' \"\nr\" s\n";
        let code = blanked(text);
        assert_eq!(code.lines().count(), text.lines().count());
        let words: Vec<_> = tokens(&code).into_iter().filter(|token| token.is_word()).map(|token| token.text).collect();
        assert_eq!(words, ["a", "g", "k", "l", "r", "p", "b", "s"]);
    }

    #[test]
    fn tests_are_set_apart() {
        let text = "use a::b;\n\n#[cfg(test)]\nuse c::d;\n\nfn e() {\n    f::g();\n}\n\n#[cfg(test)]\nmod tests {\n    use h::i;\n    fn j() { [0; 3]; }\n}\n";
        let source = Source::new("crates/x/src/y.rs", text);
        let paths: Vec<_> = source.paths().into_iter().map(|named| (named.line, named.path)).collect();
        assert_eq!(paths, [(1, "a::b".to_owned()), (7, "f::g".to_owned())]);
        assert_eq!(source.functions(), [Function { line: 6, name: "e".into(), lines: 3 }]);
        assert_eq!(source.lines, 7);
        assert_eq!(Source::new("crates/x/src/y/tests.rs", text).lines, 0);
    }

    #[test]
    fn use_trees_are_written_out() {
        let text = "pub use crate::a::{self, b::{C, D as E}, f::*};\nuse ::std::fs;\nfn g() -> impl H + use<> { I::<crate::j::K>::l(m::n) }\n";
        let paths: Vec<_> = Source::new("x.rs", text).paths().into_iter().map(|named| named.path).collect();
        assert_eq!(
            paths,
            [
                "crate::a::self",
                "crate::a::b::C",
                "crate::a::b::D",
                "crate::a::f::*",
                "std::fs",
                "I",
                "crate::j::K",
                "m::n"
            ]
        );
    }

    #[test]
    fn a_function_ends_with_its_body() {
        let text = "trait T {\n    fn declared(&self, a: [u8; 3]);\n    fn given(&self) -> [u8; 2] {\n        if x { y(|| { z }) }\n        [0; 2]\n    }\n}\ntype P = fn(u8) -> u8;\n";
        assert_eq!(Source::new("x.rs", text).functions(), [Function { line: 3, name: "given".into(), lines: 4 }]);
    }
}
