"""Classification: the classifier, networks side by side, smoothing along a track."""
