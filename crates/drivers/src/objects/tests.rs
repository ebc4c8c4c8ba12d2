//! The objects driver over a folder as container and a real repository.

use std::{fs, sync::Arc};

use mainstay_driver::ActError;
use mainstay_model::{
    Access, Class, Epoch, Kind as _, Op, Output, PlanFile, RecoveryTarget, Saved,
};
use serde_json::json;

use super::{NAME, ObjectsDriver, ObjectsKind, ObjectsSaves};
use crate::shared::{
    Saving,
    testing::{code, declared, facts, home},
    testing_saving::{offsite, points, prove, restore, saved_plan, to_its_end},
};

struct World {
    folder: tempfile::TempDir,
    plan: PlanFile,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file:{}/bucket", folder.path().display());
        let mut declared = declared(Class::Store, NAME, &[("a", json!({ "url": url }))]);
        declared.options = json!({ "exclude": ["*.tmp"] });
        let plan = saved_plan(folder.path(), &declared);
        Self { folder, plan }
    }

    fn driver(&self) -> Saving {
        let home = home(self.folder.path(), &self.plan, "a");
        let inner = Arc::new(ObjectsDriver::new(home.clone()));
        Saving::new(&home, inner, Arc::new(ObjectsSaves))
    }

    async fn ask(&self, op: Op) -> Result<Output, ActError> {
        to_its_end(&self.driver(), NAME, "a", op).await
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.folder.path().join("bucket").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

#[tokio::test]
async fn objects_are_saved_proven_and_brought_into_a_folder() {
    let world = World::new();
    world.put("2026/invoice 1.pdf", "one");
    world.put("readme", "hello");
    world.put("x.tmp", "left out");
    let seen = facts(&world.driver(), NAME, "a").await.store.unwrap();
    assert_eq!((seen.access, seen.mark), (Access::Open, None));
    world.ask(Op::Unseal(Epoch(1))).await.unwrap();
    let saved = world.ask(Op::Backup { to: offsite() }).await.unwrap();
    let saved = Saved::of(&saved).unwrap();
    assert_eq!((saved.bytes, saved.missing, saved.epoch), (8, 0, Epoch(1)));
    let proven = Saved::of(&world.ask(prove()).await.unwrap()).unwrap();
    assert_eq!(proven.checks, ["2 objects of 8 bytes in all"]);

    let into = world.folder.path().join("back");
    let extract = Op::Extract {
        from: offsite(),
        target: RecoveryTarget::Newest,
        path: None,
        into: into.display().to_string(),
    };
    world.ask(extract).await.unwrap();
    assert_eq!(
        fs::read_to_string(into.join("2026/invoice 1.pdf")).unwrap(),
        "one"
    );
    assert!(!into.join("x.tmp").exists());
    assert_eq!(code(world.ask(restore()).await), "unsupported");
}

#[tokio::test]
async fn a_container_that_is_not_there_is_no_empty_backup() {
    let world = World::new();
    let refused = world.ask(Op::Backup { to: offsite() }).await;
    assert_eq!(code(refused), "container-unusable");
    assert_eq!(points(&world.plan), 0);
}

#[test]
fn it_belongs_to_one_site() {
    let at = json!({ "url": "s3://bucket" });
    let two = declared(Class::Store, NAME, &[("a", at.clone()), ("b", at)]);
    let found = ObjectsKind.check(&two);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, ["at", "b"]);
}
