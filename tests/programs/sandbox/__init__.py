"""What Whop leaves unsaid, asked of its sandbox and of the fake by the same calls."""
