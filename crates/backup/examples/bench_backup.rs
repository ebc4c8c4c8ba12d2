//! Backs up a folder into a repository, for measurements.
use mainstay_backup::*;
use mainstay_storage::Local;
use std::{path::Path, sync::Arc};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let pw = std::env::var("RESTIC_PASSWORD").unwrap_or("x".into());
    match a[1].as_str() {
        "init" => {
            Repository::init(
                Arc::new(Local::create(Path::new(&a[2])).unwrap()),
                pw.as_bytes(),
                Format::V2,
            )
            .unwrap();
        }
        "backup" => {
            let r = Repository::open(
                Arc::new(Local::open(Path::new(&a[2])).unwrap()),
                pw.as_bytes(),
            )
            .unwrap();
            let f = Files::new(Path::new(&a[3])).unwrap();
            let d = mainstay_backup::backup(&r, &f, &BackupOptions::default(), &Quiet).unwrap();
            println!("{:?}", d);
        }
        _ => {}
    }
}
