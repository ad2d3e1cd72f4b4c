"""Running networks: one ``Runner`` protocol, ONNX Runtime and TensorRT behind it, and what runs where."""
