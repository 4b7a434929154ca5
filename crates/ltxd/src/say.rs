//! What commands print. The macros `println!`, `print!` and `eprintln!` of this crate stand in the place of the standard library's, which
//! panic where they cannot write: a reader may be gone (`ltxd inspect x | head -1`), or a disk full.
//!
//! Standard output that nobody reads any more ends the command quietly, with the code that a shell gives a program that SIGPIPE ended;
//! standard error that nobody reads ends nothing, as the work does not depend on what is said beside it.
//!
//! Must not know what is printed.

use crate::exit::Code;
use std::{
    fmt::Arguments,
    io::{self, ErrorKind, Write},
    process::exit,
};

/// Writes to standard output, at once.
pub(crate) fn out(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) else { return };
    if error.kind() != ErrorKind::BrokenPipe {
        err(format_args!("ltxd: standard output cannot be written: {error}\n"));
        exit(Code::Failed as i32);
    }
    exit(Code::NotRead as i32)
}

/// Writes to standard error, if anybody can read it.
pub(crate) fn err(text: Arguments<'_>) {
    // There is no place left to say that it failed.
    let _ = io::stderr().lock().write_fmt(text);
}

macro_rules! print {
    ($($text:tt)*) => { $crate::say::out(format_args!($($text)*)) };
}

macro_rules! println {
    ($($text:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::say::err(format_args!("{}\n", format_args!($($text)*))) };
}
