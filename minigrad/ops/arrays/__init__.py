"""Create, convert, reshape and join arrays."""
