"""What the pytest plugin loads when it is used: boxes that are reported on, tests in namespaces."""
