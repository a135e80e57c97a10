//! The binary: all of it is in the library of the same name, where fuzz targets reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    posthaste::main()
}
