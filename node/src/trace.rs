//! What is logged, with the feature `tracing`: names, numbers and reasons; never the bytes of blocks.
//!
//! A span is kept by what it is of: a session, a want, a peer. Its events are logged within it.

/// Logs an event: its level, a message, and fields by their `Display`. Without the feature it does nothing.
#[cfg(feature = "tracing")]
macro_rules! log {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)* $(,)?) => {
        tracing::$level!($($name = %$value,)* $message)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! log {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)* $(,)?) => {{
        $(let _ = &$value;)*
    }};
}

/// Makes a span below another one: the level, the span above, a name, and fields by their `Display`. Without the feature it
/// is nothing.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($level:ident, $parent:expr, $title:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::trace::Span::from(tracing::span!(
            parent: $parent.inner(), tracing::Level::$level, $title $(, $name = %$value)*
        ))
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($level:ident, $parent:expr, $title:literal $(, $name:ident = $value:expr)* $(,)?) => {{
        let _ = &$parent;
        $(let _ = &$value;)*
        $crate::trace::Span::default()
    }};
}

pub(crate) use {log, span};

/// A span, or without the feature nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Span(#[cfg(feature = "tracing")] Option<tracing::Span>);

impl Span {
    /// The span that is entered now, if any.
    pub(crate) fn current() -> Self {
        Self(
            #[cfg(feature = "tracing")]
            Some(tracing::Span::current()),
        )
    }

    /// Does something within it.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.0 {
            return span.in_scope(work);
        }
        work()
    }

    /// Runs a future within it.
    pub(crate) fn around<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        #[cfg(feature = "tracing")]
        {
            use tracing::Instrument as _;
            future.instrument(self.0.clone().unwrap_or_else(tracing::Span::none))
        }
        #[cfg(not(feature = "tracing"))]
        future
    }

    /// What `tracing` knows it by.
    #[cfg(feature = "tracing")]
    pub(crate) fn inner(&self) -> Option<tracing::span::Id> {
        self.0.as_ref().and_then(tracing::Span::id)
    }
}

#[cfg(feature = "tracing")]
impl From<tracing::Span> for Span {
    fn from(span: tracing::Span) -> Self {
        Self(Some(span))
    }
}
