"""The commands that all spaces share, from options to files."""
