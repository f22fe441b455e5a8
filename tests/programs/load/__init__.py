"""`make load`: thousands of webhooks in bursts, repeated and out of order, to the whole application on one machine.

Whop's stand-in limits calls and fails some of them meanwhile. In the end every user is looked up there.
"""
