//! Cuts a predicate into words, values and signs.

use super::malformed::Malformed;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'p> {
    /// A field's name or a keyword: which of them, the parser knows.
    Word(&'p str),
    /// A name in backticks.
    Quoted(&'p str),
    Text(String),
    Number(&'p str),
    Variable(&'p str),
    Open,
    Close,
    Comma,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// A character that begins nothing; the parser says what it expected instead.
    Stray,
    End,
}

/// Reads token by token. `at` is a byte offset and always lies between two characters.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'p> {
    predicate: &'p str,
    at: usize,
}

impl<'p> Lexer<'p> {
    pub(super) fn new(predicate: &'p str) -> Self {
        Self { predicate, at: 0 }
    }

    /// The end of what has been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn skip_whitespace(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    /// The next token, from here.
    pub(super) fn token(&mut self) -> Result<Token<'p>, Malformed> {
        let Some(first) = self.peek() else { return Ok(Token::End) };
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Token::Word(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')));
        }
        if first.is_ascii_digit() || first == '-' {
            return self.number();
        }
        self.at += first.len_utf8();
        let token = match first {
            '"' | '\'' => Token::Text(self.text(first)?),
            '`' => Token::Quoted(self.quoted_name()?),
            ':' => Token::Variable(self.variable()?),
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' => Token::Equal,
            '!' if self.eat('=') => Token::NotEqual,
            '<' if self.eat('>') => Token::NotEqual,
            '<' if self.eat('=') => Token::LessOrEqual,
            '<' => Token::Less,
            '>' if self.eat('=') => Token::GreaterOrEqual,
            '>' => Token::Greater,
            _ => Token::Stray,
        };
        Ok(token)
    }

    /// The error that another character was expected at byte `at`.
    pub(super) fn unexpected(&self, at: usize, expected: &str) -> Malformed {
        let found = match self.predicate.get(at..).and_then(|rest| rest.chars().next()) {
            Some(found) => format!("Invalid input '{found}'"),
            None => "Unexpected end of input".to_owned(),
        };
        Malformed::syntax(self.predicate, at, &format!("{found}, expected {expected}"))
    }

    /// Any error at byte `at`.
    pub(super) fn error(&self, at: usize, what: &str) -> Malformed {
        Malformed::syntax(self.predicate, at, what)
    }

    fn text(&mut self, quote: char) -> Result<String, Malformed> {
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote && c != '\\'));
            if self.eat(quote) {
                return Ok(text);
            }
            if !self.eat('\\') {
                return Err(self.unexpected(self.at, &format!("'{quote}'")));
            }
            text.push(self.escape()?);
        }
    }

    /// What stands after a backslash.
    fn escape(&mut self) -> Result<char, Malformed> {
        let start = self.at;
        let Some(escaped) = self.peek() else { return Err(self.unexpected(start, "an escaped character")) };
        self.at += escaped.len_utf8();
        match escaped {
            '"' | '\'' | '\\' | '/' => Ok(escaped),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => self.code_point(start),
            _ => Err(self.unexpected(start, "'\"', '\\' or another escaped character of JSON")),
        }
    }

    /// `XXXX` after `\u`, and the second half of a surrogate pair.
    fn code_point(&mut self, start: usize) -> Result<char, Malformed> {
        let first = self.four_hex_digits()?;
        let code = if (0xd800..0xdc00).contains(&first) && self.eat('\\') && self.eat('u') {
            let second = self.four_hex_digits()?;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
            low.map(|low| 0x1_0000 + ((first - 0xd800) << 10) + low)
        } else {
            Some(first)
        };
        let found = code.and_then(char::from_u32);
        found.ok_or_else(|| self.error(start, "The escape is no character"))
    }

    fn four_hex_digits(&mut self) -> Result<u32, Malformed> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|c| c.to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.unexpected(self.at, "a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn quoted_name(&mut self) -> Result<&'p str, Malformed> {
        let name = self.take_while(|c| c != '`');
        if self.eat('`') { Ok(name) } else { Err(self.unexpected(self.at, "'`'")) }
    }

    fn variable(&mut self) -> Result<&'p str, Malformed> {
        let name = self.take_while(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if name.is_empty() { Err(self.unexpected(self.at, "the name of an input parameter")) } else { Ok(name) }
    }

    /// `-12`, `1.5`, `2e3`: read whole, so that the error about a number that is no integer can name the field.
    fn number(&mut self) -> Result<Token<'p>, Malformed> {
        let start = self.at;
        self.eat('-');
        self.digits()?;
        if self.eat('.') {
            self.digits()?;
        }
        if self.eat('e') || self.eat('E') {
            let _sign = self.eat('-') || self.eat('+');
            self.digits()?;
        }
        Ok(Token::Number(self.predicate.get(start..self.at).unwrap_or_default()))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let digits = self.take_while(|c| c.is_ascii_digit());
        if digits.is_empty() { Err(self.unexpected(self.at, "a digit")) } else { Ok(()) }
    }

    fn rest(&self) -> &'p str {
        self.predicate.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'p str {
        let rest = self.rest();
        let taken = rest.find(|c| !wanted(c)).map_or(rest, |end| rest.get(..end).unwrap_or_default());
        self.at += taken.len();
        taken
    }
}
