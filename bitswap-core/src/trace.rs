//! What is logged, with the feature `tracing`: what happens and what is decided, of which peer, session and CID. Never the
//! bytes of blocks. A peer's `row` names it until it disconnects, as the event of its connecting says.

/// Logs an event: its level, a message, and fields by their `Display`. Without the feature it does nothing, and evaluates
/// no field.
#[cfg(feature = "tracing")]
macro_rules! log {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)* $(,)?) => {
        tracing::$level!($($name = %$value,)* $message)
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! log {
    ($level:ident, $message:literal $(, $name:ident = $value:expr)* $(,)?) => {{
        let _ = || { $(let _ = &$value;)* };
    }};
}

pub(crate) use log;
