"""Whether a deployed stack can work, found out without creating anything: its settings, its secrets, Whop, its alarms.

Every defect gives one finding with one sentence, which says what to do. A check that depends on a defect is left out,
so that one mistake is not reported five times.
"""
