"""Metric points: columns in, bytes out, and curves back. Pure functions over numpy; no database.

Nothing is imported here, so that a server that reads no curve never loads numpy: whoever needs one of the modules
imports it where it is used.
"""
