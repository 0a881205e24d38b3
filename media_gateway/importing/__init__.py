"""Recordings that are brought in: decoded in a process of their own, told like a call."""
