//! Layers and kernels on candle tensors, and the trait weights are read through.
