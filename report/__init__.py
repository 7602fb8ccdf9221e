"""Figures, tables and pages from experiment folders; it reads what runs have written and imports nothing back into them."""
