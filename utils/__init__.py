"""Data, training, inference and measuring. Nothing here imports a stage script or `models/`."""
