"""A program that uses a node."""
