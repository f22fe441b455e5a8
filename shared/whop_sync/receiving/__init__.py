"""From bytes and headers to a queued user event, and from Whop's own webhooks to a queued announcement."""
