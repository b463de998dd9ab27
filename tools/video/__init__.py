"""Clips as fields over place and time."""
