"""Who talks to whom: callers in queues, people at phones, and what they do with each other."""
