"""Keeps a platform's users in step with Whop.

Dependencies point one way: handlers, then `assembly`, then use cases (`deliveries`, `worker`, `synchronization`,
`enrollment`, `profiles`, `lookups`, `chat_tokens`), then ports (`whop`, `mappings`, `directory`, `avatars`, `queues`,
`credentials`, `journal`), then plain values (`events`, `payloads`, `platforms`, `signatures`, `generations`, `http_api`,
`errors`, `config`).
"""
