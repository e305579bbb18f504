//! The three ways in which something goes wrong.
