//! Compiles a program of arbitrary bytes.

use super::execute::compile;

/// The code of `execute`. Whatever compiles has no more calls than VK runs.
pub fn vk_programs(data: &[u8]) {
    let Ok(code) = std::str::from_utf8(data) else { return };
    if let Ok(program) = compile(code) {
        assert!(program.calls.len() <= 25 && program.calls.iter().all(|call| call.parameters.is_object()));
    }
}
