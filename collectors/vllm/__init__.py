"""vLLM's metrics page: the tables of its releases, and what a page means."""
