"""NVIDIA GPUs: TensorRT's builder and runtime, engine files, device memory. Imported only when a GPU is asked for."""
