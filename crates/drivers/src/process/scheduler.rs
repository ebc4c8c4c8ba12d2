//! Holds and releases a scheduler that is supervised here and listens over HTTP.
//! Must not know what work it starts.

use std::time::{Duration, Instant};

use mainstay_driver::ActError;
use mainstay_model::{Output, Span};

use super::{
    lifecycle::living,
    record::{Record, Work},
    supervised::Supervised,
};
use crate::{
    shared::{AskError, HttpCall, ask, refused, status_of, unknown},
    support::passing,
};

/// How long running work may take to end.
const HOLD_WITHIN: Span = Span::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

impl Supervised {
    /// No new work from here on; over when the work that ran is.
    pub(super) async fn hold(&self) -> Result<Output, ActError> {
        let _turn = self.take_turn().await?;
        let mut record = self.record().map_err(ActError::NotDone)?;
        let before = record.work;
        // Told first: a scheduler that is started again meanwhile must not work.
        record.work = Work::Held;
        self.store(&record).map_err(ActError::NotDone)?;
        if !runs(&record) {
            return Ok(Output::default());
        }
        let told = self.tell(self.at.hold.as_ref(), "hold").await;
        if let Err(ActError::NotDone(_)) = told {
            record.work = before;
            self.store(&record).map_err(ActError::Unknown)?;
        }
        told?;
        self.until_held(true).await
    }

    /// It works again.
    pub(super) async fn release(&self) -> Result<Output, ActError> {
        let _turn = self.take_turn().await?;
        let mut record = self.record().map_err(ActError::NotDone)?;
        if !runs(&record) {
            return Err(refused(
                "not-running",
                "a scheduler that does not run cannot work",
            ));
        }
        self.tell(self.at.release.as_ref(), "release").await?;
        record.work = Work::Released;
        self.store(&record).map_err(ActError::Unknown)?;
        self.until_held(false).await
    }

    async fn tell(&self, call: Option<&HttpCall>, what: &str) -> Result<(), ActError> {
        let call = call.ok_or_else(|| {
            let what = format!("{} declares no {what} request", self.declared.name);
            refused("unsupported", what)
        })?;
        match ask(call, &self.home.place.base).await {
            Ok(answer) => match answer.differs {
                None => Ok(()),
                Some(why) => Err(unknown("http-unexpected", status_of(call, &why))),
            },
            Err(AskError::NotSent(cause)) => Err(ActError::NotDone(cause)),
            Err(AskError::NoAnswer(cause)) => Err(ActError::Unknown(cause)),
        }
    }

    async fn until_held(&self, wanted: bool) -> Result<Output, ActError> {
        let deadline = Instant::now() + HOLD_WITHIN.duration();
        while self.held(1).await != Some(wanted) {
            if Instant::now() >= deadline {
                let what = format!("{} did not confirm it in time", self.declared.name);
                return Err(ActError::Unknown(passing("hold-unconfirmed", what)));
            }
            tokio::time::sleep(POLL).await;
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
