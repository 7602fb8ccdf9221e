"""From typed options to files: what the commands of every space share."""
