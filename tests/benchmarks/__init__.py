"""The benchmarks run. They are programs of the tree, so they are run, not imported."""
