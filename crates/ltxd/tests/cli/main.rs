//! The binary from outside, as people and scripts run it: exit codes, what it says, what it leaves behind, how it is stopped.
//!
//! Must not know what is inside it. Every test has folders, and a node, of its own; none waits for a time.

mod bad_input;
mod cancel;
mod client_commands;
mod determinism;
mod doctor;
mod families;
mod formats;
mod full_size;
mod kept_contexts;
mod layouts;
mod planned_memory;
mod prompt_tokens;
mod quantize;
mod random_weights;
mod ready;
mod several;
mod sixteen_bits;
mod starting;
mod stated;
mod support;
mod unread;
mod watching;
