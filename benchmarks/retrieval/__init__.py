"""`make bench-retrieval`: ours and what people would pick instead, side by side in one run (see __main__.py)."""
