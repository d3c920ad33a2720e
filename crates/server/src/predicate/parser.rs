//! Reads a predicate into a tree of what is written. Recursive descent; AND and OR are flat lists, so that only
//! brackets, nested fields and `not` go deeper.

use std::mem;

use keyherald_core::filter::{Comparison, DEPTH_MAX};

use super::lexer::{Lexer, Token};
use super::malformed::Malformed;

/// A predicate as written.
#[derive(Debug)]
pub(super) enum Node<'p> {
    And(Vec<Node<'p>>),
    Or(Vec<Node<'p>>),
    Not(Box<Node<'p>>),
    /// `field(..)`
    Nested(&'p str, Box<Node<'p>>),
    Test(&'p str, Operation<'p>),
}

/// What is asked of a field. The negated forms are a [`Node::Not`] around the positive one.
#[derive(Debug)]
pub(super) enum Operation<'p> {
    Compare(Comparison, Literal<'p>),
    In(Vec<Literal<'p>>),
    ContainsAll(Vec<Literal<'p>>),
    ContainsAny(Vec<Literal<'p>>),
    Defined,
    Empty,
    WithinCircle,
    MatchesIgnoreCase(Literal<'p>),
}

/// A value as written.
#[derive(Debug)]
pub(super) enum Literal<'p> {
    Text(String),
    Number(&'p str),
    Boolean(bool),
    Variable(&'p str),
}

/// Parses one predicate.
pub(super) fn parse(predicate: &str) -> Result<Node<'_>, Malformed> {
    let mut parser = Parser { lexer: Lexer::new(predicate), token: Token::End, start: 0, word_end: None, depth: 0 };
    parser.advance()?;
    let node = parser.or()?;
    if parser.token == Token::End { Ok(node) } else { Err(parser.unexpected("and, or or end of input")) }
}

/// The words that may follow a field, and the whole of what may, in the contract's order.
const AFTER_FIELD: &[&str] = &["not", "in", "contains", "is", "within", "matches"];
const AFTER_FIELD_TEXT: &str = "comparison operator, not, in, contains, is, within or matches";
/// The same where the name could go on, in the real parser's word for it.
const AFTER_NAME_TEXT: &str = "SphereIdentifierChar, comparison operator, not, in, contains, is, within or matches";

struct Parser<'p> {
    lexer: Lexer<'p>,
    /// The next token, and where it begins.
    token: Token<'p>,
    start: usize,
    /// Where the token before it ended, if that was a word.
    word_end: Option<usize>,
    depth: usize,
}

impl<'p> Parser<'p> {
    /// Steps to the next token and returns the one before.
    fn advance(&mut self) -> Result<Token<'p>, Malformed> {
        self.word_end = matches!(self.token, Token::Word(_)).then_some(self.lexer.at());
        self.lexer.skip_whitespace();
        self.start = self.lexer.at();
        let next = self.lexer.token()?;
        Ok(mem::replace(&mut self.token, next))
    }

    fn or(&mut self) -> Result<Node<'p>, Malformed> {
        self.list("or", Node::Or, Self::and)
    }

    fn and(&mut self) -> Result<Node<'p>, Malformed> {
        self.list("and", Node::And, Self::unary)
    }

    fn list(
        &mut self,
        keyword: &str,
        list: fn(Vec<Node<'p>>) -> Node<'p>,
        part: fn(&mut Self) -> Result<Node<'p>, Malformed>,
    ) -> Result<Node<'p>, Malformed> {
        let first = part(self)?;
        if !self.at_word(keyword) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.at_word(keyword) {
            self.advance()?;
            parts.push(part(self)?);
        }
        Ok(list(parts))
    }

    fn unary(&mut self) -> Result<Node<'p>, Malformed> {
        if self.at_word("not") {
            self.advance()?;
            return Ok(Node::Not(Box::new(self.deeper(Self::unary)?)));
        }
        if self.token == Token::Open { self.in_brackets() } else { self.condition() }
    }

    fn in_brackets(&mut self) -> Result<Node<'p>, Malformed> {
        self.expect(&Token::Open, "'('")?;
        let node = self.deeper(Self::or)?;
        self.expect(&Token::Close, "and, or or ')'")?;
        Ok(node)
    }

    /// All recursion goes through here, so that no text can exhaust the stack.
    fn deeper(&mut self, part: fn(&mut Self) -> Result<Node<'p>, Malformed>) -> Result<Node<'p>, Malformed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let what = format!("The predicate is nested more than {DEPTH_MAX} levels deep");
            return Err(self.lexer.error(self.start, &what));
        }
        let node = part(self);
        self.depth -= 1;
        node
    }

    fn condition(&mut self) -> Result<Node<'p>, Malformed> {
        let (Token::Word(field) | Token::Quoted(field)) = self.token else {
            return Err(self.unexpected("a field name, not or '('"));
        };
        self.advance()?;
        let comparison = match self.token {
            Token::Open => return Ok(Node::Nested(field, Box::new(self.in_brackets()?))),
            Token::Equal | Token::NotEqual => Comparison::Equal,
            Token::Less => Comparison::Less,
            Token::LessOrEqual => Comparison::LessOrEqual,
            Token::Greater => Comparison::Greater,
            Token::GreaterOrEqual => Comparison::GreaterOrEqual,
            _ => return self.worded(field),
        };
        let negated = self.advance()? == Token::NotEqual;
        let test = Node::Test(field, Operation::Compare(comparison, self.value()?));
        Ok(if negated { Node::Not(Box::new(test)) } else { test })
    }

    /// A condition whose operator is a word.
    fn worded(&mut self, field: &'p str) -> Result<Node<'p>, Malformed> {
        let name_could_go_on = self.word_end == Some(self.start);
        let expected = if name_could_go_on { AFTER_NAME_TEXT } else { AFTER_FIELD_TEXT };
        let (negated, operation) = match self.keyword(AFTER_FIELD, expected)? {
            "not" => {
                self.keyword(&["in"], "in")?;
                (true, Operation::In(self.values()?))
            }
            "in" => (false, Operation::In(self.values()?)),
            "contains" => match self.keyword(&["all", "any"], "all or any")? {
                "all" => (false, Operation::ContainsAll(self.values()?)),
                _any => (false, Operation::ContainsAny(self.values()?)),
            },
            "is" => {
                let first = self.keyword(&["not", "defined", "empty"], "not, defined or empty")?;
                let negated = first == "not";
                let asked = if negated { self.keyword(&["defined", "empty"], "defined or empty")? } else { first };
                (negated, if asked == "defined" { Operation::Defined } else { Operation::Empty })
            }
            "within" => (false, self.circle()?),
            _matches => {
                self.keyword(&["ignore"], "ignore")?;
                self.keyword(&["case"], "case")?;
                (false, Operation::MatchesIgnoreCase(self.value()?))
            }
        };
        let test = Node::Test(field, operation);
        Ok(if negated { Node::Not(Box::new(test)) } else { test })
    }

    /// `circle(longitude, latitude, metres)`. The numbers are not kept: no field of ours is a place.
    fn circle(&mut self) -> Result<Operation<'p>, Malformed> {
        self.keyword(&["circle"], "circle")?;
        self.expect(&Token::Open, "'('")?;
        for end in [Token::Comma, Token::Comma, Token::Close] {
            match self.token {
                Token::Number(_) | Token::Variable(_) => self.advance()?,
                _ => return Err(self.unexpected("a number")),
            };
            self.expect(&end, if end == Token::Comma { "','" } else { "')'" })?;
        }
        Ok(Operation::WithinCircle)
    }

    /// `(value, ..)` or one variable for all.
    fn values(&mut self) -> Result<Vec<Literal<'p>>, Malformed> {
        if matches!(self.token, Token::Variable(_)) {
            return Ok(vec![self.value()?]);
        }
        self.expect(&Token::Open, "'(' or input parameter")?;
        let mut values = vec![self.value()?];
        while self.token == Token::Comma {
            self.advance()?;
            values.push(self.value()?);
        }
        self.expect(&Token::Close, "',' or ')'")?;
        Ok(values)
    }

    fn value(&mut self) -> Result<Literal<'p>, Malformed> {
        let known = match &self.token {
            Token::Word(word) => word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false"),
            Token::Text(_) | Token::Number(_) | Token::Variable(_) => true,
            _ => false,
        };
        if !known {
            return Err(self.unexpected("input parameter or primitive value"));
        }
        Ok(match self.advance()? {
            Token::Text(text) => Literal::Text(text),
            Token::Number(number) => Literal::Number(number),
            Token::Variable(name) => Literal::Variable(name),
            word => Literal::Boolean(matches!(word, Token::Word(word) if word.eq_ignore_ascii_case("true"))),
        })
    }

    /// One of these words, in any letter case.
    fn keyword(&mut self, candidates: &[&'static str], expected: &str) -> Result<&'static str, Malformed> {
        let Token::Word(word) = self.token else { return Err(self.unexpected(expected)) };
        let found = candidates.iter().find(|candidate| word.eq_ignore_ascii_case(candidate));
        let Some(found) = found else { return Err(self.no_keyword(word, candidates, expected)) };
        self.advance()?;
        Ok(found)
    }

    /// The error for a word that is none of the candidates. As the real parser reads character by character, it
    /// points into a word that begins like a candidate.
    fn no_keyword(&self, word: &str, candidates: &[&str], expected: &str) -> Malformed {
        let shared = |candidate: &str| {
            candidate.bytes().zip(word.bytes()).take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count()
        };
        let longest = candidates.iter().map(|candidate| shared(candidate)).max().unwrap_or(0);
        let closest = candidates.iter().filter(|candidate| shared(candidate) == longest);
        let next: Vec<_> = closest.filter_map(|candidate| candidate.chars().nth(longest)).collect();
        if longest == 0 || next.is_empty() {
            return self.unexpected(expected);
        }
        let next: Vec<_> = next.into_iter().map(|c| format!("'{c}'")).collect();
        self.lexer.unexpected(self.start + longest, &next.join(" or "))
    }

    fn unexpected(&self, expected: &str) -> Malformed {
        self.lexer.unexpected(self.start, expected)
    }

    fn expect(&mut self, token: &Token<'p>, expected: &str) -> Result<(), Malformed> {
        if self.token != *token {
            return Err(self.unexpected(expected));
        }
        self.advance()?;
        Ok(())
    }

    fn at_word(&self, keyword: &str) -> bool {
        matches!(self.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}
