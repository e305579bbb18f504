"""What the Rust path gains, how far it is from the physical limit, and where it stands among its peers."""
