"""Keeps a platform's users in step with Whop.

Dependencies point one way: handlers, then `assembly`, then use cases (`deliveries`, `worker`, `synchronization`,
`enrollment`, `profiles`), then ports (`whop`, `mappings`, `avatars`, `queues`, `credentials`, `journal`), then plain
values (`events`, `payloads`, `platforms`, `signatures`, `errors`, `config`).
"""
