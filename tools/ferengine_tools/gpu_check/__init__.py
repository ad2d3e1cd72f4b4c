"""``tools/gpu_check.sh``: parity, accuracy and speed on an NVIDIA GPU, in one run."""
