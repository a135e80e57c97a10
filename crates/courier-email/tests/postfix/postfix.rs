//! A private Postfix.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use posthaste_rig::{Child, Sig, eventually};
use tempfile::TempDir;

const MAIN: &str = "compatibility_level = 3.6
queue_directory = FOLDER/queue
data_directory = FOLDER/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.mail.example
mydestination =
mynetworks = 192.0.2.0/24
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = mail.example
virtual_mailbox_base = FOLDER/mail
virtual_mailbox_maps = inline:{ {a@mail.example = a/}, {b@mail.example = b/} }
virtual_uid_maps = static:UID
virtual_gid_maps = static:GID
virtual_minimum_uid = 1
default_transport = error:none
relay_transport = error:none
smtpd_relay_restrictions = reject_unauth_destination
relay_domains = relayed.example
transport_maps = inline:{ {relayed.example = smtp:[127.0.0.1]:NEXT}, {bounces.example.org = lmtp:inet:127.0.0.1:BOUNCES} }
message_size_limit = 300000
smtpd_tls_security_level = may
smtpd_tls_cert_file = FOLDER/cert.pem
smtpd_tls_key_file = FOLDER/key.pem
smtpd_tls_received_header = yes
maillog_file = /dev/stdout
";

const MASTER: &str = "127.0.0.1:PORT inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix with its own folder; dropping this value stops it.
pub(crate) struct Postfix {
    folder: TempDir,
    port: u16,
    master: Option<Child>,
}

impl Postfix {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::between(0, 0)
    }

    /// As [`Postfix::start`]; mail to relayed.example goes to a server at the port `next`, and bounces go over LMTP to
    /// the port `bounces`.
    pub(crate) fn between(next: u16, bounces: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The port is free now; nothing else in these tests requests one by number.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (uid, gid) = (id("-u"), id("-g"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "queue", "data", "mail"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for name in ["data", "mail"] {
            let owned = chown(folder.path().join(name), Some(uid), Some(gid));
            owned.expect("these tests must run as root: Postfix's master process requires it");
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(folder.path().join("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        let here = folder.path().display().to_string();
        let main =
            MAIN.replace("FOLDER", &here).replace("UID", &uid.to_string()).replace("GID", &gid.to_string());
        let main = main.replace("NEXT", &next.to_string()).replace("BOUNCES", &bounces.to_string());
        fs::write(folder.path().join("etc/main.cf"), main).unwrap();
        fs::write(folder.path().join("etc/master.cf"), MASTER.replace("PORT", &port.to_string())).unwrap();
        let mut postfix = Self { folder, port, master: None };
        run("postfix", &["-c", &postfix.etc(), "check"]);
        postfix.start_again();
        postfix
    }

    /// Starts it once more, on the same port.
    pub(crate) fn start_again(&mut self) {
        let daemons = run("postconf", &["-d", "-h", "daemon_directory"]);
        let master = Path::new(daemons.trim()).join("master");
        let etc = self.etc();
        // As the leader of a process group, so that a signal ends all of its processes.
        let words = [master.as_os_str(), "-c".as_ref(), etc.as_ref(), "-d".as_ref()];
        let child = Child::spawn("setsid", words, [("MAIL_CONFIG", etc.as_str())]).unwrap();
        eventually("Postfix", || match child.exit_status().unwrap() {
            Some(status) => panic!("Postfix ended with {status}: {}", child.tail(20)),
            None => TcpStream::connect(("127.0.0.1", self.port)).map(drop),
        });
        self.master = Some(child);
    }

    /// Stops it and its processes.
    pub(crate) fn stop(&mut self) {
        if let Some(master) = self.master.take() {
            master.signal(Sig::Term).unwrap();
            master.wait_exit().unwrap();
        }
        eventually("the end of Postfix", || match TcpStream::connect(("127.0.0.1", self.port)) {
            Ok(_) => Err("it still accepts connections"),
            Err(_) => Ok(()),
        });
    }

    pub(crate) fn plain(&self) -> String {
        format!("smtp+plain://127.0.0.1:{}", self.port)
    }

    pub(crate) fn tls(&self) -> String {
        format!("smtp://localhost:{}", self.port)
    }

    /// The file with its certificate, to be trusted.
    pub(crate) fn ca(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// All messages of a mailbox.
    pub(crate) fn mailbox(&self, name: &str) -> Vec<String> {
        let folder: PathBuf = self.folder.path().join("mail").join(name).join("new");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }

    fn etc(&self) -> String {
        self.folder.path().join("etc").display().to_string()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if let Some(master) = self.master.take() {
            // A test that has already failed must show only its own reason.
            let _ = master.signal(Sig::Term).and_then(|()| master.wait_exit());
        }
    }
}

/// A numeric id of the user as which Postfix runs.
fn id(which: &str) -> u32 {
    run("id", &[which, "postfix"]).trim().parse().expect("the user postfix: install the package postfix")
}

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; install the package postfix"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
