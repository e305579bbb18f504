//! Close codes and the payload of a Close frame (§5.5.1, §7.4).
