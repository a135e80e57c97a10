//! Ambiguous windows: moments in which what is known and what is true may differ. Each must really have been entered,
//! or an exploration proves nothing about it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! windows {
    ($($name:ident = $text:literal;)*) => {
        /// A window.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Window {
            $(#[doc = $text] $name,)*
        }

        impl Window {
            /// All of them.
            pub const ALL: &'static [Window] = &[$(Window::$name,)*];

            /// Its description.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Window::$name => $text,)*
                }
            }
        }
    };
}

windows! {
    ClaimReplyLost = "the reply to a claim was lost";
    SameClaimAgain = "a claim was repeated and got the same answer";
    BeginReplyLost = "the reply to a begin was lost";
    SettleReplyLost = "the reply to a settle was lost";
    CrashHolding = "a courier died with a parcel and nothing begun";
    CrashBegun = "a courier died between begin and send";
    CrashTaken = "a courier died after the provider took a delivery";
    CrashReported = "a courier died with an unsettled report of another kind";
    CrashAsking = "a courier died with a claim unanswered";
    Orphan = "a courier died with a request in flight";
    Overslept = "a courier slept between begin and send, and did not send";
    Zombie = "a courier slept after its last look at the clock, and sent";
    TakenUntold = "the provider took a delivery and its answer was lost";
    LostUntold = "bytes left, the provider never took them, and there was no answer";
    SecondSend = "the provider took a delivery a second time, after an unknown";
    CopyClaimAgain = "a second copy of a claim got the same answer";
    CopyClaimOld = "a second copy of a claim was refused as old";
    CopyClaimTook = "a dead courier's claim took a parcel";
    CopyBeginAgain = "a second copy of a begin found the delivery begun";
    CopyBeginOther = "a second copy of a begin named another attempt";
    CopyBeginFinal = "a second copy of a begin found a delivery in a final state";
    CopyBeginStale = "a second copy of a begin found another lease";
    CopyBeginOver = "a second copy of a begin found the lease over";
    CopyBeginBegan = "a dead courier's begin began a delivery";
    CopyBeginEnded = "a second copy of a begin found the order cancelled or over";
    CopySettleKnown = "a second copy of a settle changed nothing";
    CopySettleStale = "a second copy of a settle named another attempt";
    CopySettleEvidence = "a second copy of a settle was taken as evidence";
    CopySettleApplied = "a second copy of a settle was the first to arrive";
    CopyReleaseStale = "a second copy of a release found another lease";
    CopyReleaseReady = "a dead courier's release handed a parcel back";
    CopyRenew = "a second copy of a renewal arrived";
    CopyResolveKnown = "a second copy of a resolve found the delivery in a final state";
    CopyResolveStale = "a second copy of a resolve named another attempt";
    BeginStale = "a begin under a lease that another courier holds";
    BeginOver = "a begin under a lease that is over";
    BeginCancelled = "a begin of a cancelled order";
    BeginExpired = "a begin of an order whose time is over";
    BeginFinal = "a begin of a delivery that became final meanwhile";
    BeginRepeated = "a begin repeated after a lost reply";
    SettleEvidence = "a report was taken as evidence";
    SettleStale = "a report of an attempt that is not the recorded one";
    SettleKnown = "a report that changed nothing";
    SettleUnresolved = "a report decided a delivery already reported as unknown";
    SettleOver = "a report came after the end of its lease and before that was reclaimed";
    SettlePartial = "a report was settled with other deliveries of its parcel still out";
    ReclaimedReady = "a lease that ended with nothing begun was reclaimed";
    ReclaimedUnresolved = "a lease that ended with deliveries begun was reclaimed";
    Poison = "a parcel was given up";
    ResolvedRetry = "an unknown delivery was sent to be repeated";
    ResolvedRepeat = "an unknown delivery was sent to be repeated under its token";
    ResolvedHold = "an unknown delivery was held";
    ResolvedSpent = "a second repeat was refused";
    ResolvedKnown = "a resolve found the delivery in a final state";
    ResolvedStale = "a resolve named another attempt";
    Cancelled = "a pending delivery ended as cancelled";
    Expired = "a pending delivery ended as expired";
    EndedUnknown = "a delivery that waited for its repeat ended as unknown";
    ReceiptEarly = "a receipt came before the settle";
    ReceiptUnresolved = "a receipt decided an unresolved delivery";
    ReceiptLate = "a receipt came for a final delivery";
    Released = "a stopping courier handed a parcel back";
    ReleasedSending = "a release left a parcel with a delivery on the wire";
    LeftSending = "a parcel asked to leave with a delivery on the wire";
    Renewed = "a lease was renewed";
    RenewRefused = "a lease that had ended or passed to another courier was not renewed";
    ClaimedAtDue = "a claim came at the very millisecond an order is due";
    Waited = "a refused delivery waited for its time";
    Moved = "an order was moved to another time";
    CopyMove = "a second copy of a move arrived";
    Unheard = "an order was promoted and its bell was not received";
    SendByAhead = "a delivery was reported as unknown while its send might still be under way";
    SendByOver = "a resolver claimed a delivery after the time of its send";
}

/// How often each window was entered, over all explored steps.
#[derive(Debug)]
pub struct WindowCounts(Vec<AtomicU64>);

impl Default for WindowCounts {
    fn default() -> Self {
        Self(Window::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl WindowCounts {
    /// Adds one to each.
    pub fn add(&self, entered: &[Window]) {
        for window in entered {
            self.0[*window as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The count of one window.
    #[must_use]
    pub fn of(&self, window: Window) -> u64 {
        self.0[window as usize].load(Ordering::Relaxed)
    }

    /// All that were entered.
    #[must_use]
    pub fn entered(&self) -> BTreeMap<Window, u64> {
        Window::ALL.iter().map(|window| (*window, self.of(*window))).filter(|(_, n)| *n > 0).collect()
    }
}
