"""The method for any network: choices written into a model, searched and selected by the engine of the scripts."""
