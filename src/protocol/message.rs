//! Fragments to messages (§5.4), with incremental UTF-8 validation (§8.1).
