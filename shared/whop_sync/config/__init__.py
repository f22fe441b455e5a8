"""The environment that the template gives the functions, read and checked.

A module for each way that data goes: a function loads what it needs, and the classes of all others would be a fortieth
of a worker's cold start. What a payload preset or an API version means is decided where it is used.
"""
