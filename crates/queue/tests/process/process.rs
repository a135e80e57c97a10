//! The test program, started again as the service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use posthaste_ops::exit::{self, Exit};
use posthaste_queue::keys::{Wanted, mint};
use posthaste_queue::{Args, run};
use posthaste_rig::{Child, PrivateServer, eventually_async};
use posthaste_store::{Role, SendAs, Settings, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Passes the path of the ready file to the child. It does not have our prefix, so it is not a setting.
const READY: &str = "QUEUE_TEST_READY_FILE";

/// Runs the service and returns its exit code, if this process was started for that.
pub(crate) fn as_service() -> Option<ExitCode> {
    let ready = PathBuf::from(std::env::var_os(READY)?);
    let args = Args { ready_file: Some(ready), ..Args::default() };
    Some(exit::run("posthaste-queue", || async { run(args).await.map(|()| Exit::Done) }))
}

/// A running service.
pub(crate) struct Process {
    pub(crate) child: Child,
    ready: PathBuf,
    _folder: tempfile::TempDir,
}

impl Process {
    /// Starts it on this server with these environment variables.
    pub(crate) fn start(redis: &PrivateServer, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ready = folder.path().join("ready.json");
        let (url, path) = (redis.url(), ready.display().to_string());
        let given = [
            ("POSTHASTE_REDIS__URL", url.as_str()),
            ("POSTHASTE_HTTP__ADDRESS", "127.0.0.1:0"),
            (READY, path.as_str()),
        ];
        let program = std::env::current_exe().expect("this program");
        let no_arguments: [&str; 0] = [];
        let variables = given.iter().chain(variables).copied();
        let child = Child::spawn(program, no_arguments, variables).expect("a child");
        Self { child, ready, _folder: folder }
    }

    /// Waits until it is ready: the addresses for clients and for the operator.
    pub(crate) async fn ready(&self) -> (SocketAddr, SocketAddr) {
        let text = eventually_async("the service is ready", async || {
            std::fs::read_to_string(&self.ready).map_err(|error| format!("{error}\n{}", self.child.tail(5)))
        })
        .await;
        let reported: serde_json::Value =
            serde_json::from_str(&text).expect("the file is complete once it exists");
        let address = |name: &str| {
            let url = reported[name].as_str().expect("an address");
            url.strip_prefix("http://").expect("a URL").parse().expect("an address")
        };
        (address("http"), address("admin"))
    }
}

/// A key that allows everything, stored directly.
pub(crate) async fn key(redis: &PrivateServer) -> String {
    let settings = Settings { url: redis.url().into(), ..Settings::default() };
    let (store, _) = Store::connect(settings, Role::Tool).await.expect("a store");
    let wanted = Wanted {
        name: "test".to_owned(),
        scopes: super::SCOPES.into_iter().collect(),
        sender: None,
        role: None,
        send_as: SendAs::any(),
        expires: None,
    };
    let minted = mint(&store, &wanted).await.expect("a key");
    store.disconnect().await;
    minted.bearer.expose()
}

/// Raises the limit on open files to the maximum.
pub(crate) fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the limit is raised");
}
