"""A SIP endpoint (RFC 3261) without I/O: bytes and a time in, events and bytes out."""
