"""The REST API of Whop, its two generations of connected accounts, and its rate limit."""
