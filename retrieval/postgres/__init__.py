"""The index in PostgreSQL with pgvector: the same searches as `retrieval.index`, shared by machines and roles."""
