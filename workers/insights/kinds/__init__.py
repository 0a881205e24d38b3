"""Every kind of insight, one module each."""
