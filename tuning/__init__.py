"""Tuning a voice: pairs are read and linted, rendered as serving renders them, and trained into a LoRA adapter."""
