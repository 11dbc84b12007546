"""Programs that need not run, only type-check."""
