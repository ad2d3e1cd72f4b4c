"""Classification: inference backends, the classifier, batching and smoothing."""
