//! The state of the whole service, composed of the states of its modules. No module below knows it: each route gets
//! the state of its own module, see [`crate::api`].

use std::fmt;
use std::sync::Arc;

use posthaste_model::Clock;
use posthaste_store::Store;
use tokio_util::sync::CancellationToken;

use crate::auth::{AuthState, Shares, Whole};
use crate::channel_watch::Backlogs;
use crate::intake::IntakeState;
use crate::intake::settings::{Rules, SettingError};
use crate::keys::KeysState;
use crate::middleware::guard::{GuardState, body_memory};
use crate::offload::Offload;
use crate::read::ReadState;
use crate::receipt_channels::Receipts;
use crate::settings::Settings;
use crate::streaming::TrackersState;
use crate::suppressions::SuppressionsState;

/// The state of the service; clones share it.
#[derive(Clone)]
pub struct AppState {
    /// The database: all that parked records need.
    pub(crate) store: Store,
    pub(crate) guard: Arc<GuardState>,
    pub(crate) auth: Arc<AuthState>,
    pub(crate) intake: Arc<IntakeState>,
    pub(crate) read: Arc<ReadState>,
    pub(crate) trackers: Arc<TrackersState>,
    pub(crate) suppressions: Arc<SuppressionsState>,
    pub(crate) keys: Arc<KeysState>,
}

impl AppState {
    /// Creates the state of a service that uses this store.
    ///
    /// # Errors
    /// An invalid setting of acceptance.
    pub fn new(
        store: Store,
        settings: Settings,
        clock: Arc<dyn Clock>,
        soft: CancellationToken,
    ) -> Result<Self, SettingError> {
        let Settings { http, rate, keys, trackers, orders, quiet_hours, daily_limits, sms_limits, .. } =
            settings;
        let rules = Arc::new(Rules::new(&orders, &quiet_hours, &daily_limits)?);
        let receipts = Receipts::new(store.clone());
        let offload = Offload::new();
        let whole = Whole {
            requests: http.max_requests,
            trackers: trackers.max_open,
            body_kib: body_memory(&http),
            checks: offload.places(),
        };
        let shares = Shares::new(keys.share.get(), whole);
        let auth = AuthState::new(store.clone(), Arc::clone(&clock), rate, keys.cache_for.get(), shares);
        let auth = Arc::new(auth);
        let intake = IntakeState::new(
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&rules),
            sms_limits,
            offload.clone(),
        );
        let read = ReadState {
            store: store.clone(),
            rules: Arc::clone(&rules),
            daily_limits: intake.daily_limits.clone(),
            receipts: receipts.clone(),
            backlogs: Backlogs::new(store.clone()),
            key_watch: auth.key_watch(),
        };
        let trackers = TrackersState::new(store.clone(), receipts, auth.key_watch(), &trackers, soft);
        Ok(Self {
            guard: Arc::new(GuardState::new(&http)),
            intake: Arc::new(intake),
            read: Arc::new(read),
            trackers: Arc::new(trackers),
            suppressions: Arc::new(SuppressionsState { store: store.clone(), rules, offload }),
            keys: Arc::new(KeysState { store: store.clone(), clock, auth: Arc::clone(&auth) }),
            auth,
            store,
        })
    }
}

impl fmt::Debug for AppState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppState").finish_non_exhaustive()
    }
}
