"""Calls recorded: written as they are spoken, mixed and encoded when they are over."""
