//! The program carillon-bench: far end, load, demo, promises.
