"""One file for each client protocol: payloads to commands, pushes to payloads."""
