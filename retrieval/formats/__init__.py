"""One module per family of file formats: bytes in, an `Extract` out. `retrieval.loaders` chooses among them by suffix.

The libraries that they use are imported inside the functions: a folder of Markdown files needs none of them.
"""
