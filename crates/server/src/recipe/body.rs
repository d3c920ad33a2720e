//! What a request carries: values with templates in them, in the form that the provider takes.

use serde_json::Value;

use super::template::Template;

/// The body of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// How it is written, and what it says.
    pub content: Content,
    /// Its media type, where it is not the usual one of its form.
    pub media_type: Option<String>,
}

/// The forms of bodies.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// JSON.
    Json(Shape),
    /// `application/x-www-form-urlencoded`
    Form(Vec<(String, Template)>),
    /// `multipart/form-data`, fields only.
    Multipart(Vec<(String, Template)>),
    /// XML, written out; values are escaped.
    Xml(Template),
    /// Any other text.
    Text(Template),
}

/// A JSON value in which templates stand for values.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Goes out as it is.
    Fixed(Value),
    /// Is filled in. One that is an expression alone keeps the value's type, and is left out with its name when the
    /// value is absent; inside of a list the whole element is.
    Filled(Template),
    /// A list.
    List(Vec<Shape>),
    /// An object, its members in the order in which they go out.
    Object(Vec<(String, Shape)>),
}

impl Content {
    /// All templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Json(shape) => shape.templates(),
            Self::Form(fields) | Self::Multipart(fields) => fields.iter().map(|(_, value)| value).collect(),
            Self::Xml(template) | Self::Text(template) => vec![template],
        }
    }
}

impl Shape {
    fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Fixed(_) => Vec::new(),
            Self::Filled(template) => vec![template],
            Self::List(elements) => elements.iter().flat_map(Self::templates).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, member)| member.templates()).collect(),
        }
    }
}
