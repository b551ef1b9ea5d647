"""Being laid out."""
