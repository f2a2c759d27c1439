//! What is logged, with the feature `tracing`: names, numbers and reasons; never the bytes of blocks.

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

pub(crate) use log;
