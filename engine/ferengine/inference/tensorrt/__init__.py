"""NVIDIA GPUs: TensorRT's builder and runtime, engine files, device memory. Imported only where a GPU is used."""
