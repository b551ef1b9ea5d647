"""The OpenAI-compatible HTTP server: any chat client pointed at two of its model ids is an A/B test."""
