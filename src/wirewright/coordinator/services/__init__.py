"""What the coordinator decides: one file an idea. Each takes a `Transaction`, which also tells the time."""
