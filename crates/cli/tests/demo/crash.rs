//! Movers and agents are killed with SIGKILL at random moments of real moves, several in each, until as many as asked
//! for are dead. Nothing is lost, nothing is done twice, and there is one writer at a time.
//!
//! `MAINSTAY_CRASH_KILLS` says how many (20 if it does not).

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, Hasher as _},
    time::Duration,
};

use mainstay_control::{
    client::AgentClient,
    wire::{LogEntry, Reply},
};
use mainstay_demo::{
    order_service::stored_orders,
    scheduler::{overlaps, read_ticks},
    world::{Site, Verb},
};
use mainstay_driver::Progress;
use mainstay_model::Op;

use crate::support::Stage;

/// A move that needs more attempts than this does not get anywhere.
const ATTEMPTS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a mover that dies in a salvage asks a person what became of it: the agent's journal is not asked yet"]
async fn kills_at_random_moments_of_real_moves() {
    let kills: u32 = std::env::var("MAINSTAY_CRASH_KILLS").map_or(20, |text| text.parse().unwrap());
    let mut stage = Stage::up().await;
    let mut left = kills;
    let mut home = Site::Prod;
    while left > 0 {
        let to = other(home);
        // Several kills in each move, and now and then one in the way back to protection.
        let some = left.min(1 + below(4));
        let move_to = ["switchover", "--to", to.name(), "--yes"];
        let (end, used) = moved(&mut stage, &move_to, some).await;
        left -= used;
        if end == End::There {
            home = to;
        }
        stage.serves(home).await;
        let protect = ["reprotect", other(home).name(), "--yes"];
        let (_, used) = moved(&mut stage, &protect, left.min(below(2))).await;
        left -= used;
        stage.well().await;
        stage.nothing_lost(home).await;
    }
    // The last look is at a world that rests.
    let load = stage
        .world
        .started
        .iter()
        .find(|one| one.part == "load")
        .unwrap();
    load.process.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    stage.nothing_lost(home).await;
    one_writer_at_a_time(&stage, home).await;
    schedulers_took_turns(&stage);
    nothing_was_done_twice(&stage).await;
}

fn other(site: Site) -> Site {
    if site == Site::Prod {
        Site::Dr
    } else {
        Site::Prod
    }
}

/// A number below `bound`. Every hasher's keys are random.
fn below(bound: u32) -> u32 {
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    u32::try_from(random % u64::from(bound)).unwrap()
}

/// How a move ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    There,
    Retreated,
}

/// Carries a move to its end through at most so many kills; says how it ended and how many really hit somebody.
async fn moved(stage: &mut Stage, verb: &[&str], kills: u32) -> (End, u32) {
    let mut used = 0;
    let mut mover = stage.world.start_verb(verb).unwrap();
    for attempt in 0..ATTEMPTS {
        if used < kills {
            tokio::time::sleep(Duration::from_millis(u64::from(20 + below(900)))).await;
            used += kill_somebody(stage, &mover).await;
        }
        let answer = mover.end().await.unwrap();
        let runs = stage.done(&["run", "list"]).await.value;
        let phase = runs[0]["phase"].as_str().unwrap_or("none").to_owned();
        let newest = runs[0]["run"].as_str().unwrap_or_default().to_owned();
        say(&format!(
            "{} {attempt}: exit {:?}, run {newest} {phase}",
            verb[0], answer.exit
        ));
        let ours = runs[0]["mode"] == verb[0];
        match phase.as_str() {
            "succeeded" if ours => return (End::There, used),
            "retreated" if ours => return (End::Retreated, used),
            // Left in the middle.
            _ if ours => mover = stage.world.start_verb(&["run", "resume", &newest]).unwrap(),
            // Killed before its run was written down.
            _ => mover = stage.world.start_verb(verb).unwrap(),
        }
    }
    panic!("{verb:?} got nowhere in {ATTEMPTS} attempts");
}

/// Mostly the mover, now and then an agent, which is started again soon, as a service manager would. How many were hit.
async fn kill_somebody(stage: &mut Stage, mover: &Verb) -> u32 {
    let victim = below(6);
    let Some(site) = Site::ALL.get(victim as usize).copied() else {
        let process = mover.process();
        process.inspect(|process| process.kill());
        return u32::from(process.is_some());
    };
    let mut parts = stage.world.started.iter();
    let agent = parts.find(|one| one.part == "agent" && one.site == Some(site));
    agent.expect("every site has an agent").process.kill();
    // What it supervised goes on meanwhile.
    tokio::time::sleep(Duration::from_millis(u64::from(below(300)))).await;
    stage.world.heal(site).await.unwrap();
    1
}

/// Each epoch belongs to one site, and no write of an epoch is younger than one of the next.
async fn one_writer_at_a_time(stage: &Stage, home: Site) {
    let orders = stored_orders(&stage.world.database_url(home).unwrap())
        .await
        .unwrap();
    let mut epochs: BTreeMap<u64, (BTreeSet<String>, u64, u64)> = BTreeMap::new();
    for order in &orders {
        let at = order.created_us;
        let (sites, first, last) = epochs
            .entry(order.epoch)
            .or_insert((BTreeSet::new(), at, at));
        sites.insert(order.site.clone());
        (*first, *last) = ((*first).min(at), (*last).max(at));
    }
    let mut before = 0;
    for (epoch, (sites, first, last)) in epochs {
        assert_eq!(sites.len(), 1, "epoch {epoch} was written by {sites:?}");
        assert!(
            before < first,
            "epoch {epoch} began before the one before it had ended"
        );
        before = last;
    }
}

fn schedulers_took_turns(stage: &Stage) {
    let lists = Site::DATA.map(|site| read_ticks(&stage.world.ticks(site)).unwrap());
    assert_eq!(overlaps(&lists.concat()), []);
}

/// By the agents' own journals: no step of a run was carried out to its end twice.
async fn nothing_was_done_twice(stage: &Stage) {
    for site in Site::ALL {
        let socket = stage
            .world
            .state()
            .join("agents")
            .join(format!("{site}.sock"));
        let agent = AgentClient::new(&socket).unwrap();
        let mut done = BTreeSet::new();
        let mut after = 0;
        loop {
            let log = agent.log(after).await.unwrap();
            let Some(last) = log.last() else { break };
            after = last.seq;
            for LogEntry {
                id, order, reply, ..
            } in &log
            {
                let ended = matches!(reply, Some(Reply::Progress(Progress::Done(_))));
                if ended && !matches!(order.action.op, Op::Sweep) {
                    let step = (id.run.clone(), id.step, format!("{:?}", id.direction));
                    assert!(
                        done.insert(step),
                        "done twice at {site}: {id} {:?}",
                        order.action
                    );
                }
            }
        }
        say(&format!(
            "{site}: {} orders were carried out, each once",
            done.len()
        ));
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the test's own story, shown when it fails"
)]
fn say(line: &str) {
    println!("{line}");
}
