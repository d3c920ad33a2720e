//! One endpoint's place.

use axum::http::Method;
use futures_util::future::BoxFuture;

use super::reply::Answer;
use super::request::Request;

/// One endpoint's place.
pub struct Route {
    /// The method.
    pub method: Method,
    /// Words, and at most one `{..}`.
    pub path: &'static str,
    /// What is called.
    pub handle: fn(Request) -> BoxFuture<'static, Answer>,
}

/// What stands in the place of `{..}`; empty where there is none.
pub struct Captured(pub String);

impl Route {
    /// What is captured, if the path is this one's.
    pub fn captured(&self, path: &str) -> Option<Captured> {
        let mut segments = path.split('/');
        let mut captured = String::new();
        for word in self.path.split('/') {
            let segment = segments.next()?;
            if word.starts_with('{') {
                if segment.is_empty() {
                    return None;
                }
                segment.clone_into(&mut captured);
            } else if word != segment {
                return None;
            }
        }
        segments.next().is_none().then_some(Captured(captured))
    }
}
