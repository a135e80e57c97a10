//! Starts a child through the rig, prints its process id and waits. A test kills this program to see what happens to
//! the children of a killed parent.

use std::io::Write;

fn main() -> Result<(), posthaste_rig::Error> {
    let child = posthaste_rig::Child::spawn("sleep", ["1000"], [("", ""); 0])?;
    let say = writeln!(std::io::stdout(), "grandchild={}", child.id());
    say.map_err(|source| posthaste_rig::Error::Io { what: "printing".into(), source })?;
    child.wait_exit()?;
    Ok(())
}
