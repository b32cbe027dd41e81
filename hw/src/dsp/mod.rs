//! Signal processing in software: the truth that every accelerator must match.
