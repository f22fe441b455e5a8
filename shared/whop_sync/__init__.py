"""Keeps a platform's users in step with Whop.

Dependencies point one way: handlers, then `assembly`, then use cases (`deliveries`, `worker`, `synchronization`,
`enrollment`, `profiles`, `imports`, `stored_imports`, `lookups`, `chat_tokens`), then ports (`whop`, `pacing`,
`mappings`, `directory`, `avatars`, `queues`, `credentials`, `journal`), then plain values (`events`, `payloads`,
`user_files`, `platforms`, `signatures`, `generations`, `http_api`, `errors`, `config`).
"""
