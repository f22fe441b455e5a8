"""Keeps a platform's users in step with Whop.

A package for each way that data goes: `receiving` (webhook to queue), `syncing` (queue to Whop), `announcing` (what
happened, to the platform), `importing` (file to queue) and `backend_api` (answers for the platform's backend). They
stand on `batches` (what becomes of queued messages), `users` (the table), `whop` (its API), `pictures`, `internet`
(guarded requests) and `aws`, and all of these on the modules beside this one. `assembly` puts each function together,
by the settings that `config` reads.
"""
