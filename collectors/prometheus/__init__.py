"""A Prometheus-compatible server: what is asked of it, and what its raw samples mean."""
