//! The desk against a small store in virtual time.
