"""Many machines as one fleet of cameras."""
