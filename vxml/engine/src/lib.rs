//! The ECMAScript engine behind a safe wrapper.
