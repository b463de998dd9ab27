"""Surfaces from point clouds."""
