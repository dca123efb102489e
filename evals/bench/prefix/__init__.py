"""`kvasir bench prefix`: how much of the prompts' KV cache is reused, over streams that nobody here wrote."""
