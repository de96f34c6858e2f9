"""What `import nsbox` loads of the package: its C, and the files that lead there."""

FIRST = frozenset(
    {
        "nsbox._native",
        "nsbox._native._shim",
        "nsbox._native._shim.lib",
        "nsbox._native.calls",
        "nsbox._native.door",
        "nsbox._native.launched",
        "nsbox._native.texts",
        "nsbox._native.values",
    }
)
