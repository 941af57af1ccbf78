//! Numbers of JSON as they were written.
//!
//! In: a body. Out: the digits of a number. Never here: a float.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A number's text, exactly as it stands in the body.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(transparent)]
pub struct Number<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Number<'a> {
    /// The text, if it is a number and not a text, a list or the like.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        let text = self.0.get();
        text.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(text)
    }
}

/// A text that is borrowed from the body where it can be.
#[derive(Clone, Debug, Deserialize, Default, PartialEq, Eq)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A number in an answer, written as it is.
pub(super) fn number(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
