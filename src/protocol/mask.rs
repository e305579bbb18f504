//! Masking (§5.3).
