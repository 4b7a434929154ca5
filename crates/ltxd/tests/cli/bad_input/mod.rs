//! Every kind of bad input: the exit code, what the message names, that nothing panicked, and that where the output should go
//! there is afterwards exactly what was there before.
//!
//! Must not know how input is judged. An image outside the clip is given as a golden case to `selftest`, as the command line
//! places images at the first and the last frame only.

mod checkpoints;
mod components;
mod full_disk;
mod images;
mod names;
mod numbers;
mod other_commands;
mod outputs;
mod trial;
