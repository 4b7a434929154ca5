//! Schedulers, guidance, noise, conditioning, sampler, tiles, and the two methods.
