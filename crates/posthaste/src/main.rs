//! The binary. All code is in the library of the same name, so that fuzz targets can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    posthaste::main()
}
