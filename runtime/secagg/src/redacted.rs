//! `Debug` for states: which session, and nothing that anybody should not see.

/// Shows the type's name and the one public field given.
macro_rules! redacted_debug {
    ($type:ident, $($field:ident).+) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).field("session", &self.$($field).+).finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use redacted_debug;
