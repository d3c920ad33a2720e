//! Which templates are in our language: a part of minijinja's.
//!
//! Read as a tree before anything is compiled, for minijinja works constant expressions out then. Whatever could make a
//! value larger than those it is made of, and keep it for the next round, is left out: so is every way to bind a name but a
//! loop over a part of the message.

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, ForLoop, Stmt};
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::TemplateError;

/// Levels that parts of a template's tree may be nested in each other.
const DEPTH_MAX: usize = 64;
/// The same of statements, each `elif` one more, and of brackets in a statement or expression. And signs, `not` and `else` that
/// one may have.
const WRITTEN_DEPTH_MAX: usize = 16;
/// Texts that one expression may put together with `~`, less one.
const JOINS_MAX: usize = 8;

const FILTERS: [&str; 9] = ["default", "first", "items", "last", "length", "lower", "tojson", "trim", "upper"];
const TESTS: [&str; 3] = ["defined", "undefined", "none"];

/// Refuses what is not in the language.
pub(super) fn check(template: &str) -> Result<(), TemplateError> {
    check_depth(template)?;
    let parsed = parse(template, super::NAME, SyntaxConfig::default());
    let tree = parsed.map_err(|error| super::of_error(&error))?;
    statement(&tree, 0)
}

/// Refuses what minijinja's parser would go too deep for: it has a limit of its own, but not for all that recurs, and a higher
/// one than our stacks have room for.
fn check_depth(template: &str) -> Result<(), TemplateError> {
    let (mut statements, mut brackets, mut prefixes, mut begins) = (Vec::new(), 0_usize, 0_usize, false);
    for token in tokenize(template, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| super::of_error(&error))?;
        match token {
            Token::BlockStart | Token::VariableStart => (brackets, prefixes) = (0, 0),
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => brackets += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => brackets = brackets.saturating_sub(1),
            Token::Ident("if" | "for") if begins => statements.push(1),
            Token::Ident("elif") if begins => {
                if let Some(depth) = statements.last_mut() {
                    *depth += 1;
                }
            }
            Token::Ident("endif" | "endfor") if begins => drop(statements.pop()),
            Token::Ident("not" | "else") | Token::Minus => prefixes += 1,
            _ => {}
        }
        begins = matches!(token, Token::BlockStart);
        if [statements.iter().sum(), brackets, prefixes].into_iter().any(|depth| depth > WRITTEN_DEPTH_MAX) {
            return Err(refused(span, &format!("it is nested more than {WRITTEN_DEPTH_MAX} levels deep")));
        }
    }
    Ok(())
}

fn refused(span: Span, what: &str) -> TemplateError {
    TemplateError::new(Some(usize::from(span.start_line)), what)
}

fn statements(body: &[Stmt<'_>], depth: usize) -> Result<(), TemplateError> {
    body.iter().try_for_each(|part| statement(part, depth + 1))
}

fn statement(part: &Stmt<'_>, depth: usize) -> Result<(), TemplateError> {
    let span = match part {
        Stmt::Template(whole) => return statements(&whole.children, depth),
        Stmt::EmitRaw(_) => return Ok(()),
        Stmt::EmitExpr(emitted) => return Counted::default().expression(&emitted.expr, depth),
        Stmt::IfCond(asked) if depth < DEPTH_MAX => {
            Counted::default().expression(&asked.expr, depth)?;
            statements(&asked.true_body, depth)?;
            return statements(&asked.false_body, depth);
        }
        Stmt::ForLoop(each) if depth < DEPTH_MAX => return for_loop(each, each.span(), depth),
        Stmt::IfCond(_) | Stmt::ForLoop(_) => {
            return Err(TemplateError::new(None, format!("it is nested more than {DEPTH_MAX} levels deep")));
        }
        Stmt::WithBlock(other) => other.span(),
        Stmt::Set(other) => other.span(),
        Stmt::SetBlock(other) => other.span(),
        Stmt::AutoEscape(other) => other.span(),
        Stmt::FilterBlock(other) => other.span(),
        Stmt::Block(other) => other.span(),
        Stmt::Import(other) => other.span(),
        Stmt::FromImport(other) => other.span(),
        Stmt::Extends(other) => other.span(),
        Stmt::Include(other) => other.span(),
        Stmt::Do(other) => other.span(),
    };
    Err(refused(span, "of the statements only 'if' and 'for' can be used here"))
}

fn for_loop(each: &ForLoop<'_>, span: Span, depth: usize) -> Result<(), TemplateError> {
    if each.recursive {
        return Err(refused(span, "'recursive' cannot be used here"));
    }
    if !is_part(&each.iter, 0) {
        return Err(refused(span, "'for' can only go through a part of the message"));
    }
    if let Some(condition) = &each.filter_expr {
        Counted::default().expression(condition, depth)?;
    }
    statements(&each.body, depth)?;
    statements(&each.else_body, depth)
}

/// Whether it names a part of something, by names and constants.
fn is_part(expr: &Expr<'_>, depth: usize) -> bool {
    depth < DEPTH_MAX
        && match expr {
            Expr::Var(_) => true,
            Expr::GetAttr(of) => is_part(&of.expr, depth + 1),
            Expr::GetItem(of) => matches!(of.subscript_expr, Expr::Const(_)) && is_part(&of.expr, depth + 1),
            Expr::Filter(of) if of.name == "items" && of.args.is_empty() => {
                of.expr.as_ref().is_some_and(|of| is_part(of, depth + 1))
            }
            _ => false,
        }
}

/// What one expression has used.
#[derive(Default)]
struct Counted {
    joins: usize,
}

impl Counted {
    fn all<'e, 't: 'e>(
        &mut self,
        parts: impl IntoIterator<Item = &'e Expr<'t>>,
        depth: usize,
    ) -> Result<(), TemplateError> {
        parts.into_iter().try_for_each(|part| self.expression(part, depth + 1))
    }

    fn expression(&mut self, expr: &Expr<'_>, depth: usize) -> Result<(), TemplateError> {
        if depth >= DEPTH_MAX {
            let what = format!("it is nested more than {DEPTH_MAX} levels deep");
            return Err(refused(expr.span(), &what));
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => Ok(()),
            Expr::GetAttr(of) => self.expression(&of.expr, depth + 1),
            Expr::GetItem(of) => self.all([&of.expr, &of.subscript_expr], depth),
            Expr::Slice(of) => self.all(
                [Some(&of.expr), of.start.as_ref(), of.stop.as_ref(), of.step.as_ref()].into_iter().flatten(),
                depth,
            ),
            Expr::UnaryOp(of) => self.expression(&of.expr, depth + 1),
            Expr::BinOp(of) => {
                match of.op {
                    BinOpKind::Add | BinOpKind::Mul | BinOpKind::Pow => {
                        return Err(refused(of.span(), "'+', '*' and '**' cannot be used here; '~' joins texts"));
                    }
                    BinOpKind::Concat => self.join(of.span())?,
                    _ => {}
                }
                self.all([&of.left, &of.right], depth)
            }
            Expr::Compare(of) => {
                self.expression(&of.expr, depth + 1)?;
                self.all(of.ops.iter().map(|compared| &compared.expr), depth)
            }
            Expr::IfExpr(of) => self
                .all([Some(&of.test_expr), Some(&of.true_expr), of.false_expr.as_ref()].into_iter().flatten(), depth),
            Expr::Filter(of) => {
                known("filter", of.name, &FILTERS, of.span())?;
                self.all(&of.expr, depth)?;
                self.arguments(&of.args, of.span(), depth)
            }
            Expr::Test(of) => {
                known("test", of.name, &TESTS, of.span())?;
                self.expression(&of.expr, depth + 1)?;
                self.arguments(&of.args, of.span(), depth)
            }
            Expr::Call(of) => Err(refused(of.span(), "there are no functions here")),
            Expr::List(of) => self.all(&of.items, depth),
            Expr::Tuple(of) => self.all(&of.items, depth),
            Expr::Map(of) => self.all(of.keys.iter().chain(&of.values), depth),
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>], span: Span, depth: usize) -> Result<(), TemplateError> {
        arguments.iter().try_for_each(|argument| match argument {
            CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.expression(value, depth + 1),
            CallArg::PosSplat(_) | CallArg::KwargSplat(_) => Err(refused(span, "'*' cannot be used here")),
        })
    }

    fn join(&mut self, span: Span) -> Result<(), TemplateError> {
        self.joins += 1;
        if self.joins > JOINS_MAX {
            return Err(refused(span, &format!("an expression can have '~' at most {JOINS_MAX} times")));
        }
        Ok(())
    }
}

fn known(what: &str, name: &str, known: &[&str], span: Span) -> Result<(), TemplateError> {
    if known.contains(&name) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(refused(span, &format!("the {what} '{name}' cannot be used here; use one of: {known}")))
}
