//! One frame (§5.2): its header parsed and serialised.
