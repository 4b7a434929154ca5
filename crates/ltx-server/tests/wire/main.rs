//! The node from outside: real gRPC over loopback, with a fake generator behind it.
//!
//! Must not know the server's insides.

mod contract;
mod foreign_pages;
mod grpc_web;
mod hostile;
mod images;
mod life;
mod node;
mod page;
mod pages;
mod policy_table;
mod prompts;
mod slow;
mod stated;
mod surroundings;
mod testing;
mod web;
