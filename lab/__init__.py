"""The request-log lab: what caches, routers and shorter prompts would find in the requests a team has sent.

Prompts are read and never stored: reports, errors and notes hold lengths, counts and hashes. Nothing leaves the
machine.
"""
