"""Requests to addresses that others chose: to public ones only, over https, within one deadline over everything."""
