//! The program carillon-speech: synthesis and recognition outside the process that carries calls.
