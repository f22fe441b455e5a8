"""The HTTP API for the platform's own backend: look-ups and chat tokens."""
