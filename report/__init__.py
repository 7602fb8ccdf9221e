"""Pages, figures and tables from experiment folders; only reads what runs have written."""
