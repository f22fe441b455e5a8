"""From a queued user event to Whop: enroll the user, bring name and picture up to date, commit the row."""
