"""Virtual machines that see this machine's files, under another kernel and cgroup layout."""
