"""The SIP door: sockets, who may call, calls, and registration (RFC 3261). The wire itself is protocols/sip."""
