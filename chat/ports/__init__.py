"""What the services need from the world, as interfaces; the adapters implement them."""
