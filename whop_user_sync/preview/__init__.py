"""What the receiver would make of a webhook that was captured, for a person. Nothing here is deployed.

It puts the captured bytes and headers through the receiver's own functions, so that it cannot know better.
"""
