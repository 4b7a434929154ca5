//! Checkpoint files: memory-mapped safetensors, manifests, configurations, load reports.
