"""Where messages run."""
