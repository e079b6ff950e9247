//! Pure: the filter language, read into a tree.
//!
//! Precedence, tightest first: `not`, comparison, `and`, `or`.

use super::lex::{Literal, Token, literal, syntax, tokens};
use super::refuse::bad_query;
use crate::simulator::call::Refusal;
use std::collections::HashMap;

/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 64;

/// Comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `eq`.
    Eq,
    /// `ne`.
    Ne,
    /// `gt`.
    Gt,
    /// `ge`.
    Ge,
    /// `lt`.
    Lt,
    /// `le`.
    Le,
}

impl Comparison {
    /// The comparison with sides swapped.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self {
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            same => same,
        }
    }

    /// Whether `order` (left to right) satisfies the comparison.
    #[must_use]
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
        }
    }
}

/// Text test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextTest {
    /// `contains`.
    Contains,
    /// `startswith`.
    StartsWith,
    /// `endswith`.
    EndsWith,
}

/// Side of a comparison.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// `name`, `_x_value`, `primarycontactid/fullname`.
    Path(String),
    /// Constant.
    Literal(Literal),
}

/// Value of a query function's parameter.
#[derive(Clone, PartialEq, Debug)]
pub enum Argument {
    /// One constant.
    One(Literal),
    /// Several texts.
    Many(Vec<String>),
}

/// A filter.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// Any of these.
    Or(Vec<Self>),
    /// All of these.
    And(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// Comparison.
    Compare(Comparison, Operand, Operand),
    /// Text test of a path.
    Text(TextTest, String, String),
    /// `Microsoft.Dynamics.CRM.…(…)`: name without namespace, parameters.
    Query(String, Vec<(String, Argument)>),
    /// `collection/any(x: …)`.
    Lambda {
        /// Collection-valued navigation property.
        path: String,
        /// `all` instead of `any`.
        all: bool,
        /// Test of one element, its paths without the variable; `None` for `any()`.
        body: Option<Box<Self>>,
    },
    /// A two-options column alone.
    Flag(String),
    /// A constant alone.
    Constant(bool),
}

/// Reads a filter; `aliases` are the request's `@…` options.
///
/// # Errors
/// 400 `0x80060888` for bad syntax and for operators and functions Dataverse does not offer.
pub fn parse(text: &str, aliases: &HashMap<String, String>) -> Result<Expr, Refusal> {
    let mut parser =
        Parser { text, tokens: tokens(text)?, at: 0, depth: 0, aliases, variable: None };
    let expr = parser.any_of()?;
    match parser.peek() {
        None => Ok(expr),
        Some(_) => Err(parser.unexpected()),
    }
}

/// Reads function parameters, `Name=value,Name=@alias`.
///
/// # Errors
/// As [`parse`].
pub fn arguments(
    text: &str,
    aliases: &HashMap<String, String>,
) -> Result<Vec<(String, Argument)>, Refusal> {
    let mut tokens = tokens(text)?;
    tokens.push(Token::Close);
    Parser { text, tokens, at: 0, depth: 0, aliases, variable: None }.parameters()
}

fn is_path(word: &str) -> bool {
    word.split('/').all(|step| {
        !step.is_empty() && step.chars().all(|c| c.is_alphanumeric() || "_.$".contains(c))
    })
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    aliases: &'a HashMap<String, String>,
    variable: Option<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Result<Token, Refusal> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
            .ok_or_else(|| bad_query(format!("Expression expected at the end of '{}'.", self.text)))
    }

    fn unexpected(&self) -> Refusal {
        syntax(self.text, self.at)
    }

    fn word_is(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(w)) if w == word)
    }

    fn expect(&mut self, token: &Token) -> Result<(), Refusal> {
        if self.next()? == *token { Ok(()) } else { Err(self.unexpected()) }
    }

    fn any_of(&mut self) -> Result<Expr, Refusal> {
        let mut parts = vec![self.all_of()?];
        while self.word_is("or") {
            self.at += 1;
            parts.push(self.all_of()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn all_of(&mut self) -> Result<Expr, Refusal> {
        let mut parts = vec![self.term()?];
        while self.word_is("and") {
            self.at += 1;
            parts.push(self.term()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn term(&mut self) -> Result<Expr, Refusal> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(bad_query("The node count limit of the filter has been exceeded."));
        }
        let out = if self.word_is("not") {
            self.at += 1;
            let inner = self.term()?;
            if matches!(inner, Expr::Compare(..))
                && !matches!(self.tokens[self.at - 1], Token::Close)
            {
                return Err(bad_query(
                    "A unary operator with an incompatible type was detected: put the comparison \
                     after 'not' in parentheses.",
                ));
            }
            Ok(Expr::Not(Box::new(inner)))
        } else {
            self.comparison()
        };
        self.depth -= 1;
        out
    }

    fn comparison(&mut self) -> Result<Expr, Refusal> {
        match (self.peek(), self.tokens.get(self.at + 1)) {
            (Some(Token::Open), _) => {
                self.at += 1;
                let inner = self.any_of()?;
                self.expect(&Token::Close)?;
                return Ok(inner);
            }
            (Some(Token::Word(_)), Some(Token::Open)) => return self.function(),
            _ => {}
        }
        let left = self.operand()?;
        let comparison = match self.peek() {
            Some(Token::Word(w)) => match w.as_str() {
                "eq" => Comparison::Eq,
                "ne" => Comparison::Ne,
                "gt" => Comparison::Gt,
                "ge" => Comparison::Ge,
                "lt" => Comparison::Lt,
                "le" => Comparison::Le,
                "and" | "or" => return self.alone(left),
                "in" | "has" | "add" | "sub" | "mul" | "div" | "mod" => {
                    return Err(bad_query(format!("The operator '{w}' is not supported.")));
                }
                _ => return Err(self.unexpected()),
            },
            _ => return self.alone(left),
        };
        self.at += 1;
        let right = self.operand()?;
        Ok(Expr::Compare(comparison, left, right))
    }

    fn alone(&self, operand: Operand) -> Result<Expr, Refusal> {
        match operand {
            Operand::Path(path) => Ok(Expr::Flag(path)),
            Operand::Literal(Literal::Bool(b)) => Ok(Expr::Constant(b)),
            Operand::Literal(_) => Err(self.unexpected()),
        }
    }

    fn operand(&mut self) -> Result<Operand, Refusal> {
        match self.next()? {
            Token::Text(text) => Ok(Operand::Literal(Literal::Text(text))),
            Token::Enum(kind, member) => Ok(Operand::Literal(Literal::Enum(kind, member))),
            Token::Alias(name) => {
                // An alias may stand for a property too.
                let path = self.aliases.get(&name).map(|text| text.trim());
                if let Some(path) = path.filter(|p| is_path(p) && literal(p).is_none()) {
                    return self.path(path.to_owned()).map(Operand::Path);
                }
                match self.alias(&name)? {
                    Argument::One(literal) => Ok(Operand::Literal(literal)),
                    Argument::Many(_) => Err(self.unexpected()),
                }
            }
            Token::Word(word) => match literal(&word) {
                Some(literal) => Ok(Operand::Literal(literal)),
                None => self.path(word).map(Operand::Path),
            },
            _ => Err(self.unexpected()),
        }
    }

    /// Strips the variable of a lambda from a path.
    fn path(&self, word: String) -> Result<String, Refusal> {
        if !is_path(&word) {
            return Err(self.unexpected());
        }
        match &self.variable {
            None => Ok(word),
            Some(variable) => word
                .strip_prefix(variable.as_str())
                .and_then(|rest| rest.strip_prefix('/'))
                .map(str::to_owned)
                .ok_or_else(|| self.unexpected()),
        }
    }

    fn function(&mut self) -> Result<Expr, Refusal> {
        let Token::Word(name) = self.next()? else { return Err(self.unexpected()) };
        self.at += 1;
        if let Some(function) = name.strip_prefix("Microsoft.Dynamics.CRM.") {
            return Ok(Expr::Query(function.to_owned(), self.parameters()?));
        }
        if let Some(path) = name.strip_suffix("/any") {
            return self.lambda(path.to_owned(), false);
        }
        if let Some(path) = name.strip_suffix("/all") {
            return self.lambda(path.to_owned(), true);
        }
        let test = match name.as_str() {
            "contains" => TextTest::Contains,
            "startswith" => TextTest::StartsWith,
            "endswith" => TextTest::EndsWith,
            "and" | "or" | "eq" | "ne" | "in" => return Err(self.unexpected()),
            _ => {
                return Err(bad_query(format!("The function '{name}' is not supported.")));
            }
        };
        let (left, right) = {
            let left = self.operand()?;
            self.expect(&Token::Comma)?;
            (left, self.operand()?)
        };
        self.expect(&Token::Close)?;
        match (left, right) {
            (Operand::Path(path), Operand::Literal(Literal::Text(text))) => {
                Ok(Expr::Text(test, path, text))
            }
            _ => Err(bad_query(format!(
                "No function signature for the function with name '{name}' matches the specified \
                 arguments."
            ))),
        }
    }

    fn lambda(&mut self, path: String, all: bool) -> Result<Expr, Refusal> {
        if !all && self.peek() == Some(&Token::Close) {
            self.at += 1;
            return Ok(Expr::Lambda { path, all, body: None });
        }
        let Token::Word(word) = self.next()? else { return Err(self.unexpected()) };
        let Some((variable, rest)) = word.split_once(':') else { return Err(self.unexpected()) };
        if self.variable.is_some() || variable.is_empty() {
            return Err(self.unexpected());
        }
        self.variable = Some(variable.to_owned());
        if !rest.is_empty() {
            self.at -= 1;
            self.tokens[self.at] = Token::Word(rest.to_owned());
        }
        let body = self.any_of()?;
        self.expect(&Token::Close)?;
        self.variable = None;
        Ok(Expr::Lambda { path, all, body: Some(Box::new(body)) })
    }

    fn parameters(&mut self) -> Result<Vec<(String, Argument)>, Refusal> {
        let mut out = Vec::new();
        if self.peek() == Some(&Token::Close) {
            self.at += 1;
            return Ok(out);
        }
        loop {
            let Token::Word(name) = self.next()? else { return Err(self.unexpected()) };
            self.expect(&Token::Equals)?;
            let value = match self.next()? {
                Token::Alias(alias) => self.alias(&alias)?,
                other => self.argument(other)?,
            };
            out.push((name, value));
            match self.next()? {
                Token::Comma => {}
                Token::Close => return Ok(out),
                _ => return Err(self.unexpected()),
            }
        }
    }

    fn argument(&self, token: Token) -> Result<Argument, Refusal> {
        match token {
            Token::Text(text) => Ok(Argument::One(Literal::Text(text))),
            Token::List(items) => Ok(Argument::Many(items)),
            Token::Enum(kind, member) => Ok(Argument::One(Literal::Enum(kind, member))),
            Token::Word(word) => literal(&word).map(Argument::One).ok_or_else(|| self.unexpected()),
            _ => Err(self.unexpected()),
        }
    }

    fn alias(&self, name: &str) -> Result<Argument, Refusal> {
        let text = self.aliases.get(name).ok_or_else(|| {
            bad_query(format!("The parameter alias '@{name}' was not found in the request."))
        })?;
        let mut read = tokens(text)?;
        match (read.pop(), read.is_empty()) {
            (Some(token), true) => self.argument(token),
            _ => Err(syntax(text, 0)),
        }
    }
}
