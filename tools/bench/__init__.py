"""What `neufield bench` times."""
