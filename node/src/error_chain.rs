//! An error with what caused it, for people.

use std::error::Error;
use std::fmt;

/// Displays an error and all its causes on one line, each once: `what failed: why: why that`.
///
/// Errors of other crates may repeat a cause in their own text, or have no text of their own;
/// neither is printed.
#[derive(Clone, Copy, Debug)]
pub struct ErrorChain<'a>(pub &'a dyn Error);

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = String::new();
        let mut error = Some(self.0);
        while let Some(this) = error {
            let text = this.to_string();
            if !text.is_empty() && !last.ends_with(&text) {
                if !last.is_empty() {
                    f.write_str(": ")?;
                }
                f.write_str(&text)?;
                last = text;
            }
            error = this.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Self>>,
    }

    fn chain(texts: &[&'static str]) -> Layer {
        let source = (texts.len() > 1).then(|| Box::new(chain(&texts[1..])));
        Layer { text: texts[0], source }
    }

    #[test]
    fn each_cause_is_printed_once() {
        for (texts, printed) in [
            (&["it"][..], "it"),
            (&["it failed", "because", "of that"], "it failed: because: of that"),
            // Foreign errors without a text, and such that repeat their cause.
            (&["it failed", "", "because"], "it failed: because"),
            (&["it failed: because", "because", "of that"], "it failed: because: of that"),
        ] {
            assert_eq!(ErrorChain(&chain(texts)).to_string(), printed);
        }
    }
}
