//! Errors of steps.

use std::error::Error;
use std::fmt;

/// The result of a step.
pub type Result<T, E = StepError> = std::result::Result<T, E>;

/// Why a step failed.
///
/// Any error converts into it with `?`. It carries a short *code* beside the text: in a confidential flow
/// the text stays at the site and only the code crosses, which is why a code is fixed when the program is
/// compiled and cannot hold data.
pub struct StepError {
    code: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl StepError {
    /// The code of an error that was given none.
    pub const DEFAULT_CODE: &'static str = "step-failed";
    /// The code of a step that stopped because it was told to.
    pub const CANCELLED_CODE: &'static str = "cancelled";

    /// An error from a text.
    pub fn msg(text: impl fmt::Display) -> Self {
        Self { code: Self::DEFAULT_CODE, source: text.to_string().into() }
    }

    /// An error under a code of its own, in kebab-case: `cohort-too-small`.
    pub fn with_code(code: &'static str, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { code, source: error.into() }
    }

    /// The code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The error and its sources, outermost first, joined by `: `.
    pub fn chain(&self) -> String {
        let mut text = self.source.to_string();
        let mut inner = self.source.source();
        while let Some(error) = inner {
            let next = error.to_string();
            // An error that quotes its source would say it twice.
            if !text.contains(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            inner = error.source();
        }
        text
    }

    /// The error itself, to look at its type.
    pub fn get_ref(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for StepError {
    fn from(error: E) -> Self {
        Self { code: Self::DEFAULT_CODE, source: Box::new(error) }
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain())
    }
}

impl fmt::Debug for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepError({}: {})", self.code, self.chain())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no data")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_says_each_thing_once() {
        let error = StepError::from(Outer(std::io::Error::other("disk full")));
        assert_eq!(error.chain(), "no data: disk full");
        assert_eq!(error.code(), StepError::DEFAULT_CODE);
        assert!(error.get_ref().is::<Outer>());
        let quoting = StepError::from(std::io::Error::other(Outer(std::io::Error::other("disk full"))));
        assert_eq!(quoting.chain(), "no data: disk full");
        let coded = StepError::with_code("cohort-too-small", "2 of 3");
        assert_eq!((coded.code(), coded.to_string()), ("cohort-too-small", "2 of 3".to_owned()));
    }
}
