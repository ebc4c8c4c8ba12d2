//! Sees what runs, what is ready, what a scheduler does and what the application says of itself.
//! Must not change anything.

use mainstay_driver::Cause;
use mainstay_model::{Facts, Health, WorkloadFacts, WorkloadRole};

use super::{
    lifecycle::{all_of, living},
    options::Version,
    supervised::Supervised,
};
use crate::shared::{HttpCall, ask, check, reconciled};

impl Supervised {
    /// Looks at everything that is declared.
    pub(super) async fn look(&self) -> Result<Facts, Cause> {
        let record = self.record()?;
        let instances = self.at.instances();
        let alive: Vec<bool> = (0..instances.len().max(record.instances.len()))
            .map(|number| {
                record.instances.get(number).is_some_and(|started| {
                    // A child that outlived its instance still does something.
                    living(Some(started)).is_some() || !all_of(started).is_empty()
                })
            })
            .collect();
        let running = alive.iter().filter(|alive| **alive).count();
        let probes = instances.iter().enumerate().map(|(number, instance)| {
            let (alive, call) = (alive[number], self.at.ready_of(instance));
            async move { alive && self.passes(call).await }
        });
        let (ready, held, version, health) = tokio::join!(
            futures::future::join_all(probes),
            self.held(running),
            self.version(running),
            self.verified(running),
        );
        let ready = ready.into_iter().filter(|ready| *ready).count();
        let health = match health {
            Some(health) => Some(health),
            None if self.at.verify.is_some() => None,
            None if ready == instances.len() => Some(Health::Passed),
            None => Some(Health::Failed(format!(
                "{ready} of {} instances are ready",
                instances.len()
            ))),
        };
        Ok(Facts {
            exists: Some(true),
            workload: Some(WorkloadFacts {
                running: u32::try_from(running).ok(),
                ready: u32::try_from(ready).ok(),
                held,
                version,
            }),
            health,
            reconciled: match self.at.reconcile {
                Some(_) => Some(reconciled(&self.home, &self.declared.name)?),
                None => None,
            },
            ..Facts::default()
        })
    }

    async fn passes(&self, call: Option<&HttpCall>) -> bool {
        match call {
            None => true,
            Some(call) => matches!(check(call, &self.home.place.base).await, Ok(None)),
        }
    }

    /// A scheduler that does not run starts no work.
    pub(super) async fn held(&self, running: usize) -> Option<bool> {
        if running == 0 && (self.role == WorkloadRole::Scheduler || self.at.held.is_some()) {
            return Some(true);
        }
        let call = self.at.held.as_ref()?;
        let answer = check(call, &self.home.place.base).await.ok()?;
        Some(answer.is_none())
    }

    /// What the application's own check says; nothing if none is declared or it gave no answer.
    async fn verified(&self, running: usize) -> Option<Health> {
        let call = self.at.verify.as_ref()?;
        if running == 0 {
            return Some(Health::Failed("it does not run".to_owned()));
        }
        match check(call, &self.home.place.base).await {
            Ok(None) => Some(Health::Passed),
            Ok(Some(why)) => Some(Health::Failed(why)),
            Err(_) => None,
        }
    }

    async fn version(&self, running: usize) -> Option<String> {
        match self.at.version.as_ref()? {
            Version {
                get: Some(url),
                field,
                ..
            } if running > 0 => {
                let call = HttpCall {
                    get: Some(url.clone()),
                    ..HttpCall::default()
                };
                let answer = ask(&call, &self.home.place.base).await.ok()?;
                answer.version(field.as_deref())
            }
            Version { command, .. } => self.printed(command).await,
        }
    }

    /// The first line that a program prints.
    async fn printed(&self, command: &[String]) -> Option<String> {
        let (program, args) = command.split_first()?;
        let program = if program.contains('/') {
            self.home.resolve(program)
        } else {
            program.into()
        };
        let output = tokio::process::Command::new(program)
            .args(args)
            .current_dir(&self.home.place.base)
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output();
        let limit = std::time::Duration::from_secs(5);
        let output = tokio::time::timeout(limit, output).await.ok()?.ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().next()?.trim().to_owned();
        (output.status.success() && !line.is_empty()).then_some(line)
    }
}
