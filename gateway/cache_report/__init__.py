"""Where past prompts were reused, and what broke their prefixes: `kvasir cache report`."""
