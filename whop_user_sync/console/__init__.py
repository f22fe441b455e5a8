"""A local page over one stack: what comes in, what becomes of it, who is there, and what is parked.

It listens on loopback only and is read-only unless it was started with --write. `security` guards it, `sources` reads
the stack, `pages` are the routes, and the templates hold all HTML.
"""
