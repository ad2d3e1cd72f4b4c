"""Parts of training: augmentation and checkpoints."""
