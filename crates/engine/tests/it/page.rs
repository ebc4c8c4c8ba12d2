//! The generated page is the one that is checked in.

#[test]
fn the_page_of_the_state_machines_is_up_to_date() {
    let stored = include_str!("../../../../docs/state-machines.md");
    let fresh = mainstay_engine::state_machines();
    assert!(
        stored == fresh,
        "docs/state-machines.md is out of date: cargo xtask generate"
    );
}
