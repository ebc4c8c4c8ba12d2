//! Movers and agents are killed with SIGKILL at random moments of real moves, several in each, until as many as asked
//! for are dead. Nothing is lost, nothing is done twice, and there is one writer at a time.
//!
//! `MAINSTAY_CRASH_KILLS` says how many (20 if it does not).

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, Hasher as _},
    time::{Duration, Instant},
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

/// A move waits so long at most between two kills, in milliseconds.
const PAUSE: u32 = 700;

/// What was done to whom.
#[derive(Debug, Default)]
struct Toll {
    movers: u32,
    agents: u32,
    /// Moves and ways back to protection that were carried to their ends.
    moves: u32,
    retreats: u32,
    /// The most kills within one of them.
    most: u32,
}

impl Toll {
    fn kills(&self) -> u32 {
        self.movers + self.agents
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_moments_of_real_moves() {
    let kills: u32 = std::env::var("MAINSTAY_CRASH_KILLS").map_or(20, |text| text.parse().unwrap());
    let began = Instant::now();
    let mut stage = Stage::up().await;
    let mut toll = Toll::default();
    let mut home = Site::Prod;
    while toll.kills() < kills {
        let to = other(home);
        // Several kills in each move, and now and then one in the way back to protection.
        let some = 2 + below(4);
        let move_to = ["switchover", "--to", to.name(), "--yes"];
        if moved(
            &mut stage,
            &move_to,
            some.min(kills - toll.kills()),
            &mut toll,
        )
        .await
            == End::There
        {
            home = to;
        }
        stage.serves(home).await;
        let protect = ["reprotect", other(home).name(), "--yes"];
        let some = below(3).min(kills - toll.kills());
        moved(&mut stage, &protect, some, &mut toll).await;
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
    let acknowledged = stage.nothing_lost(home).await;
    one_writer_at_a_time(&stage, home).await;
    schedulers_took_turns(&stage);
    let orders = nothing_was_done_twice(&stage).await;
    say(&format!(
        "{} kills ({} of movers, {} of agents, at most {} in one move) in {} moves ({} retreated) and {} s: \
         0 of {acknowledged} acknowledged writes lost, 0 of {orders} orders done twice",
        toll.kills(),
        toll.movers,
        toll.agents,
        toll.most,
        toll.moves,
        toll.retreats,
        began.elapsed().as_secs(),
    ));
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

/// Carries a move to its end through at most so many kills; says how it ended.
async fn moved(stage: &mut Stage, verb: &[&str], kills: u32, toll: &mut Toll) -> End {
    let before = toll.kills();
    let mut mover = stage.world.start_verb(verb).unwrap();
    for attempt in 0..ATTEMPTS {
        while toll.kills() < before + kills {
            tokio::time::sleep(Duration::from_millis(u64::from(20 + below(PAUSE)))).await;
            match kill_somebody(stage, &mover).await {
                Some(Victim::Agent) => toll.agents += 1,
                Some(Victim::Mover) => {
                    toll.movers += 1;
                    break;
                }
                None => break,
            }
        }
        let answer = mover.end().await.unwrap();
        let runs = stage.done(&["run", "list"]).await.value;
        let phase = runs[0]["phase"].as_str().unwrap_or("none").to_owned();
        let newest = runs[0]["run"].as_str().unwrap_or_default().to_owned();
        say(&format!(
            "{} {attempt}: exit {:?}, run {newest} {phase} {}",
            verb[0],
            answer.exit,
            answer.words.lines().next().unwrap_or_default(),
        ));
        let ours = runs[0]["mode"] == verb[0];
        if ours && matches!(phase.as_str(), "succeeded" | "retreated") {
            toll.moves += 1;
            toll.most = toll.most.max(toll.kills() - before);
            if phase == "succeeded" {
                return End::There;
            }
            toll.retreats += 1;
            return End::Retreated;
        }
        mover = if ours {
            // Left in the middle.
            stage.world.start_verb(&["run", "resume", &newest]).unwrap()
        } else {
            // Killed before its run was written down.
            stage.world.start_verb(verb).unwrap()
        };
    }
    panic!("{verb:?} got nowhere in {ATTEMPTS} attempts");
}

enum Victim {
    Mover,
    Agent,
}

/// The mover or an agent, which is started again soon, as a service manager would. Nobody, once the mover is gone.
async fn kill_somebody(stage: &mut Stage, mover: &Verb) -> Option<Victim> {
    let process = mover.process()?;
    let Some(site) = Site::ALL.get(below(6) as usize).copied() else {
        process.kill();
        return Some(Victim::Mover);
    };
    let mut parts = stage.world.started.iter();
    let agent = parts.find(|one| one.part == "agent" && one.site == Some(site));
    let agent = agent.expect("every site has an agent").process;
    agent.kill();
    while agent.lives() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // What it supervised goes on meanwhile.
    tokio::time::sleep(Duration::from_millis(u64::from(below(300)))).await;
    stage.world.heal(site).await.unwrap();
    Some(Victim::Agent)
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

/// By the agents' own journals: no step of a run was carried out to its end twice. How many were.
async fn nothing_was_done_twice(stage: &Stage) -> usize {
    let mut all = 0;
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
        all += done.len();
    }
    all
}

#[expect(
    clippy::print_stdout,
    reason = "the test's own story, shown when it fails"
)]
fn say(line: &str) {
    println!("{line}");
}
