//! Whether, when, where and how to call; what is written down.
