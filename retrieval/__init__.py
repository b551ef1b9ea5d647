"""Documents in, passages out: loading, cutting, storing and searching."""
