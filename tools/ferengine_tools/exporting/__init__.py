"""Parts of export: the graph, the check against its source, the figures of the manifest."""
