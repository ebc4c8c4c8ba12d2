//! Holds and releases a scheduler that is supervised here and listens over HTTP.
//! Must not know what work it starts.

use std::path::Path;

use mainstay_driver::{ActError, Order};
use mainstay_model::{Output, Span};

use super::{
    lifecycle::living,
    record::{Record, Work},
    supervised::Supervised,
};
use crate::shared::{Wanted, refused, tell, until};

/// How long running work may take to end.
const HOLD_WITHIN: Span = Span::from_secs(60);

impl Supervised {
    /// No new work from here on; over when the work that ran is.
    pub(super) async fn hold(&self, order: &Order) -> Result<Output, ActError> {
        let _turn = self.take_turn().await?;
        let mut record = self.record().map_err(ActError::NotDone)?;
        let before = record.work;
        // Told first: a scheduler that is started again meanwhile must not work.
        record.work = Work::Held;
        self.store(&record).map_err(ActError::NotDone)?;
        if !runs(&record) {
            return Ok(Output::default());
        }
        let told = tell(self.at.hold.as_ref(), self.base(), "hold", order).await;
        if let Err(ActError::NotDone(_)) = told {
            record.work = before;
            self.store(&record).map_err(ActError::Unknown)?;
        }
        told?;
        self.until_held(Wanted::Expected).await
    }

    /// It works again.
    pub(super) async fn release(&self, order: &Order) -> Result<Output, ActError> {
        let _turn = self.take_turn().await?;
        let mut record = self.record().map_err(ActError::NotDone)?;
        if !runs(&record) {
            return Err(refused(
                "not-running",
                "a scheduler that does not run cannot work",
            ));
        }
        tell(self.at.release.as_ref(), self.base(), "release", order).await?;
        record.work = Work::Released;
        self.store(&record).map_err(ActError::Unknown)?;
        self.until_held(Wanted::Other).await
    }

    fn base(&self) -> &Path {
        &self.home.place.base
    }

    async fn until_held(&self, wanted: Wanted) -> Result<Output, ActError> {
        if let Some(call) = &self.at.held {
            until(call, wanted, self.base(), HOLD_WITHIN).await?;
        }
        Ok(Output::default())
    }
}

fn runs(record: &Record) -> bool {
    record
        .instances
        .iter()
        .any(|started| living(Some(started)).is_some())
}
