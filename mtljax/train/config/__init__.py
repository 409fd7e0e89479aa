"""From a config's text to the parts of a run."""
