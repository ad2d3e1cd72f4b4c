"""Parts of export: the graph, the check against its source, the metrics of the manifest."""
