"""What needs two features at once: arms for the evaluation, edited documents, general tasks."""
