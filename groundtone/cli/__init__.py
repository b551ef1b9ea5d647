"""The command line: thin commands over groundtone.pipeline; nothing imports it."""
