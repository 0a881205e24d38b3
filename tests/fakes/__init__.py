"""Peers of the product, for tests: small servers that speak the real protocols."""
