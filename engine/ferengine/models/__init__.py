"""Models: manifests, the registry and the weights that ship with the package."""
